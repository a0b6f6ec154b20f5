//! Policy rules: `RTM_GETRULE`.
//!
//! `struct fib_rule_hdr { u8 family, dst_len, src_len, tos, table, res1, res2, action; u32 flags; }`, then `FRA_*`.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netspace_base::DevId;
use netspace_fib::{Fib, Net, Rule, TABLE_MAIN};
use netspace_stack::{Netns, Turn};

use super::super::read::{Attrs, Kind, Policy};
use super::super::{NlError, Replies, Request, flag};
use super::{AF_INET, AF_INET6, rtm};
use crate::bytes_at::u32_at;

/// `sizeof(struct fib_rule_hdr)`.
const HEADER_LEN: usize = 12;
/// The most rules of a family.
const MAX_RULES: usize = 4096;

const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_PROTOCOL: u16 = 21;

/// `FR_ACT_TO_TBL`.
const TO_TABLE: u8 = 1;
/// `RTPROT_KERNEL`.
const BY_KERNEL: u8 = 2;

/// All rules of a family, or of both.
pub(super) fn dump(
    ns: &mut Netns,
    _t: &mut Turn,
    request: &Request<'_>,
    out: &mut Replies,
) -> Result<(), NlError> {
    match request.family() {
        0 => {
            dump_rules(ns, &ns.fib4, AF_INET, out);
            dump_rules(ns, &ns.fib6, AF_INET6, out);
        }
        AF_INET => dump_rules(ns, &ns.fib4, AF_INET, out),
        AF_INET6 => dump_rules(ns, &ns.fib6, AF_INET6, out),
        _ => return Err(NlError::new(libc::EAFNOSUPPORT, "Rule family not supported")),
    }
    Ok(())
}

fn dump_rules<N: Net + Into<IpNet>>(ns: &Netns, fib: &Fib<N>, family: u8, out: &mut Replies) {
    for rule in fib.rules() {
        write(ns, rule, family, out);
    }
}

fn write<N: Net + Into<IpNet>>(ns: &Netns, rule: &Rule<N>, family: u8, out: &mut Replies) {
    let (to, from): (Option<IpNet>, Option<IpNet>) = (rule.to.map(Into::into), rule.from.map(Into::into));
    let len = |net: Option<IpNet>| net.map_or(0, |n| n.prefix_len());
    let table = u8::try_from(rule.table).unwrap_or(252);
    let mut message = out.message(rtm::NEWRULE);
    message.raw(&[family, len(to), len(from), rule.tos.unwrap_or(0), table, 0, 0, TO_TABLE, 0, 0, 0, 0]);
    message.u32(FRA_TABLE, rule.table).u32(FRA_SUPPRESS_PREFIXLEN, u32::MAX).u8(FRA_PROTOCOL, BY_KERNEL);
    let name = |dev: DevId| ns.dev.get(dev).map_or("", |d| d.name.as_str());
    if let Some(dev) = rule.iif {
        message.text(FRA_IIFNAME, name(dev));
    }
    if let Some(dev) = rule.oif {
        message.text(FRA_OIFNAME, name(dev));
    }
    if rule.priority != 0 {
        message.u32(FRA_PRIORITY, rule.priority);
    }
    if let Some((mark, mask)) = rule.mark {
        message.u32(FRA_FWMARK, mark).u32(FRA_FWMASK, mask);
    }
    for (ty, net) in [(FRA_DST, to), (FRA_SRC, from)] {
        if let Some(net) = net {
            message.ip(ty, net.addr());
        }
    }
    out.push(message);
}

const POLICY: Policy = &[
    (FRA_DST, Kind::Ip),
    (FRA_SRC, Kind::Ip),
    (FRA_IIFNAME, Kind::Text(15)),
    (FRA_PRIORITY, Kind::U32),
    (FRA_FWMARK, Kind::U32),
    (FRA_SUPPRESS_PREFIXLEN, Kind::U32),
    (FRA_TABLE, Kind::U32),
    (FRA_FWMASK, Kind::U32),
    (FRA_OIFNAME, Kind::Text(15)),
    (FRA_PROTOCOL, Kind::U8),
];

/// A rule as a request says it; what is not said is not a condition.
struct Named<N: Net> {
    rule: Rule<N>,
    priority: Option<u32>,
    table: Option<u32>,
}

fn read<N: Net>(
    ns: &Netns,
    request: &Request<'_>,
    of_family: fn(IpNet) -> Option<N>,
) -> Result<Named<N>, NlError> {
    // Dumps apart, attributes that are not known here are refused: a condition must not be forgotten.
    let attrs = Attrs::read(request.message, HEADER_LEN, POLICY, true)?;
    let [_, dst_len, src_len, tos, table, _, _, action, ref flags @ ..] = *request.body() else {
        return Err(NlError::new(libc::EINVAL, "Invalid msg length"));
    };
    if ![0, TO_TABLE].contains(&action) || u32_at(flags, 0).unwrap_or(0) != 0 {
        return Err(NlError::new(libc::EOPNOTSUPP, "only rules that name a table are supported here"));
    }
    let net = |ty: u16, len: u8| -> Result<Option<N>, NlError> {
        let Some(attr) = attrs.get(ty) else { return Ok(None) };
        let net = attr.ip().and_then(|addr| IpNet::new(addr, len).ok()).and_then(of_family);
        net.map(Some).ok_or(NlError::new(libc::EINVAL, "Invalid address length").at(attr.offset))
    };
    let dev = |ty: u16| -> Result<Option<DevId>, NlError> {
        let Some(attr) = attrs.get(ty) else { return Ok(None) };
        let device = ns.dev.by_name(attr.str().unwrap_or(""));
        device.map(|d| Some(d.id)).ok_or(NlError::new(libc::ENODEV, "no such device").at(attr.offset))
    };
    let table = attrs.u32(FRA_TABLE).or(Some(u32::from(table))).filter(|&table| table != 0);
    let rule = Rule {
        from: net(FRA_SRC, src_len)?,
        to: net(FRA_DST, dst_len)?,
        mark: attrs.u32(FRA_FWMARK).map(|mark| (mark, attrs.u32(FRA_FWMASK).unwrap_or(u32::MAX))),
        iif: dev(FRA_IIFNAME)?,
        oif: dev(FRA_OIFNAME)?,
        tos: Some(tos).filter(|&tos| tos != 0),
        ..Rule::for_all(0, table.unwrap_or(TABLE_MAIN))
    };
    Ok(Named { rule, priority: attrs.u32(FRA_PRIORITY), table })
}

const fn v4(net: IpNet) -> Option<Ipv4Net> {
    if let IpNet::V4(net) = net { Some(net) } else { None }
}

const fn v6(net: IpNet) -> Option<Ipv6Net> {
    if let IpNet::V6(net) = net { Some(net) } else { None }
}

/// Adds a rule; without a priority it goes before the first that is not 0, as on Linux.
pub(super) fn add(
    ns: &mut Netns,
    _t: &mut Turn,
    request: &Request<'_>,
    _out: &mut Replies,
) -> Result<(), NlError> {
    let excl = request.has(flag::EXCL);
    match request.family() {
        AF_INET => add_to(read(ns, request, v4)?, &mut ns.fib4, excl)?,
        _ => add_to(read(ns, request, v6)?, &mut ns.fib6, excl)?,
    }
    ns.routes_changed();
    Ok(())
}

fn add_to<N: Net>(named: Named<N>, fib: &mut Fib<N>, excl: bool) -> Result<(), NlError> {
    if fib.rules().len() >= MAX_RULES {
        return Err(NlError::bare(libc::ENOBUFS));
    }
    let before = || fib.rules().iter().map(|r| r.priority).find(|&p| p > 0).map_or(0, |p| p - 1);
    let rule = Rule { priority: named.priority.unwrap_or_else(before), ..named.rule };
    if excl && fib.rules().contains(&rule) {
        return Err(NlError::bare(libc::EEXIST));
    }
    fib.add_rule(rule);
    Ok(())
}

/// Removes the first rule that has all that is said.
pub(super) fn delete(
    ns: &mut Netns,
    _t: &mut Turn,
    request: &Request<'_>,
    _out: &mut Replies,
) -> Result<(), NlError> {
    match request.family() {
        AF_INET => delete_from(&read(ns, request, v4)?, &mut ns.fib4)?,
        _ => delete_from(&read(ns, request, v6)?, &mut ns.fib6)?,
    }
    ns.routes_changed();
    Ok(())
}

fn delete_from<N: Net>(named: &Named<N>, fib: &mut Fib<N>) -> Result<(), NlError> {
    let said = &named.rule;
    let fits = |rule: &Rule<N>| {
        named.priority.is_none_or(|p| rule.priority == p)
            && named.table.is_none_or(|table| rule.table == table)
            && (said.from.is_none() || said.from == rule.from)
            && (said.to.is_none() || said.to == rule.to)
            && (said.mark.is_none() || said.mark == rule.mark)
            && (said.iif.is_none() || said.iif == rule.iif)
            && (said.oif.is_none() || said.oif == rule.oif)
            && (said.tos.is_none() || said.tos == rule.tos)
    };
    fib.remove_rule(fits).map(|_| ()).map_err(|_| NlError::bare(libc::ENOENT))
}
