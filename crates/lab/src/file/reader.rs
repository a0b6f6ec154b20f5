//! Walking mappings: each key asked for is taken, and what is left over is an unknown key.

use std::ops::Range;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::node::{Key, Node, Value};
use super::quantity::BadQuantity;
use super::suggest;

/// A mapping that is being read.
pub(super) struct Fields<'n> {
    entries: Vec<Option<&'n (Key, Node)>>,
    /// What the mapping describes, for messages (`a host`).
    what: &'static str,
    known: &'static [&'static str],
}

impl<'n> Fields<'n> {
    /// Of `node`, which must be a mapping (or nothing: then no key is there). Unknown and doubled keys are told at once.
    pub(super) fn of(
        node: &'n Node,
        what: &'static str,
        known: &'static [&'static str],
        out: &mut Diagnostics,
    ) -> Self {
        let mut fields = Self { entries: Vec::new(), what, known };
        match &node.value {
            Value::Null => {}
            Value::Map(entries) => fields.take_entries(entries, out),
            other => {
                let message = format!("{what} is described by a mapping, and this is {}", other.kind());
                let help = known.first().map(|k| format!("write it as `{k}: …` lines, one for each setting"));
                out.push(Diagnostic::error(&node.span, message).maybe_help(help));
            }
        }
        fields
    }

    fn take_entries(&mut self, entries: &'n [(Key, Node)], out: &mut Diagnostics) {
        for (i, entry) in entries.iter().enumerate() {
            let key = &entry.0;
            if let Some((first, _)) = entries[..i].iter().find(|(k, _)| k.text == key.text) {
                let d = Diagnostic::error(&key.span, format!("`{}` is given twice", key.text));
                out.push(d.label("again here").other(&first.span, "first here"));
                continue;
            }
            // Keys that start with `x-` hold anchors for the rest of the file.
            let is_extension = self.what == "a lab" && key.text.starts_with("x-");
            if is_extension {
                continue;
            }
            if !self.known.contains(&key.text.as_str()) {
                let d = Diagnostic::error(&key.span, format!("{} has no `{}`", self.what, key.text));
                let help = suggest::did_you_mean(&key.text, self.known.iter().copied());
                out.push(d.label("unknown key").maybe_help(help));
                continue;
            }
            self.entries.push(Some(entry));
        }
    }

    /// Whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().flatten().any(|(k, _)| k.text == key)
    }

    /// Takes a key's value; none if it is not there or is nothing.
    pub(super) fn take(&mut self, key: &str) -> Option<&'n Node> {
        debug_assert!(self.known.contains(&key), "{key} is not a known key of {}", self.what);
        let slot = self.entries.iter_mut().find(|e| e.is_some_and(|(k, _)| k.text == key))?;
        slot.take().map(|(_, node)| node).filter(|n| !matches!(n.value, Value::Null))
    }

    /// Takes a key's value as one word or line of text.
    pub(super) fn text(&mut self, key: &str, out: &mut Diagnostics) -> Option<(&'n str, Range<usize>)> {
        let node = self.take(key)?;
        let text = scalar(node, key, out)?;
        Some((text, node.span.clone()))
    }

    /// Takes a key's value and makes something of its text; what `parse` refuses is told.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        out: &mut Diagnostics,
        parse: impl FnOnce(&str) -> Result<T, BadQuantity>,
    ) -> Option<(T, Range<usize>)> {
        let (text, span) = self.text(key, out)?;
        match parse(text) {
            Ok(value) => Some((value, span)),
            Err(bad) => {
                out.push(Diagnostic::error(&span, format!("{key}: {}", bad.message)).help(bad.help));
                None
            }
        }
    }

    /// Takes yes or no.
    pub(super) fn flag(&mut self, key: &str, out: &mut Diagnostics) -> Option<bool> {
        let parse = |text: &str| match text {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(BadQuantity {
                message: format!("`{text}` is neither true nor false"),
                help: "write true or false".into(),
            }),
        };
        self.parsed(key, out, parse).map(|(value, _)| value)
    }

    /// Takes a whole number.
    pub(super) fn number(
        &mut self,
        key: &str,
        range: std::ops::RangeInclusive<u64>,
        out: &mut Diagnostics,
    ) -> Option<(u64, Range<usize>)> {
        let parse = |text: &str| match text.replace('_', "").parse::<u64>() {
            Ok(n) if range.contains(&n) => Ok(n),
            Ok(n) => Err(BadQuantity {
                message: format!("{n} is out of range"),
                help: format!("write a number from {} to {}", range.start(), range.end()),
            }),
            Err(_) => Err(BadQuantity {
                message: format!("`{text}` is not a whole number"),
                help: "write digits only".into(),
            }),
        };
        self.parsed(key, out, parse)
    }
}

/// A node's text, if it is a single value.
pub(super) fn scalar<'n>(node: &'n Node, key: &str, out: &mut Diagnostics) -> Option<&'n str> {
    match &node.value {
        Value::Scalar(text) => Some(text),
        other => {
            let message = format!("`{key}` takes a single value, and this is {}", other.kind());
            out.push(Diagnostic::error(&node.span, message));
            None
        }
    }
}

/// The items of a list; a value that is no list counts as a list of one.
pub(super) fn items(node: &Node) -> Vec<&Node> {
    match &node.value {
        Value::Seq(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        _ => vec![node],
    }
}

/// The entries of a mapping from names to texts.
pub(super) fn pairs(node: &Node, key: &str, out: &mut Diagnostics) -> Vec<(String, String, Range<usize>)> {
    let Value::Map(entries) = &node.value else {
        out.push(Diagnostic::error(&node.span, format!("`{key}` takes a mapping of names to values")));
        return Vec::new();
    };
    let mut pairs = Vec::new();
    for (k, v) in entries {
        let text = match &v.value {
            Value::Null => Some(""),
            _ => scalar(v, &k.text, out),
        };
        if let Some(text) = text {
            pairs.push((k.text.clone(), text.to_owned(), k.span.start..v.span.end));
        }
    }
    pairs
}

/// Names and texts of a mapping, without places.
pub(super) fn plain_pairs(node: &Node, key: &str, out: &mut Diagnostics) -> Vec<(String, String)> {
    pairs(node, key, out).into_iter().map(|(k, v, _)| (k, v)).collect()
}
