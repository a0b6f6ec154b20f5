//! Programs and labs come and go, and leave nothing behind.

use std::process::{Command, Stdio};
use std::time::Duration;

use netspace_testkit::{eventually, finish, processes_in};

use super::{lab, wait_for};

#[test]
fn a_thousand_programs_start_and_end() {
    let lab = lab("python3 -m http.server 80");
    let script = format!(
        "{}for i in $(seq 1000); do /bin/true || echo bad; done; n=$(ls /proc/$PPID/fd | wc -l); curl -so /dev/null http://server/; echo done",
        wait_for(80)
    );
    let ran = lab.on_within("client", &script, Duration::from_secs(120));
    assert_eq!(ran.ok(), "done\n");
    assert_eq!(processes_in(lab.dir()), []);
}

#[test]
fn descriptors_of_the_lab_do_not_grow_with_its_programs() {
    let lab = lab("python3 -m http.server 80");
    let fds = "ls /proc/$(awk '/^PPid/{print $2}' /proc/$(awk '/^PPid/{print $2}' /proc/$$/status)/status)/fd 2>/dev/null | wc -l";
    let script = format!(
        "{}go() {{ for i in $(seq $1); do curl -so /dev/null http://server/ || echo bad; done; sleep 0.3; }}; go 5; a=$({fds}); go 100; b=$({fds}); echo $((b - a <= 8))",
        wait_for(80)
    );
    assert_eq!(lab.on_within("client", &script, Duration::from_secs(120)).ok(), "1\n");
}

#[test]
fn labs_come_up_and_go_down_two_hundred_times() {
    let lab = lab("");
    for _ in 0..200 {
        let ran = finish(
            &mut lab.netspace(&["run", "lab.yaml", "--on", "client", "--", "true"]),
            Duration::from_secs(20),
        );
        let _ = ran.exits(0);
    }
    for _ in 0..20 {
        let _ = finish(&mut lab.netspace(&["up", "lab.yaml"]), Duration::from_secs(20)).exits(0);
        let ran = finish(&mut lab.netspace(&["exec", "client", "--", "hostname"]), Duration::from_secs(20));
        assert_eq!(ran.ok(), "client\n");
        let _ = finish(&mut lab.netspace(&["down"]), Duration::from_secs(20)).exits(0);
    }
    eventually("no process is left", || processes_in(lab.dir()).is_empty());
}

#[test]
fn killing_netspace_in_mid_run_leaves_no_process() {
    let lab = lab("python3 -m http.server 80\nsetsid sleep 1000\nbash -c 'sleep 1001 & sleep 1002'");
    for _ in 0..5 {
        let script = format!("{}curl -so /dev/null http://server/; echo up; sleep 1000", wait_for(80));
        let mut command: Command =
            lab.netspace(&["run", "lab.yaml", "--on", "client", "--", "bash", "-c", &script]);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("netspace starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("read a line");
        assert_eq!(line, "up\n");
        child.kill().expect("kill -9 netspace");
        child.wait().expect("it is gone");
        eventually("every program of the lab is gone", || processes_in(lab.dir()).is_empty());
    }
    let _ = finish(
        &mut lab.netspace(&["run", "lab.yaml", "--on", "client", "--", "true"]),
        Duration::from_secs(20),
    )
    .exits(0);
}
