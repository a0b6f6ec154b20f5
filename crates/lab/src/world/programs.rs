//! Programs on the hosts: the door, and what it asks of the world.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use netspace_base::{Instant, NsId};
use netspace_door::{Door, Launch, LaunchError, ProgramId, Refused};
use netspace_stack::packet::PacketId;
use netspace_stack::sock::SockId;
use netspace_stack::{Netns, Turn};
use netspace_uapi::{Errno, files};

use super::World;
use super::poller::Poller;

/// The door, if there is one, and what the loop waits on.
#[derive(Default)]
pub(super) struct Programs {
    door: Option<Door>,
    poller: Option<Poller>,
    exits: Vec<(ProgramId, ExitStatus)>,
}

impl Programs {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.door.as_ref().and_then(Door::next_timeout)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.door.as_ref().is_some_and(Door::is_busy)
    }

    /// Waits for a program or a watched descriptor; the tokens of the descriptors that are ready.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Vec<u64>> {
        match (&mut self.door, &self.poller) {
            (Some(door), Some(poller)) => {
                if door.wait(timeout)? {
                    poller.wait(Some(Duration::ZERO))
                } else {
                    Ok(Vec::new())
                }
            }
            (_, Some(poller)) => poller.wait(timeout),
            (_, None) => Poller::new()?.wait(timeout),
        }
    }

    pub(super) fn poller_or_new(&mut self) -> io::Result<&Poller> {
        if self.poller.is_none() {
            self.poller = Some(Poller::new()?);
        }
        self.poller.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl World {
    /// Gives the world its door, so that programs can run on its hosts. Not for virtual time: programs live by the
    /// machine's clock.
    pub fn attach_door(&mut self, door: Door) -> io::Result<()> {
        if self.is_virtual() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "programs cannot run in virtual time"));
        }
        door.attach(self.programs.poller_or_new()?.fd())?;
        self.programs.door = Some(door);
        Ok(())
    }

    /// Whether programs can be launched.
    pub const fn has_door(&self) -> bool {
        self.programs.door.is_some()
    }

    /// Starts a program.
    pub fn launch(&mut self, launch: Launch) -> Result<ProgramId, LaunchError> {
        let mut door = self.programs.door.take().ok_or_else(|| LaunchError::Setup {
            stage: netspace_door::Stage::Fork,
            error: io::Error::new(io::ErrorKind::NotConnected, "this lab has no door"),
        })?;
        let result = door.launch(self, launch);
        self.settle();
        self.programs.door = Some(door);
        result
    }

    /// Programs that have ended since the last call, and how.
    pub fn take_exits(&mut self) -> Vec<(ProgramId, ExitStatus)> {
        std::mem::take(&mut self.programs.exits)
    }

    /// Sends a signal to a program, or to its whole process group.
    pub fn signal(&self, program: ProgramId, signal: i32, group: bool) -> io::Result<()> {
        self.programs.door.as_ref().map_or(Ok(()), |door| door.signal(program, signal, group))
    }

    /// Programs that run: their number, process number and host.
    pub fn programs(&self) -> Vec<(ProgramId, u32, NsId)> {
        self.programs.door.as_ref().map(|door| door.programs().collect()).unwrap_or_default()
    }

    /// Calls that were refused, and how often.
    pub fn refused(&self) -> Vec<(Refused, u64)> {
        let report = self.programs.door.as_ref().map(Door::report);
        report.map(|r| r.iter().map(|(refused, n)| (refused.clone(), n)).collect()).unwrap_or_default()
    }

    /// Closes the door: every program that still runs is killed.
    pub fn close_door(&mut self) {
        self.programs.door = None;
    }

    /// Lets the door do what there is to do.
    pub(super) fn poll_programs(&mut self) {
        let Some(mut door) = self.programs.door.take() else { return };
        door.poll(self);
        if door.next_timeout().is_some_and(|at| at <= self.clock.now()) {
            door.on_timeout(self);
        }
        self.programs.exits.extend(door.take_exits());
        self.programs.door = Some(door);
        self.settle();
    }

    /// Tells the door of a wake; false if there is none.
    pub(super) fn program_wake(&mut self, ns: NsId, sock: SockId) -> bool {
        let Some(mut door) = self.programs.door.take() else { return false };
        door.on_wake(self, ns, sock);
        self.programs.door = Some(door);
        self.settle();
        true
    }

    /// The same of a packet socket, which only programs have.
    pub(super) fn packet_wake(&mut self, ns: NsId, sock: PacketId) {
        let Some(mut door) = self.programs.door.take() else { return };
        door.on_packet_wake(self, ns, sock);
        self.programs.door = Some(door);
        self.settle();
    }
}

impl netspace_door::World for World {
    fn host(&mut self, ns: NsId) -> (&mut Netns, &mut Turn) {
        self.lend(ns)
    }

    fn file(&mut self, ns: NsId, path: &str) -> Option<Vec<u8>> {
        self.view(ns, path)
    }

    fn list(&mut self, ns: NsId, path: &str) -> Option<Vec<(String, bool)>> {
        files::list(&self.hosts[ns.0 as usize].netns, path)
    }

    fn write_file(&mut self, ns: NsId, path: &str, content: &[u8]) -> Result<(), Errno> {
        self.write_view(ns, path, content)
    }

    fn hostname(&self, ns: NsId) -> String {
        self.hosts[ns.0 as usize].name.clone()
    }
}
