//! curl and wget against Python's own server.

use std::time::Duration;

use super::{content, lab, wait_for};

const SERVER: &str = "python3 -m http.server 80 --bind ::";

#[test]
fn curl_v_gets_a_page_over_ipv4_and_ipv6() {
    let lab = lab(SERVER);
    lab.file("index.html", "hello from the other side\n");
    for family in ["-4", "-6"] {
        let ran = lab.on("client", &format!("{}curl {family} -sv http://server/", wait_for(80)));
        let ran = ran.says("HTTP/1.0 200 OK").says("Connected to server").says("> GET / HTTP/1.1");
        assert_eq!(ran.ok(), "hello from the other side\n");
    }
}

#[test]
fn curl_posts_data() {
    let lab = lab("python3 post.py");
    lab.file("post.py", POST);
    let said = lab.on("client", &format!("{}curl -s --data 'a=1&b=2' http://server/x", wait_for(80))).ok();
    assert_eq!(said, "POST /x application/x-www-form-urlencoded a=1&b=2\n");
}

const POST: &str = r#"
import http.server
class H(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length'])).decode()
        text = f"POST {self.path} {self.headers['Content-Type']} {body}\n".encode()
        self.send_response(200); self.send_header('Content-Length', str(len(text))); self.end_headers()
        self.wfile.write(text)
    def do_PUT(self):
        import hashlib
        left, h = int(self.headers['Content-Length']), hashlib.sha256()
        if self.headers.get('Expect') == '100-continue': pass
        while left:
            part = self.rfile.read(min(left, 1 << 20)); left -= len(part); h.update(part)
        text = (h.hexdigest() + "\n").encode()
        self.send_response(200); self.send_header('Content-Length', str(len(text))); self.end_headers()
        self.wfile.write(text)
http.server.ThreadingHTTPServer(('', 80), H).serve_forever()
"#;

#[test]
fn a_hundred_megabytes_come_down_unchanged() {
    let lab = lab(SERVER);
    lab.file("big", content(100_000_000));
    let script = format!("{}curl -s http://server/big | sha256sum; sha256sum < big", wait_for(80));
    let said = lab.on_within("client", &script, Duration::from_secs(120)).ok();
    let sums: Vec<_> = said.lines().collect();
    assert_eq!(sums.len(), 2, "{said}");
    assert_eq!(sums[0], sums[1]);
}

#[test]
fn a_hundred_megabytes_go_up_unchanged() {
    let lab = lab("python3 post.py");
    lab.file("post.py", POST).file("big", content(100_000_000));
    let script = format!("{}curl -s -T big http://server/up; sha256sum < big", wait_for(80));
    let said = lab.on_within("client", &script, Duration::from_secs(120)).ok();
    let sums: Vec<_> = said.lines().map(|l| l.split_whitespace().next().unwrap_or("")).collect();
    assert_eq!(sums.len(), 2, "{said}");
    assert_eq!(sums[0], sums[1]);
}

#[test]
fn curl_says_what_it_says_on_linux_when_nobody_listens() {
    let ran = lab("").on("client", "curl -sSv http://server:81/");
    ran.exits(7).says("Failed to connect to server port 81").says("port 81 failed: Connection refused");
}

#[test]
fn wget_saves_a_file() {
    let lab = lab(SERVER);
    lab.file("page.txt", content(3_000_000));
    let script = format!(
        "{}wget -O got.txt http://server/page.txt && cmp got.txt page.txt && echo same",
        wait_for(80)
    );
    let ran = lab.on("client", &script).says("200 OK").says("saved [3000000/3000000]");
    assert_eq!(ran.ok(), "same\n");
}
