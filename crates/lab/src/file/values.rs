//! Single values that several sections use: addresses, MACs, MTUs, prefixes, name ranges.

use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::node;
use super::quantity::BadQuantity;
use super::reader::{Fields, scalar};
use super::types::AddressText;

/// Reads an address with or without prefix length.
pub(super) fn address(
    node: &node::Node,
    key: &str,
    out: &mut Diagnostics,
) -> Option<(AddressText, Range<usize>)> {
    let text = scalar(node, key, out)?;
    let (addr, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
    let Ok(addr) = addr.parse::<IpAddr>() else {
        let d = Diagnostic::error(&node.span, format!("`{text}` is not an IP address"));
        out.push(d.help("write it like 10.0.1.5/24 or fd00::5/64"));
        return None;
    };
    let longest = if addr.is_ipv4() { 32 } else { 128 };
    let prefix_len = match prefix.map(str::parse::<u8>) {
        None => None,
        Some(Ok(len)) if (1..=longest).contains(&len) => Some(len),
        Some(_) => {
            let d =
                Diagnostic::error(&node.span, format!("`{text}`: the prefix length must be 1 to {longest}"));
            out.push(d.help(format!("write it like {addr}/{}", if addr.is_ipv4() { 24 } else { 64 })));
            return None;
        }
    };
    Some((AddressText { addr, prefix_len }, node.span.clone()))
}

/// Reads `02:00:00:00:00:01`.
pub(super) fn mac(text: &str) -> Result<[u8; 6], BadQuantity> {
    let bad = |message: String| BadQuantity { message, help: "write it like 02:00:00:00:00:01".into() };
    let parts: Vec<Option<u8>> = text
        .split([':', '-'])
        .map(|p| if p.len() == 2 { u8::from_str_radix(p, 16).ok() } else { None })
        .collect();
    let bytes: Option<Vec<u8>> = parts.into_iter().collect();
    let mac: [u8; 6] =
        bytes.and_then(|b| b.try_into().ok()).ok_or_else(|| bad(format!("`{text}` is not a MAC address")))?;
    if mac[0] & 1 != 0 {
        return Err(bad(format!("{text} is a group's MAC address: the lowest bit of its first byte is set")));
    }
    if mac == [0; 6] {
        return Err(bad(format!("{text} is no device's MAC address")));
    }
    Ok(mac)
}

/// Takes `mtu`: RFC 791 asks every link for 68 bytes.
pub(super) fn mtu(fields: &mut Fields<'_>, out: &mut Diagnostics) -> Option<(u32, Range<usize>)> {
    let parse = |text: &str| match text.parse::<u64>() {
        Ok(n) if n < 68 => Err(BadQuantity {
            message: format!("{n} is too small: IPv4 needs at least 68 bytes (RFC 791)"),
            help: "write 1280 or more to have IPv6 as well; 1500 is Ethernet's".into(),
        }),
        Ok(n) if n > 65_535 => Err(BadQuantity {
            message: format!("{n} is too large: an IPv4 packet has at most 65535 bytes (RFC 791)"),
            help: "write 65535 or less; 9000 is usual for jumbo frames".into(),
        }),
        Ok(n) => Ok(n as u32),
        Err(_) => Err(BadQuantity {
            message: format!("`{text}` is not a number of bytes"),
            help: "write it like 1500".into(),
        }),
    };
    fields.parsed("mtu", out, parse)
}

/// Reads where a route leads.
pub(super) fn prefix(text: &str) -> Result<IpNet, BadQuantity> {
    let bad = || BadQuantity {
        message: format!("`{text}` is not a prefix"),
        help: "write it like 10.9.0.0/16, fd00:9::/48 or default".into(),
    };
    if text == "default" {
        return Ok(IpNet::new_assert(IpAddr::from([0, 0, 0, 0]), 0));
    }
    let net: IpNet = match text.parse() {
        Ok(net) => net,
        Err(_) => IpNet::from(text.parse::<IpAddr>().map_err(|_| bad())?),
    };
    if net.trunc() != net {
        return Err(BadQuantity {
            message: format!("{net} has bits set behind its prefix"),
            help: format!("did you mean `{}`?", net.trunc()),
        });
    }
    Ok(net)
}

/// `h[1-30]` gives h1 … h30; `h[01-10]` keeps the zeros; anything else itself.
pub(super) fn expand_range(name: &str) -> Vec<String> {
    /// Keeps a typing error from asking for a billion hosts.
    const LONGEST: u32 = 65_536;
    let range = || {
        let (head, rest) = name.split_once('[')?;
        let (range, tail) = rest.split_once(']')?;
        let (from, to) = range.split_once('-')?;
        let (first, last): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
        if last < first || last - first >= LONGEST {
            return None;
        }
        let width = if from.starts_with('0') { from.len() } else { 0 };
        Some((first..=last).map(|n| format!("{head}{n:0width$}{tail}")).collect())
    };
    range().unwrap_or_else(|| vec![name.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_expand() {
        assert_eq!(expand_range("h[8-11]"), ["h8", "h9", "h10", "h11"]);
        assert_eq!(expand_range("h[08-10]x"), ["h08x", "h09x", "h10x"]);
        assert_eq!(expand_range("h[3-1]"), ["h[3-1]"]);
        assert_eq!(expand_range("host"), ["host"]);
    }
}
