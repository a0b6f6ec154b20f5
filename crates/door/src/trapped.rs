//! A trapped call and what becomes of it: plain values.

use std::time::Duration;

use netspace_base::{Instant, NsId};
use netspace_uapi::Errno;

use crate::sock::Key;
use crate::sys::seccomp::Notification;

/// A trapped call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The program it comes from.
    pub(crate) tree: usize,
    /// The host that program is on.
    pub(crate) ns: NsId,
    /// The kernel's name for the waiting call.
    pub(crate) id: u64,
    /// The thread that made it.
    pub(crate) tid: u32,
    /// Its number.
    pub(crate) nr: i32,
    /// Its arguments.
    pub(crate) args: [u64; 6],
    /// Bytes (or messages) of it that are done already.
    pub(crate) done: usize,
    /// Once it has been held: until when.
    pub(crate) deadline: Option<Option<Instant>>,
}

/// What becomes of a call that does not fail.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The kernel carries it out.
    Proceed,
    /// It returns this.
    Value(i64),
    /// It has been answered already.
    Sent,
    /// It waits.
    Hold(Wait),
}

/// How a call went.
pub(crate) type Outcome = Result<Answer, Errno>;

/// It succeeds and returns 0.
pub(crate) const DONE: Outcome = Ok(Answer::Value(0));

impl Call {
    pub(crate) fn new(tree: usize, ns: NsId, notification: &Notification) -> Self {
        let data = notification.data;
        Self {
            tree,
            ns,
            id: notification.id,
            tid: notification.tid,
            nr: data.nr,
            args: data.args,
            done: 0,
            deadline: None,
        }
    }

    /// The descriptor in an argument.
    pub(crate) fn fd(&self, argument: usize) -> u32 {
        self.args[argument] as u32
    }

    /// The int in an argument.
    pub(crate) fn int(&self, argument: usize) -> i32 {
        self.args[argument] as i32
    }

    /// A count of bytes in an argument.
    pub(crate) fn len(&self, argument: usize) -> usize {
        usize::try_from(self.args[argument]).unwrap_or(usize::MAX)
    }
}

/// How a held call ends when its time is up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wait {
    /// The socket it waits for.
    pub(crate) sock: Key,
    /// How long at most.
    pub(crate) timeout: Option<Duration>,
    /// The errno then.
    pub(crate) expired: i32,
}

/// A call that waits.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) call: Call,
    pub(crate) sock: Key,
    pub(crate) deadline: Option<Instant>,
    pub(crate) expired: i32,
    pub(crate) look_at_ms: u64,
    pub(crate) pause_ms: u64,
}
