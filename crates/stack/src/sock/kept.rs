//! Options that a socket only keeps: those without effect here, and those that ask for control messages, which whoever reads
//! looks up.

use super::{OptName, SockOpt};

/// They and their defaults.
const DEFAULTS: &[SockOpt] = &[
    SockOpt::Debug(false),
    SockOpt::WifiStatus(false),
    SockOpt::NoFcs(false),
    SockOpt::SelectErrQueue(false),
    SockOpt::PreferBusyPoll(false),
    SockOpt::TxRehash(true),
    SockOpt::IncomingCpu(-1),
    SockOpt::RcvMark(false),
    SockOpt::RcvPriority(false),
    SockOpt::IpRecvFragSize(false),
    SockOpt::IpRecvErrRfc4884(false),
    SockOpt::IpNoDefrag(false),
    SockOpt::IpChecksum(false),
    SockOpt::V6RecvOrigDstAddr(false),
    SockOpt::V6RecvFragSize(false),
    SockOpt::V6RecvErrRfc4884(false),
];

/// What was set of them; none twice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Vec<SockOpt>);

impl Kept {
    /// Keeps an option's value; gives it back if it is not one of these.
    pub(crate) fn set(&mut self, option: SockOpt) -> Result<(), SockOpt> {
        if !DEFAULTS.iter().any(|known| known.name() == option.name()) {
            return Err(option);
        }
        self.0.retain(|old| old.name() != option.name());
        self.0.push(option);
        Ok(())
    }

    /// An option's value; none if it is not one of these.
    pub(crate) fn get(&self, name: OptName) -> Option<SockOpt> {
        self.0.iter().chain(DEFAULTS).find(|option| option.name() == name).cloned()
    }
}
