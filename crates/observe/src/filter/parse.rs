//! Reads filter expressions.

use std::fmt;

use netspace_base::{DropReason, PktId, Point};

use super::{End, Node, net, protocol_node};

/// Nested parentheses and `not`s.
const DEPTH_MAX: usize = 64;
/// Words in an expression.
const WORDS_MAX: usize = 512;

const WORDS: &[&str] = &[
    "arp", "ip", "ip6", "icmp", "icmp6", "ndp", "igmp", "tcp", "udp", "host", "net", "src", "dst", "port",
    "ether", "drop", "point", "on", "dev", "packet", "and", "or", "not",
];

/// An expression that is not one, where it goes wrong, and what may have been meant.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct FilterError {
    /// The whole expression.
    pub text: String,
    /// Where the bad word starts, bytes.
    pub at: usize,
    /// How long it is, bytes; 0 at the end of the expression.
    pub len: usize,
    /// What is wrong.
    pub message: String,
    /// What may have been meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for FilterError {
    /// The message, the expression, and marks under the bad word.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.text[..self.at].chars().count();
        let width = self.text[self.at..self.at + self.len].chars().count().max(1);
        write!(f, "filter, column {}: {}", before + 1, self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, " (did you mean \"{suggestion}\"?)")?;
        }
        write!(f, "\n  {}\n  {:before$}{:^<width$}", self.text, "", "")
    }
}

#[derive(Clone, Copy, Debug)]
struct Word<'a> {
    text: &'a str,
    at: usize,
}

struct Parser<'a> {
    text: &'a str,
    words: Vec<Word<'a>>,
    next: usize,
    depth: usize,
}

pub(super) fn parse(text: &str) -> Result<Option<Node>, FilterError> {
    let words = split(text);
    let mut parser = Parser { text, words, next: 0, depth: 0 };
    if parser.words.is_empty() {
        return Ok(None);
    }
    if let Some(&word) = parser.words.get(WORDS_MAX) {
        return Err(parser.error(Some(word), "the filter is too long", None));
    }
    let node = parser.or()?;
    match parser.peek() {
        None => Ok(Some(node)),
        Some(word) => Err(parser.error(Some(word), "this \")\" has no \"(\"", None)),
    }
}

/// Words, with parentheses and `!` as words of their own.
fn split(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        let single = matches!(c, '(' | ')' | '!');
        if c.is_whitespace() || single {
            if let Some(start) = start.take() {
                words.push(Word { text: &text[start..at], at: start });
            }
            if single {
                words.push(Word { text: &text[at..=at], at });
            }
        } else if start.is_none() {
            start = Some(at);
        }
    }
    words
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Word<'a>> {
        self.words.get(self.next).copied()
    }

    /// Takes the next word if it is one of these.
    fn take(&mut self, any: &[&str]) -> bool {
        let found = self.peek().is_some_and(|w| any.contains(&w.text));
        self.next += usize::from(found);
        found
    }

    fn error(&self, word: Option<Word<'_>>, message: &str, suggestion: Option<&str>) -> FilterError {
        let (at, len) = word.map_or((self.text.len(), 0), |w| (w.at, w.text.len()));
        let suggestion = suggestion.map(Into::into);
        FilterError { text: self.text.into(), at, len, message: message.into(), suggestion }
    }

    fn or(&mut self) -> Result<Node, FilterError> {
        let mut node = self.and()?;
        while self.take(&["or", "||"]) {
            node = Node::Or(Box::new(node), Box::new(self.and()?));
        }
        Ok(node)
    }

    fn and(&mut self) -> Result<Node, FilterError> {
        let mut node = self.not()?;
        while !self.peek().is_none_or(|w| matches!(w.text, "or" | "||" | ")")) {
            self.take(&["and", "&&"]);
            node = Node::And(Box::new(node), Box::new(self.not()?));
        }
        Ok(node)
    }

    fn not(&mut self) -> Result<Node, FilterError> {
        let word = self.peek();
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(word, "the filter is nested too deeply", None));
        }
        let node = if self.take(&["not", "!"]) {
            Node::Not(Box::new(self.not()?))
        } else if self.take(&["("]) {
            let node = self.or()?;
            if !self.take(&[")"]) {
                return Err(self.error(word, "this \"(\" is never closed", None));
            }
            node
        } else {
            self.primary()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn primary(&mut self) -> Result<Node, FilterError> {
        let word = self.peek().ok_or_else(|| self.error(None, "something is missing here", None))?;
        self.next += 1;
        if let Some(node) = protocol_node(word.text) {
            return Ok(node);
        }
        match word.text {
            "host" | "net" => self.net(End::Either),
            "src" => self.end(End::Source),
            "dst" => self.end(End::Destination),
            "port" => self.port(End::Either),
            "ether" => self.ether(End::Either),
            "drop" => Ok(self.drop()),
            "point" => self.point(),
            "on" => Ok(Node::On(self.value("a host's name")?.text.into())),
            "dev" => Ok(Node::Dev(self.value("a device's name")?.text.into())),
            "packet" => self.packet(),
            "and" | "or" | "&&" | "||" | ")" => {
                let message = format!("something is missing before \"{}\"", word.text);
                Err(self.error(Some(word), &message, None))
            }
            // tcpdump takes a bare address only behind "host", but what it means is clear.
            text => match net(text) {
                Some(net) => Ok(Node::Net(End::Either, net)),
                None => {
                    let message = format!("\"{text}\" is no word of the filter language");
                    Err(self.error(Some(word), &message, nearest(text, WORDS.iter().copied())))
                }
            },
        }
    }

    /// What follows `src` or `dst`.
    fn end(&mut self, end: End) -> Result<Node, FilterError> {
        if self.take(&["port"]) {
            return self.port(end);
        }
        if self.take(&["ether"]) {
            return self.ether(end);
        }
        self.take(&["host", "net"]);
        self.net(end)
    }

    /// The word that must follow.
    fn value(&mut self, what: &str) -> Result<Word<'a>, FilterError> {
        let word = self.peek().filter(|w| !matches!(w.text, "(" | ")" | "!" | "and" | "or" | "not"));
        self.next += 1;
        let at = self.words.get(self.next - 1).copied();
        word.ok_or_else(|| self.error(at, &format!("{what} must follow"), None))
    }

    fn net(&mut self, end: End) -> Result<Node, FilterError> {
        let word = self.value("an IP address")?;
        let message = || format!("\"{}\" is no IP address (use \"on\" for a host's name)", word.text);
        net(word.text).map(|net| Node::Net(end, net)).ok_or_else(|| self.error(Some(word), &message(), None))
    }

    fn port(&mut self, end: End) -> Result<Node, FilterError> {
        let word = self.value("a port number")?;
        let (first, last) = word.text.split_once('-').unwrap_or((word.text, word.text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Node::Port(end, first, last)),
            _ => {
                let message = format!("\"{}\" is no port (0-65535) and no range of ports", word.text);
                Err(self.error(Some(word), &message, None))
            }
        }
    }

    fn ether(&mut self, end: End) -> Result<Node, FilterError> {
        let word = self.value("an Ethernet address")?;
        let mac = word.text.parse();
        mac.map(|mac| Node::Ether(end, mac)).map_err(|error| self.error(Some(word), &error.to_string(), None))
    }

    /// A reason may follow; any other word belongs to the rest of the expression.
    fn drop(&mut self) -> Node {
        let reason = self.peek().and_then(|w| DropReason::ALL.iter().find(|r| r.info().name == w.text));
        self.next += usize::from(reason.is_some());
        Node::Drop(reason.copied())
    }

    fn point(&mut self) -> Result<Node, FilterError> {
        let word = self.value("a point's name")?;
        let names = Point::ALL.iter().map(|p| p.info().name);
        match Point::ALL.iter().find(|p| p.info().name == word.text) {
            Some(&point) => Ok(Node::Point(point)),
            None => {
                let message = format!("\"{}\" is no point of a packet's way", word.text);
                Err(self.error(Some(word), &message, nearest(word.text, names)))
            }
        }
    }

    fn packet(&mut self) -> Result<Node, FilterError> {
        let word = self.value("a packet's number")?;
        let number = word.text.trim_start_matches('#').parse();
        let message = || format!("\"{}\" is no packet's number", word.text);
        number.map(|n| Node::Packet(PktId(n))).map_err(|_| self.error(Some(word), &message(), None))
    }
}

/// The name that differs least from `word`, if it differs little.
fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, name) = names.map(|name| (distance(word, name), name)).min()?;
    (distance <= word.len().div_ceil(3).min(3)).then_some(name)
}

/// Edits (insert, delete, replace, swap neighbours) between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<_>, Vec<_>) = (a.chars().take(32).collect(), b.chars().take(32).collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
