//! What the door keeps an eye on between calls: plain values.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use netspace_base::NsId;

use crate::sock::Key;
use crate::sys::file::Inotify;

/// A socket that may have been closed.
#[derive(Debug)]
pub(crate) struct Suspect {
    pub(crate) key: Key,
    pub(crate) inode: u64,
    pub(crate) looks: u32,
    pub(crate) at_ms: u64,
}

/// What the door knows about which sockets to look after.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    pub(crate) suspects: Vec<Suspect>,
    /// Processes whose end is watched, by number.
    pub(crate) processes: HashMap<u32, OwnedFd>,
    /// Threads of them.
    pub(crate) threads: HashMap<u32, u32>,
}

impl Liveness {
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.suspects.iter().map(|suspect| suspect.at_ms).min()
    }
}

/// The sockets that are told of changes.
#[derive(Debug, Default)]
pub(crate) struct Monitors {
    pub(crate) keys: Vec<Key>,
    pub(crate) at_ms: u64,
}

impl Monitors {
    pub(crate) fn next_ms(&self) -> Option<u64> {
        (!self.keys.is_empty()).then_some(self.at_ms)
    }
}

/// A socket in whose place the memory of its ring stands, until its process makes another call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Swapped {
    pub(crate) process: u32,
    pub(crate) fd: u32,
    pub(crate) key: Key,
    pub(crate) close_on_exec: bool,
}

/// A file that a program writes.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) file: OwnedFd,
    /// How its descriptors are known: device and inode.
    pub(crate) identity: (u64, u64),
    pub(crate) ns: NsId,
    pub(crate) path: String,
    pub(crate) program: String,
    pub(crate) last: Vec<u8>,
}

/// The files that are being written.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) inotify: Option<Inotify>,
    pub(crate) files: HashMap<i32, Written>,
}
