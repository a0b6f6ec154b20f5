//! Data to standard output, messages to standard error; colours only where they are wanted.

use std::fmt;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use crate::args::Color;

/// Names and titles.
pub(crate) const BOLD: Style = Style::new().bold();
/// What matters less.
pub(crate) const DIM: Style = Style::new().dimmed();
/// It is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// It is not quite well.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// It is wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Addresses, values.
pub(crate) const VALUE: Style = AnsiColor::Cyan.on_default();

/// Bad input: a wrong command line or lab file. Exit code 2, nothing was started.
#[derive(Debug)]
pub(crate) struct BadInput(pub(crate) String);

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadInput {}

/// An error that says [`BadInput`].
pub(crate) fn bad_input(message: impl Into<String>) -> anyhow::Error {
    BadInput(message.into()).into()
}

/// Applies `--color`.
pub(crate) fn choose_colors(color: Color) {
    match color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
}

/// Writes data to standard output, whole lines at a time; styles are taken out where they are not wanted.
pub(crate) struct Out(io::BufWriter<anstream::Stdout>);

impl Out {
    pub(crate) fn new() -> Self {
        Self(io::BufWriter::new(anstream::stdout()))
    }

    /// Prints a value as indented JSON and a newline.
    pub(crate) fn json<T: serde::Serialize>(&mut self, value: &T) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut self.0, value)?;
        self.0.write_all(b"\n")
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether an error only says that nobody reads our output any more (`netspace ps | head -1`).
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        let json = cause.downcast_ref::<serde_json::Error>();
        io.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
            || json.is_some_and(|e| e.io_error_kind() == Some(io::ErrorKind::BrokenPipe))
    })
}

/// A message to standard error; nobody reading it is no error.
pub(crate) fn message(text: fmt::Arguments<'_>) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// `netspace: error: …` to standard error.
pub(crate) fn error(text: &dyn fmt::Display) {
    message(format_args!("{BAD}netspace: error:{BAD:#} {text}"));
}

/// `netspace: warning: …` to standard error.
pub(crate) fn warning(text: &dyn fmt::Display) {
    message(format_args!("{WARN}netspace: warning:{WARN:#} {text}"));
}

/// The names nearest to `wanted` among `names`, as a hint to append to a message: ` (did you mean "server"?)`.
pub(crate) fn did_you_mean<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let best = names.into_iter().map(|name| (distance(wanted, name), name)).min();
    match best {
        Some((d, name)) if d <= 1 + wanted.chars().count() / 4 => format!(" (did you mean {name:?}?)"),
        _ => String::new(),
    }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_near_names() {
        assert_eq!(did_you_mean("servr", ["client", "server"]), " (did you mean \"server\"?)");
        assert_eq!(did_you_mean("x", ["client", "server"]), "");
        assert_eq!(did_you_mean("gw", []), "");
    }

    #[test]
    fn knows_a_broken_pipe_behind_json_and_context() {
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&anyhow::Error::from(pipe()).context("while printing")));
        assert!(is_broken_pipe(&anyhow::Error::from(serde_json::Error::io(pipe()))));
        assert!(!is_broken_pipe(&anyhow::anyhow!("other")));
    }
}
