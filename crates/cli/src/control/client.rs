//! A client's side of the control socket: plain blocking calls.

use std::io::{self, BufRead, BufReader, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::{Reply, Request};
use crate::output::BadInput;
use crate::runtime::{self, LabInfo};

/// How long a lab may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to a running lab.
#[derive(Debug)]
pub(crate) struct Client {
    reader: BufReader<UnixStream>,
    line: String,
}

impl Client {
    /// Connects to a running lab.
    pub(crate) fn connect(info: &LabInfo) -> anyhow::Result<Self> {
        Ok(Self::over(runtime::connect(info)?))
    }

    pub(super) fn over(stream: UnixStream) -> Self {
        Self { reader: BufReader::new(stream), line: String::new() }
    }

    /// The descriptor to wait for a reply on; ask [`Client::has_reply`] before waiting.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.reader.get_ref().as_fd()
    }

    /// Whether a whole reply has been read already.
    pub(crate) fn has_reply(&self) -> bool {
        self.reader.buffer().contains(&b'\n')
    }

    /// Sends a request, with descriptors.
    pub(crate) fn send(&mut self, request: &Request, fds: &[BorrowedFd<'_>]) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let stream = self.reader.get_ref();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
            bail!("too many descriptors for one request");
        }
        let mut sent = 0;
        while sent < line.len() {
            let part = [IoSlice::new(&line[sent..])];
            match rustix::net::sendmsg(stream, &part, &mut ancillary, SendFlags::NOSIGNAL) {
                // The descriptors went with the first byte.
                Ok(n) => {
                    sent += n;
                    ancillary.clear();
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error)).context("the lab has gone"),
            }
        }
        Ok(())
    }

    /// Lets [`Client::receive`] give up after this time.
    pub(crate) fn set_patience(&self, time: Duration) -> io::Result<()> {
        self.reader.get_ref().set_read_timeout(Some(time))
    }

    /// Waits for the next reply; `None` if the lab has gone.
    pub(crate) fn receive(&mut self) -> anyhow::Result<Option<Reply>> {
        self.line.clear();
        match self.reader.read_line(&mut self.line) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                bail!("the lab does not answer; `netspace down` ends it all the same");
            }
            Err(error) => return Err(error).context("the lab does not answer"),
        }
        serde_json::from_str(&self.line).map(Some).context("the lab speaks another version's language")
    }

    /// Sends a request and waits for its answer; an [`Reply::Error`] becomes an error.
    pub(crate) fn ask(&mut self, request: &Request) -> anyhow::Result<Reply> {
        self.send(request, &[])?;
        self.reader.get_ref().set_read_timeout(Some(PATIENCE))?;
        let answer = self.receive();
        self.reader.get_ref().set_read_timeout(None)?;
        match answer? {
            Some(Reply::Error { message, code: 2 }) => Err(BadInput(message).into()),
            Some(Reply::Error { message, .. }) => bail!(message),
            Some(reply) => Ok(reply),
            None => bail!("the lab has gone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Exec, Incoming, Server, Text};
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    /// Serves until a request has come.
    fn next(server: &mut Server) -> Incoming {
        loop {
            let timeout = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
            let fd = server.fd();
            let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
            assert_ne!(rustix::event::poll(&mut fds, Some(&timeout)).expect("poll"), 0, "nothing came");
            if let Some(incoming) = server.poll().expect("it serves").into_iter().next() {
                return incoming;
            }
        }
    }

    fn pair(name: &str) -> (Server, Client) {
        let path = std::env::temp_dir().join(format!("netspace-control-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("a socket");
        listener.set_nonblocking(true).expect("not blocking");
        let client = Client::over(UnixStream::connect(&path).expect("connected"));
        std::fs::remove_file(&path).expect("removed");
        (Server::new(listener).expect("a server"), client)
    }

    #[test]
    fn descriptors_travel_with_their_request() {
        let (mut server, mut client) = pair("fds");
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let long = "x".repeat(300_000);
        let exec = Request::Exec(Exec {
            host: "h".to_owned(),
            argv: vec![Text::Utf8("cat".to_owned())],
            env: vec![(Text::Utf8("LONG".to_owned()), Text::Utf8(long))],
            cwd: Text::Utf8("/".to_owned()),
            tty: false,
        });
        let wanted = exec.clone();
        let sender = std::thread::spawn(move || {
            client.send(&Request::Ps, &[]).expect("sent");
            client.send(&exec, &[theirs.as_fd()]).expect("sent");
            client
        });
        let Incoming::Request(_, Request::Ps, fds) = next(&mut server) else { panic!("not ps") };
        assert!(fds.is_empty());
        let Incoming::Request(id, request, fds) = next(&mut server) else { panic!("not exec") };
        assert_eq!((request, fds.len()), (wanted, 1));
        let mut theirs = UnixStream::from(fds.into_iter().next().expect("one"));
        theirs.write_all(b"hello").expect("written");
        drop(theirs);
        let mut client = sender.join().expect("sent");
        let mut text = String::new();
        (&ours).read_to_string(&mut text).expect("read");
        assert_eq!(text, "hello");
        server.reply(id, &Reply::Exited { code: Some(3), signal: None });
        assert_eq!(client.receive().expect("a reply"), Some(Reply::Exited { code: Some(3), signal: None }));
        drop(client);
        assert!(matches!(next(&mut server), Incoming::Gone(gone) if gone == id));
    }

    #[test]
    fn nonsense_is_answered_with_an_error() {
        let (mut server, mut client) = pair("nonsense");
        client.reader.get_ref().write_all(b"{\"request\":\"fly\"}\n{\"request\":\"ps\"}\n").expect("written");
        assert!(matches!(next(&mut server), Incoming::Request(_, Request::Ps, _)));
        let Some(Reply::Error { message, code: 2 }) = client.receive().expect("a reply") else {
            panic!("no error")
        };
        assert!(message.contains("fly"), "{message}");
    }

    #[test]
    fn a_slow_reader_of_a_trace_learns_how_much_it_missed() {
        let (mut server, mut client) = pair("slow");
        client.send(&Request::Ps, &[]).expect("sent");
        let Incoming::Request(id, ..) = next(&mut server) else { panic!("no request") };
        let line = "e".repeat(1000);
        for _ in 0..5000 {
            server.reply(id, &Reply::Event { line: line.clone() });
        }
        let mut events = 0;
        let reader = std::thread::spawn(move || {
            loop {
                match client.receive().expect("a reply") {
                    Some(Reply::Event { .. }) => events += 1,
                    Some(Reply::Lost { count }) => return (events, count),
                    other => panic!("{other:?}"),
                }
            }
        });
        while server.has_output() {
            server.poll().expect("it serves");
        }
        server.reply(id, &Reply::Event { line });
        let (events, lost) = reader.join().expect("read");
        assert_eq!(events + lost, 5000);
        assert!(lost > 0);
    }
}
