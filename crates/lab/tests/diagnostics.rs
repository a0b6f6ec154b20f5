//! Bad lab files: each gets its line, its column, a reason and a suggestion, and several are told at once.

use netspace_lab::file::{self, Diagnostics, Severity};
use netspace_lab::plan;

/// All that is said about a file, plan included.
fn findings(text: &str) -> Diagnostics {
    match file::load(text, "lab.yaml") {
        Err(diagnostics) => diagnostics,
        Ok((lab, mut diagnostics)) => {
            let _ = plan::plan(&lab, &mut diagnostics);
            diagnostics
        }
    }
}

/// Asserts that the first finding is at `line:column`, and that its message and help hold these words.
#[track_caller]
fn refused(text: &str, line: usize, column: usize, message: &str, help: &str) {
    let all = findings(text);
    let Some(first) = all.located().into_iter().find(|f| f.severity == Severity::Error) else {
        panic!("nothing is wrong with\n{text}\n{all}");
    };
    assert!(first.message.contains(message), "{}\n{all}", first.message);
    assert_eq!((first.line, first.column), (line, column), "{all}");
    let said = first.help.unwrap_or_default();
    assert!(said.contains(help), "help: {said:?}\n{all}");
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    refused(
        "hosts: {a: {}, b: {}}\nlink:\n  - a -- b\n",
        2,
        1,
        "a lab has no `link`",
        "did you mean `links`?",
    );
    refused("hosts:\n  a:\n    runs: true\n", 3, 5, "a host has no `runs`", "did you mean `run`?");
    refused(
        "hosts: {a: {}, b: {}}\nlinks:\n  - a -- b {dealy: 1ms}\n",
        3,
        13,
        "a link has no `dealy`",
        "`delay`",
    );
    refused("hosts: {a: {}, b: {}}\nlinks:\n  - a -- b {latency: 1ms}\n", 3, 13, "no `latency`", "`delay`");
    refused(
        "hosts: {a: {}}\nchecks:\n  - {on: a, run: x, timout: 1s}\n",
        3,
        21,
        "a check has no `timout`",
        "`timeout`",
    );
    refused(
        "hosts: {a: {colour: red}}\n",
        1,
        13,
        "a host has no `colour`",
        "known here: addresses, mac, mtu",
    );
    refused("hosts: {a: {}}\nrouters: {r: {hub: true}}\n", 2, 15, "a router has no `hub`", "run");
}

#[test]
fn units_are_required_and_checked() {
    let link = |settings: &str| format!("hosts: {{a: {{}}, b: {{}}}}\nlinks:\n  - a -- b {{{settings}}}\n");
    refused(&link("delay: 20"), 3, 20, "delay: `20` has no unit", "write 20ms");
    refused(&link("delay: 20msec"), 3, 20, "`msec` is not a unit of time", "did you mean `20ms`?");
    refused(&link("loss: 0.5"), 3, 19, "loss: `0.5` has no unit", "write 0.5%");
    refused(&link("loss: 150%"), 3, 19, "more than 100 %", "0% to 100%");
    refused(&link("rate: 5mbits"), 3, 19, "`mbits` is not a unit of rate", "did you mean `5mbit`?");
    refused(&link("rate: fast"), 3, 19, "`fast` is not a rate", "100mbit");
    refused(&link("delay: -3ms"), 3, 20, "cannot be negative", "20ms");
    refused(&link("queue: 100"), 3, 20, "queue: `100` has no unit", "100packets");
    refused(&link("jitter: 5ms"), 3, 5, "varies more than the delay", "delay");
    refused(&link("to: {c: {loss: 1%}}"), 3, 18, "`c` is not an end of this link", "known here: a, b");
}

#[test]
fn names_exist_once() {
    refused("hosts:\n  a: {}\n  a: {}\n", 3, 3, "`a` is named twice", "");
    refused("hosts: {a: {}}\nrouters: {a: {}}\n", 2, 11, "`a` is named twice", "");
    refused("hosts: {localhost: {}}\n", 1, 9, "every host's name for itself", "another name");
    refused("hosts: {a b: {}}\n", 1, 9, "`a b` is not a name for a host", "letters, digits");
    refused("hosts: {7: {}}\n", 1, 9, "`7` is a number, not a name", "h7");
    refused("hosts: {a: {mtu: 1400, mtu: 1500}}\n", 1, 24, "`mtu` is given twice", "");
    let two = "hosts: {a: {}, b: {}}\nlinks:\n  - a:eth0 -- b\n  - a:eth0 -- b\n";
    refused(two, 4, 7, "`a` has two interfaces named `eth0`", "number them");
}

#[test]
fn links_and_checks_name_what_exists() {
    let text = "hosts: {client: {}, server: {}}\nlinks:\n  - client -- servr\n";
    refused(text, 3, 15, "no host, router or switch `servr`", "did you mean `server`?");
    refused("hosts: {a: {}}\nlinks: [a -- zebra]\n", 2, 14, "`zebra`", "hosts: {zebra: {}}");
    let text = "hosts: {client: {}, b: {}}\nlinks: [client -- b]\nchecks:\n  - {on: clint, run: 'true'}\n";
    refused(text, 4, 10, "`clint`", "did you mean `client`?");
    let text = "hosts: {a: {}}\nswitches: {s: {}}\nlinks: [a -- s]\nchecks: [{on: s, run: ls}]\n";
    refused(text, 4, 15, "`s` is a switch", "");
    refused("hosts: {a: {}}\nlinks: [a -- a]\n", 2, 14, "joins `a` with itself", "two nodes");
    refused("hosts: {a: {}, b: {}}\nlinks: [a b]\n", 2, 9, "is not a link", "client -- server");
    refused("hosts: {a: {}}\nlinks: [{delay: 1ms}]\n", 2, 9, "does not say what it joins", "between: [a, b]");
    refused("hosts: {a: {}}\nchecks: [{run: ls}]\n", 2, 10, "does not say on which host", "on: client");
    refused("{}\n", 1, 1, "the lab has no hosts", "links: [client -- server]");
}

#[test]
fn sizes_are_possible() {
    let link = |mtu: &str| format!("hosts: {{a: {{}}, b: {{}}}}\nlinks:\n  - a -- b {{mtu: {mtu}}}\n");
    refused(&link("60"), 3, 18, "too small: IPv4 needs at least 68", "1280 or more");
    refused(&link("70000"), 3, 18, "too large", "65535 or less");
    refused(&link("1000"), 3, 18, "too small for IPv6, which needs 1280", "ipv6: off");
    refused(&link("big"), 3, 18, "`big` is not a number of bytes", "1500");
    refused("hosts: {a: {mtu: 900}, b: {}}\nlinks: [a -- b]\n", 1, 18, "too small for IPv6", "ipv6: off");
    let v4_only = "hosts: {a: {ipv6: 'off'}, b: {ipv6: 'off'}}\nlinks: ['a -- b {mtu: 600}']\n";
    assert!(!findings(v4_only).has_errors(), "{}", findings(v4_only));
}

#[test]
fn addresses_fit_together() {
    let pair = |a: &str, b: &str| {
        format!(
            "hosts:\n  a: {{addresses: {a}}}\n  b: {{addresses: {b}}}\n  c: {{}}\nlinks:\n  - a -- c\n  - b -- c\n"
        )
    };
    refused(
        &pair("10.0.0.300/24", "10.1.0.1/24"),
        2,
        18,
        "`10.0.0.300/24` is not an IP address",
        "10.0.1.5/24",
    );
    refused(&pair("10.0.0.5/33", "10.1.0.1/24"), 2, 18, "prefix length must be 1 to 32", "10.0.0.5/24");
    refused(&pair("10.0.0.5/24", "10.0.0.5/24"), 3, 18, "10.0.0.5 is given twice", "");
    refused(
        &pair("10.0.0.5/24", "10.0.0.9/16"),
        3,
        18,
        "10.0.0.0/16 overlaps 10.0.0.0/24 on another segment",
        "its own",
    );
    refused(&pair("10.0.0.0/24", "10.1.0.1/24"), 2, 18, "means the network itself", "`10.0.0.1/24`");
    refused(&pair("10.0.0.255/24", "10.1.0.1/24"), 2, 18, "everybody on the network", "`10.0.0.1/24`");
    refused(&pair("127.0.0.5/8", "10.1.0.1/24"), 2, 18, "cannot be a host's address", "");
    let small = "hosts: {a: {addresses: 10.9.0.1/31}, b: {}, c: {}}\nswitches: {s: {}}\nlinks: [a -- s, b -- s, c -- s]\n";
    refused(small, 1, 45, "10.9.0.0/31 has no address left for `c`", "shorter prefix");
    let mac = "hosts: {a: {mac: '02:00:00:00:00:01'}, b: {mac: '02:00:00:00:00:01'}}\nlinks: [a -- b]\n";
    refused(mac, 1, 49, "MAC address is given twice", "leave MAC addresses out");
    refused("hosts: {a: {mac: '03:00:00:00:00:01'}}\n", 1, 18, "a group's MAC", "02:00:00:00:00:01");
}

#[test]
fn routes_lead_somewhere() {
    let host = |route: &str| {
        format!(
            "hosts: {{b: {{}}}}\nrouters:\n  r:\n    routes: [{{{route}}}]\n  q: {{}}\nlinks: [r -- q, q -- b]\n"
        )
    };
    refused(
        &host("to: 10.9.0.5/16, via: q"),
        4,
        19,
        "bits set behind its prefix",
        "did you mean `10.9.0.0/16`?",
    );
    refused(&host("to: 10.9.0.0/16"), 4, 14, "neither `via` nor `dev`", "via: 10.0.1.2");
    refused(
        &host("to: 10.9.0.0/16, via: b"),
        4,
        37,
        "cannot reach the next hop b directly",
        "10.0.1.0/24 (eth0)",
    );
    refused(&host("to: 10.9.0.0/16, via: rou"), 4, 37, "no node `rou`", "");
    refused(
        &host("to: 10.9.0.0/16, dev: eth7"),
        4,
        37,
        "`r` has no interface `eth7`",
        "did you mean `eth0`?",
    );
    refused(
        "hosts: {a: {gateway: 10.7.0.1}, b: {}}\nlinks: [a -- b]\n",
        1,
        22,
        "cannot reach the next hop 10.7.0.1",
        "eth0",
    );
}

#[test]
fn loops_of_switches_are_refused() {
    let text = "hosts: {a: {}}\nswitches: [s1, s2, s3]\nlinks:\n  - a -- s1\n  - s1 -- s2\n  - s2 -- s3\n  - s3 -- s1\n";
    refused(text, 7, 5, "this link closes a loop", "circle for ever");
    let down = text.replace("s3 -- s1", "s3 -- s1 {up: false}");
    assert!(!findings(&down).has_errors(), "{}", findings(&down));
}

#[test]
fn yaml_errors_have_a_place_too() {
    let text = "hosts:\n  a: {}\n b: {}\n";
    let all = findings(text);
    assert!(all.has_errors());
    assert!(all.located()[0].message.starts_with("this is not valid YAML"), "{all}");
    assert_eq!(all.located()[0].line, 3, "{all}");
    refused("hosts: {a: {}, b: {}}\nlinks:\n  - a -- b {delay: [}\n", 3, 20, "not valid YAML", "");
}

#[test]
fn virtual_time_and_programs_do_not_go_together() {
    refused("clock: virtual\nhosts: {a: {run: sleep 1}}\n", 2, 18, "`clock: virtual`", "leave `clock` out");
    refused("clock: lunar\nhosts: {a: {}}\n", 1, 8, "`lunar` is no clock", "real or virtual");
}

#[test]
fn a_host_without_a_link_is_a_warning() {
    let all = findings("hosts: {a: {}, b: {}, lonely: {}}\nlinks: [a -- b]\n");
    assert_eq!(all.counts(), (0, 1), "{all}");
    assert_eq!(all.located()[0].message, "the host `lonely` has no link");
    assert_eq!(findings("hosts: {only: {}}\n").counts(), (0, 0));
}

#[test]
fn all_errors_are_told_at_once_with_the_lines_they_are_on() {
    let text = "\
hosts:
  client: {}
  server:
    runn: python3 -m http.server 80
switches: {lan: {}}
links:
  - client -- lam
  - lan -- server {delay: 20, loss: 2%}
";
    let expected = "\
error: a host has no `runn`
 --> lab.yaml:4:5
  |
4 |     runn: python3 -m http.server 80
  |     ^^^^ unknown key
  |
  = help: did you mean `run`?

error: there is no host, router or switch `lam`
 --> lab.yaml:7:15
  |
7 |   - client -- lam
  |               ^^^ unknown name
  |
  = help: did you mean `lan`?

error: delay: `20` has no unit
 --> lab.yaml:8:27
  |
8 |   - lan -- server {delay: 20, loss: 2%}
  |                           ^^
  |
  = help: write 20ms or another of: ms, s, us, µs, ns, min, h";
    let all = findings(text);
    assert!(all.to_string().starts_with(expected), "{all}");
}
