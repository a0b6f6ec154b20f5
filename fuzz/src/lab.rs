//! Lab files and the DNS responder.

use std::sync::LazyLock;

use netspace_lab::names::Names;
use netspace_lab::{dns, file, plan};

const LAB: &str = "hosts: {client: {}, server: {}}\nlinks: [client -- server]\n";

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let (lab, mut diagnostics) = file::load(LAB, "lab.yaml").expect("the lab is well formed");
    Names::of(&plan::plan(&lab, &mut diagnostics).expect("it can be planned"))
});

/// Any text is a lab, or is refused with a message.
pub fn file(text: &str) {
    match file::load(text, "lab.yaml") {
        Ok((lab, mut diagnostics)) => {
            if let Some(plan) = plan::plan(&lab, &mut diagnostics) {
                let _ = (plan::graph_text(&plan), plan::dot(&plan), plan::table(&plan), plan::json(&plan));
            }
            let _ = diagnostics.render(false);
        }
        Err(diagnostics) => {
            assert!(diagnostics.has_errors());
            let _ = diagnostics.render(false);
        }
    }
}

/// Any bytes are answered in the size that the way allows, or not at all.
pub fn dns(query: &[u8]) {
    for over_tcp in [false, true] {
        if let Some(answer) = dns::answer(&NAMES, "client", query, over_tcp) {
            assert_eq!(answer[..2], query[..2], "the answer has the query's number");
            assert!(answer[2] & 0x80 != 0, "an answer says that it is one");
            assert!(over_tcp || answer.len() <= 1232);
        }
    }
}
