//! Reading requests: request line, headers, body with `Content-Length` or chunks.

use std::io::{self, BufRead, Read, Write};

use crate::tool::sha256::Sha256;

/// All of a request's head may be this long.
const MAX_HEAD: u64 = 64 * 1024;
/// A body up to this length is kept and echoed; of a longer one only length and hash.
pub(super) const MAX_KEPT: usize = 64 * 1024;

/// Why a request cannot be answered as asked.
pub(super) enum RequestError {
    /// The connection broke.
    Io(io::Error),
    /// The request is refused with this status, for this reason.
    Refused(u16, String),
}

impl From<io::Error> for RequestError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn refused<T>(status: u16, why: impl Into<String>) -> Result<T, RequestError> {
    Err(RequestError::Refused(status, why.into()))
}

/// A request, its body read.
pub(super) struct Request {
    pub(super) method: String,
    /// The path, decoded, without the query.
    pub(super) path: String,
    /// As it stood in the request line.
    pub(super) target: String,
    pub(super) version: String,
    headers: Vec<(String, String)>,
    /// Whether the connection ends after the answer.
    pub(super) close: bool,
    pub(super) body: Body,
}

/// What is known of a body.
pub(super) struct Body {
    /// Its bytes, if there are at most [`MAX_KEPT`].
    pub(super) kept: Option<Vec<u8>>,
    pub(super) len: u64,
    pub(super) sha256: String,
}

impl Request {
    /// Reads the next request; `None` if the client has closed. `writer` gets `100 Continue` where it is asked for.
    pub(super) fn read(
        reader: &mut impl BufRead,
        writer: &mut impl Write,
    ) -> Result<Option<Self>, RequestError> {
        let mut head = reader.by_ref().take(MAX_HEAD);
        let Some(first) = first_line(&mut head)? else { return Ok(None) };
        let mut request = Self::parse_first_line(&first)?;
        loop {
            let line = read_line(&mut head)?;
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else {
                return refused(400, format!("{line:?} is no header field"));
            };
            if name.is_empty() || name.ends_with([' ', '\t']) {
                return refused(400, format!("{name:?} is no header's name"));
            }
            request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if request.version == "HTTP/1.1" && request.header("host").is_none() {
            return refused(400, "an HTTP/1.1 request needs a Host header (RFC 9112, 3.2)");
        }
        let connection = request.header("connection").unwrap_or("").to_ascii_lowercase();
        request.close = match request.version.as_str() {
            "HTTP/1.0" => !connection.contains("keep-alive"),
            _ => connection.contains("close"),
        };
        if request.header("expect").is_some_and(|e| e.eq_ignore_ascii_case("100-continue")) {
            writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        request.body = request.read_body(reader)?;
        Ok(Some(request))
    }

    fn parse_first_line(line: &str) -> Result<Self, RequestError> {
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return refused(400, format!("{line:?} is no request line"));
        };
        if !version.starts_with("HTTP/") {
            return refused(400, format!("{line:?} is no request line"));
        }
        if !version.starts_with("HTTP/1.") {
            return refused(505, format!("{version} is not spoken here"));
        }
        // A client of a proxy sends the whole URL; the host in it is ours all the same.
        let path = match target.strip_prefix("http://") {
            Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
            None => target,
        };
        let path = path.split(['?', '#']).next().unwrap_or(path);
        let Some(path) = decode(path).filter(|path| path.starts_with('/') || path == "*") else {
            return refused(400, format!("{target:?} is no path"));
        };
        Ok(Self {
            method: method.to_owned(),
            path,
            target: target.to_owned(),
            version: version.to_owned(),
            headers: Vec::new(),
            close: false,
            body: Body { kept: Some(Vec::new()), len: 0, sha256: String::new() },
        })
    }

    /// The first header of this (lower-case) name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn read_body(&self, reader: &mut impl BufRead) -> Result<Body, RequestError> {
        let mut body = BodyReader { kept: Some(Vec::new()), len: 0, sha: Sha256::new() };
        match (self.header("transfer-encoding"), self.header("content-length")) {
            (Some(_), Some(_)) => return refused(400, "both Transfer-Encoding and Content-Length"),
            (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => body.chunks(reader)?,
            (Some(coding), None) => return refused(501, format!("transfer coding {coding:?}")),
            (None, Some(len)) => match len.parse::<u64>() {
                Ok(len) => body.take(reader, len)?,
                Err(_) => return refused(400, format!("{len:?} is no Content-Length")),
            },
            (None, None) => {}
        }
        Ok(Body { kept: body.kept, len: body.len, sha256: body.sha.hex() })
    }
}

struct BodyReader {
    kept: Option<Vec<u8>>,
    len: u64,
    sha: Sha256,
}

impl BodyReader {
    fn take(&mut self, reader: &mut impl BufRead, mut len: u64) -> Result<(), RequestError> {
        while len > 0 {
            let available = match reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            if available.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let n = usize::try_from(len).unwrap_or(usize::MAX).min(available.len());
            self.feed(&available[..n]);
            reader.consume(n);
            len -= n as u64;
        }
        Ok(())
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.sha.feed(bytes);
        match &mut self.kept {
            Some(kept) if kept.len() + bytes.len() <= MAX_KEPT => kept.extend_from_slice(bytes),
            kept => *kept = None,
        }
    }

    /// RFC 9112, 7.1.
    fn chunks(&mut self, reader: &mut impl BufRead) -> Result<(), RequestError> {
        loop {
            let line = read_line(&mut reader.by_ref().take(MAX_HEAD))?;
            let size = line.split(';').next().unwrap_or("").trim();
            let Ok(size) = u64::from_str_radix(size, 16) else {
                return refused(400, format!("{line:?} is no chunk size"));
            };
            if size == 0 {
                break;
            }
            self.take(reader, size)?;
            if !read_line(&mut reader.by_ref().take(MAX_HEAD))?.is_empty() {
                return refused(400, "a chunk is longer than it says");
            }
        }
        let mut trailer = reader.by_ref().take(MAX_HEAD);
        while !read_line(&mut trailer)?.is_empty() {}
        Ok(())
    }
}

/// The request line; empty lines before it are skipped (RFC 9112, 2.2); `None` at the connection's end.
fn first_line(head: &mut impl BufRead) -> Result<Option<String>, RequestError> {
    loop {
        if head.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let line = read_line(head)?;
        if !line.is_empty() {
            return Ok(Some(line));
        }
    }
}

/// One line without its end.
fn read_line(head: &mut impl BufRead) -> Result<String, RequestError> {
    let mut line = Vec::new();
    head.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        if line.len() as u64 >= MAX_HEAD - 1 {
            return refused(431, "the head is too long");
        }
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).or_else(|_| refused(400, "the head is not UTF-8"))
}

/// Decodes `%XX`; `None` if it is malformed or not UTF-8 or has a NUL.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = rest.get(..2).and_then(|d| std::str::from_utf8(d).ok())?;
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|&byte| byte != 0)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Request>, RequestError> {
        Request::read(&mut text.as_bytes(), &mut io::sink())
    }

    fn status(text: &str) -> u16 {
        match read(text) {
            Err(RequestError::Refused(status, _)) => status,
            Err(RequestError::Io(_)) => 0,
            Ok(_) => 200,
        }
    }

    #[test]
    fn reads_a_post() {
        let text = "POST /a%20b?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
        let Ok(Some(request)) = read(text) else { panic!("refused") };
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/a b"));
        assert_eq!(request.body.kept.as_deref(), Some(&b"hello"[..]));
        assert!(!request.close);
    }

    #[test]
    fn reads_chunks_and_trailers() {
        let text = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                    3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n";
        let Ok(Some(request)) = read(text) else { panic!("refused") };
        assert_eq!(request.body.kept.as_deref(), Some(&b"abcde"[..]));
    }

    #[test]
    fn refuses_what_is_malformed() {
        assert_eq!(status("GET /\r\n\r\n"), 400);
        assert_eq!(status("GET / HTTP/2.0\r\n\r\n"), 505);
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 400);
        assert_eq!(status("GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
        assert_eq!(status("GET / HTTP/1.1\r\nHost h\r\n\r\n"), 400);
        assert_eq!(status("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n"), 400);
        assert_eq!(status("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n"), 501);
        assert_eq!(status(&format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000))), 431);
        assert!(matches!(read(""), Ok(None)));
    }

    #[test]
    fn http_1_0_closes_by_default() {
        let Ok(Some(request)) = read("GET / HTTP/1.0\r\n\r\n") else { panic!("refused") };
        assert!(request.close);
    }
}
