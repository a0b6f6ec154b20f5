//! The file as a tree of values, each with its place: what the typed reader walks, so that it can go on after an error.
//!
//! YAML cannot hold the short link form `a -- b {delay: 20ms}` as a plain scalar, because of the `: `. [`shield`] hides
//! that from the parser without moving a byte, and the braces are parsed as a mapping of their own.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use super::diagnostic::Diagnostic;

/// A value and the bytes of the file where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Range<usize>,
}

/// A YAML value. Scalars keep their text: what it means is for the key to say.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Scalar(String),
    Seq(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A mapping's key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

impl Value {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Scalar(_) => "a single value",
            Self::Seq(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Parses a whole file.
pub(super) fn parse(text: &str) -> Result<Node, Diagnostic> {
    parse_shielded(&shield(text), text, 0)
}

/// Parses a part of the file that stands at byte `base`.
pub(super) fn parse_part(part: &str, base: usize) -> Result<Node, Diagnostic> {
    parse_shielded(part, part, base)
}

fn parse_shielded(shielded: &str, original: &str, base: usize) -> Result<Node, Diagnostic> {
    let options =
        serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::LastWins, with_snippet: false };
    let raw: Option<Spanned<Raw>> = serde_saphyr::from_str_with_options(shielded, options).map_err(|e| {
        let span = e.location().map_or(0..0, |l| bytes_of(&l, original));
        let span = span.start + base..span.end + base;
        syntax_error(&e, &span)
    })?;
    let empty = Node { value: Value::Null, span: base..base };
    Ok(raw.map_or(empty, |raw| raw_to_node(raw, shielded, original, base)))
}

fn syntax_error(error: &serde_saphyr::Error, span: &Range<usize>) -> Diagnostic {
    let text = error.to_string();
    let message = text.lines().next().unwrap_or("").trim_start_matches("error: ");
    // The place stands in the diagnostic already.
    let message = message.split(" at line ").next().unwrap_or(message);
    let mut d = Diagnostic::error(span, format!("this is not valid YAML: {message}"));
    if message.contains("mapping values are not allowed") {
        d = d.help("a value that holds `: ` needs quotes, as in \"key: value\"");
    } else if message.contains("tab") {
        d = d.help("indent with spaces: YAML allows no tabs there");
    }
    d
}

fn bytes_of(location: &Location, text: &str) -> Range<usize> {
    let span = location.span();
    let start = match span.byte_offset() {
        Some(offset) => usize::try_from(offset).unwrap_or(0),
        None => text
            .char_indices()
            .nth(usize::try_from(span.offset()).unwrap_or(0))
            .map_or(text.len(), |(i, _)| i),
    };
    let len = span.byte_len().unwrap_or_else(|| span.len());
    let start = start.min(text.len());
    start..(start + usize::try_from(len).unwrap_or(0)).min(text.len())
}

/// What the deserializer gives before spans are made into byte ranges.
enum Raw {
    Null,
    Scalar(String),
    Seq(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(v.to_string()))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(v.to_string()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(v.to_string()))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(v.to_string()))
    }

    fn visit_str<E>(self, v: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(v.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

fn raw_to_node(raw: Spanned<Raw>, shielded: &str, original: &str, base: usize) -> Node {
    let mut span = bytes_of(&raw.referenced, original);
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Scalar(text) => {
            // Shielded text is read from the original again; plain scalars keep their spelling (0x10, 1.50).
            let slice = original.get(span.clone()).unwrap_or("").trim_end();
            span.end = span.start + slice.len();
            let plain = !slice.starts_with(['"', '\'', '|', '>', '*', '&', '!']) && !slice.contains('\n');
            let hidden = shielded.get(span.clone()) != Some(slice);
            Value::Scalar(if (plain || hidden) && !slice.is_empty() { fold(slice) } else { text })
        }
        Raw::Seq(items) => {
            Value::Seq(items.into_iter().map(|i| raw_to_node(i, shielded, original, base)).collect())
        }
        Raw::Map(entries) => {
            let entry = |(key, value): (Spanned<String>, Spanned<Raw>)| {
                let span = bytes_of(&key.referenced, original);
                let key = Key { text: key.value, span: span.start + base..span.end + base };
                (key, raw_to_node(value, shielded, original, base))
            };
            Value::Map(entries.into_iter().map(entry).collect())
        }
    };
    Node { value, span: span.start + base..span.end + base }
}

/// Line breaks within a plain scalar become spaces, as YAML folds them.
fn fold(text: &str) -> String {
    if text.contains('\n') { text.split_whitespace().collect::<Vec<_>>().join(" ") } else { text.to_owned() }
}

/// Replaces the blank after each `:` within the braces of a short link by `~`, so that YAML reads the whole line as one
/// plain scalar. Every byte stays where it is.
fn shield(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if let Some(open) = short_link_brace(line) {
            let start = at + open;
            let end = closing_brace(text, start).unwrap_or(at + line.trim_end().len());
            for i in start..end.saturating_sub(1) {
                if out[i] == b':' && out[i + 1] == b' ' {
                    out[i + 1] = b'~';
                }
            }
        }
        at += line.len();
    }
    // Only ASCII bytes were replaced by ASCII bytes.
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// Where the braces open, if `line` is a list item `- a -- b {`.
fn short_link_brace(line: &str) -> Option<usize> {
    let item = line.trim_start().strip_prefix("- ")?.trim_start();
    if item.starts_with(['"', '\'', '{', '[', '&', '*', '!', '|', '>', '#']) {
        return None;
    }
    let offset = line.len() - item.len();
    let brace = item.find('{')?;
    let head = &item[..brace];
    (head.contains("--") && !head.contains(": ") && !head.contains(" #")).then_some(offset + brace)
}

/// One past the brace that closes the one at `open`; none if it is never closed before a blank line.
fn closing_brace(text: &str, open: usize) -> Option<usize> {
    let mut depth = 0;
    let bytes = text.as_bytes();
    for (i, &byte) in bytes.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(i + 1);
                }
            }
            b'\n' if bytes.get(i + 1) == Some(&b'\n') => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_spellings_survive() {
        let text = "links:\n  - ä -- b {delay: 20ms, to: {b: {loss: 1%}}} # c\n  - c -- d\nmac: 02:00:00:00:00:01\nn: 0x10\n";
        let tree = parse(text).expect("valid");
        let Value::Map(entries) = &tree.value else { panic!("{tree:?}") };
        let Value::Seq(links) = &entries[0].1.value else { panic!("{tree:?}") };
        let Value::Scalar(first) = &links[0].value else { panic!("{links:?}") };
        assert_eq!(first, "ä -- b {delay: 20ms, to: {b: {loss: 1%}}}");
        assert_eq!(&text[links[0].span.clone()], first);
        assert_eq!(&text[entries[1].0.span.clone()], "mac");
        let scalar = |n: usize| match &entries[n].1.value {
            Value::Scalar(s) => s.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(scalar(1), "02:00:00:00:00:01");
        assert_eq!(scalar(2), "0x10");
    }
}
