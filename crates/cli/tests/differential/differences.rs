//! Differences between two systems' sheets, and the list of those that are known.
//!
//! The list is the tables of `docs/linux-differences.md`, a row for each difference:
//!
//! ```text
//! | `connect/refused-v{4,6}` | `a1 getsockname() -> 0.0.0.0 port e1` | `… -> 10.0.1.10 port e1` | why |
//! ```
//!
//! The first cell names scenarios (`{x,y}` stands for each of its words); cells in backticks must be exactly what was seen
//! (lines are joined by ` ⏎ `), other words describe it and match whatever was seen.

use std::collections::BTreeMap;
use std::fmt;

use super::systems::Sheets;

const LIST: &str = include_str!("../../../../docs/linux-differences.md");
const JOIN: &str = " ⏎ ";
/// Lines of a difference that its message shows from each system.
const SHOWN_LINES_MAX: usize = 12;

/// Lines of a scenario that stand in one system's sheet at the place of the other's.
pub(crate) struct Difference {
    scenario: String,
    kernel: Vec<String>,
    ours: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| `{}` | {} | {} |", self.scenario, code(&self.kernel), code(&self.ours))?;
        for line in self.kernel.iter().take(SHOWN_LINES_MAX) {
            writeln!(f, "    Linux    {line}")?;
        }
        for line in self.ours.iter().take(SHOWN_LINES_MAX) {
            writeln!(f, "    netspace {line}")?;
        }
        Ok(())
    }
}

/// Lines as a cell of the list.
fn code(lines: &[String]) -> String {
    if lines.is_empty() {
        return "nothing".to_owned();
    }
    format!("`{}`", lines.join(JOIN).replace('|', "\\|"))
}

/// All differences of a group, in the order of scenarios and lines.
pub(crate) fn between(group: &str, kernel: &Sheets, ours: &Sheets) -> Vec<Difference> {
    let nothing = Vec::new();
    let mut found = Vec::new();
    for (name, theirs) in kernel {
        let own = ours.get(name).unwrap_or(&nothing);
        let scenario = format!("{group}/{name}");
        found.extend(hunks(theirs, own).into_iter().map(|(kernel, ours)| Difference {
            scenario: scenario.clone(),
            kernel: kernel.to_vec(),
            ours: ours.to_vec(),
        }));
    }
    found
}

/// The stretches in which two lists of lines differ, by their longest common subsequence.
fn hunks<'a>(left: &'a [String], right: &'a [String]) -> Vec<(&'a [String], &'a [String])> {
    let common = common_lengths(left, right);
    let (mut i, mut j) = (0, 0);
    let (mut from_i, mut from_j) = (0, 0);
    let mut found = Vec::new();
    loop {
        let same = i < left.len() && j < right.len() && left[i] == right[j];
        let end = i == left.len() && j == right.len();
        if (same || end) && (from_i < i || from_j < j) {
            found.push((&left[from_i..i], &right[from_j..j]));
        }
        if end {
            return found;
        }
        if same {
            (i, j) = (i + 1, j + 1);
            (from_i, from_j) = (i, j);
        } else if j == right.len() || (i < left.len() && common[i + 1][j] >= common[i][j + 1]) {
            i += 1;
        } else {
            j += 1;
        }
    }
}

/// `table[i][j]`: how many lines the rests of both lists from i and j have in common, in order.
fn common_lengths(left: &[String], right: &[String]) -> Vec<Vec<u32>> {
    let mut table = vec![vec![0; right.len() + 1]; left.len() + 1];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            table[i][j] = if left[i] == right[j] {
                table[i + 1][j + 1] + 1
            } else {
                table[i + 1][j].max(table[i][j + 1])
            };
        }
    }
    table
}

/// The listed differences of a group: (scenario, Linux, netspace) → whether it was seen.
pub(crate) struct Listed(BTreeMap<(String, String, String), bool>);

impl Listed {
    /// What the page lists of a group.
    pub(crate) fn of_group(group: &str) -> Self {
        Self::parse(LIST, group)
    }

    fn parse(text: &str, group: &str) -> Self {
        let prefix = format!("`{group}/");
        let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
        let mut listed = BTreeMap::new();
        for row in rows.filter(|row| row.starts_with(&prefix)) {
            let cells: Vec<&str> = row.trim_end_matches(" |").split(" | ").collect();
            let [scenarios, linux, netspace, why] = cells[..] else {
                panic!("docs/linux-differences.md: four cells, not {}: {row}", cells.len());
            };
            assert!(!why.trim().is_empty(), "docs/linux-differences.md: say why: {row}");
            for scenario in expand(scenarios.trim_matches('`')) {
                let known = listed.insert((scenario, linux.to_owned(), netspace.to_owned()), false);
                assert!(known.is_none(), "docs/linux-differences.md: listed twice: {row}");
            }
        }
        Self(listed)
    }

    /// Whether a difference is listed.
    pub(crate) fn takes(&mut self, found: &Difference) -> bool {
        let (kernel, ours) = (code(&found.kernel), code(&found.ours));
        let fits = |cell: &str, seen: &str| cell == seen || !(cell.starts_with('`') || cell == "nothing");
        let mut of_scenario = self.0.iter_mut().filter(|((name, linux, netspace), _)| {
            *name == found.scenario && fits(linux, &kernel) && fits(netspace, &ours)
        });
        let Some((_, seen)) = of_scenario.next() else { return false };
        *seen = true;
        true
    }

    /// Rows that were not seen.
    pub(crate) fn left(&self) -> Vec<String> {
        let unseen = self.0.iter().filter(|(_, seen)| !**seen);
        unseen.map(|((name, linux, netspace), _)| format!("{name}: {linux} / {netspace}")).collect()
    }
}

/// `a{b,c}d` → `abd`, `acd`; several braces give all combinations.
fn expand(pattern: &str) -> Vec<String> {
    let Some((before, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
    let (words, after) = rest.split_once('}').expect("a closing brace");
    let tails = expand(after);
    words.split(',').flat_map(|word| tails.iter().map(move |tail| format!("{before}{word}{tail}"))).collect()
}

#[test]
fn the_list_must_fit_what_was_seen() {
    let lines = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let kernel =
        Sheets::from([("one".to_owned(), lines(&["a", "b|c", "d"])), ("two".to_owned(), lines(&["x"]))]);
    let ours =
        Sheets::from([("one".to_owned(), lines(&["a", "e", "d"])), ("two".to_owned(), lines(&["x", "y"]))]);
    let found = between("group", &kernel, &ours);
    assert_eq!(found.len(), 2);
    let exact = "| `group/one` | `b\\|c` | `e` | why |\n| `group/two` | nothing | `y` | why |\n";
    let mut listed = Listed::parse(exact, "group");
    assert!(found.iter().all(|difference| listed.takes(difference)) && listed.left().is_empty());
    let wrong = "| `group/{one,two}` | `b` | e | why |\n";
    let mut listed = Listed::parse(wrong, "group");
    assert!(!found.iter().any(|difference| listed.takes(difference)) && listed.left().len() == 2);
    let prose = "| `group/{one,two}` | something | something else | why |\n";
    let mut listed = Listed::parse(prose, "group");
    assert!(found.iter().all(|difference| listed.takes(difference)) && listed.left().is_empty());
}
