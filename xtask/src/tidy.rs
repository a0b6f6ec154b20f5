//! The project's own rules, checked from the text of the tree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::circles::{self, Source};

/// Crates from the bottom up; a crate may use only crates of lower levels.
const LEVELS: &[&[&str]] = &[
    &["base"],
    &["wire"],
    &["fib", "tcp", "sched"],
    &["stack"],
    &["uapi", "observe"],
    &["door"],
    &["lab"],
    &["netspace"],
    &["cli"],
];

/// Longest function in lines: one screen. There are no exceptions: a longer table is two tables, or one of values.
const STAGE_LINES_MAX: usize = 70;

/// Words that have no place in finished work.
const WORDS: &[&str] = &["FIXME", "XXX", "todo!(", "unimplemented!(", "dbg!(", "clippy::too_many_lines"];

/// Checks the tree; prints each finding.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut findings = directions(root)?;
    findings.extend(circles(root)?);
    for path in rust_files(&root.join("crates"))? {
        let text = std::fs::read_to_string(&path)?;
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        findings.extend(words(&name, &text));
        findings.extend(unsafe_outside_sys(&name, &text));
        if !name.contains("/tests/") {
            findings.extend(long_functions(&name, &text));
        }
    }
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if findings.is_empty() { Ok(()) } else { bail!("{} findings", findings.len()) }
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Circles of imports inside each crate.
fn circles(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for name in LEVELS.iter().copied().flatten().chain(&["testkit"]) {
        let folder = root.join("crates").join(name).join("src");
        let mut sources = Vec::new();
        for path in rust_files(&folder)? {
            let below = path.strip_prefix(&folder)?.with_extension("");
            let mut module: Vec<String> =
                below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            module.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
            let file = path.strip_prefix(root)?.display().to_string();
            sources.push(Source { module, file, text: std::fs::read_to_string(&path)? });
        }
        findings.extend(circles::find(&sources)?);
    }
    Ok(findings)
}

/// Dependencies that point sideways or upwards.
fn directions(root: &Path) -> Result<Vec<String>> {
    let level: BTreeMap<&str, usize> =
        LEVELS.iter().enumerate().flat_map(|(n, crates)| crates.iter().map(move |c| (*c, n))).collect();
    let mut findings = Vec::new();
    for (name, own) in &level {
        let manifest = std::fs::read_to_string(root.join("crates").join(name).join("Cargo.toml"))?;
        let body = manifest.split("[dependencies]").nth(1).unwrap_or("");
        let body = body.split("\n[").next().unwrap_or("");
        for line in body.lines() {
            let Some(dependency) = line.split(['.', ' ', '=']).next() else { continue };
            let short = dependency.strip_prefix("netspace-").unwrap_or(dependency);
            if (dependency.starts_with("netspace")) && level.get(short).is_some_and(|other| other >= own) {
                findings.push(format!("crates/{name} may not depend on {dependency}: imports run downwards"));
            }
        }
    }
    Ok(findings)
}

fn words(name: &str, text: &str) -> Vec<String> {
    let found = |word: &&&str| text.contains(**word);
    WORDS.iter().filter(found).map(|word| format!("{name}: {word:?} has no place in finished work")).collect()
}

/// `unsafe` belongs into `*/sys/` (and the tests' sandbox).
fn unsafe_outside_sys(name: &str, text: &str) -> Option<String> {
    let allowed = name.contains("/sys/")
        || name.contains("/sys.rs")
        || name.contains("/testkit/")
        || name.contains("/tests/");
    let code = |line: &str| !line.trim_start().starts_with("//") && !line.contains("unsafe_");
    let uses =
        text.lines().any(|line| code(line) && (line.contains("unsafe {") || line.contains("unsafe fn")));
    (!allowed && uses).then(|| format!("{name}: unsafe outside sys/"))
}

/// Functions longer than a screen, found by indentation (rustfmt guarantees it).
fn long_functions(name: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut findings = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let head = line
            .trim_start()
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ")
            .trim_start_matches("pub ");
        let is_fn = ["fn ", "const fn ", "unsafe fn "].iter().any(|f| head.starts_with(f));
        if !is_fn || line.trim_end().ends_with([';', '}']) {
            continue;
        }
        let end =
            lines[start..].iter().position(|l| l.len() - l.trim_start().len() == indent && l.trim() == "}");
        if let Some(length) = end.map(|n| n + 1).filter(|n| *n > STAGE_LINES_MAX) {
            findings.push(format!(
                "{name}:{}: a function of {length} lines (at most {STAGE_LINES_MAX})",
                start + 1
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_the_most_whatever_is_allowed() {
        let function = |lines: usize| {
            let body = "        _ => 1,\n".repeat(lines - 4);
            format!(
                "    #[allow(clippy::all)]\n    pub(crate) fn f() {{\n        match 1 {{\n{body}        }}\n    }}\n"
            )
        };
        assert!(long_functions("a.rs", &function(STAGE_LINES_MAX)).is_empty());
        let found = long_functions("a.rs", &function(STAGE_LINES_MAX + 1));
        assert_eq!(found, ["a.rs:2: a function of 71 lines (at most 70)"]);
    }

    #[test]
    fn words_of_unfinished_work_are_found() {
        assert!(words("a.rs", "fn f() {}").is_empty());
        let asked = ["#[expect(", "clippy::", "too_many_lines", ")]"].concat();
        assert_eq!(words("a.rs", &asked).len(), 1, "nobody may ask for longer functions");
    }

    #[test]
    fn unsafe_belongs_into_sys() {
        let text = "fn f() {\n    unsafe { g() }\n}";
        assert!(unsafe_outside_sys("crates/door/src/call.rs", text).is_some());
        assert!(unsafe_outside_sys("crates/door/src/sys/file.rs", text).is_none());
    }
}
