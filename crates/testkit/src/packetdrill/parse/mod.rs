//! From text to a script.
//!
//! ```text
//! script   options [command] event… [command]
//! event    time  packet | call | command | code
//! time     1.5 | +0.1 | 1~2 | +0~+0.2 | *
//! ```

mod packet;
mod value;

use std::collections::BTreeMap;

use super::lex::{self, Place, SyntaxError, Tok, Token};
use super::script::{Action, Event, Script, When};

/// Why a text is no script for this runner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ParseError {
    /// It is wrong.
    Syntax(SyntaxError),
    /// It asks for what is not here: the reason.
    Refused(Place, String),
}

impl From<SyntaxError> for ParseError {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

type Result<T> = std::result::Result<T, ParseError>;

/// Names that stand for other words (`--define=NAME=words`).
pub(super) type Defines = BTreeMap<String, String>;

/// How often a name's words may hold names again.
const DEFINE_DEPTH_MAX: usize = 8;

/// Parses a script. `defines` are those from outside; the script's own options win.
pub(super) fn script(text: &str, mut defines: Defines) -> Result<Script> {
    let tokens = lex::tokens(text)?;
    for token in &tokens {
        if let Tok::Option(name, Some(value)) = &token.tok
            && matches!(name.as_str(), "define" | "D")
        {
            let (name, value) = definition(value).ok_or_else(|| SyntaxError {
                place: token.place,
                message: "a definition looks like --define=NAME=VALUE".into(),
            })?;
            defines.insert(name, value);
        }
    }
    let tokens = substitute(tokens, &defines, DEFINE_DEPTH_MAX)?;
    Parser { text, tokens, at: 0, defines }.script()
}

/// `NAME=VALUE`; the value may stand in quotes.
pub(super) fn definition(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    Some((name.trim_matches('"').to_owned(), value.to_owned()))
}

fn substitute(tokens: Vec<Token>, defines: &Defines, depth: usize) -> Result<Vec<Token>> {
    if defines.is_empty() || depth == 0 {
        return Ok(tokens);
    }
    let mut out = Vec::with_capacity(tokens.len());
    for token in tokens {
        let value = match &token.tok {
            Tok::Word(word) => defines.get(word),
            _ => None,
        };
        let Some(value) = value else {
            out.push(token);
            continue;
        };
        let moved = |inner: Token| Token { place: token.place, start: token.start, end: token.end, ..inner };
        let inner = lex::tokens(value)?.into_iter().map(moved).collect();
        out.extend(substitute(inner, defines, depth - 1)?);
    }
    Ok(out)
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    defines: Defines,
}

// ---- Words ---------------------------------------------------------------------------------------------------------
impl Parser<'_> {
    fn peek(&self) -> Option<&Tok> {
        self.peek_at(0)
    }

    fn peek_at(&self, n: usize) -> Option<&Tok> {
        self.tokens.get(self.at + n).map(|t| &t.tok)
    }

    fn place(&self) -> Place {
        match self.tokens.get(self.at).or(self.tokens.last()) {
            Some(token) => token.place,
            None => Place { line: 1, column: 1 },
        }
    }

    fn error<T>(&self, expected: &str) -> Result<T> {
        let message = match self.peek() {
            Some(found) => format!("expected {expected}, found {found}"),
            None => format!("expected {expected}, found the end of the script"),
        };
        Err(SyntaxError { place: self.place(), message }.into())
    }

    fn is(&self, sym: char) -> bool {
        self.peek() == Some(&Tok::Sym(sym))
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Tok::Word(w)) if w == word)
    }

    /// Takes `sym` if it is next.
    fn take(&mut self, sym: char) -> bool {
        let found = self.is(sym);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sym: char) -> Result<()> {
        if self.take(sym) { Ok(()) } else { self.error(&format!("{sym:?}")) }
    }

    fn word(&mut self, what: &str) -> Result<String> {
        let Some(Tok::Word(word)) = self.peek() else { return self.error(what) };
        let word = word.clone();
        self.at += 1;
        Ok(word)
    }

    /// A number, within the range of the type asked for.
    fn number<T: TryFrom<i64>>(&mut self, what: &str) -> Result<T> {
        let negative = self.is('-') && matches!(self.peek_at(1), Some(Tok::Int(_)));
        let found = self.peek_at(usize::from(negative));
        let value = match found {
            Some(Tok::Int(n)) if negative => -*n,
            Some(Tok::Int(n)) => *n,
            Some(Tok::Hex(n)) => i64::try_from(*n).unwrap_or(i64::MAX),
            _ => return self.error(what),
        };
        let Ok(number) = T::try_from(value) else { return self.error(&format!("{what} within its range")) };
        self.at += 1 + usize::from(negative);
        Ok(number)
    }
}

// ---- Script and events ---------------------------------------------------------------------------------------------
impl Parser<'_> {
    fn script(mut self) -> Result<Script> {
        let mut script = Script::default();
        while let Some(Tok::Option(name, value)) = self.peek() {
            script.options.push((self.place(), name.clone(), value.clone()));
            self.at += 1;
        }
        script.init = self.command();
        while self.peek().is_some() {
            if let Some(command) = self.command() {
                if self.peek().is_some() {
                    self.at -= 1;
                    return self.error("a time before the command (only the first and the last have none)");
                }
                script.cleanup = Some(command);
                break;
            }
            let event = self.event()?;
            script.events.push(event);
        }
        Ok(script)
    }

    fn command(&mut self) -> Option<(Place, String)> {
        let place = self.place();
        let Some(Tok::Shell(command)) = self.peek() else { return None };
        let command = command.clone();
        self.at += 1;
        Some((place, command))
    }

    fn event(&mut self) -> Result<Event> {
        let place = self.place();
        let when = self.when()?;
        let action = match self.peek() {
            Some(Tok::Sym('<' | '>')) => Action::Packet(self.packet()?),
            Some(Tok::Shell(command)) => {
                let command = command.clone();
                self.at += 1;
                Action::Shell(command)
            }
            Some(Tok::Code(code)) => {
                let code = code.clone();
                self.at += 1;
                Action::Code(code)
            }
            Some(Tok::Word(_) | Tok::Ellipsis) => Action::Call(self.call()?),
            _ => return self.error("a packet, a system call, a command or code"),
        };
        Ok(Event { place, when, action })
    }

    fn when(&mut self) -> Result<When> {
        if self.take('*') {
            return Ok(When::Any);
        }
        let relative = self.take('+');
        let start = self.time()?;
        if !self.take('~') {
            return Ok(if relative { When::Relative(start) } else { When::Absolute(start) });
        }
        if self.take('+') != relative {
            return self.error("both times with + or both without");
        }
        let end = self.time()?;
        if end < start {
            return self.error("a range that does not end before it starts");
        }
        Ok(if relative { When::RelativeRange(start, end) } else { When::Range(start, end) })
    }

    /// Seconds, as nanoseconds.
    fn time(&mut self) -> Result<i64> {
        let nanos = match self.peek() {
            Some(Tok::Float(nanos)) => *nanos,
            Some(Tok::Int(seconds)) => seconds.saturating_mul(1_000_000_000),
            _ => return self.error("a time in seconds"),
        };
        self.at += 1;
        Ok(nanos)
    }
}

#[cfg(test)]
mod tests;
