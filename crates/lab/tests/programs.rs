//! Labs with real programs: setup, background programs and their readiness, checks, the end. Only `sh`, `cat` and `sleep`
//! are needed; what networks programs can do is tested with the door and the command line.

mod common;

use std::path::PathBuf;
use std::time::Duration;

use netspace_door::Door;
use netspace_lab::run::{Lab, LabEvent, Outcome, RunError, RunOptions};

fn start(text: &str) -> Lab {
    let door = Door::new().expect("a door");
    let options = RunOptions {
        netspace: PathBuf::from("/nonexistent/netspace"),
        env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("COMMON".into(), "everywhere".into())],
        cwd: PathBuf::from("/"),
        run_as: None,
    };
    Lab::start(common::plan_of(text), door, None, options).expect("a lab")
}

fn lines(lab: &mut Lab, host: &str) -> Vec<String> {
    let of_host = |event| match event {
        LabEvent::Output { host: h, line, .. } if h == host => Some(line),
        _ => None,
    };
    lab.take_events().into_iter().filter_map(of_host).collect()
}

const PAIR: &str = "links: [a -- b]\n";

#[test]
fn setup_runs_in_order_on_its_host_and_changes_its_network() {
    let text = format!(
        "hosts:\n  a:\n    env: {{GREETING: hello}}\n    setup:\n      - cat /etc/hostname\n      \
         - echo $GREETING $COMMON $NETSPACE_HOST\n      - echo 33 > /proc/sys/net/ipv4/ip_default_ttl\n      \
         - cat /proc/sys/net/ipv4/ip_default_ttl\n  b:\n    setup: cat /proc/sys/net/ipv4/ip_default_ttl\n{PAIR}"
    );
    let mut lab = start(&text);
    lab.setup(&mut ()).expect("setup works");
    let events = lab.take_events();
    let of = |wanted: &str| -> Vec<String> {
        let line = |event: &LabEvent| match event {
            LabEvent::Output { host, line, .. } if host == wanted => Some(line.clone()),
            _ => None,
        };
        events.iter().filter_map(line).collect()
    };
    assert_eq!(of("a"), ["a", "hello everywhere a", "33"]);
    assert_eq!(of("b"), ["64"], "the other host's own");
    lab.stop(Duration::from_secs(1));
}

#[test]
fn a_setup_command_that_fails_is_told_with_what_it_said() {
    let mut lab =
        start(&format!("hosts:\n  a: {{setup: \"echo not like this >&2; exit 4\"}}\n  b: {{}}\n{PAIR}"));
    let error = lab.setup(&mut ()).expect_err("it fails");
    assert!(matches!(error, RunError::Setup { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("setup of a") && text.contains("exit code 4") && text.contains("not like this"),
        "{text}"
    );
    lab.stop(Duration::ZERO);
}

#[test]
fn programs_are_awaited_as_the_file_says() {
    let text = format!(
        "hosts:\n  a:\n    run:\n      - cmd: sh -c 'echo early; sleep 0.2; echo it is up; sleep 1000'\n        \
         ready: {{output: is up}}\n  b: {{}}\n{PAIR}"
    );
    let mut lab = start(&text);
    lab.start_programs(&mut ()).expect("ready");
    assert_eq!(lines(&mut lab, "a"), ["early", "it is up"]);
    assert_eq!(lab.programs().count(), 1);
    lab.stop(Duration::from_secs(2));
    assert_eq!(lab.programs().count(), 0);
}

#[test]
fn a_program_that_ends_before_it_is_ready_is_an_error() {
    let text = format!(
        "hosts:\n  a:\n    run: [{{cmd: sh -c 'echo no port for me; exit 7', ready: {{port: 80}}}}]\n  b: {{}}\n{PAIR}"
    );
    let mut lab = start(&text);
    let error = lab.start_programs(&mut ()).expect_err("never ready").to_string();
    assert!(error.contains("exit code 7") && error.contains("no port for me"), "{error}");
    lab.stop(Duration::ZERO);
}

#[test]
fn checks_are_tried_until_they_hold_or_their_time_is_over() {
    let text = format!(
        "hosts:\n  a: {{}}\n  b: {{}}\n{PAIR}checks:\n  - {{on: a, run: cat /etc/hosts, expect: [b.lab, a.lab], reject: c.lab}}\n  \
         - {{on: b, run: exit 3, exit: 3}}\n  - {{on: b, run: exit 3, exit: nonzero, name: any failure}}\n  \
         - {{on: a, run: echo one, expect: two, timeout: 400ms}}\n  - {{on: a, run: sleep 100, timeout: 300ms}}\n  \
         - {{on: a, run: no-such-program}}\n"
    );
    let mut lab = start(&text);
    let reports = lab.run_checks(&mut ()).expect("run");
    let outcomes: Vec<Outcome> = reports.iter().map(|r| r.outcome).collect();
    use Outcome::{Error, Failed, Ok};
    assert_eq!(outcomes, [Ok, Ok, Ok, Failed, Failed, Error], "{reports:#?}");
    assert!(reports[3].tries > 1, "it is tried again");
    assert!(reports[3].reason.contains("does not contain \"two\"") && reports[3].stdout == "one\n");
    assert!(reports[4].reason.contains("did not end in 300ms"), "{}", reports[4].reason);
    assert!(reports[5].reason.contains("no-such-program"), "{}", reports[5].reason);
    assert_eq!(lab.programs().count(), 0, "nothing of a check runs on");
    lab.stop(Duration::ZERO);
}

#[test]
fn ends_of_programs_are_noticed() {
    let mut lab = start(&format!("hosts:\n  a: {{run: \"exit 5\"}}\n  b: {{}}\n{PAIR}"));
    lab.start_programs(&mut ()).expect("started");
    let deadline = lab.world.now() + Duration::from_secs(20);
    let mut seen = Vec::new();
    lab.drive(Some(deadline), &mut (), |lab| {
        seen.extend(lab.take_events());
        seen.iter().any(|e| matches!(e, LabEvent::Exited { .. }))
    })
    .expect("driven");
    let Some(LabEvent::Exited { host, status, background, .. }) = seen.last() else { panic!("{seen:?}") };
    assert_eq!((host.as_str(), status.code(), *background), ("a", Some(5), true));
    lab.stop(Duration::ZERO);
}
