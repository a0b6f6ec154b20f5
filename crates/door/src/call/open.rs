//! open(2) and its kin, for the files that tell about the network.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};

use netspace_uapi::Errno;

use super::{Answer, Call, Outcome, err, os};
use crate::door::{Door, World};
use crate::path::{self, Kind};
use crate::shadow::Entries;
use crate::sys::{file, seccomp};
use crate::{filter, procfs};

/// A path as a program gave it.
pub(crate) struct Meant {
    /// Its absolute form.
    pub(crate) literal: String,
    /// Its normal form.
    pub(crate) path: String,
    /// Whose it is.
    pub(crate) kind: Kind,
}

impl Door {
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn call_open(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let creat = libc::c_long::from(call.nr) == libc::SYS_creat;
        let flags = if creat { libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC } else { call.int(1) };
        self.open(world, call, libc::AT_FDCWD, call.args[0], flags)
    }

    pub(crate) fn call_openat(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let flags = if libc::c_long::from(call.nr) == libc::SYS_openat2 {
            // The first field of struct open_how, 64 bits of flags, of which the upper ones are none of ours.
            self.read_u32(call, call.args[2])?.cast_signed()
        } else {
            call.int(2)
        };
        self.open(world, call, call.int(0), call.args[1], flags)
    }

    fn open(&mut self, world: &mut dyn World, call: &Call, directory: i32, at: u64, flags: i32) -> Outcome {
        let Some(Meant { path, kind, .. }) = self.meant(call, directory, at) else {
            return Ok(Answer::Proceed);
        };
        self.take_settings(world);
        let content = world.file(call.ns, &path);
        match (content, kind) {
            (Some(content), _) if flags & libc::O_ACCMODE != libc::O_RDONLY => {
                self.give_setting(call, &path, content, flags)
            }
            (Some(content), _) => self.give_file(call, &content, flags),
            (None, Kind::HostOnly) => {
                if let Some(entries) = world.list(call.ns, &path) {
                    return self.give_directory(call, &path, &entries, flags);
                }
                self.refuse(call, "open", path);
                err(libc::ENOENT)
            }
            (None, _) => Ok(Answer::Proceed),
        }
    }

    /// What a path of the caller means, if it is one that the machine is not simply asked for.
    pub(crate) fn meant(&self, call: &Call, directory: i32, at: u64) -> Option<Meant> {
        let path = self.read_str(call, at).ok()?;
        let from_here = directory == libc::AT_FDCWD && !self.relative_matters;
        if !path::may_matter(&path) && (path.starts_with('/') || from_here) {
            return None;
        }
        let literal = absolute(call, directory, &path)?;
        let literal = self.shadow.meant(&literal).map_or_else(|| literal.clone(), str::to_owned);
        let path = path::normal(&literal);
        let kind = path::kind(&path);
        (kind != Kind::Machine).then_some(Meant { literal, path, kind })
    }

    /// Gives the program a directory with these entries.
    fn give_directory(&mut self, call: &Call, path: &str, entries: &Entries, flags: i32) -> Outcome {
        if flags & libc::O_ACCMODE != libc::O_RDONLY {
            return err(libc::EISDIR);
        }
        let place = self.shadow.directory(call.ns, path, entries).map_err(os)?;
        // The program may make it the one that it stands in.
        self.relative_matters = true;
        let directory = fs::File::open(place).map_err(os)?;
        self.answer_with_file(call, directory.as_fd(), flags)
    }

    /// Gives the program a file with this content.
    fn give_file(&mut self, call: &Call, content: &[u8], flags: i32) -> Outcome {
        if flags & libc::O_DIRECTORY != 0 {
            return err(libc::ENOTDIR);
        }
        let memory = file::memory_file(c"netspace-file", content).map_err(os)?;
        file::seal(memory.as_fd()).map_err(os)?;
        let read_only = file::reopen_read_only(memory.as_fd()).map_err(os)?;
        self.answer_with_file(call, read_only.as_fd(), flags)
    }

    /// Gives the program a file to write a setting to.
    fn give_setting(&mut self, call: &Call, path: &str, content: Vec<u8>, flags: i32) -> Outcome {
        if !path::is_setting(path) {
            return err(libc::EACCES);
        }
        let fresh = flags & libc::O_ACCMODE == libc::O_WRONLY || flags & libc::O_TRUNC != 0;
        let content = if fresh { Vec::new() } else { content };
        let memory = file::memory_file(c"netspace-setting", &content).map_err(os)?;
        // An open file of its own: that it is closed shall be told.
        let given = file::reopen_to_write(memory.as_fd()).map_err(os)?;
        let program = procfs::name(call.tid);
        self.await_setting(memory, call.ns, path.to_owned(), program).map_err(os)?;
        // By its number the filter knows it; in a table too small for it, writes are looked at afterwards only.
        let close_on_exec = flags & libc::O_CLOEXEC != 0;
        let number = procfs::free_number(call.tid, filter::SETTINGS_FIRST, filter::SETTINGS_END);
        if let Some(number) = number
            && let Some(listener) = self.trees.get(call.tree).and_then(|tree| tree.listener.as_ref())
            && seccomp::answer_with_number(listener.as_fd(), call.id, given.as_fd(), number, close_on_exec)
                .is_ok()
        {
            return Ok(Answer::Sent);
        }
        self.answer_with_file(call, given.as_fd(), flags)
    }

    fn answer_with_file(&self, call: &Call, file: BorrowedFd<'_>, flags: i32) -> Outcome {
        let listener =
            self.trees.get(call.tree).and_then(|tree| tree.listener.as_ref()).ok_or(Errno(libc::EIO))?;
        let close_on_exec = flags & libc::O_CLOEXEC != 0;
        seccomp::answer_with_fd(listener.as_fd(), call.id, file, close_on_exec).map_err(os)?;
        Ok(Answer::Sent)
    }
}

/// The absolute form of a path as the caller means it.
fn absolute(call: &Call, directory: i32, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return Some(path.to_owned());
    }
    let link = if directory == libc::AT_FDCWD {
        format!("/proc/{}/cwd", call.tid)
    } else {
        format!("/proc/{}/fd/{directory}", call.tid)
    };
    let base = fs::read_link(link).ok()?;
    Some(format!("{}/{path}", base.to_str()?))
}
