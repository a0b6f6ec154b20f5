//! `netspace trace`: packets of a running lab, live.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use super::{Home, SMALL};

/// A running `netspace trace`, subscribed.
struct Following {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Following {
    fn start(home: &Home, args: &[&str]) -> Self {
        let mut command = home.command(&[&["trace"], args].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        stderr.read_line(&mut line).expect("it says that it follows");
        assert!(line.contains("following"), "{line}");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    /// Reads until a line satisfies `wanted`.
    fn find(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.lines.next().expect("the trace has not ended").expect("a line");
            if wanted(&line) {
                return line;
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a connection that is refused: a SYN there, a reset back.
fn knock(home: &Home) {
    home.run(&["exec", "client", "--", "netspace", "tool", "fetch", "-4", "http://server:81/"]).exits(1);
}

#[test]
fn packets_are_followed_from_host_to_host() {
    let home = Home::new(SMALL);
    home.run(&["up", "lab.yaml"]).exits(0);
    let mut trace = Following::start(&home, &[]);
    knock(&home);
    trace.find(|line| line.contains("client") && line.contains("route") && line.contains("via"));
    trace.find(|line| line.contains("gw") && line.contains("forward") && line.contains("ttl 63"));
    trace.find(|line| line.contains("server") && line.contains("tcp-receive"));
    let dropped = trace.find(|line| line.contains(" drop "));
    assert!(
        dropped.contains("tcp-no-socket: ") && dropped.contains("No socket takes this segment"),
        "{dropped}"
    );
}

#[test]
fn a_host_and_a_filter_choose() {
    let home = Home::new(SMALL);
    home.run(&["up", "lab.yaml"]).exits(0);
    let mut trace = Following::start(&home, &["gw", "tcp", "and", "port", "81", "--json", "-n", "5"]);
    knock(&home);
    for _ in 0..5 {
        let line = trace.lines.next().expect("five lines").expect("a line");
        let record: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(record["host"], "gw", "{record}");
        assert!(record["summary"].as_str().is_some_and(|text| text.contains("81")), "{record}");
    }
    assert!(trace.lines.next().is_none(), "it ends after five lines");
    assert!(trace.child.wait().expect("it ends").success());
}

#[test]
fn wrong_filters_are_explained() {
    let home = Home::new(SMALL);
    home.run(&["up", "lab.yaml"]).exits(0);
    home.run(&["trace", "prot", "80"]).exits(2).says("port");
    home.run(&["trace", "servr"]).exits(2).says("server");
}
