//! Where a packet's headers lie, told from its first bytes.

use std::net::IpAddr;

use netspace_base::Pkt;

use crate::ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_QINQ, ETHERTYPE_VLAN};
use crate::ipv4::Ipv4Repr;
use crate::ipv6::ext::Chain;
use crate::ipv6::{self, Ipv6Repr};
use crate::{checksum, protocol, u16_at};

/// The transport header of a packet. Offsets count from the start of the packet's data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transport {
    /// Where the network header starts.
    pub(crate) network: usize,
    /// The transport protocol.
    pub(crate) protocol: u8,
    /// Where the transport header starts.
    pub(crate) offset: usize,
    /// Transport header and payload, bytes, as the network header says, clipped to what there is.
    pub(crate) len: usize,
    src: IpAddr,
    dst: IpAddr,
}

impl Transport {
    /// Whether the network header is IPv4's.
    pub(crate) const fn is_v4(&self) -> bool {
        self.src.is_ipv4()
    }

    /// The sum of its pseudo-header; 0 where the checksum covers none.
    pub(crate) fn pseudo_sum(&self) -> u32 {
        self.pseudo_sum_for(self.len)
    }

    /// The same, if the transport length were `len`.
    pub(crate) fn pseudo_sum_for(&self, len: usize) -> u32 {
        if matches!(self.protocol, protocol::ICMP | protocol::IGMP) {
            return 0;
        }
        checksum::pseudo_header(self.src, self.dst, self.protocol, len)
    }
}

/// Where the network header starts: behind an Ethernet header (and VLAN tags) if the data starts at one, else at 0. The
/// packet's marks tell: it starts at an Ethernet header if the mark of one lies there, or if the mark of its network header
/// lies exactly one Ethernet header further.
pub(crate) fn network_offset(pkt: &Pkt) -> usize {
    let data = pkt.data();
    let ethernet = pkt.mac_header().is_some_and(|h| h.len() == data.len())
        || (pkt.network_header().len() + ethernet::HEADER_LEN == data.len() && !looks_like_ip(data));
    if !ethernet {
        return 0;
    }
    let mut at = ethernet::HEADER_LEN;
    while at < ethernet::HEADER_LEN + 8
        && matches!(u16_at(data, at - 2), Some(ETHERTYPE_VLAN | ETHERTYPE_QINQ))
    {
        at += 4;
    }
    at
}

/// Whether an EtherType's place holds none that we know: then the data starts at the network header in spite of a mark
/// that lies 14 bytes further.
fn looks_like_ip(data: &[u8]) -> bool {
    !matches!(
        u16_at(data, ethernet::HEADER_LEN - 2),
        Some(ETHERTYPE_IPV4 | ETHERTYPE_IPV6 | ETHERTYPE_VLAN | ETHERTYPE_QINQ)
    )
}

/// The transport header of a packet that starts at its Ethernet or network header. None for fragments, whose checksum
/// covers more than is here, and for what is not IP.
pub(crate) fn transport(pkt: &Pkt) -> Option<Transport> {
    let network = network_offset(pkt);
    let header = pkt.data().get(network..)?;
    let there = pkt.len() - network;
    if header.first()? >> 4 == 4 {
        let (ip, len) = Ipv4Repr::parse_quoted(header).ok()?;
        let end = usize::from(ip.total_len).min(there);
        // A GSO packet longer than 64 KiB says 0, as on Linux.
        let end = if ip.total_len == 0 { there } else { end };
        return (!ip.is_fragment() && end >= len).then(|| Transport {
            network,
            protocol: ip.protocol,
            offset: network + len,
            len: end - len,
            src: ip.src.into(),
            dst: ip.dst.into(),
        });
    }
    let (ip, _) = Ipv6Repr::parse(header).ok()?;
    let chain = Chain::parse(header).ok()?;
    let end = (ipv6::HEADER_LEN + usize::from(ip.payload_len)).min(there);
    let end = if ip.payload_len == 0 { there } else { end };
    let whole = chain.fragment.is_none_or(|(f, _)| f.is_atomic());
    (whole && end >= chain.offset).then(|| Transport {
        network,
        protocol: chain.protocol,
        offset: network + chain.offset,
        len: end - chain.offset,
        src: ip.src.into(),
        dst: ip.dst.into(),
    })
}
