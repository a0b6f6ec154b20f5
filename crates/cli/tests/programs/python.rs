//! Python's echo servers in four styles, and one client with 500 connections at once.

use super::{lab, wait_for};

const CLIENT: &str = r#"
import asyncio, sys
async def one(i):
    reader, writer = await asyncio.open_connection('server', 7)
    text = f'line {i}\n'.encode() * 3
    writer.write(text); writer.write_eof()
    got = await reader.read()
    writer.close(); await writer.wait_closed()
    return got == text
async def main(n):
    done = await asyncio.gather(*[one(i) for i in range(n)])
    print(sum(done), 'of', n)
asyncio.run(main(int(sys.argv[1])))
"#;

const SOCKET: &str = r#"
import socket
s = socket.create_server(('', 7), backlog=512)
while True:
    c, _ = s.accept()
    with c:
        while data := c.recv(4096): c.sendall(data)
"#;

const SELECT: &str = r#"
import select, socket
s = socket.create_server(('', 7), backlog=512); s.setblocking(False)
open_ = [s]
while True:
    for r in select.select(open_, [], [])[0]:
        if r is s:
            c, _ = s.accept(); c.setblocking(True); open_.append(c)
        elif data := r.recv(4096): r.sendall(data)
        else: open_.remove(r); r.close()
"#;

const THREADS: &str = r#"
import socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile: self.wfile.write(line)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True; request_queue_size = 512; daemon_threads = True
Server(('', 7), Echo).serve_forever()
"#;

const ASYNCIO: &str = r#"
import asyncio
async def echo(reader, writer):
    while data := await reader.read(4096): writer.write(data); await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(echo, '', 7, backlog=512)
    await server.serve_forever()
asyncio.run(main())
"#;

fn echo(server: &str) {
    let lab = lab("python3 server.py");
    lab.file("server.py", server).file("client.py", CLIENT);
    let said = lab.on("client", &format!("{}python3 client.py 500", wait_for(7))).ok();
    assert_eq!(said, "500 of 500\n");
}

#[test]
fn five_hundred_connections_to_a_plain_socket_server() {
    echo(SOCKET);
}

#[test]
fn five_hundred_connections_to_a_select_server() {
    echo(SELECT);
}

#[test]
fn five_hundred_connections_to_a_threaded_server() {
    echo(THREADS);
}

#[test]
fn five_hundred_connections_to_an_asyncio_server() {
    echo(ASYNCIO);
}

#[test]
fn http_server_logs_the_client_address() {
    let lab = lab("python3 -m http.server 8000 2> server.log");
    let script = format!("{}curl -s http://server:8000/lab.yaml >/dev/null; cat server.log", wait_for(8000));
    let said = lab.on("client", &script).ok();
    assert!(said.contains("\"GET /lab.yaml HTTP/1.1\" 200"), "{said}");
    assert!(said.contains("10.0."), "{said}");
}
