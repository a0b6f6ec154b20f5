//! Links: the short form `a -- b {delay: 20ms}` and the mapping with `between`.

use std::ops::Range;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::node::{self, Node, Value};
use super::quantity;
use super::reader::{Fields, items, scalar};
use super::types::{End, Link, LinkSettings};
use super::values::{address, expand_range, mac, mtu};

/// Keys of what a direction does to frames.
pub(super) const SETTINGS: &[&str] =
    &["delay", "jitter", "loss", "duplicate", "reorder", "corrupt", "rate", "queue"];
/// Keys of a link in braces or as a mapping.
pub(super) const LINK: &[&str] = &[
    "between",
    "delay",
    "jitter",
    "loss",
    "duplicate",
    "reorder",
    "corrupt",
    "rate",
    "queue",
    "to",
    "ends",
    "mtu",
    "cost",
    "up",
];
/// Keys of one end under `ends`.
pub(super) const END: &[&str] = &["interface", "addresses", "mac"];

/// Reads one item of `links`; short forms with ranges or chains give several.
pub(super) fn links(item: &Node, text: &str, out: &mut Diagnostics) -> Vec<Link> {
    match &item.value {
        Value::Scalar(line) => short(line, item, text, out),
        Value::Map(_) => {
            let mut fields = Fields::of(item, "a link", LINK, out);
            let Some(between) = fields.take("between") else {
                let help = "write `between: [a, b]`, or the short form `a -- b {delay: 20ms}`";
                out.push(Diagnostic::error(&item.span, "the link does not say what it joins").help(help));
                return Vec::new();
            };
            let ends: Vec<(String, Range<usize>)> = items(between)
                .into_iter()
                .filter_map(|n| scalar(n, "between", out).map(|s| (s.to_owned(), n.span.clone())))
                .collect();
            if ends.len() != 2 {
                let d = Diagnostic::error(
                    &between.span,
                    format!("a link has two ends, and here are {}", ends.len()),
                );
                out.push(d.help("write `between: [a, b]`; join more than two by a switch"));
                return Vec::new();
            }
            let pairs = expand(&ends, &item.span, out);
            finish(pairs, &mut fields, &item.span, out)
        }
        other => {
            out.push(Diagnostic::error(
                &item.span,
                format!("a link is written `a -- b`, and this is {}", other.kind()),
            ));
            Vec::new()
        }
    }
}

/// `a -- b -- c {settings}`: the text of the scalar is in the file as it stands, so places in it are the file's.
fn short(line: &str, item: &Node, text: &str, out: &mut Diagnostics) -> Vec<Link> {
    let slice = text.get(item.span.clone()).unwrap_or("");
    // A quoted scalar starts one byte later.
    let base = item.span.start + slice.find(line.get(..1).unwrap_or("")).unwrap_or(0);
    let (head, braces) = match line.find('{') {
        Some(open) => (&line[..open], Some((open, &line[open..]))),
        None => (line, None),
    };
    let mut ends = Vec::new();
    let mut at = 0;
    for part in head.split("--") {
        let name = part.trim();
        let start = base + at + (part.len() - part.trim_start().len());
        ends.push((name.to_owned(), start..start + name.len()));
        at += part.len() + 2;
    }
    if ends.len() < 2 || ends.iter().any(|(name, _)| name.is_empty() || name.contains(char::is_whitespace)) {
        let d = Diagnostic::error(&item.span, format!("`{}` is not a link", head.trim()));
        out.push(d.help("write it like `client -- server` or `client -- server {delay: 20ms, loss: 1%}`"));
        return Vec::new();
    }
    let pairs: Vec<_> = ends.windows(2).flat_map(|pair| expand(pair, &item.span, out)).collect();
    let settings = match braces.map(|(open, part)| node::parse_part(part, base + open)) {
        None => Node { value: Value::Null, span: item.span.clone() },
        Some(Ok(settings)) => settings,
        Some(Err(d)) => {
            out.push(d.help("settings stand in braces: {delay: 20ms, loss: 1%}"));
            return Vec::new();
        }
    };
    let mut fields = Fields::of(&settings, "a link", LINK, out);
    if let Some(between) = fields.take("between") {
        out.push(Diagnostic::error(
            &between.span,
            "the short form names its ends already: `between` is one too many",
        ));
    }
    finish(pairs, &mut fields, &item.span, out)
}

/// Ends with ranges, made into pairs: `h[1-3] -- sw` gives three, `a[1-3] -- b[1-3]` three side by side.
fn expand(ends: &[(String, Range<usize>)], span: &Range<usize>, out: &mut Diagnostics) -> Vec<[End; 2]> {
    let [a, b] = [&ends[0], &ends[1]].map(|(name, span)| {
        let (node, interface) = match name.split_once(':') {
            Some((node, interface)) => {
                let start = span.start + node.len() + 1;
                (node, Some((interface.to_owned(), start..span.end)))
            }
            None => (name.as_str(), None),
        };
        let node_span = span.start..span.start + node.len();
        let one = |name: String| End { interface: interface.clone(), ..End::new(&name, node_span.clone()) };
        expand_range(node).into_iter().map(one).collect::<Vec<_>>()
    });
    match (a.len(), b.len()) {
        (1, _) => b.into_iter().map(|b| [a[0].clone(), b]).collect(),
        (_, 1) => a.into_iter().map(|a| [a, b[0].clone()]).collect(),
        (n, m) if n == m => a.into_iter().zip(b).map(|(a, b)| [a, b]).collect(),
        (n, m) => {
            let message = format!("the ranges differ in length: {n} on one side, {m} on the other");
            out.push(Diagnostic::error(span, message).help("make them equal, or join one side by a switch"));
            Vec::new()
        }
    }
}

fn finish(
    pairs: Vec<[End; 2]>,
    fields: &mut Fields<'_>,
    span: &Range<usize>,
    out: &mut Diagnostics,
) -> Vec<Link> {
    let both = settings(fields, out);
    let mtu = mtu(fields, out);
    let cost = fields.number("cost", 1..=1_000_000, out).map_or(1, |(n, _)| n as u32);
    let up = fields.flag("up", out).unwrap_or(true);
    let to = fields.take("to");
    let details = fields.take("ends");
    let mut links: Vec<Link> = pairs
        .into_iter()
        .map(|ends| Link { ends, settings: both, mtu: mtu.clone(), cost, up, span: span.clone() })
        .collect();
    if let Some(to) = to {
        for_each_end(to, "to", &mut links, out, |end, node, out| {
            end.towards = settings(&mut Fields::of(node, "a direction", SETTINGS, out), out);
        });
    }
    if let Some(details) = details {
        for_each_end(details, "ends", &mut links, out, end_details);
    }
    links
}

/// Calls `set` for the end that each key of the mapping `node` names.
fn for_each_end(
    node: &Node,
    key: &str,
    links: &mut [Link],
    out: &mut Diagnostics,
    set: impl Fn(&mut End, &Node, &mut Diagnostics),
) {
    let Value::Map(entries) = &node.value else {
        let d = Diagnostic::error(
            &node.span,
            format!("`{key}` takes a mapping from an end's name to its settings"),
        );
        out.push(d.help(format!("write it like `{key}: {{a: {{…}}}}`")));
        return;
    };
    for (name, value) in entries {
        let wanted = expand_range(&name.text);
        let mut found = false;
        // The settings are read once for the messages; further ends get them silently.
        for link in &mut *links {
            for end in link.ends.iter_mut().filter(|end| wanted.contains(&end.node)) {
                if found {
                    set(end, value, &mut Diagnostics::default());
                } else {
                    set(end, value, out);
                }
                found = true;
            }
        }
        if !found {
            let names: Vec<&str> = links.iter().flat_map(|l| &l.ends).map(|e| e.node.as_str()).collect();
            let help = super::suggest::did_you_mean(&name.text, names);
            out.push(
                Diagnostic::error(&name.span, format!("`{}` is not an end of this link", name.text))
                    .maybe_help(help),
            );
        }
    }
}

fn end_details(end: &mut End, node: &Node, out: &mut Diagnostics) {
    let mut fields = Fields::of(node, "a link's end", END, out);
    if let Some((name, span)) = fields.text("interface", out) {
        end.interface = Some((name.to_owned(), span));
    }
    if let Some(list) = fields.take("addresses") {
        end.addresses = items(list).into_iter().filter_map(|n| address(n, "addresses", out)).collect();
    }
    end.mac = fields.parsed("mac", out, mac);
}

/// Reads what a direction does to frames.
pub(super) fn settings(fields: &mut Fields<'_>, out: &mut Diagnostics) -> LinkSettings {
    LinkSettings {
        delay: fields.parsed("delay", out, quantity::duration).map(|v| v.0),
        jitter: fields.parsed("jitter", out, quantity::duration).map(|v| v.0),
        loss: fields.parsed("loss", out, quantity::loss).map(|v| v.0),
        duplicate: fields.parsed("duplicate", out, quantity::ratio).map(|v| v.0),
        reorder: fields.parsed("reorder", out, quantity::ratio).map(|v| v.0),
        corrupt: fields.parsed("corrupt", out, quantity::ratio).map(|v| v.0),
        rate: fields.parsed("rate", out, quantity::rate).map(|v| v.0),
        queue: fields.parsed("queue", out, quantity::queue).map(|v| v.0),
    }
}
