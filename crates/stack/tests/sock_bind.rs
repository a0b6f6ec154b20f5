//! Who may have which name: bind(2)'s table of conflicts.

mod sock_common;

use netspace_stack::sock::{Family, SockError, SockId, SockOpt, SockType};
use sock_common::{A, Net, family_of};

#[derive(Clone, Copy, Default)]
struct With {
    addr: &'static str,
    reuse_addr: bool,
    reuse_port: bool,
    v6only: bool,
    listens: bool,
    dev: Option<usize>,
    uid: u32,
}

fn open(net: &mut Net, ty: SockType, with: With) -> (SockId, Result<(), SockError>) {
    let s = net.socket(A, family_of(with.addr), ty);
    net.host[A].set_owner(s, 1, with.uid);
    let mut set = |option| net.call(A, |ns, t| ns.set_option(t, s, option)).unwrap();
    set(SockOpt::ReuseAddr(with.reuse_addr));
    set(SockOpt::ReusePort(with.reuse_port));
    if with.v6only {
        set(SockOpt::V6Only(true));
    }
    if let Some(dev) = with.dev {
        set(SockOpt::BindToDevice(Some(netspace_base::DevId(dev as u32))));
    }
    let result = net.bind(A, s, with.addr);
    if with.listens && result.is_ok() {
        net.call(A, |ns, t| ns.listen(t, s, 1)).unwrap();
    }
    (s, result)
}

fn at(addr: &'static str) -> With {
    With { addr, ..With::default() }
}

#[test]
fn conflicts() {
    const IN_USE: Result<(), SockError> = Err(SockError::AddressInUse);
    let reuse = |addr| With { reuse_addr: true, ..at(addr) };
    let port = |addr, uid| With { reuse_port: true, uid, ..at(addr) };
    let listens = |with: With| With { listens: true, ..with };
    let only = |addr| With { v6only: true, ..at(addr) };
    let on = |addr, dev| With { dev: Some(dev), ..at(addr) };
    let (tcp, udp) = (SockType::Stream, SockType::Dgram);
    let cases = [
        (tcp, at("10.0.0.1:80"), at("10.0.0.1:80"), IN_USE),
        (udp, at("10.0.0.1:80"), at("10.0.0.1:80"), IN_USE),
        (tcp, at("10.0.0.1:80"), at("10.0.0.1:81"), Ok(())),
        (tcp, at("10.0.0.1:80"), at("127.0.0.1:80"), Ok(())),
        (udp, at("0.0.0.0:80"), at("127.0.0.1:80"), IN_USE),
        (tcp, at("127.0.0.1:80"), at("0.0.0.0:80"), IN_USE),
        // SO_REUSEADDR: for TCP only while nobody listens.
        (tcp, reuse("0.0.0.0:80"), reuse("0.0.0.0:80"), Ok(())),
        (tcp, listens(reuse("0.0.0.0:80")), reuse("0.0.0.0:80"), IN_USE),
        (tcp, reuse("0.0.0.0:80"), at("0.0.0.0:80"), IN_USE),
        (udp, reuse("0.0.0.0:80"), reuse("0.0.0.0:80"), Ok(())),
        (udp, reuse("0.0.0.0:80"), at("0.0.0.0:80"), IN_USE),
        // SO_REUSEPORT: among sockets of one user, even if they listen.
        (tcp, listens(port("0.0.0.0:80", 7)), port("0.0.0.0:80", 7), Ok(())),
        (tcp, port("0.0.0.0:80", 7), port("0.0.0.0:80", 8), IN_USE),
        (udp, port("0.0.0.0:80", 7), port("0.0.0.0:80", 7), Ok(())),
        (udp, port("0.0.0.0:80", 7), at("0.0.0.0:80"), IN_USE),
        // Both families.
        (tcp, at("[::]:80"), at("0.0.0.0:80"), IN_USE),
        (tcp, at("0.0.0.0:80"), at("[::]:80"), IN_USE),
        (tcp, only("[::]:80"), at("0.0.0.0:80"), Ok(())),
        (tcp, at("0.0.0.0:80"), only("[::]:80"), Ok(())),
        (udp, at("10.0.0.1:80"), at("[::]:80"), IN_USE),
        (udp, at("[::ffff:10.0.0.1]:80"), at("10.0.0.1:80"), IN_USE),
        (udp, at("[::1]:80"), at("127.0.0.1:80"), Ok(())),
        (udp, at("[::1]:80"), at("[::]:80"), IN_USE),
        // Devices keep sockets apart.
        (udp, on("0.0.0.0:80", 1), on("0.0.0.0:80", 2), Ok(())),
        (udp, on("0.0.0.0:80", 1), on("0.0.0.0:80", 1), IN_USE),
        (udp, on("0.0.0.0:80", 1), at("0.0.0.0:80"), IN_USE),
    ];
    let mut net = Net::new();
    for (n, (ty, first, second, expected)) in cases.into_iter().enumerate() {
        let (one, result) = open(&mut net, ty, first);
        assert_eq!(result, Ok(()), "case {n}, first");
        let (two, result) = open(&mut net, ty, second);
        assert_eq!(result, expected, "case {n}: {} then {}", first.addr, second.addr);
        net.close(A, one);
        net.close(A, two);
        let (again, result) = open(&mut net, ty, second);
        assert_eq!(result, Ok(()), "case {n}: the name is free again");
        net.close(A, again);
    }
}

#[test]
fn addresses_that_cannot_be_bound() {
    let mut net = Net::new();
    let bind = |net: &mut Net, family, addr: &str| {
        let s = net.socket(A, family, SockType::Dgram);
        net.bind(A, s, addr)
    };
    assert_eq!(bind(&mut net, Family::Inet, "192.0.2.1:1"), Err(SockError::AddressNotAvailable));
    assert_eq!(bind(&mut net, Family::Inet, "[::1]:1"), Err(SockError::AddressFamily));
    assert_eq!(bind(&mut net, Family::Inet6, "127.0.0.1:1"), Err(SockError::Invalid));
    assert_eq!(bind(&mut net, Family::Inet6, "[2001:db8::1]:1"), Err(SockError::AddressNotAvailable));
    assert_eq!(bind(&mut net, Family::Inet6, "[fe80::1]:1"), Err(SockError::Invalid), "no scope");
    assert_eq!(bind(&mut net, Family::Inet, "239.0.0.1:1"), Ok(()));
    let s = net.udp(A);
    net.call(A, |ns, t| ns.set_option(t, s, SockOpt::IpFreebind(true))).unwrap();
    assert_eq!(net.bind(A, s, "192.0.2.1:1"), Ok(()));
    assert_eq!(net.bind(A, s, "192.0.2.1:2"), Err(SockError::Invalid), "bound already");
}

#[test]
fn ports_are_chosen_within_the_range_until_it_is_used_up() {
    let mut net = Net::new();
    net.call(A, |ns, t| ns.set_sysctl(t, "ipv4.ip_local_port_range", "40000 40009")).unwrap();
    net.call(A, |ns, t| ns.set_sysctl(t, "ipv4.ip_local_reserved_ports", "40003")).unwrap();
    let mut ports: Vec<u16> = (0..9)
        .map(|_| {
            let s = net.udp_at(A, "0.0.0.0:0");
            net.host[A].local_addr(s).unwrap().port()
        })
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, [40000, 40001, 40002, 40004, 40005, 40006, 40007, 40008, 40009]);
    let s = net.udp(A);
    assert_eq!(net.bind(A, s, "0.0.0.0:0"), Err(SockError::AddressInUse));
    assert_eq!(net.send_to(A, s, b"x", "10.0.0.2:1"), Err(SockError::WouldBlock));
    // Connections to different peers share local ports.
    let mut last = Ok(netspace_stack::sock::Connect::Done);
    for peer in ["10.0.0.2:1", "10.0.0.2:2"] {
        for _ in 0..9 {
            let s = net.tcp(A);
            net.connect(A, s, peer).unwrap();
        }
        let s = net.tcp(A);
        last = net.connect(A, s, peer);
    }
    assert_eq!(last, Err(SockError::AddressNotAvailable));
}
