//! CUBIC's goodput beside the kernel's over the same emulated link: same settings, same seeds, so the same frames are lost
//! of each direction's sequence.
//!
//! Takes real time: `cargo xtask differential` runs it.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use netspace_testkit::{Lab, Relay, finish};

use crate::systems;

const PYTHON: &str = "/usr/bin/python3";
const SCRIPT: &str = include_str!("stage/goodput.py");
/// Each condition is measured with these seeds, and the times summed: one unlucky loss weighs less.
const SEEDS: [u64; 3] = [1, 2, 3];
const TRANSFER_MAX: Duration = Duration::from_secs(240);
/// How far from the kernel's goodput ours may be, per cent.
const TOLERANCE_PERCENT: f64 = 5.0;

/// A link's settings, and how much is sent over it.
struct Condition {
    link: &'static str,
    bytes: u64,
}

const CONDITIONS: [Condition; 3] = [
    Condition { link: "delay 10ms, rate 50mbit, loss 1%", bytes: 16 << 20 },
    Condition { link: "delay 20ms, rate 50mbit, loss 0.1%", bytes: 48 << 20 },
    Condition { link: "delay 50ms, rate 10mbit, queue 100packets", bytes: 16 << 20 },
];

fn server_times(dir: &Path) -> (f64, f64) {
    let text = std::fs::read_to_string(dir.join("goodput.txt")).expect("the server's times");
    let mut numbers = text.split_whitespace().map(|word| word.parse::<f64>().expect("a number"));
    (numbers.next().expect("seconds"), numbers.next().expect("bytes"))
}

/// Seconds and bytes on a lab.
fn ours(condition: &Condition, seed: u64) -> (f64, f64) {
    let yaml = format!(
        "seed: {seed}\nhosts:\n  a: {{}}\n  b: {{run: {PYTHON} goodput.py serve}}\nlinks:\n  - a -- b {{{}}}\n",
        condition
            .link
            .replace(", ", ",")
            .split(',')
            .map(|word| word.replacen(' ', ": ", 1))
            .collect::<Vec<_>>()
            .join(", ")
    );
    let lab = Lab::new(env!("CARGO_BIN_EXE_netspace"), &yaml);
    lab.file("goodput.py", SCRIPT);
    let bytes = condition.bytes.to_string();
    let words =
        ["run", "-q", "lab.yaml", "--on", "a", "--", PYTHON, "goodput.py", "send", "10.0.1.11", &bytes];
    finish(&mut lab.netspace(&words), TRANSFER_MAX).ok();
    server_times(lab.dir())
}

/// A process in a namespace of its own that waits for a line before it becomes `words`.
fn waiting(dir: &Path, words: &str) -> Child {
    Command::new("unshare")
        .args(["-n", "sh", "-c", &format!("read line; exec {words}")])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .spawn()
        .expect("start a namespace")
}

fn in_namespace_of(child: &Child, words: &str) {
    let into = format!("--net=/proc/{}/ns/net", child.id());
    let status = Command::new("nsenter").arg(into).args(words.split_whitespace()).status();
    assert!(status.is_ok_and(|status| status.success()), "{words}");
}

/// Seconds and bytes on the kernel.
fn kernels(condition: &Condition, seed: u64) -> (f64, f64) {
    let lab = Lab::new(env!("CARGO_BIN_EXE_netspace"), "hosts:\n  a: {}\n");
    lab.file("goodput.py", SCRIPT);
    let server = waiting(lab.dir(), &format!("{PYTHON} goodput.py serve"));
    let client = waiting(lab.dir(), &format!("{PYTHON} goodput.py send 10.0.1.11 {}", condition.bytes));
    let words = condition.link.replace(',', "").replace("queue", "limit").replace("packets", "");
    let settings = words.parse().expect("the link's settings");
    // The processes are in their namespaces once these differ from ours.
    for child in [&server, &client] {
        systems::until_unshared(child.id());
    }
    let relay = Relay::between([client.id(), server.id()], &settings, seed).expect("a relay");
    for (child, address) in [(&client, "10.0.1.10/24"), (&server, "10.0.1.11/24")] {
        in_namespace_of(child, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
        in_namespace_of(child, "sysctl -qw net.ipv4.tcp_no_metrics_save=1");
        in_namespace_of(child, &format!("ip addr add {address} dev eth0"));
        in_namespace_of(child, "ip link set eth0 up");
    }
    let children: Vec<Child> = [server, client]
        .into_iter()
        .map(|mut child| {
            child.stdin.take().expect("its input").write_all(b"go\n").expect("let it go");
            child
        })
        .collect();
    for mut child in children {
        assert!(child.wait().expect("its end").success());
    }
    relay.stop().expect("the relay's end");
    server_times(lab.dir())
}

#[test]
#[ignore = "takes minutes of real time: cargo xtask differential"]
fn goodput() {
    if let Some(reason) = systems::not_here() {
        eprintln!("goodput: not compared with the kernel: {reason}");
        return;
    }
    let mut far = Vec::new();
    for condition in &CONDITIONS {
        let (mut linux, mut netspace) = ((0.0, 0.0), (0.0, 0.0));
        for seed in SEEDS {
            let (kernel, own) = std::thread::scope(|scope| {
                let kernel = scope.spawn(|| kernels(condition, seed));
                let own = ours(condition, seed);
                (kernel.join().expect("the kernel's transfer"), own)
            });
            println!("{} seed {seed}: Linux {:.2} s, netspace {:.2} s", condition.link, kernel.0, own.0);
            linux = (linux.0 + kernel.0, linux.1 + kernel.1);
            netspace = (netspace.0 + own.0, netspace.1 + own.1);
        }
        let [theirs, own] = [linux, netspace].map(|(seconds, bytes)| bytes * 8.0 / seconds / 1e6);
        let difference = (own / theirs - 1.0) * 100.0;
        println!(
            "{}: Linux {theirs:.2} Mbit/s, netspace {own:.2} Mbit/s, {difference:+.1} %",
            condition.link
        );
        if difference.abs() > TOLERANCE_PERCENT {
            far.push(format!("{}: {difference:+.1} %", condition.link));
        }
    }
    assert!(
        far.is_empty(),
        "further than {TOLERANCE_PERCENT} % from the kernel's goodput:\n{}",
        far.join("\n")
    );
}
