//! A link between two namespaces of the kernel: frames are carried between two TAP devices by the impairments that a
//! lab's links have, with the same seed.
//!
//! ```text
//! namespace of one process ── eth0 (TAP) ── relay: LinkDirection ×2 ── eth0 (TAP) ── namespace of the other
//! ```
//! Needs root. The devices are made in a namespace of the relay's own and go with it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use netspace_base::{Instant, Pkt, PktId, Rng, Seed};
use netspace_sched::{Impairment, LinkDirection, LinkStats};

/// The longest frame: a TAP without offloads carries none beyond the MTU.
const FRAME_MAX: usize = 2048;
/// How long the relay sleeps at most before it looks whether it shall end.
const LOOK: Duration = Duration::from_millis(20);

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<[LinkStats; 2]>>,
}

impl Relay {
    /// Joins the network namespaces of two processes by a link: each gets its end as `eth0`, down and without address.
    /// The chance is that of a lab's first link with this seed.
    pub fn between(pids: [u32; 2], settings: &Impairment, seed: u64) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (settings, asked) = (settings.clone(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let taps = match make_ends(pids) {
                Ok(taps) => taps,
                Err(error) => {
                    let _ = ready.send(Err(io::Error::other(error.to_string())));
                    return Err(error);
                }
            };
            let _ = ready.send(Ok(()));
            Wire::new(taps, &settings, Seed(seed)).run(&asked)
        });
        is_ready.recv().map_err(|_| io::Error::other("the relay ended"))??;
        Ok(Self { stop, thread })
    }

    /// Ends it; gives the counts towards each end.
    pub fn stop(self) -> io::Result<[LinkStats; 2]> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| io::Error::other("the relay panicked"))?
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Two TAP devices, made in a fresh namespace of this thread and moved to the processes' ones.
fn make_ends(pids: [u32; 2]) -> io::Result<[File; 2]> {
    // SAFETY: unshare(2) of this thread's network namespace; no memory is involved.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    let mut ends = Vec::new();
    for (n, pid) in pids.iter().enumerate() {
        let name = format!("relay{n}");
        ends.push(tap(&name)?);
        let pid = pid.to_string();
        let moved =
            Command::new("ip").args(["link", "set", &name, "netns", &pid, "name", "eth0"]).status()?;
        if !moved.success() {
            return Err(io::Error::other(format!("cannot move {name} to the namespace of {pid}")));
        }
    }
    ends.try_into().map_err(|_| io::Error::other("two ends"))
}

fn tap(name: &str) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: an all-zero ifreq is a valid value of this plain C struct.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes the ifreq, which lives until the call returns.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) })?;
    // SAFETY: plain fcntl(2) on a descriptor that is open.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) })?;
    Ok(file)
}

struct Wire {
    taps: [File; 2],
    towards: [LinkDirection; 2],
    rng: [Rng; 2],
    began: std::time::Instant,
    frames: u64,
}

impl Wire {
    fn new(taps: [File; 2], settings: &Impairment, seed: Seed) -> Self {
        Self {
            taps,
            towards: [0, 1].map(|_| LinkDirection::new(settings.clone())),
            rng: [0, 1].map(|end| seed.stream("link", end)),
            began: std::time::Instant::now(),
            frames: 0,
        }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn run(mut self, stop: &AtomicBool) -> io::Result<[LinkStats; 2]> {
        while !stop.load(Ordering::Relaxed) {
            for end in [0, 1] {
                self.take_in(end)?;
            }
            for end in [0, 1] {
                self.give_out(end);
            }
            self.wait()?;
        }
        Ok([0, 1].map(|end| *self.towards[end].stats()))
    }

    /// Takes all frames that the device at `end` sends.
    fn take_in(&mut self, end: usize) -> io::Result<()> {
        let mut frame = [0; FRAME_MAX];
        loop {
            match self.taps[end].read(&mut frame) {
                Ok(len) => {
                    self.frames += 1;
                    let pkt = Pkt::from_slice(PktId(self.frames), &frame[..len]);
                    let (now, to) = (self.now(), 1 - end);
                    self.towards[to].send(now, pkt, &mut self.rng[to]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The device is down, or its namespace is gone: nothing can come.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EIO | libc::EBADFD)) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives the device at `end` what has arrived; what it does not take is lost, as on a device that is down.
    fn give_out(&mut self, end: usize) {
        let now = self.now();
        while let Some(pkt) = self.towards[end].arrive(now) {
            let _ = self.taps[end].write(pkt.data());
        }
    }

    fn wait(&self) -> io::Result<()> {
        let next = self.towards.iter().filter_map(LinkDirection::next_event).min();
        let sleep = next.map_or(LOOK, |at| at.saturating_since(self.now()).min(LOOK));
        let wanted = |tap: &File| libc::pollfd { fd: tap.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let mut polled = [wanted(&self.taps[0]), wanted(&self.taps[1])];
        let timeout = libc::timespec {
            tv_sec: sleep.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(sleep.subsec_nanos() as i32),
        };
        // SAFETY: the array and the timeout live until the call returns; no signal mask is given.
        check(unsafe { libc::ppoll(polled.as_mut_ptr(), 2, &raw const timeout, std::ptr::null()) })
    }
}
