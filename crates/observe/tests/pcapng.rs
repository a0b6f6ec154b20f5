//! Capture files are read back by a reader that is not ours.

use std::borrow::Cow;
use std::process::{Command, Stdio};

use netspace_base::{Bytes, Duration, Gso, GsoKind, Instant, Pkt, PktId};
use netspace_observe::{Direction, Interface, PcapNg};
use netspace_wire::ethernet::{ETHERTYPE_IPV4, EthernetRepr};
use netspace_wire::ipv4::Ipv4Repr;
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpOptions, TcpRepr};
use netspace_wire::{MacAddr, checksum, protocol};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::{Block, PcapNgReader};

/// A GSO packet of three frames.
fn segment() -> Box<Pkt> {
    let mut pkt = Pkt::new(PktId(1));
    pkt.append_frag(Bytes::from(vec![b'x'; 3000]));
    let tcp = TcpRepr {
        src_port: 1024,
        dst_port: 80,
        seq: SeqNum(1),
        ack: SeqNum(1),
        flags: TcpFlags::ACK | TcpFlags::PSH,
        window: 1000,
        urgent: 0,
        options: TcpOptions::default(),
    };
    tcp.emit(pkt.push(tcp.header_len()));
    let (src, dst) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let ip = Ipv4Repr::new(src, dst, protocol::TCP, pkt.len());
    checksum::set_partial(&mut pkt, protocol::TCP, ip.pseudo_sum(3020));
    ip.emit(pkt.push(20));
    let eth = EthernetRepr { dst: MacAddr([2; 6]), src: MacAddr([4; 6]), ethertype: ETHERTYPE_IPV4 };
    eth.emit(pkt.push(14));
    pkt.set_mac_header();
    pkt.gso = Some(Gso { size: 1460, kind: GsoKind::Tcp });
    pkt
}

fn capture() -> Vec<u8> {
    let mut file = PcapNg::new(Vec::new(), Duration::from_secs(1_700_000_000)).unwrap();
    let eth0 = Interface { name: "client-eth0", mac: Some([4; 6]), ..Interface::default() };
    let eth0 = file.add_interface(&eth0).unwrap();
    let at = Instant::from_nanos(1_234_567_891);
    file.write_pkt(eth0, at, Some(Direction::Out), &segment(), None).unwrap();
    let eth1 =
        Interface { name: "gw-eth1", description: "to the server", snap_len: 60, ..Interface::default() };
    let eth1 = file.add_interface(&eth1).unwrap();
    let whole = segment().copy_range(0, 101);
    file.write(eth1, at, Some(Direction::In), &whole, Some("dropped: ttl-exceeded")).unwrap();
    file.into_inner()
}

#[test]
fn interfaces_times_directions_and_comments_read_back() {
    let bytes = capture();
    let mut reader = PcapNgReader::new(&bytes[..]).unwrap();
    let mut names = Vec::new();
    let mut packets = Vec::new();
    while let Some(block) = reader.next_block() {
        match block.unwrap() {
            Block::InterfaceDescription(block) => {
                let options = block.options;
                assert!(options.contains(&InterfaceDescriptionOption::IfTsResol(9)));
                names.extend(options.into_iter().filter_map(|o| match o {
                    InterfaceDescriptionOption::IfName(name) => Some(name.into_owned()),
                    _ => None,
                }));
            }
            Block::EnhancedPacket(block) => packets.push(block.into_owned()),
            other => panic!("unexpected block {other:?}"),
        }
    }
    assert_eq!(names, ["client-eth0", "gw-eth1"]);
    let sizes: Vec<_> = packets.iter().map(|p| (p.interface_id, p.data.len(), p.original_len)).collect();
    assert_eq!(sizes, [(0, 1514, 1514), (0, 1514, 1514), (0, 134, 134), (1, 60, 101)]);
    for packet in &packets {
        assert_eq!(packet.timestamp, Duration::new(1_700_000_001, 234_567_891));
    }
    let flags = |p: &pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock<'_>| {
        p.options.iter().find_map(|o| match o {
            EnhancedPacketOption::Flags(flags) => Some(*flags),
            _ => None,
        })
    };
    assert_eq!((flags(&packets[0]), flags(&packets[3])), (Some(2), Some(1)));
    let comment = EnhancedPacketOption::Comment(Cow::Borrowed("dropped: ttl-exceeded"));
    assert!(packets[3].options.contains(&comment));
    for packet in &packets[..3] {
        let mut pkt = Pkt::from_slice(PktId(1), &packet.data);
        pkt.set_mac_header();
        assert!(checksum::verify(&pkt), "captured frames have real checksums");
    }
}

#[test]
fn a_foreign_interface_is_refused() {
    let mut one = PcapNg::new(Vec::new(), Duration::ZERO).unwrap();
    let id = one.add_interface(&Interface::default()).unwrap();
    let mut other = PcapNg::new(Vec::new(), Duration::ZERO).unwrap();
    assert!(other.write(id, Instant::ZERO, None, &[], None).is_err());
}

/// Where tshark is installed, it must read the file and find nothing wrong with its packets.
#[test]
fn tshark_reads_it() {
    let args = ["-r", "-", "-o", "tcp.check_checksum:TRUE", "-T", "fields", "-e", "frame.interface_name"];
    let fields = ["-e", "tcp.len", "-e", "tcp.checksum.status", "-e", "frame.comment"];
    let tshark = Command::new("tshark")
        .args(args)
        .args(fields)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut tshark) = tshark else { return eprintln!("tshark is not installed: not checked") };
    std::io::Write::write_all(&mut tshark.stdin.take().unwrap(), &capture()).unwrap();
    let output = String::from_utf8(tshark.wait_with_output().unwrap().stdout).unwrap();
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines.len(), 4, "{output}");
    assert!(lines[0].starts_with("client-eth0\t1460\t1"), "{output}");
    assert!(lines[2].starts_with("client-eth0\t80\t1"), "{output}");
    assert!(lines[3].starts_with("gw-eth1\t") && lines[3].ends_with("dropped: ttl-exceeded"), "{output}");
}
