//! What is wrong with a lab file: where, why, and what was probably meant.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The lab cannot start.
    Error,
    /// The lab starts, but something in it is probably not as meant.
    Warning,
}

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// The bytes of the file that it is about.
    pub span: Range<usize>,
    /// A few words under the marked bytes; may be empty.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Another place that has to do with it (the first of two equal names), and words for it.
    pub other: Option<Box<(Range<usize>, String)>>,
}

impl Diagnostic {
    /// An error about the bytes `span`.
    pub fn error(span: &Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span: span.clone(),
            label: String::new(),
            help: None,
            other: None,
        }
    }

    /// A warning about the bytes `span`.
    pub fn warning(span: &Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// Adds words under the marked bytes.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds what to do about it.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what to do about it, if that is known.
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = self.help.or(help);
        self
    }

    /// Adds another place that has to do with it.
    pub fn other(mut self, span: &Range<usize>, words: impl Into<String>) -> Self {
        self.other = Some(Box::new((span.clone(), words.into())));
        self
    }
}

/// All findings of one file, with its text to show them in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Diagnostics {
    /// The file's name, as the user gave it.
    pub name: String,
    /// The file's text.
    pub text: String,
    /// The findings, in the order of the file.
    pub list: Vec<Diagnostic>,
}

/// A finding with its place as line and column, for `--json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Located {
    /// Error or warning.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// A few words about the marked place.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Diagnostics {
    /// Of the file `name` with `text`; nothing found yet.
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned(), list: Vec::new() }
    }

    /// Whether a finding keeps the lab from starting.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// How many errors and warnings there are.
    pub fn counts(&self) -> (usize, usize) {
        let errors = self.list.iter().filter(|d| d.severity == Severity::Error).count();
        (errors, self.list.len() - errors)
    }

    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// Puts the findings into the order of the file; the same finding at the same place stays once.
    pub fn sort(&mut self) {
        self.list.sort_by_key(|d| (d.span.start, d.severity));
        self.list.dedup_by(|a, b| a.span == b.span && a.message == b.message);
    }

    /// Line and column (both from 1, the column in characters) of a byte offset.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset.min(self.text.len())).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }

    /// The findings with lines and columns.
    pub fn located(&self) -> Vec<Located> {
        let one = |d: &Diagnostic| {
            let (line, column) = self.position(d.span.start);
            Located {
                severity: d.severity,
                file: self.name.clone(),
                line,
                column,
                message: d.message.clone(),
                label: d.label.clone(),
                help: d.help.clone(),
            }
        };
        self.list.iter().map(one).collect()
    }

    /// The findings as text with the lines that they are about, coloured for a terminal if asked.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let parts: Vec<_> = self.list.iter().map(|d| self.render_one(d, &renderer)).collect();
        parts.join("\n\n")
    }

    fn render_one(&self, d: &Diagnostic, renderer: &Renderer) -> String {
        let level = match d.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut primary = AnnotationKind::Primary.span(self.clip(&d.span));
        if !d.label.is_empty() {
            primary = primary.label(&*d.label);
        }
        let mut snippet = Snippet::source(&*self.text).path(&*self.name).annotation(primary);
        if let Some((span, words)) = d.other.as_deref() {
            snippet = snippet.annotation(AnnotationKind::Context.span(self.clip(span)).label(&**words));
        }
        let mut group = level.primary_title(&*d.message).element(snippet);
        if let Some(help) = &d.help {
            group = group.element(Level::HELP.message(&**help));
        }
        renderer.render(&[group])
    }

    /// The part of `span` on its first line, so that a finding about a block marks its head.
    fn clip(&self, span: &Range<usize>) -> Range<usize> {
        let start = span.start.min(self.text.len());
        let end = span.end.clamp(start, self.text.len());
        let first_line = self.text.get(start..end).unwrap_or("");
        let length = first_line.find('\n').unwrap_or(first_line.len());
        start..start + length
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
