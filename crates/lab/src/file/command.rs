//! Commands: what `setup`, `run` and checks start.

use super::diagnostic::{Diagnostic, Diagnostics};
use super::node::{self, Value};
use super::quantity;
use super::reader::{Fields, plain_pairs, scalar};
use super::types::{Command, Program, Ready};

/// Keys of a background program.
pub(super) const PROGRAM: &[&str] = &["cmd", "ready", "env"];
/// Keys of a program's `ready`.
pub(super) const READY: &[&str] = &["port", "output", "after"];
/// Reads a background program.
pub(super) fn program(node: &node::Node, out: &mut Diagnostics) -> Option<Program> {
    if !matches!(node.value, Value::Map(_)) {
        let command = command(node, "run", out)?;
        return Some(Program { command, ready: Ready::AtOnce, env: Vec::new() });
    }
    let mut fields = Fields::of(node, "a program", PROGRAM, out);
    let cmd = fields.take("cmd");
    let ready = fields.take("ready").map(|n| ready(n, out)).unwrap_or_default();
    let env = fields.take("env").map(|n| plain_pairs(n, "env", out)).unwrap_or_default();
    let Some(cmd) = cmd else {
        out.push(
            Diagnostic::error(&node.span, "the program has no `cmd`")
                .help("write `cmd: python3 -m http.server`"),
        );
        return None;
    };
    Some(Program { command: command(cmd, "cmd", out)?, ready, env })
}

fn ready(node: &node::Node, out: &mut Diagnostics) -> Ready {
    let mut fields = Fields::of(node, "`ready`", READY, out);
    if let Some((port, _)) = fields.number("port", 1..=65_535, out) {
        return Ready::Port(port as u16);
    }
    if let Some((text, _)) = fields.text("output", out) {
        return Ready::Output(text.to_owned());
    }
    if let Some((time, _)) = fields.parsed("after", out, quantity::duration) {
        return Ready::After(time);
    }
    Ready::AtOnce
}

/// Reads a command: a line, or a list of words.
pub(super) fn command(node: &node::Node, key: &str, out: &mut Diagnostics) -> Option<Command> {
    let (argv, text) = match &node.value {
        Value::Seq(words) => {
            let argv: Vec<String> =
                words.iter().filter_map(|w| scalar(w, key, out).map(ToOwned::to_owned)).collect();
            let text = argv.join(" ");
            (argv, text)
        }
        _ => {
            let text = scalar(node, key, out)?.trim().to_owned();
            (split_words(&text), text)
        }
    };
    if argv.first().is_none_or(String::is_empty) {
        out.push(Diagnostic::error(&node.span, format!("`{key}` has no command")));
        return None;
    }
    Some(Command { argv, text, span: node.span.clone() })
}

/// The words of a command line; what needs a shell goes to one.
fn split_words(line: &str) -> Vec<String> {
    plain_words(line).unwrap_or_else(|| vec!["sh".into(), "-c".into(), line.into()])
}

/// The words, if only quotes and backslashes need to be understood.
fn plain_words(line: &str) -> Option<Vec<String>> {
    const BUILTINS: &[&str] = &[
        "cd", "exec", "exit", "export", "set", "if", "for", "while", "until", "case", ".", ":", "eval",
        "trap", "wait", "read", "ulimit", "umask", "unset", "{", "!",
    ];
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('"'), '$' | '`') => return None,
            (Some('"'), '\\') | (None, '\\') => word.get_or_insert_default().push(chars.next()?),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            (None, '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '*' | '?' | '#' | '~' | '\n') => {
                return None;
            }
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    let first = words.first()?;
    (quote.is_none() && !first.contains('=') && !BUILTINS.contains(&first.as_str())).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shell_syntax_goes_to_the_shell() {
        assert_eq!(
            split_words("curl -H 'A: b c' \"x y\" http://s/"),
            ["curl", "-H", "A: b c", "x y", "http://s/"]
        );
        assert_eq!(split_words("echo a | nc b 1")[..2], ["sh", "-c"]);
        assert_eq!(split_words("X=1 env")[0], "sh");
        assert_eq!(split_words("printf ''"), ["printf", ""]);
    }
}
