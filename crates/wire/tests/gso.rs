//! A GSO packet becomes frames that a real wire would carry.

mod common;

use common::{ethernet, ip4, ip6, payload, tcp, udp, wire_bytes};
use netspace_base::{ChecksumState, Gso, GsoKind, Pkt};
use netspace_wire::ipv4::Ipv4Repr;
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpRepr};
use netspace_wire::udp::UdpRepr;
use netspace_wire::{checksum, gso, protocol};

const ALL: TcpFlags = TcpFlags::ACK.union(TcpFlags::PSH).union(TcpFlags::FIN).union(TcpFlags::CWR);

fn big(v6: bool, with_ethernet: bool, kind: GsoKind) -> Box<Pkt> {
    let mut pkt = payload(4000);
    pkt.gso = Some(Gso { size: 1448, kind });
    pkt.mark = 9;
    let proto = match kind {
        GsoKind::Tcp | GsoKind::TcpAccurateEcn => {
            tcp(&mut pkt, ALL);
            protocol::TCP
        }
        GsoKind::Udp => {
            udp(&mut pkt);
            protocol::UDP
        }
    };
    if v6 {
        ip6(&mut pkt, proto);
    } else {
        ip4(&mut pkt, proto);
    }
    if with_ethernet {
        ethernet(&mut pkt);
    }
    pkt
}

#[test]
fn the_counter_of_accurate_ecn_stays_on_every_frame() {
    let cwr = |kind| {
        let flags = |pkt: Box<Pkt>| TcpRepr::parse(&pkt.copy_range(34, 60)).unwrap().0.flags;
        let frames = gso::cut(big(false, true, kind)).into_iter().map(flags);
        frames.map(|flags| flags.contains(TcpFlags::CWR)).collect::<Vec<_>>()
    };
    assert_eq!(cwr(GsoKind::Tcp), [true, false, false]);
    assert_eq!(cwr(GsoKind::TcpAccurateEcn), [true, true, true]);
}

#[test]
fn frames_carry_the_payload_once_with_right_checksums() {
    for v6 in [false, true] {
        for with_ethernet in [false, true] {
            for kind in [GsoKind::Tcp, GsoKind::Udp] {
                let pkt = big(v6, with_ethernet, kind);
                let whole = pkt.copy_range(0, pkt.len());
                let (count, bytes) = gso::frames_and_bytes(&pkt);
                let frames = gso::cut(pkt);
                assert_eq!((frames.len(), frames.iter().map(|f| f.len()).sum()), (count, bytes));
                let mut joined = Vec::new();
                let header_len = whole.len() - 4000;
                for mut frame in frames {
                    assert_eq!((frame.checksum, frame.mark), (ChecksumState::Partial, 9));
                    checksum::fill_checksum(&mut frame);
                    assert!(checksum::verify(&frame));
                    joined.extend(frame.copy_range(header_len, 9999));
                }
                assert_eq!(joined, whole[header_len..], "v6 {v6} ethernet {with_ethernet} {kind:?}");
            }
        }
    }
}

#[test]
fn tcp_headers_go_on_from_frame_to_frame() {
    let frames = gso::cut(big(false, true, GsoKind::Tcp));
    let mut seen = Vec::new();
    for frame in frames {
        let bytes = wire_bytes(frame);
        let (ip, ip_len) = Ipv4Repr::parse(&bytes[14..]).unwrap();
        let (tcp, tcp_len) = TcpRepr::parse(&bytes[14 + ip_len..]).unwrap();
        assert_eq!(usize::from(ip.total_len), bytes.len() - 14);
        seen.push((ip.id, tcp.seq, tcp.flags, ip.payload_len() - tcp_len));
    }
    let first = SeqNum(u32::MAX - 1000);
    let expected = vec![
        (0xfffe, first, TcpFlags::ACK | TcpFlags::CWR, 1448),
        (0xffff, first + 1448, TcpFlags::ACK, 1448),
        (0x0000, first + 2896, TcpFlags::ACK | TcpFlags::PSH | TcpFlags::FIN, 1104),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn udp_datagrams_get_their_own_lengths() {
    let lens: Vec<_> = (gso::cut(big(true, false, GsoKind::Udp)).into_iter())
        .map(|frame| UdpRepr::parse(&wire_bytes(frame)[40..]).unwrap().0.payload_len())
        .collect();
    assert_eq!(lens, [1448, 1448, 1104]);
}

#[test]
fn payload_is_shared_not_copied() {
    let pkt = big(false, true, GsoKind::Tcp);
    let first = pkt.frags()[0].as_ptr();
    assert_eq!(gso::cut(pkt)[0].frags()[0].as_ptr(), first);
}

#[test]
fn a_packet_that_fits_or_is_not_marked_comes_back_whole() {
    let mut pkt = big(false, true, GsoKind::Tcp);
    pkt.gso = Some(Gso { size: 4000, kind: GsoKind::Tcp });
    let whole = gso::cut(pkt);
    assert_eq!((whole.len(), whole[0].gso), (1, None));
    let mut pkt = big(false, true, GsoKind::Tcp);
    pkt.gso = None;
    assert_eq!(gso::cut(pkt).len(), 1);
}

#[test]
fn a_damaged_frame_fails_its_checksum() {
    let bytes = wire_bytes(gso::cut(big(true, true, GsoKind::Tcp)).remove(1));
    for bit in (14 + 8) * 8..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let mut pkt = Pkt::from_slice(netspace_base::PktId(1), &damaged);
        pkt.set_mac_header();
        assert!(!checksum::verify(&pkt), "bit {bit}");
        if bit > 200 * 8 {
            break;
        }
    }
}
