//! Captures: one pcapng file for each interface, written as frames pass.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use netspace_base::{DevId, NsId};
use netspace_observe::{Direction, Interface, InterfaceId, LinkType, PcapNg};
use netspace_stack::Tap;

use super::World;
use super::tap::FrameSink;

/// What a capture has come to, as its starter can ask.
#[derive(Clone, Debug, Default)]
pub struct CaptureState {
    /// Files written, in the order in which their first frame came.
    pub files: Vec<PathBuf>,
    /// Frames written.
    pub frames: u64,
    /// Frames that could not be written, and why the first could not.
    pub lost: u64,
    /// The first error.
    pub error: Option<String>,
}

/// Asks a running capture how it goes.
#[derive(Clone, Debug, Default)]
pub struct CaptureHandle(Arc<Mutex<CaptureState>>);

impl CaptureHandle {
    /// How it goes.
    pub fn state(&self) -> CaptureState {
        self.0.lock().map(|s| s.clone()).unwrap_or_default()
    }

    fn change(&self, change: impl FnOnce(&mut CaptureState)) {
        if let Ok(mut state) = self.0.lock() {
            change(&mut state);
        }
    }
}

type OpenFile = (PcapNg<BufWriter<File>>, InterfaceId);

struct Capture {
    directory: PathBuf,
    epoch: Duration,
    /// By host and device: `client-eth0` and its MAC.
    names: BTreeMap<(NsId, DevId), (String, [u8; 6])>,
    files: BTreeMap<(NsId, DevId), Option<OpenFile>>,
    unflushed: Vec<(NsId, DevId)>,
    state: CaptureHandle,
}

impl World {
    /// Writes every frame of every interface to `DIR/HOST-INTERFACE.pcapng` from now on. Loopback interfaces too.
    pub fn capture(&mut self, directory: &Path) -> io::Result<CaptureHandle> {
        std::fs::create_dir_all(directory)?;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Duration::from_nanos(self.now().as_nanos());
        let epoch = if self.is_virtual() { Duration::ZERO } else { since_1970.saturating_sub(now) };
        let mut names = BTreeMap::new();
        for (n, host) in self.hosts.iter().enumerate() {
            for device in host.netns.dev.iter() {
                let name = format!("{}-{}", host.name, device.name.replace('/', "_"));
                names.insert((NsId(n as u32), device.id), (name, device.mac));
            }
        }
        let state = CaptureHandle::default();
        self.add_tap(Box::new(Capture {
            directory: directory.to_owned(),
            epoch,
            names,
            files: BTreeMap::new(),
            unflushed: Vec::new(),
            state: state.clone(),
        }));
        Ok(state)
    }
}

impl Capture {
    fn open(&mut self, key: (NsId, DevId)) -> io::Result<OpenFile> {
        let fallback = (format!("host{}-dev{}", key.0.0, key.1.0), [0; 6]);
        let (name, mac) = self.names.get(&key).cloned().unwrap_or(fallback);
        let path = self.directory.join(format!("{name}.pcapng"));
        let mut file = PcapNg::new(BufWriter::new(File::create(&path)?), self.epoch)?;
        let interface = Interface {
            name: &name,
            description: "",
            mac: Some(mac).filter(|m| *m != [0; 6]),
            link_type: LinkType::Ethernet,
            snap_len: 0,
        };
        let id = file.add_interface(&interface)?;
        self.state.change(|s| s.files.push(path));
        Ok((file, id))
    }

    fn write(&mut self, tap: &Tap) -> io::Result<()> {
        let key = (tap.ns, tap.dev);
        if !self.files.contains_key(&key) {
            let opened = self.open(key);
            let (file, error) = match opened {
                Ok(file) => (Some(file), None),
                Err(error) => (None, Some(error)),
            };
            self.files.insert(key, file);
            if let Some(error) = error {
                return Err(error);
            }
        }
        let Some(Some((file, id))) = self.files.get_mut(&key) else {
            return Err(io::Error::other("the capture file could not be opened"));
        };
        let direction = if tap.outgoing { Direction::Out } else { Direction::In };
        file.write_pkt(*id, tap.at, Some(direction), &tap.frame, None)?;
        if !self.unflushed.contains(&key) {
            self.unflushed.push(key);
        }
        Ok(())
    }
}

impl FrameSink for Capture {
    fn frame(&mut self, tap: &Tap) {
        match self.write(tap) {
            Ok(()) => self.state.change(|s| s.frames += 1),
            Err(error) => self.state.change(|s| {
                s.lost += 1;
                s.error.get_or_insert_with(|| error.to_string());
            }),
        }
    }

    fn idle(&mut self) {
        for key in std::mem::take(&mut self.unflushed) {
            if let Some(Some((file, _))) = self.files.get_mut(&key)
                && let Err(error) = file.flush()
            {
                self.state.change(|s| {
                    s.error.get_or_insert_with(|| error.to_string());
                });
            }
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.idle();
    }
}
