//! When a socket's last descriptor is closed.
//!
//! Of a connected stream the kernel tells us. Of the other stand-ins the door holds a descriptor itself, so it has to
//! look: after a close(2) of such a socket (it is trapped, and let through), when a process ends that used one, and
//! before an address is refused as being in use. A look walks the descriptors of the processes of one program.

use std::os::fd::AsFd;

use std::collections::{HashMap, HashSet};

use crate::door::{Door, Watch, World};
use crate::procfs;
use crate::sock::{Body, Key};
use crate::sys::{epoll, file, process};
use crate::watched::Suspect;

/// How long after a close(2) was let through the door looks, milliseconds.
const FIRST_LOOK_MS: u64 = 1;
/// How often it looks again at a descriptor that is still there: its thread has not run yet.
const MAX_LOOKS: u32 = 8;

/// How long a socket is taken to be open after it was known to be, milliseconds.
const TRUST_MS: u64 = 100;

impl Door {
    /// The end of the process of thread `tid` shall be told, for it has a socket that the door must look after.
    pub(crate) fn watch_process(&mut self, tid: u32) {
        if self.liveness.threads.contains_key(&tid) {
            return;
        }
        let Some(pid) = procfs::process_of(tid) else { return };
        self.liveness.threads.insert(tid, pid);
        if !self.liveness.processes.contains_key(&pid)
            && let Ok(fd) = process::pidfd(pid)
            && self.epoll.add(fd.as_fd(), epoll::IN, Watch::Process(pid).token()).is_ok()
        {
            self.liveness.processes.insert(pid, fd);
        }
    }

    pub(crate) fn on_process_gone(&mut self, pid: u32) {
        self.liveness.processes.remove(&pid);
        let threads: HashSet<u32> =
            self.liveness.threads.extract_if(|_, process| *process == pid).map(|(tid, _)| tid).collect();
        let keys: Vec<Key> = self
            .socks
            .iter()
            .filter(|(_, sock)| sock.is_held() && threads.contains(&sock.holder.0))
            .map(|(key, _)| key)
            .collect();
        keys.into_iter().for_each(|key| self.suspect(key));
    }

    /// A program has ended: what was its own may be closed.
    pub(crate) fn check_tree(&mut self, tree: usize) {
        let keys: Vec<Key> = self
            .socks
            .iter()
            .filter(|(_, sock)| sock.is_held() && sock.tree == tree)
            .map(|(key, _)| key)
            .collect();
        keys.into_iter().for_each(|key| self.suspect(key));
    }

    /// The socket may have been closed: look soon.
    pub(crate) fn suspect(&mut self, key: Key) {
        let Some(sock) = self.socks.get(key) else { return };
        if sock.is_held() && !self.liveness.suspects.iter().any(|s| s.key == key) {
            let at_ms = file::monotonic_ms() + FIRST_LOOK_MS;
            self.liveness.suspects.push(Suspect { key, inode: sock.inode, looks: 0, at_ms });
            self.set_timer();
        }
    }

    /// Looks at the suspects whose time has come.
    pub(crate) fn look_for_closed(&mut self, world: &mut dyn World, now: u64) {
        let (due, later) =
            std::mem::take(&mut self.liveness.suspects).into_iter().partition(|s| s.at_ms <= now);
        self.liveness.suspects = later;
        self.look_at(world, due, now);
    }

    /// Looks at all suspects at once: what comes next depends on what is open.
    pub(crate) fn look_now(&mut self, world: &mut dyn World) {
        if !self.liveness.suspects.is_empty() {
            let mut suspects = std::mem::take(&mut self.liveness.suspects);
            suspects.iter_mut().for_each(|suspect| suspect.at_ms = 0);
            self.look_at(world, suspects, file::monotonic_ms());
        }
    }

    /// Something has come for a socket that has not been heard of for a while: it may have been closed in a way that is
    /// not noticed. True if it was.
    pub(crate) fn was_closed(&mut self, world: &mut dyn World, key: Key) -> bool {
        let now = file::monotonic_ms();
        let Some(sock) = self.socks.get_mut(key) else { return true };
        if !sock.is_held() || !sock.waiting.is_empty() || now < sock.seen_ms + TRUST_MS {
            return false;
        }
        sock.seen_ms = now;
        if procfs::socket_inode(sock.holder.0, sock.holder.1) == Some(sock.inode) {
            return false;
        }
        let inode = sock.inode;
        self.look_at(world, vec![Suspect { key, inode, looks: MAX_LOOKS, at_ms: 0 }], now);
        self.socks.get(key).is_none_or(|sock| sock.inode != inode)
    }

    /// Looks at every held socket of the host, at once: an address that seems in use may have been given up. True if
    /// something was closed.
    pub(crate) fn look_at_host(&mut self, world: &mut dyn World, ns: netspace_base::NsId) -> bool {
        let before = self.socks.len();
        let suspects = self
            .socks
            .iter()
            .filter(|(_, sock)| sock.ns == ns && sock.is_held())
            .map(|(key, sock)| Suspect { key, inode: sock.inode, looks: MAX_LOOKS, at_ms: 0 })
            .collect();
        self.look_at(world, suspects, 0);
        self.socks.len() < before
    }

    fn look_at(&mut self, world: &mut dyn World, suspects: Vec<Suspect>, now: u64) {
        // The open sockets of each program's processes, walked once for all suspects.
        let mut open: HashMap<usize, HashSet<u64>> = HashMap::new();
        for mut suspect in suspects {
            let Some(sock) = self.socks.get(suspect.key) else { continue };
            if sock.inode != suspect.inode {
                continue;
            }
            let tree = sock.tree;
            let holder = procfs::socket_inode(sock.holder.0, sock.holder.1) == Some(suspect.inode);
            if holder && suspect.looks < MAX_LOOKS {
                suspect.looks += 1;
                suspect.at_ms = now + (FIRST_LOOK_MS << suspect.looks);
                self.liveness.suspects.push(suspect);
                continue;
            }
            let is_open = holder
                || open.entry(tree).or_insert_with(|| self.open_sockets_of(tree)).contains(&suspect.inode);
            if !is_open {
                self.close_sock(world, suspect.key);
            }
        }
    }

    /// The inodes of all sockets that a program's processes have open.
    fn open_sockets_of(&self, tree: usize) -> HashSet<u64> {
        let mut open = HashSet::new();
        for pid in self.processes_of(tree) {
            procfs::open_sockets(pid, |inode| {
                open.insert(inode);
            });
        }
        open
    }

    /// A program's processes, and those that programs have left behind.
    fn processes_of(&self, tree: usize) -> Vec<u32> {
        let roots = self.roots();
        let mut processes = self.trees.get(tree).map(|tree| procfs::tree(tree.pid)).unwrap_or_default();
        for orphan in procfs::children(self.init.pid()) {
            if !roots.contains(&orphan) {
                processes.extend(procfs::tree(orphan));
            }
        }
        processes
    }

    /// How many descriptors a program's processes have of a socket.
    pub(crate) fn copies(&self, tree: usize, inode: u64) -> usize {
        self.processes_of(tree).into_iter().map(|pid| procfs::copies(pid, inode)).sum()
    }

    /// No program has it open any more.
    fn close_sock(&mut self, world: &mut dyn World, key: Key) {
        let Some(sock) = self.socks.get_mut(key) else { return };
        if let Body::Stream(stream) = &mut sock.body {
            stream.set_closed();
            return self.pump(world, key);
        }
        let (ns, t) = world.host(sock.ns);
        if let Body::Packet(packet) = &mut sock.body {
            packet.pump_up(ns, t);
            ns.packet_close(packet.state.id);
        }
        if let Body::Datagram(datagram) = &mut sock.body
            && let Some(id) = sock.id
        {
            datagram.pump_up(ns, t, id);
        }
        if let Body::Listener(listener) = &mut sock.body {
            for (id, _) in listener.stash.drain(..) {
                ns.close(t, id);
            }
        }
        if let Some(id) = sock.id {
            ns.close(t, id);
        }
        self.forget(key);
    }

    /// Takes a socket out of the table. Calls that waited for it fail.
    pub(crate) fn forget(&mut self, key: Key) {
        let Some(sock) = self.socks.try_remove(key) else { return };
        if self.by_inode.get(&sock.inode) == Some(&key) {
            self.by_inode.remove(&sock.inode);
        }
        if let Some(id) = sock.id {
            self.by_id.remove(&(sock.ns, id));
        }
        if let Body::Packet(packet) = &sock.body {
            self.by_packet.remove(&(sock.ns, packet.state.id));
        }
        self.release_all(&sock.waiting);
    }
}
