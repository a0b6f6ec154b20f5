//! Answers: files, known bytes, the echo; status line, headers, log line.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::message::Request;
use crate::output::message;
use crate::tool::content;

/// What an answer's body is made of.
enum Content {
    Text(Vec<u8>),
    File(File, u64),
    /// So many bytes of known content.
    Known(u64),
}

struct Answer {
    status: u16,
    media_type: &'static str,
    content: Content,
    /// A further header line, without its end.
    extra: Option<String>,
}

impl Answer {
    fn text(status: u16, text: impl Into<Vec<u8>>) -> Self {
        let content = Content::Text(text.into());
        Self { status, media_type: "text/plain; charset=utf-8", content, extra: None }
    }
}

/// Answers a request and writes a log line.
pub(super) fn answer(
    root: Option<&Path>,
    writer: &mut TcpStream,
    peer: SocketAddr,
    request: &Request,
) -> io::Result<()> {
    let answer = match request.method.as_str() {
        "GET" | "HEAD" => get(root, request),
        "POST" => echo(peer, request),
        "OPTIONS" => {
            Answer { extra: Some("Allow: GET, HEAD, POST, OPTIONS".to_owned()), ..Answer::text(200, "") }
        }
        other => Answer {
            extra: Some("Allow: GET, HEAD, POST, OPTIONS".to_owned()),
            ..Answer::text(405, format!("{other} is not answered here\n"))
        },
    };
    let line = format!("{} {} {}", request.method, request.target, request.version);
    send(writer, peer, &line, answer, request.method == "HEAD", request.close)
}

/// Refuses what could not be read as a request; the connection ends.
pub(super) fn refuse(writer: &mut TcpStream, peer: SocketAddr, status: u16, why: &str) -> io::Result<()> {
    send(writer, peer, "malformed request", Answer::text(status, format!("{why}\n")), false, true)
}

fn get(root: Option<&Path>, request: &Request) -> Answer {
    if let Some(count) = request.path.strip_prefix("/bytes/") {
        return match crate::quantity::parse_bytes(count) {
            Ok(n) => Answer {
                media_type: "application/octet-stream",
                content: Content::Known(n),
                ..Answer::text(200, "")
            },
            Err(why) => Answer::text(400, format!("{why}\n")),
        };
    }
    match root {
        None if request.path == "/" => Answer::text(200, format!("Hello from {}\n", host_name())),
        None => Answer::text(404, format!("nothing at {}\n", request.path)),
        Some(root) => file(root, &request.path),
    }
}

/// The host's name as its `/etc/hostname` tells.
fn host_name() -> String {
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    if name.trim().is_empty() { "netspace".to_owned() } else { name.trim().to_owned() }
}

/// A file below `root`. Neither `..` nor a symbolic link leads out of it.
fn file(root: &Path, path: &str) -> Answer {
    let not_found = || Answer::text(404, format!("nothing at {path}\n"));
    let relative = Path::new(path.trim_start_matches('/'));
    if relative.components().any(|part| !matches!(part, Component::Normal(_)))
        && !relative.as_os_str().is_empty()
    {
        return not_found();
    }
    let Ok(found) = root.join(relative).canonicalize() else { return not_found() };
    if !found.starts_with(root) {
        return not_found();
    }
    if found.is_dir() {
        if !path.ends_with('/') {
            return Answer { extra: Some(format!("Location: {}/", encode(path))), ..Answer::text(301, "") };
        }
        let index = found.join("index.html");
        return if index.is_file() { open(&index) } else { listing(&found, path) };
    }
    open(&found)
}

fn open(path: &PathBuf) -> Answer {
    match File::open(path).and_then(|file| Ok((file.metadata()?, file))) {
        Ok((metadata, file)) if metadata.is_file() => Answer {
            status: 200,
            media_type: media_type(path),
            content: Content::File(file, metadata.len()),
            extra: None,
        },
        Ok(_) => Answer::text(403, "not a plain file\n"),
        Err(error) => Answer::text(403, format!("{error}\n")),
    }
}

fn listing(dir: &Path, path: &str) -> Answer {
    let mut names: Vec<String> = match std::fs::read_dir(dir) {
        Ok(entries) => entries
            .flatten()
            .map(|entry| {
                let slash = if entry.path().is_dir() { "/" } else { "" };
                format!("{}{slash}", entry.file_name().to_string_lossy())
            })
            .collect(),
        Err(error) => return Answer::text(403, format!("{error}\n")),
    };
    names.sort_unstable();
    let mut page = format!("<!DOCTYPE html>\n<title>{0}</title>\n<h1>{0}</h1>\n<ul>\n", escape(path));
    for name in names {
        let _ = writeln!(page, "<li><a href=\"{}\">{}</a></li>", encode(&name), escape(&name));
    }
    page.push_str("</ul>\n");
    Answer { media_type: "text/html; charset=utf-8", ..Answer::text(200, page) }
}

/// What came, as JSON: a JSON body as it is, another one as text, a long one as its length and hash only.
fn echo(peer: SocketAddr, request: &Request) -> Answer {
    let mut value = json!({
        "method": request.method,
        "path": request.path,
        "from": peer.to_string(),
        "host": host_name(),
        "length": request.body.len,
        "sha256": request.body.sha256,
    });
    if let Some(kept) = &request.body.kept {
        value["body"] = serde_json::from_slice(kept).unwrap_or_else(|_| String::from_utf8_lossy(kept).into());
    }
    let mut text = value.to_string();
    text.push('\n');
    Answer { media_type: "application/json", ..Answer::text(200, text) }
}

fn send(
    writer: &mut TcpStream,
    peer: SocketAddr,
    line: &str,
    answer: Answer,
    head_only: bool,
    close: bool,
) -> io::Result<()> {
    let Answer { status, media_type, content, extra } = answer;
    let len = match &content {
        Content::Text(text) => text.len() as u64,
        Content::File(_, len) | Content::Known(len) => *len,
    };
    let mut head = format!(
        "HTTP/1.1 {status} {}\r\nDate: {}\r\nServer: netspace/{}\r\nContent-Type: {media_type}\r\n\
         Content-Length: {len}\r\n",
        reason(status),
        date(SystemTime::now()),
        env!("CARGO_PKG_VERSION"),
    );
    if let Some(extra) = extra {
        head.push_str(&extra);
        head.push_str("\r\n");
    }
    head.push_str(if close { "Connection: close\r\n\r\n" } else { "\r\n" });
    message(format_args!("http: {peer} \"{line}\" {status} {len}"));
    let mut bytes = head.into_bytes();
    match content {
        _ if head_only => writer.write_all(&bytes),
        // One system call for all of a small answer.
        Content::Text(text) => {
            bytes.extend_from_slice(&text);
            writer.write_all(&bytes)
        }
        Content::File(file, len) => {
            writer.write_all(&bytes)?;
            let sent = io::copy(&mut io::Read::take(file, len), writer)?;
            if sent == len { Ok(()) } else { Err(io::Error::other("the file became shorter meanwhile")) }
        }
        Content::Known(len) => {
            writer.write_all(&bytes)?;
            send_known(writer, len)
        }
    }
}

fn send_known(writer: &mut TcpStream, len: u64) -> io::Result<()> {
    let mut block = vec![0; 128 * 1024];
    let mut sent = 0;
    while sent < len {
        let n = (len - sent).min(block.len() as u64) as usize;
        content::fill(sent, &mut block[..n]);
        writer.write_all(&block[..n])?;
        sent += n as u64;
    }
    Ok(())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()).unwrap_or("") {
        "html" | "htm" => "text/html; charset=utf-8",
        "txt" | "md" | "log" | "yaml" | "yml" | "toml" | "rs" => "text/plain; charset=utf-8",
        "css" => "text/css",
        "js" => "text/javascript",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Percent-encodes what may not stand in a path; `/` stays.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// RFC 9110, 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86400, seconds % 86400);
    // Days are counted from 1 March 0000 in eras of 400 years, so that the leap day comes last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize],
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_as_http_writes_them() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(at(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
    }

    #[test]
    fn nothing_outside_the_root_is_served() {
        let root = std::env::temp_dir().join(format!("netspace-http-{}", std::process::id()));
        std::fs::create_dir_all(root.join("in")).expect("a directory");
        std::os::unix::fs::symlink("/etc", root.join("in/out")).expect("a link");
        let root = root.canonicalize().expect("it exists");
        let inside = root.join("in");
        assert_eq!(file(&inside, "/").status, 200);
        assert_eq!(file(&inside, "/../").status, 404);
        assert_eq!(file(&inside, "/out/passwd").status, 404);
        assert_eq!(file(&inside, "//etc/passwd").status, 404);
        std::fs::remove_dir_all(root).expect("removed");
    }
}
