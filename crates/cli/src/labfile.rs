//! Reading a lab file into a plan; what is wrong with it goes to standard error as a compiler would show it.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use netspace_lab::file::{self, Diagnostics};
use netspace_lab::plan::{self, Plan};

use crate::output::{bad_input, message};

/// The largest lab file.
const MAX_FILE: u64 = 16 << 20;

/// A lab file, read and planned.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) plan: Plan,
    /// Where it lies; none if it came by standard input.
    pub(crate) path: Option<PathBuf>,
}

/// Reads and plans a lab file. Warnings are shown; errors end in bad input.
pub(crate) fn load(path: &Path) -> anyhow::Result<Loaded> {
    load_and(path, show)
}

/// The same without showing warnings: somebody has seen them.
pub(crate) fn load_quietly(path: &Path) -> anyhow::Result<Loaded> {
    load_and(path, |_| {})
}

fn load_and(path: &Path, warn: impl Fn(&Diagnostics)) -> anyhow::Result<Loaded> {
    let shown = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let text = read(path).map_err(|error| bad_input(format!("cannot read the lab file {shown}: {error}")))?;
    load_text(&text, &shown, path.canonicalize().ok(), warn)
}

/// The same for a text that has been read.
pub(crate) fn load_text(
    text: &str,
    shown: &str,
    path: Option<PathBuf>,
    warn: impl Fn(&Diagnostics),
) -> anyhow::Result<Loaded> {
    let (file, mut diagnostics) = match file::load(text, shown) {
        Ok(loaded) => loaded,
        Err(diagnostics) => return Err(refuse(&diagnostics, shown)),
    };
    let Some(plan) = plan::plan(&file, &mut diagnostics) else { return Err(refuse(&diagnostics, shown)) };
    warn(&diagnostics);
    Ok(Loaded { plan, path })
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        io::stdin().take(MAX_FILE).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(path)?.take(MAX_FILE).read_to_string(&mut text)?;
    }
    Ok(text)
}

fn show(diagnostics: &Diagnostics) {
    let (errors, warnings) = diagnostics.counts();
    if errors + warnings > 0 {
        let colours = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
        let text = diagnostics.render(colours);
        message(format_args!("{}", text.trim_end()));
    }
}

fn refuse(diagnostics: &Diagnostics, shown: &str) -> anyhow::Error {
    show(diagnostics);
    let (errors, _) = diagnostics.counts();
    let errors = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
    bad_input(format!("{errors} in {shown}; nothing was started"))
}
