//! How many ICMP errors may be sent: token buckets, and the patience with who ignores redirects.

use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use netspace_base::{Duration, Instant};

use crate::sysctl::Sysctls;

/// What is remembered about errors to one destination.
#[derive(Clone, Copy, Debug)]
struct Peer {
    tokens: Duration,
    refilled: Instant,
    redirects: u32,
    redirected: Instant,
}

/// ICMP's state: the token buckets.
#[derive(Debug)]
pub(crate) struct Icmp {
    peers: HashMap<IpAddr, Peer, FixedState>,
    /// Messages in the bucket over all destinations, in thousandths.
    global: u64,
    global_refilled: Option<Instant>,
}

/// Why an error was not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Limited {
    Global,
    Host,
}

impl Icmp {
    /// Errors at once to one destination (Linux's `XRLIM_BURST_FACTOR`).
    const PEER_BURST: u32 = 6;

    pub(crate) fn new(hash_seed: u64) -> Self {
        Self {
            peers: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            global: 0,
            global_refilled: None,
        }
    }

    /// Takes a token for an error to `dst`; `interval`: the time between errors to one destination.
    pub(crate) fn allow(
        &mut self,
        now: Instant,
        sysctl: &Sysctls,
        dst: IpAddr,
        interval: Duration,
    ) -> Result<(), Limited> {
        let (rate, burst) = (sysctl.net4.icmp_msgs_per_sec as u64, sysctl.net4.icmp_msgs_burst as u64 * 1000);
        let gained = self.global_refilled.map_or(burst, |at| {
            let nanos = (now - at).as_nanos().min(1_000_000_000) as u64;
            nanos * rate / 1_000_000
        });
        if gained > 0 {
            self.global = (self.global + gained).min(burst);
            self.global_refilled = Some(now);
        }
        if self.global < 1000 {
            return Err(Limited::Global);
        }
        if !self.allow_peer(now, sysctl, dst, interval) {
            return Err(Limited::Host);
        }
        self.global -= 1000;
        Ok(())
    }

    fn allow_peer(&mut self, now: Instant, sysctl: &Sysctls, dst: IpAddr, interval: Duration) -> bool {
        if interval.is_zero() {
            return true;
        }
        let most = interval * Self::PEER_BURST;
        let peer = self.peer(now, sysctl, dst, most);
        peer.tokens = (peer.tokens + (now - peer.refilled)).min(most);
        peer.refilled = now;
        let ok = peer.tokens >= interval;
        if ok {
            peer.tokens -= interval;
        }
        ok
    }

    fn peer(&mut self, now: Instant, sysctl: &Sysctls, dst: IpAddr, tokens: Duration) -> &mut Peer {
        let most = sysctl.net4.inet_peer_threshold as usize;
        if self.peers.len() >= most && !self.peers.contains_key(&dst) {
            // Whoever was quiet for a minute has a full bucket again and need not be remembered.
            self.peers.retain(|_, p| now - p.refilled.max(p.redirected) < Duration::from_secs(60));
            if self.peers.len() >= most {
                self.peers.clear();
            }
        }
        let fresh = Peer { tokens, refilled: now, redirects: 0, redirected: Instant::ZERO };
        self.peers.entry(dst).or_insert(fresh)
    }

    /// Whether a redirect may be sent to `dst`: ever more rarely, and after `redirect_number` ignored ones not at all
    /// until it was quiet (Linux's `ip_rt_send_redirect`).
    pub(crate) fn allow_redirect(&mut self, now: Instant, sysctl: &Sysctls, dst: IpAddr) -> bool {
        let conf = &sysctl.route4;
        let (number, load) = (conf.redirect_number as u32, Duration::from_millis(conf.redirect_load as u64));
        let silence = Duration::from_millis(conf.redirect_silence as u64);
        let peer = self.peer(now, sysctl, dst, Duration::from_secs(6));
        if peer.redirects > 0 && now - peer.redirected > silence {
            peer.redirects = 0;
        }
        if peer.redirects >= number {
            peer.redirected = now;
            return false;
        }
        let wait = load * (1 << peer.redirects.min(16));
        let ok = peer.redirects == 0 || now - peer.redirected > wait;
        if ok {
            peer.redirects += 1;
            peer.redirected = now;
        }
        ok
    }
}
