//! Segmentation offload, checksums left out, path-MTU modes, `SO_REUSEPORT` programs and what recvmsg tells besides;
//! expectations are what Linux 6.18 did.

mod sock_common;

use std::time::Duration;

use netspace_base::{Bytes, ChecksumState, DropReason, Pkt};
use netspace_stack::snmp::Counter;
use netspace_stack::sock::{
    BpfInsn, Family, Message, OptName, PmtuDiscover, SendControl, SockError, SockId, SockOpt, SockType,
};
use sock_common::{A, B, Net};

const MS: Duration = Duration::from_millis(1);

fn set(net: &mut Net, n: usize, s: SockId, option: SockOpt) -> Result<(), SockError> {
    net.call(n, |ns, t| ns.set_option(t, s, option))
}

fn send(net: &mut Net, s: SockId, len: usize, to: &str, control: SendControl) -> Result<usize, SockError> {
    let data = Bytes::from(sock_common::pattern(len));
    let message = Message { data, to: Some(to.parse().unwrap()), control, ..Message::default() };
    net.call(A, |ns, t| ns.send(t, s, message))
}

fn received(net: &mut Net, n: usize, s: SockId) -> Vec<usize> {
    std::iter::from_fn(|| net.recv(n, s).ok().map(|got| got.len())).collect()
}

#[test]
fn segments_have_limits_in_linux_s_order() {
    for (here, most) in [("127.0.0.1:1", 65_507), ("[::1]:1", 65_487)] {
        let mut net = Net::new();
        let s = net.udp_at(A, here);
        let c = net.socket(A, sock_common::family_of(here), SockType::Dgram);
        for (size, len, want) in [
            (1000, 3500, Ok(vec![1000, 1000, 1000, 500])),
            (1000, 1000, Ok(vec![1000])),
            (1000, 0, Ok(vec![0])),
            (1, 128, Ok(vec![1; 128])),
            (1, 129, Err(SockError::Invalid)),
            (40_000, 65_000, Ok(vec![40_000, 25_000])),
            (65_535, 100, Ok(vec![100])),
            (65_507, 65_507, if most == 65_507 { Ok(vec![65_507]) } else { Err(SockError::MessageSize) }),
        ] {
            set(&mut net, A, c, SockOpt::UdpSegment(size)).unwrap();
            let sent = send(&mut net, c, len, here, SendControl::default());
            net.settle();
            assert_eq!(sent.map(|_| received(&mut net, A, s)), want, "{len} in pieces of {size} to {here}");
        }
        // A control message of 0 does away with the option for one send.
        set(&mut net, A, c, SockOpt::UdpSegment(700)).unwrap();
        let whole = SendControl { gso_size: Some(0), ..SendControl::default() };
        send(&mut net, c, 2500, here, whole).unwrap();
        net.settle();
        assert_eq!(received(&mut net, A, s), [2500]);
    }
}

#[test]
fn one_segmented_send_counts_once_and_gro_takes_it_whole() {
    let mut net = Net::new();
    let s = net.udp_at(A, "127.0.0.1:1");
    let c = net.udp(A);
    set(&mut net, A, c, SockOpt::UdpSegment(100)).unwrap();
    send(&mut net, c, 1000, "127.0.0.1:1", SendControl::default()).unwrap();
    net.settle();
    assert_eq!(received(&mut net, A, s), [100; 10]);
    let counts = |net: &Net| {
        let get = |counter| net.host[A].snmp.get(counter);
        (get(Counter::UdpOutDatagrams), get(Counter::UdpInDatagrams))
    };
    assert_eq!(counts(&net), (1, 10));
    set(&mut net, A, s, SockOpt::UdpGro(true)).unwrap();
    send(&mut net, c, 1050, "127.0.0.1:1", SendControl::default()).unwrap();
    send(&mut net, c, 100, "127.0.0.1:1", SendControl::default()).unwrap();
    net.settle();
    let got = net.recv(A, s).unwrap();
    assert_eq!((got.len(), got.control.gro_size), (1050, Some(100)));
    assert_eq!(net.recv(A, s).unwrap().control.gro_size, None, "one datagram is nothing joined");
    assert_eq!(counts(&net), (3, 12));
}

/// What real links show: nothing is known of the checksum.
fn forget_checksum(pkt: &mut Pkt) {
    netspace_wire::checksum::fill_checksum(pkt);
    pkt.checksum = ChecksumState::None;
}

#[test]
fn checksums_may_be_left_out() {
    let mut net = Net::new();
    net.damage = Some(forget_checksum);
    let (s4, s6) = (net.udp_at(B, "10.0.0.2:4"), net.udp_at(B, "[fd00::2]:6"));
    let (c4, c6) = (net.udp(A), net.socket(A, Family::Inet6, SockType::Dgram));
    set(&mut net, A, c4, SockOpt::NoCheck(true)).unwrap();
    net.send_to(A, c4, b"four", "10.0.0.2:4").unwrap();
    set(&mut net, A, c6, SockOpt::NoCheck(true)).unwrap();
    net.send_to(A, c6, b"summed", "[fd00::2]:6").unwrap();
    set(&mut net, A, c6, SockOpt::UdpNoCheck6Tx(true)).unwrap();
    net.send_to(A, c6, b"lost", "[fd00::2]:6").unwrap();
    net.advance(MS * 10);
    assert_eq!(net.recv_bytes(B, s4).unwrap(), b"four");
    assert_eq!(net.recv_bytes(B, s6).unwrap(), b"summed", "SO_NO_CHECK is IPv4's");
    assert_eq!(net.recv_bytes(B, s6), Err(SockError::WouldBlock));
    assert_eq!(net.t.ledger.dropped(DropReason::UdpChecksum), 1);
    let count = |net: &Net, counter| net.host[B].snmp.get(counter);
    assert_eq!((count(&net, Counter::Udp6InCsumErrors), count(&net, Counter::Udp6InErrors)), (1, 1));
    set(&mut net, B, s6, SockOpt::UdpNoCheck6Rx(true)).unwrap();
    net.send_to(A, c6, b"taken", "[fd00::2]:6").unwrap();
    net.advance(MS);
    assert_eq!(net.recv_bytes(B, s6).unwrap(), b"taken");
    // Each of several datagrams gets its checksum from the device, which cannot leave it out.
    for (c, to) in [(c4, "10.0.0.2:4"), (c6, "[fd00::2]:6")] {
        set(&mut net, A, c, SockOpt::UdpSegment(50)).unwrap();
        assert_eq!(net.send_to(A, c, b"short", to), Err(SockError::Invalid));
    }
    net.assert_ledger();
}

#[test]
fn path_mtu_modes_decide_what_is_too_long() {
    use PmtuDiscover::{Do, Dont, Interface, Omit, Probe, Want};
    for (to, header) in [("10.0.0.2:9", 28), ("[fd00::2]:9", 48)] {
        for (mode, refused) in
            [(Dont, false), (Want, false), (Do, true), (Probe, true), (Interface, true), (Omit, false)]
        {
            let mut net = Net::new();
            let s = net.udp_at(B, if header == 28 { "10.0.0.2:9" } else { "[fd00::2]:9" });
            let c = net.socket(A, sock_common::family_of(to), SockType::Dgram);
            let (option, errors) = match header {
                28 => (SockOpt::IpMtuDiscover(mode), SockOpt::IpRecvErr(true)),
                _ => (SockOpt::V6MtuDiscover(mode), SockOpt::V6RecvErr(true)),
            };
            set(&mut net, A, c, option).unwrap();
            set(&mut net, A, c, errors).unwrap();
            assert_eq!(send(&mut net, c, 1500 - header, to, SendControl::default()), Ok(1500 - header));
            let sent = send(&mut net, c, 1501 - header, to, SendControl::default());
            net.advance(MS * 10);
            let told = net.recv_error(A, c).map(|got| got.control.error.unwrap());
            if refused {
                assert_eq!(sent, Err(SockError::MessageSize), "{mode:?} to {to}");
                assert_eq!(told.map(|e| (e.error, e.info)), Ok((SockError::MessageSize, 1500)), "{mode:?}");
            } else {
                assert_eq!(sent, Ok(1501 - header), "{mode:?} to {to}");
                assert_eq!(told.unwrap_err(), SockError::WouldBlock);
            }
            assert_eq!(received(&mut net, B, s).len(), 2 - usize::from(refused), "{mode:?} to {to}");
        }
    }
}

#[test]
fn received_datagrams_tell_their_fragments_mark_and_priority() {
    for (here, largest) in [("10.0.0.2:9", 1500), ("[fd00::2]:9", 1496)] {
        let mut net = Net::new();
        let s = net.udp_at(B, here);
        let c = net.socket(A, sock_common::family_of(here), SockType::Dgram);
        send(&mut net, c, 4000, here, SendControl::default()).unwrap();
        send(&mut net, c, 40, here, SendControl::default()).unwrap();
        net.advance(MS * 10);
        assert_eq!(net.recv(B, s).unwrap().control.frag_size, largest);
        assert_eq!(net.recv(B, s).unwrap().control.frag_size, 0);
    }
    let mut net = Net::new();
    let s = net.udp_at(A, "127.0.0.1:9");
    let c = net.udp(A);
    set(&mut net, A, c, SockOpt::Priority(3)).unwrap();
    set(&mut net, A, c, SockOpt::Mark(77)).unwrap();
    let mut told = |control| {
        send(&mut net, c, 1, "127.0.0.1:9", control).unwrap();
        net.settle();
        let control = net.recv(A, s).unwrap().control;
        (control.mark, control.priority)
    };
    let none = SendControl::default();
    assert_eq!(told(none.clone()), (77, 3));
    assert_eq!(told(SendControl { priority: Some(5), mark: Some(9), ..none.clone() }), (9, 5));
    assert_eq!(told(SendControl { tos: Some(0x10), ..none }), (77, 6), "the class of IPTOS_LOWDELAY");
}

const fn insn(code: u16, k: u32) -> BpfInsn {
    BpfInsn { code, jt: 0, jf: 0, k }
}

/// Returns the payload's first byte.
fn first_byte() -> Vec<BpfInsn> {
    vec![insn(0x30, 0), insn(0x16, 0)]
}

#[test]
fn a_group_s_program_chooses_the_socket() {
    let mut net = Net::new();
    let join = |net: &mut Net| {
        let s = net.udp(B);
        set(net, B, s, SockOpt::ReusePort(true)).unwrap();
        net.bind(B, s, "10.0.0.2:53").unwrap();
        s
    };
    let alone = net.udp(B);
    assert_eq!(
        set(&mut net, B, alone, SockOpt::AttachReuseportFilter(first_byte())),
        Err(SockError::Invalid)
    );
    let mut group: Vec<SockId> = (0..3).map(|_| join(&mut net)).collect();
    assert_eq!(set(&mut net, B, group[0], SockOpt::DetachReuseportFilter(())), Err(SockError::NoEntry));
    set(&mut net, B, group[1], SockOpt::AttachReuseportFilter(first_byte())).unwrap();
    group.push(join(&mut net));
    let c = net.udp(A);
    let takers = |net: &mut Net, group: &[SockId], byte: u8| -> Vec<usize> {
        net.send_to(A, c, &[byte], "10.0.0.2:53").unwrap();
        net.advance(MS * 10);
        (0..group.len()).filter(|&n| net.recv(B, group[n]).is_ok()).collect()
    };
    for byte in [2, 0, 3, 1] {
        assert_eq!(takers(&mut net, &group, byte), [usize::from(byte)]);
    }
    assert_eq!(takers(&mut net, &group, 4).len(), 1, "no such place: the hash chooses");
    // The program stays with the group when the socket that brought it has gone.
    let gone = group.remove(1);
    net.close(B, gone);
    assert_eq!(takers(&mut net, &group, 2), [2]);
    set(&mut net, B, group[0], SockOpt::DetachReuseportFilter(())).unwrap();
    let one = takers(&mut net, &group, 0);
    assert_eq!(
        [one.clone(), one.clone()],
        [takers(&mut net, &group, 1), takers(&mut net, &group, 2)],
        "one flow"
    );
}

#[test]
fn listeners_are_chosen_by_a_program_too() {
    let mut net = Net::new();
    let group: Vec<SockId> = (0..3)
        .map(|_| {
            let s = net.tcp(B);
            set(&mut net, B, s, SockOpt::ReusePort(true)).unwrap();
            net.bind(B, s, "10.0.0.2:80").unwrap();
            net.call(B, |ns, t| ns.listen(t, s, 5)).unwrap();
            s
        })
        .collect();
    set(&mut net, B, group[0], SockOpt::AttachReuseportFilter(vec![insn(6, 2)])).unwrap();
    for _ in 0..4 {
        net.connection(A, B, group[2], "10.0.0.2:80");
    }
}

#[test]
fn kept_options_come_back_and_sources_must_be_here() {
    let mut net = Net::new();
    let c = net.socket(A, Family::Inet6, SockType::Dgram);
    for option in [SockOpt::IncomingCpu(3), SockOpt::V6RecvFragSize(true), SockOpt::TxRehash(false)] {
        assert_ne!(
            net.host[A].option(&net.t, c, option.name()),
            Ok(option.clone()),
            "the default is another"
        );
        set(&mut net, A, c, option.clone()).unwrap();
        assert_eq!(net.host[A].option(&net.t, c, option.name()), Ok(option));
    }
    let foreign = SendControl { source: Some("fd00::99".parse().unwrap()), ..SendControl::default() };
    assert_eq!(send(&mut net, c, 1, "[fd00::2]:9", foreign.clone()), Err(SockError::Invalid));
    set(&mut net, A, c, SockOpt::V6Freebind(true)).unwrap();
    assert_eq!(send(&mut net, c, 1, "[fd00::2]:9", foreign), Ok(1));
    let eth0 = net.dev[A];
    set(&mut net, A, c, SockOpt::V6UnicastIf(Some(eth0))).unwrap();
    assert_eq!(net.host[A].option(&net.t, c, OptName::V6UnicastIf), Ok(SockOpt::V6UnicastIf(Some(eth0))));
}

#[test]
fn memory_and_locks_are_told() {
    let mut net = Net::new();
    let s = net.udp_at(B, "10.0.0.2:9");
    let c = net.udp(A);
    let info = |net: &Net| match net.host[B].option(&net.t, s, OptName::MemInfo) {
        Ok(SockOpt::MemInfo(words)) => words,
        other => panic!("{other:?}"),
    };
    assert_eq!(info(&net), [0, 212_992, 0, 212_992, 0, 0, 0, 0, 0]);
    assert_eq!(net.host[B].option(&net.t, s, OptName::BufLock), Ok(SockOpt::BufLock(0)));
    set(&mut net, B, s, SockOpt::RcvBuf(2000)).unwrap();
    assert_eq!(net.host[B].option(&net.t, s, OptName::BufLock), Ok(SockOpt::BufLock(2)));
    for _ in 0..6 {
        send(&mut net, c, 100, "10.0.0.2:9", SendControl::default()).unwrap();
    }
    net.advance(MS * 10);
    let words = info(&net);
    assert_eq!((words[0], words[1], words[8]), (4 * 832, 4000, 2), "four fit, two were dropped");
    let wrong = SockOpt::IpOptions(vec![2, 0, 0, 0]);
    assert_eq!(set(&mut net, A, c, wrong), Err(SockError::Invalid));
    assert_eq!(set(&mut net, A, c, SockOpt::IpOptions(vec![1, 0])), Ok(()));
}

#[test]
fn datagrams_from_too_far_away_are_not_taken() {
    for (here, least) in
        [("10.0.0.2:9", SockOpt::IpMinTtl as fn(u8) -> SockOpt), ("[fd00::2]:9", SockOpt::V6MinHopCount)]
    {
        let mut net = Net::new();
        let s = net.udp_at(B, here);
        let c = net.socket(A, sock_common::family_of(here), SockType::Dgram);
        for (hops, taken) in [(64, 1), (65, 0), (255, 0), (0, 1)] {
            set(&mut net, B, s, least(hops)).unwrap();
            send(&mut net, c, 1, here, SendControl::default()).unwrap();
            net.advance(MS * 10);
            assert_eq!(received(&mut net, B, s).len(), taken, "{hops} to {here}");
        }
        assert_eq!(net.t.ledger.dropped(DropReason::SocketFilter), 2);
    }
}
