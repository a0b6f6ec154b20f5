//! `netspace tool sink`: takes bytes, counts and checks them, and reports the rate (RFC 863, with a report).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::content::Checker;
use super::sha256::Sha256;
use crate::args::SinkArgs;
use crate::output::Out;

#[derive(Serialize)]
struct Report {
    from: SocketAddr,
    bytes: u64,
    seconds: f64,
    bits_per_second: f64,
    /// Whether every byte is the one that `netspace tool source` sends at its place.
    content_known: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_difference: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

pub(super) fn run(args: &SinkArgs) -> anyhow::Result<u8> {
    let listener = super::tcp_listener("sink", &args.listen, args.port)?;
    let (sha256, json) = (args.sha256, args.json);
    super::serve("sink", &listener, args.listen.once, move |stream, peer| take(stream, peer, sha256, json))?;
    Ok(0)
}

fn take(mut stream: TcpStream, from: SocketAddr, sha256: bool, json: bool) -> io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let mut checker = Checker::default();
    let mut sha = sha256.then(Sha256::new);
    let mut started = None;
    let ended = loop {
        let n = match stream.read(&mut buffer) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(io::Error::new(error.kind(), format!("after {} bytes: {error}", checker.len())));
            }
        };
        if n == 0 {
            break Instant::now();
        }
        started.get_or_insert_with(Instant::now);
        checker.feed(&buffer[..n]);
        if let Some(sha) = &mut sha {
            sha.feed(&buffer[..n]);
        }
    };
    drop(stream);
    let time = started.map_or(Duration::ZERO, |started| ended - started);
    let report = Report {
        from,
        bytes: checker.len(),
        seconds: time.as_secs_f64(),
        bits_per_second: checker.len() as f64 * 8.0 / time.as_secs_f64().max(1e-9),
        content_known: checker.first_difference().is_none(),
        first_difference: checker.first_difference(),
        sha256: sha.map(Sha256::hex),
    };
    print(&report, time, json)
}

fn print(report: &Report, time: Duration, json: bool) -> io::Result<()> {
    let mut out = Out::new();
    if json {
        serde_json::to_writer(&mut out, report)?;
        writeln!(out)?;
        return out.flush();
    }
    let content = match report.first_difference {
        None => "content as the source sends it".to_owned(),
        Some(at) => format!("not the source's content from byte {at} on"),
    };
    let rate = super::rate_text(report.bytes, time);
    writeln!(out, "{}: {} bytes in {:.3} s, {rate}, {content}", report.from, report.bytes, report.seconds)?;
    if let Some(sha256) = &report.sha256 {
        writeln!(out, "sha256 {sha256}")?;
    }
    out.flush()
}
