//! The settings of one direction of a link, in the words of tc-netem(8).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::discipline::Discipline;
use crate::loss::Loss;
use crate::units;

/// What one direction of a link does to its frames. The default is a perfect link: nothing is delayed, lost or limited.
///
/// Ratios are parts of 10⁹.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Impairment {
    /// How long a frame is under way.
    pub delay: Duration,
    /// The delay varies evenly by up to this much, more or less. Without a rate, frames may overtake one another by it;
    /// with one they do not (both as in netem).
    pub jitter: Duration,
    /// How frames are lost.
    pub loss: Loss,
    /// How many frames arrive twice.
    pub duplicate: u32,
    /// How many frames skip the delay, and so overtake others. Needs a delay.
    pub reorder: u32,
    /// Only every `gap`-th frame may skip the delay; 1: each may.
    pub gap: u32,
    /// How many frames have one random bit flipped.
    pub corrupt: u32,
    /// Bits per second; frames are counted from the Ethernet header on, as `tc` does.
    pub rate_bps: Option<u64>,
    /// How many frames may wait for the rate, behind the one being sent.
    pub queue_packets: usize,
    /// How many bytes may wait for the rate; none: only frames are counted.
    pub queue_bytes: Option<usize>,
    /// How the queue is managed; what is not first come, first served has its own limit instead of the two above.
    pub discipline: Discipline,
}

impl Impairment {
    /// Frames that may wait unless said otherwise: netem's own default.
    pub const DEFAULT_LIMIT: usize = 1000;
    /// The words that [`Impairment::set`] knows.
    pub const KEYS: &[&str] =
        &["delay", "jitter", "loss", "duplicate", "reorder", "gap", "corrupt", "rate", "limit", "queue"];
}

impl Default for Impairment {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: Loss::Random(0),
            duplicate: 0,
            reorder: 0,
            gap: 1,
            corrupt: 0,
            rate_bps: None,
            queue_packets: Self::DEFAULT_LIMIT,
            queue_bytes: None,
            discipline: Discipline::Fifo,
        }
    }
}

/// Why a link's setting was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SettingError {
    /// Not a word that a link knows.
    #[error("unknown link setting `{word}`{}", did_you_mean(*.suggestion))]
    Unknown {
        /// The word.
        word: String,
        /// The nearest one that exists.
        suggestion: Option<&'static str>,
    },
    /// The word came last, without its value.
    #[error("`{0}` needs a value")]
    MissingValue(String),
    /// The word came twice.
    #[error("`{0}` is given twice")]
    Twice(String),
    /// The value does not fit.
    #[error("{key}: {problem}")]
    Value {
        /// The setting.
        key: String,
        /// What is wrong, and what to write.
        problem: String,
    },
    /// Frames can only overtake others that are delayed.
    #[error("reorder: frames can only overtake others if there is a delay")]
    ReorderWithoutDelay,
    /// More variation than there is delay.
    #[error("jitter: {} varies more than the delay of {}", units::show_duration(*.jitter), units::show_duration(*.delay))]
    JitterExceedsDelay {
        /// The jitter asked for.
        jitter: Duration,
        /// The delay asked for.
        delay: Duration,
    },
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|s| format!(": did you mean `{s}`?")).unwrap_or_default()
}

impl Impairment {
    /// Whether the link changes nothing: frames arrive at once and all of them.
    pub fn is_perfect(&self) -> bool {
        self.delay.is_zero() && !self.is_per_frame()
    }

    /// Whether something is modelled per frame, so that a packet that stands for several frames must be cut first.
    pub const fn is_per_frame(&self) -> bool {
        !self.loss.is_none()
            || self.duplicate > 0
            || self.reorder > 0
            || self.corrupt > 0
            || self.rate_bps.is_some()
    }

    /// Sets one setting by its word and value (`"loss"`, `"2%"`).
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SettingError> {
        let problem = |problem: String| SettingError::Value { key: key.to_owned(), problem };
        match key {
            "delay" => self.delay = units::parse_duration(value).map_err(problem)?,
            "jitter" => self.jitter = units::parse_duration(value).map_err(problem)?,
            "loss" => self.loss = Loss::parse(value).map_err(problem)?,
            "queue" => self.discipline = Discipline::parse(value).map_err(problem)?,
            "duplicate" => self.duplicate = units::parse_ratio(value).map_err(problem)?,
            "reorder" => self.reorder = units::parse_ratio(value).map_err(problem)?,
            "corrupt" => self.corrupt = units::parse_ratio(value).map_err(problem)?,
            "gap" => self.gap = parse_count(value).map_err(problem)?,
            "rate" => {
                self.rate_bps = match value {
                    "none" | "unlimited" => None,
                    _ => Some(units::parse_rate(value).map_err(problem)?),
                }
            }
            "limit" => self.set_limit(value).map_err(problem)?,
            _ => {
                let suggestion = nearest(key, Self::KEYS);
                return Err(SettingError::Unknown { word: key.to_owned(), suggestion });
            }
        }
        Ok(())
    }

    /// A bare number counts frames, one with a unit counts bytes.
    fn set_limit(&mut self, value: &str) -> Result<(), String> {
        if value.bytes().all(|b| b.is_ascii_digit()) {
            self.queue_packets = parse_count(value)? as usize;
        } else {
            let bytes = units::parse_size(value)?;
            self.queue_bytes = Some(usize::try_from(bytes).map_err(|e| e.to_string())?);
        }
        Ok(())
    }

    /// Changes the settings named in `words` (`"loss 2% delay 50ms 5ms"`) and leaves the others. On an error nothing is
    /// changed.
    pub fn update(&mut self, words: &str) -> Result<(), SettingError> {
        let mut next = self.clone();
        let mut seen: Vec<&str> = Vec::new();
        let mut words = words.split_whitespace().peekable();
        while let Some(key) = words.next() {
            if !Self::KEYS.contains(&key) {
                let suggestion = nearest(key, Self::KEYS);
                return Err(SettingError::Unknown { word: key.to_owned(), suggestion });
            }
            // `limit` counts frames or bytes: both may be given.
            if key != "limit" && seen.contains(&key) {
                return Err(SettingError::Twice(key.to_owned()));
            }
            seen.push(key);
            let value = words.next().ok_or_else(|| SettingError::MissingValue(key.to_owned()))?;
            let more = std::iter::from_fn(|| words.next_if(|word| belongs(key, value, word)));
            next.set(key, &std::iter::once(value).chain(more).collect::<Vec<_>>().join(" "))?;
            if key == "delay" {
                // tc's short form: `delay TIME JITTER`; a new delay alone takes the old jitter away.
                let jitter = words.next_if(|word| word.starts_with(|c: char| c.is_ascii_digit()));
                match jitter {
                    Some(jitter) => next.set("jitter", jitter)?,
                    None if !seen.contains(&"jitter") => next.jitter = Duration::ZERO,
                    None => {}
                }
            }
        }
        next.check()?;
        *self = next;
        Ok(())
    }

    /// Checks settings that depend on one another. [`Impairment::update`] does it by itself; call it after
    /// [`Impairment::set`].
    pub fn check(&self) -> Result<(), SettingError> {
        if self.reorder > 0 && self.delay.is_zero() {
            return Err(SettingError::ReorderWithoutDelay);
        }
        if self.jitter > self.delay {
            return Err(SettingError::JitterExceedsDelay { jitter: self.jitter, delay: self.delay });
        }
        Ok(())
    }
}

impl FromStr for Impairment {
    type Err = SettingError;

    fn from_str(words: &str) -> Result<Self, SettingError> {
        let mut impairment = Self::default();
        impairment.update(words)?;
        Ok(impairment)
    }
}

impl Impairment {
    /// The settings that are on, by their words: those that [`Impairment::set`] reads, but for `delay`, whose value the
    /// jitter may follow.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        let jitter = if self.jitter.is_zero() {
            String::new()
        } else {
            format!(" {}", units::show_duration(self.jitter))
        };
        if !self.delay.is_zero() {
            pairs.push(("delay", format!("{}{jitter}", units::show_duration(self.delay))));
        }
        if !self.loss.is_none() {
            pairs.push(("loss", self.loss.to_string()));
        }
        for (key, ratio) in
            [("duplicate", self.duplicate), ("reorder", self.reorder), ("corrupt", self.corrupt)]
        {
            if ratio > 0 {
                pairs.push((key, units::show_ratio(ratio)));
            }
        }
        if self.gap != 1 {
            pairs.push(("gap", self.gap.to_string()));
        }
        if let Some(bps) = self.rate_bps {
            pairs.push(("rate", units::show_rate(bps)));
        }
        if self.queue_packets != Self::DEFAULT_LIMIT {
            pairs.push(("limit", self.queue_packets.to_string()));
        }
        if let Some(bytes) = self.queue_bytes {
            pairs.push(("limit", format!("{bytes}b")));
        }
        if self.discipline != Discipline::Fifo {
            pairs.push(("queue", self.discipline.to_string()));
        }
        pairs
    }
}

impl fmt::Display for Impairment {
    /// The words that [`Impairment::from_str`] reads; empty for a perfect link.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.pairs().iter().map(|(key, value)| format!("{key} {value}")).collect();
        f.write_str(&words.join(" "))
    }
}

/// Whether `word` is part of a value of several words: a loss model's ratios, a discipline's options and their values.
fn belongs(key: &str, value: &str, word: &str) -> bool {
    let number = word.starts_with(|c: char| c.is_ascii_digit());
    match (key, value) {
        ("loss", "gemodel" | "random") => number,
        // A plain queue has a limit of its own.
        ("queue", "fifo") => false,
        ("queue", _) => number || Discipline::OPTIONS.contains(&word),
        _ => false,
    }
}

fn parse_count(value: &str) -> Result<u32, String> {
    match value.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(n) => Ok(n),
        Err(_) => Err(format!("`{value}` is not a whole number")),
    }
}

/// The candidate that is at most two slips of the pen away.
fn nearest(word: &str, candidates: &[&'static str]) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let by_distance = candidates.iter().map(|c| (distance(&word, c), *c));
    by_distance.filter(|&(d, _)| d <= 2).min_by_key(|&(d, _)| d).map(|(_, c)| c)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_and_print_in_the_words_of_tc() {
        let words =
            "delay 50ms 5ms loss 2% duplicate 0.5% reorder 25% corrupt 0.01% gap 5 rate 10mbit limit 100";
        let impairment: Impairment = words.parse().expect("reads");
        assert_eq!(impairment.to_string(), words);
        assert_eq!(impairment.loss, Loss::Random(20_000_000));
        assert_eq!(Impairment::default().to_string(), "");
        assert_eq!("".parse(), Ok(Impairment::default()));
        let queue: Impairment = "rate 1mbit limit 64kb limit 10".parse().expect("reads");
        assert_eq!((queue.queue_packets, queue.queue_bytes), (10, Some(65_536)));
        assert_eq!(queue.to_string(), "rate 1mbit limit 10 limit 65536b");
        let words = "loss gemodel 1% 10% 70% 0.1% rate 1mbit queue fq_codel limit 300 target 2ms noecn";
        assert_eq!(words.parse::<Impairment>().expect("reads").to_string(), words);
        assert_eq!(
            "queue codel ecn delay 5ms".parse::<Impairment>().expect("reads").to_string(),
            "delay 5ms queue codel ecn"
        );
    }

    #[test]
    fn update_changes_only_what_is_named_and_nothing_on_an_error() {
        let mut link: Impairment = "delay 50ms 5ms rate 10mbit".parse().expect("reads");
        link.update("loss 1%").expect("reads");
        assert_eq!(link.to_string(), "delay 50ms 5ms loss 1% rate 10mbit");
        link.update("delay 20ms rate none").expect("reads");
        assert_eq!(link.to_string(), "delay 20ms loss 1%");
        assert!(link.update("loss 5% delay fast").is_err());
        assert_eq!(link.to_string(), "delay 20ms loss 1%");
    }

    #[test]
    fn errors_say_what_to_write() {
        let said = |words: &str| words.parse::<Impairment>().expect_err("refused").to_string();
        assert_eq!(said("los 2%"), "unknown link setting `los`: did you mean `loss`?");
        assert_eq!(said("bandwidth 2"), "unknown link setting `bandwidth`");
        assert_eq!(said("loss"), "`loss` needs a value");
        assert_eq!(said("loss 1% loss 2%"), "`loss` is given twice");
        assert_eq!(said("delay 50"), "delay: `50` has no unit: write 50ms or 50us");
        assert_eq!(said("reorder 25%"), "reorder: frames can only overtake others if there is a delay");
        assert_eq!(said("delay 5ms 50ms"), "jitter: 50ms varies more than the delay of 5ms");
        assert_eq!(said("limit 0"), "limit: it must be at least 1");
    }
}
