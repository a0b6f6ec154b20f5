//! A host as in the recorded corpus: `lo`, and `eth0` with 10.0.0.1/24 and fd00:a::1/64, default routes by .254.

use netspace_base::{DevId, NsId, Seed};
use netspace_stack::{Netns, NetnsConfig, Turn};
use netspace_uapi::netlink::{NETLINK_ROUTE, NetlinkSocket};

/// A namespace with what is lent to it.
pub(crate) struct Host {
    pub(crate) ns: Netns,
    pub(crate) turn: Turn,
    pub(crate) eth0: DevId,
}

impl Host {
    pub(crate) fn new() -> Self {
        let mut turn = Turn::default();
        let config = NetnsConfig { id: NsId(1), name: "host".to_owned(), seed: Seed(1) };
        let mut ns = Netns::new(config, &mut turn);
        let mac = [0xf6, 0x7c, 0xeb, 0x01, 0x5c, 0x60];
        let eth0 = ns.add_link_end(&mut turn, "eth0", mac, 1500).expect("a new name");
        ns.set_carrier(&mut turn, eth0, true);
        ns.set_up(&mut turn, eth0, true).expect("it exists");
        ns.add_address(&mut turn, eth0, "10.0.0.1/24".parse().unwrap(), true).expect("a new address");
        ns.add_address(&mut turn, eth0, "fd00:a::1/64".parse().unwrap(), true).expect("a new address");
        for (prefix, via) in [("0.0.0.0/0", "10.0.0.254"), ("::/0", "fd00:a::254")] {
            let via = Some(via.parse().unwrap());
            let metric = if prefix == "::/0" { 1024 } else { 0 };
            ns.add_route(&mut turn, prefix.parse().unwrap(), via, Some(eth0), metric).expect("a new route");
        }
        Self { ns, turn, eth0 }
    }

    /// Sends a datagram on a new `NETLINK_ROUTE` socket (strict, with extended errors, port 99); its replies in order.
    pub(crate) fn ask(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let mut socket = NetlinkSocket::new(NETLINK_ROUTE).expect("served");
        socket.set_option(libc::NETLINK_EXT_ACK, &1i32.to_ne_bytes()).expect("known");
        socket.set_option(12, &1i32.to_ne_bytes()).expect("known");
        self.ask_on(&mut socket, datagram)
    }

    pub(crate) fn ask_on(&mut self, socket: &mut NetlinkSocket, datagram: &[u8]) -> Vec<Vec<u8>> {
        socket.autobind(99);
        socket.request(&mut self.ns, &mut self.turn, datagram);
        std::iter::from_fn(|| socket.recv(1 << 16, false).ok().map(|d| d.data)).collect()
    }
}
