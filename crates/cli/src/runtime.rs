//! Where running labs keep their state: `$XDG_RUNTIME_DIR/netspace/LAB/`, else `/tmp/netspace-UID/LAB/`.
//!
//! A lab's directory holds `lock` (a record lock on it is held as long as the lab lives: the kernel lets it go however the
//! process ends, so there is no stale pid to mistake for a living lab), `lab.json`, `pid`, the socket `control` and the
//! `log` of a lab in the background. Whoever finds a directory whose lock is free may clean it away.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::output::bad_input;

/// How long a start waits for somebody else who is just looking whether the lab lives.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// The longest lab name.
const MAX_NAME: usize = 64;

/// What others may know of a running lab without asking it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LabInfo {
    /// Its name.
    pub(crate) name: String,
    /// Its file, absolute; none if it was read from standard input.
    pub(crate) file: Option<PathBuf>,
    /// Its process.
    pub(crate) pid: u32,
    /// Whether `up` started it.
    pub(crate) background: bool,
}

/// The directory of all labs of this user, made if need be.
pub(crate) fn base_dir() -> anyhow::Result<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let from_session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    // A runtime directory that is not ours (after su, sudo) must not be written to.
    let usable =
        |dir: &PathBuf| dir.is_absolute() && fs::metadata(dir).is_ok_and(|m| m.is_dir() && m.uid() == uid);
    let base = match from_session.filter(usable) {
        Some(dir) => dir.join("netspace"),
        None => PathBuf::from(format!("/tmp/netspace-{uid}")),
    };
    make_private_dir(&base)?;
    Ok(base)
}

/// Makes `dir` with mode 0700, or makes sure that it is ours and nobody else can look into it.
fn make_private_dir(dir: &Path) -> anyhow::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| format!("cannot make {}", dir.display())),
    }
    let metadata = fs::symlink_metadata(dir).with_context(|| dir.display().to_string())?;
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
        bail!("{} is not a directory of ours: somebody else has put it there", dir.display());
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("cannot make {} private", dir.display()))?;
    }
    Ok(())
}

/// A running lab's own hold on its directory; dropping it cleans up.
#[derive(Debug)]
pub(crate) struct LabDir {
    path: PathBuf,
    dir: OwnedFd,
    _lock: File,
}

impl LabDir {
    /// Takes the name for this process, cleaning away what a killed lab has left.
    pub(crate) fn claim(info: &LabInfo) -> anyhow::Result<Self> {
        check_name(&info.name)?;
        let path = base_dir()?.join(&info.name);
        let give_up = Instant::now() + LOCK_PATIENCE;
        loop {
            make_private_dir(&path)?;
            let lock_path = path.join("lock");
            let lock = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&lock_path)
                .with_context(|| format!("cannot open {}", lock_path.display()))?;
            match rustix::fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
                // The directory may have been cleaned away between our opening and our locking.
                Ok(()) if !is_same_file(&lock, &lock_path) => continue,
                Ok(()) => return Self::set_up(path, lock, info),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot lock {}", lock_path.display()));
                }
            }
            if UnixStream::connect(path.join("control")).is_ok() || Instant::now() > give_up {
                return Err(bad_input(format!(
                    "a lab named {0:?} is running already; `netspace down {0}` stops it",
                    info.name
                )));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn set_up(path: PathBuf, lock: File, info: &LabInfo) -> anyhow::Result<Self> {
        clean(&path, &["lock"])?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir =
            rustix::fs::open(&path, flags, Mode::empty()).with_context(|| path.display().to_string())?;
        let claimed = Self { path, dir, _lock: lock };
        claimed.write("pid", format!("{}\n", info.pid).as_bytes())?;
        claimed.write("lab.json", &serde_json::to_vec(info)?)?;
        Ok(claimed)
    }

    /// Writes a file of the directory; readers see it whole or not at all.
    fn write(&self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let temporary = self.path.join(format!(".{name}"));
        fs::write(&temporary, content).with_context(|| temporary.display().to_string())?;
        fs::rename(&temporary, self.path.join(name)).with_context(|| self.path.display().to_string())
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the control socket.
    pub(crate) fn listen(&self) -> anyhow::Result<UnixListener> {
        // Through the descriptor: a socket's path may have 107 bytes only, a directory's name may be longer.
        let listener = UnixListener::bind(short_path(&self.dir, "control"))
            .with_context(|| format!("cannot open the control socket in {}", self.path.display()))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }
}

impl Drop for LabDir {
    fn drop(&mut self) {
        // The lock goes last, so that whoever gets it finds a clean directory or none.
        let _ = clean(&self.path, &["lock"]);
        let _ = fs::remove_file(self.path.join("lock"));
        let _ = fs::remove_dir(&self.path);
    }
}

fn short_path(dir: &OwnedFd, name: &str) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))
}

fn is_same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// Removes everything in a lab's directory but `keep`.
fn clean(path: &Path, keep: &[&str]) -> anyhow::Result<()> {
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        let entry = entry?;
        if keep.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let removed = if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())
        } else {
            fs::remove_file(entry.path())
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", entry.path().display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A lab's name becomes a directory's name.
fn check_name(name: &str) -> anyhow::Result<()> {
    let fine = |c: char| c.is_alphanumeric() || "-_.+".contains(c);
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('.') || !name.chars().all(fine) {
        return Err(bad_input(format!(
            "{name:?} cannot be a lab's name: letters, digits, `-`, `_`, `.`, at most {MAX_NAME} bytes"
        )));
    }
    Ok(())
}

/// All running labs of this user, by name. What killed labs have left is cleaned away in passing.
pub(crate) fn running() -> anyhow::Result<Vec<LabInfo>> {
    let base = base_dir()?;
    let mut labs = Vec::new();
    for entry in fs::read_dir(&base).with_context(|| base.display().to_string())? {
        let path = entry?.path();
        if let Some(info) = look(&path) {
            labs.push(info);
        }
    }
    labs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(labs)
}

/// What runs in this directory; a dead lab's directory is removed.
fn look(path: &Path) -> Option<LabInfo> {
    let info = || serde_json::from_slice(&fs::read(path.join("lab.json")).ok()?).ok();
    if connect_in(path).is_ok() {
        return info();
    }
    let lock_path = path.join("lock");
    let lock = OpenOptions::new().read(true).write(true).open(&lock_path).ok()?;
    match rustix::fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            if is_same_file(&lock, &lock_path) && clean(path, &["lock"]).is_ok() {
                let _ = fs::remove_file(&lock_path);
                let _ = fs::remove_dir(path);
            }
            None
        }
        // It is just starting, and will soon have a socket.
        Err(_) => None,
    }
}

/// Connects to the control socket in a lab's directory.
fn connect_in(path: &Path) -> io::Result<UnixStream> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(path, flags, Mode::empty())?;
    UnixStream::connect(short_path(&dir, "control"))
}

/// Whether the lab's process still holds its directory.
pub(crate) fn is_alive(info: &LabInfo) -> anyhow::Result<bool> {
    let path = base_dir()?.join(&info.name);
    let Ok(lock) = OpenOptions::new().read(true).write(true).open(path.join("lock")) else {
        return Ok(false);
    };
    let held = rustix::fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockShared).is_err();
    let ours = || fs::read(path.join("pid")).is_ok_and(|pid| pid == format!("{}\n", info.pid).as_bytes());
    // A killed lab's directory may be taken by the next one of its name.
    Ok(held && ours())
}

/// Connects to a running lab.
pub(crate) fn connect(info: &LabInfo) -> anyhow::Result<UnixStream> {
    let path = base_dir()?.join(&info.name);
    connect_in(&path).with_context(|| format!("cannot reach lab {:?}", info.name))
}

/// Finds the running lab that `choice` (a name, a file) means; without one, the only one that runs.
pub(crate) fn choose(choice: Option<&str>) -> anyhow::Result<LabInfo> {
    let mut labs = running()?;
    let names = |labs: &[LabInfo]| labs.iter().map(|lab| lab.name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(choice) = choice else {
        // A command on one of a lab's hosts means that lab.
        if let Some(here) = std::env::var_os("NETSPACE_LAB")
            && let Some(index) = labs.iter().position(|lab| here == lab.name.as_str())
        {
            return Ok(labs.swap_remove(index));
        }
        return match labs.len() {
            0 => bail!("no lab is running; `netspace up LAB` starts one"),
            1 => Ok(labs.remove(0)),
            n => {
                Err(bad_input(format!("{n} labs are running ({}): name one with `--lab NAME`", names(&labs))))
            }
        };
    };
    let file = Path::new(choice).canonicalize().ok();
    let is_it = |lab: &LabInfo| lab.name == choice || (file.is_some() && lab.file == file);
    if let Some(index) = labs.iter().position(is_it) {
        return Ok(labs.swap_remove(index));
    }
    if labs.is_empty() {
        bail!("no lab is running, so none is {choice:?}; `netspace up LAB` starts one");
    }
    bail!("no lab {choice:?} is running; running: {}", names(&labs));
}
