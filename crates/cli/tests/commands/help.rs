//! Help, version, wrong command lines.

use super::netspace;

#[test]
fn help_lists_every_command_and_the_exit_codes() {
    let text = netspace(&["--help"]).ok();
    let commands = [
        "demo",
        "run",
        "up",
        "down",
        "ps",
        "exec",
        "shell",
        "link",
        "trace",
        "check",
        "graph",
        "doctor",
        "tool",
        "completions",
        "man",
    ];
    for command in commands {
        let named = text.lines().any(|line| line.split_whitespace().next() == Some(command));
        assert!(named, "{command} is not listed:\n{text}");
    }
    assert!(text.contains("Exit codes:") && text.contains("128+N"), "{text}");
    assert!(!text.contains("__lab"), "what is not for users is hidden:\n{text}");
}

#[test]
fn each_command_has_help_of_its_own() {
    for command in ["run", "up", "exec", "link", "trace", "check", "graph", "doctor"] {
        let text = netspace(&[command, "--help"]).ok();
        assert!(text.contains(&format!("Usage: netspace {command}")), "{text}");
    }
    let text = netspace(&["run", "--help"]).ok();
    for word in ["--on", "--pcap", "--seed", "--json", "Exit codes:"] {
        assert!(text.contains(word), "no {word}:\n{text}");
    }
    assert!(netspace(&["link", "--help"]).ok().contains("netspace link lan--gw set delay 50ms loss 2%"));
    assert!(netspace(&["tool", "--help"]).ok().contains("sink"));
}

#[test]
fn wrong_command_lines_exit_with_2_and_say_what_was_meant() {
    netspace(&[]).exits(2).says("Usage:");
    netspace(&["rum", "x.yaml"]).exits(2).says("run");
    netspace(&["run", "x.yaml", "--onn", "a", "--", "b"]).exits(2).says("--on");
    netspace(&["run", "x.yaml", "--", "true"]).exits(2).says("--on");
    netspace(&["exec", "host"]).exits(2).says("CMD");
    netspace(&["link", "a--b", "sett", "delay", "5ms"]).exits(2).says("did you mean \"set\"?");
    netspace(&["link", "a--b", "set", "dely", "5ms"]).exits(2).says("did you mean \"delay\"?");
}

#[test]
fn messages_go_to_standard_error_only() {
    let ran = netspace(&["check", "/nonexistent/lab.yaml"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("/nonexistent/lab.yaml") && ran.stderr.contains("No such file"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains('\x1b'), "no colours where there is no terminal: {}", ran.stderr);
}

#[test]
fn doctor_tries_what_the_door_needs() {
    let ran = netspace(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["ok"].as_bool(), Some(ran.code == 0));
    let names: Vec<&str> = report["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .filter_map(|check| check["name"].as_str())
        .collect();
    for name in ["kernel", "seccomp user notification", "user namespaces", "runtime directory"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let text = netspace(&["doctor"]);
    assert!(
        text.stdout.contains("kernel") && text.stdout.contains("labs") || text.code == 1,
        "{}",
        text.stdout
    );
}
