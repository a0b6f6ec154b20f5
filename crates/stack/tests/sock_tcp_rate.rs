//! Congestion control and pacing as programs and administrators set and see them.

mod sock_common;

use std::time::Duration;

use netspace_base::Bytes;
use netspace_stack::sock::{ControllerInfo, Message, OptName, SockError, SockId, SockOpt, TcpInfo};
use sock_common::{A, B, Net};

const MS: Duration = Duration::from_millis(1);

fn congestion(net: &mut Net, host: usize, socket: SockId) -> String {
    match net.call(host, |ns, t| ns.option(t, socket, OptName::TcpCongestion)) {
        Ok(SockOpt::TcpCongestion(name)) => name,
        other => panic!("{other:?}"),
    }
}

fn controller(net: &mut Net, host: usize, socket: SockId) -> Option<ControllerInfo> {
    match net.call(host, |ns, t| ns.option(t, socket, OptName::TcpCcInfo)) {
        Ok(SockOpt::TcpCcInfo(info)) => info,
        other => panic!("{other:?}"),
    }
}

fn info(net: &mut Net, host: usize, socket: SockId) -> TcpInfo {
    match net.call(host, |ns, t| ns.option(t, socket, OptName::TcpInfo)) {
        Ok(SockOpt::TcpInfo(info)) => *info,
        other => panic!("{other:?}"),
    }
}

/// Sends `len` bytes from A to B; how long it took.
fn send(net: &mut Net, c: SockId, s: SockId, len: usize) -> Duration {
    let data = Bytes::from(vec![7; 64 << 10]);
    let (mut sent, mut got) = (0, 0);
    let start = net.t.now;
    while got < len {
        while sent < len {
            let part = data.slice(..data.len().min(len - sent));
            match net.call(A, |ns, t| ns.send(t, c, Message { data: part, ..Message::default() })) {
                Ok(n) => sent += n,
                Err(error) => {
                    assert_eq!(error, SockError::WouldBlock);
                    break;
                }
            }
        }
        net.advance(MS);
        got += net.recv_bytes(B, s).map_or(0, |bytes| bytes.len());
        assert!(net.t.now - start < Duration::from_secs(60), "{got} of {len} bytes");
    }
    net.t.now - start
}

#[test]
fn the_sysctl_chooses_for_new_sockets_and_the_option_for_one() {
    let mut net = Net::new();
    let old = net.tcp(A);
    net.call(A, |ns, t| ns.set_sysctl(t, "net.ipv4.tcp_congestion_control", "bbr")).unwrap();
    let new = net.tcp(A);
    assert_eq!((congestion(&mut net, A, old), congestion(&mut net, A, new)), ("cubic".into(), "bbr".into()));
    for name in ["reno", "cubic", "bbr", "bbr3", "dctcp"] {
        net.call(A, |ns, t| ns.set_option(t, new, SockOpt::TcpCongestion(name.into()))).unwrap();
        assert_eq!(congestion(&mut net, A, new), name);
    }
    let unknown = net.call(A, |ns, t| ns.set_sysctl(t, "net.ipv4.tcp_congestion_control", "swift"));
    assert_eq!(unknown, Err(SockError::NoEntry));
    let available = net.host[A].sysctl("net.ipv4.tcp_available_congestion_control").unwrap();
    let allowed = net.host[A].sysctl("net.ipv4.tcp_allowed_congestion_control").unwrap();
    assert_eq!((available.as_str(), allowed.as_str()), ("reno cubic bbr bbr3 dctcp", "reno cubic bbr bbr3"));
    assert!(net.host[A].sysctl_names().contains(&"ipv4.tcp_allowed_congestion_control".to_owned()));
}

#[test]
fn controllers_tell_of_themselves() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    let (c, s) = net.connection(A, B, l, "10.0.0.2:80");
    net.delay = MS * 5;
    assert_eq!(controller(&mut net, A, c), None, "CUBIC has nothing to tell, on Linux neither");
    net.call(A, |ns, t| ns.set_option(t, c, SockOpt::TcpCongestion("bbr".into()))).unwrap();
    send(&mut net, c, s, 2 << 20);
    let Some(ControllerInfo::Bbr(bbr)) = controller(&mut net, A, c) else { panic!("it is BBR") };
    assert!(bbr.min_rtt < MS * 12, "{bbr:?}");
    assert!(bbr.bandwidth > 1_000_000, "{bbr:?}");
    let told = info(&mut net, A, c);
    assert!(told.pacing_rate > told.delivery_rate / 2 && told.pacing_rate < u64::MAX, "{told:?}");
    assert!(told.busy_time > MS * 10 && told.delivered > 1_300, "{told:?}");
    assert_eq!(net.host[A].tcp_cc_info(c), Some(ControllerInfo::Bbr(bbr)));
}

#[test]
fn accepted_sockets_have_their_listeners_controller() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    net.call(B, |ns, t| ns.set_option(t, l, SockOpt::TcpCongestion("dctcp".into()))).unwrap();
    net.call(A, |ns, t| ns.set_sysctl(t, "net.ipv4.tcp_congestion_control", "dctcp")).unwrap();
    net.call(B, |ns, t| ns.set_sysctl(t, "net.ipv4.tcp_ecn", "0")).unwrap();
    let (c, s) = net.connection(A, B, l, "10.0.0.2:80");
    assert_eq!(congestion(&mut net, B, s), "dctcp");
    for (host, socket) in [(A, c), (B, s)] {
        assert_eq!(info(&mut net, host, socket).options & 8, 8, "ECN, whatever the sysctl says");
        let told = controller(&mut net, host, socket);
        assert!(matches!(told, Some(ControllerInfo::Dctcp(dctcp)) if dctcp.enabled), "{told:?}");
    }
}

#[test]
fn a_bound_of_the_pacing_rate_is_kept() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    let (c, s) = net.connection(A, B, l, "10.0.0.2:80");
    net.call(A, |ns, t| ns.set_option(t, c, SockOpt::MaxPacingRate(1_000_000))).unwrap();
    let time = send(&mut net, c, s, 2_000_000);
    assert!((1_850..2_100).contains(&time.as_millis()), "{time:?}");
    let told = info(&mut net, A, c);
    assert_eq!((told.pacing_rate, told.max_pacing_rate), (1_000_000, 1_000_000));
}

#[test]
fn pacing_sysctls_take_effect() {
    let mut net = Net::new();
    for (name, value) in [("tcp_pacing_ss_ratio", "1000"), ("tcp_pacing_ca_ratio", "1000")] {
        net.call(A, |ns, t| ns.set_sysctl(t, &format!("net.ipv4.{name}"), value)).unwrap();
    }
    let refused = net.call(A, |ns, t| ns.set_sysctl(t, "net.ipv4.tcp_pacing_ca_ratio", "1001"));
    assert_eq!(refused, Err(SockError::Invalid));
    let l = net.listener(B, "0.0.0.0:80", 8);
    let (c, s) = net.connection(A, B, l, "10.0.0.2:80");
    net.delay = MS * 10;
    send(&mut net, c, s, 100_000);
    let told = info(&mut net, A, c);
    // Ten windows in a round trip.
    let rate = u64::from(told.snd_cwnd * told.snd_mss) * 10 * 1_000_000 / told.rtt.as_micros() as u64;
    assert!(told.pacing_rate.abs_diff(rate) < rate / 20, "{} of {rate}", told.pacing_rate);
}
