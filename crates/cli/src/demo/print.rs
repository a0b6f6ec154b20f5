//! The story on a terminal: at most 80 columns.

use std::io::{self, Write};

use netspace_base::Instant;

use super::story::{Line, Section, Story, time};
use crate::output::{BOLD, DIM, VALUE, WARN};

/// The widest line.
const WIDTH: usize = 80;
const TIME_WIDTH: usize = 8;

/// The sections, each by itself, and what was not seen.
pub(super) fn story(story: &Story) -> io::Result<Vec<Vec<u8>>> {
    let hosts =
        story.sections.iter().flat_map(|section| &section.lines).map(|line| line.host.chars().count());
    let host_width = hosts.max().unwrap_or(0).max(4);
    let mut parts = Vec::new();
    for (number, part) in (1..).zip(&story.sections) {
        let mut out = Vec::new();
        section(&mut out, number, part, host_width)?;
        parts.push(out);
    }
    if !story.missing.is_empty() {
        let mut out = Vec::new();
        writeln!(out, "{WARN}Not seen in this run:{WARN:#}")?;
        for line in wrap(&story.missing.join("; "), WIDTH - 2) {
            writeln!(out, "  {line}")?;
        }
        writeln!(out)?;
        parts.push(out);
    }
    Ok(parts)
}

fn section(out: &mut impl Write, number: u32, section: &Section, host_width: usize) -> io::Result<()> {
    for (i, line) in wrap(&section.title, WIDTH - 3).iter().enumerate() {
        let number = if i == 0 { format!("{number:<2}") } else { "  ".to_owned() };
        writeln!(out, "{BOLD}{number} {line}{BOLD:#}")?;
    }
    for line in wrap(section.about, WIDTH - 3) {
        writeln!(out, "   {DIM}{line}{DIM:#}")?;
    }
    let mut before: Option<&Line> = None;
    for line in &section.lines {
        step(out, before, line, host_width)?;
        before = Some(line);
    }
    writeln!(out)
}

/// One step: the time since the step before, the host where it changes, the words.
fn step(out: &mut impl Write, before: Option<&Line>, line: &Line, host_width: usize) -> io::Result<()> {
    let since = before.map(|before| line.at.saturating_since(before.at));
    let since = since.map_or_else(String::new, |since| format!("+{}", time(since)));
    let same_host = before.is_some_and(|before| before.host == line.host);
    let host = if same_host { "" } else { line.host.as_str() };
    let indent = 1 + TIME_WIDTH + 2 + host_width + 2;
    for (i, text) in wrap(&line.text, WIDTH - indent).iter().enumerate() {
        if i == 0 {
            write!(out, " {DIM}{since:>TIME_WIDTH$}{DIM:#}  {VALUE}{host:<host_width$}{VALUE:#}  ")?;
        } else {
            write!(out, "{:indent$}", "")?;
        }
        writeln!(out, "{text}")?;
    }
    Ok(())
}

/// When something happened, counted from `start`.
pub(super) fn since(start: Instant, at: Instant) -> String {
    time(at.saturating_since(start))
}

/// Cuts text into lines of at most `width` characters, at spaces where there are any.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word = word.to_owned();
        loop {
            let last = lines.len() - 1;
            let used = lines[last].chars().count();
            let space = usize::from(used > 0);
            let len = word.chars().count();
            if used + space + len <= width {
                if space == 1 {
                    lines[last].push(' ');
                }
                lines[last].push_str(&word);
                break;
            }
            if used == 0 {
                let at = word.char_indices().nth(width).map_or(word.len(), |(at, _)| at);
                let rest = word.split_off(at);
                lines[last] = std::mem::replace(&mut word, rest);
            }
            lines.push(String::new());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_at_spaces_and_cuts_long_words() {
        assert_eq!(wrap("a bc def", 4), ["a bc", "def"]);
        assert_eq!(wrap("abcdefgh i", 3), ["abc", "def", "gh", "i"]);
        assert_eq!(wrap("", 10), [""]);
    }
}
