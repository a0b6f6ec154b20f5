//! How a running lab is spoken to: JSON objects, one a line, over a unix stream socket; descriptors travel with the first
//! byte of the line that they belong to (`SCM_RIGHTS`).
//!
//! A client sends requests; each is answered by one or more replies, the last of which is [`Reply::Error`],
//! [`Reply::Done`] or one that is the answer itself. `exec` and `trace` answer with many until they end.

mod client;
mod server;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde::{Deserialize, Serialize};

pub(crate) use client::Client;
pub(crate) use server::{ClientId, Incoming, Server};

/// The longest line that is taken, bytes: an environment and arguments go into one.
const MAX_LINE: usize = 4 << 20;

/// Bytes that are mostly text: a string where they are UTF-8, else an array of numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Text {
    /// UTF-8.
    Utf8(String),
    /// Anything else.
    Bytes(Vec<u8>),
}

impl From<OsString> for Text {
    fn from(text: OsString) -> Self {
        text.into_string().map_or_else(|text| Self::Bytes(text.as_bytes().to_vec()), Self::Utf8)
    }
}

impl From<Text> for OsString {
    fn from(text: Text) -> Self {
        match text {
            Text::Utf8(text) => text.into(),
            Text::Bytes(bytes) => Self::from_vec(bytes),
        }
    }
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// What runs: [`Reply::Lab`].
    Ps,
    /// Run a program; with it come three descriptors (its standard input, output, error), or one if `tty` is set: the
    /// terminal. Answered by [`Reply::Started`], then [`Reply::Exited`].
    Exec(Exec),
    /// Send the program that this connection started a signal.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// The links: [`Reply::Links`].
    Links {
        /// Only this one: `A--B`.
        link: Option<String>,
    },
    /// Change a link: [`Reply::Done`].
    Link {
        /// Which one: `A--B`.
        link: String,
        /// Only the direction that starts at this end.
        from: Option<String>,
        /// What to do.
        change: LinkChange,
    },
    /// Follow packets: [`Reply::Event`]s without end.
    Trace {
        /// Words: a host's name, a filter.
        words: Vec<String>,
        /// JSON rather than text.
        json: bool,
    },
    /// Stop the lab: [`Reply::Done`] when everything has ended.
    Down,
}

/// A program to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Exec {
    /// The host's name.
    pub(crate) host: String,
    /// The program and its arguments.
    pub(crate) argv: Vec<Text>,
    /// The caller's environment.
    pub(crate) env: Vec<(Text, Text)>,
    /// Its working directory.
    pub(crate) cwd: Text,
    /// Whether it gets a session with a controlling terminal of its own.
    pub(crate) tty: bool,
}

/// What to do to a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LinkChange {
    /// Plug it in.
    Up,
    /// Unplug it.
    Down,
    /// Set these (`delay`, `50ms`); the others stay.
    Set(Vec<(String, String)>),
}

/// What the lab answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub(crate) enum Reply {
    /// It cannot be done.
    Error {
        /// Why.
        message: String,
        /// The exit code for the client.
        code: u8,
    },
    /// It is done.
    Done,
    /// What runs.
    Lab(LabState),
    /// Links.
    Links {
        /// In the order of the file.
        links: Vec<LinkState>,
    },
    /// The program runs.
    Started {
        /// Its process, as the machine knows it.
        pid: u32,
    },
    /// The program has ended.
    Exited {
        /// Its exit code, unless a signal killed it.
        code: Option<i32>,
        /// The signal that killed it.
        signal: Option<i32>,
    },
    /// A line of a trace.
    Event {
        /// The line, without its end.
        line: String,
    },
    /// So many lines of a trace were not sent, because the client reads too slowly.
    Lost {
        /// How many.
        count: u64,
    },
}

/// A running lab, as `ps` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LabState {
    pub(crate) name: String,
    pub(crate) file: Option<String>,
    pub(crate) pid: u32,
    /// How long it has been running.
    pub(crate) uptime_seconds: f64,
    /// How well the lab keeps up with real time, percent.
    pub(crate) time_fidelity_percent: f64,
    pub(crate) hosts: Vec<HostState>,
}

/// A host of a running lab.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HostState {
    pub(crate) name: String,
    /// `host`, `router`, `switch`, `hub`.
    pub(crate) kind: String,
    pub(crate) interfaces: Vec<InterfaceState>,
    pub(crate) programs: Vec<ProgramState>,
}

/// An interface of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct InterfaceState {
    pub(crate) name: String,
    pub(crate) mac: String,
    pub(crate) mtu: u32,
    pub(crate) up: bool,
    /// With their prefix lengths.
    pub(crate) addresses: Vec<String>,
}

/// A program on a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProgramState {
    pub(crate) pid: u32,
    pub(crate) command: String,
}

/// A link and its settings, as `link` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LinkState {
    /// `A--B`.
    pub(crate) name: String,
    pub(crate) up: bool,
    pub(crate) directions: Vec<DirectionState>,
}

/// One direction of a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DirectionState {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Words as a lab file has them (`delay: 50ms`), only what is set.
    pub(crate) settings: BTreeMap<String, String>,
    /// Frames under way or waiting.
    pub(crate) in_flight: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_are_not_utf8_survive() {
        for bytes in [&b"plain"[..], b"\xff\x00x", b""] {
            let text = Text::from(OsString::from_vec(bytes.to_vec()));
            let json = serde_json::to_string(&text).expect("JSON");
            let back: Text = serde_json::from_str(&json).expect("the same");
            assert_eq!(OsString::from(back).as_bytes(), bytes);
        }
    }

    #[test]
    fn requests_are_one_line_of_json() {
        let change = LinkChange::Set(vec![("delay".to_owned(), "50ms".to_owned())]);
        let request = Request::Link { link: "a--b".to_owned(), from: None, change };
        let json = serde_json::to_string(&request).expect("JSON");
        assert!(json.starts_with(r#"{"request":"link","#) && !json.contains('\n'), "{json}");
        assert_eq!(serde_json::from_str::<Request>(&json).expect("the same"), request);
    }
}
