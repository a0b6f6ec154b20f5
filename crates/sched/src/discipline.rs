//! What becomes of frames that wait for the rate: the settings of a queueing discipline, in tc's words.

use std::fmt;
use std::time::Duration;

use crate::units;

/// The order in which waiting frames are sent, and which of them are not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Discipline {
    /// First come, first served; what finds the queue full is dropped.
    #[default]
    Fifo,
    /// Controlled delay (RFC 8289, tc-codel(8)).
    Codel(CodelSettings),
    /// Fair queues with controlled delay (RFC 8290, tc-fq_codel(8)).
    FqCodel(FqCodelSettings),
}

/// The settings of controlled delay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CodelSettings {
    /// How many frames may wait.
    pub limit: usize,
    /// How long frames may wait for long.
    pub target: Duration,
    /// How long they may wait longer than that: about a round trip.
    pub interval: Duration,
    /// Whether frames whose transport takes part are marked (CE) instead of dropped.
    pub ecn: bool,
}

/// The settings of fair queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FqCodelSettings {
    /// Each queue's; the limit is that of all together.
    pub codel: CodelSettings,
    /// How many queues there are; flows are spread over them by a hash.
    pub flows: u32,
    /// How many bytes a queue may send in its turn.
    pub quantum: u32,
}

impl CodelSettings {
    /// tc-codel(8)'s defaults.
    pub const CODEL: Self = Self {
        limit: 1000,
        target: Duration::from_millis(5),
        interval: Duration::from_millis(100),
        ecn: false,
    };
}

impl FqCodelSettings {
    /// tc-fq_codel(8)'s defaults.
    pub const DEFAULT: Self = Self {
        codel: CodelSettings { limit: 10_240, ecn: true, ..CodelSettings::CODEL },
        flows: 1024,
        quantum: 1514,
    };
    /// The most queues.
    pub const FLOWS_MAX: u32 = 65_536;
}

impl Discipline {
    /// The names.
    pub const NAMES: &[&str] = &["fifo", "codel", "fq_codel"];
    /// The words that may follow a name.
    pub const OPTIONS: &[&str] = &["limit", "target", "interval", "flows", "quantum", "ecn", "noecn"];

    /// Reads `fq_codel`, or `codel target 2ms interval 40ms ecn`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let mut discipline = match words.next() {
            Some("fifo") => Self::Fifo,
            Some("codel") => Self::Codel(CodelSettings::CODEL),
            Some("fq_codel") => Self::FqCodel(FqCodelSettings::DEFAULT),
            other => {
                let name = other.unwrap_or_default();
                return Err(format!(
                    "`{name}` is no queueing discipline: known are {}",
                    Self::NAMES.join(", ")
                ));
            }
        };
        while let Some(option) = words.next() {
            if matches!(option, "ecn" | "noecn") {
                discipline.codel_mut(option)?.ecn = option == "ecn";
                continue;
            }
            if !Self::OPTIONS.contains(&option) {
                return Err(format!("`{option}` is no option of it: known are {}", Self::OPTIONS.join(", ")));
            }
            let value = words.next().ok_or_else(|| format!("`{option}` needs a value"))?;
            discipline.set(option, value)?;
        }
        Ok(discipline)
    }

    fn set(&mut self, option: &str, value: &str) -> Result<(), String> {
        let count = |max: u32| match value.parse() {
            Ok(n) if (1..=max).contains(&n) => Ok(n),
            _ => Err(format!("{option}: `{value}` is not a number from 1 to {max}")),
        };
        let time = || match units::parse_duration(value)? {
            Duration::ZERO => Err(format!("{option}: it must be longer than nothing")),
            time => Ok(time),
        };
        match (option, &mut *self) {
            ("flows", Self::FqCodel(fq)) => fq.flows = count(FqCodelSettings::FLOWS_MAX)?,
            ("quantum", Self::FqCodel(fq)) => fq.quantum = count(1 << 20)?,
            ("flows" | "quantum", _) => return Err(format!("`{option}` is for fq_codel")),
            ("limit", _) => self.codel_mut(option)?.limit = count(1 << 20)? as usize,
            ("target", _) => self.codel_mut(option)?.target = time()?,
            _ => self.codel_mut(option)?.interval = time()?,
        }
        Ok(())
    }

    /// Its controlled delay, to change; the error says that it has none.
    fn codel_mut(&mut self, option: &str) -> Result<&mut CodelSettings, String> {
        match self {
            Self::Fifo => Err(format!(
                "`{option}` is for codel and fq_codel; a plain queue has a length, as 100packets"
            )),
            Self::Codel(codel) => Ok(codel),
            Self::FqCodel(fq) => Ok(&mut fq.codel),
        }
    }
}

impl fmt::Display for Discipline {
    /// The words that [`Discipline::parse`] reads: what differs from the defaults.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, codel, usual) = match self {
            Self::Fifo => return f.write_str("fifo"),
            Self::Codel(codel) => ("codel", codel, CodelSettings::CODEL),
            Self::FqCodel(fq) => ("fq_codel", &fq.codel, FqCodelSettings::DEFAULT.codel),
        };
        f.write_str(name)?;
        if codel.limit != usual.limit {
            write!(f, " limit {}", codel.limit)?;
        }
        if codel.target != usual.target {
            write!(f, " target {}", units::show_duration(codel.target))?;
        }
        if codel.interval != usual.interval {
            write!(f, " interval {}", units::show_duration(codel.interval))?;
        }
        if let Self::FqCodel(fq) = self {
            if fq.flows != FqCodelSettings::DEFAULT.flows {
                write!(f, " flows {}", fq.flows)?;
            }
            if fq.quantum != FqCodelSettings::DEFAULT.quantum {
                write!(f, " quantum {}", fq.quantum)?;
            }
        }
        match (codel.ecn, usual.ecn) {
            (true, false) => f.write_str(" ecn"),
            (false, true) => f.write_str(" noecn"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disciplines_read_and_print_in_tcs_words() {
        for text in [
            "fifo",
            "codel",
            "codel limit 50 target 2ms interval 40ms ecn",
            "fq_codel",
            "fq_codel limit 300 flows 16 quantum 300 noecn",
        ] {
            assert_eq!(Discipline::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn wrong_disciplines_are_explained() {
        for (text, says) in [
            ("red", "known are fifo, codel, fq_codel"),
            ("codel flows 3", "`flows` is for fq_codel"),
            ("fifo ecn", "a plain queue has a length"),
            ("fq_codel flows 0", "from 1 to 65536"),
            ("codel target", "needs a value"),
            ("codel target 0ms", "longer than nothing"),
            ("codel aim 5ms", "`aim` is no option"),
        ] {
            let error = Discipline::parse(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
