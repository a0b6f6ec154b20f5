//! Netlink sockets: requests in, replies queued at once, so that a program that looks after its send finds them there.
//!
//! ```text
//! sendmsg ─▶ request ─▶ messages ─▶ route::TABLE | diag::TABLE ─▶ handler(&mut Netns) ─▶ Replies
//!                                                                       error, or ACK asked for ─▶ NLMSG_ERROR
//! recvmsg ◀─ recv ◀─ queue of datagrams ◀─ packed to PACK_LEN ◀──────────────────────────┘
//! ```
//! Layout and manners are those of Linux (`netlink_rcv_skb`'s rules in netlink(7), rtnetlink(7)): no ACK for a dump,
//! `NLMSG_DONE` with an int at its end, an error quotes the request unless `NETLINK_CAP_ACK`.

pub mod diag;
pub mod read;
pub mod route;
mod socket;
mod watch;
pub mod write;

pub use socket::{Datagram, NetlinkSocket};

use netspace_stack::sock::SockError;
use netspace_stack::{Netns, Turn};
use read::{Attrs, HEADER_LEN, Header, Policy, align};
use write::Message;

/// `NETLINK_ROUTE`.
pub const NETLINK_ROUTE: i32 = 0;
/// `NETLINK_SOCK_DIAG`.
pub const NETLINK_SOCK_DIAG: i32 = 4;
/// `NETLINK_GET_STRICT_CHK`: the option that asks for strict checks of dump requests.
pub const NETLINK_GET_STRICT_CHK: i32 = 12;

/// Flags of messages (`NLM_F_*`).
pub mod flag {
    /// A request.
    pub const REQUEST: u16 = 0x1;
    /// Of several.
    pub const MULTI: u16 = 0x2;
    /// Confirm it.
    pub const ACK: u16 = 0x4;
    /// The dump was cut to what the request asks for.
    pub const DUMP_FILTERED: u16 = 0x20;
    /// Everything (`NLM_F_ROOT | NLM_F_MATCH`).
    pub const DUMP: u16 = 0x300;
    /// Put it in place of what is there.
    pub const REPLACE: u16 = 0x100;
    /// Refuse if it is there.
    pub const EXCL: u16 = 0x200;
    /// Make it if it is not there.
    pub const CREATE: u16 = 0x400;
    /// Put it behind what is there.
    pub const APPEND: u16 = 0x800;
    /// An error that quotes only the request's header.
    pub const CAPPED: u16 = 0x100;
    /// An error with attributes behind it.
    pub const ACK_TLVS: u16 = 0x200;
}

/// Why a request failed: the number, and what `NETLINK_EXT_ACK` tells beside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NlError {
    /// The error's number (positive).
    pub errno: i32,
    /// A sentence for people.
    pub message: Option<&'static str>,
    /// Where in the request the culprit is.
    pub offset: Option<usize>,
}

impl NlError {
    /// An error with a sentence.
    pub const fn new(errno: i32, message: &'static str) -> Self {
        Self { errno, message: Some(message), offset: None }
    }

    /// An error that is only a number.
    pub const fn bare(errno: i32) -> Self {
        Self { errno, message: None, offset: None }
    }

    /// Says where the culprit is.
    #[must_use]
    pub const fn at(mut self, offset: usize) -> Self {
        self.offset = Some(offset);
        self
    }
}

impl From<SockError> for NlError {
    fn from(error: SockError) -> Self {
        Self::bare(crate::errno::of(error))
    }
}

/// A request that a handler answers.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its header.
    pub header: Header,
    /// The whole message.
    pub message: &'a [u8],
    /// Whether the socket asked for strict checks.
    pub strict: bool,
}

impl<'a> Request<'a> {
    /// What is behind the header: the family's own header first.
    pub fn body(&self) -> &'a [u8] {
        &self.message[HEADER_LEN..]
    }

    /// The address family, which is the first byte of every family header; 0 (any) if there is none.
    pub fn family(&self) -> u8 {
        self.body().first().copied().unwrap_or(0)
    }

    /// Whether a flag is set.
    pub const fn has(&self, flag: u16) -> bool {
        self.header.flags & flag != 0
    }

    /// The attributes behind a family header of `header_len` bytes. A dump's short header (1-byte `rtgenmsg`) has none.
    pub fn attrs(&self, header_len: usize, policy: Policy) -> Result<Attrs<'a>, NlError> {
        Attrs::read(self.message, header_len, policy, self.strict && self.has(flag::DUMP))
    }
}

/// Collects the messages that answer one request.
#[derive(Debug)]
pub struct Replies {
    seq: u32,
    pid: u32,
    multi: bool,
    filtered: bool,
    messages: Vec<Message>,
}

impl Replies {
    fn new(request: &Header, pid: u32, multi: bool) -> Self {
        Self { seq: request.seq, pid, multi, filtered: false, messages: Vec::new() }
    }

    /// A new message of type `ty`, to be filled.
    pub fn message(&mut self, ty: u16) -> Message {
        let flags = if self.multi { flag::MULTI } else { 0 };
        Message::new(ty, flags, self.seq, self.pid)
    }

    /// Adds a message that has been filled.
    pub fn push(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// Tells that the dump was cut to what was asked for.
    pub fn set_filtered(&mut self) {
        self.filtered = true;
    }
}

/// Answers a request.
pub type Handler = fn(&mut Netns, &mut Turn, &Request<'_>, &mut Replies) -> Result<(), NlError>;

/// One kind of request.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The message's type.
    pub ty: u16,
    /// Its name, for traces.
    pub name: &'static str,
    /// The family it is for; 0 for all that have no row of their own.
    pub family: u8,
    /// Answers it without `NLM_F_DUMP`.
    pub run: Option<Handler>,
    /// Answers it with `NLM_F_DUMP`.
    pub dump: Option<Handler>,
}

/// Reports an outcome: `NLMSG_ERROR`, with 0 for a confirmation.
fn report(request: &Header, whole: &[u8], pid: u32, outcome: &Result<(), NlError>, socket: Told) -> Message {
    let (errno, error) = match outcome {
        Ok(()) => (0, None),
        Err(error) => (error.errno, Some(error)),
    };
    let capped = error.is_none() || socket.cap_ack;
    let mut flags = if capped { flag::CAPPED } else { 0 };
    let told = error.filter(|e| socket.ext_ack && (e.message.is_some() || e.offset.is_some()));
    if told.is_some() {
        flags |= flag::ACK_TLVS;
    }
    let mut message = Message::new(libc::NLMSG_ERROR as u16, flags, request.seq, pid);
    message.raw(&(-errno).to_ne_bytes());
    let quoted = if capped { HEADER_LEN } else { whole.len() };
    message.raw(&whole[..quoted]);
    if let Some(error) = told {
        const NLMSGERR_ATTR_MSG: u16 = 1;
        const NLMSGERR_ATTR_OFFS: u16 = 2;
        if let Some(text) = error.message {
            message.text(NLMSGERR_ATTR_MSG, text);
        }
        if let Some(offset) = error.offset {
            message.u32(NLMSGERR_ATTR_OFFS, offset as u32);
        }
    }
    message
}

/// How much a socket wants to be told with an error.
#[derive(Clone, Copy, Debug)]
struct Told {
    cap_ack: bool,
    ext_ack: bool,
}

/// The end of a dump: an int, 0 or a negative error.
fn done(replies: &Replies, outcome: &Result<(), NlError>) -> Message {
    let mut message = Message::new(libc::NLMSG_DONE as u16, flag::MULTI, replies.seq, replies.pid);
    let errno = outcome.as_ref().err().map_or(0, |e| e.errno);
    message.raw(&(-errno).to_ne_bytes());
    message
}

/// Packs messages into datagrams of at most `PACK_LEN` bytes, unless one alone is longer. glibc and Go read with a page
/// and take what does not fit for lost.
fn pack(messages: impl IntoIterator<Item = Message>) -> Vec<Vec<u8>> {
    const PACK_LEN: usize = 3776;
    let mut datagrams: Vec<Vec<u8>> = Vec::new();
    for message in messages {
        let bytes = message.into_bytes();
        debug_assert_eq!(bytes.len(), align(bytes.len()));
        match datagrams.last_mut() {
            Some(last) if last.len() + bytes.len() <= PACK_LEN => last.extend(bytes),
            _ => datagrams.push(bytes),
        }
    }
    datagrams
}
