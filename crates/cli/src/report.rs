//! What a running lab reports on standard error: its programs' lines, checks, what was refused.

use std::io::Write;

use netspace_lab::run::{CheckReport, Lab, LabEvent, Outcome};

use crate::output::{BAD, DIM, GOOD, VALUE, WARN, message, warning};

/// Below this, time fidelity is worth a warning, if this many seconds were lost: less comes and goes on a busy machine
/// while a lab starts, and no program notices.
const FIDELITY_FINE: f64 = 0.99;
const LOST_SECONDS: f64 = 1.0;
/// How many kinds of refused calls are listed.
const MAX_REFUSED: usize = 20;

/// Reports an event: programs' lines to standard error if `lines`, checks to standard output if `checks`.
pub(crate) fn event(event: &LabEvent, lines: bool, checks: bool) {
    match event {
        LabEvent::Output { host, program, line, .. } if lines => {
            message(format_args!("{VALUE}{host}{VALUE:#} {DIM}{program}:{DIM:#} {line}"));
        }
        LabEvent::Started { host, program } if lines => {
            message(format_args!("{VALUE}{host}{VALUE:#} {DIM}{program} started{DIM:#}"));
        }
        LabEvent::Exited { host, program, status, background: true } if !status.success() => {
            message(format_args!("{VALUE}{host}{VALUE:#} {WARN}{program} ended: {status}{WARN:#}"));
        }
        LabEvent::Checked(report) if checks => {
            // Nobody reading the results does not change them.
            let _ = writeln!(anstream::stdout(), "{}", check_line(report));
        }
        _ => {}
    }
}

/// A check's line: `ok    the server answers  (client, 12 ms)`.
fn check_line(report: &CheckReport) -> String {
    let (style, word) = match report.outcome {
        Outcome::Ok => (GOOD, "ok    "),
        Outcome::Failed => (BAD, "FAILED"),
        Outcome::Error => (BAD, "ERROR "),
    };
    let tries = if report.tries > 1 { format!(", {} tries", report.tries) } else { String::new() };
    let mut line = format!(
        "{style}{word}{style:#}  {}  {DIM}({}, {:.0} ms{tries}){DIM:#}",
        report.name,
        report.host,
        report.seconds * 1e3
    );
    if report.outcome != Outcome::Ok {
        line.push_str(&format!("\n        {}: {}", report.command, report.reason));
        for (name, text) in [("standard output", &report.stdout), ("standard error", &report.stderr)] {
            for text in text.lines() {
                line.push_str(&format!("\n        {DIM}{name}:{DIM:#} {text}"));
            }
        }
    }
    line
}

/// What deserves a word when a lab ends: refused calls, lost time.
pub(crate) fn end(lab: &Lab) {
    let refused = lab.world.refused();
    for (refused, count) in refused.iter().take(MAX_REFUSED) {
        warning(&format!(
            "{}: {} {} was refused {count} times",
            refused.program, refused.call, refused.detail
        ));
    }
    if refused.len() > MAX_REFUSED {
        warning(&format!("{} more kinds of calls were refused", refused.len() - MAX_REFUSED));
    }
    let fidelity = lab.world.time_fidelity();
    let lost = (1.0 - fidelity) * lab.world.now().as_secs_f64();
    if fidelity < FIDELITY_FINE && lost > LOST_SECONDS {
        warning(&format!(
            "time fidelity {:.1} %: the machine was too slow for the lab, at worst {} ms behind",
            fidelity * 100.0,
            lab.world.worst_lateness().as_millis()
        ));
    }
}
