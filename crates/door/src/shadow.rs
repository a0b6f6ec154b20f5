//! The directories of `/proc/net`, `/proc/sys/net` and `/sys/class/net` that programs list and ask for.
//!
//! A directory cannot be made in memory as a file can. So there is a tree of empty files, in a directory of the door's own,
//! which is brought up to date whenever a program looks: a program that opens a directory gets one of the tree, where
//! listing and asking work natively, and what stat(2) tells of a path is what it tells of the tree's file. What a file
//! says is asked of the host each time that it is opened.
//!
//! ```text
//! /dev/shm/netspace-files-<random>/<host>/proc/sys/net/ipv4/ip_forward
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use netspace_base::NsId;

/// A directory's entries: their names, and whether each is a directory.
pub(crate) type Entries = Vec<(String, bool)>;

/// A file system in memory; there, as in `/proc`, the entries `.` and `..` come first, which sysctl(8) relies on.
const IN_MEMORY: &str = "/dev/shm";
/// Programs may be another user's: the tree is to be seen by all.
const DIRECTORY: u32 = 0o755;
const READABLE: u32 = 0o444;
const WRITABLE: u32 = 0o644;

/// The tree of one door.
#[derive(Debug)]
pub(crate) struct Shadow {
    root: PathBuf,
    made: bool,
}

impl Shadow {
    /// A tree that is made when a program first looks. Init removes it when the supervisor has ended.
    pub(crate) fn new() -> Self {
        let random = RandomState::new().hash_one(std::process::id());
        let memory = Path::new(IN_MEMORY);
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        Self { root: base.join(format!("netspace-files-{random:016x}")), made: false }
    }

    /// Where it is.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The path that one in the tree stands for.
    pub(crate) fn meant<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.root.to_str()?)?.strip_prefix('/')?;
        Some(rest.find('/').map_or("/", |at| &rest[at..]))
    }

    fn place(&self, ns: NsId, path: &str) -> PathBuf {
        self.root.join(ns.0.to_string()).join(path.trim_start_matches('/'))
    }

    /// Makes a directory and those above it.
    fn make(&mut self, ns: NsId, path: &str) -> io::Result<PathBuf> {
        if !self.made {
            // A directory that is there already is somebody else's.
            fs::create_dir(&self.root)?;
            fs::set_permissions(&self.root, Permissions::from_mode(DIRECTORY))?;
            self.made = true;
        }
        let place = self.place(ns, path);
        let missing: Vec<&Path> = place.ancestors().take_while(|at| !at.exists()).collect();
        for at in missing.into_iter().rev() {
            fs::create_dir(at)?;
            fs::set_permissions(at, Permissions::from_mode(DIRECTORY))?;
        }
        Ok(place)
    }

    /// The directory `path` with just these entries.
    pub(crate) fn directory(&mut self, ns: NsId, path: &str, entries: &Entries) -> io::Result<PathBuf> {
        let place = self.make(ns, path)?;
        let wanted: BTreeSet<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
        for entry in fs::read_dir(&place)? {
            let entry = entry?;
            if !entry.file_name().to_str().is_some_and(|name| wanted.contains(name)) {
                let gone = entry.path();
                if entry.file_type()?.is_dir() { fs::remove_dir_all(gone)? } else { fs::remove_file(gone)? }
            }
        }
        for (name, is_dir) in entries {
            let path = format!("{path}/{name}");
            if *is_dir {
                self.make(ns, &path)?
            } else {
                self.file(ns, &path)?
            };
        }
        Ok(place)
    }

    /// The file `path`.
    pub(crate) fn file(&mut self, ns: NsId, path: &str) -> io::Result<PathBuf> {
        let place = self.place(ns, path);
        if !place.exists() {
            self.make(ns, path.rsplit_once('/').map_or("", |(parent, _)| parent))?;
            let mode = if crate::path::is_setting(path) { WRITABLE } else { READABLE };
            File::create(&place)?.set_permissions(Permissions::from_mode(mode))?;
        }
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(place: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_directory_follows_what_is_listed() {
        let mut shadow = Shadow::new();
        let entries = vec![("eth0".to_owned(), true), ("lo".to_owned(), true)];
        let place = shadow.directory(NsId(3), "/sys/class/net", &entries).unwrap();
        assert_eq!(names(&place), ["eth0", "lo"]);
        let inside = place.join("eth0");
        let file = shadow.file(NsId(3), "/sys/class/net/eth0/mtu").unwrap();
        assert_eq!(file, inside.join("mtu"));
        assert_eq!(shadow.meant(file.to_str().unwrap()), Some("/sys/class/net/eth0/mtu"));
        assert_eq!(shadow.meant("/sys/class/net/eth0/mtu"), None);
        let place = shadow.directory(NsId(3), "/sys/class/net", &vec![("lo".to_owned(), true)]).unwrap();
        assert_eq!(names(&place), ["lo"]);
        fs::remove_dir_all(shadow.root()).unwrap();
    }
}
