//! Policy rules: `RTM_GETRULE`.
//!
//! `struct fib_rule_hdr { u8 family, dst_len, src_len, tos, table, res1, res2, action; u32 flags; }`, then `FRA_*`.

use ipnet::IpNet;
use netspace_base::DevId;
use netspace_fib::{Fib, Net, Rule};
use netspace_stack::{Netns, Turn};

use super::super::{NlError, Replies, Request};
use super::{AF_INET, AF_INET6, rtm};

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
