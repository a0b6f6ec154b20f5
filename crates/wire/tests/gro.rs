//! Frames that were cut are joined to what they were cut from, and to nothing else.

mod common;

use common::{ethernet, ip4, ip6, payload, tcp, udp, wire_bytes};
use netspace_base::{ChecksumState, Gso, GsoKind, Pkt};
use netspace_wire::gro::{Joinable, Joined};
use netspace_wire::tcp::TcpFlags;
use netspace_wire::{checksum, gso, protocol};

const SIZE: usize = 1448;

fn big(v6: bool, kind: GsoKind, flags: TcpFlags, len: usize) -> Box<Pkt> {
    let mut pkt = payload(len);
    pkt.gso = Some(Gso { size: SIZE as u16, kind });
    let proto = if kind == GsoKind::Udp {
        udp(&mut pkt);
        protocol::UDP
    } else {
        tcp(&mut pkt, flags);
        protocol::TCP
    };
    if v6 {
        ip6(&mut pkt, proto);
    } else {
        ip4(&mut pkt, proto);
    }
    ethernet(&mut pkt);
    pkt
}

/// As a link brings it: nothing is known of it, the Ethernet header is marked.
fn arrived(mut frame: Box<Pkt>) -> Box<Pkt> {
    checksum::fill_checksum(&mut frame);
    frame.checksum = ChecksumState::None;
    frame.set_mac_header();
    frame
}

fn join(frames: impl IntoIterator<Item = Box<Pkt>>) -> Result<Box<Pkt>, usize> {
    let mut frames = frames.into_iter().map(|frame| Joinable::new(arrived(frame), true)).enumerate();
    let mut joined = Joined::new(frames.next().unwrap().1.map_err(|_| 0usize)?);
    for (n, frame) in frames {
        joined.join(frame.map_err(|_| n)?).map_err(|_| n)?;
    }
    Ok(joined.finish())
}

#[test]
fn what_was_cut_and_joined_is_cut_to_the_same_frames() {
    let counter = TcpFlags::ACK.union(TcpFlags::CWR).union(TcpFlags::AE);
    for v6 in [false, true] {
        for (kind, flags) in [
            (GsoKind::Tcp, TcpFlags::ACK),
            (GsoKind::Tcp, TcpFlags::ACK.union(TcpFlags::PSH).union(TcpFlags::FIN)),
            (GsoKind::Tcp, TcpFlags::ACK.union(TcpFlags::ECE)),
            (GsoKind::TcpAccurateEcn, counter),
            (GsoKind::Udp, TcpFlags::ACK),
        ] {
            for len in [SIZE + 1, 3 * SIZE, 40_000] {
                let frames = gso::cut(big(v6, kind, flags, len));
                let count = frames.len();
                let bytes: Vec<Vec<u8>> = frames.iter().cloned().map(|f| wire_bytes(arrived(f))).collect();
                let joined = join(frames).unwrap_or_else(|n| panic!("frame {n} of {count}: {kind:?}"));
                assert_eq!(joined.gso, Some(Gso { size: SIZE as u16, kind }));
                assert!(checksum::verify(&joined));
                let again: Vec<Vec<u8>> = gso::cut(joined).into_iter().map(wire_bytes).collect();
                assert_eq!(again, bytes, "v6 {v6}, {kind:?}, {len} bytes");
            }
        }
    }
}

#[test]
fn one_frame_is_left_as_it_was() {
    let frame = gso::cut(big(false, GsoKind::Tcp, TcpFlags::ACK, 5000)).remove(1);
    let bytes = wire_bytes(arrived(frame.clone()));
    let alone = join(vec![frame]).unwrap();
    assert_eq!((alone.gso, alone.checksum), (None, ChecksumState::None));
    assert_eq!(wire_bytes(alone), bytes);
}

/// Where the second of three frames is refused after `change`, and whether it is of the flow still.
fn refused(kind: GsoKind, v6: bool, change: impl Fn(&mut [u8])) -> bool {
    let mut frames = gso::cut(big(v6, kind, TcpFlags::ACK, 3 * SIZE));
    frames[1].linearize();
    checksum::fill_checksum(&mut frames[1]);
    change(frames[1].data_mut());
    if !v6 {
        netspace_wire::ipv4::fill_header_checksum(&mut frames[1].data_mut()[14..34]);
    }
    frames[1].set_mac_header();
    checksum::recompute(&mut frames[1]);
    Want(1) == join(frames)
}

impl PartialEq<Result<Box<Pkt>, usize>> for Want {
    fn eq(&self, other: &Result<Box<Pkt>, usize>) -> bool {
        other.as_ref().err() == Some(&self.0)
    }
}
struct Want(usize);

#[test]
fn what_does_not_follow_is_not_joined() {
    let tcp = |at: usize, value: u8| refused(GsoKind::Tcp, false, move |f| f[at] ^= value);
    assert!(!tcp(0, 0), "unchanged it is");
    for (at, what) in [
        (6, "the sender's station"),
        (15, "type of service"),
        (19, "identification"),
        (20, "don't fragment"),
        (22, "time to live"),
        (29, "source address"),
        (35, "source port"),
        (41, "sequence number"),
        (45, "acknowledgement"),
        (49, "window"),
        (58, "timestamp"),
    ] {
        assert!(tcp(at, 0x40), "{what}");
    }
    for flag in [TcpFlags::SYN, TcpFlags::RST, TcpFlags::URG, TcpFlags::CWR, TcpFlags::ECE] {
        assert!(tcp(47, flag.bits() as u8), "{flag}");
    }
    assert!(refused(GsoKind::Udp, false, |f| f[37] ^= 1), "destination port");
    assert!(refused(GsoKind::Udp, true, |f| f[21] ^= 1), "hop limit");
    assert!(!refused(GsoKind::Udp, true, |_| ()));

    let mut frames = gso::cut(big(false, GsoKind::Tcp, TcpFlags::ACK, 3 * SIZE));
    frames.remove(1);
    assert!(Want(1) == join(frames), "one is missing");
    let mut frames = gso::cut(big(false, GsoKind::Tcp, TcpFlags::ACK.union(TcpFlags::PSH), 2 * SIZE));
    frames.extend(gso::cut(big(false, GsoKind::Tcp, TcpFlags::ACK, 3 * SIZE)).into_iter().nth(2));
    assert!(Want(2) == join(frames), "PSH ends it");
    let mut damaged = gso::cut(big(false, GsoKind::Tcp, TcpFlags::ACK, 2 * SIZE));
    checksum::fill_checksum(&mut damaged[1]);
    damaged[1].linearize();
    damaged[1].data_mut()[100] ^= 1;
    assert!(Want(1) == join(damaged), "a wrong checksum");
    let whole = big(false, GsoKind::Tcp, TcpFlags::ACK, 2 * SIZE);
    assert!(Joinable::new(whole, true).is_err(), "it is joined already");
    let datagram = gso::cut(big(false, GsoKind::Udp, TcpFlags::ACK, 2 * SIZE)).remove(0);
    assert!(Joinable::new(arrived(datagram), false).is_err(), "nobody wants datagrams joined");
}

#[test]
fn joined_packets_have_a_largest_size() {
    for (kind, most) in [(GsoKind::Tcp, (65_535 - 52) / SIZE), (GsoKind::Udp, (65_535 - 28) / SIZE)] {
        let first = gso::cut(big(false, kind, TcpFlags::ACK, 60_000));
        let mut frames = first.clone();
        frames.truncate(41);
        // The same again, later in the stream.
        for (n, mut frame) in first.into_iter().take(41).enumerate() {
            frame.linearize();
            checksum::fill_checksum(&mut frame);
            let data = frame.data_mut();
            let id = u16::from_be_bytes([data[18], data[19]]).wrapping_add(41);
            data[18..20].copy_from_slice(&id.to_be_bytes());
            if kind == GsoKind::Tcp {
                let seq = u32::from_be_bytes([data[38], data[39], data[40], data[41]]);
                data[38..42].copy_from_slice(&seq.wrapping_add((41 * SIZE) as u32).to_be_bytes());
            }
            netspace_wire::ipv4::fill_header_checksum(&mut data[14..34]);
            frame.set_mac_header();
            checksum::recompute(&mut frame);
            frames.push(frame);
            assert_eq!(frames.len(), 42 + n);
        }
        assert!(Want(most) == join(frames), "{kind:?}");
    }
}
