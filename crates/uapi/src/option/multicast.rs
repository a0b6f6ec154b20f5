//! Source filters of multicast groups (RFC 3678), as setsockopt and getsockopt carry them.
//!
//! ```text
//! struct ip_mreq_source   { in_addr multiaddr, interface, sourceaddr; }                              12 bytes
//! struct ip_msfilter      { in_addr multiaddr, interface; u32 fmode, numsrc; in_addr slist[]; }      16 + 4 n
//! struct group_source_req { u32 interface; pad; sockaddr_storage group, source; }                    264
//! struct group_filter     { u32 interface; pad; sockaddr_storage group; u32 fmode, numsrc; sockaddr_storage slist[]; }
//!                                                                                                    144 + 128 n
//! ```

use std::net::{IpAddr, Ipv4Addr};

use netspace_base::DevId;
use netspace_stack::sock::{Filter, FilterMode, Membership, SourceFilter, SourceMembership};

use super::{SOL_IP, SOL_IPV6};
use crate::bytes_at::{array, u32_at};
use crate::errno::{EINVAL, Errno};
use crate::sockaddr;

/// `sizeof(struct sockaddr_storage)`.
const STORAGE_LEN: usize = 128;
const MS_FILTER_LEN: usize = 16;
const GROUP_FILTER_LEN: usize = 144;
/// Where `group_filter` has its group, and behind it the mode.
const GROUP_AT: usize = 8;
const MODE_AT: usize = GROUP_AT + STORAGE_LEN;

/// `IP_MSFILTER`; its kin of both families is `MCAST_MSFILTER`.
const IP_MSFILTER: i32 = 41;

/// A device's number; 0 is none.
pub(super) fn some_dev(index: u32) -> Option<DevId> {
    (index != 0).then_some(DevId(index))
}

pub(super) fn ipv4_at(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    array::<4>(bytes, at).map(Ipv4Addr::from)
}

pub(super) fn mreq_source(bytes: &[u8]) -> Result<SourceMembership, Errno> {
    let addrs = (ipv4_at(bytes, 0), ipv4_at(bytes, 4), ipv4_at(bytes, 8));
    let (Some(group), Some(local), Some(source)) = addrs else { return Err(EINVAL) };
    let local = Some(local).filter(|a| !a.is_unspecified());
    Ok(SourceMembership { at: Membership { group: group.into(), dev: None, local }, source: source.into() })
}

fn storage_at(bytes: &[u8], at: usize) -> Option<IpAddr> {
    bytes.get(at..at + STORAGE_LEN).and_then(sockaddr::parse_any).map(|addr| addr.ip())
}

fn group_at(bytes: &[u8]) -> Result<Membership, Errno> {
    let (Some(index), Some(group)) = (u32_at(bytes, 0), storage_at(bytes, GROUP_AT)) else {
        return Err(EINVAL);
    };
    Ok(Membership { group, dev: some_dev(index), local: None })
}

pub(super) fn group_source_req(bytes: &[u8]) -> Result<SourceMembership, Errno> {
    let source = storage_at(bytes, GROUP_AT + STORAGE_LEN).ok_or(EINVAL)?;
    Ok(SourceMembership { at: group_at(bytes)?, source })
}

/// IPv6's level takes IPv6 groups only.
pub(super) fn of_level(level: i32, at: Membership) -> Result<Membership, Errno> {
    if level == SOL_IPV6 && at.group.is_ipv4() { Err(Errno(libc::EADDRNOTAVAIL)) } else { Ok(at) }
}

fn mode(number: u32) -> Result<FilterMode, Errno> {
    match number {
        0 => Ok(FilterMode::Exclude),
        1 => Ok(FilterMode::Include),
        _ => Err(EINVAL),
    }
}

fn filter(
    bytes: &[u8],
    mode_at: usize,
    step: usize,
    source: impl Fn(usize) -> Option<IpAddr>,
) -> Result<Filter<IpAddr>, Errno> {
    let (Some(number), Some(count)) = (u32_at(bytes, mode_at), u32_at(bytes, mode_at + 4)) else {
        return Err(EINVAL);
    };
    let from = mode_at + 8;
    // More than the caller has given is no filter; neither is a list longer than any value.
    if count as usize > (bytes.len() - from) / step {
        return Err(EINVAL);
    }
    let sources: Option<Vec<IpAddr>> = (0..count as usize).map(|n| source(from + n * step)).collect();
    Ok(Filter { mode: mode(number)?, sources: sources.ok_or(EINVAL)? })
}

fn ms_group(bytes: &[u8]) -> Result<Membership, Errno> {
    let (Some(group), Some(local)) = (ipv4_at(bytes, 0), ipv4_at(bytes, 4)) else { return Err(EINVAL) };
    let local = Some(local).filter(|a| !a.is_unspecified());
    Ok(Membership { group: group.into(), dev: None, local })
}

pub(super) fn ms_filter(bytes: &[u8]) -> Result<SourceFilter, Errno> {
    let filter = filter(bytes, 8, 4, |at| ipv4_at(bytes, at).map(IpAddr::from))?;
    Ok(SourceFilter { at: ms_group(bytes)?, filter })
}

pub(super) fn group_filter(bytes: &[u8]) -> Result<SourceFilter, Errno> {
    let filter = filter(bytes, MODE_AT, STORAGE_LEN, |at| storage_at(bytes, at))?;
    Ok(SourceFilter { at: group_at(bytes)?, filter })
}

/// Which membership's filter a getsockopt call of `IP_MSFILTER` or `MCAST_MSFILTER` asks for: its value says so.
pub fn filter_request(level: i32, number: i32, value: &[u8]) -> Result<Membership, Errno> {
    match (level, number) {
        (SOL_IP, IP_MSFILTER) if value.len() >= MS_FILTER_LEN => ms_group(value),
        (SOL_IP | SOL_IPV6, _) if number != IP_MSFILTER && value.len() >= GROUP_FILTER_LEN => group_at(value),
        _ => Err(EINVAL),
    }
}

/// The bytes of the answer: the request's group and device, the filter's mode and how many sources it has, then as many of
/// them as the caller has made room for.
pub fn emit_filter(level: i32, number: i32, request: &[u8], filter: &Filter<IpAddr>) -> Vec<u8> {
    let plain = (level, number) == (SOL_IP, IP_MSFILTER);
    let (mode_at, step) = if plain { (8, 4) } else { (MODE_AT, STORAGE_LEN) };
    let asked = u32_at(request, mode_at + 4).unwrap_or(0) as usize;
    let room = asked.min(request.len().saturating_sub(mode_at + 8) / step);
    let mut out = request.get(..mode_at).unwrap_or_default().to_vec();
    out.extend(u32::from(filter.mode == FilterMode::Include).to_ne_bytes());
    out.extend((filter.sources.len() as u32).to_ne_bytes());
    for source in filter.sources.iter().take(room) {
        match source {
            IpAddr::V4(v4) if plain => out.extend(v4.octets()),
            source => {
                let mut storage = sockaddr::emit_ip(*source);
                storage.resize(STORAGE_LEN, 0);
                out.extend(storage);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_and_the_long_one() {
        // What Linux 6.18 gave for a membership of 232.1.1.1 on 127.0.0.1 with one source more than there was room for.
        let request = [232, 1, 1, 1, 127, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        let filter = Filter {
            mode: FilterMode::Include,
            sources: vec!["1.1.1.1".parse().unwrap(), "1.1.1.2".parse().unwrap()],
        };
        let at = filter_request(SOL_IP, IP_MSFILTER, &request).unwrap();
        assert_eq!((at.group, at.local), ("232.1.1.1".parse().unwrap(), Some("127.0.0.1".parse().unwrap())));
        let answer = emit_filter(SOL_IP, IP_MSFILTER, &request, &filter);
        assert_eq!(answer, [232, 1, 1, 1, 127, 0, 0, 1, 1, 0, 0, 0, 2, 0, 0, 0, 1, 1, 1, 1]);
        assert_eq!(ms_filter(&answer).unwrap_err(), EINVAL, "it says two");

        let mut request = vec![0; GROUP_FILTER_LEN + 2 * STORAGE_LEN];
        request[0] = 3;
        request[GROUP_AT..GROUP_AT + 8].copy_from_slice(&[2, 0, 0, 0, 232, 1, 1, 1]);
        request[MODE_AT + 4] = 2;
        let answer = emit_filter(SOL_IP, 48, &request, &filter);
        assert_eq!(answer.len(), request.len());
        let read = group_filter(&answer).unwrap();
        assert_eq!((read.at.dev.unwrap().0, read.filter), (3, filter));
        assert_eq!(filter_request(SOL_IPV6, 48, &answer[..143]), Err(EINVAL));
        let mut wrong = answer;
        wrong[MODE_AT] = 2;
        assert_eq!(group_filter(&wrong), Err(EINVAL));
    }
}
