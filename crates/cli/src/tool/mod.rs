//! `netspace tool`: small servers and clients on std's sockets, run on a lab's hosts like any program, so that the
//! demo and the examples need nothing installed. Nothing in here knows that there is a lab.

mod content;
mod echo;
mod fetch;
mod http;
mod sha256;
mod sink;
mod source;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::args::{IpVersion, Listen, Tool};
use crate::output::{bad_input, message};

/// How many clients a server serves at once; further ones wait in the accept queue.
const MAX_CLIENTS: usize = 512;
/// The listen queue asked for.
const BACKLOG: i32 = 1024;

/// Runs a tool; gives the exit code.
pub(crate) fn run(tool: &Tool) -> anyhow::Result<u8> {
    match tool {
        Tool::Http(args) => http::run(args),
        Tool::Fetch(args) => fetch::run(args),
        Tool::Echo(args) => echo::run(args),
        Tool::Sink(args) => sink::run(args),
        Tool::Source(args) => source::run(args),
    }
}

/// A rate in bits a second, in words.
fn rate_text(bytes: u64, time: Duration) -> String {
    let bits = bytes as f64 * 8.0 / time.as_secs_f64().max(1e-9);
    match bits {
        b if b >= 1e9 => format!("{:.2} Gbit/s", b / 1e9),
        b if b >= 1e6 => format!("{:.2} Mbit/s", b / 1e6),
        b if b >= 1e3 => format!("{:.1} kbit/s", b / 1e3),
        b => format!("{b:.0} bit/s"),
    }
}

/// The addresses to try listening on, best first.
fn listen_addrs(listen: &Listen, port: u16) -> anyhow::Result<Vec<SocketAddr>> {
    let v4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let v6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let addrs = match (listen.bind, listen.version) {
        (Some(addr), IpVersion { v4: true, .. }) if addr.is_ipv6() => {
            return Err(bad_input(format!("--bind {addr} is an IPv6 address, and -4 asks for IPv4")));
        }
        (Some(addr), IpVersion { v6: true, .. }) if addr.is_ipv4() => {
            return Err(bad_input(format!("--bind {addr} is an IPv4 address, and -6 asks for IPv6")));
        }
        (Some(addr), _) => vec![addr],
        (None, IpVersion { v4: true, .. }) => vec![v4],
        (None, IpVersion { v6: true, .. }) => vec![v6],
        (None, _) => vec![v6, v4],
    };
    Ok(addrs.into_iter().map(|addr| SocketAddr::new(addr, port)).collect())
}

/// A socket bound to `addr`; an IPv6 one takes IPv4 too unless `only_v6`.
fn bound(addr: SocketAddr, kind: SocketType, only_v6: bool) -> io::Result<std::os::fd::OwnedFd> {
    let family = if addr.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let fd = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if addr.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, only_v6)?;
    }
    if kind == SocketType::STREAM {
        // A server started again takes its port although old connections are in TIME-WAIT.
        sockopt::set_socket_reuseaddr(&fd, true)?;
    }
    rustix::net::bind(&fd, &addr)?;
    Ok(fd)
}

/// Binds to the first address that this host has the protocol for.
fn bind_first(listen: &Listen, port: u16, kind: SocketType) -> anyhow::Result<std::os::fd::OwnedFd> {
    let addrs = listen_addrs(listen, port)?;
    let mut last = None;
    for addr in addrs {
        match bound(addr, kind, listen.version.v6) {
            Ok(fd) => return Ok(fd),
            Err(error) => {
                let no_protocol = matches!(
                    error.raw_os_error(),
                    Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT)
                );
                last = Some((addr, error));
                if !no_protocol {
                    break;
                }
            }
        }
    }
    match last {
        Some((addr, error)) => Err(error).with_context(|| format!("cannot listen on {addr}")),
        None => bail!("no address to listen on"),
    }
}

/// A TCP listener; says on standard error where it listens.
fn tcp_listener(name: &str, listen: &Listen, port: u16) -> anyhow::Result<TcpListener> {
    let fd = bind_first(listen, port, SocketType::STREAM)?;
    rustix::net::listen(&fd, BACKLOG).context("cannot listen")?;
    let listener = TcpListener::from(fd);
    let addr = listener.local_addr()?;
    message(format_args!("{name}: listening on {addr}"));
    Ok(listener)
}

/// A bound UDP socket; says on standard error where it listens.
fn udp_socket(name: &str, listen: &Listen, port: u16) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::from(bind_first(listen, port, SocketType::DGRAM)?);
    let addr = socket.local_addr()?;
    message(format_args!("{name}: listening on {addr} (UDP)"));
    Ok(socket)
}

/// Counts clients, and lets a server wait until one more may come.
#[derive(Default)]
struct Clients {
    served: Mutex<usize>,
    gone: Condvar,
    total: AtomicUsize,
}

impl Clients {
    fn enter(self: &Arc<Self>) -> Client {
        let mut served = self.served.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while *served >= MAX_CLIENTS {
            served = self.gone.wait(served).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        *served += 1;
        self.total.fetch_add(1, Ordering::Relaxed);
        Client(Arc::clone(self))
    }
}

/// One client's place.
struct Client(Arc<Clients>);

impl Drop for Client {
    fn drop(&mut self) {
        *self.0.served.lock().unwrap_or_else(std::sync::PoisonError::into_inner) -= 1;
        self.0.gone.notify_one();
    }
}

/// Accepts clients for ever, a thread each; with `once` serves one in this thread.
fn serve(
    name: &'static str,
    listener: &TcpListener,
    once: bool,
    handle: impl Fn(TcpStream, SocketAddr) -> io::Result<()> + Send + Sync + 'static,
) -> anyhow::Result<()> {
    let clients = Arc::new(Clients::default());
    let handle = Arc::new(handle);
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            // The connection was gone before we took it, or descriptors are short: neither ends a server.
            Err(error) if is_passing(&error) => continue,
            Err(error) => return Err(error).context("cannot accept"),
        };
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if once {
            return handle(stream, peer).with_context(|| format!("{peer}"));
        }
        let client = clients.enter();
        let handle = Arc::clone(&handle);
        let work = move || {
            let _client = client;
            if let Err(error) = handle(stream, peer) {
                message(format_args!("{name}: {peer}: {error}"));
            }
        };
        if let Err(error) = std::thread::Builder::new().stack_size(256 * 1024).spawn(work) {
            message(format_args!("{name}: {peer}: turned away, no thread: {error}"));
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
        || matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::EPROTO))
}

/// Connects to the first address of `host` that answers, as `getaddrinfo` orders them.
fn connect(host: &str, port: u16, version: IpVersion, timeout: Duration) -> anyhow::Result<TcpStream> {
    let addrs = (host, port).to_socket_addrs().with_context(|| format!("cannot find {host:?}"))?;
    let wanted = |addr: &SocketAddr| match version {
        IpVersion { v4: true, .. } => addr.is_ipv4(),
        IpVersion { v6: true, .. } => addr.is_ipv6(),
        _ => true,
    };
    let addrs: Vec<_> = addrs.filter(wanted).collect();
    let mut failed = Vec::new();
    for addr in &addrs {
        match TcpStream::connect_timeout(addr, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed.push(format!("{}: {error}", addr.ip())),
        }
    }
    if failed.is_empty() {
        bail!("{host} has no IPv{} address", if version.v4 { 4 } else { 6 });
    }
    bail!("cannot connect to {host} port {port}: {}", failed.join("; "));
}

/// Splits `HOST`, `HOST:PORT`, `[V6]:PORT`, `V6`.
fn host_and_port(text: &str, default: u16) -> Result<(String, u16), String> {
    let port = |p: &str| p.parse::<u16>().map_err(|_| format!("{p:?} is not a port (0 to 65535)"));
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(|| format!("{text:?}: the `]` is missing"))?;
        return match rest.strip_prefix(':') {
            Some(p) => Ok((host.to_owned(), port(p)?)),
            None if rest.is_empty() => Ok((host.to_owned(), default)),
            None => Err(format!("{text:?}: expected `:PORT` after `]`")),
        };
    }
    match text.split_once(':') {
        None if text.is_empty() => Err("the host's name is missing".to_owned()),
        None => Ok((text.to_owned(), default)),
        Some((_, rest)) if rest.contains(':') => Ok((text.to_owned(), default)),
        Some(("", _)) => Err("the host's name is missing".to_owned()),
        Some((host, p)) => Ok((host.to_owned(), port(p)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_host_and_port() {
        assert_eq!(host_and_port("server", 80), Ok(("server".to_owned(), 80)));
        assert_eq!(host_and_port("server:8080", 80), Ok(("server".to_owned(), 8080)));
        assert_eq!(host_and_port("[fd00::1]:8080", 80), Ok(("fd00::1".to_owned(), 8080)));
        assert_eq!(host_and_port("fd00::1", 80), Ok(("fd00::1".to_owned(), 80)));
        for wrong in ["", ":80", "a:b", "a:70000", "[::1", "[::1]x"] {
            assert!(host_and_port(wrong, 80).is_err(), "{wrong}");
        }
    }
}
