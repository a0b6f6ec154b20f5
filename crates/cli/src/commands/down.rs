//! `netspace down`: stops a running lab.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::args::DownArgs;
use crate::control::{Client, Request};
use crate::output::message;
use crate::runtime::{self, LabInfo};

/// How long a lab may take to end its programs and itself.
const PATIENCE: Duration = Duration::from_secs(20);

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
    let mut client = Client::connect(lab)?;
    client.send(&Request::Down, &[])?;
    // The answer, or the connection's end: the lab is going. It has gone when its directory has.
    let _ = client.receive();
    let give_up = Instant::now() + PATIENCE;
    while runtime::is_alive(lab)? {
        if Instant::now() > give_up {
            bail!("lab {} (process {}) does not end", lab.name, lab.pid);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
