//! What a namespace remembers for Fast Open: keys, cookies that peers gave, and whether it is left alone for now.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use netspace_base::Instant;
use netspace_tcp::FastOpenAnswer;
use netspace_wire::tcp::FastOpenCookie;

use crate::sock::fast_open_key::{FastOpenKeys, KEY_LEN};
use crate::sock::sysctl::SockSysctls;

/// Destinations whose cookies are remembered.
const CACHE_MAX: usize = 1024;
/// The pause after a black hole doubles this often at most.
const PAUSE_DOUBLINGS_MAX: u32 = 6;
/// What is remembered of a destination.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) cookie: FastOpenCookie,
    pub(crate) peer_mss: u16,
    at: Instant,
}

/// Fast Open of a namespace.
#[derive(Debug)]
pub(crate) struct FastOpenTable {
    /// Keys that make cookies until an administrator gives others.
    pub(crate) keys: FastOpenKeys,
    /// By our address and the peer's.
    known: BTreeMap<(IpAddr, IpAddr), Known>,
    /// Since when it is left alone, and how often that has happened.
    paused_at: Option<Instant>,
    pauses: u32,
}

impl FastOpenTable {
    pub(crate) fn new(random: [u64; 2]) -> Self {
        let mut primary = [0; KEY_LEN];
        primary[..8].copy_from_slice(&random[0].to_le_bytes());
        primary[8..].copy_from_slice(&random[1].to_le_bytes());
        Self { keys: FastOpenKeys::new(primary), known: BTreeMap::new(), paused_at: None, pauses: 0 }
    }

    pub(crate) fn known(&self, pair: &(IpAddr, IpAddr)) -> Option<&Known> {
        self.known.get(pair)
    }

    /// Left alone from now on, for longer each time.
    pub(crate) fn pause(&mut self, now: Instant) {
        self.paused_at = Some(now);
        self.pauses = self.pauses.saturating_add(1);
    }

    pub(crate) fn remember(&mut self, now: Instant, pair: (IpAddr, IpAddr), answer: FastOpenAnswer) {
        match (answer.cookie, self.known.get_mut(&pair)) {
            (Some(cookie), _) => {
                if self.known.len() >= CACHE_MAX
                    && let Some(oldest) =
                        self.known.iter().min_by_key(|(_, known)| known.at).map(|(&pair, _)| pair)
                {
                    self.known.remove(&oldest);
                }
                self.known.insert(pair, Known { cookie, peer_mss: answer.peer_mss, at: now });
            }
            (None, Some(known)) => known.peer_mss = answer.peer_mss,
            (None, None) => {}
        }
    }

    pub(crate) fn is_paused(&self, now: Instant, sysctls: &SockSysctls) -> bool {
        let base = Duration::from_secs(u64::from(sysctls.tcp_fastopen_blackhole_timeout_sec));
        let pause = base * (1 << self.pauses.saturating_sub(1).min(PAUSE_DOUBLINGS_MAX));
        self.paused_at.is_some_and(|at| now.saturating_since(at) < pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_destination_is_forgotten_first() {
        let mut table = FastOpenTable::new([1, 2]);
        let answer = FastOpenAnswer { cookie: Some(FastOpenCookie::from_slice(&[1; 8])), peer_mss: 1460 };
        let pair = |n: usize| (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 1, (n >> 8) as u8, n as u8]));
        for n in 0..=CACHE_MAX {
            table.remember(Instant::from_millis(n as u64), pair(n), answer.clone());
        }
        assert_eq!(table.known.len(), CACHE_MAX);
        assert!(!table.known.contains_key(&pair(0)) && table.known.contains_key(&pair(CACHE_MAX)));
    }
}
