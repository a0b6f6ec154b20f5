//! A lab that stays up: `up`, `ps`, `exec`, `link`, `down`, and what a killed one leaves.

use netspace_testkit::{eventually, processes_in};

use super::{Home, SMALL};

fn pid_of(home: &Home) -> u32 {
    let states = home.run(&["ps", "--json"]).ok();
    let states: serde_json::Value = serde_json::from_str(&states).expect("JSON");
    states[0]["pid"].as_u64().expect("a running lab") as u32
}

#[test]
fn a_lab_goes_up_answers_and_goes_down() {
    let home = Home::new(SMALL);
    let ran = home.run(&["up", "lab.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("lab"), "{}", ran.stderr);
    let text = home.run(&["ps"]).ok();
    for word in ["client", "server", "gw", "router", "switch", "10.", "time fidelity"] {
        assert!(text.contains(word), "no {word}:\n{text}");
    }
    let json = home.run(&["ps", "--json", "lab"]).ok();
    let states: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(states[0]["name"], "lab");
    assert_eq!(states[0]["hosts"].as_array().map(Vec::len), Some(4));
    home.run(&["up", "lab.yaml"]).exits(2).says("running already");
    home.run(&["exec", "client", "--", "sh", "-c", "exit 3"]).exits(3);
    home.run(&["exec", "client", "--", "sh", "-c", "kill -TERM $$"]).exits(128 + 15);
    assert_eq!(home.run(&["exec", "--lab", "lab.yaml", "client", "--", "echo", "hi"]).ok(), "hi\n");
    home.run(&["exec", "client", "--", "no-such-program"]).exits(127).says("no-such-program");
    home.run(&["exec", "cleint", "--", "true"]).exits(2).says("did you mean \"client\"");
    home.run(&["down"]).exits(0);
    assert!(home.left_behind().is_empty(), "{:?}", home.left_behind());
    home.run(&["ps"]).exits(0).says("no lab is running");
    home.run(&["exec", "client", "--", "true"]).exits(125).says("no lab is running");
}

#[test]
fn hosts_of_a_running_lab_reach_one_another() {
    let home = Home::new(SMALL);
    home.run(&["up", "lab.yaml"]).exits(0);
    let mut server = home.command(&["exec", "server", "--", "netspace", "tool", "http", "--once"]);
    let mut server = server.stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    let mut stderr = std::io::BufReader::new(server.stderr.take().expect("piped"));
    std::io::BufRead::read_line(&mut stderr, &mut line).expect("it listens");
    assert!(line.contains("listening"), "{line}");
    let text = home.run(&["exec", "client", "--", "netspace", "tool", "fetch", "http://server/"]).ok();
    assert_eq!(text, "Hello from server\n");
    assert!(server.wait().expect("it ends").success());
}

#[test]
fn with_several_labs_one_must_be_named() {
    let home = Home::new(SMALL);
    home.lab.file("other.yaml", SMALL);
    home.run(&["up", "lab.yaml"]).exits(0);
    home.run(&["up", "other.yaml"]).exits(0);
    home.run(&["exec", "client", "--", "true"]).exits(2).says("2 labs are running").says("--lab");
    home.run(&["exec", "--lab", "other", "client", "--", "true"]).exits(0);
    // On a lab's host, that lab is meant.
    let script = "netspace link gw--server set delay 7ms && netspace link gw--server";
    let text = home.run(&["exec", "--lab", "other", "client", "--", "sh", "-c", script]).ok();
    assert!(text.contains("delay 7ms"), "{text}");
    home.run(&["down", "nothing"]).exits(1).says("no lab \"nothing\" is running").says("other");
    home.run(&["down", "other.yaml"]).exits(0);
    home.run(&["exec", "client", "--", "true"]).exits(0);
}

#[test]
fn links_are_shown_and_changed() {
    let home = Home::new(SMALL);
    home.run(&["up", "lab.yaml"]).exits(0);
    let links =
        || -> serde_json::Value { serde_json::from_str(&home.run(&["link", "--json"]).ok()).expect("JSON") };
    assert_eq!(links().as_array().map(Vec::len), Some(3));
    home.run(&["link", "gw--server", "set", "delay", "30ms", "loss", "2%"]).exits(0);
    let text = home.run(&["link", "server--gw"]).ok();
    assert!(text.contains("delay 30ms") && text.contains("loss 2%"), "{text}");
    // What is not named keeps its value; one direction can be changed alone.
    home.run(&["link", "gw--server", "--from", "gw", "set", "loss", "0%"]).exits(0);
    let text = home.run(&["link", "gw--server"]).ok();
    assert_eq!(text.matches("delay 30ms").count(), 2, "{text}");
    assert_eq!(text.matches("loss 2%").count(), 1, "{text}");
    home.run(&["link", "gw--server", "down"]).exits(0);
    assert!(home.run(&["link", "gw--server"]).ok().contains("down"));
    home.run(&["link", "gw--server", "up"]).exits(0);
    assert!(!home.run(&["link", "gw--server"]).ok().contains("down"));
    home.run(&["link", "gw--sever", "up"]).exits(2).says("server");
    home.run(&["link", "gw--server", "set", "delay", "5parsecs"]).exits(2).says("parsecs");
    home.run(&["link", "gw--server", "--from", "lan", "set", "delay", "5ms"])
        .exits(2)
        .says("no end of this link");
}

#[test]
fn a_program_goes_with_its_exec() {
    let home = Home::new(SMALL);
    home.run(&["up", "lab.yaml"]).exits(0);
    let mut exec = home.command(&["exec", "client", "--", "sh", "-c", "echo started; exec sleep 1000"]);
    let mut child = exec.stdout(std::process::Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().expect("piped"));
    std::io::BufRead::read_line(&mut stdout, &mut line).expect("a line");
    let sleeps = || processes_in(home.lab.dir()).iter().any(|(_, command)| command.starts_with("sleep 1000"));
    assert!(home.run(&["ps"]).ok().contains("sleep 1000"));
    child.kill().expect("killed");
    child.wait().expect("it ends");
    eventually("the program is hung up on", || !sleeps());
}

#[test]
fn what_a_killed_lab_leaves_is_cleaned_by_the_next_start() {
    let home = Home::new(&SMALL.replace("server: {}", "server: {run: sleep 1000}"));
    home.run(&["up", "lab.yaml"]).exits(0);
    let pid = pid_of(&home);
    let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill");
    assert!(killed.success());
    eventually("its programs die with it", || processes_in(home.lab.dir()).is_empty());
    home.run(&["up", "lab.yaml"]).exits(0);
    assert_ne!(pid_of(&home), pid);
    home.run(&["down"]).exits(0);
    eventually("nothing runs", || processes_in(home.lab.dir()).is_empty());
    assert!(home.left_behind().is_empty(), "{:?}", home.left_behind());
}

#[test]
fn a_lab_in_the_foreground_can_be_spoken_to_and_interrupted() {
    let home = Home::new(SMALL);
    let mut run =
        home.command(&["run", "lab.yaml", "--on", "client", "--", "sh", "-c", "echo up; exec sleep 1000"]);
    let mut child = run.stdout(std::process::Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().expect("piped"));
    std::io::BufRead::read_line(&mut stdout, &mut line).expect("a line");
    assert_eq!(home.run(&["exec", "server", "--", "echo", "hi"]).ok(), "hi\n");
    let pid = child.id().to_string();
    std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
    let status = child.wait().expect("it ends");
    let code = status.code().expect("an exit code of its own");
    assert_eq!(code, 128 + 15, "the command was ended by the signal passed on");
    assert!(home.left_behind().is_empty(), "{:?}", home.left_behind());
    eventually("nothing runs", || processes_in(home.lab.dir()).is_empty());
}

#[test]
fn a_lab_that_cannot_start_says_so_and_leaves_nothing() {
    let home =
        Home::new(&SMALL.replace("server: {}", "server: {setup: ['sh -c \"echo trouble >&2; exit 4\"']}"));
    let ran = home.run(&["up", "lab.yaml"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("setup") || ran.stderr.contains("trouble"), "{}", ran.stderr);
    assert!(home.left_behind().is_empty(), "{:?}", home.left_behind());
}

#[test]
fn a_lab_that_does_not_answer_is_ended_all_the_same() {
    let home = Home::new(SMALL);
    home.run(&["up", "lab.yaml"]).exits(0);
    let pid = pid_of(&home).to_string();
    std::process::Command::new("kill").args(["-STOP", &pid]).status().expect("kill");
    home.run(&["down"]).exits(0).says("does not answer");
    assert!(home.left_behind().is_empty(), "{:?}", home.left_behind());
    eventually("nothing runs", || processes_in(home.lab.dir()).is_empty());
}
