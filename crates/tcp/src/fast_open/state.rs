//! What a connection keeps for Fast Open.

use netspace_wire::tcp::FastOpenCookie;

/// What a SYN asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FastOpenAsk {
    /// The cookie that goes with the data. Empty: a cookie is asked for, and no data goes.
    pub cookie: FastOpenCookie,
    /// Data goes without a cookie (`TCP_FASTOPEN_NO_COOKIE`): no option at all.
    pub no_cookie: bool,
    /// The peer's segment size as it was last time; 0: not known.
    pub peer_mss: u16,
    /// The SYN waits for the first data (`TCP_FASTOPEN_CONNECT`).
    pub deferred: bool,
}

/// What came of it, for whoever remembers cookies.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FastOpenAnswer {
    /// A cookie for the next time.
    pub cookie: Option<FastOpenCookie>,
    /// The peer's segment size.
    pub peer_mss: u16,
}

/// The active side's state until the handshake is done, and its result.
#[derive(Debug)]
pub(crate) struct FastOpen {
    pub(super) ask: FastOpenAsk,
    /// Data went with the SYN.
    pub(super) sent_data: bool,
    pub(super) answer: Option<FastOpenAnswer>,
}
