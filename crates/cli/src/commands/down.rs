//! `netspace down`: stops a running lab.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal};

use crate::args::DownArgs;
use crate::control::{Client, Request};
use crate::output::{message, warning};
use crate::runtime::{self, LabInfo};

/// How long a lab may take to end its programs and itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Stops the lab that is meant, or all.
pub(crate) fn run(args: &DownArgs) -> anyhow::Result<u8> {
    let labs = if args.all { runtime::running()? } else { vec![runtime::choose(args.lab.as_deref())?] };
    for lab in &labs {
        stop(lab)?;
        message(format_args!("lab {} is down", lab.name));
    }
    if labs.is_empty() {
        message(format_args!("no lab is running"));
    }
    Ok(0)
}

fn stop(lab: &LabInfo) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut client = Client::connect(lab)?;
    client.set_patience(PATIENCE)?;
    client.send(&Request::Down, &[])?;
    // The answer, or the connection's end: the lab is going. It has gone when its directory has.
    let _ = client.receive();
    if gone_within(lab, PATIENCE.saturating_sub(started.elapsed()))? {
        return Ok(());
    }
    // It holds its lock, so the number is still its own. Its programs die with it.
    warning(&format!("lab {} does not answer: process {} is killed", lab.name, lab.pid));
    let pid = i32::try_from(lab.pid).ok().and_then(Pid::from_raw).context("no process has this number")?;
    rustix::process::kill_process(pid, Signal::KILL).context("it cannot be killed")?;
    if !gone_within(lab, PATIENCE)? {
        bail!("lab {} (process {}) does not end", lab.name, lab.pid);
    }
    // Looking at what runs cleans away what it has left.
    runtime::running().map(drop)
}

fn gone_within(lab: &LabInfo, time: Duration) -> anyhow::Result<bool> {
    let give_up = Instant::now() + time;
    while runtime::is_alive(lab)? {
        if Instant::now() > give_up {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(true)
}
