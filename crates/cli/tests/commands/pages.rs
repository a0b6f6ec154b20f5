//! Manual pages and completions.

use netspace_testkit::Scratch;

use super::netspace;

#[test]
fn manual_pages_are_written_for_every_command() {
    assert!(netspace(&["man"]).ok().contains(".TH netspace 1"));
    let scratch = Scratch::new("man");
    let dir = scratch.path().join("man1");
    netspace(&["man", dir.to_str().expect("UTF-8")]).ok();
    for page in ["netspace.1", "netspace-run.1", "netspace-link.1", "netspace-tool-http.1"] {
        let text = std::fs::read_to_string(dir.join(page)).expect(page);
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{page}:\n{text}");
    }
    assert!(!dir.join("netspace-__lab.1").exists());
}

#[test]
fn completions_know_commands_and_options() {
    for shell in ["bash", "zsh", "fish"] {
        let script = netspace(&["completions", shell]).ok();
        assert!(
            script.contains("netspace") && script.contains("doctor") && script.contains("pcap"),
            "{shell}"
        );
    }
    netspace(&["completions", "tcsh"]).exits(2).says("bash");
}
