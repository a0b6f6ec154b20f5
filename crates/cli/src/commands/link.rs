//! `netspace link`: shows and changes the links of a running lab.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::bail;

use crate::args::LinkArgs;
use crate::control::{Client, LinkChange, LinkState, Reply, Request};
use crate::output::{BAD, BOLD, DIM, Out, VALUE, bad_input, did_you_mean};
use crate::runtime;

/// What `set` can set.
const KEYS: [&str; 8] = ["delay", "jitter", "loss", "duplicate", "reorder", "corrupt", "rate", "queue"];

/// Shows or changes.
pub(crate) fn run(args: &LinkArgs) -> anyhow::Result<u8> {
    let change = change(&args.action)?;
    let lab = runtime::choose(args.lab.lab.as_deref())?;
    let mut client = Client::connect(&lab)?;
    let Some(change) = change else {
        let Reply::Links { links } = client.ask(&Request::Links { link: args.link.clone() })? else {
            bail!("the lab gave an answer to another question");
        };
        return show(&links, args.json).map(|()| 0);
    };
    let Some(link) = args.link.clone() else { return Err(bad_input("which link? Name it as `A--B`")) };
    if args.from.is_some() && !matches!(change, LinkChange::Set(_)) {
        return Err(bad_input("a link goes up or down as a whole: `--from` is for `set`"));
    }
    client.ask(&Request::Link { link, from: args.from.clone(), change })?;
    Ok(0)
}

/// What the action's words ask for; none: only to show.
fn change(words: &[String]) -> anyhow::Result<Option<LinkChange>> {
    let Some((verb, rest)) = words.split_first() else { return Ok(None) };
    match (verb.as_str(), rest) {
        ("up", []) => Ok(Some(LinkChange::Up)),
        ("down", []) => Ok(Some(LinkChange::Down)),
        ("up" | "down", [word, ..]) => {
            Err(bad_input(format!("{word:?} after `{verb}`: nothing comes there")))
        }
        ("set", []) => Err(bad_input(format!("set what? Known are {}", KEYS.join(", ")))),
        ("set", rest) => settings(rest).map(|settings| Some(LinkChange::Set(settings))),
        (other, _) => {
            let hint = did_you_mean(other, ["set", "up", "down"]);
            Err(bad_input(format!("{other:?} is no action{hint}; known are `set KEY VALUE…`, `up`, `down`")))
        }
    }
}

/// `delay 50ms loss 2%`, also `delay=50ms`, `delay: 50ms`, commas between.
fn settings(words: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let text = words.join(" ").replace(['=', ':', ','], " ");
    let mut words = text.split_whitespace().peekable();
    let mut settings: Vec<(String, String)> = Vec::new();
    while let Some(key) = words.next() {
        if !KEYS.contains(&key) {
            let hint = did_you_mean(key, KEYS);
            return Err(bad_input(format!("{key:?} is nothing to set{hint}; known are {}", KEYS.join(", "))));
        }
        let Some(value) = words.next() else { return Err(bad_input(format!("`{key}` has no value"))) };
        if settings.iter().any(|(known, _)| known == key) {
            return Err(bad_input(format!("`{key}` is set twice")));
        }
        // A loss model, a discipline of the queue: further words belong to them.
        let named = matches!(key, "loss" | "queue") && value.starts_with(|c: char| c.is_ascii_alphabetic());
        let mut value = value.to_owned();
        while let Some(word) = words.next_if(|word| named && !KEYS.contains(word)) {
            value = format!("{value} {word}");
        }
        settings.push((key.to_owned(), value));
    }
    Ok(settings)
}

fn show(links: &[LinkState], json: bool) -> anyhow::Result<()> {
    let mut out = Out::new();
    if json {
        out.json(&links)?;
    } else {
        for link in links {
            print(&mut out, link)?;
        }
    }
    out.flush()?;
    Ok(())
}

fn print(out: &mut Out, link: &LinkState) -> io::Result<()> {
    write!(out, "{BOLD}{}{BOLD:#}", link.name)?;
    if !link.up {
        write!(out, "  {BAD}down{BAD:#}")?;
    }
    let alike = link.directions.windows(2).all(|pair| pair[0].settings == pair[1].settings);
    let words = |settings: &BTreeMap<String, String>| {
        settings.iter().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join(", ")
    };
    match link.directions.first() {
        Some(first) if alike => {
            let words = words(&first.settings);
            let words = if words.is_empty() {
                format!("{DIM}plain{DIM:#}")
            } else {
                format!("{VALUE}{words}{VALUE:#}")
            };
            writeln!(out, "  {words}")
        }
        _ => {
            writeln!(out)?;
            for direction in &link.directions {
                let words = words(&direction.settings);
                let words = if words.is_empty() { "plain".to_owned() } else { words };
                writeln!(out, "  from {} to {}: {VALUE}{words}{VALUE:#}", direction.from, direction.to)?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn reads_actions() {
        assert_eq!(change(&[]).expect("fine"), None);
        assert_eq!(change(&words("up")).expect("fine"), Some(LinkChange::Up));
        let set = |pairs: &[(&str, &str)]| {
            Some(LinkChange::Set(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()))
        };
        let wanted = set(&[("delay", "50ms"), ("loss", "2%")]);
        assert_eq!(change(&words("set delay 50ms loss 2%")).expect("fine"), wanted);
        assert_eq!(change(&words("set delay=50ms, loss: 2%")).expect("fine"), wanted);
        let wanted =
            set(&[("queue", "fq_codel target 2ms noecn"), ("loss", "gemodel 1% 10%"), ("rate", "1mbit")]);
        let line = "set queue fq_codel target 2ms noecn loss gemodel 1% 10% rate 1mbit";
        assert_eq!(change(&words(line)).expect("fine"), wanted);
    }

    #[test]
    fn wrong_actions_are_explained() {
        for (text, says) in [
            ("sett delay 5ms", "did you mean \"set\""),
            ("set dely 5ms", "did you mean \"delay\""),
            ("set delay", "no value"),
            ("set delay 5ms delay 6ms", "twice"),
            ("set", "set what"),
            ("down now", "nothing comes there"),
        ] {
            let error = change(&words(text)).expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
