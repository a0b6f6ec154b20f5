//! One TCP flow between two smoltcp interfaces in one process: `smoltcp_flow MTU MEGABYTES` prints Gbit per CPU-second.
//!
//! Checksums are off on both sides, as netspace leaves them to the (absent) hardware too.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use netspace_bench::cpu_seconds;
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, Ipv4Address};

type Queue = Rc<RefCell<VecDeque<Vec<u8>>>>;

struct End {
    rx: Queue,
    tx: Queue,
    mtu: usize,
}

struct Rx(Vec<u8>);
struct Tx(Queue);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Tx {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.borrow_mut().push_back(frame);
        result
    }
}

impl Device for End {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx;

    fn receive(&mut self, _: Instant) -> Option<(Rx, Tx)> {
        let frame = self.rx.borrow_mut().pop_front()?;
        Some((Rx(frame), Tx(self.tx.clone())))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx> {
        (self.tx.borrow().len() < 64).then(|| Tx(self.tx.clone()))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + 14;
        let mut checksum = ChecksumCapabilities::ignored();
        checksum.ipv4 = Checksum::None;
        checksum.tcp = Checksum::None;
        capabilities.checksum = checksum;
        capabilities
    }
}

fn interface(device: &mut End, last: u8) -> Interface {
    let mac = EthernetAddress([2, 0, 0, 0, 0, last]);
    let mut interface = Interface::new(Config::new(mac.into()), device, Instant::ZERO);
    interface.update_ip_addrs(|addrs| {
        let _ = addrs.push(IpCidr::new(IpAddress::Ipv4(Ipv4Address::new(10, 0, 0, last)), 24));
    });
    interface
}

fn socket() -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; 1 << 20]);
    Socket::new(buffer(), buffer())
}

fn main() {
    let mut args = std::env::args().skip(1).map(|a| a.parse::<usize>().expect("a number"));
    let mtu = args.next().unwrap_or(1500);
    let total = args.next().unwrap_or(2000) * 1_000_000;
    let (left, right) = (Queue::default(), Queue::default());
    let mut a = End { rx: left.clone(), tx: right.clone(), mtu };
    let mut b = End { rx: right, tx: left, mtu };
    let (mut ia, mut ib) = (interface(&mut a, 1), interface(&mut b, 2));
    let (mut sa, mut sb) = (SocketSet::new(vec![]), SocketSet::new(vec![]));
    let (ha, hb) = (sa.add(socket()), sb.add(socket()));
    sb.get_mut::<Socket<'_>>(hb).listen(80).expect("listen");
    let peer = (IpAddress::Ipv4(Ipv4Address::new(10, 0, 0, 2)), 80);
    sa.get_mut::<Socket<'_>>(ha).connect(ia.context(), peer, 50_000).expect("connect");
    let chunk = vec![7u8; 64 * 1024];
    let mut sink = vec![0u8; 64 * 1024];
    let started = cpu_seconds();
    let mut received = 0;
    let mut tick = 0i64;
    while received < total {
        tick += 10;
        let now = Instant::from_micros(tick);
        ia.poll(now, &mut a, &mut sa);
        let sender = sa.get_mut::<Socket<'_>>(ha);
        while sender.can_send() && sender.send_slice(&chunk).is_ok_and(|n| n > 0) {}
        ib.poll(now, &mut b, &mut sb);
        let receiver = sb.get_mut::<Socket<'_>>(hb);
        while receiver.can_recv() {
            received += receiver.recv_slice(&mut sink).expect("receive");
        }
    }
    let cpu = cpu_seconds() - started;
    println!("{:.1}", received as f64 * 8.0 / 1e9 / cpu);
}
