//! The tools by themselves, over the machine's loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use netspace_testkit::Scratch;

use super::{BINARY, netspace};

/// A server of ours and the port that it got.
struct Served {
    child: Child,
    stderr: BufReader<ChildStderr>,
    port: u16,
}

impl Served {
    /// Starts `netspace tool …`; port 0 lets the kernel choose.
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.arg("tool").args(args).args(["--port", "0", "--bind", "127.0.0.1"]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        stderr.read_line(&mut line).expect("it says where it listens");
        let address = line.split("listening on ").nth(1).expect(&line);
        let address = address.split_whitespace().next().expect(&line);
        let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect(&line);
        Self { child, stderr, port }
    }

    fn log_line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).expect("a line");
        line
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn http_serves_files_and_directories() {
    let scratch = Scratch::new("www");
    scratch.write("page.html", "<p>hello</p>");
    std::fs::create_dir(scratch.path().join("sub")).expect("a directory");
    scratch.write("sub/a b.txt", "text");
    let server = Served::start(&["http", scratch.path().to_str().expect("UTF-8")]);
    assert_eq!(netspace(&["tool", "fetch", &server.url("/page.html")]).ok(), "<p>hello</p>");
    assert_eq!(netspace(&["tool", "fetch", &server.url("/sub/a%20b.txt")]).ok(), "text");
    let listing = netspace(&["tool", "fetch", &server.url("/")]).ok();
    assert!(listing.contains("href=\"page.html\"") && listing.contains("sub/"), "{listing}");
    netspace(&["tool", "fetch", &server.url("/missing")]).exits(1).says("404");
    netspace(&["tool", "fetch", &server.url("/../../etc/passwd")]).exits(1).says("404");
}

#[test]
fn http_answers_a_post_with_what_came() {
    let mut server = Served::start(&["http"]);
    let body = r#"{"item":"tea","cups":2}"#;
    let text = netspace(&["tool", "fetch", "--data", body, &server.url("/orders?x=1")]).ok();
    let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(answer["body"]["cups"], 2);
    assert_eq!(answer["path"], "/orders");
    assert_eq!(answer["length"], body.len());
    assert!(server.log_line().contains("\"POST /orders?x=1 HTTP/1.1\" 200"));
}

#[test]
fn http_keeps_connections_and_speaks_the_protocol() {
    let server = Served::start(&["http"]);
    let mut stream = server.connect();
    stream
        .write_all(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET /bytes/5 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("both answers, then the end");
    let text = String::from_utf8_lossy(&all);
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
    assert!(text.contains("Content-Length: 5\r\n") && text.contains("Connection: close"), "{text}");
    let mut stream = server.connect();
    stream.write_all(b"BREW /pot HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 405") && text.contains("Allow: GET"), "{text}");
    let mut stream = server.connect();
    stream.write_all(b"nonsense\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
}

#[test]
fn source_and_sink_agree_on_every_byte() {
    let mut server = Served::start(&["sink", "--once", "--json", "--sha256"]);
    let to = format!("127.0.0.1:{}", server.port);
    let sent = netspace(&["tool", "source", &to, "--bytes", "3.5M", "--block", "10000", "--json"]).ok();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&sent).expect("JSON")["bytes"], 3_500_000);
    let mut report = String::new();
    server.child.stdout.take().expect("piped").read_to_string(&mut report).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["bytes"], 3_500_000);
    assert_eq!(report["content_known"], true);
    assert_eq!(report["sha256"].as_str().map(str::len), Some(64));
    assert!(server.child.wait().expect("it ends").success());
}

#[test]
fn a_sink_says_where_the_content_differs() {
    let mut server = Served::start(&["sink", "--once"]);
    let mut stream = server.connect();
    stream.write_all(b"something else").expect("sent");
    drop(stream);
    let mut report = String::new();
    server.child.stdout.take().expect("piped").read_to_string(&mut report).expect("a report");
    assert!(
        report.contains("14 bytes") && report.contains("not the source's content from byte 0"),
        "{report}"
    );
}

#[test]
fn echo_sends_back_over_tcp_and_udp() {
    let server = Served::start(&["echo"]);
    let mut stream = server.connect();
    stream.write_all(b"hello").expect("sent");
    stream.shutdown(std::net::Shutdown::Write).expect("half-closed");
    let mut back = String::new();
    stream.read_to_string(&mut back).expect("it comes back");
    assert_eq!(back, "hello");
    let server = Served::start(&["echo", "--udp"]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    socket.send_to(b"datagram", ("127.0.0.1", server.port)).expect("sent");
    let mut buffer = [0; 100];
    let n = socket.recv(&mut buffer).expect("it comes back");
    assert_eq!(&buffer[..n], b"datagram");
}

#[test]
fn errors_name_what_went_wrong() {
    netspace(&["tool", "fetch", "http://127.0.0.1:1/"]).exits(1).says("port 1").says("refused");
    netspace(&["tool", "fetch", "https://server/"]).exits(2).says("only http://");
    netspace(&["tool", "source", "127.0.0.1:9", "--bytes", "5X"]).exits(2).says("5X");
    netspace(&["tool", "http", "/nonexistent"]).exits(2).says("/nonexistent");
    netspace(&["tool", "http", "-4", "-6"]).exits(2).says("cannot be used");
    let server = Served::start(&["echo"]);
    let port = server.port.to_string();
    netspace(&["tool", "echo", "--bind", "127.0.0.1", "--port", &port]).exits(1).says("in use").says(&port);
}
