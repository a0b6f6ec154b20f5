//! `netspace tool source`: sends N bytes of known content, and waits until the other side has taken them.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

use super::content;
use crate::args::SourceArgs;
use crate::output::{Out, bad_input};

#[derive(Serialize)]
struct Report {
    to: String,
    bytes: u64,
    seconds: f64,
    bits_per_second: f64,
}

/// The port of a sink.
const SINK_PORT: u16 = 9;
/// The largest block for one write.
const MAX_BLOCK: u64 = 64 << 20;

pub(super) fn run(args: &SourceArgs) -> anyhow::Result<u8> {
    let (host, port) = super::host_and_port(&args.to, SINK_PORT).map_err(bad_input)?;
    if args.block == 0 || args.block > MAX_BLOCK {
        return Err(bad_input(format!("--block must be 1 to {MAX_BLOCK} bytes")));
    }
    let mut stream = super::connect(&host, port, args.version, Duration::from_secs(60))?;
    let started = Instant::now();
    let mut block = vec![0; args.block as usize];
    let mut sent = 0;
    while sent < args.bytes {
        let n = args.block.min(args.bytes - sent) as usize;
        content::fill(sent, &mut block[..n]);
        stream.write_all(&block[..n]).with_context(|| format!("after about {sent} bytes"))?;
        sent += n as u64;
    }
    stream.shutdown(Shutdown::Write).context("cannot close our direction")?;
    // The sink closes when it has read everything: only then is the time right.
    let mut rest = [0; 256];
    while stream.read(&mut rest).context("while waiting for the sink to take everything")? != 0 {}
    let time = started.elapsed();
    let mut out = Out::new();
    if args.json {
        let bits_per_second = sent as f64 * 8.0 / time.as_secs_f64().max(1e-9);
        let report =
            Report { to: args.to.clone(), bytes: sent, seconds: time.as_secs_f64(), bits_per_second };
        serde_json::to_writer(&mut out, &report)?;
        writeln!(out)?;
    } else {
        let rate = super::rate_text(sent, time);
        writeln!(out, "{}: {sent} bytes in {:.3} s, {rate}", args.to, time.as_secs_f64())?;
    }
    out.flush()?;
    Ok(0)
}
