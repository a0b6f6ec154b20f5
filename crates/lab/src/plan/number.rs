//! Numbers to addresses: the 3rd segment is 10.0.3.0/24 and fd00:3::/64, and its host 12 is 10.0.3.12 and fd00:3::12.
//! The decimal digits are used as they stand in IPv6, so that the two read alike.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// The first subnet given: 10.0.1.0. 10.0.0.0/24 stays free.
const FIRST: u32 = u32::from_be_bytes([10, 0, 1, 0]);
/// The end of 10.0.0.0/8.
const END: u32 = u32::from_be_bytes([11, 0, 0, 0]);

/// Gives subnets one after the other.
#[derive(Debug)]
pub(super) struct Subnets {
    next: u32,
    taken4: Vec<Ipv4Net>,
    taken6: Vec<Ipv6Net>,
}

impl Subnets {
    /// None of `taken4`, `taken6` is given.
    pub(super) fn new(taken4: Vec<Ipv4Net>, taken6: Vec<Ipv6Net>) -> Self {
        Self { next: FIRST, taken4, taken6 }
    }

    /// The next pair of subnets with room for `stations`; none when 10.0.0.0/8 is used up.
    pub(super) fn next(&mut self, stations: usize) -> Option<(Ipv4Net, Ipv6Net)> {
        // Room for the network, everybody, and the numbers kept for routers.
        let needed = u32::try_from(stations).ok()?.checked_add(12)?.next_power_of_two().max(256);
        loop {
            let start = self.next.checked_next_multiple_of(needed)?;
            if start.checked_add(needed)? > END {
                return None;
            }
            self.next = start + needed;
            let len = 32 - needed.trailing_zeros() as u8;
            let v4 = Ipv4Net::new(Ipv4Addr::from(start), len).ok()?;
            let v6 = v6_of((start >> 8) & 0xffff);
            if !self.taken4.iter().any(|t| overlap4(t, &v4)) && !self.taken6.iter().any(|t| overlap6(t, &v6))
            {
                return Some((v4, v6));
            }
        }
    }
}

/// Whether two subnets share addresses.
pub(super) fn overlap4(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// Whether two subnets share addresses.
pub(super) fn overlap6(a: &Ipv6Net, b: &Ipv6Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

fn v6_of(number: u32) -> Ipv6Net {
    // Beyond four digits the number is written in hexadecimal, in a range of its own.
    let (first, second) = if number <= 9999 { (0xfd00, as_digits(number)) } else { (0xfd01, number as u16) };
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), 64)
}

/// 12 becomes 0x12.
fn as_digits(number: u32) -> u16 {
    let digit = |place: u32| (number / 10u32.pow(place) % 10) as u16;
    digit(3) << 12 | digit(2) << 8 | digit(1) << 4 | digit(0)
}

/// The address of station `number` in a subnet; none if the subnet is too small.
pub(super) fn station4(net: &Ipv4Net, number: u32) -> Option<Ipv4Addr> {
    // Both addresses of a /31 are stations' (RFC 3021): the second number gets the first of them.
    let number = if net.prefix_len() == 31 && number == 2 { 0 } else { number };
    let addr = Ipv4Addr::from(u32::from(net.network()).checked_add(number)?);
    let usable = net.prefix_len() >= 31 || (addr != net.network() && addr != net.broadcast());
    (net.contains(&addr) && usable).then_some(addr)
}

/// The address of station `number` in a subnet; none if the subnet is too small.
pub(super) fn station6(net: &Ipv6Net, number: u32) -> Option<Ipv6Addr> {
    let low = if number <= 9999 { u128::from(as_digits(number)) } else { 0x1_0000 + u128::from(number) };
    let addr = Ipv6Addr::from(u128::from(net.network()) | low);
    net.contains(&addr).then_some(addr)
}

/// The address that SLAAC makes of a prefix and a MAC (RFC 4862 §5.5.3, RFC 4291 appendix A).
pub(super) fn slaac(net: &Ipv6Net, mac: [u8; 6]) -> Ipv6Net {
    let [a, b, c, d, e, f] = mac;
    let id = u64::from_be_bytes([a ^ 0x02, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Net::new_assert(Ipv6Addr::from(u128::from(net.network()) | u128::from(id)), 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_follow_each_other_and_avoid_what_is_taken() {
        let taken = vec!["10.0.2.128/25".parse().unwrap()];
        let mut subnets = Subnets::new(taken, Vec::new());
        let mut next = |n| subnets.next(n).map(|(a, b)| format!("{a} {b}")).unwrap();
        assert_eq!(next(2), "10.0.1.0/24 fd00:1::/64");
        assert_eq!(next(2), "10.0.3.0/24 fd00:3::/64");
        assert_eq!(next(1000), "10.0.4.0/22 fd00:4::/64");
        assert_eq!(next(2), "10.0.8.0/24 fd00:8::/64");
        for _ in 9..12 {
            next(2);
        }
        assert_eq!(next(2), "10.0.12.0/24 fd00:12::/64");
    }

    #[test]
    fn both_families_have_the_same_digits() {
        let (v4, v6) = Subnets::new(Vec::new(), Vec::new()).next(2).unwrap();
        assert_eq!(station4(&v4, 12).unwrap().to_string(), "10.0.1.12");
        assert_eq!(station6(&v6, 12).unwrap().to_string(), "fd00:1::12");
        assert_eq!(station4(&v4, 255), None);
        assert_eq!(slaac(&v6, [2, 0, 0, 1, 0, 0]).to_string(), "fd00:1::ff:fe01:0/64");
    }
}
