//! `netspace tool http`: a small HTTP/1.1 server (RFC 9112). `GET` and `HEAD` of a directory's files or of `/bytes/N`;
//! `POST` anywhere answers with what came, as JSON.

mod message;
mod respond;

use std::io::{self, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::args::HttpArgs;
use crate::output::bad_input;
use message::{Request, RequestError};

/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(60);

pub(super) fn run(args: &HttpArgs) -> anyhow::Result<u8> {
    let root = match &args.dir {
        None => None,
        Some(dir) => {
            let root = dir.canonicalize().map_err(|e| bad_input(format!("{}: {e}", dir.display())))?;
            if !root.is_dir() {
                return Err(bad_input(format!("{} is not a directory", dir.display())));
            }
            Some(root)
        }
    };
    let listener = super::tcp_listener("http", &args.listen, args.port)?;
    let server = Arc::new(Server { root });
    super::serve("http", &listener, args.listen.once, move |stream, peer| server.connection(stream, peer))
        .context("http")?;
    Ok(0)
}

/// What all connections share.
struct Server {
    /// The directory served, its symbolic links resolved.
    root: Option<PathBuf>,
}

impl Server {
    /// Serves requests until the client, an error or `Connection: close` ends the connection.
    fn connection(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        stream.set_read_timeout(Some(IDLE))?;
        let mut reader = BufReader::with_capacity(64 * 1024, stream.try_clone()?);
        let mut writer = stream;
        loop {
            let request = match Request::read(&mut reader, &mut writer) {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(()),
                Err(RequestError::Io(error)) if is_quiet(&error) => return Ok(()),
                Err(RequestError::Io(error)) => return Err(error),
                Err(RequestError::Refused(status, why)) => {
                    respond::refuse(&mut writer, peer, status, &why)?;
                    return Ok(());
                }
            };
            let close = request.close;
            respond::answer(self.root.as_deref(), &mut writer, peer, &request)?;
            if close {
                return Ok(());
            }
        }
    }
}

/// An idle keep-alive connection that ends is no event worth a line.
fn is_quiet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
