//! The scripts in `tests/packetdrill`, each with all versions that it is written for, and what the runner says of bad ones.

use std::path::{Path, PathBuf};

use netspace_testkit::packetdrill::{Python, Suite, Verdict, Version, run_text};

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/packetdrill")
        .canonicalize()
        .expect("the scripts' folder")
}

#[test]
fn every_script_passes() {
    let suite = Suite { paths: vec![scripts()], ..Suite::default() };
    let mut wrong = Vec::new();
    let mut passed = 0;
    let result = suite.run(|ran| match &ran.report.verdict {
        Verdict::Passed => passed += 1,
        verdict => wrong.push(format!(
            "{} [{}]: {verdict:#?}\n{}",
            ran.path.display(),
            ran.version.name(),
            ran.report.log.join("\n")
        )),
    });
    assert_eq!(result, Ok(()));
    assert!(wrong.is_empty(), "{} of {} runs\n{}", wrong.len(), passed + wrong.len(), wrong.join("\n\n"));
    assert!(passed > 0);
}

fn failure(text: &str) -> String {
    let report = run_text(text, Path::new("."), Version::V4, &[], &mut Python::default());
    match report.verdict {
        Verdict::Failed(place, message) => format!("{}:{}: {message}", place.line, place.column),
        other => panic!("{other:?}"),
    }
}

const SERVER: &str = "\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 1000 <mss 1000>
+0 > S. 0:0(0) ack 1 <mss 1460>
+.1 < . 1:1(0) ack 1 win 1000
+0 accept(3, ..., ...) = 4
";

#[test]
fn a_packet_that_differs_is_shown_beside_the_one_expected() {
    let text = failure(&format!("{SERVER}+0 write(4, ..., 100) = 100\n+0 > . 1:101(100) ack 2"));
    assert_eq!(
        text,
        "9:1: this packet was not expected\n\
         \x20 expected    0.100000  > . 1:101(100) ack 2\n\
         \x20 actual      0.100000  > P. 1:101(100) ack 1 win 65535\n\
         \x20 differs  flags, acknowledgement number"
    );
}

#[test]
fn a_packet_that_comes_late_or_never_is_told_with_its_time() {
    let late = failure(&format!(
        "{SERVER}+0 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1\n+.1 > P. 1:101(100) ack 1"
    ));
    assert!(late.contains("no packet came") && late.contains("nothing until 0.2125"), "{late}");
    let early = failure(&format!("{SERVER}+0 write(4, ..., 100) = 100\n+.1 > P. 1:101(100) ack 1"));
    assert!(early.contains("differs  time (tolerance 0.012500)"), "{early}");
}

#[test]
fn calls_that_return_something_else_are_told() {
    let text = failure("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 read(3, ..., 10) = 0");
    assert_eq!(text, "2:1: read() returned something else\n  expected 0\n  actual   -1 ENOTCONN");
    assert!(failure("0 sokcet(1) = 3").contains("sokcet(): no such system call"));
    let blocked = failure(&format!("{SERVER}+0...0.2 read(4, ..., 10) = 10"));
    assert!(blocked.contains("read() still blocks at 0.3"), "{blocked}");
}

#[test]
fn code_that_fails_is_told_with_its_line() {
    let text = failure(&format!("{SERVER}+0 %{{ assert tcpi_snd_cwnd == 11, tcpi_snd_cwnd }}%"));
    assert_eq!(text, "8:1: the code failed: AssertionError: 10");
}

#[test]
fn what_is_not_here_skips_with_a_reason() {
    let skipped =
        |text: &str| match run_text(text, Path::new("."), Version::V6, &[], &mut Python::default()).verdict {
            Verdict::Skipped(reason) => reason,
            other => panic!("{other:?}"),
        };
    assert_eq!(
        skipped("`sysctl -q net.ipv4.no_such=1`\n+0 close(3) = 0"),
        "line 1: the sysctl net.ipv4.no_such is not here"
    );
    assert!(skipped("--wire_client\n0 close(3) = 0").contains("no second machine"));
    assert!(skipped("`iptables -A x`\n0 close(3) = 0").contains("iptables -A x"));
}
