//! Many scripts: `cargo xtask packetdrill PATH…`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Python, Report, Verdict, Version, run_text};

const USAGE: &str = "\
Usage: cargo xtask packetdrill [OPTION]... PATH...

Runs packetdrill scripts against the stack, in virtual time. Folders are searched for *.pkt.

Options:
  --ip_version=V     ipv4, ipv6 or ipv4-mapped-ipv6 (default: each for which the script is written;
                     a name that ends in v4.pkt or v6.pkt names the one)
  --define=NAME=VALUE, -D NAME=VALUE
                     NAME stands for VALUE in the scripts
  --verbose, -v      print what happened in every script, not only in those that fail
  --quiet, -q        print failures in one line
  --help, -h         this text
";

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Suite {
    /// Scripts and folders.
    pub paths: Vec<PathBuf>,
    /// Only this version; none: all that a script is written for.
    pub version: Option<Version>,
    /// Names that stand for words.
    pub defines: Vec<(String, String)>,
}

/// One script with one version.
#[derive(Debug)]
pub struct Ran {
    /// The script.
    pub path: PathBuf,
    /// The version.
    pub version: Version,
    /// How it went.
    pub report: Report,
}

impl Suite {
    /// All scripts below the paths, in order.
    pub fn scripts(&self) -> Result<Vec<PathBuf>, String> {
        let mut out = Vec::new();
        for path in &self.paths {
            collect(path, &mut out).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(out)
    }

    /// Runs all; `each` is told of every script as it has run.
    pub fn run(&self, mut each: impl FnMut(&Ran)) -> Result<(), String> {
        let mut python = Python::default();
        for path in self.scripts()? {
            let text =
                std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let folder = path.parent().unwrap_or(Path::new("."));
            for version in Version::ALL {
                if self.version.is_some_and(|only| only != version) || !meant_for(&path, version) {
                    continue;
                }
                let report = run_text(&text, folder, version, &self.defines, &mut python);
                if report.verdict != Verdict::OtherVersion {
                    each(&Ran { path: path.clone(), version, report });
                }
            }
        }
        Ok(())
    }
}

/// Public suites name the version, if a script is for one only, at the end of its name.
fn meant_for(path: &Path, version: Version) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    !(name.ends_with("v4") && version.is_v6() || name.ends_with("v6") && !version.is_v6())
}

fn collect(path: &Path, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        std::fs::metadata(path)?;
        out.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)?.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() || entry.extension().is_some_and(|ext| ext == "pkt") {
            collect(&entry, out)?;
        }
    }
    Ok(())
}

/// The command.
pub fn main(args: &[String]) -> ExitCode {
    let (suite, verbose, quiet) = match arguments(args) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("packetdrill: {message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let mut reasons = BTreeMap::<String, usize>::new();
    let result = suite.run(|ran| {
        match &ran.report.verdict {
            Verdict::Passed => passed += 1,
            Verdict::Skipped(reason) => {
                skipped += 1;
                let reason = reason.split_once(": ").map_or(reason.as_str(), |(_, reason)| reason);
                *reasons.entry(reason.to_owned()).or_default() += 1;
            }
            Verdict::Failed(..) | Verdict::OtherVersion => failed += 1,
        }
        if let Some(text) = text(ran, verbose, quiet) {
            println!("{text}");
        }
    });
    for (reason, count) in reasons {
        println!("skipped {count}: {reason}");
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    match result {
        Err(message) => {
            eprintln!("packetdrill: {message}");
            ExitCode::from(2)
        }
        Ok(()) if failed > 0 => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
    }
}

/// What is printed of a script.
fn text(ran: &Ran, verbose: bool, quiet: bool) -> Option<String> {
    let path = ran.path.display();
    let version = ran.version.name();
    let log = ran.report.log.iter().map(|line| format!("  {line}\n")).collect::<String>();
    match &ran.report.verdict {
        Verdict::Passed if verbose => Some(format!("PASS {path} [{version}]\n{log}")),
        Verdict::Passed | Verdict::OtherVersion => None,
        Verdict::Skipped(reason) if !quiet => Some(format!("SKIP {path} [{version}]: {reason}")),
        Verdict::Skipped(_) => None,
        Verdict::Failed(place, message) => {
            let head = format!("FAIL {path}:{}:{} [{version}]", place.line, place.column);
            let first = message.replace('\n', " |");
            Some(if quiet {
                format!("{head}: {first}")
            } else {
                format!("{head}: {message}\n  what happened:\n{log}")
            })
        }
    }
}

type Arguments = (Suite, bool, bool);

fn arguments(args: &[String]) -> Result<Option<Arguments>, String> {
    let mut suite = Suite::default();
    let (mut verbose, mut quiet) = (false, false);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let (name, value) = arg.split_once('=').map_or((arg.as_str(), None), |(n, v)| (n, Some(v)));
        let mut value = || {
            value.map(str::to_owned).or_else(|| args.next().cloned()).ok_or(format!("{name} needs a value"))
        };
        match name {
            "--help" | "-h" => return Ok(None),
            "--verbose" | "-v" => verbose = true,
            "--quiet" | "-q" => quiet = true,
            "--ip_version" => {
                let name = value()?;
                suite.version = Some(Version::find(&name).ok_or(format!("{name}: no such version"))?);
            }
            "--define" | "-D" => {
                let text = value()?;
                suite
                    .defines
                    .push(super::parse::definition(&text).ok_or(format!("{text}: expected NAME=VALUE"))?);
            }
            _ if name.starts_with('-') => return Err(format!("{arg}: no such option")),
            _ => suite.paths.push(PathBuf::from(arg)),
        }
    }
    if suite.paths.is_empty() {
        return Err("a path is missing".into());
    }
    Ok(Some((suite, verbose, quiet)))
}
