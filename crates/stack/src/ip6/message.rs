//! ICMPv6 messages of this host itself: made, counted, and those that are for the link put on it.

use netspace_base::{ChecksumState, Pkt};
use netspace_wire::MacAddr;
use netspace_wire::ethernet::ETHERTYPE_IPV6;
use netspace_wire::icmpv6::kind;

use crate::neigh::station;
use crate::snmp::Counter;
use crate::{Netns, Turn};

/// A message of ours, its checksum in place.
pub(crate) fn message(t: &mut Turn, bytes: &[u8]) -> Box<Pkt> {
    let mut pkt = t.new_pkt();
    pkt.append(bytes);
    pkt.protocol = ETHERTYPE_IPV6;
    pkt.checksum = ChecksumState::Unnecessary;
    pkt
}

/// Counts a message that is sent.
pub(crate) fn count_out(ns: &mut Netns, icmp_type: u8) {
    ns.snmp.inc(Counter::Icmp6OutMsgs);
    ns.snmp.inc(match icmp_type {
        kind::UNREACHABLE => Counter::Icmp6OutDestUnreachs,
        kind::PACKET_TOO_BIG => Counter::Icmp6OutPktTooBigs,
        kind::TIME_EXCEEDED => Counter::Icmp6OutTimeExcds,
        kind::PARAMETER_PROBLEM => Counter::Icmp6OutParmProblems,
        kind::ECHO_REQUEST => Counter::Icmp6OutEchos,
        kind::ECHO_REPLY => Counter::Icmp6OutEchoReplies,
        kind::MLD_QUERY => Counter::Icmp6OutGroupMembQueries,
        kind::MLD_REPORT => Counter::Icmp6OutGroupMembResponses,
        kind::MLD_DONE => Counter::Icmp6OutGroupMembReductions,
        kind::ROUTER_SOLICITATION => Counter::Icmp6OutRouterSolicits,
        kind::ROUTER_ADVERTISEMENT => Counter::Icmp6OutRouterAdvertisements,
        kind::NEIGHBOR_SOLICITATION => Counter::Icmp6OutNeighborSolicits,
        kind::NEIGHBOR_ADVERTISEMENT => Counter::Icmp6OutNeighborAdvertisements,
        kind::REDIRECT => Counter::Icmp6OutRedirects,
        kind::MLD_REPORT_V2 => Counter::Icmp6OutMldv2Reports,
        _ => return,
    });
}

/// Sends a finished packet of the stack itself (neighbour discovery, MLD: network header in front) to a station or group of
/// the link, without asking the routing tables.
pub(crate) fn send_on_link(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>, to: MacAddr) {
    count_request(ns, &pkt);
    let step = station::send(ns, t, pkt, to);
    ns.finish(t, step);
}

/// Counts a packet that goes out without asking the routing tables.
pub(crate) fn count_request(ns: &mut Netns, pkt: &Pkt) {
    ns.snmp.inc(Counter::Ip6OutRequests);
    ns.snmp.add(Counter::Ip6OutOctets, pkt.len() as u64);
}
