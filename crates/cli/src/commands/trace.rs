//! `netspace trace`: follows packets live.

use std::io::Write;

use anyhow::bail;

use crate::args::TraceArgs;
use crate::control::{Client, Reply, Request};
use crate::output::{BAD, DIM, Out, message, warning};
use crate::runtime;

/// Prints a running lab's events until the lab or the reader goes.
pub(crate) fn run(args: &TraceArgs) -> anyhow::Result<u8> {
    let lab = runtime::choose(args.lab.lab.as_deref())?;
    let mut client = Client::connect(&lab)?;
    client.ask(&Request::Trace { words: args.words.clone(), json: args.json })?;
    message(format_args!("following lab {}; Ctrl-C ends it", lab.name));
    let mut out = Out::new();
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        match client.receive()? {
            None => break,
            Some(Reply::Event { line }) => {
                left -= 1;
                if args.json {
                    writeln!(out, "{line}")?;
                } else {
                    print(&mut out, &line)?;
                }
                // Together where they come together, but each seen at once.
                if !client.has_reply() {
                    out.flush()?;
                }
            }
            Some(Reply::Lost { count }) => {
                out.flush()?;
                warning(&format!("{count} lines were left out: they came faster than they were read"));
            }
            Some(Reply::Error { message, .. }) => bail!(message),
            Some(_) => bail!("the lab gave an answer to another question"),
        }
    }
    out.flush()?;
    Ok(0)
}

/// A line: its time dim, drops marked.
fn print(out: &mut Out, line: &str) -> std::io::Result<()> {
    let (time, rest) = line.split_once(' ').unwrap_or((line, ""));
    let is_drop = rest.split_whitespace().take(3).any(|word| word == "drop");
    let style = if is_drop { BAD } else { anstyle::Style::new() };
    writeln!(out, "{DIM}{time}{DIM:#} {style}{rest}{style:#}")
}
