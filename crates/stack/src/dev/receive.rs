//! From the link to the protocols: ring, poll, ingress.

use netspace_base::{DevId, DropReason, Pkt, PktType, Point};
use netspace_wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, EthernetRepr};

use super::Device;
use super::gro::Gro;
use super::tap::tap;
use crate::netns::{Reentry, Refused};
use crate::{Netns, Step, Stop, Turn, icmp, packet};

/// A frame comes off the link into the receive ring.
pub(crate) fn ring(ns: &mut Netns, t: &mut Turn, dev: DevId, mut pkt: Box<Pkt>) -> Step {
    pkt.dev = dev;
    pkt.pkt_type = PktType::Host;
    pkt.received_at = t.now;
    pkt.mark = 0;
    pkt.set_mac_header();
    let Some(device) = ns.dev.get_mut(dev).filter(|d| d.is_running()) else {
        return Err(Stop::Drop(pkt, DropReason::DevDown));
    };
    // As a network card does, frames for groups that nobody here has joined and for other stations end before the ring,
    // unless somebody wants to see everything.
    let sees_all = device.capture || device.master.is_some() || device.promiscuous > 0;
    if let Some(reason) = filtered(device, &pkt).filter(|_| !sees_all) {
        return Err(Stop::Drop(pkt, reason));
    }
    if device.ring.len() >= device.ring_limit {
        device.stats.rx_dropped += 1;
        return Err(Stop::Drop(pkt, DropReason::RxRingFull));
    }
    t.trace.at(t.now, ns.id, Point::RingReceive, &pkt);
    device.ring.push_back(pkt);
    if !device.scheduled {
        device.scheduled = true;
        ns.dev.poll.push_back(dev);
    }
    Err(Stop::Taken)
}

/// What the device's address filter says against a frame.
fn filtered(device: &Device, pkt: &Pkt) -> Option<DropReason> {
    let dst: [u8; 6] = *pkt.data().first_chunk()?;
    if dst == device.mac || dst == [0xff; 6] {
        return None;
    }
    if dst[0] & 1 == 0 {
        return (!device.takes_station(dst)).then_some(DropReason::OtherHost);
    }
    (!device.takes_group(dst)).then_some(DropReason::GroupNotJoined)
}

/// Takes up to `budget` frames from one device's ring, at most the device's weight; tells how many.
pub(crate) fn poll(ns: &mut Netns, t: &mut Turn, dev: DevId, budget: usize) -> usize {
    let quota = budget.min(ns.sysctl.core.dev_weight as usize);
    let mut done = 0;
    let mut gro = Gro::default();
    while done < quota {
        let Some(device) = ns.dev.get_mut(dev) else { break };
        let joins = device.gro;
        let Some(pkt) = device.ring.pop_front() else { break };
        done += 1;
        match arrive(ns, t, pkt) {
            Ok(pkt) if joins => {
                let out = gro.add(ns, t, pkt);
                go_on(ns, t, out);
            }
            Ok(pkt) => go_on(ns, t, [pkt]),
            ended => ns.finish(t, ended),
        }
    }
    let rest = gro.flush();
    go_on(ns, t, rest);
    let Some(device) = ns.dev.get_mut(dev) else { return done };
    device.scheduled = !device.ring.is_empty();
    if device.scheduled {
        ns.dev.poll.push_back(dev);
    }
    done
}

fn go_on(ns: &mut Netns, t: &mut Turn, pkts: impl IntoIterator<Item = Box<Pkt>>) {
    for pkt in pkts {
        let step = frame(ns, t, pkt);
        ns.finish(t, step);
    }
}

/// A frame, its Ethernet header in front, is counted at its device.
fn arrive(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>) -> Step {
    t.trace.at(t.now, ns.id, Point::DevReceive, &pkt);
    let Some(device) = ns.dev.get_mut(pkt.dev) else { return Err(Stop::Drop(pkt, DropReason::DevDown)) };
    device.stats.rx_packets += 1;
    device.stats.rx_bytes += pkt.len() as u64;
    if device.capture {
        tap(t, ns.id, pkt.dev, false, &pkt);
    }
    let Some(device) = ns.dev.get_mut(pkt.dev) else { return Err(Stop::Drop(pkt, DropReason::DevDown)) };
    if !pkt.pull_linear(netspace_wire::ethernet::HEADER_LEN) {
        device.stats.rx_errors += 1;
        return Err(Stop::Drop(pkt, DropReason::EthTruncated));
    }
    Ok(pkt)
}

/// Ingress: a frame, or several joined, enters the stack at its device.
fn frame(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>) -> Step {
    let Some(device) = ns.dev.get(pkt.dev) else { return Err(Stop::Drop(pkt, DropReason::DevDown)) };
    let is_port = device.master.is_some();
    packet::deliver::all(ns, t, &pkt, false);
    if is_port {
        return super::bridge::receive(ns, t, pkt);
    }
    ingress(ns, t, pkt)
}

/// A frame is for the device in `pkt.dev` itself: whose is it, and which protocol takes it?
pub(crate) fn ingress(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>) -> Step {
    let Ok((eth, len)) = EthernetRepr::parse(pkt.data()) else {
        return Err(Stop::Drop(pkt, DropReason::EthTruncated));
    };
    let watched = packet::deliver::typed(ns, t, &pkt, eth.ethertype);
    let Some(device) = ns.dev.get_mut(pkt.dev) else { return Err(Stop::Drop(pkt, DropReason::DevDown)) };
    pkt.pkt_type = if eth.dst.is_broadcast() {
        PktType::Broadcast
    } else if eth.dst.is_multicast() {
        device.stats.multicast += 1;
        PktType::Multicast
    } else if eth.dst.0 == device.mac {
        PktType::Host
    } else {
        PktType::OtherHost
    };
    if pkt.pkt_type == PktType::Multicast && !device.takes_group(eth.dst.0) {
        return Err(Stop::Drop(pkt, DropReason::GroupNotJoined));
    }
    if pkt.pkt_type == PktType::OtherHost {
        return Err(Stop::Drop(pkt, DropReason::OtherHost));
    }
    pkt.protocol = eth.ethertype;
    pkt.pull(len);
    pkt.set_network_header();
    match by_ethertype(ns, t, pkt) {
        // A packet socket is its protocol.
        Err(Stop::Drop(pkt, DropReason::UnknownEtherType)) if watched => Ok(pkt),
        Err(Stop::Drop(pkt, DropReason::UnknownEtherType)) => {
            if let Some(device) = ns.dev.get_mut(pkt.dev) {
                device.stats.rx_dropped += 1;
            }
            Err(Stop::Drop(pkt, DropReason::UnknownEtherType))
        }
        step => step,
    }
}

/// Hands a packet (network header in front) to its protocol.
pub(crate) fn by_ethertype(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>) -> Step {
    match pkt.protocol {
        ETHERTYPE_IPV4 => crate::ip::receive::receive(ns, t, pkt),
        ETHERTYPE_IPV6 => crate::ip6::receive::receive(ns, t, pkt),
        ETHERTYPE_ARP => crate::neigh::arp::receive::receive(ns, t, pkt),
        _ => Err(Stop::Drop(pkt, DropReason::UnknownEtherType)),
    }
}

/// What waits in the backlog goes on where it was put off.
pub(crate) fn reenter(ns: &mut Netns, t: &mut Turn, how: Reentry, mut pkt: Box<Pkt>) -> Step {
    match how {
        Reentry::Loopback => {
            pkt.received_at = t.now;
            t.trace.at(t.now, ns.id, Point::DevReceive, &pkt);
            let Some(device) = ns.dev.get_mut(pkt.dev) else {
                return Err(Stop::Drop(pkt, DropReason::DevDown));
            };
            device.stats.rx_packets += 1;
            device.stats.rx_bytes += pkt.len() as u64;
            if device.capture {
                tap(t, ns.id, pkt.dev, false, &pkt);
            }
            packet::deliver::all(ns, t, &pkt, false);
            ingress(ns, t, pkt)
        }
        Reentry::Bridged => ingress(ns, t, pkt),
        Reentry::Looped => by_ethertype(ns, t, pkt),
    }
}

/// A packet that could not leave: its sender is told why before it is dropped.
pub(crate) fn refuse(ns: &mut Netns, t: &mut Turn, refused: Refused) -> Step {
    icmp::send_error(ns, t, &refused.pkt, refused.error);
    Err(Stop::Drop(refused.pkt, refused.reason))
}
