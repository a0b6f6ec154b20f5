//! System calls and their values.

use super::super::lex::Tok;
use super::super::script::{Call, Expr};
use super::{Parser, Result};

impl Parser<'_> {
    /// `[...end] name(args) = result [ERRNO (text)] [(note)]`.
    pub(super) fn call(&mut self) -> Result<Call> {
        let mut end = None;
        if self.peek() == Some(&Tok::Ellipsis) {
            self.at += 1;
            self.take('+');
            end = Some(self.time()?);
        }
        let name = self.word("a system call")?;
        self.expect('(')?;
        let args = self.list(')')?;
        self.expect('=')?;
        let result = self.expr()?;
        let mut errno = None;
        if let Some(Tok::Word(word)) = self.peek() {
            errno = Some(word.clone());
            self.at += 1;
        }
        if self.is('(') {
            self.skip_note()?;
        }
        Ok(Call { end, name, args, result, errno })
    }

    /// `(Resource temporarily unavailable)`: for the reader.
    fn skip_note(&mut self) -> Result<()> {
        let mut depth = 0;
        loop {
            match self.peek() {
                Some(Tok::Sym('(')) => depth += 1,
                Some(Tok::Sym(')')) => depth -= 1,
                Some(_) => {}
                None => return self.error("')'"),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn list(&mut self, close: char) -> Result<Vec<Expr>> {
        let mut out = Vec::new();
        while !self.take(close) {
            if !out.is_empty() && !self.take(',') {
                return self.error(&format!("',' or {close:?}"));
            }
            out.push(self.expr()?);
        }
        Ok(out)
    }

    pub(super) fn expr(&mut self) -> Result<Expr> {
        let mut expr = self.primary()?;
        while self.take('|') {
            let right = self.primary()?;
            expr = Expr::Or(Box::new(expr), Box::new(right));
        }
        Ok(expr)
    }

    fn primary(&mut self) -> Result<Expr> {
        let expr = match self.peek() {
            Some(Tok::Ellipsis) => Expr::Any,
            Some(Tok::Str(bytes)) => {
                let bytes = bytes.clone();
                // `"text"...`: the text is the start of what goes on.
                self.at += usize::from(self.peek_at(1) == Some(&Tok::Ellipsis));
                Expr::Str(bytes)
            }
            Some(Tok::Word(word)) => {
                let word = word.clone();
                self.at += 1;
                return Ok(if self.take('(') { Expr::Call(word, self.list(')')?) } else { Expr::Word(word) });
            }
            Some(Tok::Sym('[')) => {
                self.at += 1;
                return Ok(Expr::Array(self.list(']')?));
            }
            Some(Tok::Sym('{')) => {
                self.at += 1;
                return self.fields();
            }
            _ => return Ok(Expr::Int(self.number("a value")?)),
        };
        self.at += 1;
        Ok(expr)
    }

    fn fields(&mut self) -> Result<Expr> {
        let mut fields = Vec::new();
        while !self.take('}') {
            if !fields.is_empty() && !self.take(',') {
                return self.error("',' or '}'");
            }
            let name = self.field_name();
            fields.push((name, self.expr()?));
        }
        Ok(Expr::Struct(fields))
    }

    /// `name =` or `name(…) =`, if that is next.
    fn field_name(&mut self) -> Option<String> {
        let Some(Tok::Word(name)) = self.peek() else { return None };
        let name = name.clone();
        let mut n = 1;
        if self.peek_at(n) == Some(&Tok::Sym('(')) {
            while self.peek_at(n).is_some_and(|t| *t != Tok::Sym(')')) {
                n += 1;
            }
            n += 1;
        }
        if self.peek_at(n) != Some(&Tok::Sym('=')) {
            return None;
        }
        self.at += n + 1;
        Some(name)
    }
}
