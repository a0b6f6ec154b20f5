//! Every reason for which a packet can end early: one table.
//!
//! A reason is built at exactly one place in the stack, so a reason is also a location.

use std::fmt;

/// The layer that dropped a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layer {
    /// Devices, rings, links, bridge.
    Link,
    /// ARP and NDP.
    Neighbour,
    /// IPv4, IPv6, ICMP, routing.
    Network,
    /// UDP, TCP.
    Transport,
    /// Socket queues.
    Socket,
}

/// What is known about a [`DropReason`].
#[derive(Clone, Copy, Debug)]
pub struct DropInfo {
    /// Short name in this project's words, as `trace` prints it (`ip-ttl-exceeded`).
    pub name: &'static str,
    /// The layer at which it happens.
    pub layer: Layer,
    /// Linux's `SKB_DROP_REASON_…` without the prefix, or "" where Linux has none.
    pub linux: &'static str,
    /// The SNMP counter that moves with it (`IpInHdrErrors`), or "".
    pub counter: &'static str,
    /// One sentence for a person.
    pub explanation: &'static str,
    /// Where it is specified, or "".
    pub source: &'static str,
}

macro_rules! drop_reasons {
    ($($variant:ident, $name:literal, $layer:ident, $linux:literal, $counter:literal, $explanation:literal, $source:literal;)*) => {
        /// Why a packet ended early.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum DropReason { $(#[doc = $explanation] $variant,)* }

        impl DropReason {
            /// All reasons, in the order of the packet's way.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];
            /// How many reasons there are.
            pub const COUNT: usize = Self::ALL.len();

            /// What is known about this reason.
            pub const fn info(self) -> &'static DropInfo {
                match self {
                    $(Self::$variant => &DropInfo {
                        name: $name, layer: Layer::$layer, linux: $linux, counter: $counter,
                        explanation: $explanation, source: $source,
                    },)*
                }
            }
        }
    };
}

drop_reasons! {
    // Link
    DevDown, "dev-down", Link, "DEV_READY", "", "The device is down.", "";
    NoCarrier, "no-carrier", Link, "", "", "The link is unplugged or down.", "";
    RxRingFull, "rx-ring-full", Link, "CPU_BACKLOG", "", "The device's receive ring was full.", "";
    TxRingFull, "tx-ring-full", Link, "FULL_RING", "", "The device's transmit ring was full.", "";
    FrameTooLong, "frame-too-long", Link, "PKT_TOO_BIG", "", "The frame is longer than the device's MTU allows.", "";
    EthTruncated, "eth-truncated", Link, "HDR_TRUNC", "", "The frame is shorter than an Ethernet header.", "IEEE 802.3";
    OtherHost, "other-host", Link, "OTHERHOST", "", "The frame is addressed to another host.", "";
    UnknownEtherType, "unknown-ethertype", Link, "UNHANDLED_PROTO", "", "No protocol here takes frames of this EtherType.", "";
    BacklogFull, "backlog-full", Link, "CPU_BACKLOG", "", "The namespace's backlog queue was full.", "";
    BridgeNoForward, "bridge-no-forward", Link, "", "", "The bridge has no port to forward the frame to.", "IEEE 802.1D";
    BridgeReserved, "bridge-reserved", Link, "", "", "The frame is addressed to a group that bridges do not forward (01:80:c2:00:00:0X).", "IEEE 802.1D";
    LinkLoss, "link-loss", Link, "", "", "The link lost the frame, as its loss setting asks.", "";
    LinkQueueFull, "link-queue-full", Link, "QDISC_DROP", "", "The link's queue was full: frames came faster than its rate.", "";
    LinkQueueDelay, "link-queue-delay", Link, "QDISC_CONGESTED", "", "The link's queue is managed: frames had waited too long for too long.", "RFC 8289";
    LinkDown, "link-down", Link, "", "", "The link went down while the frame was on its way.", "";
    LinkCorrupt, "link-corrupt", Link, "", "", "The frame was damaged on the link and its frame check failed.", "";
    GroupNotJoined, "group-not-joined", Link, "", "", "Nobody here has joined this multicast group.", "";
    // Neighbour
    ArpMalformed, "arp-malformed", Neighbour, "", "", "The ARP packet is malformed or not for Ethernet and IPv4.", "RFC 826";
    ArpNotForUs, "arp-not-for-us", Neighbour, "", "", "The ARP packet asks for an address that is not ours.", "RFC 826";
    ArpIgnored, "arp-ignored", Neighbour, "", "", "The ARP packet is one to ignore (a bad sender address).", "RFC 826";
    NeighQueueFull, "neigh-queue-full", Neighbour, "NEIGH_QUEUEFULL", "", "Too many packets were already waiting for the neighbour's address.", "RFC 1122 2.3.2.2";
    NeighFailed, "neigh-failed", Neighbour, "NEIGH_FAILED", "", "The neighbour did not answer: its link-layer address is unknown.", "RFC 4861 7.2.2";
    NeighTableFull, "neigh-table-full", Neighbour, "NEIGH_CREATEFAIL", "", "The neighbour table is full.", "";
    NdpInvalid, "ndp-invalid", Neighbour, "IPV6_NDISC_BAD_OPTIONS", "Icmp6InErrors", "The neighbour-discovery message fails its validity checks.", "RFC 4861 7.1";
    NdpNotForUs, "ndp-not-for-us", Neighbour, "", "", "The solicitation asks for an address that is not ours.", "RFC 4861 7.2.3";
    // Network
    IpTruncated, "ip-truncated", Network, "PKT_TOO_SMALL", "IpInTruncatedPkts", "The packet is shorter than its header says.", "RFC 791";
    IpHeader, "ip-header", Network, "IP_INHDR", "IpInHdrErrors", "The IPv4 header is malformed (version, length).", "RFC 791 3.1";
    IpChecksum, "ip-checksum", Network, "IP_CSUM", "IpInHdrErrors", "The IPv4 header checksum is wrong.", "RFC 791 3.1";
    IpOptions, "ip-options", Network, "IP_INHDR", "IpInHdrErrors", "The IPv4 options are malformed or not allowed.", "RFC 791 3.1";
    IpSourceInvalid, "ip-source-invalid", Network, "IP_INVALID_SOURCE", "IpInAddrErrors", "The source address may not be a source (multicast, broadcast, loopback, our own).", "RFC 1122 3.2.1.3";
    IpDestInvalid, "ip-dest-invalid", Network, "IP_INVALID_DEST", "IpInAddrErrors", "The destination address may not be a destination here.", "RFC 1122 3.2.1.3";
    ReversePath, "reverse-path", Network, "IP_RPFILTER", "IPReversePathFilter", "The reverse-path filter: a reply would not leave by the way this packet came.", "RFC 3704";
    NoRoute, "no-route", Network, "IP_INNOROUTES", "IpInNoRoutes", "No route to the destination.", "";
    NoRouteOut, "no-route-out", Network, "IP_OUTNOROUTES", "IpOutNoRoutes", "No route to the destination of a packet made here.", "";
    RouteProhibited, "route-prohibited", Network, "", "IpInNoRoutes", "The route says unreachable, prohibit or blackhole.", "";
    ForwardingOff, "forwarding-off", Network, "", "IpInAddrErrors", "The packet is for another host and this one does not forward (ip_forward = 0).", "RFC 1122 3.3.4.2";
    TtlExceeded, "ttl-exceeded", Network, "IP_TTL", "IpInHdrErrors", "The packet's time to live ran out here.", "RFC 1812 5.3.1";
    TooBig, "too-big", Network, "PKT_TOO_BIG", "IpFragFails", "The packet is larger than the next link's MTU and may not be fragmented.", "RFC 1191";
    FragmentFailed, "fragment-failed", Network, "", "IpFragFails", "The packet could not be cut into fragments.", "RFC 791 3.2";
    ReassemblyTimeout, "reassembly-timeout", Network, "FRAG_REASM_TIMEOUT", "IpReasmTimeout", "Some fragments of the packet did not come in time.", "RFC 1122 3.3.2";
    ReassemblyOverlap, "reassembly-overlap", Network, "DUP_FRAG", "IpReasmFails", "Fragments overlap or are out of bounds.", "RFC 5722";
    ReassemblyDuplicate, "reassembly-duplicate", Network, "DUP_FRAG", "", "The same fragment came twice.", "RFC 791 3.2";
    ReassemblyEcn, "reassembly-ecn", Network, "", "IpReasmFails", "Some fragments are ECN-capable and some are not.", "RFC 3168 5.3";
    ReassemblyMemory, "reassembly-memory", Network, "FRAG_TOO_FAR", "IpReasmFails", "The memory for incomplete packets is used up.", "";
    Ip6Header, "ip6-header", Network, "IP_INHDR", "Ip6InHdrErrors", "The IPv6 header is malformed.", "RFC 8200 3";
    Ip6Extension, "ip6-extension", Network, "UNHANDLED_PROTO", "Ip6InHdrErrors", "An IPv6 extension header is malformed or refused.", "RFC 8200 4";
    Ip6SourceInvalid, "ip6-source-invalid", Network, "IP_INVALID_SOURCE", "Ip6InAddrErrors", "The IPv6 source address may not be a source.", "RFC 4291 2.7";
    Ip6Disabled, "ip6-disabled", Network, "IPV6DISABLED", "Ip6InDiscards", "IPv6 is switched off on the device.", "";
    Ip6Tentative, "ip6-tentative", Network, "", "Ip6InAddrErrors", "The destination address is still being checked for duplicates.", "RFC 4862 5.4";
    ScopeExceeded, "scope-exceeded", Network, "", "Ip6InAddrErrors", "A link-local packet may not leave its link.", "RFC 4291 2.5.6";
    NoProtocol, "no-protocol", Network, "IP_NOPROTO", "IpInUnknownProtos", "Nobody here takes this IP protocol.", "RFC 1122 3.2.2.1";
    IcmpMalformed, "icmp-malformed", Network, "ICMP_CSUM", "IcmpInErrors", "The ICMP message is malformed.", "RFC 792";
    IcmpChecksum, "icmp-checksum", Network, "ICMP_CSUM", "IcmpInErrors", "The ICMP message's checksum is wrong.", "RFC 792";
    IcmpIgnored, "icmp-ignored", Network, "INVALID_PROTO", "", "The ICMP message is of a kind, or for a socket, that is not here.", "RFC 1122 3.2.2";
    IcmpRateLimited, "icmp-rate-limited", Network, "", "IcmpOutRateLimitGlobal", "An ICMP error was not sent because too many were sent already.", "RFC 1812 4.3.2.8";
    IgmpMalformed, "igmp-malformed", Network, "IGMP_CSUM", "", "The IGMP or MLD message is malformed.", "RFC 3376";
    PolicyRedirect, "redirect-ignored", Network, "", "", "The ICMP redirect is not one to follow.", "RFC 1122 3.2.2.2";
    // Transport
    UdpMalformed, "udp-malformed", Transport, "UDP_CSUM", "UdpInErrors", "The UDP header is malformed.", "RFC 768";
    UdpChecksum, "udp-checksum", Transport, "UDP_CSUM", "UdpInCsumErrors", "The UDP checksum is wrong.", "RFC 768";
    UdpNoPort, "udp-no-port", Transport, "NO_SOCKET", "UdpNoPorts", "No socket is bound to this UDP port.", "RFC 1122 4.1.3.1";
    UdpIgnoredMulti, "udp-ignored-multicast", Transport, "NO_SOCKET", "UdpIgnoredMulti", "No socket here takes datagrams to this group or broadcast address on this port.", "RFC 1122 3.3.6";
    UdpLiteMalformed, "udplite-malformed", Transport, "UDP_CSUM", "UdpLiteInErrors", "The UDP-Lite header is malformed, or says that more is covered than there is.", "RFC 3828 3.1";
    UdpLiteChecksum, "udplite-checksum", Transport, "UDP_CSUM", "UdpLiteInCsumErrors", "The UDP-Lite checksum is wrong or missing, or covers not even the header.", "RFC 3828 3.1";
    UdpLiteCoverage, "udplite-coverage", Transport, "UDP_CSUM", "", "The checksum covers less of the datagram than the socket asks for (UDPLITE_RECV_CSCOV).", "RFC 3828 3.2";
    UdpLiteNoPort, "udplite-no-port", Transport, "NO_SOCKET", "UdpLiteNoPorts", "No socket is bound to this UDP-Lite port.", "RFC 3828 3.1";
    UdpLiteIgnoredMulti, "udplite-ignored-multicast", Transport, "NO_SOCKET", "UdpLiteIgnoredMulti", "No socket here takes UDP-Lite datagrams to this group or broadcast address on this port.", "RFC 1122 3.3.6";
    TcpMalformed, "tcp-malformed", Transport, "PKT_TOO_SMALL", "TcpInErrs", "The TCP header is malformed.", "RFC 9293 3.1";
    TcpChecksum, "tcp-checksum", Transport, "TCP_CSUM", "TcpInCsumErrors", "The TCP checksum is wrong.", "RFC 9293 3.1";
    TcpNoSocket, "tcp-no-socket", Transport, "NO_SOCKET", "", "No socket takes this segment; a reset was sent.", "RFC 9293 3.10.7.1";
    TcpReset, "tcp-reset", Transport, "TCP_RESET", "", "The segment is a reset and has done its work, or there was nothing to reset.", "RFC 9293 3.10.7";
    TcpFlags, "tcp-flags", Transport, "TCP_FLAGS", "", "The flags make no sense in this state.", "RFC 9293 3.10.7";
    TcpListenOverflow, "tcp-listen-overflow", Transport, "TCP_LISTEN_OVERFLOW", "TcpExtListenOverflows", "The listening socket's accept queue is full.", "";
    TcpSynOverflow, "tcp-syn-overflow", Transport, "", "TcpExtListenDrops", "The listening socket's SYN queue is full.", "";
    TcpOldSequence, "tcp-old-sequence", Transport, "TCP_OLD_DATA", "", "All of the segment's data was received before.", "RFC 9293 3.10.7.4";
    TcpOutOfWindow, "tcp-out-of-window", Transport, "TCP_OVERWINDOW", "TcpExtTCPWinProbe", "The segment lies outside the receive window.", "RFC 9293 3.10.7.4";
    TcpPaws, "tcp-paws", Transport, "TCP_RFC7323_PAWS", "TcpExtPAWSEstab", "The segment's timestamp is older than the last one seen.", "RFC 7323 5";
    TcpBadAck, "tcp-bad-ack", Transport, "TCP_ACK_UNSENT_DATA", "", "The acknowledgement is for data that was never sent, or far too old.", "RFC 5961 5";
    TcpMemory, "tcp-memory", Transport, "PROTO_MEM", "TcpExtTCPRcvQDrop", "The socket's receive memory is used up.", "";
    TcpClosed, "tcp-closed", Transport, "TCP_CLOSE", "TcpExtTCPAbortOnData", "Data came for a socket whose program has closed it.", "RFC 9293 3.6.1";
    TcpTimeWait, "tcp-time-wait", Transport, "TCP_OLD_DATA", "", "An old segment of a connection in TIME-WAIT.", "RFC 9293 3.10.7.4";
    // Socket
    SocketFilter, "socket-filter", Socket, "SOCKET_FILTER", "", "The socket's own filter refused the packet.", "";
    SocketQueueFull, "socket-queue-full", Socket, "SOCKET_RCVBUFF", "UdpRcvbufErrors", "The socket's receive buffer was full: the program reads too slowly.", "";
    UdpLiteQueueFull, "udplite-queue-full", Socket, "SOCKET_RCVBUFF", "UdpLiteRcvbufErrors", "The UDP-Lite socket's receive buffer was full: the program reads too slowly.", "";
    NamespaceGone, "namespace-gone", Socket, "", "", "The host was shut down with the packet still queued.", "";
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info().name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_kebab_case_and_explained() {
        let mut names: Vec<_> = DropReason::ALL.iter().map(|r| r.info().name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DropReason::COUNT);
        for reason in DropReason::ALL {
            let info = reason.info();
            assert!(
                info.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{}",
                info.name
            );
            assert!(info.explanation.ends_with('.') && info.explanation.len() > 15, "{}", info.name);
        }
    }
}
