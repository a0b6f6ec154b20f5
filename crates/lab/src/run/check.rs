//! Checks: commands that must succeed, tried again until they do or their time is over.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use serde::Serialize;

use crate::file::{Check, ExpectedExit};

use super::program::{Spawn, Stdio};
use super::{Lab, LabEvent, RunError, Watcher};

/// The pause before a check is tried again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How much of a failed check's output is reported.
const REPORTED_OUTPUT: usize = 4096;

/// Whether a check held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It held.
    Ok,
    /// It did not, to the end of its time.
    Failed,
    /// Its program could not be started.
    Error,
}

/// What came of a check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Its name.
    pub name: String,
    /// On which host.
    pub host: String,
    /// Its command.
    pub command: String,
    /// Whether it held.
    pub outcome: Outcome,
    /// How often it was tried.
    pub tries: u32,
    /// How long it took, all tries together, seconds.
    pub seconds: f64,
    /// Why it did not hold; empty if it did.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What its last try wrote to standard output (its end, if it is long).
    pub stdout: String,
    /// What its last try wrote to standard error.
    pub stderr: String,
}

impl Lab {
    /// Runs all checks of the file, one after the other.
    pub fn run_checks(&mut self, watcher: &mut dyn Watcher) -> Result<Vec<CheckReport>, RunError> {
        let plan = self.world.plan().clone();
        let mut reports = Vec::new();
        for check in &plan.checks {
            let report = self.run_check(check, watcher)?;
            self.events.push(LabEvent::Checked(report.clone()));
            watcher.on_step(self, &[]);
            reports.push(report);
        }
        Ok(reports)
    }

    /// Runs one check until it holds or its time is over.
    pub fn run_check(&mut self, check: &Check, watcher: &mut dyn Watcher) -> Result<CheckReport, RunError> {
        let started = self.world.now();
        let deadline = started + check.timeout;
        let mut report = CheckReport {
            name: check.name.clone(),
            host: check.on.0.clone(),
            command: check.run.text.clone(),
            outcome: Outcome::Failed,
            tries: 0,
            seconds: 0.0,
            reason: String::new(),
            stdout: String::new(),
            stderr: String::new(),
        };
        let mut pause = FIRST_PAUSE;
        loop {
            report.tries += 1;
            self.try_once(check, deadline, &mut report, watcher)?;
            if report.outcome != Outcome::Failed || self.world.now() + pause >= deadline {
                break;
            }
            let again = self.world.now() + pause;
            self.drive(Some(again), watcher, |_| false)?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        report.seconds = self.world.now().saturating_since(started).as_secs_f64();
        Ok(report)
    }

    fn try_once(
        &mut self,
        check: &Check,
        deadline: netspace_base::Instant,
        report: &mut CheckReport,
        watcher: &mut dyn Watcher,
    ) -> Result<(), RunError> {
        const SIGKILL: i32 = 9;
        let spawn = Spawn { stdio: Stdio::Capture, ..Spawn::lines(&check.on.0, &check.run.argv) };
        let id = match self.spawn(spawn) {
            Ok(id) => id,
            Err(error @ (RunError::Launch { .. } | RunError::NoHost { .. })) => {
                report.outcome = Outcome::Error;
                report.reason = error.to_string();
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.drive(Some(deadline), watcher, |lab| lab.exit_status(id).is_some())?;
        let status = self.exit_status(id);
        if status.is_none() {
            // It may end by itself at this very moment.
            let _ = self.world.signal(id, SIGKILL, true);
            let soon = self.world.now() + LONGEST_PAUSE;
            self.drive(Some(soon), watcher, |lab| lab.exit_status(id).is_some())?;
        }
        let (stdout, stderr) = self.captured(id);
        if status.is_none() && report.tries > 1 {
            // The last try was cut off: what the one before it said tells more.
            return Ok(());
        }
        let stdout = String::from_utf8_lossy(&stdout).into_owned();
        report.reason = judge(check, status, &stdout);
        report.outcome = if report.reason.is_empty() { Outcome::Ok } else { Outcome::Failed };
        report.stderr = tail(&String::from_utf8_lossy(&stderr));
        report.stdout = tail(&stdout);
        Ok(())
    }
}

/// Why a try does not hold; empty if it does.
fn judge(check: &Check, status: Option<ExitStatus>, stdout: &str) -> String {
    let Some(status) = status else {
        return format!("it did not end in {}", crate::file::quantity::show_duration(check.timeout));
    };
    let exit_fits = match check.exit {
        ExpectedExit::Any => true,
        ExpectedExit::Failure => !status.success(),
        ExpectedExit::Code(code) => status.code() == Some(code),
    };
    if !exit_fits {
        let expected = match check.exit {
            ExpectedExit::Code(code) => format!("exit code {code}"),
            ExpectedExit::Failure => "an exit code other than 0".to_owned(),
            ExpectedExit::Any => String::new(),
        };
        return format!("it {}, expected was {expected}", status_words(status));
    }
    if let Some(text) = check.expect.iter().find(|text| !stdout.contains(*text)) {
        return format!("its output does not contain {text:?}");
    }
    if let Some(text) = check.reject.iter().find(|text| stdout.contains(*text)) {
        return format!("its output contains {text:?}");
    }
    String::new()
}

/// `ended with exit code 1`, `was killed by signal 9`.
pub(super) fn status_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// The end of a text.
fn tail(text: &str) -> String {
    let mut start = text.len().saturating_sub(REPORTED_OUTPUT);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].to_owned()
}
