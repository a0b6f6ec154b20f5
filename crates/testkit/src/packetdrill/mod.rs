//! The packetdrill language, run against one namespace of the stack in virtual time.
//!
//! A script says what a program calls and what a remote host sends, and what must come out and when:
//!
//! ```text
//!   0  socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
//!  +0  bind(3, ..., ...) = 0
//!  +0  listen(3, 1) = 0
//!  +0  < S 0:0(0) win 32792 <mss 1460,nop,wscale 7>
//!  +0  > S. 0:0(0) ack 1 <...>
//! ```
//! The language is described for its users in `tests/packetdrill/README.md`.
//!
//! ```text
//! text ─ lex ─▶ words ─ parse ─▶ Script ─ run ─▶ Netns (world, call, shell)
//!                                          └───▶ python (what %{ }% asserts)
//! ```

mod call;
mod file;
mod flow;
mod lex;
mod parse;
mod python;
mod route;
mod run;
mod runner;
mod script;
mod setup;
mod shell;
mod show;
mod suite;
mod symbols;
mod tcp_option;
mod wire;
mod world;

use std::path::Path;

pub use lex::Place;
use parse::{Defines, ParseError};
pub use python::Python;
use run::{Runner, Trouble};
pub use setup::Version;
use setup::{Setup, SetupError};
pub use suite::{Suite, main};

/// How a script went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// All was as it says.
    Passed,
    /// Something was not: where, and what.
    Failed(Place, String),
    /// It needs what is not here: why.
    Skipped(String),
    /// It is written for another version.
    OtherVersion,
}

/// A script's run.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it went.
    pub verdict: Verdict,
    /// Calls and packets with their times, a line each.
    pub log: Vec<String>,
}

/// Runs the text of a script. Commands in it find their files from `folder`; `defines` are names that stand for words.
pub fn run_text(
    text: &str,
    folder: &Path,
    version: Version,
    defines: &[(String, String)],
    python: &mut Python,
) -> Report {
    let mut log = Vec::new();
    let verdict = match prepared(text, folder, version, defines) {
        Ok((mut runner, script)) => {
            let result = runner.run(&script);
            // Code that failed stands before the event at which the script ended.
            let verdict = match (python.check(&runner.snippets), result) {
                (Err((place, text)), _) => Verdict::Failed(place, text),
                (Ok(()), result) => verdict(result),
            };
            log = runner.log;
            verdict
        }
        Err(verdict) => verdict,
    };
    Report { verdict, log }
}

fn verdict(result: Result<(), (Place, Trouble)>) -> Verdict {
    match result {
        Ok(()) => Verdict::Passed,
        Err((place, Trouble::Wrong(text))) => Verdict::Failed(place, text),
        Err((place, Trouble::Skip(reason))) => Verdict::Skipped(format!("line {}: {reason}", place.line)),
    }
}

/// The script, and the host that it runs against.
fn prepared(
    text: &str,
    folder: &Path,
    version: Version,
    defines: &[(String, String)],
) -> Result<(Runner, script::Script), Verdict> {
    let own = version.defines().iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let defines: Defines = own.chain(defines.iter().cloned()).collect();
    let script = parse::script(text, defines).map_err(|error| match error {
        ParseError::Syntax(error) => Verdict::Failed(error.place, error.message),
        ParseError::Refused(place, reason) => Verdict::Skipped(format!("line {}: {reason}", place.line)),
    })?;
    let mut setup = Setup::new(version);
    setup.apply(&script).map_err(|error| match error {
        SetupError::OtherVersion => Verdict::OtherVersion,
        SetupError::Wrong(place, message) => Verdict::Failed(place, message),
        SetupError::Refused(reason) => Verdict::Skipped(reason),
    })?;
    let top = Place { line: 1, column: 1 };
    let runner = Runner::new(setup, folder.to_owned()).map_err(|message| Verdict::Failed(top, message))?;
    Ok((runner, script))
}
