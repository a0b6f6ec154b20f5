//! The door: real, unmodified programs on hosts of our own network stack, without root.
//!
//! A launched program carries a seccomp filter; the system calls about networks are delivered to us and answered by the
//! stack of the host that it runs on. What the program gets as a socket is one end of an AF_UNIX socket, so that
//! dup, fork, exec, poll, epoll and close are the kernel's as ever. See `README.md` for the design.
//!
//! ```text
//!  program ──trapped call──▶ Door::poll ──▶ call/* ──▶ Netns      (control: socket, connect, options, …)
//!  program ◀──bytes, natively──▶ standin/* ◀──▶ Netns             (data: read, write, send, recv, sendfile, poll, …)
//! ```

#![deny(unsafe_code)]

mod call;
mod door;
mod filter;
mod haste;
mod hold;
mod init;
mod liveness;
mod monitor;
mod path;
pub mod probe;
mod procfs;
mod report;
mod settings;
mod shadow;
mod sock;
mod standin;
#[allow(unsafe_code)]
mod sys;
mod trapped;
mod watched;

pub use door::{Door, DoorError, Launch, LaunchError, ProgramId, Session, World};
pub use init::Stage;
pub use report::{Refused, Report};
