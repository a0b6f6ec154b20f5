//! Damaged input: whatever bytes come, the lab file's reader, the planner and the name server answer and never panic.

mod common;

use std::path::Path;

use netspace_base::{Rng, Seed};
use netspace_lab::names::Names;
use netspace_lab::{dns, file, plan};

/// Changes a few bytes: replaced, removed, doubled, or swapped for a piece of the text elsewhere.
fn damage(bytes: &mut Vec<u8>, rng: &mut Rng, alphabet: &[u8]) {
    for _ in 0..=rng.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.below(bytes.len() as u64) as usize;
        match rng.below(5) {
            0 => bytes[at] = alphabet[rng.below(alphabet.len() as u64) as usize],
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, alphabet[rng.below(alphabet.len() as u64) as usize]),
            3 => {
                let end = (at + rng.below(40) as usize).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = rng.below(bytes.len() as u64) as usize;
                bytes.splice(to..to, piece);
            }
            _ => bytes.truncate(bytes.len() - rng.below(bytes.len().min(60) as u64) as usize),
        }
    }
}

#[test]
fn damaged_lab_files_are_refused_or_planned_and_shown() {
    let alphabet = b"{}[]:,-\"'#&*|>!%~ \n\tab019.\xc3\xa4/";
    let mut rng = Seed(1).stream("damage", 0);
    let (mut refused, mut planned) = (0, 0);
    for name in ["hello", "wan", "ring", "lan"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../examples/{name}.yaml"));
        let whole = std::fs::read(path).expect("the example is there");
        for _ in 0..400 {
            let mut bytes = whole.clone();
            damage(&mut bytes, &mut rng, alphabet);
            let text = String::from_utf8_lossy(&bytes);
            match file::load(&text, "damaged.yaml") {
                Err(diagnostics) => {
                    assert!(!diagnostics.to_string().is_empty() && diagnostics.located()[0].line > 0);
                    refused += 1;
                }
                Ok((lab, mut diagnostics)) => {
                    if let Some(plan) = plan::plan(&lab, &mut diagnostics) {
                        let _ = (
                            plan::table(&plan),
                            plan::json(&plan),
                            plan::graph_text(&plan),
                            plan::dot(&plan),
                        );
                        planned += 1;
                    }
                    let _ = diagnostics.to_string();
                }
            }
        }
    }
    assert!(
        refused > 200 && planned > 200,
        "{refused} refused, {planned} planned: both ways are to be tried"
    );
}

#[test]
fn damaged_queries_get_a_well_formed_answer_or_none() {
    let names = Names::of(&common::example("hello"));
    let mut rng = Seed(2).stream("damage", 1);
    let mut query = vec![0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    query.extend(b"\x06server\x03lab\x00\x00\x01\x00\x01");
    query.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    let all: Vec<u8> = (0..=255).collect();
    let mut answered = 0;
    for _ in 0..20_000 {
        let mut bytes = query.clone();
        damage(&mut bytes, &mut rng, &all);
        for tcp in [false, true] {
            if let Some(answer) = dns::answer(&names, "client", &bytes, tcp) {
                assert!(
                    answer.len() >= 12 && answer[..2] == bytes[..2] && answer[2] & 0x80 != 0,
                    "{bytes:?}"
                );
                answered += 1;
            }
        }
    }
    assert!(answered > 10_000, "{answered}");
}
