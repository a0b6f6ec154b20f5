//! `netspace run`: programs, checks, exit codes.

use super::{Home, SMALL};

/// A server of ours, and checks of it.
fn checked(checks: &str) -> String {
    format!(
        "\
hosts:
  client: {{}}
  server:
    run:
      - cmd: netspace tool http --port 80
        ready: {{port: 80}}
routers: {{gw: {{}}}}
switches: {{lan: {{}}}}
links:
  - client -- lan
  - lan -- gw
  - gw -- server
checks:
{checks}"
    )
}

#[test]
fn checks_that_hold_exit_with_0() {
    let home = Home::new(&checked(
        "  - {name: v4, on: client, run: netspace tool fetch -4 http://server/}\n  \
           - {name: v6, on: client, run: netspace tool fetch -6 http://server/}\n",
    ));
    let ran = home.run(&["run", "lab.yaml"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("v4") && ran.stdout.contains("v6"), "{}", ran.stdout);
    assert!(home.left_behind().is_empty(), "{:?}", home.left_behind());
}

#[test]
fn a_check_that_fails_exits_with_1_and_says_why() {
    let home = Home::new(&checked(
        "  - {name: good, on: client, run: netspace tool fetch http://server/}\n  \
           - {name: bad, on: client, run: netspace tool fetch http://server/nothing-here, timeout: 300ms}\n",
    ));
    let ran = home.run(&["run", "lab.yaml", "--json"]);
    assert_eq!(ran.code, 1, "{}\n{}", ran.stdout, ran.stderr);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["ok"], false, "{report}");
    let checks = report["checks"].as_array().expect("checks");
    let held =
        |name: &str| checks.iter().find(|check| check["name"] == name).map(|check| check["outcome"].clone());
    assert_eq!(held("good"), Some("ok".into()), "{report}");
    assert_eq!(held("bad"), Some("failed".into()), "{report}");
    let ran = home.run(&["run", "lab.yaml"]);
    assert_eq!(ran.code, 1);
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert!(all.contains("bad") && all.contains("404"), "{all}");
}

#[test]
fn a_commands_exit_code_is_ours() {
    let home = Home::new(SMALL);
    let on = |script: &str| home.run(&["run", "lab.yaml", "--on", "client", "--", "sh", "-c", script]);
    assert_eq!(on("exit 0").code, 0);
    assert_eq!(on("exit 7").code, 7);
    assert_eq!(on("kill -9 $$").code, 128 + 9);
    let ran = on("echo out; echo err >&2");
    assert_eq!((ran.stdout.as_str(), ran.code), ("out\n", 0), "{}", ran.stderr);
    assert!(ran.stderr.contains("err\n"), "{}", ran.stderr);
    home.run(&["run", "lab.yaml", "--on", "client", "--", "no-such-program"])
        .exits(127)
        .says("no-such-program");
    home.run(&["run", "lab.yaml", "--on", "client", "--", "/etc/passwd"]).exits(126);
}

#[test]
fn standard_input_directory_and_environment_are_the_callers() {
    let home = Home::new(SMALL);
    home.lab.file("input", "typed\n");
    let mut command = home.command(&[
        "run",
        "lab.yaml",
        "--on",
        "client",
        "--",
        "sh",
        "-c",
        "cat; pwd; echo $COLOUR $NETSPACE_HOST",
    ]);
    command.env("COLOUR", "blue").stdin(std::fs::File::open(home.lab.dir().join("input")).expect("the file"));
    let out = netspace_testkit::finish(&mut command, super::LIMIT).ok();
    let dir = home.lab.dir().display();
    assert_eq!(out, format!("typed\n{dir}\nblue client\n"));
}

#[test]
fn the_files_programs_serve_the_command() {
    let home = Home::new(&checked("  []\n"));
    let out = home.run(&[
        "run",
        "lab.yaml",
        "--on",
        "client",
        "--",
        "netspace",
        "tool",
        "fetch",
        "--data",
        "{\"n\":1}",
        "http://server/echo",
    ]);
    let answer: serde_json::Value = serde_json::from_str(&out.ok()).expect("JSON");
    assert_eq!((&answer["body"]["n"], &answer["host"]), (&1.into(), &"server".into()));
}

#[test]
fn labs_of_one_name_run_side_by_side() {
    let home = Home::new(SMALL);
    let script = "netspace --version >/dev/null && echo ready && cat >/dev/null";
    let mut first = home.command(&["run", "lab.yaml", "--on", "client", "--", "sh", "-c", script]);
    first.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = first.spawn().expect("it starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
    assert_eq!(line, "ready\n");
    home.run(&["run", "lab.yaml", "--on", "client", "--", "true"]).exits(0);
    drop(child.stdin.take());
    assert!(child.wait().expect("it ends").success());
    assert!(home.left_behind().is_empty(), "{:?}", home.left_behind());
}

#[test]
fn captures_are_written_one_for_each_interface() {
    let home = Home::new(&checked("  - {on: client, run: netspace tool fetch -4 http://server/}\n"));
    let captures = home.runtime.join("captures");
    let path = captures.to_str().expect("UTF-8");
    home.run(&["run", "lab.yaml", "--pcap", path]).exits(0);
    let mut names: Vec<String> = std::fs::read_dir(&captures)
        .expect("the directory")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    // Loopback devices and bridges have one too, if anything passed them.
    names.retain(|name| name.contains("-eth"));
    assert_eq!(names.len(), 6, "one for each end of each link: {names:?}");
    for name in &names {
        let bytes = std::fs::read(captures.join(name)).expect(name);
        // RFC draft-ietf-opsawg-pcapng: the section header block's type.
        assert_eq!(bytes.first_chunk(), Some(&[0x0a, 0x0d, 0x0d, 0x0a]), "{name}");
        assert!(bytes.len() > 500, "{name} has frames: {} bytes", bytes.len());
    }
}

#[test]
fn a_lab_in_a_lab_is_refused_with_its_reason() {
    let home = Home::new(SMALL);
    let inner = ["netspace", "run", "lab.yaml", "--on", "client", "--", "true"];
    let ran = home.run(&[&["run", "lab.yaml", "--on", "client", "--"][..], &inner].concat());
    assert_eq!(ran.code, 125, "{}", ran.stderr);
    assert!(ran.stderr.contains("supervises"), "{}", ran.stderr);
    let ran = home.run(&["run", "lab.yaml", "--on", "client", "--", "netspace", "doctor"]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.stdout.contains("another listener") && ran.stdout.contains("MISSING"), "{}", ran.stdout);
}

#[test]
fn a_lab_without_checks_runs_until_it_is_interrupted() {
    let home = Home::new(&checked("  []\n"));
    let mut command = home.command(&["run", "lab.yaml"]);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().expect("piped")));
    assert!(lines.any(|line| line.expect("a line").contains("Ctrl-C")), "it says how it ends");
    let text = home.run(&["exec", "client", "--", "netspace", "tool", "fetch", "http://server/"]).ok();
    assert_eq!(text, "Hello from server\n");
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    netspace_testkit::eventually("nothing runs", || {
        netspace_testkit::processes_in(home.lab.dir()).is_empty()
    });
}

#[test]
fn bad_programs_of_the_file_are_named() {
    let home = Home::new(&SMALL.replace("server: {}", "server: {run: no-such-program}"));
    let ran = home.run(&["run", "lab.yaml"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("no-such-program") && ran.stderr.contains("server"), "{}", ran.stderr);
    assert!(home.left_behind().is_empty(), "{:?}", home.left_behind());
}
