//! Expectations are what Linux 6.18 answered to the same bytes.

use netspace_stack::sock::PmtuDiscover;

use super::*;

struct Lo;
impl Devices for Lo {
    fn index(&self, name: &str) -> Option<DevId> {
        (name == "lo").then_some(DevId(1))
    }
    fn name(&self, dev: DevId) -> Option<String> {
        (dev == DevId(1)).then(|| "lo".to_owned())
    }
}

const fn kind(family: Family, ty: SockType, protocol: u8) -> SockKind {
    SockKind { family, ty, protocol }
}
const T4: SockKind = kind(Family::Inet, SockType::Stream, 6);
const U4: SockKind = kind(Family::Inet, SockType::Dgram, 17);
const U6: SockKind = kind(Family::Inet6, SockType::Dgram, 17);
const R4: SockKind = kind(Family::Inet, SockType::Raw, 1);
const R6: SockKind = kind(Family::Inet6, SockType::Raw, 58);

fn try_set(kind: SockKind, level: i32, number: i32, bytes: &[u8]) -> Result<Set, i32> {
    set(kind, level, number, bytes, &Lo).map_err(|e| e.0)
}

fn set_int(kind: SockKind, level: i32, number: i32, value: i32) -> Result<Set, i32> {
    try_set(kind, level, number, &value.to_ne_bytes())
}

#[test]
fn ip_values_may_be_one_byte_long() {
    assert_eq!(try_set(U4, SOL_IP, 2, &[64]), Ok(Set::Stack(SockOpt::IpTtl(Some(64)))));
    assert_eq!(set_int(U4, SOL_IP, 2, -1), Ok(Set::Stack(SockOpt::IpTtl(None))));
    for bad in [0, 256, -2] {
        assert_eq!(set_int(U4, SOL_IP, 2, bad), Err(libc::EINVAL));
    }
    assert_eq!(try_set(U4, SOL_IP, 2, &[]), Err(libc::EINVAL));
    assert_eq!(set_int(U4, SOL_IP, 1, 300), Ok(Set::Stack(SockOpt::IpTos(44))));
    assert_eq!(try_set(U6, SOL_IPV6, 16, &[64]), Err(libc::EINVAL));
    assert_eq!(try_set(T4, SOL_SOCKET, 2, &[1]), Err(libc::EINVAL));

    let ttl = |room| emit(SOL_IP, 2, &SockOpt::IpTtl(Some(64)), room, &Lo);
    assert_eq!(ttl(4), Ok(vec![64, 0, 0, 0]));
    assert_eq!(ttl(8), Ok(vec![64, 0, 0, 0]));
    assert_eq!(ttl(2), Ok(vec![64]));
    assert_eq!(ttl(0), Ok(vec![]));
    assert_eq!(emit(SOL_SOCKET, 2, &SockOpt::ReuseAddr(true), 2, &Lo), Ok(vec![1, 0]));
}

#[test]
fn a_value_shorter_than_an_int_is_refused_before_its_number_is_looked_at() {
    for (kind, level, number) in
        [(T4, SOL_SOCKET, 3), (T4, SOL_SOCKET, 999), (T4, SOL_TCP, 15), (U4, SOL_UDP, 2), (R6, SOL_RAW, 1)]
    {
        assert_eq!(try_set(kind, level, number, &[1, 0, 0]), Err(libc::EINVAL), "{level} {number}");
        assert_eq!(try_set(kind, level, number, &[1, 0, 0, 0]), Err(libc::ENOPROTOOPT), "{level} {number}");
    }
    assert_eq!(try_set(U4, SOL_IP, 99, &[1]), Err(libc::ENOPROTOOPT));
    assert_eq!(
        try_set(T4, SOL_SOCKET, libc::SO_BINDTODEVICE, b""),
        Ok(Set::Stack(SockOpt::BindToDevice(None)))
    );
}

#[test]
fn what_belongs_to_local_sockets_is_refused() {
    for number in [libc::SO_PASSCRED, libc::SO_PASSSEC] {
        assert_eq!(set_int(T4, SOL_SOCKET, number, 1), Err(libc::EOPNOTSUPP));
        assert_eq!(get(U6, SOL_SOCKET, number), Err(EOPNOTSUPP));
    }
    assert_eq!(get(U6, SOL_TCP, 1), Err(ENOPROTOOPT), "IPv6's sockets know no other level");
}

#[test]
fn levels_belong_to_sockets() {
    assert_eq!(set_int(U4, SOL_IPV6, 26, 1), Err(libc::ENOPROTOOPT));
    assert_eq!(get(U4, SOL_IPV6, 26), Err(EOPNOTSUPP));
    assert!(set_int(U6, SOL_IP, 2, 3).is_ok());
    assert_eq!(set_int(R6, SOL_IP, 2, 3), Err(libc::ENOPROTOOPT));
    assert_eq!(set_int(U4, SOL_TCP, 1, 1), Err(libc::ENOPROTOOPT));
    assert_eq!(get(T4, SOL_UDP, 1), Err(EOPNOTSUPP));
    assert_eq!(get(T4, 99, 1), Err(EOPNOTSUPP));
    assert_eq!(get(T4, SOL_SOCKET, 999), Err(ENOPROTOOPT));
    assert_eq!(set_int(T4, SOL_SOCKET, 3, 1), Err(libc::ENOPROTOOPT));
    assert_eq!(set_int(T4, SOL_IP, 14, 1), Err(libc::ENOPROTOOPT));
    assert_eq!(try_set(T4, SOL_IP, 35, &[224, 0, 0, 5, 0, 0, 0, 0]), Err(libc::EPROTO));
    assert_eq!(set_int(kind(Family::Inet, SockType::Raw, 17), SOL_RAW, 1, 1), Err(libc::EOPNOTSUPP));
    assert_eq!(set_int(U4, SOL_RAW, 1, 1), Err(libc::ENOPROTOOPT));
}

#[test]
fn devices_are_named() {
    assert_eq!(try_set(U4, SOL_SOCKET, 25, b"lo"), Ok(Set::Stack(SockOpt::BindToDevice(Some(DevId(1))))));
    assert_eq!(
        try_set(U4, SOL_SOCKET, 25, b"lo\0junk"),
        Ok(Set::Stack(SockOpt::BindToDevice(Some(DevId(1)))))
    );
    assert_eq!(try_set(U4, SOL_SOCKET, 25, b""), Ok(Set::Stack(SockOpt::BindToDevice(None))));
    assert_eq!(try_set(U4, SOL_SOCKET, 25, b"nonexist"), Err(libc::ENODEV));
    let bound = SockOpt::BindToDevice(Some(DevId(1)));
    assert_eq!(emit(SOL_SOCKET, 25, &bound, 16, &Lo), Ok(b"lo\0".to_vec()));
    assert_eq!(emit(SOL_SOCKET, 25, &bound, 4, &Lo), Err(EINVAL));
    assert_eq!(emit(SOL_SOCKET, 62, &bound, 4, &Lo), Ok(vec![1, 0, 0, 0]));
    assert_eq!(emit(SOL_SOCKET, 25, &SockOpt::BindToDevice(None), 16, &Lo), Ok(vec![]));
}

#[test]
fn structures() {
    let linger = [1i32.to_ne_bytes(), 5i32.to_ne_bytes()].concat();
    let on = SockOpt::Linger(Some(Duration::from_secs(5)));
    assert_eq!(try_set(T4, SOL_SOCKET, 13, &linger), Ok(Set::Stack(on.clone())));
    assert_eq!(emit(SOL_SOCKET, 13, &on, 8, &Lo), Ok(linger));
    assert_eq!(emit(SOL_SOCKET, 13, &SockOpt::Linger(None), 4, &Lo), Ok(vec![0; 4]));

    let time = |s: i64, us: i64| [s.to_ne_bytes(), us.to_ne_bytes()].concat();
    let timeout = |t| Ok(Set::Timeout(DoorOption::RecvTimeout, t));
    assert_eq!(try_set(T4, SOL_SOCKET, 20, &time(1, 500_000)), timeout(Some(Duration::from_millis(1500))));
    assert_eq!(try_set(T4, SOL_SOCKET, 20, &time(0, 0)), timeout(None));
    assert_eq!(try_set(T4, SOL_SOCKET, 20, &time(0, 1_000_000)), Err(libc::EDOM));
    assert_eq!(try_set(T4, SOL_SOCKET, 20, &[0; 8]), Err(libc::EINVAL));
    assert_eq!(emit_timeval(Some(Duration::from_millis(1500)), 16), time(1, 500_000));

    assert_eq!(
        try_set(U4, SOL_IP, 35, &[224, 0, 0, 251, 0, 0, 0, 0, 2, 0, 0, 0]),
        Ok(Set::Stack(SockOpt::IpAddMembership(netspace_stack::sock::Membership {
            group: "224.0.0.251".parse().unwrap(),
            dev: Some(DevId(2)),
            local: None,
        })))
    );
    assert_eq!(try_set(U4, SOL_IP, 35, &[0; 7]), Err(libc::EINVAL));
    assert_eq!(try_set(U4, SOL_IP, 32, &[1, 2]), Err(libc::EINVAL));
    assert_eq!(try_set(T4, SOL_TCP, 13, b""), Err(libc::EINVAL));
    assert_eq!(try_set(T4, SOL_TCP, 13, b"reno\0"), Ok(Set::Stack(SockOpt::TcpCongestion("reno".into()))));
    let reno = SockOpt::TcpCongestion("reno".into());
    assert_eq!(emit(SOL_TCP, 13, &reno, 16, &Lo), Ok(b"reno\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()));
    assert_eq!(set_int(U4, SOL_IP, 10, 6), Err(libc::EINVAL));
    assert_eq!(set_int(U4, SOL_IP, 10, 2), Ok(Set::Stack(SockOpt::IpMtuDiscover(PmtuDiscover::Do))));
    assert_eq!(set_int(R6, SOL_RAW, 7, 2), Ok(Set::Stack(SockOpt::V6Checksum(Some(2)))));
    assert_eq!(set_int(R6, SOL_IPV6, 7, 2), Err(libc::EINVAL));
    assert_eq!(try_set(R4, SOL_RAW, 1, &[1]), Ok(Set::Stack(SockOpt::IcmpFilter(1))));
    assert_eq!(try_set(R6, SOL_ICMPV6, 1, &[1; 32]), Ok(Set::Stack(SockOpt::Icmp6Filter([0x0101_0101; 8]))));
    let program = try_set(U4, SOL_SOCKET, 26, &[6, 0, 0, 0, 0xff, 0xff, 0, 0]);
    assert!(matches!(program, Ok(Set::Stack(SockOpt::AttachFilter(p))) if p.len() == 1 && p[0].k == 0xffff));
}

#[test]
fn udplite_has_udp_s_options_at_both_levels() {
    const L4: SockKind = kind(Family::Inet, SockType::Dgram, 136);
    for level in [SOL_UDP, SOL_UDPLITE] {
        let sent = |value| set_int(L4, level, 10, value);
        assert_eq!(sent(20), Ok(Set::Stack(SockOpt::UdpLiteSendCoverage(20))));
        assert_eq!(sent(-1), Ok(Set::Stack(SockOpt::UdpLiteSendCoverage(1))));
        assert_eq!(sent(70_000), Ok(Set::Stack(SockOpt::UdpLiteSendCoverage(65_535))));
        assert_eq!(set_int(L4, level, 103, 100), Ok(Set::Stack(SockOpt::UdpSegment(100))));
        assert_eq!(get(U4, level, 11), Ok(Get::Stack(OptName::UdpLiteRecvCoverage)));
        let answer = SockOpt::UdpLiteRecvCoverage(8);
        assert_eq!(emit(level, 11, &answer, 4, &Lo), Ok(vec![8, 0, 0, 0]));
        assert_eq!(set_int(T4, level, 10, 20), Err(libc::ENOPROTOOPT));
    }
}

#[test]
fn what_inet_sockets_do_not_have_is_refused_in_linux_s_words() {
    for number in [16, 34, 76, 83] {
        assert_eq!(set_int(U4, SOL_SOCKET, number, 1), Err(libc::EOPNOTSUPP));
        assert_eq!(get(T4, SOL_SOCKET, number), Err(EOPNOTSUPP));
    }
    for number in [59, 77] {
        assert_eq!(get(T4, SOL_SOCKET, number), Err(Errno(libc::ENODATA)));
        assert_eq!(set_int(T4, SOL_SOCKET, number, 1), Err(libc::ENOPROTOOPT));
    }
    for number in [2, 3, 38, 200] {
        assert_eq!(try_set(U4, SOL_SOCKET, number, &[1, 0, 0]), Err(libc::EINVAL), "the length comes first");
    }
    assert_eq!(try_set(U4, SOL_IP, 51, &[1]), Err(libc::EINVAL));
    assert_eq!(set_int(U4, SOL_IP, 21, -1), Err(libc::EINVAL));
    assert_eq!(set_int(U4, SOL_IP, 49, 2), Err(libc::EINVAL));
    assert_eq!(set_int(U4, SOL_IP, 22, 1), Err(libc::ENOPROTOOPT));
    assert_eq!(set_int(R4, SOL_IP, 22, 1), Ok(Set::Stack(SockOpt::IpNoDefrag(true))));
    assert_eq!(set_int(T4, SOL_IP, 25, 1), Err(libc::EINVAL));
    assert_eq!(set_int(U4, SOL_SOCKET, 72, 3), Ok(Set::Stack(SockOpt::BufLock(3))));
    assert_eq!(set_int(U4, SOL_SOCKET, 72, 4), Err(libc::EINVAL));
    assert_eq!(set_int(U4, SOL_SOCKET, 74, 1), Err(libc::EOPNOTSUPP));
    assert_eq!(set_int(T4, SOL_SOCKET, 74, -1), Ok(Set::Stack(SockOpt::TxRehash(true))));
    assert_eq!(set_int(U4, SOL_SOCKET, 53, 1), Ok(Set::Ignored));
    let words = SockOpt::MemInfo([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let bytes = emit(SOL_SOCKET, 55, &words, 64, &Lo).unwrap();
    assert_eq!((bytes.len(), bytes[0], bytes[32]), (36, 1, 9));
    let insn = BpfInsn { code: 0x0106, jt: 2, jf: 3, k: 0x0102_0304 };
    assert_eq!(emit_filter_program(&[insn, insn])[8..], [6, 1, 2, 3, 4, 3, 2, 1]);
}

#[test]
fn every_row_reads_back_what_it_sets() {
    let kinds = [T4, U4, U6, R4, R6, kind(Family::Inet6, SockType::Stream, 6)];
    for (i, row) in rows().iter().enumerate() {
        let twin = rows().iter().position(|r| (r.level, r.number) == (row.level, row.number));
        assert_eq!(twin, Some(i), "{} is there twice", row.name);
        for kind in kinds {
            // 136 bytes are enough for every structure; the ints in them are 88 (every range has it).
            let value = 88i32.to_ne_bytes().repeat(34);
            let Ok(Set::Stack(option)) = set(kind, row.level, row.number, &value, &Lo) else { continue };
            let Owner::Stack(name, _) = row.owner else { panic!("{}", row.name) };
            assert_eq!(option.name(), name, "{}", row.name);
            if row.access == Access::ReadWrite && name != OptName::BindToDevice {
                emit(row.level, row.number, &option, 256, &Lo).expect(row.name);
            }
        }
    }
}
