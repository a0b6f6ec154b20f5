//! Loss: each frame for itself, or in bursts by the Gilbert–Elliott model (tc-netem(8), `loss gemodel`).
//!
//! ```text
//!            p ──▶
//!   good ◀──────────▶ bad        lost in good: 1-k, in bad: 1-h
//!            ◀── r
//! ```

use std::fmt;

use netspace_base::Rng;

use crate::units;

/// All frames, as a ratio.
const CERTAIN: u32 = 1_000_000_000;

/// How frames are lost. Ratios are parts of 10⁹.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// Each frame by itself, with this chance.
    Random(u32),
    /// In bursts.
    Bursts(GilbertElliott),
}

/// A line that is now good, now bad; drawn anew with every frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GilbertElliott {
    /// `p`: chance to turn from good to bad.
    pub to_bad: u32,
    /// `r`: chance to turn from bad to good.
    pub to_good: u32,
    /// `1-h`: chance that a frame is lost while bad.
    pub lost_in_bad: u32,
    /// `1-k`: chance that a frame is lost while good.
    pub lost_in_good: u32,
}

impl Default for Loss {
    fn default() -> Self {
        Self::Random(0)
    }
}

impl Loss {
    /// Whether nothing is lost.
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::Random(0))
    }

    /// Reads `1%`, `random 1%` or `gemodel P [R [1-H [1-K]]]`, with netem's defaults: r = 1-p, 1-h = 100 %, 1-k = 0.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            ["gemodel", ref ratios @ ..] if (1..=4).contains(&ratios.len()) => {
                let mut read = Vec::with_capacity(4);
                for ratio in ratios {
                    read.push(units::parse_ratio(ratio)?);
                }
                let or = |n: usize, default| read.get(n).copied().unwrap_or(default);
                Ok(Self::Bursts(GilbertElliott {
                    to_bad: read[0],
                    to_good: or(1, CERTAIN - read[0]),
                    lost_in_bad: or(2, CERTAIN),
                    lost_in_good: or(3, 0),
                }))
            }
            ["gemodel", ..] => {
                Err("write gemodel P [R [1-H [1-K]]], like gemodel 1% 10% 70% 0.1%".to_owned())
            }
            ["random", ratio] | [ratio] => units::parse_ratio(ratio).map(Self::Random),
            _ => Err(format!("`{text}` is not a loss: write 1%, or gemodel 1% 10%")),
        }
    }

    /// The share of frames lost in the long run, parts of 10⁹.
    pub fn average(&self) -> u32 {
        match self {
            Self::Random(ratio) => *ratio,
            Self::Bursts(model) => model.average(),
        }
    }
}

impl GilbertElliott {
    /// The share lost in the long run: the states' shares are as r to p.
    fn average(&self) -> u32 {
        let [p, r, bad, good] =
            [self.to_bad, self.to_good, self.lost_in_bad, self.lost_in_good].map(u64::from);
        if p + r == 0 {
            // It stays good, as it starts.
            return self.lost_in_good;
        }
        u32::try_from((p * bad + r * good) / (p + r)).unwrap_or(CERTAIN)
    }
}

impl fmt::Display for Loss {
    /// The words that [`Loss::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random(ratio) => f.write_str(&units::show_ratio(*ratio)),
            Self::Bursts(model) => {
                let ratios = [model.to_bad, model.to_good, model.lost_in_bad, model.lost_in_good];
                write!(f, "gemodel {}", ratios.map(units::show_ratio).join(" "))
            }
        }
    }
}

/// What the line remembers from frame to frame.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LossState {
    bad: bool,
}

impl LossState {
    /// Whether this frame is lost.
    pub(crate) fn draw(&mut self, loss: Loss, rng: &mut Rng) -> bool {
        let model = match loss {
            Loss::Random(ratio) => return rng.chance(ratio),
            Loss::Bursts(model) => model,
        };
        let (lost, turns) = match self.bad {
            true => (model.lost_in_bad, model.to_good),
            false => (model.lost_in_good, model.to_bad),
        };
        let lost = rng.chance(lost);
        self.bad ^= rng.chance(turns);
        lost
    }
}

#[cfg(test)]
mod tests {
    use netspace_base::Seed;

    use super::*;

    #[test]
    fn bursts_read_and_print_with_netems_defaults() {
        let shown = |text: &str| Loss::parse(text).expect(text).to_string();
        assert_eq!(shown("gemodel 1% 10% 70% 0.1%"), "gemodel 1% 10% 70% 0.1%");
        assert_eq!(shown("gemodel 1%"), "gemodel 1% 99% 100% 0%");
        assert_eq!(shown("random 2%"), "2%");
        for wrong in ["gemodel", "gemodel 1% 2% 3% 4% 5%", "gemodel often", "1% 2%", ""] {
            assert!(Loss::parse(wrong).is_err(), "{wrong}");
        }
    }

    /// Long runs meet the model's average; losses come in runs of 1/r frames, where even loss of the same share would
    /// give runs of hardly more than one.
    #[test]
    fn bursts_have_their_length_and_average() {
        const FRAMES: u32 = 200_000;
        let loss = Loss::parse("gemodel 1% 20%").expect("reads");
        let (mut state, mut rng) = (LossState::default(), Seed(3).stream("loss", 0));
        let (mut lost, mut runs, mut before) = (0_u32, 0_u32, false);
        for _ in 0..FRAMES {
            let now = state.draw(loss, &mut rng);
            lost += u32::from(now);
            runs += u32::from(now && !before);
            before = now;
        }
        let share = f64::from(lost) / f64::from(FRAMES);
        assert!((share - f64::from(loss.average()) / 1e9).abs() < 0.005, "{share}");
        let length = f64::from(lost) / f64::from(runs);
        assert!((4.5..5.5).contains(&length), "{length} frames a run");
    }
}
