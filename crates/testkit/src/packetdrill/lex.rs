//! Words of a script, each with its place.

use std::fmt;

/// Where something stands in a script: line and column, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// What is wrong with a script's text, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SyntaxError {
    /// Where.
    pub(super) place: Place,
    /// What.
    pub(super) message: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.place.line, self.place.column, self.message)
    }
}

/// One word.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Tok {
    /// A decimal number; what does not fit is the largest.
    Int(i64),
    /// `0x…`.
    Hex(u64),
    /// A number with a point, in nanoseconds if it is a time.
    Float(i64),
    /// A name.
    Word(String),
    /// A string in double quotes.
    Str(Vec<u8>),
    /// A shell command in backticks.
    Shell(String),
    /// Python between `%{` and `}%`.
    Code(String),
    /// `--name` or `--name=value`.
    Option(String, Option<String>),
    /// `...`.
    Ellipsis,
    /// Anything else: one character.
    Sym(char),
}

impl fmt::Display for Tok {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(n) => write!(f, "{n}"),
            Self::Hex(n) => write!(f, "{n:#x}"),
            Self::Float(ns) => write!(f, "{}", *ns as f64 / 1e9),
            Self::Word(word) => f.write_str(word),
            Self::Str(_) => f.write_str("a string"),
            Self::Shell(_) => f.write_str("a command in backticks"),
            Self::Code(_) => f.write_str("code"),
            Self::Option(name, _) => write!(f, "--{name}"),
            Self::Ellipsis => f.write_str("..."),
            Self::Sym(c) => write!(f, "{c}"),
        }
    }
}

/// A word with its place.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Token {
    pub(super) tok: Tok,
    pub(super) place: Place,
    /// Its bytes in the text.
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Reads all words of a script.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut lexer = Lexer { text, at: 0, place: Place { line: 1, column: 1 } };
    let mut out = Vec::new();
    loop {
        lexer.skip_blanks()?;
        let (start, place) = (lexer.at, lexer.place);
        let Some(tok) = lexer.token()? else { return Ok(out) };
        out.push(Token { tok, place, start, end: lexer.at });
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    place: Place,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn step(&mut self, bytes: usize) -> &'a str {
        let taken = &self.rest()[..bytes];
        for c in taken.chars() {
            self.place.column += 1;
            if c == '\n' {
                self.place = Place { line: self.place.line + 1, column: 1 };
            }
        }
        self.at += bytes;
        taken
    }

    fn while_true(&mut self, test: impl Fn(char) -> bool) -> &'a str {
        let len = self.rest().find(|c| !test(c)).unwrap_or(self.rest().len());
        self.step(len)
    }

    fn error<T>(&self, place: Place, message: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError { place, message: message.into() })
    }

    /// White space and comments: `// …`, `/* … */`, and `#` at the start of a line.
    fn skip_blanks(&mut self) -> Result<(), SyntaxError> {
        loop {
            self.while_true(char::is_whitespace);
            if self.rest().starts_with("//") || (self.place.column == 1 && self.rest().starts_with('#')) {
                self.while_true(|c| c != '\n');
            } else if self.rest().starts_with("/*") {
                let place = self.place;
                let Some(end) = self.rest().find("*/") else {
                    return self.error(place, "this comment has no end: */ is missing");
                };
                self.step(end + 2);
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self) -> Result<Option<Tok>, SyntaxError> {
        let Some(c) = self.peek() else { return Ok(None) };
        let rest = self.rest();
        Ok(Some(match c {
            '"' => Tok::Str(self.string()?),
            '`' => Tok::Shell(self.until("`", "`", "a closing backtick is missing")?.to_owned()),
            '%' if rest.starts_with("%{") => {
                Tok::Code(self.until("%{", "}%", "this code has no end: }% is missing")?.to_owned())
            }
            '-' if rest[1..].starts_with('-') && rest[2..].starts_with(|c: char| c.is_alphabetic()) => {
                self.option()
            }
            '.' if rest.starts_with("...") => {
                self.step(3);
                Tok::Ellipsis
            }
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number(),
            '0'..='9' => self.number(),
            'a'..='z' | 'A'..='Z' | '_' => {
                Tok::Word(self.while_true(|c| c.is_ascii_alphanumeric() || c == '_').to_owned())
            }
            _ => {
                self.step(c.len_utf8());
                Tok::Sym(c)
            }
        }))
    }

    fn until(&mut self, open: &str, close: &str, missing: &str) -> Result<&'a str, SyntaxError> {
        let place = self.place;
        self.step(open.len());
        let Some(len) = self.rest().find(close) else { return self.error(place, missing) };
        let inside = self.step(len);
        self.step(close.len());
        Ok(inside)
    }

    fn string(&mut self) -> Result<Vec<u8>, SyntaxError> {
        let place = self.place;
        self.step(1);
        let mut out = Vec::new();
        loop {
            match self.peek() {
                None | Some('\n') => return self.error(place, "this string has no end: \" is missing"),
                Some('"') => {
                    self.step(1);
                    return Ok(out);
                }
                Some('\\') => {
                    self.step(1);
                    let Some(c) = self.peek() else { continue };
                    self.step(c.len_utf8());
                    let byte = match c {
                        'n' => b'\n',
                        't' => b'\t',
                        'r' => b'\r',
                        'x' => {
                            let digits = self.rest().get(..2).and_then(|d| u8::from_str_radix(d, 16).ok());
                            let Some(byte) = digits else {
                                return self.error(self.place, "\\x needs two hexadecimal digits");
                            };
                            self.step(2);
                            byte
                        }
                        '0' => 0,
                        c => c as u8,
                    };
                    out.push(byte);
                }
                Some(c) => out.extend(self.step(c.len_utf8()).bytes()),
            }
        }
    }

    /// An option's value is what follows up to the next blank; in quotes, blanks belong to it.
    fn option(&mut self) -> Tok {
        self.step(2);
        let name = self.while_true(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-').to_owned();
        if self.peek() != Some('=') {
            return Tok::Option(name, None);
        }
        self.step(1);
        let mut quoted = false;
        let len = self.rest().find(|c: char| {
            quoted ^= c == '"';
            c == '\n' || (c.is_whitespace() && !quoted)
        });
        let value = self.step(len.unwrap_or(self.rest().len()));
        Tok::Option(name, Some(value.to_owned()))
    }

    fn number(&mut self) -> Tok {
        if self.rest().starts_with("0x") || self.rest().starts_with("0X") {
            self.step(2);
            let digits = self.while_true(|c| c.is_ascii_hexdigit());
            return Tok::Hex(u64::from_str_radix(digits, 16).unwrap_or(u64::MAX));
        }
        let whole = self.while_true(|c| c.is_ascii_digit());
        let rest = self.rest();
        if !(rest.starts_with('.') && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            return Tok::Int(whole.parse().unwrap_or(i64::MAX));
        }
        self.step(1);
        let digits = self.while_true(|c| c.is_ascii_digit());
        let nanos: i64 = format!("{digits:0<9}")[..9].parse().unwrap_or(0);
        let seconds: i64 =
            if whole.is_empty() { 0 } else { whole.parse().unwrap_or(i64::MAX / 2_000_000_000) };
        Tok::Float(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toks(text: &str) -> Vec<Tok> {
        tokens(text).unwrap().into_iter().map(|t| t.tok).collect()
    }

    #[test]
    fn blocking_times_are_two_numbers_and_dots() {
        let expected = vec![Tok::Sym('+'), Tok::Int(0), Tok::Ellipsis, Tok::Float(250_000_000)];
        assert_eq!(toks("+0...0.25"), expected);
        assert_eq!(toks(".1...0.3")[0], Tok::Float(100_000_000));
    }

    #[test]
    fn options_strings_commands_and_code() {
        assert_eq!(
            toks("--local_ip=fd00::1 // why\n--debug /* x */ `a b` %{ assert 1 }% \"a\\n\""),
            [
                Tok::Option("local_ip".into(), Some("fd00::1".into())),
                Tok::Option("debug".into(), None),
                Tok::Shell("a b".into()),
                Tok::Code(" assert 1 ".into()),
                Tok::Str(b"a\n".to_vec()),
            ]
        );
    }

    #[test]
    fn what_has_no_end_is_told_with_its_place() {
        let error = tokens("+0 close(3) = 0\n  `sysctl").unwrap_err();
        assert_eq!(error.to_string(), "2:3: a closing backtick is missing");
    }
}
