//! What one module's text names: its items, its imports, the paths and methods that it uses.
//!
//! It reads tokens, not syntax: paths inside macro calls count as well. Code for tests (`#[cfg(test)]`) does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// A path as written: `crate::ip::send`.
pub(crate) type Path = Vec<String>;

/// A name that `use` brings into a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) path: Path,
    /// `pub use`: the module may only pass the name on.
    pub(crate) exported: bool,
    pub(crate) line: usize,
}

/// What a module's text names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Modules with files of their own, declared here.
    pub(crate) children: BTreeSet<String>,
    /// Those of them that only tests have.
    pub(crate) test_children: BTreeSet<String>,
    pub(crate) items: BTreeSet<String>,
    pub(crate) imports: BTreeMap<String, Import>,
    /// `use path::*`.
    pub(crate) globs: Vec<Import>,
    /// Paths of two and more parts outside `use`.
    pub(crate) paths: Vec<(Path, usize)>,
    /// Single names outside `use`.
    pub(crate) words: BTreeSet<String>,
}

/// Reads a module's text.
pub(crate) fn scan(text: &str) -> Result<Names> {
    let tokens = TokenStream::from_str(text).map_err(|e| anyhow!("not Rust: {e}"))?;
    let mut names = Names::default();
    names.items_of(&trees(tokens));
    Ok(names)
}

fn trees(tokens: TokenStream) -> Vec<TokenTree> {
    tokens.into_iter().collect()
}

impl Names {
    /// A module's own level: items are noted, bodies are read.
    fn items_of(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        while at < tokens.len() {
            at += match keyword(&tokens[at]).as_deref() {
                _ if is_test_attribute(&tokens[at..]) => self.skip_test_item(&tokens[at..]),
                Some("use") => self.import(&tokens[at..], exported(&tokens[..at])),
                Some("mod") => self.module(&tokens[at..]),
                Some("fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static") => {
                    self.items.extend(tokens.get(at + 1).and_then(keyword));
                    1
                }
                Some("macro_rules") => {
                    self.items.extend(tokens.get(at + 2).and_then(keyword));
                    2
                }
                _ => self.body(&tokens[at..]),
            };
        }
    }

    /// `mod name;` or `mod name { … }`, whose items count as this module's.
    fn module(&mut self, tokens: &[TokenTree]) -> usize {
        let Some(name) = tokens.get(1).and_then(keyword) else { return 1 };
        match tokens.get(2) {
            Some(TokenTree::Group(inline)) => self.items_of(&trees(inline.stream())),
            _ => {
                self.children.insert(name);
            }
        }
        3
    }

    fn skip_test_item(&mut self, tokens: &[TokenTree]) -> usize {
        let is_end = |t: &TokenTree| match t {
            TokenTree::Punct(p) => p.as_char() == ';',
            TokenTree::Group(g) => g.delimiter() == Delimiter::Brace,
            _ => false,
        };
        let end = tokens.iter().position(is_end).unwrap_or(tokens.len() - 1);
        let module = tokens[..end].windows(2).find(|w| keyword(&w[0]).as_deref() == Some("mod"));
        self.test_children.extend(module.and_then(|w| keyword(&w[1])));
        end + 1
    }

    /// A `use` statement at the front.
    fn import(&mut self, tokens: &[TokenTree], exported: bool) -> usize {
        let end = tokens.iter().position(|t| is_punct(t, ';')).unwrap_or(tokens.len());
        self.tree(&tokens[1..end], Vec::new(), exported);
        end + 1
    }

    /// `a::b`, `a::{…}`, `a::*`, `a as b`, behind `prefix`.
    fn tree(&mut self, tokens: &[TokenTree], mut prefix: Path, exported: bool) {
        let mut alias = None;
        let line = tokens.first().map_or(0, |t| t.span().start().line);
        let mut rest = tokens.iter();
        while let Some(token) = rest.next() {
            match token {
                TokenTree::Ident(word) if word == "as" => alias = rest.next().and_then(keyword),
                TokenTree::Ident(word) => prefix.push(name(word)),
                TokenTree::Punct(p) if p.as_char() == '*' => {
                    self.globs.push(Import { path: prefix, exported, line });
                    return;
                }
                TokenTree::Group(group) => {
                    for part in trees(group.stream()).split(|t| is_punct(t, ',')).filter(|p| !p.is_empty()) {
                        self.tree(part, prefix.clone(), exported);
                    }
                    return;
                }
                _ => {}
            }
        }
        if prefix.len() > 1 && prefix.last().is_some_and(|last| last == "self") {
            prefix.pop();
        }
        let Some(last) = prefix.last() else { return };
        let name = alias.unwrap_or_else(|| last.clone());
        self.imports.insert(name, Import { path: prefix, exported, line });
    }

    /// Code: all tokens of a body.
    fn code(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        while at < tokens.len() {
            at += match keyword(&tokens[at]).as_deref() {
                _ if is_test_attribute(&tokens[at..]) => self.skip_test_item(&tokens[at..]),
                Some("use") => self.import(&tokens[at..], false),
                _ => self.body(&tokens[at..]),
            };
        }
    }

    /// One step through code: a group, a path, a call, or one token; tells how many tokens that was.
    fn body(&mut self, tokens: &[TokenTree]) -> usize {
        match &tokens[0] {
            TokenTree::Group(group) => {
                self.code(&trees(Group::stream(group)));
                1
            }
            // A field or method: no path, whatever it is called.
            TokenTree::Punct(dot) if dot.as_char() == '.' => {
                1 + usize::from(matches!(tokens.get(1), Some(TokenTree::Ident(_))))
            }
            // `::name` behind a type or as another crate's path.
            TokenTree::Punct(p) if p.as_char() == ':' && is_path_separator(tokens) => {
                2 + usize::from(matches!(tokens.get(2), Some(TokenTree::Ident(_))))
            }
            TokenTree::Ident(word) => self.path(word, tokens),
            _ => 1,
        }
    }

    fn path(&mut self, first: &Ident, tokens: &[TokenTree]) -> usize {
        let mut path = vec![name(first)];
        let mut at = 1;
        while is_path_separator(&tokens[at.min(tokens.len())..])
            && let Some(TokenTree::Ident(word)) = tokens.get(at + 2)
        {
            path.push(name(word));
            at += 3;
        }
        if path.len() == 1 {
            self.words.insert(path.remove(0));
        } else {
            self.words.insert(path[0].clone());
            self.paths.push((path, first.span().start().line));
        }
        at
    }
}

fn name(word: &Ident) -> String {
    word.to_string().trim_start_matches("r#").to_owned()
}

fn keyword(token: &TokenTree) -> Option<String> {
    match token {
        TokenTree::Ident(word) => Some(name(word)),
        _ => None,
    }
}

fn is_punct(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(p) if p.as_char() == char)
}

fn is_path_separator(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [a, b, ..] if is_punct(a, ':') && is_punct(b, ':'))
}

/// Whether what stands before a `use` makes it public: `pub`, `pub(crate)`.
fn exported(before: &[TokenTree]) -> bool {
    let before = match before {
        [rest @ .., TokenTree::Group(g)] if g.delimiter() == Delimiter::Parenthesis => rest,
        all => all,
    };
    before.last().and_then(keyword).as_deref() == Some("pub")
}

/// `#[cfg(test)]`, or any other `cfg` that asks for tests.
fn is_test_attribute(tokens: &[TokenTree]) -> bool {
    let [hash, TokenTree::Group(attribute), ..] = tokens else { return false };
    let mut inner = attribute.stream().into_iter();
    let is_cfg = inner.next().is_some_and(|t| keyword(&t).as_deref() == Some("cfg"));
    let mut asks = inner.flat_map(|t| match t {
        TokenTree::Group(g) => trees(g.stream()),
        other => vec![other],
    });
    is_punct(hash, '#') && is_cfg && asks.next().is_some_and(|t| keyword(&t).as_deref() == Some("test"))
}
