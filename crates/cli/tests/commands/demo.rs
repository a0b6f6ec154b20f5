//! `netspace demo`: made of what really happened, so it is checked for what must have happened.

use super::Home;
use super::SMALL;

#[test]
fn the_demo_tells_a_requests_way() {
    let home = Home::new(SMALL);
    let ran = home.run(&["demo"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let text = ran.stdout;
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line:?}", line.chars().count());
    }
    let in_order = [
        "asks for a connection",
        "ARP",
        "who has",
        "handshake",
        "SYN, seq 0",
        "SYN ACK, seq 0, ack 1",
        "ESTABLISHED",
        "goes down",
        "send buffer",
        "time to live 64",
        "Across the switch and the router",
        "64 → 63",
        "up through the layers of server",
        "receive ring",
        "tell the socket",
        "receive queue",
        "answer",
        "close",
        "FIN",
    ];
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut from = 0;
    for words in in_order {
        let at = flat[from..].find(words);
        assert!(at.is_some(), "no {words:?} in its place in\n{text}");
        from += at.unwrap_or(0);
    }
    assert!(!text.contains("Not seen in this run"), "{text}");
    assert!(text.contains("µs") || text.contains(" ms"), "times: {text}");
    assert!(text.contains("netspace run"), "it says what to try next: {text}");
    let lines = text.lines().count();
    assert!((40..=110).contains(&lines), "{lines} lines:\n{text}");
    assert!(home.left_behind().is_empty(), "{:?}", home.left_behind());
}

#[test]
fn the_demos_events_can_be_had_as_json() {
    let home = Home::new(SMALL);
    let text = home.run(&["demo", "--json"]).ok();
    let points: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .filter_map(|record| record["point"].as_str().map(str::to_owned))
        .collect();
    for point in ["route", "arp-send", "forward", "demux", "tcp-state", "socket-read"] {
        assert!(points.iter().any(|seen| seen == point), "no {point}");
    }
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let home = Home::new(SMALL);
    let binary = home.lab.dir().join("netspace");
    let script = format!("{} demo | head -n 1", binary.display());
    let mut command = home.command(&[]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]);
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    command.stdin(std::process::Stdio::null());
    let ran = netspace_testkit::finish(&mut shell, super::LIMIT);
    assert_eq!(ran.code, 0);
    assert_eq!(ran.stdout.lines().count(), 1);
    assert!(!ran.stderr.contains("pipe") && !ran.stderr.contains("panic"), "{}", ran.stderr);
}
