//! `netspace tool echo`: RFC 862.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};

use crate::args::EchoArgs;
use crate::output::message;

pub(super) fn run(args: &EchoArgs) -> anyhow::Result<u8> {
    if args.udp {
        let socket = super::udp_socket("echo", &args.listen, args.port)?;
        serve_udp(&socket, args.listen.once)?;
        return Ok(0);
    }
    let listener = super::tcp_listener("echo", &args.listen, args.port)?;
    super::serve("echo", &listener, args.listen.once, serve_tcp)?;
    Ok(0)
}

fn serve_tcp(mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0_u64;
    loop {
        let n = match stream.read(&mut buffer) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if n == 0 {
            break;
        }
        stream.write_all(&buffer[..n])?;
        total += n as u64;
    }
    // The peer has half-closed; whatever it sent is on its way back before our FIN.
    stream.shutdown(Shutdown::Write)?;
    message(format_args!("echo: {peer}: {total} bytes"));
    Ok(())
}

fn serve_udp(socket: &UdpSocket, once: bool) -> io::Result<()> {
    let mut buffer = vec![0; 65536];
    loop {
        let (n, peer) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            // An ICMP error for an earlier answer, or a signal: neither concerns the next datagram.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Err(error) = socket.send_to(&buffer[..n], peer) {
            message(format_args!("echo: {peer}: {error}"));
        } else {
            message(format_args!("echo: {peer}: {n} bytes"));
        }
        if once {
            return Ok(());
        }
    }
}
