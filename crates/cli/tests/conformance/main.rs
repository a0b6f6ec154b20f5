//! CPython's and Go's own network tests on a host's loopback: what passes on this machine's kernel must pass on ours.
//!
//! `exceptions/*.txt` list what does not, with the reason; a listed test that passes must be taken off, so the lists can
//! only shrink.

mod cpython;
mod golang;

use std::collections::{BTreeMap, BTreeSet};

/// Test → outcome (`ok`, `fail`, `error`, `skip`, `timeout`).
pub(crate) type Outcomes = BTreeMap<String, String>;

/// Compares two runs; panics with the list of differences that are not excepted, and of exceptions that are stale.
#[track_caller]
pub(crate) fn compare(suite: &str, native: &Outcomes, ours: &Outcomes, exceptions: &str, detail: &str) {
    let passed = native.values().filter(|o| *o == "ok").count();
    assert!(passed > 0, "{suite}: nothing passed on the kernel\n{detail}");
    let excepted: BTreeSet<&str> = exceptions
        .lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    let fails = |name: &&String| ours.get(*name).is_none_or(|o| o != "ok");
    let failing: Vec<&String> =
        native.iter().filter(|(_, o)| *o == "ok").map(|(n, _)| n).filter(fails).collect();
    let new: Vec<String> = failing
        .iter()
        .filter(|n| !excepted.contains(n.as_str()))
        .map(|n| format!("{n} ({})", ours.get(*n).map_or("did not run", String::as_str)))
        .collect();
    let stale: Vec<&&str> = excepted.iter().filter(|n| ours.get(**n).is_some_and(|o| o == "ok")).collect();
    println!("{suite}: {passed} pass on the kernel, {} of them here", passed - failing.len());
    assert!(
        new.is_empty(),
        "{suite}: {} tests pass on the kernel but not here:\n  {}\n{detail}",
        new.len(),
        new.join("\n  ")
    );
    assert!(stale.is_empty(), "{suite}: these pass now, take them off the list of exceptions: {stale:?}");
}
