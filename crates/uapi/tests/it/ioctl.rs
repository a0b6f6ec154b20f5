//! Device ioctls: the bytes that Linux 6.18 gave for the same requests.

use crate::common::Host;
use netspace_uapi::ioctl::{self, number};

/// An `ifreq` whose union is filled with 0xaa.
fn ifreq(name: &str) -> Vec<u8> {
    let mut out = name.as_bytes().to_vec();
    out.resize(16, 0);
    out.resize(ioctl::IFREQ_LEN, 0xaa);
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn union(host: &mut Host, name: &str, request: u32) -> Result<String, i32> {
    let answer = ioctl::interface(&mut host.ns, &mut host.turn, request, &ifreq(name)).expect("known");
    answer.map(|bytes| hex(&bytes[16..])).map_err(|e| e.0)
}

#[test]
fn getters_fill_what_they_know_and_leave_the_rest() {
    let mut host = Host::new();
    let aa = |n: usize| "aa".repeat(n);
    let mut get = |name: &str, request| union(&mut host, name, request);
    assert_eq!(get("lo", number::SIOCGIFINDEX), Ok("01000000".to_owned() + &aa(20)));
    assert_eq!(get("lo", number::SIOCGIFADDR), Ok("020000007f0000010000000000000000".to_owned() + &aa(8)));
    assert_eq!(get("lo", number::SIOCGIFNETMASK), Ok("02000000ff0000000000000000000000".to_owned() + &aa(8)));
    assert_eq!(get("lo", number::SIOCGIFBRDADDR), Ok("02000000000000000000000000000000".to_owned() + &aa(8)));
    assert_eq!(get("lo", number::SIOCGIFFLAGS), Ok("4900".to_owned() + &aa(22)));
    assert_eq!(get("lo", number::SIOCGIFMTU), Ok("00000100".to_owned() + &aa(20)));
    assert_eq!(get("lo", number::SIOCGIFHWADDR), Ok("0403000000000000".to_owned() + &aa(16)));
    assert_eq!(get("lo", number::SIOCGIFMAP), Ok("00".repeat(21) + &aa(3)));
    assert_eq!(get("eth0", number::SIOCGIFFLAGS), Ok("4310".to_owned() + &aa(22)));
    assert_eq!(get("eth0", number::SIOCGIFHWADDR), Ok("0100f67ceb015c60".to_owned() + &aa(16)));
    assert_eq!(get("nope", number::SIOCGIFMTU), Err(libc::ENODEV));
    assert_eq!(get("eth0", number::SIOCETHTOOL), Err(libc::EOPNOTSUPP));
}

#[test]
fn names_and_lists() {
    let mut host = Host::new();
    let mut by_index = ifreq("");
    by_index[..16].fill(0xaa);
    by_index[16..20].copy_from_slice(&1u32.to_ne_bytes());
    let answer = ioctl::interface(&mut host.ns, &mut host.turn, number::SIOCGIFNAME, &by_index);
    assert_eq!(
        answer.expect("known").map(|b| hex(&b[..20])),
        Ok("6c6f00".to_owned() + &"aa".repeat(13) + "01000000")
    );
    let all = ioctl::ifconf(&host.ns, None);
    assert_eq!(all.len(), 80);
    assert_eq!(hex(&all[..32]), "6c6f0000000000000000000000000000020000007f0000010000000000000000");
    assert_eq!(ioctl::ifconf(&host.ns, Some(79)).len(), 40);
    assert_eq!(ioctl::interface(&mut host.ns, &mut host.turn, 0x8990, &ifreq("lo")), None);
}

#[test]
fn setters_change_the_device() {
    let mut host = Host::new();
    let set = |host: &mut Host, request: u32, value: &[u8]| {
        let mut ifreq = ifreq("eth0");
        ifreq[16..16 + value.len()].copy_from_slice(value);
        ioctl::interface(&mut host.ns, &mut host.turn, request, &ifreq).expect("known").map(|_| ())
    };
    set(&mut host, number::SIOCSIFMTU, &1400u32.to_ne_bytes()).expect("in range");
    set(&mut host, number::SIOCSIFADDR, &[2, 0, 0, 0, 192, 0, 2, 7]).expect("an address");
    set(&mut host, number::SIOCSIFNETMASK, &[2, 0, 0, 0, 255, 255, 255, 128]).expect("a mask");
    assert!(set(&mut host, number::SIOCSIFNETMASK, &[2, 0, 0, 0, 255, 0, 255, 0]).is_err(), "not a prefix");
    let device = host.ns.dev.by_name("eth0").expect("it is there");
    assert_eq!(
        (device.mtu, device.addrs4[0].addr.to_string(), device.addrs4[0].prefix_len),
        (1400, "192.0.2.7".into(), 25)
    );
    set(&mut host, number::SIOCSIFFLAGS, &[0, 0]).expect("down");
    assert!(!host.ns.dev.by_name("eth0").expect("it is there").is_up());
}

#[test]
fn routes_come_and_go_the_old_way() {
    let mut host = Host::new();
    let entry = |dst: [u8; 4], mask: [u8; 4], flags: u16, via: [u8; 4], metric: u16| {
        let mut out = vec![0; ioctl::RTENTRY_LEN];
        for (at, addr) in [(8, dst), (24, via), (40, mask)] {
            out[at] = 2;
            out[at + 4..at + 8].copy_from_slice(&addr);
        }
        out[56..58].copy_from_slice(&flags.to_ne_bytes());
        out[80..82].copy_from_slice(&metric.to_ne_bytes());
        out
    };
    let net = entry([10, 50, 0, 0], [255, 255, 0, 0], 3, [10, 0, 0, 254], 6);
    let mut call = |request, entry: &[u8], dev| {
        ioctl::route(&mut host.ns, &mut host.turn, request, entry, dev).map_err(|e| e.0)
    };
    assert_eq!(call(number::SIOCADDRT, &net, None), Ok(()));
    assert_eq!(call(number::SIOCADDRT, &net, None), Err(libc::EEXIST));
    assert_eq!(call(number::SIOCADDRT, &net, Some("nope")), Err(libc::ENODEV));
    let odd = entry([10, 50, 0, 0], [255, 0, 255, 0], 1, [0; 4], 0);
    assert_eq!(call(number::SIOCADDRT, &odd, Some("eth0")), Err(libc::EINVAL));
    assert_eq!(call(number::SIOCDELRT, &net, Some("eth0")), Ok(()));
    assert_eq!(call(number::SIOCDELRT, &net, None), Err(libc::ESRCH));
    assert_eq!(call(number::SIOCADDRT, &[0; 20], None), Err(libc::EFAULT));
}
