//! The file as a tree of values, each with its place: what the typed reader walks, so that it can go on after an error.
//!
//! YAML cannot hold the short link form `a -- b {delay: 20ms}` as a plain scalar. [`shield`] hides its structure from the
//! parser without moving a byte, and the braces are parsed as a mapping of their own.

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
            // Shielded text is read from the original again; plain scalars keep their spelling (0x10, 1.50). An alias or
            // a merged key has its text where its anchor is.
            let defined = bytes_of(&raw.defined, original);
            let slice = original.get(defined.clone()).unwrap_or("").trim_end();
            if defined == span {
                span.end = span.start + slice.len();
            }
            let plain = !slice.starts_with(['"', '\'', '|', '>', '*', '&', '!']) && !slice.contains('\n');
            let hidden = shielded.get(defined.start..defined.start + slice.len()) != Some(slice);
            Value::Scalar(if (plain || hidden) && !slice.is_empty() { fold(slice) } else { text })
        }
        Raw::Seq(items) => {
            Value::Seq(items.into_iter().map(|i| raw_to_node(i, shielded, original, base)).collect())
        }
        Raw::Map(entries) => {
            let entry = |(key, value): (Spanned<String>, Spanned<Raw>)| {
                let span = bytes_of(&key.referenced, original);
                let slice = original.get(span.clone()).unwrap_or("");
                let hidden = shielded.get(span.clone()) != Some(slice);
                let text = if hidden { slice.to_owned() } else { key.value };
                let key = Key { text, span: span.start + base..span.end + base };
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

/// Hides from YAML what it would read as structure: the braces of a short link (`a -- b {delay: 20ms}`) and the brackets
/// of a range (`h[1-30]`), which are not allowed in flow lists and mappings. Every byte stays where it is, and the text
/// itself is read from the original again. Quoted text, comments and block scalars are left alone.
fn shield(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    let mut at = 0;
    let mut block_indent = None;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        if block_indent.is_some_and(|b| indent > b || line.trim().is_empty()) {
            at += line.len();
            continue;
        }
        shield_line(text, at, line, &mut out);
        block_indent = opens_block_scalar(line).then_some(indent);
        at += line.len();
    }
    // Only ASCII bytes were replaced by ASCII bytes.
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// Whether a line ends in `|` or `>` (with `-`, `+` or digits): the lines below it, indented more, are one text.
fn opens_block_scalar(line: &str) -> bool {
    let last = line.split_whitespace().take_while(|w| !w.starts_with('#')).last().unwrap_or("");
    let mut chars = last.chars();
    matches!(chars.next(), Some('|' | '>')) && chars.all(|c| matches!(c, '-' | '+' | '0'..='9'))
}

fn shield_line(text: &str, at: usize, line: &str, out: &mut [u8]) {
    let bytes = line.as_bytes();
    let mut quote = None;
    let mut end_of_link = 0;
    for (i, &byte) in bytes.iter().enumerate() {
        let starts_word = i == 0 || matches!(bytes[i - 1], b' ' | b'[' | b'{' | b',' | b'\t');
        match (quote, byte) {
            (Some(q), byte) if q == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') if starts_word => quote = Some(byte),
            (None, b'#') if starts_word => return,
            (None, b'{') if i >= end_of_link && follows_link(&line[..i]) => {
                let close = closing_brace(text, at + i).unwrap_or(at + line.trim_end().len());
                hide(&mut out[at + i..close]);
                end_of_link = close - at;
            }
            (None, b'[') if i > 0 => {
                // A range follows a name's letter or digit: what is no character's start is neither.
                if let Some(len) = line.get(i - 1..).and_then(range_len) {
                    hide(&mut out[at + i..at + i - 1 + len]);
                }
            }
            _ => {}
        }
    }
}

/// Replaces YAML's structure by letters that mean nothing to it.
fn hide(bytes: &mut [u8]) {
    for i in 0..bytes.len() {
        bytes[i] = match bytes[i] {
            b'{' | b'[' => b'(',
            b'}' | b']' => b')',
            b',' => b';',
            b' ' if i > 0 && bytes[i - 1] == b':' => b'~',
            byte => byte,
        };
    }
}

/// Whether the text before a brace ends in a link's end: `a -- b `, `- gw:eth1--b`.
fn follows_link(head: &str) -> bool {
    let name = |c: char| c.is_alphanumeric() || "_-:[].".contains(c);
    let head = head.trim_end();
    let before = head.trim_end_matches(name);
    head[before.len()..].contains("--") && !before.ends_with('{') || before.trim_end().ends_with("--")
}

/// The length of `x[1-30]` at the start of a text (`x` is any letter of a name).
fn range_len(text: &str) -> Option<usize> {
    let inner =
        text.strip_prefix(|c: char| c.is_alphanumeric() || c == '_' || c == '-')?.strip_prefix('[')?;
    let (range, _) = inner.split_once(']')?;
    let (from, to) = range.split_once('-')?;
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    (digits(from) && digits(to)).then_some(text.len() - inner.len() + range.len() + 1)
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

    #[test]
    fn anchors_and_merged_mappings_keep_their_texts() {
        let text = "x-slow: &slow {delay: 20ms, loss: 1%}\nx-name: &n server\nlinks:\n  - {between: [a, *n], <<: *slow, loss: 2%}\n";
        let tree = parse(text).unwrap_or_else(|d| panic!("{}", d.message));
        let Value::Map(entries) = &tree.value else { panic!("{tree:?}") };
        let Value::Seq(links) = &entries[2].1.value else { panic!("{tree:?}") };
        let Value::Map(link) = &links[0].value else { panic!("{links:?}") };
        let get = |key: &str| match &link.iter().find(|(k, _)| k.text == key).expect("there").1.value {
            Value::Scalar(s) => s.clone(),
            Value::Seq(items) => items.iter().map(|i| format!("{:?}", i.value)).collect(),
            other => panic!("{other:?}"),
        };
        assert_eq!((get("delay").as_str(), get("loss").as_str()), ("20ms", "2%"));
        assert!(get("between").contains("server"), "{}", get("between"));
    }

    #[test]
    fn links_and_ranges_stand_in_flow_lists_too() {
        let text = "hosts: {h[1-3]: {}, 'x[1-2]': {}}\nlinks: [h[1-3] -- s {loss: 1%, to: {s: {delay: 1ms}}}, a--b {mtu: 1400}]\n\
                    run: |\n  echo h[1-3] -- x {a: b}\nlast: echo a[1-2], b # c[1-2] -- x {\n";
        let tree = parse(text).unwrap_or_else(|d| panic!("{}", d.message));
        let Value::Map(entries) = &tree.value else { panic!("{tree:?}") };
        let Value::Map(hosts) = &entries[0].1.value else { panic!("{tree:?}") };
        assert_eq!(hosts.iter().map(|(k, _)| k.text.as_str()).collect::<Vec<_>>(), ["h[1-3]", "x[1-2]"]);
        let Value::Seq(links) = &entries[1].1.value else { panic!("{tree:?}") };
        let scalar = |n: &Node| match &n.value {
            Value::Scalar(s) => s.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(scalar(&links[0]), "h[1-3] -- s {loss: 1%, to: {s: {delay: 1ms}}}");
        assert_eq!(scalar(&links[1]), "a--b {mtu: 1400}");
        assert_eq!(scalar(&entries[2].1).trim_end(), "echo h[1-3] -- x {a: b}");
        assert_eq!(scalar(&entries[3].1), "echo a[1-2], b");
    }
}
