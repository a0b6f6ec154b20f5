//! `netspace tool fetch`: a small HTTP/1.1 client.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::args::FetchArgs;
use crate::output::{bad_input, message};

/// All of an answer's head may be this long.
const MAX_HEAD: u64 = 64 * 1024;

struct Url {
    host: String,
    port: u16,
    /// As it goes into `Host:`.
    authority: String,
    target: String,
}

pub(super) fn run(args: &FetchArgs) -> anyhow::Result<u8> {
    let url = parse_url(&args.url).map_err(bad_input)?;
    let body = args.data.as_deref().map(read_body).transpose()?;
    let timeout = Duration::from_secs(args.timeout.max(1));
    let mut stream = super::connect(&url.host, url.port, args.version, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(&request(args, &url, body.as_deref())).context("cannot send the request")?;
    let mut reader = BufReader::new(stream);
    let head = read_head(&mut reader).context("cannot read the answer")?;
    if args.verbose {
        message(format_args!("{}", head.lines.join("\n")));
    }
    if !args.head {
        copy_body(&mut reader, &head).context("cannot read the answer")?;
    }
    if head.status >= 400 {
        message(format_args!("netspace: {} answered {}", url.host, head.lines[0]));
        return Ok(1);
    }
    Ok(0)
}

/// The request in one piece, so that it leaves with one system call.
fn request(args: &FetchArgs, url: &Url, body: Option<&[u8]>) -> Vec<u8> {
    let method = match body {
        Some(_) => "POST",
        None if args.head => "HEAD",
        None => "GET",
    };
    let mut text = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: netspace/{}\r\nAccept: */*\r\nConnection: close\r\n",
        url.target,
        url.authority,
        env!("CARGO_PKG_VERSION"),
    );
    if let Some(body) = body {
        text.push_str(&format!("Content-Type: {}\r\nContent-Length: {}\r\n", args.r#type, body.len()));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

fn read_body(data: &str) -> anyhow::Result<Vec<u8>> {
    match data.strip_prefix('@') {
        None => Ok(data.as_bytes().to_vec()),
        Some("-") => {
            let mut body = Vec::new();
            io::stdin().read_to_end(&mut body).context("standard input")?;
            Ok(body)
        }
        Some(path) => std::fs::read(path).map_err(|e| bad_input(format!("{path}: {e}"))),
    }
}

fn parse_url(text: &str) -> Result<Url, String> {
    let rest = match text.split_once("://") {
        Some(("http", rest)) => rest,
        Some((scheme, _)) => return Err(format!("{scheme}:// is not spoken here, only http://")),
        None => text,
    };
    let slash = rest.find('/').unwrap_or(rest.len());
    let (authority, target) = rest.split_at(slash);
    let (host, port) = super::host_and_port(authority, 80)?;
    if target.contains([' ', '\r', '\n']) {
        return Err(format!("{target:?}: a path has no spaces or line ends; write %20"));
    }
    let target = if target.is_empty() { "/".to_owned() } else { target.to_owned() };
    Ok(Url { host, port, authority: authority.to_owned(), target })
}

struct Head {
    status: u16,
    lines: Vec<String>,
    chunked: bool,
    len: Option<u64>,
}

fn read_head(reader: &mut BufReader<TcpStream>) -> anyhow::Result<Head> {
    loop {
        let mut lines = Vec::new();
        let mut head = reader.by_ref().take(MAX_HEAD);
        loop {
            let mut line = String::new();
            if head.read_line(&mut line)? == 0 {
                bail!("the connection ended in the middle of the head");
            }
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                break;
            }
            lines.push(line.to_owned());
        }
        let first = lines.first().map_or("", String::as_str);
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let (true, Some(status)) = (first.starts_with("HTTP/1."), status) else {
            bail!("{first:?} is no status line");
        };
        // 1xx come before the answer proper.
        if status < 200 {
            continue;
        }
        let header = |name: &str| {
            let fields = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
            fields
                .filter(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim().to_owned())
                .next()
        };
        let chunked =
            header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        let len = header("content-length").and_then(|len| len.parse().ok());
        return Ok(Head { status, lines, chunked, len });
    }
}

fn copy_body(reader: &mut BufReader<TcpStream>, head: &Head) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if head.chunked {
        copy_chunks(reader, &mut out)?;
    } else if let Some(len) = head.len {
        let copied = io::copy(&mut reader.by_ref().take(len), &mut out)?;
        if copied < len {
            let text = format!("the connection ended after {copied} of {len} bytes");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
    } else {
        io::copy(reader, &mut out)?;
        return out.flush();
    }
    out.flush()?;
    // The server closes: take its FIN, so that closing our side is a close and not an abort.
    io::copy(reader, &mut io::sink())?;
    Ok(())
}

fn copy_chunks(reader: &mut BufReader<TcpStream>, out: &mut impl Write) -> io::Result<()> {
    loop {
        let mut line = String::new();
        reader.by_ref().take(MAX_HEAD).read_line(&mut line)?;
        let size = line.split(';').next().unwrap_or("").trim();
        let size = u64::from_str_radix(size, 16)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{line:?} is no chunk size")))?;
        if size == 0 {
            return Ok(());
        }
        io::copy(&mut reader.by_ref().take(size), out)?;
        line.clear();
        reader.by_ref().take(2).read_line(&mut line)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_urls_apart() {
        let url = parse_url("http://server:8080/a/b?c").expect("a URL");
        assert_eq!((url.host.as_str(), url.port, url.target.as_str()), ("server", 8080, "/a/b?c"));
        let url = parse_url("http://[fd00::1]").expect("a URL");
        assert_eq!(
            (url.host.as_str(), url.authority.as_str(), url.target.as_str()),
            ("fd00::1", "[fd00::1]", "/")
        );
        assert!(parse_url("https://server/").is_err());
        assert!(parse_url("http:///x").is_err());
    }
}
