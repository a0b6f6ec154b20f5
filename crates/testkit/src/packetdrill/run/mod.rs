//! Runs a script's events against the host, in virtual time.
//!
//! ```text
//! for each event:  wait until it is due (timers fire, blocked calls go on)
//!                  < packet   put it in
//!                  > packet   take the next that came out, or wait for one; compare, also when
//!                  call       do it; if it blocks, go on, and look again whenever something happens
//!                  `command`  settings          %{ code }%  noted with tcp_info, run at the end
//! ```
//! Relative times count from when the event before really happened, as the public tool has it.

mod expect;
mod inject;

use super::call;
use super::flow::Flow;
use super::lex::Place;
use super::python::Snippet;
use super::runner::{Attempt, Pending, Progress};
pub(super) use super::runner::{Outcome, Runner, Trouble, skip, wrong};
use super::script::{Action, Body, Call, Event, Packet, Script, When};
use super::show;

/// How long a call that the script does not know to block may do so, nanoseconds.
const BLOCK_MAX_NS: i64 = 600_000_000_000;

impl Runner {
    /// Runs all events. The place is that of the event in trouble.
    pub(super) fn run(&mut self, script: &Script) -> Result<(), (Place, Trouble)> {
        let top = Place { line: 1, column: 1 };
        for name in self.setup.init_scripts.clone() {
            super::shell::script_file(self, &name).map_err(|t| (top, t))?;
        }
        if let Some((place, command)) = &script.init {
            super::shell::run(self, command).map_err(|t| (*place, t))?;
        }
        self.world.start = self.world.t.now;
        self.world.sent.clear();
        for event in &script.events {
            self.event(event).map_err(|(place, t)| (place.unwrap_or(event.place), t))?;
        }
        self.finish_pending()?;
        if let Some((place, command)) = &script.cleanup {
            super::shell::run(self, command).map_err(|t| (*place, t))?;
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Result<(), (Option<Place>, Trouble)> {
        let here = |trouble| (None, trouble);
        if matches!(event.action, Action::Call(_)) {
            self.finish_pending().map_err(|(place, t)| (Some(place), t))?;
        }
        let due = self.due(event.when);
        if let Action::Packet(packet @ Packet { inbound: false, .. }) = &event.action {
            let result = expect::packet(self, packet, event.when, due);
            return self.lenient(self.setup.non_fatal_packet, result).map_err(here);
        }
        if let Some((from, _)) = due {
            self.run_until(from)?;
            let late = self.world.now_ns() - from;
            if late > self.setup.tolerance(self.base, from) {
                let text = format!(
                    "due at {}, but it is {} already",
                    show::seconds(from),
                    show::seconds(self.world.now_ns())
                );
                return Err(here(Trouble::Wrong(text)));
            }
        }
        let before = self.base;
        self.base = self.world.now_ns();
        let result = match &event.action {
            Action::Packet(packet) => inject::packet(self, packet),
            Action::Call(call) => {
                let result = self.start(
                    call,
                    event.place,
                    matches!(event.when, When::Relative(_) | When::RelativeRange(..)),
                    before,
                );
                self.lenient(self.setup.non_fatal_call, result)
            }
            Action::Shell(command) => super::shell::run(self, command),
            Action::Code(code) => {
                self.snippet(event.place, code);
                Ok(())
            }
        };
        result.map_err(here)?;
        self.poke_pending().map_err(|(place, t)| (Some(place), t))
    }

    /// `--non_fatal`: told, but the script goes on.
    fn lenient(&mut self, on: bool, result: Outcome<()>) -> Outcome<()> {
        match result {
            Err(Trouble::Wrong(text)) if on => {
                self.log.push(format!("           (not fatal) {text}"));
                Ok(())
            }
            other => other,
        }
    }

    /// From when to when an event may happen, nanoseconds since the start; none: at any time.
    fn due(&self, when: When) -> Option<(i64, i64)> {
        match when {
            When::Absolute(at) => Some((at, at)),
            When::Relative(after) => Some((self.base + after, self.base + after)),
            When::Range(from, to) => Some((from, to)),
            When::RelativeRange(from, to) => Some((self.base + from, self.base + to)),
            When::Any => None,
        }
    }

    /// Notes what happens, for `--verbose` and for failures.
    pub(super) fn note(&mut self, at_ns: i64, text: &str) {
        self.log.push(format!("{:>11}  {text}", show::seconds(at_ns)));
    }

    fn snippet(&mut self, place: Place, code: &str) {
        let fd = self.current.and_then(|n| self.flows[n].fd).or_else(|| self.files.last_stream());
        let id = fd.and_then(|fd| self.files.socket(fd));
        let tcp_info = id.map(|id| call::tcp_info(self, id)).unwrap_or_default();
        self.snippets.push(Snippet { place, code: code.to_owned(), tcp_info });
    }
}

// ---- Time ----------------------------------------------------------------------------------------------------------
impl Runner {
    /// Lets time pass up to `to`; what is due on the way happens.
    pub(super) fn run_until(&mut self, to: i64) -> Result<(), (Option<Place>, Trouble)> {
        while self.world.now_ns() < to {
            self.step(to)?;
        }
        Ok(())
    }

    /// To the next moment at which something happens, or to `limit`.
    pub(super) fn step(&mut self, limit: i64) -> Result<(), (Option<Place>, Trouble)> {
        let limit = self.world.moment(limit);
        let deadline = self.pending.as_ref().and_then(|p| p.progress.deadline);
        let next = [self.world.next(), deadline].into_iter().flatten().min().unwrap_or(limit);
        self.world.jump(next.min(limit));
        self.poke_pending().map_err(|(place, t)| (Some(place), t))
    }

    // ---- System calls that block ----

    fn start(&mut self, call: &Call, place: Place, relative: bool, before: i64) -> Outcome<()> {
        // The end is relative to what the start is.
        let end = call.end.map(|end| if relative { before + end } else { end });
        let end = end.map(|end| (end, self.setup.tolerance(before, end)));
        let mut progress = Progress::new(self.world.t.now);
        let attempt = call::attempt(self, call, &mut progress)?;
        self.world.settle();
        match attempt {
            Attempt::Done(answer) => {
                let now = self.world.now_ns();
                self.note(now, &call::text(call, &answer));
                call::check(call, &answer)?;
                check_end(end, now)
            }
            Attempt::Blocked => {
                let at = self.world.now_ns();
                self.note(at, &format!("{}(…) blocks", call.name));
                self.pending = Some(Pending { call: call.clone(), place, progress, end });
                // Nothing in the script happens while a call blocks that it does not know to do so.
                if end.is_none() { self.finish_pending().map_err(|(_, t)| t) } else { Ok(()) }
            }
        }
    }

    /// Something has happened: tries the blocked call again.
    fn poke_pending(&mut self) -> Result<(), (Place, Trouble)> {
        let Some(mut pending) = self.pending.take() else { return Ok(()) };
        let place = pending.place;
        let attempt = call::attempt(self, &pending.call, &mut pending.progress).map_err(|t| (place, t))?;
        self.world.settle();
        let Attempt::Done(answer) = attempt else {
            self.pending = Some(pending);
            return Ok(());
        };
        let now = self.world.now_ns();
        self.note(now, &call::text(&pending.call, &answer));
        let result = call::check(&pending.call, &answer).and_then(|()| check_end(pending.end, now));
        self.lenient(self.setup.non_fatal_call, result).map_err(|t| (place, t))
    }

    /// Waits for the blocked call, until it must have returned.
    fn finish_pending(&mut self) -> Result<(), (Place, Trouble)> {
        let Some(pending) = &self.pending else { return Ok(()) };
        let place = pending.place;
        let limit = match pending.end {
            Some((end, tolerance)) => end + tolerance,
            None => self.world.now_ns() + BLOCK_MAX_NS,
        };
        while self.pending.is_some() && self.world.now_ns() < limit {
            self.step(limit).map_err(|(other, t)| (other.unwrap_or(place), t))?;
        }
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let text = format!("{}() still blocks at {}", pending.call.name, show::seconds(self.world.now_ns()));
        Err((place, Trouble::Wrong(text)))
    }
}

fn check_end(end: Option<(i64, i64)>, now: i64) -> Outcome<()> {
    match end {
        Some((end, tolerance)) if (now - end).abs() > tolerance => wrong(format!(
            "the call was expected to return at {}, and returned at {} (tolerance {})",
            show::seconds(end),
            show::seconds(now),
            show::seconds(tolerance)
        )),
        _ => Ok(()),
    }
}

// ---- Connections ---------------------------------------------------------------------------------------------------
impl Runner {
    /// The connection that a packet of the script is about.
    fn flow_of(&self, packet: &Packet) -> Option<usize> {
        let ports = match &packet.body {
            Body::Tcp(segment) => segment.ports,
            Body::Udp { ports, .. } => *ports,
            Body::Icmp(_) => None,
        };
        let udp = matches!(packet.body, Body::Udp { .. });
        let Some((source, destination)) = ports else {
            let current =
                self.current.filter(|n| self.flows[*n].udp == udp || matches!(packet.body, Body::Icmp(_)));
            return current.or_else(|| self.flows.iter().rposition(|flow| flow.udp == udp));
        };
        let ports = if packet.inbound { (destination, source) } else { (source, destination) };
        self.flows.iter().rposition(|flow| flow.udp == udp && flow.script_ports == Some(ports))
    }

    /// Adds a connection; packets without ports are about it from now on.
    pub(super) fn add_flow(&mut self, flow: Flow) -> usize {
        self.flows.push(flow);
        self.current = Some(self.flows.len() - 1);
        self.flows.len() - 1
    }
}
