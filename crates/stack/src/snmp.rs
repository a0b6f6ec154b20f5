//! Counters under Linux's names (`/proc/net/snmp`, `/proc/net/snmp6`, `/proc/net/netstat`): one table.
//!
//! A drop moves its reason's counter by itself (see `Netns::finish`); everything else is counted where it happens.

use netspace_base::DropReason;

macro_rules! counters {
    ($($group:literal: $($variant:ident $name:literal),* ;)*) => {
        /// A counter: the group's name and the counter's own, as Linux writes them.
        #[allow(missing_docs)]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u16)]
        pub enum Counter { $($($variant,)*)* }

        impl Counter {
            /// All counters, in the order in which `/proc` lists them.
            pub const ALL: &[Self] = &[$($(Self::$variant,)*)*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// Its group: `Ip`, `Icmp`, `Tcp`, `Udp`, `UdpLite`, `IpExt`, `TcpExt`, `Ip6`,
            /// `Icmp6`, `Udp6`, `UdpLite6`.
            pub const fn group(self) -> &'static str {
                match self { $($(Self::$variant => $group,)*)* }
            }

            /// Its name within the group (`InReceives`).
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$variant => $name,)*)* }
            }
        }
    };
}

counters! {
    "Ip": IpInReceives "InReceives", IpInHdrErrors "InHdrErrors", IpInAddrErrors "InAddrErrors", IpForwDatagrams "ForwDatagrams",
        IpInUnknownProtos "InUnknownProtos", IpInDiscards "InDiscards", IpInDelivers "InDelivers", IpOutRequests "OutRequests",
        IpOutDiscards "OutDiscards", IpOutNoRoutes "OutNoRoutes", IpReasmTimeout "ReasmTimeout", IpReasmReqds "ReasmReqds",
        IpReasmOks "ReasmOKs", IpReasmFails "ReasmFails", IpFragOks "FragOKs", IpFragFails "FragFails", IpFragCreates "FragCreates",
        IpOutTransmits "OutTransmits";
    "Icmp": IcmpInMsgs "InMsgs", IcmpInErrors "InErrors", IcmpInCsumErrors "InCsumErrors", IcmpInDestUnreachs "InDestUnreachs",
        IcmpInTimeExcds "InTimeExcds", IcmpInParmProbs "InParmProbs", IcmpInSrcQuenchs "InSrcQuenchs", IcmpInRedirects "InRedirects",
        IcmpInEchos "InEchos", IcmpInEchoReps "InEchoReps", IcmpInTimestamps "InTimestamps", IcmpInTimestampReps "InTimestampReps",
        IcmpInAddrMasks "InAddrMasks", IcmpInAddrMaskReps "InAddrMaskReps", IcmpOutMsgs "OutMsgs", IcmpOutErrors "OutErrors",
        IcmpOutRateLimitGlobal "OutRateLimitGlobal", IcmpOutRateLimitHost "OutRateLimitHost", IcmpOutDestUnreachs "OutDestUnreachs",
        IcmpOutTimeExcds "OutTimeExcds", IcmpOutParmProbs "OutParmProbs", IcmpOutSrcQuenchs "OutSrcQuenchs",
        IcmpOutRedirects "OutRedirects", IcmpOutEchos "OutEchos", IcmpOutEchoReps "OutEchoReps", IcmpOutTimestamps "OutTimestamps",
        IcmpOutTimestampReps "OutTimestampReps", IcmpOutAddrMasks "OutAddrMasks", IcmpOutAddrMaskReps "OutAddrMaskReps";
    "Tcp": TcpActiveOpens "ActiveOpens", TcpPassiveOpens "PassiveOpens", TcpAttemptFails "AttemptFails", TcpEstabResets "EstabResets",
        TcpInSegs "InSegs", TcpOutSegs "OutSegs", TcpRetransSegs "RetransSegs", TcpInErrs "InErrs", TcpOutRsts "OutRsts",
        TcpInCsumErrors "InCsumErrors";
    "Udp": UdpInDatagrams "InDatagrams", UdpNoPorts "NoPorts", UdpInErrors "InErrors", UdpOutDatagrams "OutDatagrams",
        UdpRcvbufErrors "RcvbufErrors", UdpSndbufErrors "SndbufErrors", UdpInCsumErrors "InCsumErrors",
        UdpIgnoredMulti "IgnoredMulti", UdpMemErrors "MemErrors";
    "UdpLite": UdpLiteInDatagrams "InDatagrams", UdpLiteNoPorts "NoPorts", UdpLiteInErrors "InErrors", UdpLiteOutDatagrams "OutDatagrams", UdpLiteRcvbufErrors "RcvbufErrors", UdpLiteSndbufErrors "SndbufErrors", UdpLiteInCsumErrors "InCsumErrors", UdpLiteIgnoredMulti "IgnoredMulti", UdpLiteMemErrors "MemErrors";
    "TcpExt": TcpExtSyncookiesSent "SyncookiesSent", TcpExtSyncookiesRecv "SyncookiesRecv", TcpExtSyncookiesFailed "SyncookiesFailed",
        TcpExtEmbryonicRsts "EmbryonicRsts", TcpExtPruneCalled "PruneCalled", TcpExtRcvPruned "RcvPruned", TcpExtOfoPruned "OfoPruned",
        TcpExtOutOfWindowIcmps "OutOfWindowIcmps", TcpExtLockDroppedIcmps "LockDroppedIcmps", TcpExtTw "TW",
        TcpExtTwRecycled "TWRecycled", TcpExtTwKilled "TWKilled", TcpExtPawsActive "PAWSActive", TcpExtPawsEstab "PAWSEstab",
        TcpExtDelayedAcks "DelayedACKs", TcpExtDelayedAckLocked "DelayedACKLocked", TcpExtDelayedAckLost "DelayedACKLost",
        TcpExtListenOverflows "ListenOverflows", TcpExtListenDrops "ListenDrops", TcpExtTcpHpHits "TCPHPHits",
        TcpExtTcpPureAcks "TCPPureAcks", TcpExtTcpHpAcks "TCPHPAcks", TcpExtTcpRenoRecovery "TCPRenoRecovery",
        TcpExtTcpSackRecovery "TCPSackRecovery", TcpExtTcpSackReneging "TCPSACKReneging", TcpExtTcpSackReorder "TCPSACKReorder",
        TcpExtTcpRenoReorder "TCPRenoReorder", TcpExtTcpTsReorder "TCPTSReorder", TcpExtTcpFullUndo "TCPFullUndo",
        TcpExtTcpPartialUndo "TCPPartialUndo", TcpExtTcpDsackUndo "TCPDSACKUndo", TcpExtTcpLossUndo "TCPLossUndo",
        TcpExtTcpLostRetransmit "TCPLostRetransmit", TcpExtTcpRenoFailures "TCPRenoFailures",
        TcpExtTcpSackFailures "TCPSackFailures", TcpExtTcpLossFailures "TCPLossFailures", TcpExtTcpFastRetrans "TCPFastRetrans",
        TcpExtTcpSlowStartRetrans "TCPSlowStartRetrans", TcpExtTcpTimeouts "TCPTimeouts", TcpExtTcpLossProbes "TCPLossProbes",
        TcpExtTcpLossProbeRecovery "TCPLossProbeRecovery", TcpExtTcpRcvCollapsed "TCPRcvCollapsed",
        TcpExtTcpDsackOldSent "TCPDSACKOldSent", TcpExtTcpDsackOfoSent "TCPDSACKOfoSent", TcpExtTcpDsackRecv "TCPDSACKRecv",
        TcpExtTcpDsackOfoRecv "TCPDSACKOfoRecv", TcpExtTcpAbortOnData "TCPAbortOnData", TcpExtTcpAbortOnClose "TCPAbortOnClose",
        TcpExtTcpAbortOnMemory "TCPAbortOnMemory", TcpExtTcpAbortOnTimeout "TCPAbortOnTimeout",
        TcpExtTcpAbortOnLinger "TCPAbortOnLinger", TcpExtTcpAbortFailed "TCPAbortFailed",
        TcpExtTcpMemoryPressures "TCPMemoryPressures", TcpExtTcpSpuriousRtos "TCPSpuriousRTOs", TcpExtTcpBacklogDrop "TCPBacklogDrop", TcpExtTcpMinTtlDrop "TCPMinTTLDrop",
        TcpExtTcpDeferAcceptDrop "TCPDeferAcceptDrop", TcpExtIpReversePathFilter "IPReversePathFilter",
        TcpExtTcpTimeWaitOverflow "TCPTimeWaitOverflow", TcpExtTcpReqQFullDoCookies "TCPReqQFullDoCookies",
        TcpExtTcpReqQFullDrop "TCPReqQFullDrop", TcpExtTcpRetransFail "TCPRetransFail", TcpExtTcpRcvCoalesce "TCPRcvCoalesce",
        TcpExtTcpOfoQueue "TCPOFOQueue", TcpExtTcpOfoDrop "TCPOFODrop", TcpExtTcpOfoMerge "TCPOFOMerge",
        TcpExtTcpChallengeAck "TCPChallengeACK", TcpExtTcpSynChallenge "TCPSYNChallenge",
        TcpExtTcpFastOpenActive "TCPFastOpenActive", TcpExtTcpFastOpenPassive "TCPFastOpenPassive",
        TcpExtTcpFastOpenActiveFail "TCPFastOpenActiveFail", TcpExtTcpFastOpenPassiveFail "TCPFastOpenPassiveFail",
        TcpExtTcpFastOpenListenOverflow "TCPFastOpenListenOverflow", TcpExtTcpFastOpenCookieReqd "TCPFastOpenCookieReqd",
        TcpExtTcpFastOpenBlackhole "TCPFastOpenBlackhole", TcpExtTcpFastOpenPassiveAltKey "TCPFastOpenPassiveAltKey",
        TcpExtTcpSpuriousRtxHostQueues "TCPSpuriousRtxHostQueues", TcpExtTcpAutoCorking "TCPAutoCorking",
        TcpExtTcpFromZeroWindowAdv "TCPFromZeroWindowAdv", TcpExtTcpToZeroWindowAdv "TCPToZeroWindowAdv",
        TcpExtTcpWantZeroWindowAdv "TCPWantZeroWindowAdv", TcpExtTcpSynRetrans "TCPSynRetrans",
        TcpExtTcpOrigDataSent "TCPOrigDataSent", TcpExtTcpHystartTrainDetect "TCPHystartTrainDetect",
        TcpExtTcpHystartTrainCwnd "TCPHystartTrainCwnd", TcpExtTcpHystartDelayDetect "TCPHystartDelayDetect",
        TcpExtTcpHystartDelayCwnd "TCPHystartDelayCwnd", TcpExtTcpAckSkippedSynRecv "TCPACKSkippedSynRecv",
        TcpExtTcpAckSkippedPaws "TCPACKSkippedPAWS", TcpExtTcpAckSkippedSeq "TCPACKSkippedSeq",
        TcpExtTcpAckSkippedChallenge "TCPACKSkippedChallenge", TcpExtTcpWinProbe "TCPWinProbe",
        TcpExtTcpKeepAlive "TCPKeepAlive", TcpExtTcpMtupFail "TCPMTUPFail", TcpExtTcpMtupSuccess "TCPMTUPSuccess", TcpExtTcpDelivered "TCPDelivered", TcpExtTcpDeliveredCe "TCPDeliveredCE",
        TcpExtTcpAckCompressed "TCPAckCompressed", TcpExtTcpZeroWindowDrop "TCPZeroWindowDrop", TcpExtTcpRcvQDrop "TCPRcvQDrop";
    "IpExt": IpExtInNoRoutes "InNoRoutes", IpExtInTruncatedPkts "InTruncatedPkts", IpExtInMcastPkts "InMcastPkts",
        IpExtOutMcastPkts "OutMcastPkts", IpExtInBcastPkts "InBcastPkts", IpExtOutBcastPkts "OutBcastPkts",
        IpExtInOctets "InOctets", IpExtOutOctets "OutOctets", IpExtInMcastOctets "InMcastOctets",
        IpExtOutMcastOctets "OutMcastOctets", IpExtInBcastOctets "InBcastOctets", IpExtOutBcastOctets "OutBcastOctets",
        IpExtInCsumErrors "InCsumErrors", IpExtInNoEctPkts "InNoECTPkts", IpExtInEct1Pkts "InECT1Pkts",
        IpExtInEct0Pkts "InECT0Pkts", IpExtInCePkts "InCEPkts", IpExtReasmOverlaps "ReasmOverlaps";
    "Ip6": Ip6InReceives "InReceives", Ip6InHdrErrors "InHdrErrors", Ip6InTooBigErrors "InTooBigErrors", Ip6InNoRoutes "InNoRoutes",
        Ip6InAddrErrors "InAddrErrors", Ip6InUnknownProtos "InUnknownProtos", Ip6InTruncatedPkts "InTruncatedPkts",
        Ip6InDiscards "InDiscards", Ip6InDelivers "InDelivers", Ip6OutForwDatagrams "OutForwDatagrams",
        Ip6OutRequests "OutRequests", Ip6OutDiscards "OutDiscards", Ip6OutNoRoutes "OutNoRoutes", Ip6ReasmTimeout "ReasmTimeout",
        Ip6ReasmReqds "ReasmReqds", Ip6ReasmOks "ReasmOKs", Ip6ReasmFails "ReasmFails", Ip6FragOks "FragOKs",
        Ip6FragFails "FragFails", Ip6FragCreates "FragCreates", Ip6InMcastPkts "InMcastPkts", Ip6OutMcastPkts "OutMcastPkts",
        Ip6InOctets "InOctets", Ip6OutOctets "OutOctets", Ip6InMcastOctets "InMcastOctets", Ip6OutMcastOctets "OutMcastOctets",
        Ip6InBcastOctets "InBcastOctets", Ip6OutBcastOctets "OutBcastOctets", Ip6InNoEctPkts "InNoECTPkts",
        Ip6InEct1Pkts "InECT1Pkts", Ip6InEct0Pkts "InECT0Pkts", Ip6InCePkts "InCEPkts", Ip6OutTransmits "OutTransmits";
    "Icmp6": Icmp6InMsgs "InMsgs", Icmp6InErrors "InErrors", Icmp6OutMsgs "OutMsgs", Icmp6OutErrors "OutErrors",
        Icmp6InCsumErrors "InCsumErrors", Icmp6OutRateLimitHost "OutRateLimitHost", Icmp6InDestUnreachs "InDestUnreachs",
        Icmp6InPktTooBigs "InPktTooBigs", Icmp6InTimeExcds "InTimeExcds", Icmp6InParmProblems "InParmProblems",
        Icmp6InEchos "InEchos", Icmp6InEchoReplies "InEchoReplies", Icmp6InGroupMembQueries "InGroupMembQueries",
        Icmp6InGroupMembResponses "InGroupMembResponses", Icmp6InGroupMembReductions "InGroupMembReductions",
        Icmp6InRouterSolicits "InRouterSolicits", Icmp6InRouterAdvertisements "InRouterAdvertisements",
        Icmp6InNeighborSolicits "InNeighborSolicits", Icmp6InNeighborAdvertisements "InNeighborAdvertisements",
        Icmp6InRedirects "InRedirects", Icmp6InMldv2Reports "InMLDv2Reports", Icmp6OutDestUnreachs "OutDestUnreachs",
        Icmp6OutPktTooBigs "OutPktTooBigs", Icmp6OutTimeExcds "OutTimeExcds", Icmp6OutParmProblems "OutParmProblems",
        Icmp6OutEchos "OutEchos", Icmp6OutEchoReplies "OutEchoReplies", Icmp6OutGroupMembQueries "OutGroupMembQueries",
        Icmp6OutGroupMembResponses "OutGroupMembResponses", Icmp6OutGroupMembReductions "OutGroupMembReductions",
        Icmp6OutRouterSolicits "OutRouterSolicits", Icmp6OutRouterAdvertisements "OutRouterAdvertisements",
        Icmp6OutNeighborSolicits "OutNeighborSolicits", Icmp6OutNeighborAdvertisements "OutNeighborAdvertisements",
        Icmp6OutRedirects "OutRedirects", Icmp6OutMldv2Reports "OutMLDv2Reports";
    "Udp6": Udp6InDatagrams "InDatagrams", Udp6NoPorts "NoPorts", Udp6InErrors "InErrors", Udp6OutDatagrams "OutDatagrams",
        Udp6RcvbufErrors "RcvbufErrors", Udp6SndbufErrors "SndbufErrors", Udp6InCsumErrors "InCsumErrors",
        Udp6IgnoredMulti "IgnoredMulti", Udp6MemErrors "MemErrors";
    "UdpLite6": UdpLite6InDatagrams "InDatagrams", UdpLite6NoPorts "NoPorts", UdpLite6InErrors "InErrors", UdpLite6OutDatagrams "OutDatagrams", UdpLite6RcvbufErrors "RcvbufErrors", UdpLite6SndbufErrors "SndbufErrors", UdpLite6InCsumErrors "InCsumErrors", UdpLite6MemErrors "MemErrors";
}

/// The counters of one namespace.
#[derive(Clone, Debug)]
pub struct Snmp {
    counts: Box<[u64; Counter::COUNT]>,
    by_reason: &'static [ReasonCounters],
}

/// Which counter a drop reason moves, for a packet that is not IPv6 and for one that is.
#[derive(Clone, Copy, Debug)]
struct ReasonCounters(Option<Counter>, Option<Counter>);

impl Default for Snmp {
    fn default() -> Self {
        Self { counts: Box::new([0; Counter::COUNT]), by_reason: reason_counters() }
    }
}

impl Snmp {
    /// Adds one.
    #[inline]
    pub fn inc(&mut self, counter: Counter) {
        self.counts[counter as usize] += 1;
    }

    /// Adds `n`.
    #[inline]
    pub fn add(&mut self, counter: Counter, n: u64) {
        self.counts[counter as usize] += n;
    }

    /// The count.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counts[counter as usize]
    }

    /// Moves the counter that belongs to a drop's reason.
    pub(crate) fn drop(&mut self, reason: DropReason, v6: bool) {
        let ReasonCounters(four, six) = self.by_reason[reason as usize];
        if let Some(counter) = if v6 { six } else { four } {
            self.inc(counter);
        }
    }

    /// All counters with their counts, in `/proc`'s order.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> + '_ {
        Counter::ALL.iter().map(|&c| (c, self.get(c)))
    }
}

/// The table from drop reason to counters, made once: names in the reasons' table are group and name run together.
fn reason_counters() -> &'static [ReasonCounters] {
    static TABLE: std::sync::OnceLock<Vec<ReasonCounters>> = std::sync::OnceLock::new();
    TABLE.get_or_init(|| {
        let find = |group: &str, name: &str| {
            Counter::ALL.iter().copied().find(|c| c.group() == group && c.name() == name)
        };
        let by_reason = |reason: &DropReason| {
            let full = reason.info().counter;
            if full == "IPReversePathFilter" {
                return ReasonCounters(Some(Counter::TcpExtIpReversePathFilter), None);
            }
            // The longest group first: `Icmp6…` starts with `Icmp`, `TcpExt…` with `Tcp`.
            let groups = [
                "TcpExt", "IpExt", "Icmp6", "Icmp", "UdpLite6", "UdpLite", "Udp6", "Udp", "Ip6", "Ip", "Tcp",
            ];
            let Some((group, name)) = groups.iter().find_map(|g| Some((*g, full.strip_prefix(g)?))) else {
                return ReasonCounters(None, None);
            };
            let four = find(group, name).or_else(|| find("IpExt", name).filter(|_| group == "Ip"));
            let six = match group {
                "Ip" => find("Ip6", name),
                "Icmp" => find("Icmp6", name),
                "Udp" => find("Udp6", name),
                "UdpLite" => find("UdpLite6", name),
                _ => four,
            };
            ReasonCounters(four, six)
        };
        DropReason::ALL.iter().map(by_reason).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_within_their_group() {
        let mut names: Vec<_> = Counter::ALL.iter().map(|c| (c.group(), c.name())).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Counter::COUNT);
    }

    #[test]
    fn every_drop_reason_with_a_counter_finds_it() {
        for reason in DropReason::ALL.iter().filter(|r| !r.info().counter.is_empty()) {
            let ReasonCounters(four, six) = reason_counters()[*reason as usize];
            assert!(four.is_some() || six.is_some(), "{}: {}", reason, reason.info().counter);
        }
        let mut snmp = Snmp::default();
        snmp.drop(DropReason::IpTruncated, false);
        snmp.drop(DropReason::IpTruncated, true);
        assert_eq!(snmp.get(Counter::IpExtInTruncatedPkts), 1);
        assert_eq!(snmp.get(Counter::Ip6InTruncatedPkts), 1);
    }
}
