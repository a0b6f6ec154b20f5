//! Lab files: what `check` and `graph` print, and what wrong ones get.

use std::path::Path;

use netspace_testkit::Scratch;

use super::{Home, SMALL, netspace};

fn example(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    root.join(name).canonicalize().expect(name).to_str().expect("UTF-8").to_owned()
}

#[test]
fn the_examples_check() {
    for name in ["hello.yaml", "wan.yaml", "ring.yaml", "lan.yaml"] {
        let ran = netspace(&["check", &example(name)]);
        assert!(ran.stderr.is_empty(), "{name}: {}", ran.stderr);
        let text = ran.ok();
        assert!(text.contains("10.") && text.contains("eth0"), "{name}:\n{text}");
        let json = netspace(&["check", "--json", &example(name)]).ok();
        let plan: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let nodes = plan["nodes"].as_array().expect("nodes");
        assert!(nodes.len() >= 4, "{name}: {json}");
        for node in nodes.iter().filter(|node| node["kind"] == "host") {
            let addresses = node["interfaces"][0]["addresses"].as_array().expect("addresses");
            assert!(!addresses.is_empty(), "{name}: {node}");
        }
    }
}

#[test]
fn graphs_are_drawn_as_text_and_as_dot() {
    let text = netspace(&["graph", &example("hello.yaml")]).ok();
    for name in ["client", "server", "gw", "lan"] {
        assert!(text.contains(name), "{text}");
    }
    let dot = netspace(&["graph", "--dot", &example("hello.yaml")]).ok();
    assert!(dot.starts_with("graph") && dot.contains("--") && dot.trim_end().ends_with('}'), "{dot}");
}

#[test]
fn a_lab_file_may_come_by_standard_input() {
    let scratch = Scratch::new("stdin");
    scratch.write("lab.yaml", SMALL);
    let file = std::fs::File::open(scratch.path().join("lab.yaml")).expect("the file");
    let output =
        std::process::Command::new(super::BINARY).args(["check", "-"]).stdin(file).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("client"));
}

/// Checks that a wrong file is refused by every command that takes one, with its place.
fn refused(yaml: &str, says: &[&str]) {
    let home = Home::new(yaml);
    for args in [&["check", "lab.yaml"][..], &["run", "lab.yaml"], &["up", "lab.yaml"]] {
        let ran = home.run(args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{args:?}: {}", ran.stdout);
        assert!(ran.stderr.contains("lab.yaml:"), "{args:?}: no place in\n{}", ran.stderr);
        for word in says {
            assert!(ran.stderr.contains(word), "{args:?}: no {word:?} in\n{}", ran.stderr);
        }
    }
    assert!(home.left_behind().is_empty(), "nothing was started: {:?}", home.left_behind());
}

#[test]
fn a_wrong_key_is_refused_with_its_place_and_a_suggestion() {
    refused("hosts: {a: {}, b: {}}\nlinks:\n  - a -- b {dleay: 5ms}\n", &["dleay", "delay", ":3:"]);
}

#[test]
fn a_wrong_unit_is_refused() {
    refused("hosts: {a: {}, b: {}}\nlinks:\n  - a -- b {delay: 5parsecs}\n", &["5parsecs", ":3:"]);
}

#[test]
fn an_unknown_host_is_refused() {
    refused("hosts: {client: {}, b: {}}\nlinks:\n  - clinet -- b\n", &["clinet", "client"]);
}

#[test]
fn a_duplicate_name_is_refused() {
    refused("hosts: {a: {}, b: {}}\nrouters: {a: {}}\nlinks:\n  - a -- b\n", &["a"]);
}

#[test]
fn an_unknown_host_to_run_on_starts_nothing() {
    let home = Home::new(SMALL);
    let ran = home.run(&["run", "lab.yaml", "--on", "clinet", "--", "true"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("clinet") && ran.stderr.contains("did you mean \"client\""),
        "{}",
        ran.stderr
    );
}
