//! The calls of packet sockets.

use bytes::Bytes;
use netspace_base::{ChecksumState, Detail, DevId, Point};
use netspace_wire::MacAddr;
use netspace_wire::ethernet::{ETHERTYPE_VLAN, EthernetRepr, HEADER_LEN};

use super::PacketId;
use super::deliver::{device_up, link_type, sent_by};
use super::fanout::{FanoutFlags, FanoutMode};
use super::state::{
    Frame, LinkAddr, MAX_SOCKETS, Member, MemberKind, PacketInfo, PacketSocket, PacketStats, PacketType,
};
use crate::dev;
use crate::error::SockError;
use crate::sock::{BpfInsn, Owner, Readiness, bpf};
use crate::{Netns, Turn};

/// The length of an IEEE 802.1Q tag, which a frame may have beyond the MTU.
const VLAN_LEN: usize = 4;

// ---- The calls -----------------------------------------------------------------------------------------------------
impl Netns {
    /// socket(2) of `AF_PACKET`: takes frames of `protocol` (an EtherType, [`super::ETH_P_ALL`], 0 for none) of all
    /// devices until it is bound.
    pub fn packet_socket(&mut self, ty: PacketType, protocol: u16) -> Result<PacketId, SockError> {
        if self.packets.table.len() >= MAX_SOCKETS {
            return Err(SockError::NoBuffers);
        }
        let rcvbuf = self.sock_sysctls().rmem_default;
        Ok(self.packets.table.insert(PacketSocket::new(ty, protocol, rcvbuf)))
    }

    /// bind(2): to a device ([`DevId::NONE`]: all), and to a protocol (0: as it was).
    pub fn packet_bind(&mut self, id: PacketId, dev: DevId, protocol: u16) -> Result<(), SockError> {
        let down = match self.dev.get(dev) {
            Some(device) => !device.is_up(),
            None if dev == DevId::NONE => false,
            None => return Err(SockError::NoDevice),
        };
        let socket = self.packets.get_mut(id)?;
        if socket.fanout.is_some() {
            return Err(SockError::Invalid);
        }
        socket.dev = (dev != DevId::NONE).then_some(dev);
        if protocol != 0 {
            socket.protocol = protocol;
        }
        // Linux binds to a device that is down, and has the next call tell.
        socket.error = down.then_some(SockError::NetworkDown);
        Ok(())
    }

    /// getsockname(2): protocol and device, with its address and the kind of its link (`ARPHRD_…`; 0: of no device).
    pub fn packet_name(&self, id: PacketId) -> Result<(LinkAddr, u16), SockError> {
        let socket = self.packets.get(id)?;
        let dev = socket.dev.unwrap_or(DevId::NONE);
        let device = self.dev.get(dev);
        let mac = device.map_or([0; 6], |device| device.mac);
        Ok((LinkAddr { dev, protocol: socket.protocol, mac }, device.map_or(0, link_type)))
    }

    /// sendmsg(2): a frame by the device that `to` or bind names. Gives how many bytes were taken.
    pub fn packet_send(
        &mut self,
        t: &mut Turn,
        id: PacketId,
        to: Option<LinkAddr>,
        data: Bytes,
    ) -> Result<usize, SockError> {
        let socket = self.packets.get_mut(id)?;
        socket.error.take().map_or(Ok(()), Err)?;
        let (ty, bound) = (socket.ty, socket.dev);
        let protocol = to.map_or(socket.protocol, |to| to.protocol);
        let dev = to.map(|to| to.dev).filter(|&dev| dev != DevId::NONE).or(bound).unwrap_or(DevId::NONE);
        let device = device_up(self, dev)?;
        let (len, room) = (data.len(), device.mtu as usize);
        let tagged = data.get(12..14) == Some(&ETHERTYPE_VLAN.to_be_bytes()[..]);
        let header = match ty {
            PacketType::Raw => {
                if len < HEADER_LEN {
                    return Err(SockError::Invalid);
                }
                if len > room + HEADER_LEN + if tagged { VLAN_LEN } else { 0 } {
                    return Err(SockError::MessageSize);
                }
                None
            }
            PacketType::Dgram => {
                if len > room {
                    return Err(SockError::MessageSize);
                }
                let dst = MacAddr(to.map_or([0; 6], |to| to.mac));
                Some(EthernetRepr { dst, src: MacAddr(device.mac), ethertype: protocol })
            }
        };
        let mut pkt = t.new_pkt();
        pkt.dev = dev;
        pkt.checksum = ChecksumState::Unnecessary;
        pkt.append_frag(data);
        match header {
            Some(header) => header.emit(pkt.push(HEADER_LEN)),
            None if !pkt.pull_linear(HEADER_LEN) => return Err(SockError::Invalid),
            None => {}
        }
        if let Ok((eth, _)) = EthernetRepr::parse(pkt.data()) {
            pkt.protocol = eth.ethertype;
        }
        t.trace.socket(t.now, self.id, Point::SocketSend, || Detail::Bytes(len as u64));
        sent_by(self, id, |ns| {
            let step = dev::send::send(ns, t, pkt);
            ns.finish(t, step);
        });
        Ok(len)
    }

    /// recvmsg(2), never blocking: the next frame.
    pub fn packet_recv(&mut self, id: PacketId, peek: bool) -> Result<Frame, SockError> {
        let socket = self.packets.get_mut(id)?;
        socket.error.take().map_or(Ok(()), Err)?;
        socket.take(peek).ok_or(SockError::WouldBlock)
    }

    /// The last descriptor was closed.
    pub fn packet_close(&mut self, id: PacketId) {
        let Some(socket) = self.packets.table.remove(id) else { return };
        for (member, _) in socket.members {
            self.ask_device(member, false);
        }
        if let Some(number) = socket.fanout {
            self.packets.groups.leave(number, id);
        }
    }
}

// ---- What is asked of them, and told ---------------------------------------------------------------------------------
impl Netns {
    /// What poll(2) would tell.
    pub fn packet_readiness(&self, id: PacketId) -> Readiness {
        let Ok(socket) = self.packets.get(id) else { return Readiness::ERR | Readiness::HUP };
        let mut ready = Readiness::OUT;
        ready.set(Readiness::IN, !socket.queue.is_empty());
        ready.set(Readiness::ERR, socket.error.is_some());
        ready
    }

    /// `SO_ERROR`.
    pub fn packet_take_error(&mut self, id: PacketId) -> Option<SockError> {
        self.packets.get_mut(id).ok()?.error.take()
    }

    /// Bytes of the first frame that waits (`FIONREAD`).
    pub fn packet_queue_len(&self, id: PacketId) -> usize {
        self.packets.get(id).ok().and_then(|socket| socket.queue.front()).map_or(0, Frame::captured)
    }

    /// `SO_ATTACH_FILTER`; none takes it off (`SO_DETACH_FILTER`).
    pub fn packet_filter(&mut self, id: PacketId, insns: Option<&[BpfInsn]>) -> Result<(), SockError> {
        let program = insns.map(bpf::Program::new).transpose()?;
        let socket = self.packets.get_mut(id)?;
        if socket.filter_locked {
            return Err(SockError::NotPermitted);
        }
        if program.is_none() && socket.filter.is_none() {
            return Err(SockError::NoEntry);
        }
        socket.filter = program;
        Ok(())
    }

    /// `SO_LOCK_FILTER`, which cannot be taken back.
    pub fn packet_lock_filter(&mut self, id: PacketId, on: bool) -> Result<(), SockError> {
        let socket = self.packets.get_mut(id)?;
        if socket.filter_locked && !on {
            return Err(SockError::NotPermitted);
        }
        socket.filter_locked |= on;
        Ok(())
    }

    /// `PACKET_IGNORE_OUTGOING`.
    pub fn packet_ignore_outgoing(&mut self, id: PacketId, on: bool) -> Result<(), SockError> {
        self.packets.get_mut(id)?.ignore_outgoing = on;
        Ok(())
    }

    /// `SO_RCVBUF`, bytes as getsockopt tells them.
    pub fn packet_set_rcvbuf(&mut self, id: PacketId, bytes: u32) -> Result<(), SockError> {
        self.packets.get_mut(id)?.rcvbuf = bytes;
        Ok(())
    }

    /// `SO_RCVBUF`, bytes.
    pub fn packet_rcvbuf(&self, id: PacketId) -> Result<u32, SockError> {
        self.packets.get(id).map(|socket| socket.rcvbuf)
    }

    /// `PACKET_STATISTICS`: counts since the last time.
    pub fn packet_take_stats(&mut self, id: PacketId) -> Result<PacketStats, SockError> {
        Ok(std::mem::take(&mut self.packets.get_mut(id)?.stats))
    }

    /// `PACKET_ADD_MEMBERSHIP`; asked twice it must be dropped twice.
    pub fn packet_join(&mut self, id: PacketId, member: Member) -> Result<(), SockError> {
        if self.dev.get(member.dev).is_none() {
            return Err(SockError::NoDevice);
        }
        let members = &mut self.packets.get_mut(id)?.members;
        match members.iter_mut().find(|(other, _)| *other == member) {
            Some((_, count)) => *count += 1,
            None => {
                members.push((member, 1));
                self.ask_device(member, true);
            }
        }
        Ok(())
    }

    /// `PACKET_DROP_MEMBERSHIP`; what was not asked is dropped without a word, as on Linux.
    pub fn packet_leave(&mut self, id: PacketId, member: Member) -> Result<(), SockError> {
        let members = &mut self.packets.get_mut(id)?.members;
        let Some(at) = members.iter().position(|(other, _)| *other == member) else { return Ok(()) };
        members[at].1 -= 1;
        if members[at].1 == 0 {
            members.swap_remove(at);
            self.ask_device(member, false);
        }
        Ok(())
    }

    fn ask_device(&mut self, member: Member, on: bool) {
        let Some(device) = self.dev.get_mut(member.dev) else { return };
        let count = |n: &mut u32| *n = if on { *n + 1 } else { n.saturating_sub(1) };
        match member.kind {
            MemberKind::Promiscuous => count(&mut device.promiscuous),
            MemberKind::AllMulticast => count(&mut device.allmulti),
            MemberKind::Multicast(mac) | MemberKind::Unicast(mac) => device.take_station(mac, on),
        }
    }

    /// `PACKET_FANOUT`: joins a group, which is made if it does not exist.
    pub fn packet_fanout(
        &mut self,
        id: PacketId,
        number: u16,
        mode: FanoutMode,
        flags: FanoutFlags,
    ) -> Result<(), SockError> {
        let socket = self.packets.get(id)?;
        if socket.fanout.is_some() {
            return Err(SockError::Already);
        }
        if socket.protocol == 0 {
            return Err(SockError::Invalid);
        }
        let bound = (socket.protocol, socket.dev.unwrap_or(DevId::NONE).0);
        if !self.packets.groups.join(number, id, (mode, flags), bound) {
            return Err(SockError::Invalid);
        }
        self.packets.get_mut(id)?.fanout = Some(number);
        Ok(())
    }

    /// Tells who holds a socket.
    pub fn packet_set_owner(&mut self, id: PacketId, inode: u64, uid: u32) {
        if let Ok(socket) = self.packets.get_mut(id) {
            socket.owner = Owner { inode, uid };
        }
    }

    /// All packet sockets, for `ss -0` and `/proc/net/packet`.
    pub fn packet_sockets(&self) -> impl Iterator<Item = PacketInfo> {
        self.packets.table.values().map(|socket| PacketInfo {
            ty: socket.ty,
            protocol: socket.protocol,
            dev: socket.dev.unwrap_or(DevId::NONE),
            running: socket.protocol != 0,
            memory: socket.memory,
            owner: socket.owner,
        })
    }
}
