//! A script on its way: plain values, and the two ways in which it stops.

use std::collections::BTreeMap;
use std::path::PathBuf;

use netspace_base::Instant;

use super::file::Files;
use super::flow::Flow;
use super::lex::Place;
use super::python::Snippet;
use super::script::Call;
use super::setup::Setup;
use super::wire::Seen;
use super::world::World;

/// Why a script stops.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// Something is not as the script says.
    Wrong(String),
    /// It needs what is not here.
    Skip(String),
}

pub(super) type Outcome<T> = Result<T, Trouble>;

/// Something is not as the script says.
pub(super) fn wrong<T>(message: impl Into<String>) -> Outcome<T> {
    Err(Trouble::Wrong(message.into()))
}

/// It needs what is not here.
pub(super) fn skip<T>(reason: impl Into<String>) -> Outcome<T> {
    Err(Trouble::Skip(reason.into()))
}

/// What a call returned: its value, or an error number.
pub(super) type Answer = Result<i64, i32>;

/// How a try of a call went.
#[derive(Debug)]
pub(super) enum Attempt {
    Done(Answer),
    /// It would block: try again when something has happened.
    Blocked,
}

/// What a blocked call has done so far.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// When it started.
    pub(super) started: Instant,
    /// When it gives up by itself.
    pub(super) deadline: Option<Instant>,
    /// Bytes sent or read.
    pub(super) done: usize,
    /// Whether it has been tried before.
    pub(super) again: bool,
}

impl Progress {
    pub(super) fn new(now: Instant) -> Self {
        Self { started: now, deadline: None, done: 0, again: false }
    }
}

/// The SNMP counters when `nstat` last looked.
pub(super) type Counters = BTreeMap<String, u64>;

/// A system call that blocks.
pub(super) struct Pending {
    pub(super) call: Call,
    pub(super) place: Place,
    pub(super) progress: Progress,
    /// When it must return, and how far off that may be; nanoseconds since the start.
    pub(super) end: Option<(i64, i64)>,
}

/// A script on its way.
pub(super) struct Runner {
    pub(super) setup: Setup,
    pub(super) world: World,
    pub(super) files: Files,
    pub(super) flows: Vec<Flow>,
    /// The connection that packets without ports are about.
    pub(super) current: Option<usize>,
    pub(super) snippets: Vec<Snippet>,
    /// What happened, line by line.
    pub(super) log: Vec<String>,
    /// The script's folder, for commands.
    pub(super) folder: PathBuf,
    pub(super) counters: Counters,
    /// When the event before happened.
    pub(super) base: i64,
    pub(super) pending: Option<Pending>,
    /// A packet that was looked at too early.
    pub(super) returned: Option<Seen>,
}

impl Runner {
    pub(super) fn new(setup: Setup, folder: PathBuf) -> Result<Self, String> {
        Ok(Self {
            world: World::new(&setup)?,
            setup,
            files: Files::default(),
            flows: Vec::new(),
            current: None,
            snippets: Vec::new(),
            log: Vec::new(),
            folder,
            counters: Default::default(),
            base: 0,
            pending: None,
            returned: None,
        })
    }
}
