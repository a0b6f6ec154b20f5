//! stat(2), access(2), readlink(2) and their kin, of the files that tell about the network.

use std::path::PathBuf;

use super::{Answer, Call, DONE, Outcome, err, os};
use crate::door::{Door, World};
use crate::path;
use crate::sys::file;

/// What a path is on the host.
enum Entry {
    /// A directory, with its place in the door's tree.
    Directory(PathBuf),
    /// A file, likewise.
    File(PathBuf),
}

/// What is asked of a path.
#[derive(Clone, Copy)]
enum Question {
    /// `struct stat` at this address.
    Stat(u64),
    /// Fields (a mask) of `struct statx` at this address.
    Statx(u32, u64),
    /// Whether it may be used so.
    Access(i32),
    /// Where it leads.
    Link,
    /// The value of an extended attribute: it has none.
    Attribute,
    /// Which extended attributes it has.
    Attributes,
}

impl Door {
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn call_stat(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let (question, follow) = match libc::c_long::from(call.nr) {
            libc::SYS_stat => (Question::Stat(call.args[1]), true),
            libc::SYS_lstat => (Question::Stat(call.args[1]), false),
            libc::SYS_access => (Question::Access(call.int(1)), true),
            _ => (Question::Link, false),
        };
        self.ask(world, call, libc::AT_FDCWD, call.args[0], question, follow)
    }

    pub(crate) fn call_statat(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let (question, flags) = match libc::c_long::from(call.nr) {
            libc::SYS_newfstatat => (Question::Stat(call.args[2]), call.int(3)),
            libc::SYS_statx => (Question::Statx(call.args[3] as u32, call.args[4]), call.int(2)),
            libc::SYS_faccessat2 => (Question::Access(call.int(2)), call.int(3)),
            libc::SYS_faccessat => (Question::Access(call.int(2)), 0),
            _ => (Question::Link, libc::AT_SYMLINK_NOFOLLOW),
        };
        let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
        self.ask(world, call, call.int(0), call.args[1], question, follow)
    }

    pub(crate) fn call_attribute(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let (question, follow) = match libc::c_long::from(call.nr) {
            libc::SYS_getxattr => (Question::Attribute, true),
            libc::SYS_lgetxattr => (Question::Attribute, false),
            libc::SYS_listxattr => (Question::Attributes, true),
            _ => (Question::Attributes, false),
        };
        self.ask(world, call, libc::AT_FDCWD, call.args[0], question, follow)
    }

    fn ask(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        directory: i32,
        at: u64,
        question: Question,
        follow: bool,
    ) -> Outcome {
        let Some(meant) = self.meant(call, directory, at) else { return Ok(Answer::Proceed) };
        if meant.kind != path::Kind::HostOnly || (!follow && path::is_link(&meant.literal)) {
            return Ok(Answer::Proceed);
        }
        let Some(entry) = self.entry(world, call, &meant.path)? else { return err(libc::ENOENT) };
        let (Entry::Directory(place) | Entry::File(place)) = &entry;
        match question {
            Question::Stat(into) => self.write(call, into, &file::stat(place).map_err(os)?)?,
            Question::Statx(mask, into) => self.write(call, into, &file::statx(place, mask).map_err(os)?)?,
            Question::Access(mode) => {
                let is_directory = matches!(entry, Entry::Directory(_));
                let refused = mode & libc::X_OK != 0 && !is_directory
                    || mode & libc::W_OK != 0 && (is_directory || !path::is_setting(&meant.path));
                if refused {
                    return err(libc::EACCES);
                }
            }
            Question::Link => return err(libc::EINVAL),
            Question::Attribute => return err(libc::EOPNOTSUPP),
            Question::Attributes => {}
        }
        DONE
    }

    fn entry(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        path: &str,
    ) -> Result<Option<Entry>, netspace_uapi::Errno> {
        if let Some(entries) = world.list(call.ns, path) {
            return self
                .shadow
                .directory(call.ns, path, &entries)
                .map(Entry::Directory)
                .map(Some)
                .map_err(os);
        }
        // There are files that cannot be read now, like the carrier of a device that is down.
        let is_listed = |world: &mut dyn World| {
            let (parent, name) = path.rsplit_once('/')?;
            world.list(call.ns, parent)?.iter().find(|(entry, _)| entry == name).map(drop)
        };
        if world.file(call.ns, path).is_none() && is_listed(world).is_none() {
            return Ok(None);
        }
        self.shadow.file(call.ns, path).map(Entry::File).map(Some).map_err(os)
    }

    /// chdir(2) is only looked at: from then on paths without a directory may mean the network's files.
    pub(crate) fn call_chdir(&mut self, call: &Call) -> Answer {
        if let Some(meant) = self.meant(call, libc::AT_FDCWD, call.args[0]) {
            self.relative_matters |= meant.kind == path::Kind::HostOnly;
        }
        Answer::Proceed
    }
}
