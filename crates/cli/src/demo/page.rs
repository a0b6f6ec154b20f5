//! The story by pages, where a person reads it on a terminal that is shorter than it.

use std::io::{self, BufRead, Write};

use crate::output::DIM;
use crate::terminal;

/// What stands below a full page.
const PROMPT: &str = "Enter: go on   q and Enter: end ";

/// Writes the parts, each whole on a page; on an interactive terminal it waits for Enter before one that no longer fits.
pub(super) fn write(out: &mut impl Write, parts: &[Vec<u8>]) -> io::Result<()> {
    let rows = terminal::rows().unwrap_or(usize::MAX);
    let mut used = 0;
    for part in parts {
        let lines = part.iter().filter(|byte| **byte == b'\n').count();
        if used > 0 && used + lines >= rows {
            write!(out, "{DIM}{PROMPT}{DIM:#}")?;
            out.flush()?;
            let mut typed = String::new();
            // The end of the input ends the story too.
            if io::stdin().lock().read_line(&mut typed)? == 0 || typed.trim_start().starts_with(['q', 'Q']) {
                return Ok(());
            }
            used = 0;
        }
        used += lines;
        out.write_all(part)?;
    }
    Ok(())
}
