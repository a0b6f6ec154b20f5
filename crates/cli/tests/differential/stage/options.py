"""Every socket option by number: what reading gives, what setting a range of values does, which lengths are taken."""

import calls

KINDS = {
    "tcp4": ("AF_INET", "SOCK_STREAM", 0), "tcp6": ("AF_INET6", "SOCK_STREAM", 0),
    "udp4": ("AF_INET", "SOCK_DGRAM", 0), "udp6": ("AF_INET6", "SOCK_DGRAM", 0),
    "raw4": ("AF_INET", "SOCK_RAW", 1), "raw6": ("AF_INET6", "SOCK_RAW", 58),
    "ping4": ("AF_INET", "SOCK_DGRAM", 1), "ping6": ("AF_INET6", "SOCK_DGRAM", 58),
}

NAMES = {
    1: """DEBUG REUSEADDR TYPE ERROR DONTROUTE BROADCAST SNDBUF RCVBUF KEEPALIVE OOBINLINE NO_CHECK PRIORITY LINGER
        BSDCOMPAT REUSEPORT PASSCRED PEERCRED RCVLOWAT SNDLOWAT RCVTIMEO SNDTIMEO SECURITY_AUTHENTICATION
        SECURITY_ENCRYPTION_TRANSPORT SECURITY_ENCRYPTION_NETWORK BINDTODEVICE ATTACH_FILTER DETACH_FILTER PEERNAME
        TIMESTAMP ACCEPTCONN PEERSEC SNDBUFFORCE RCVBUFFORCE PASSSEC TIMESTAMPNS MARK TIMESTAMPING PROTOCOL DOMAIN
        RXQ_OVFL WIFI_STATUS PEEK_OFF NOFCS LOCK_FILTER SELECT_ERR_QUEUE BUSY_POLL MAX_PACING_RATE BPF_EXTENSIONS
        INCOMING_CPU ATTACH_BPF ATTACH_REUSEPORT_CBPF ATTACH_REUSEPORT_EBPF CNX_ADVICE 54 MEMINFO INCOMING_NAPI_ID
        COOKIE 58 PEERGROUPS ZEROCOPY TXTIME BINDTOIFINDEX TIMESTAMP_NEW TIMESTAMPNS_NEW TIMESTAMPING_NEW RCVTIMEO_NEW
        SNDTIMEO_NEW DETACH_REUSEPORT_BPF PREFER_BUSY_POLL BUSY_POLL_BUDGET NETNS_COOKIE BUF_LOCK RESERVE_MEM TXREHASH
        RCVMARK PASSPIDFD PEERPIDFD DEVMEM_LINEAR DEVMEM_DMABUF DEVMEM_DONTNEED 81 RCVPRIORITY PASSRIGHTS INQ""",
    0: """TOS TTL HDRINCL OPTIONS ROUTER_ALERT RECVOPTS RETOPTS PKTINFO PKTOPTIONS MTU_DISCOVER RECVERR RECVTTL RECVTOS
        MTU FREEBIND IPSEC_POLICY XFRM_POLICY PASSSEC TRANSPARENT ORIGDSTADDR MINTTL NODEFRAG CHECKSUM
        BIND_ADDRESS_NO_PORT RECVFRAGSIZE RECVERR_RFC4884 27 28 29 30 31 MULTICAST_IF MULTICAST_TTL MULTICAST_LOOP
        ADD_MEMBERSHIP DROP_MEMBERSHIP UNBLOCK_SOURCE BLOCK_SOURCE ADD_SOURCE_MEMBERSHIP DROP_SOURCE_MEMBERSHIP
        MSFILTER MCAST_JOIN_GROUP MCAST_BLOCK_SOURCE MCAST_UNBLOCK_SOURCE MCAST_LEAVE_GROUP MCAST_JOIN_SOURCE_GROUP
        MCAST_LEAVE_SOURCE_GROUP MCAST_MSFILTER MULTICAST_ALL UNICAST_IF LOCAL_PORT_RANGE PROTOCOL""",
    41: """ADDRFORM 2292PKTINFO 2292HOPOPTS 2292DSTOPTS 2292RTHDR 2292PKTOPTIONS CHECKSUM 2292HOPLIMIT NEXTHOP AUTHHDR
        FLOWINFO 12 13 14 15 UNICAST_HOPS MULTICAST_IF MULTICAST_HOPS MULTICAST_LOOP ADD_MEMBERSHIP DROP_MEMBERSHIP
        ROUTER_ALERT MTU_DISCOVER MTU RECVERR V6ONLY JOIN_ANYCAST LEAVE_ANYCAST MULTICAST_ALL ROUTER_ALERT_ISOLATE
        RECVERR_RFC4884 FLOWLABEL_MGR FLOWINFO_SEND IPSEC_POLICY XFRM_POLICY HDRINCL 37 38 39 40 41
        MCAST_JOIN_GROUP MCAST_BLOCK_SOURCE MCAST_UNBLOCK_SOURCE MCAST_LEAVE_GROUP MCAST_JOIN_SOURCE_GROUP
        MCAST_LEAVE_SOURCE_GROUP MCAST_MSFILTER RECVPKTINFO PKTINFO RECVHOPLIMIT HOPLIMIT RECVHOPOPTS HOPOPTS
        RTHDRDSTOPTS RECVRTHDR RTHDR RECVDSTOPTS DSTOPTS RECVPATHMTU PATHMTU DONTFRAG 63 64 65 RECVTCLASS TCLASS 68 69
        AUTOFLOWLABEL 71 ADDR_PREFERENCES MINHOPCOUNT ORIGDSTADDR TRANSPARENT UNICAST_IF RECVFRAGSIZE FREEBIND""",
    6: """NODELAY MAXSEG CORK KEEPIDLE KEEPINTVL KEEPCNT SYNCNT LINGER2 DEFER_ACCEPT WINDOW_CLAMP INFO QUICKACK CONGESTION
        MD5SIG 15 THIN_LINEAR_TIMEOUTS THIN_DUPACK USER_TIMEOUT REPAIR REPAIR_QUEUE QUEUE_SEQ REPAIR_OPTIONS FASTOPEN
        TIMESTAMP NOTSENT_LOWAT CC_INFO SAVE_SYN SAVED_SYN REPAIR_WINDOW FASTOPEN_CONNECT ULP MD5SIG_EXT FASTOPEN_KEY
        FASTOPEN_NO_COOKIE ZEROCOPY_RECEIVE INQ TX_DELAY AO_ADD_KEY AO_DEL_KEY AO_INFO AO_GET_KEYS AO_REPAIR IS_MPTCP
        RTO_MAX_MS RTO_MIN_US DELACK_MAX_US 47""",
    17: "CORK 2 3 ENCAP NO_CHECK6_TX NO_CHECK6_RX SEGMENT GRO 105",
    255: "ICMP_FILTER 2", 58: "ICMPV6_FILTER 2",
}
PREFIXES = {1: "SO", 0: "IP", 41: "IPV6", 6: "TCP", 17: "UDP", 255: "RAW", 58: "ICMPV6"}
NUMBERS = {17: [1, 2, 3, 100, 101, 102, 103, 104, 105], 255: [1, 2], 58: [1, 2]}

VALUES = [-1, 0, 1, 2, 3, 5, 16, 64, 128, 255, 256, 536, 1000, 65536, 100000, 1 << 30]
LENGTHS = [0, 1, 2, 3, 5, 8, 64]
# Options whose value is a moment, a place in memory, or a mere number of the machine: only errors are compared.
MASKED = {"SO_COOKIE", "SO_NETNS_COOKIE", "SO_INCOMING_CPU", "SO_INCOMING_NAPI_ID", "SO_MEMINFO", "TCP_TIMESTAMP",
          "TCP_INFO", "TCP_CC_INFO", "SO_PEERPIDFD", "SO_PEERCRED", "SO_PEERGROUPS", "SO_PEERSEC"}


def table(level):
    """(number, name) of a level's options."""
    words = NAMES[level].split()
    numbers = NUMBERS.get(level, range(1, len(words) + 1))
    return [(n, f"{PREFIXES[level]}_{n if w.isdigit() else w}") for n, w in zip(numbers, words, strict=True)]


def read(fd, level, option, name, size=4):
    error, raw = calls.getsockopt_raw(fd, level, option, size)
    if error:
        return error
    if name in MASKED:
        return f"{len(raw)} bytes"
    return str(int.from_bytes(raw, "little", signed=True)) if len(raw) == 4 else f"[{raw.hex()}]"


def fresh(kind):
    family, type_, protocol = KINDS[kind]
    result = calls.socket_(family, type_, protocol)
    return result.fds[0]


def probe_one(kind, level, option, name):
    """The lines about one option."""
    fd = fresh(kind)
    lines = [f"get: {read(fd, level, option, name)}"]
    lines += [f"get {size} bytes: {read(fd, level, option, name, size)}" for size in LENGTHS]
    calls.close(fd)
    for value in VALUES:
        fd = fresh(kind)
        done = calls.setsockopt(fd, level, option, value).text
        lines.append(f"set {value}: {done}, then get: {read(fd, level, option, name)}")
        calls.close(fd)
    for size in LENGTHS:
        fd = fresh(kind)
        done = calls.setsockopt(fd, level, option, 1, size).text
        lines.append(f"set 1 of {size} bytes: {done}, then get: {read(fd, level, option, name)}")
        calls.close(fd)
    return lines


def probe(kind):
    """Option's name → lines, for a kind of socket."""
    levels = [1, 0] + ([41] if kind.endswith("6") else [])
    levels += {"tcp": [6], "udp": [17], "raw": [255, 58]}.get(kind[:3], [])
    return {name: probe_one(kind, level, option, name) for level in levels for option, name in table(level)}
