//! What a filter looks at: addresses, ports and protocols of an event's packet, as far as its first bytes tell.

use std::net::{IpAddr, Ipv4Addr};

use netspace_base::Event;
use netspace_wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, EthernetRepr};
use netspace_wire::ipv4::Ipv4Repr;
use netspace_wire::ipv6::Ipv6Repr;
use netspace_wire::ipv6::ext::Chain;
use netspace_wire::{MacAddr, arp, protocol, tcp, text};

/// What could be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Fields {
    /// The EtherType of the network header.
    pub(crate) ethertype: u16,
    /// Source and destination of the Ethernet header.
    pub(crate) macs: Option<(MacAddr, MacAddr)>,
    /// Source and destination (of ARP: sender and target).
    pub(crate) addrs: Option<(IpAddr, IpAddr)>,
    /// The transport protocol.
    pub(crate) protocol: Option<u8>,
    /// Source and destination port.
    pub(crate) ports: Option<(u16, u16)>,
    /// The ICMP or ICMPv6 type.
    pub(crate) icmp_type: Option<u8>,
}

impl Fields {
    pub(crate) fn of(event: &Event) -> Self {
        let mut fields = Self::default();
        if event.head.is_empty() {
            return fields;
        }
        let network = if event.protocol == 0 {
            fields.macs = EthernetRepr::parse(&event.head).ok().map(|(eth, _)| (eth.src, eth.dst));
            text::strip_link(&event.head)
        } else {
            Some((event.protocol, &event.head[..]))
        };
        if let Some((ethertype, bytes)) = network {
            fields.ethertype = ethertype;
            fields.network(bytes);
        }
        fields
    }

    fn network(&mut self, bytes: &[u8]) {
        match self.ethertype {
            ETHERTYPE_ARP => {
                if let Ok((arp, _)) = arp::ArpRepr::parse(bytes) {
                    self.addrs = Some((arp.sender_ip.into(), arp.target_ip.into()));
                }
            }
            ETHERTYPE_IPV4 => {
                let Ok((ip, len)) = Ipv4Repr::parse_quoted(bytes) else { return };
                self.addrs = Some((ip.src.into(), ip.dst.into()));
                self.transport(ip.protocol, (ip.fragment_offset == 0).then(|| &bytes[len..]));
            }
            ETHERTYPE_IPV6 => {
                let Ok((ip, _)) = Ipv6Repr::parse(bytes) else { return };
                self.addrs = Some((ip.src.into(), ip.dst.into()));
                let Ok(chain) = Chain::parse(bytes) else { return };
                let first = chain.fragment.is_none_or(|(f, _)| f.offset == 0);
                self.transport(chain.protocol, bytes.get(chain.offset..).filter(|_| first));
            }
            _ => {}
        }
    }

    fn transport(&mut self, proto: u8, header: Option<&[u8]>) {
        self.protocol = Some(proto);
        match proto {
            protocol::TCP | protocol::UDP | protocol::UDPLITE => self.ports = header.and_then(tcp::ports),
            protocol::ICMP | protocol::ICMPV6 => self.icmp_type = header.and_then(|h| h.first().copied()),
            _ => {}
        }
    }
}

/// An IPv4 address written as an IPv6 one counts as itself.
pub(crate) fn canonical(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(addr, |v4: Ipv4Addr| v4.into()),
        IpAddr::V4(_) => addr,
    }
}
