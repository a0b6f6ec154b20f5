//! Files that a program may write: the settings under `/proc/sys/net`.
//!
//! The program gets a file in memory, under a number by which the filter knows it, so that each write(2) to it is trapped
//! and fails if the value is refused. A shell moves the file to its standard output, whose small writes are trapped for
//! its sake. What is written in other ways (through a copy of the descriptor, or mapped) is given to the host
//! afterwards; an invalid value is then counted as refused.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, OwnedFd};

use netspace_base::NsId;

use crate::door::{Door, Watch, World};
use crate::sys::epoll;
use crate::sys::file::{self, Inotify};
use crate::watched::Written;

/// Longest setting, bytes.
pub(crate) const MAX_LEN: u64 = 64 * 1024;

impl Door {
    /// Waits for what a program will write to `file`.
    pub(crate) fn await_setting(
        &mut self,
        file: OwnedFd,
        ns: NsId,
        path: String,
        program: String,
    ) -> std::io::Result<()> {
        if self.settings.inotify.is_none() {
            let inotify = Inotify::new()?;
            self.epoll.add(inotify.fd(), epoll::IN, Watch::Settings.token())?;
            self.settings.inotify = Some(inotify);
        }
        if let Some(inotify) = &self.settings.inotify {
            let watch = inotify.watch(file.as_fd())?;
            let identity = file::identity(file.as_fd())?;
            self.settings
                .files
                .insert(watch, Written { file, identity, ns, path, program, last: Vec::new() });
        }
        Ok(())
    }

    /// Gives the host what programs have written.
    pub(crate) fn take_settings(&mut self, world: &mut dyn World) {
        let Some(inotify) = &self.settings.inotify else { return };
        for (watch, closed) in inotify.events() {
            let Some(written) = self.settings.files.get_mut(&watch) else { continue };
            let content = content(&written.file);
            if !content.is_empty() && content != written.last {
                written.last.clone_from(&content);
                if world.write_file(written.ns, &written.path, &content).is_err() {
                    let value = String::from_utf8_lossy(&content);
                    let detail = format!("{} = {}", written.path, value.trim());
                    self.report.add(written.program.clone(), "write", detail);
                }
            }
            if closed {
                self.settings.files.remove(&watch);
            }
        }
    }
}

fn content(file: &OwnedFd) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(copy) = File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file))) {
        let mut copy = copy.take(MAX_LEN);
        // A file in memory can be read; if not, there is nothing to give on.
        let _ = copy.get_mut().rewind();
        let _ = copy.read_to_end(&mut bytes);
    }
    bytes
}
