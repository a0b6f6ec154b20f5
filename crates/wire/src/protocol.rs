//! IP protocol numbers (IPv4's protocol and IPv6's next header; IANA "Protocol Numbers").

/// IPv6 hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// ICMP for IPv4.
pub const ICMP: u8 = 1;
/// Internet group management.
pub const IGMP: u8 = 2;
/// IPv4 in IP.
pub const IPIP: u8 = 4;
/// Transmission control.
pub const TCP: u8 = 6;
/// User datagrams.
pub const UDP: u8 = 17;
/// IPv6 in IP.
pub const IPV6: u8 = 41;
/// IPv6 routing header.
pub const ROUTING: u8 = 43;
/// IPv6 fragment header.
pub const FRAGMENT: u8 = 44;
/// Generic routing encapsulation.
pub const GRE: u8 = 47;
/// Encapsulating security payload.
pub const ESP: u8 = 50;
/// Authentication header.
pub const AH: u8 = 51;
/// ICMP for IPv6.
pub const ICMPV6: u8 = 58;
/// IPv6: nothing follows.
pub const NO_NEXT: u8 = 59;
/// IPv6 destination options.
pub const DESTINATION: u8 = 60;
/// SCTP.
pub const SCTP: u8 = 132;
/// UDP-Lite.
pub const UDPLITE: u8 = 136;
/// Raw IP (`IPPROTO_RAW`; reserved, never on the wire).
pub const RAW: u8 = 255;

/// The protocol's name as tcpdump and `/etc/protocols` write it.
pub fn name(protocol: u8) -> Option<&'static str> {
    Some(match protocol {
        HOP_BY_HOP => "hopopt",
        ICMP => "icmp",
        IGMP => "igmp",
        IPIP => "ipip",
        TCP => "tcp",
        UDP => "udp",
        IPV6 => "ipv6",
        ROUTING => "ipv6-route",
        FRAGMENT => "ipv6-frag",
        GRE => "gre",
        ESP => "esp",
        AH => "ah",
        ICMPV6 => "ipv6-icmp",
        NO_NEXT => "ipv6-nonxt",
        DESTINATION => "ipv6-opts",
        SCTP => "sctp",
        UDPLITE => "udplite",
        RAW => "raw",
        _ => return None,
    })
}
