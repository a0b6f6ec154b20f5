//! TCP Fast Open (RFC 7413): data on the SYN, for a peer whose cookie shows that it was here before.
//!
//! ```text
//! client: SYN, cookie, data ──▶ server: the program reads, and may answer before the handshake is done
//!         ◀── SYN-ACK of SYN and data      (or of the SYN alone: the data goes again)
//! ```
//! Cookies are made, checked and remembered by the owner of connections.

mod state;

use std::sync::Arc;

use netspace_base::Instant;
use netspace_wire::tcp::{FastOpenCookie, SeqNum};

use crate::config::Config;
use crate::connection::{Connection, Flags};
use crate::mib::Mib;
use crate::segment::Segment;
use crate::send::AckInput;
use crate::state::{Event, State};

pub(crate) use state::FastOpen;
pub use state::{FastOpenAnswer, FastOpenAsk};

/// Timeouts in a row after which a black hole is suspected (as Linux).
const BLACK_HOLE_TIMEOUTS: u8 = 3;
/// Room kept for options on a SYN with data.
const OPTIONS_ROOM: u32 = 40;

impl Connection {
    /// Opens a connection with Fast Open. Data given to [`Connection::send`] before the first
    /// [`Connection::poll_transmit`] goes with the SYN if it may.
    pub fn connect_fast(
        config: impl Into<Arc<Config>>,
        now: Instant,
        iss: SeqNum,
        path_mss: u16,
        ask: FastOpenAsk,
    ) -> Self {
        let mut connection = Self::connect(config, now, iss, path_mss);
        if ask.deferred {
            connection.flags.remove(Flags::SYN_DUE);
            connection.timers.stop_resend();
        }
        connection.fast_open = Some(Box::new(FastOpen { ask, sent_data: false, answer: None }));
        connection
    }

    /// Answers a SYN whose cookie is good: its data is ready to be read, and the program may send at once.
    pub fn accept_fast(
        config: impl Into<Arc<Config>>,
        now: Instant,
        iss: SeqNum,
        syn: &Segment,
        path_mss: u16,
    ) -> Self {
        let mut connection = Self::accept(config, now, iss, syn, path_mss);
        connection.flags.insert(Flags::FAST_OPEN | Flags::SYN_DATA);
        for bytes in &syn.payload {
            connection.recv.queue.push(bytes.clone());
        }
        connection.recv.nxt = connection.recv.queue.end();
        connection.recv.bytes_received = syn.payload_len() as u64;
        if !syn.payload.is_empty() {
            connection.events.push(Event::Readable);
        }
        connection
    }

    /// The SYN-ACK tells this cookie.
    pub fn offer_cookie(&mut self, cookie: FastOpenCookie) {
        self.cookie_offer = Some(Box::new(cookie));
    }

    /// Whether a deferred SYN waits for data.
    pub fn is_deferred(&self) -> bool {
        self.state == State::SynSent && self.fast_open.as_ref().is_some_and(|fast| fast.ask.deferred)
    }

    /// Whether programs may use it although the handshake is not done: a child whose SYN brought a good cookie.
    pub fn is_early(&self) -> bool {
        self.state == State::SynReceived && self.flags.contains(Flags::FAST_OPEN)
    }

    /// Bytes that the SYN can take now; 0 if none may go with it.
    pub fn syn_data_room(&self) -> usize {
        let Some(fast) = &self.fast_open else { return 0 };
        if fast.sent_data || (fast.ask.cookie.is_empty() && !fast.ask.no_cookie) || self.retries > 0 {
            return 0;
        }
        let mss = match fast.ask.peer_mss {
            0 => self.config.advertised_mss(self.path_mss).min(crate::open::MSS_DEFAULT),
            mss => self.config.advertised_mss(self.path_mss).min(mss),
        };
        (u32::from(mss).saturating_sub(OPTIONS_ROOM) as usize).saturating_sub(self.send.buffer.len())
    }

    /// The first data has come for a SYN that waited for it.
    pub(crate) fn end_deferral(&mut self, now: Instant) {
        if let Some(fast) = &mut self.fast_open
            && fast.ask.deferred
        {
            fast.ask.deferred = false;
            self.flags.insert(Flags::SYN_DUE);
            self.arm_syn_timer(now);
        }
    }

    /// Adds option and data to a SYN that goes for the first time; a SYN that goes again has neither, lest something on the
    /// way swallows it for their sake (RFC 7413 §4.2.1).
    pub(crate) fn add_syn_data(&mut self, now: Instant, syn: &mut Segment) {
        let room = self.syn_data_room() + self.send.buffer.len();
        let Some(fast) = self.fast_open.as_mut().filter(|_| self.retries == 0) else { return };
        if !fast.ask.no_cookie {
            syn.options.fast_open = Some(fast.ask.cookie.clone());
        }
        let may_send = fast.ask.no_cookie || !fast.ask.cookie.is_empty();
        let len = self.send.buffer.len().min(room);
        if !may_send || len == 0 {
            return;
        }
        fast.sent_data = true;
        self.send.buffer.slices(self.send.buffer.start(), len, usize::MAX, &mut syn.payload);
        self.send.sent_with_syn(now, len as u32);
    }

    /// The SYN-ACK has come: cookie and segment size are kept for the owner, and data that it does not acknowledge goes
    /// again at once.
    pub(crate) fn settle_syn_data(&mut self, now: Instant, ack: u64, segment: &Segment) {
        let Some(fast) = &mut self.fast_open else { return };
        let cookie = segment.options.fast_open.clone().filter(|cookie| !cookie.is_empty());
        fast.answer = Some(FastOpenAnswer { cookie, peer_mss: self.peer_mss });
        if !fast.sent_data {
            return;
        }
        let input = AckInput { now, segment, ack, sack: &[], echo: None, bare: false };
        let summary = self.send.on_ack(&input, &mut self.ecn, &self.config);
        if summary.acked > 0 {
            self.flags.insert(Flags::SYN_DATA);
            self.mibs.add(Mib::FastOpenActive, 1);
        } else {
            self.mibs.add(Mib::FastOpenActiveFail, 1);
        }
        self.send.resend_rest();
        self.arm_resend(now);
    }

    /// What came of Fast Open, once.
    pub fn take_fast_open_answer(&mut self) -> Option<FastOpenAnswer> {
        self.fast_open.as_mut()?.answer.take()
    }

    /// Whether its SYN asked for Fast Open, and it has just timed out for the third time in a row: something on the way may
    /// swallow such connections.
    pub fn may_be_black_holed(&self) -> bool {
        self.fast_open.is_some() && self.retries == BLACK_HOLE_TIMEOUTS
    }
}
