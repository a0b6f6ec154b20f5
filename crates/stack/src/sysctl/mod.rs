//! The network layer's sysctls, by the names and with the defaults of Linux's `Documentation/networking/ip-sysctl.rst`.
//!
//! Names are those under `/proc/sys/net`, with dots or slashes: `ipv4.ip_forward`, `ipv6.conf.eth0.accept_ra`,
//! `ipv4.neigh.default.gc_stale_time`. The transport layer's are in [`crate::sock`]. Four families exist once per device
//! and twice more as `all` and `default`; a new device starts with `default`.

mod by_name;

use netspace_base::Duration;

use crate::error::SockError;

/// The outcome of setting a sysctl; none: the table has no such name.
type Outcome = Option<Result<(), SockError>>;

/// A number as C writes it: `0x…` is hexadecimal, a leading 0 octal, as the kernel reads them.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    // A second sign is none of the digits.
    let value = i64::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with(['+', '-']))?;
    Some(if negative { -value } else { value })
}

fn read(text: &str, min: i64, max: i64) -> Result<i64, SockError> {
    let value = parse(text).ok_or(SockError::Invalid)?;
    (min..=max).contains(&value).then_some(value).ok_or(SockError::Invalid)
}

macro_rules! table {
    ($(#[$meta:meta])* $name:ident: $prefix:literal; $($field:ident = $default:literal, $min:literal ..= $max:literal, $doc:literal;)*) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $name { $(#[doc = $doc] pub $field: i32,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $name {
            /// All names, without what stands before them.
            pub const NAMES: &[&str] = &[$(stringify!($field),)*];

            /// Sets one; none if there is none of this name.
            pub fn set(&mut self, name: &str, text: &str) -> Outcome {
                match name {
                    $(stringify!($field) => Some(read(text, $min, $max).map(|v| self.$field = v as i32)),)*
                    _ => None,
                }
            }

            /// A value; none if there is none of this name.
            pub fn get(&self, name: &str) -> Option<i32> {
                match name {
                    $(stringify!($field) => Some(self.$field),)*
                    _ => None,
                }
            }
        }
    };
}

table! {
    /// `/proc/sys/net/ipv4/conf/DEV`.
    Conf4: "ipv4.conf";
    accept_local = 0, 0..=1, "Whether packets with one of our addresses as source are taken.";
    accept_redirects = 1, 0..=1, "Whether ICMP redirects are followed.";
    accept_source_route = 0, -1..=1, "Whether packets with a source-route option are taken (Linux: on for hosts; refused as RFC 7126 asks).";
    arp_accept = 0, 0..=2, "Whether gratuitous ARP makes new neighbours: 2 = if the address is on the link.";
    arp_announce = 0, 0..=2, "How the sender address of ARP requests is chosen.";
    arp_filter = 0, 0..=1, "Kept.";
    arp_ignore = 0, 0..=8, "For which of our addresses ARP is answered: 1 = those of the device.";
    arp_notify = 0, 0..=1, "Whether gratuitous ARP is sent when a device comes up (sent here for every new address).";
    bc_forwarding = 0, 0..=1, "Kept: directed broadcasts are not forwarded.";
    disable_policy = 0, 0..=1, "Kept.";
    disable_xfrm = 0, 0..=1, "Kept.";
    drop_gratuitous_arp = 0, 0..=1, "Whether gratuitous ARP is dropped.";
    drop_unicast_in_l2_multicast = 0, 0..=1, "Whether unicast packets in group frames are dropped.";
    force_igmp_version = 0, 0..=3, "The IGMP version to speak whatever queriers say; 0 = theirs.";
    forwarding = 0, 0..=1, "Whether packets that come by the device are forwarded.";
    igmpv2_unsolicited_report_interval = 10000, 0..=2147483647, "Milliseconds within which IGMPv2 repeats a report.";
    igmpv3_unsolicited_report_interval = 1000, 0..=2147483647, "Milliseconds within which IGMPv3 repeats a report.";
    ignore_routes_with_linkdown = 0, 0..=1, "Whether routes over a device without carrier are passed over.";
    log_martians = 0, 0..=1, "Kept: drops are counted by reason always.";
    mc_forwarding = 0, 0..=0, "Multicast routing (read only).";
    medium_id = 0, -1..=2147483647, "Kept.";
    promote_secondaries = 0, 0..=1, "Whether a secondary address takes the place of a removed primary.";
    proxy_arp = 0, 0..=1, "Kept: ARP is not answered for others.";
    proxy_arp_pvlan = 0, 0..=1, "Kept.";
    route_localnet = 0, 0..=1, "Whether 127/8 is routed over the device.";
    rp_filter = 0, 0..=2, "Reverse-path filter: 1 strict, 2 loose (RFC 3704).";
    secure_redirects = 1, 0..=1, "Kept: redirects are taken from the gateway in use only.";
    send_redirects = 1, 0..=1, "Whether redirects are sent.";
    shared_media = 1, 0..=1, "Whether several subnets share the link.";
    src_valid_mark = 0, 0..=1, "Kept.";
    tag = 0, 0..=2147483647, "Kept.";
}

table! {
    /// `/proc/sys/net/ipv6/conf/DEV`.
    Conf6: "ipv6.conf";
    accept_dad = 1, 0..=2, "Duplicate address detection: 2 = a duplicate link-local address turns IPv6 off.";
    accept_ra = 1, 0..=2, "Whether router advertisements are taken: 2 = while forwarding too.";
    accept_ra_defrtr = 1, 0..=1, "Whether they give default routes.";
    accept_ra_min_hop_limit = 1, 0..=255, "The least hop limit taken from them.";
    accept_ra_min_lft = 0, 0..=2147483647, "Lifetimes below this many seconds are passed over.";
    accept_ra_mtu = 1, 0..=1, "Whether they give the MTU.";
    accept_ra_pinfo = 1, 0..=1, "Whether they give prefixes.";
    accept_ra_rt_info_max_plen = 0, 0..=128, "The longest prefix of a route-information option that is taken (RFC 4191).";
    accept_ra_rt_info_min_plen = 0, 0..=128, "The shortest.";
    accept_ra_rtr_pref = 1, 0..=1, "Whether they give routers' preferences.";
    accept_ra_from_local = 0, 0..=1, "Whether our own are taken.";
    accept_redirects = 1, 0..=1, "Whether redirects are followed.";
    accept_source_route = 0, -1..=0, "Routing headers: 0 = type 2 only, negative = none.";
    accept_untracked_na = 0, 0..=2, "Kept: they do not make neighbours.";
    addr_gen_mode = 0, 0..=3, "How interface identifiers are made: 0 EUI-64, 1 no link-local address, 2 and 3 stable and opaque (RFC 7217).";
    autoconf = 1, 0..=1, "Whether prefixes make addresses (SLAAC, RFC 4862).";
    dad_transmits = 1, 0..=2147483647, "Probes before an address is used.";
    disable_ipv6 = 0, 0..=1, "Whether IPv6 is off.";
    disable_policy = 0, 0..=1, "Kept.";
    drop_unicast_in_l2_multicast = 0, 0..=1, "Whether unicast packets in group frames are dropped.";
    drop_unsolicited_na = 0, 0..=1, "Whether unasked-for advertisements are dropped.";
    enhanced_dad = 1, 0..=1, "Kept: probes carry no nonce; nothing here sends a probe back to its sender.";
    force_mld_version = 0, 0..=2, "The MLD version to speak whatever queriers say; 0 = theirs.";
    force_tllao = 0, 0..=1, "Kept: advertisements carry the target's address always.";
    forwarding = 0, 0..=1, "Whether the device is a router's.";
    hop_limit = 64, 1..=255, "Hop limit of packets made here.";
    ignore_routes_with_linkdown = 0, 0..=1, "Whether routes over a device without carrier are passed over.";
    keep_addr_on_down = 0, -1..=1, "Whether static addresses stay when the device goes down.";
    max_addresses = 16, 0..=2147483647, "Addresses made from advertisements, at most.";
    max_desync_factor = 600, 0..=2147483647, "Kept.";
    mc_forwarding = 0, 0..=0, "Multicast routing (read only).";
    mldv1_unsolicited_report_interval = 10000, 0..=2147483647, "Milliseconds within which MLDv1 repeats a report.";
    mldv2_unsolicited_report_interval = 1000, 0..=2147483647, "Milliseconds within which MLDv2 repeats a report.";
    mtu = 1500, 1280..=65536, "The MTU for IPv6: the device's, or what advertisements said.";
    ndisc_notify = 0, 0..=1, "Whether new addresses and MAC changes are advertised unasked.";
    ndisc_tclass = 0, 0..=255, "Traffic class of neighbour discovery.";
    proxy_ndp = 0, 0..=1, "Kept.";
    regen_max_retry = 3, 0..=2147483647, "Kept.";
    router_probe_interval = 60, 0..=2147483647, "Kept.";
    router_solicitation_delay = 1, 0..=2147483647, "Seconds before the first router solicitation.";
    router_solicitation_interval = 4, 0..=2147483647, "Seconds to the second one; then doubling.";
    router_solicitation_max_interval = 3600, 0..=2147483647, "Seconds between them at most.";
    router_solicitations = -1, -1..=2147483647, "How many are sent; -1: without end.";
    seg6_enabled = 0, 0..=1, "Kept: segment routing headers are refused.";
    suppress_frag_ndisc = 1, 0..=1, "Whether fragmented neighbour discovery is dropped (RFC 6980).";
    temp_prefered_lft = 86400, 0..=2147483647, "Kept.";
    temp_valid_lft = 604800, 0..=2147483647, "Kept.";
    use_oif_addrs_only = 0, 0..=1, "Whether source addresses must be the device's own.";
    use_optimistic = 0, 0..=1, "Kept.";
    use_tempaddr = 0, -1..=2, "Kept: temporary addresses (RFC 8981) are not made.";
}

table! {
    /// `/proc/sys/net/ipv{4,6}/neigh/DEV`.
    NeighConf: "neigh";
    anycast_delay = 100, 0..=2147483647, "Kept.";
    app_solicit = 0, 0..=2147483647, "Kept.";
    base_reachable_time_ms = 30000, 1..=2147483647, "Milliseconds a confirmation holds, before chance (RFC 4861 §10).";
    delay_first_probe_time = 5, 0..=2147483647, "Seconds a stale entry is used before it is probed.";
    gc_stale_time = 60, 0..=2147483647, "Seconds until an unused stale entry may go.";
    interval_probe_time_ms = 5000, 1..=2147483647, "Kept.";
    locktime = 100, 0..=2147483647, "Hundredths of a second during which an ARP entry is not changed again.";
    mcast_resolicit = 0, 0..=2147483647, "Group probes after unicast ones have failed.";
    mcast_solicit = 3, 0..=2147483647, "Group (broadcast) probes before resolution fails.";
    proxy_delay = 80, 0..=2147483647, "Kept.";
    proxy_qlen = 64, 0..=2147483647, "Kept.";
    retrans_time_ms = 1000, 1..=2147483647, "Milliseconds between probes.";
    ucast_solicit = 3, 0..=2147483647, "Unicast probes before a stale neighbour counts as gone.";
    unres_qlen_bytes = 212992, 0..=2147483647, "Bytes that wait for one neighbour.";
}

table! {
    /// Those of `/proc/sys/net/ipv4` that exist once.
    Net4: "ipv4";
    fib_multipath_hash_policy = 0, 0..=3, "Kept: addresses choose among next hops.";
    fib_multipath_use_neigh = 0, 0..=1, "Kept.";
    fwmark_reflect = 0, 0..=1, "Whether answers carry the mark of what they answer.";
    icmp_echo_enable_probe = 0, 0..=0, "RFC 8335 probes (not answered).";
    icmp_echo_ignore_all = 0, 0..=1, "Whether echo requests go unanswered.";
    icmp_echo_ignore_broadcasts = 1, 0..=1, "Whether those to broadcasts and groups do.";
    icmp_errors_use_inbound_ifaddr = 0, 0..=1, "Whether errors carry the address of the device the packet came by.";
    icmp_ignore_bogus_error_responses = 1, 0..=1, "Whether errors about broadcasts are passed over in silence.";
    icmp_msgs_burst = 50, 0..=2147483647, "Errors at once.";
    icmp_msgs_per_sec = 1000, 0..=2147483647, "Errors per second, all destinations together.";
    icmp_ratelimit = 1000, 0..=2147483647, "Milliseconds between errors to one destination (bursts of 6); 0: no limit.";
    icmp_ratemask = 6168, 0..=2147483647, "Bits of the types that are limited.";
    igmp_link_local_mcast_reports = 1, 0..=1, "Whether groups 224.0.0.0/24 are reported.";
    igmp_max_msf = 10, 0..=2147483647, "Sources in the filter of one membership.";
    igmp_qrv = 2, 1..=2147483647, "IGMP's robustness variable: how often a report is sent.";
    inet_peer_maxttl = 600, 0..=2147483647, "Kept.";
    inet_peer_minttl = 120, 0..=2147483647, "Kept.";
    inet_peer_threshold = 65664, 0..=2147483647, "Destinations remembered for rate limits.";
    ip_default_ttl = 64, 1..=255, "Time to live of packets made here.";
    ip_dynaddr = 0, 0..=7, "Kept.";
    ip_early_demux = 1, 0..=1, "Kept.";
    ip_forward_update_priority = 1, 0..=1, "Kept.";
    ip_forward_use_pmtu = 0, 0..=1, "Whether forwarding heeds what path-MTU discovery found.";
    ipfrag_high_thresh = 4194304, 0..=2147483647, "Bytes of incomplete packets, at most.";
    ipfrag_low_thresh = 3145728, 0..=2147483647, "Kept.";
    ipfrag_max_dist = 64, 0..=2147483647, "Kept: fragments of one packet may come however far apart.";
    ipfrag_secret_interval = 0, 0..=2147483647, "Kept.";
    ipfrag_time = 30, 0..=2147483647, "Seconds an incomplete packet waits.";
}

table! {
    /// `/proc/sys/net/ipv4/route`.
    Route4: "ipv4.route";
    error_burst = 5000, 0..=2147483647, "Kept: `icmp_ratelimit` bounds them.";
    error_cost = 1000, 0..=2147483647, "Kept.";
    gc_thresh = -1, -1..=2147483647, "Kept.";
    max_size = 2147483647, 0..=2147483647, "Kept.";
    min_adv_mss = 256, 0..=2147483647, "Least MSS told to peers.";
    min_pmtu = 552, 20..=2147483647, "Least path MTU believed; below it packets go without DF.";
    mtu_expires = 600, 0..=2147483647, "Seconds a learnt path MTU holds.";
    redirect_load = 20, 0..=2147483647, "Milliseconds before the first repeated redirect; then doubling.";
    redirect_number = 9, 0..=2147483647, "Redirects to one source before silence.";
    redirect_silence = 20480, 0..=2147483647, "Milliseconds of silence.";
}

table! {
    /// Those of `/proc/sys/net/ipv6` that exist once.
    Net6: "ipv6";
    anycast_src_echo_reply = 0, 0..=1, "Kept.";
    auto_flowlabels = 1, 0..=3, "Whether packets carry a flow label.";
    flowlabel_consistency = 1, 0..=1, "Kept.";
    flowlabel_reflect = 0, 0..=7, "Kept.";
    flowlabel_state_ranges = 0, 0..=1, "Kept.";
    fwmark_reflect = 0, 0..=1, "Whether answers carry the mark of what they answer.";
    idgen_delay = 1, 0..=2147483647, "Kept.";
    idgen_retries = 3, 0..=2147483647, "Kept.";
    ip6frag_high_thresh = 4194304, 0..=2147483647, "Bytes of incomplete packets, at most.";
    ip6frag_low_thresh = 3145728, 0..=2147483647, "Kept.";
    ip6frag_secret_interval = 0, 0..=2147483647, "Kept.";
    ip6frag_time = 60, 0..=2147483647, "Seconds an incomplete packet waits.";
    max_dst_opts_length = 2147483647, -2147483648..=2147483647, "Kept.";
    max_dst_opts_number = 8, -2147483648..=2147483647, "Kept: eight are taken.";
    max_hbh_length = 2147483647, -2147483648..=2147483647, "Kept.";
    max_hbh_opts_number = 8, -2147483648..=2147483647, "Kept: eight are taken.";
    mld_max_msf = 64, 0..=2147483647, "Sources in the filter of one membership.";
    mld_qrv = 2, 1..=2147483647, "MLD's robustness variable.";
}

table! {
    /// `/proc/sys/net/ipv6/route`.
    Route6: "ipv6.route";
    gc_elasticity = 9, 0..=2147483647, "Kept.";
    gc_interval = 30, 0..=2147483647, "Kept.";
    gc_min_interval = 0, 0..=2147483647, "Kept.";
    gc_thresh = 1024, 0..=2147483647, "Kept.";
    gc_timeout = 60, 0..=2147483647, "Seconds a redirect holds at least.";
    max_size = 2147483647, 0..=2147483647, "Kept.";
    min_adv_mss = 1220, 0..=2147483647, "Least MSS told to peers.";
    mtu_expires = 600, 0..=2147483647, "Seconds a learnt path MTU holds.";
}

table! {
    /// `/proc/sys/net/ipv6/icmp`.
    Icmp6Conf: "ipv6.icmp";
    echo_ignore_all = 0, 0..=1, "Whether echo requests go unanswered.";
    echo_ignore_anycast = 0, 0..=1, "Kept.";
    echo_ignore_multicast = 0, 0..=1, "Whether those to groups do.";
    error_anycast_as_unicast = 0, 0..=1, "Kept.";
    ratelimit = 1000, 0..=2147483647, "Milliseconds between errors to one destination; 0: no limit.";
}

table! {
    /// `/proc/sys/net/ipv{4,6}/neigh/default`, what exists once per family.
    NeighGc: "neigh.default";
    gc_interval = 30, 0..=2147483647, "Seconds between clean-ups.";
    gc_thresh1 = 128, 0..=2147483647, "Entries below which nothing is thrown away.";
    gc_thresh2 = 512, 0..=2147483647, "Entries above which even recent ones are.";
    gc_thresh3 = 1024, 0..=2147483647, "Entries at most.";
}

table! {
    /// Those of `/proc/sys/net/core` that are about devices.
    Core: "core";
    dev_weight = 64, 1..=2147483647, "Frames taken from one device in its turn.";
    netdev_budget = 300, 1..=2147483647, "Frames worked off in one run.";
    netdev_budget_usecs = 2000, 1..=2147483647, "Kept: a run is bounded by frames.";
    netdev_max_backlog = 1000, 1..=2147483647, "Frames that wait in the backlog and in a device's ring.";
    warnings = 0, 0..=1, "Kept.";
}

/// All values that exist once in a namespace.
#[derive(Clone, Debug, Default)]
pub struct Sysctls {
    /// `ipv4`.
    pub net4: Net4,
    /// `ipv4.route`.
    pub route4: Route4,
    /// `ipv6`.
    pub net6: Net6,
    /// `ipv6.route`.
    pub route6: Route6,
    /// `ipv6.icmp`.
    pub icmp6: Icmp6Conf,
    /// `core`.
    pub core: Core,
    /// `ipv4.conf.all`.
    pub all4: Conf4,
    /// `ipv4.conf.default`.
    pub default4: Conf4,
    /// `ipv6.conf.all`.
    pub all6: Conf6,
    /// `ipv6.conf.default`.
    pub default6: Conf6,
    /// `ipv4.neigh.default`.
    pub neigh4: NeighConf,
    /// `ipv6.neigh.default`.
    pub neigh6: NeighConf,
    /// `ipv4.neigh.default.gc_*`.
    pub neigh_gc4: NeighGc,
    /// `ipv6.neigh.default.gc_*`.
    pub neigh_gc6: NeighGc,
}

/// What one device has of its own.
#[derive(Clone, Debug, Default)]
pub struct DevConf {
    /// `ipv4.conf.DEV`.
    pub v4: Conf4,
    /// `ipv6.conf.DEV`.
    pub v6: Conf6,
    /// `ipv4.neigh.DEV`.
    pub neigh4: NeighConf,
    /// `ipv6.neigh.DEV`.
    pub neigh6: NeighConf,
}

impl Sysctls {
    /// What a new device starts with.
    pub(crate) fn for_new_device(&self) -> DevConf {
        DevConf {
            v4: self.default4.clone(),
            v6: self.default6.clone(),
            neigh4: self.neigh4.clone(),
            neigh6: self.neigh6.clone(),
        }
    }

    fn set_single(&mut self, group: &str, name: &str, text: &str) -> Outcome {
        match group {
            "ipv4" => self.net4.set(name, text),
            "ipv4.route" => self.route4.set(name, text),
            "ipv6" => self.net6.set(name, text),
            "ipv6.route" => self.route6.set(name, text),
            "ipv6.icmp" => self.icmp6.set(name, text),
            "core" => self.core.set(name, text),
            "ipv4.neigh.default" => self.neigh_gc4.set(name, text),
            "ipv6.neigh.default" => self.neigh_gc6.set(name, text),
            _ => None,
        }
    }

    fn get_single(&self, group: &str, name: &str) -> Option<i32> {
        match group {
            "ipv4" => self.net4.get(name),
            "ipv4.route" => self.route4.get(name),
            "ipv6" => self.net6.get(name),
            "ipv6.route" => self.route6.get(name),
            "ipv6.icmp" => self.icmp6.get(name),
            "core" => self.core.get(name),
            "ipv4.neigh.default" => self.neigh_gc4.get(name),
            "ipv6.neigh.default" => self.neigh_gc6.get(name),
            _ => None,
        }
    }
}

impl NeighConf {
    /// Milliseconds between probes, as a duration.
    pub(crate) fn retrans(&self) -> Duration {
        Duration::from_millis(self.retrans_time_ms as u64)
    }
}
