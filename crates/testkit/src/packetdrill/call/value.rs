//! Values of arguments.

use std::net::{IpAddr, SocketAddr};

use netspace_uapi::sockaddr;

use super::super::runner::{Outcome, Runner, Trouble, wrong};
use super::super::script::Expr;
use super::super::symbols;

/// A number.
pub(super) fn int(expr: &Expr) -> Outcome<i64> {
    Ok(match expr {
        Expr::Int(value) => *value,
        Expr::Word(name) => match symbols::value(name) {
            Some(value) => value,
            None => return wrong(format!("{name}: no such symbol")),
        },
        Expr::Or(left, right) => int(left)? | int(right)?,
        Expr::Call(name, args) if name == "htons" || name == "htonl" => match args.as_slice() {
            [value] => int(value)?,
            _ => return wrong(format!("{name}() takes one number")),
        },
        other => return wrong(format!("expected a number, found {}", text(other))),
    })
}

/// The number of a symbol that is known to exist.
pub(super) fn number(name: &str) -> i32 {
    symbols::value(name).unwrap_or_default() as i32
}

/// A number, or none for `...`.
pub(super) fn maybe_int(expr: &Expr) -> Outcome<Option<i64>> {
    if *expr == Expr::Any { Ok(None) } else { int(expr).map(Some) }
}

/// The number in `[n]`.
pub(super) fn boxed(expr: &Expr) -> Outcome<i64> {
    match expr {
        Expr::Array(items) if items.len() == 1 => int(&items[0]),
        other => wrong(format!("expected [number], found {}", text(other))),
    }
}

/// A field of a struct.
pub(super) fn field<'a>(expr: &'a Expr, name: &str) -> Option<&'a Expr> {
    let Expr::Struct(fields) = expr else { return None };
    fields.iter().find(|(n, _)| n.as_deref() == Some(name)).map(|(_, value)| value)
}

/// A field that must be there.
pub(super) fn needed<'a>(expr: &'a Expr, name: &str) -> Outcome<&'a Expr> {
    field(expr, name).ok_or_else(|| Trouble::Wrong(format!("{name}= is missing in {}", text(expr))))
}

/// An address: `...` is the one given, else `{sa_family = AF_INET, sin_port = htons(8080), sin_addr = inet_addr("…")}`.
/// Bytes as programs give them.
pub(super) fn address(runner: &Runner, expr: &Expr, default: SocketAddr) -> Outcome<Vec<u8>> {
    use netspace_stack::sock::Family;
    if *expr == Expr::Any {
        let v6_socket = runner.setup.version != super::super::setup::Version::V4;
        return Ok(sockaddr::emit(default, if v6_socket { Family::Inet6 } else { Family::Inet }));
    }
    if matches!(expr, Expr::Word(name) if name == "AF_UNSPEC") {
        return Ok(vec![0; 16]);
    }
    let family = int(needed(expr, "sa_family").or_else(|_| needed(expr, "sin6_family"))?)?;
    if family == i64::from(libc::AF_UNSPEC) {
        return Ok(vec![0; 16]);
    }
    let port = ["sin_port", "sin6_port"].into_iter().find_map(|name| field(expr, name));
    let port = port.map_or(Ok(0), int)? as u16;
    let addr = ["sin_addr", "sin6_addr"].into_iter().find_map(|name| field(expr, name));
    let ip: IpAddr = match addr {
        Some(Expr::Call(_, args)) => match args.as_slice() {
            [.., Expr::Str(text)] => {
                let text = String::from_utf8_lossy(text);
                text.parse().map_err(|_| Trouble::Wrong(format!("{text}: not an address")))?
            }
            _ => return wrong("an address in quotes is missing"),
        },
        Some(Expr::Word(word)) if word == "INADDR_ANY" => IpAddr::from([0, 0, 0, 0]),
        _ => return wrong("sin_addr=inet_addr(\"…\") is missing"),
    };
    let v6 = family == i64::from(libc::AF_INET6);
    Ok(sockaddr::emit(SocketAddr::new(ip, port), if v6 { Family::Inet6 } else { Family::Inet }))
}

/// A pointer to nowhere.
pub(super) fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Word(name) if name == "NULL") || *expr == Expr::Int(0)
}

/// Bytes to send: what the script gives, filled up with zeros to `len`.
pub(super) fn bytes(expr: &Expr, len: usize) -> Vec<u8> {
    let mut out = match expr {
        Expr::Str(bytes) => bytes.clone(),
        _ => Vec::new(),
    };
    out.resize(len, 0);
    out
}

/// A value as scripts write it.
pub(super) fn text(expr: &Expr) -> String {
    let list = |items: &[Expr]| items.iter().map(text).collect::<Vec<_>>().join(", ");
    match expr {
        Expr::Any => "...".into(),
        Expr::Int(value) => value.to_string(),
        Expr::Word(name) => name.clone(),
        Expr::Str(bytes) => format!("\"{}\"", String::from_utf8_lossy(bytes).escape_default()),
        Expr::Or(left, right) => format!("{}|{}", text(left), text(right)),
        Expr::Array(items) => format!("[{}]", list(items)),
        Expr::Call(name, args) => format!("{name}({})", list(args)),
        Expr::Struct(fields) => {
            let field = |(name, value): &(Option<String>, Expr)| match name {
                Some(name) => format!("{name}={}", text(value)),
                None => text(value),
            };
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
    }
}
