//! What programs see in files, and what the lab asks of its hosts' sockets.

use netspace_base::NsId;
use netspace_uapi::{Errno, errno, files};

use crate::views;

use super::World;

/// Linux's number of the state LISTEN.
const LISTEN: u8 = 10;
/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// `IPPROTO_UDP`.
const UDP: u8 = 17;

impl World {
    /// What a file says on a host: names and resolving under `/etc`, the network's files under `/proc` and `/sys`. None if
    /// the lab has nothing to say about it.
    pub fn view(&mut self, ns: NsId, path: &str) -> Option<Vec<u8>> {
        let host = &self.hosts[ns.0 as usize];
        if let Some(text) = views::etc(&self.names, &host.name, path) {
            return Some(text.into_bytes());
        }
        if path == "/proc/sys/kernel/hostname" {
            return Some(format!("{}\n", host.name).into_bytes());
        }
        files::read(&host.netns, self.now(), path)
    }

    /// Writes a sysctl's file, unless there is none or it refuses the value.
    pub(super) fn write_view(&mut self, ns: NsId, path: &str, content: &[u8]) -> Result<(), Errno> {
        let (netns, turn) = self.lend(ns);
        let written = files::write(netns, turn, path, content).unwrap_or(Err(errno::ENOENT));
        self.settle();
        written
    }

    /// Whether a TCP socket listens on a port of a host, or a UDP socket is bound to it.
    pub fn listens(&self, ns: NsId, port: u16) -> bool {
        let sockets = self.hosts[ns.0 as usize].netns.sockets(self.now());
        sockets.iter().any(|s| {
            s.local.port() == port && ((s.protocol == TCP && s.state == LISTEN) || s.protocol == UDP)
        })
    }
}
