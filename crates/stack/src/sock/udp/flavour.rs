//! UDP and UDP-Lite (RFC 3828) share their code: here is what differs in names and numbers.

use netspace_base::DropReason;
use netspace_wire::protocol;

use crate::snmp::Counter;

/// The counters of one flavour and family.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) in_datagrams: Counter,
    pub(crate) in_errors: Counter,
    pub(crate) out_datagrams: Counter,
    pub(crate) sndbuf_errors: Counter,
}

/// What one of the two protocols calls things.
#[derive(Debug)]
pub(crate) struct Flavour {
    pub(crate) protocol: u8,
    pub(crate) malformed: DropReason,
    pub(crate) checksum: DropReason,
    pub(crate) no_port: DropReason,
    pub(crate) ignored_multi: DropReason,
    pub(crate) queue_full: DropReason,
    four: Counters,
    six: Counters,
}

impl Flavour {
    pub(crate) const fn counters(&self, v4: bool) -> &Counters {
        if v4 { &self.four } else { &self.six }
    }

    pub(crate) const fn is_lite(&self) -> bool {
        self.protocol == protocol::UDPLITE
    }
}

static UDP: Flavour = Flavour {
    protocol: protocol::UDP,
    malformed: DropReason::UdpMalformed,
    checksum: DropReason::UdpChecksum,
    no_port: DropReason::UdpNoPort,
    ignored_multi: DropReason::UdpIgnoredMulti,
    queue_full: DropReason::SocketQueueFull,
    four: Counters {
        in_datagrams: Counter::UdpInDatagrams,
        in_errors: Counter::UdpInErrors,
        out_datagrams: Counter::UdpOutDatagrams,
        sndbuf_errors: Counter::UdpSndbufErrors,
    },
    six: Counters {
        in_datagrams: Counter::Udp6InDatagrams,
        in_errors: Counter::Udp6InErrors,
        out_datagrams: Counter::Udp6OutDatagrams,
        sndbuf_errors: Counter::Udp6SndbufErrors,
    },
};

static UDP_LITE: Flavour = Flavour {
    protocol: protocol::UDPLITE,
    malformed: DropReason::UdpLiteMalformed,
    checksum: DropReason::UdpLiteChecksum,
    no_port: DropReason::UdpLiteNoPort,
    ignored_multi: DropReason::UdpLiteIgnoredMulti,
    queue_full: DropReason::UdpLiteQueueFull,
    four: Counters {
        in_datagrams: Counter::UdpLiteInDatagrams,
        in_errors: Counter::UdpLiteInErrors,
        out_datagrams: Counter::UdpLiteOutDatagrams,
        sndbuf_errors: Counter::UdpLiteSndbufErrors,
    },
    six: Counters {
        in_datagrams: Counter::UdpLite6InDatagrams,
        in_errors: Counter::UdpLite6InErrors,
        out_datagrams: Counter::UdpLite6OutDatagrams,
        sndbuf_errors: Counter::UdpLite6SndbufErrors,
    },
};

/// The flavour that an IP protocol number names: UDP-Lite's, else UDP's.
pub(crate) const fn of(ip_protocol: u8) -> &'static Flavour {
    match ip_protocol {
        protocol::UDPLITE => &UDP_LITE,
        _ => &UDP,
    }
}
