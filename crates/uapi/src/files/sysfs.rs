//! `/sys/class/net/<device>/…`.

use netspace_stack::Netns;
use netspace_stack::dev::{DevStats, Device};

use crate::netlink::route::{hardware_type, oper_state};

/// An attribute of a device; none: reading it fails, as if it were not there.
type Attribute = fn(&Device) -> Option<String>;

static ATTRIBUTES: &[(&str, Attribute)] = &[
    ("addr_assign_type", |_| Some("3".to_owned())),
    ("addr_len", |_| Some("6".to_owned())),
    ("address", |d| Some(mac(d.mac))),
    ("broadcast", |d| Some(mac(if d.is_loopback() { [0; 6] } else { [0xff; 6] }))),
    // A device that is down does not tell (EINVAL on Linux).
    ("carrier", |d| d.is_up().then(|| u8::from(d.carrier).to_string())),
    ("carrier_changes", |d| Some(d.stats.carrier_changes.to_string())),
    ("dev_id", |_| Some("0x0".to_owned())),
    ("dev_port", |_| Some("0".to_owned())),
    ("dormant", |d| d.is_up().then(|| "0".to_owned())),
    ("duplex", |d| (!d.is_loopback() && d.is_up()).then(|| "full".to_owned())),
    // Without what follows from the state, as set by the administrator: UP, BROADCAST, LOOPBACK, NOARP, PROMISC, …
    ("flags", |d| Some(format!("{:#x}", d.flags().bits() & 0xffff & !0x40))),
    ("gro_flush_timeout", |_| Some("0".to_owned())),
    ("ifalias", |_| Some(String::new())),
    ("ifindex", |d| Some(d.id.0.to_string())),
    ("iflink", |d| Some(d.id.0.to_string())),
    ("link_mode", |_| Some("0".to_owned())),
    ("mtu", |d| Some(d.mtu.to_string())),
    ("name_assign_type", |_| Some("3".to_owned())),
    ("netdev_group", |_| Some("0".to_owned())),
    ("operstate", |d| Some(oper_state(d).1.to_owned())),
    ("proto_down", |_| Some("0".to_owned())),
    ("speed", |d| (!d.is_loopback() && d.is_up()).then(|| "10000".to_owned())),
    ("testing", |d| d.is_up().then(|| "0".to_owned())),
    ("tx_queue_len", |d| Some(d.tx_queue_len.to_string())),
    ("type", |d| Some(hardware_type(d).to_string())),
    ("uevent", |d| Some(format!("INTERFACE={}\nIFINDEX={}", d.name, d.id.0))),
];

/// A number of a device.
type Number = fn(&DevStats) -> u64;

static STATISTICS: &[(&str, Number)] = &[
    ("collisions", |_| 0),
    ("multicast", |s| s.multicast),
    ("rx_bytes", |s| s.rx_bytes),
    ("rx_compressed", |_| 0),
    ("rx_crc_errors", |_| 0),
    ("rx_dropped", |s| s.rx_dropped),
    ("rx_errors", |s| s.rx_errors),
    ("rx_fifo_errors", |_| 0),
    ("rx_frame_errors", |_| 0),
    ("rx_length_errors", |_| 0),
    ("rx_missed_errors", |_| 0),
    ("rx_nohandler", |_| 0),
    ("rx_over_errors", |_| 0),
    ("rx_packets", |s| s.rx_packets),
    ("tx_aborted_errors", |_| 0),
    ("tx_bytes", |s| s.tx_bytes),
    ("tx_carrier_errors", |_| 0),
    ("tx_compressed", |_| 0),
    ("tx_dropped", |s| s.tx_dropped),
    ("tx_errors", |s| s.tx_errors),
    ("tx_fifo_errors", |_| 0),
    ("tx_heartbeat_errors", |_| 0),
    ("tx_packets", |s| s.tx_packets),
    ("tx_window_errors", |_| 0),
];

/// An Ethernet address with colons.
pub(super) fn mac(mac: [u8; 6]) -> String {
    mac.map(|b| format!("{b:02x}")).join(":")
}

pub(super) fn read(ns: &Netns, path: &str) -> Option<String> {
    let (name, rest) = path.split_once('/')?;
    let device = ns.dev.by_name(name)?;
    if let Some(number) = rest.strip_prefix("statistics/") {
        let (_, of) = STATISTICS.iter().find(|(known, _)| *known == number)?;
        return Some(format!("{}\n", of(&device.stats)));
    }
    let (_, of) = ATTRIBUTES.iter().find(|(known, _)| *known == rest)?;
    // An alias that is not set reads as nothing at all.
    of(device).map(|value| if value.is_empty() { value } else { format!("{value}\n") })
}

pub(super) fn list(ns: &Netns, path: &str) -> Option<Vec<(String, bool)>> {
    let file = |name: &str| (name.to_owned(), false);
    if path.is_empty() {
        return Some(ns.dev.iter().map(|d| (d.name.clone(), true)).collect());
    }
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    ns.dev.by_name(name)?;
    match rest {
        "" => {
            let mut entries: Vec<_> = ATTRIBUTES.iter().map(|(name, _)| file(name)).collect();
            entries.push(("statistics".to_owned(), true));
            entries.sort();
            Some(entries)
        }
        "statistics" => Some(STATISTICS.iter().map(|(name, _)| file(name)).collect()),
        _ => None,
    }
}
