//! Links of a running world: finding them by name, changing them, their counts.

use netspace_base::{DevId, DropReason, NsId, Pkt, Point, Rng};
use netspace_sched::{Discipline, Impairment, LinkDirection, LinkStats};

use crate::file::quantity::{self, QueueSetting};
use crate::file::suggest;

use super::World;

/// One end of a link: a device of a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkEnd {
    /// The host.
    pub ns: NsId,
    /// Its device.
    pub dev: DevId,
    /// The host's name.
    pub host: String,
    /// The device's name.
    pub interface: String,
}

impl LinkEnd {
    /// `host:eth0`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.host, self.interface)
    }
}

/// A link and what is on it.
#[derive(Debug)]
pub struct Link {
    /// Its ends.
    pub ends: [LinkEnd; 2],
    /// The direction towards each end.
    pub(super) towards: [LinkDirection; 2],
    pub(super) rng: [Rng; 2],
    pub(super) up: bool,
}

/// A link as it is now.
#[derive(Clone, Debug)]
pub struct LinkInfo {
    /// Its number.
    pub number: usize,
    /// Its ends.
    pub ends: [LinkEnd; 2],
    /// Whether it is up.
    pub up: bool,
    /// Settings of the direction towards each end.
    pub towards: [Impairment; 2],
    /// Counts of the direction towards each end.
    pub stats: [LinkStats; 2],
    /// Frames on their way towards each end.
    pub in_flight: [usize; 2],
}

/// Why a link could not be found or changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkError {
    /// No link has this name.
    #[error("there is no link `{name}`{help}")]
    NotFound {
        /// The name.
        name: String,
        /// What is there instead.
        help: String,
    },
    /// Several links have it.
    #[error("`{name}` names several links: {}", .links.join(", "))]
    Ambiguous {
        /// The name.
        name: String,
        /// The links.
        links: Vec<String>,
    },
    /// A setting was refused.
    #[error("{0}")]
    Setting(String),
}

impl World {
    /// All links.
    pub fn links(&self) -> impl Iterator<Item = LinkInfo> + '_ {
        (0..self.links.len()).map(|number| self.link(number))
    }

    /// A link as it is now.
    pub fn link(&self, number: usize) -> LinkInfo {
        let link = &self.links[number];
        LinkInfo {
            number,
            ends: link.ends.clone(),
            up: link.up,
            towards: [0, 1].map(|e| link.towards[e].settings().clone()),
            stats: [0, 1].map(|e| *link.towards[e].stats()),
            in_flight: [0, 1].map(|e| link.towards[e].in_flight()),
        }
    }

    /// Finds a link by `a--b`, `a:eth1--b`, or one end's `a:eth1`. Also tells which end was named second: "towards" it.
    pub fn find_link(&self, name: &str) -> Result<(usize, usize), LinkError> {
        let wanted: Vec<&str> = name.split("--").map(str::trim).collect();
        let is = |end: &LinkEnd, word: &str| match word.split_once(':') {
            Some((host, interface)) => end.host == host && end.interface == interface,
            None => end.host == word,
        };
        let mut found = Vec::new();
        for (number, link) in self.links.iter().enumerate() {
            let [a, b] = &link.ends;
            match wanted.as_slice() {
                [one] if one.contains(':') && is(a, one) => found.push((number, 1)),
                [one] if one.contains(':') && is(b, one) => found.push((number, 0)),
                [x, y] if is(a, x) && is(b, y) => found.push((number, 1)),
                [x, y] if is(b, x) && is(a, y) => found.push((number, 0)),
                _ => {}
            }
        }
        match found.as_slice() {
            [] => Err(self.no_such_link(name, &wanted)),
            [one] => Ok(*one),
            several => {
                let ends =
                    |n: usize| self.links[n].ends.iter().map(LinkEnd::name).collect::<Vec<_>>().join("--");
                let links = several.iter().map(|&(n, _)| ends(n)).collect();
                Err(LinkError::Ambiguous { name: name.to_owned(), links })
            }
        }
    }

    fn no_such_link(&self, name: &str, wanted: &[&str]) -> LinkError {
        let hosts: Vec<&str> = self.hosts.iter().map(|h| h.name.as_str()).collect();
        let unknown = wanted.iter().map(|w| w.split(':').next().unwrap_or(w)).find(|w| !hosts.contains(w));
        let help = match unknown {
            Some(word) => suggest::nearest(word, hosts).map(|near| format!(": did you mean `{near}`?")),
            None => {
                let first = wanted.first().and_then(|w| w.split(':').next()).unwrap_or("");
                let names = self.links.iter().filter(|l| l.ends.iter().any(|e| e.host == first));
                let names: Vec<String> =
                    names.map(|l| format!("{}--{}", l.ends[0].host, l.ends[1].host)).collect();
                Some(format!(
                    "; {first} has {}",
                    if names.is_empty() { "none".into() } else { names.join(", ") }
                ))
            }
        };
        LinkError::NotFound { name: name.to_owned(), help: help.unwrap_or_default() }
    }

    /// Changes what is named in `words` (`delay 50ms loss 2%`) and leaves the rest; `towards` one end, or both
    /// directions. Frames under way arrive as they would have.
    pub fn set_link(&mut self, number: usize, towards: Option<usize>, words: &str) -> Result<(), LinkError> {
        let words = in_sched_words(words).map_err(LinkError::Setting)?;
        let ends: &[usize] = match towards {
            Some(0) => &[0],
            Some(_) => &[1],
            None => &[0, 1],
        };
        let mut changed = Vec::new();
        for &end in ends {
            let mut settings = self.links[number].towards[end].settings().clone();
            settings.update(&words).map_err(|e| LinkError::Setting(e.to_string()))?;
            changed.push((end, settings));
        }
        for (end, settings) in changed {
            self.links[number].towards[end].set(settings);
        }
        Ok(())
    }

    /// Sets all settings of the direction towards an end.
    pub fn replace_link(&mut self, number: usize, end: usize, settings: Impairment) {
        self.links[number].towards[end].set(settings);
    }

    /// Unplugs or plugs in a link: what is under way is lost, and both ends see the carrier go or come.
    pub fn set_link_up(&mut self, number: usize, up: bool) {
        self.settle();
        self.turn.now = self.now();
        self.links[number].up = up;
        for end in [0, 1] {
            for pkt in self.links[number].towards[end].set_up(up) {
                self.lose(number, end, &pkt, DropReason::LinkDown);
            }
            self.reschedule_direction(number, end);
            let LinkEnd { ns, dev, .. } = self.links[number].ends[end];
            let (netns, turn) = self.lend(ns);
            netns.set_carrier(turn, dev, up);
            self.settle();
        }
    }

    /// Carries a frame from the end `from` of a link.
    pub(super) fn carry(&mut self, number: usize, from: usize, pkt: Box<Pkt>) {
        let now = self.turn.now;
        let to = 1 - from;
        let ns = self.links[number].ends[from].ns;
        self.turn.trace.at(now, ns, Point::LinkEnter, &pkt);
        let link = &mut self.links[number];
        let verdict = link.towards[to].send(now, pkt, &mut link.rng[to]);
        for (pkt, reason) in verdict.dropped {
            self.lose(number, to, &pkt, reason);
        }
        self.arrive(number, to);
    }

    /// Hands over the frames that have arrived at the end `to` of a link.
    pub(super) fn arrive(&mut self, number: usize, to: usize) {
        let now = self.turn.now;
        let LinkEnd { ns, dev, .. } = self.links[number].ends[to];
        while let Some(mut pkt) = self.links[number].towards[to].arrive(now) {
            pkt.dev = dev;
            self.turn.trace.at(now, ns, Point::LinkLeave, &pkt);
            self.hosts[ns.0 as usize].netns.receive(&mut self.turn, dev, pkt);
            self.mark_dirty(ns);
        }
        // A managed queue decides when a frame's turn comes.
        for (pkt, reason) in self.links[number].towards[to].take_dropped() {
            self.lose(number, to, &pkt, reason);
        }
        self.reschedule_direction(number, to);
    }

    /// Counts a frame that ends on a link. The stack has counted it as sent: here it comes to be once more, and ends.
    fn lose(&mut self, number: usize, to: usize, pkt: &Pkt, reason: DropReason) {
        let ns = self.links[number].ends[to].ns;
        self.turn.ledger.created += 1;
        self.turn.ledger.drop(reason);
        let now = self.turn.now;
        self.turn.trace.with(now, ns, Point::Drop, pkt, || netspace_base::Detail::Drop(reason));
    }

    pub(super) fn reschedule_direction(&mut self, number: usize, end: usize) {
        let next = self.links[number].towards[end].next_event();
        self.agenda.set(2 * number + end, next);
    }
}

/// The lab's words for a link (`queue 100packets`, `loss off`) in those that `sched` reads.
fn in_sched_words(words: &str) -> Result<String, String> {
    let mut out: Vec<String> = Vec::new();
    let mut key = "";
    for word in words.split_whitespace() {
        match (key, word) {
            ("queue", name) if Discipline::NAMES.contains(&name) => out.extend(["queue".into(), name.into()]),
            ("queue", length) => {
                // A length says that the queue is a plain one.
                let length = queue_length(length)?;
                out.extend(["queue", "fifo", "limit"].map(str::to_owned).into_iter().chain([length]));
            }
            (_, "queue") => {}
            ("delay" | "jitter", "off" | "none" | "0") => out.push("0ms".into()),
            ("rate", "off" | "0") => out.push("none".into()),
            ("loss" | "duplicate" | "reorder" | "corrupt", "off" | "none" | "0") => out.push("0%".into()),
            (_, word) => out.push(word.to_owned()),
        }
        key = word;
    }
    if key == "queue" {
        return Err("`queue` needs a value".to_owned());
    }
    Ok(out.join(" "))
}

/// A length as `sched` reads it; a bare number counts frames.
fn queue_length(value: &str) -> Result<String, String> {
    match quantity::queue(value) {
        Ok(QueueSetting::Packets(n)) => Ok(n.to_string()),
        Ok(QueueSetting::Bytes(n)) => Ok(format!("{n}b")),
        Ok(QueueSetting::Managed(discipline)) => Ok(discipline.to_string()),
        Err(bad) if value.bytes().any(|b| !b.is_ascii_digit()) => {
            Err(format!("queue: {}; {}", bad.message, bad.help))
        }
        Err(_) => Ok(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labs_words_become_those_of_sched() {
        let words = |w: &str| in_sched_words(w).unwrap();
        assert_eq!(words("delay 50ms loss 2%"), "delay 50ms loss 2%");
        assert_eq!(words("queue 100packets rate off"), "queue fifo limit 100 rate none");
        assert_eq!(words("loss off queue 64kB"), "loss 0% queue fifo limit 64000b");
        assert_eq!(
            words("queue fq_codel target 2ms loss gemodel 1% 5%"),
            "queue fq_codel target 2ms loss gemodel 1% 5%"
        );
        let mut link = Impairment::default();
        link.update(&words("delay 10ms loss off queue 20p rate 1mbit")).unwrap();
        assert_eq!(link.to_string(), "delay 10ms rate 1mbit limit 20");
        link.update(&words("queue codel limit 30")).unwrap();
        assert_eq!(link.to_string(), "delay 10ms rate 1mbit limit 20 queue codel limit 30");
        link.update(&words("queue 40p")).unwrap();
        assert_eq!(
            link.to_string(),
            "delay 10ms rate 1mbit limit 40",
            "a length makes it a plain queue again"
        );
        assert!(in_sched_words("queue long").is_err());
        assert!(in_sched_words("rate 1mbit queue").is_err());
    }
}
