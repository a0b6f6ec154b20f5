//! The Linux network stack as a library: networks of hosts, switches, routers and links, in one process, by a real or a
//! virtual clock.
//!
//! A network is built by [`LabBuilder`], or read from a lab file by [`from_yaml`]; both give a [`Plan`], of which a
//! [`World`] is made. A world's hosts are [`stack::Netns`] values with the calls that programs know: `socket`, `bind`,
//! `connect`, `send`, `recv`.
//!
//! ```
//! use netspace::stack::sock::{Family, Message, RecvFlags, SockType};
//! use netspace::{Clock, Duration, LabBuilder, World};
//!
//! let plan = LabBuilder::new("pair").host("a").host("b").link("a", "b").plan()?;
//! let mut world = World::from_plan(plan, None, Clock::virtual_time())?;
//! let (a, b) = (world.host_id("a").unwrap(), world.host_id("b").unwrap());
//!
//! // b waits for datagrams on port 7.
//! let (host, turn) = world.lend(b);
//! let server = host.socket(turn, Family::Inet, SockType::Dgram, 0)?;
//! host.bind(turn, server, "0.0.0.0:7".parse()?)?;
//!
//! // a sends one: it goes through routes, ARP, Ethernet, the link, and up again.
//! let to = world.names().lookup("b", "a").unwrap()[0];
//! let (host, turn) = world.lend(a);
//! let client = host.socket(turn, Family::Inet, SockType::Dgram, 0)?;
//! host.send(turn, client, Message { to: Some((to, 7).into()), data: "hello".into(), ..Message::default() })?;
//!
//! world.run_for(Duration::from_millis(10))?;
//! let (host, turn) = world.lend(b);
//! let received = host.recv(turn, server, 100, RecvFlags::default())?;
//! assert_eq!(received.data.concat(), b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod builder;

pub use builder::LabBuilder;
pub use netspace_base::{Duration, Event, Instant, NsId, Seed};
pub use netspace_lab::file::{Diagnostics, LinkSettings};
pub use netspace_lab::plan::Plan;
pub use netspace_lab::world::{Clock, World};
pub use netspace_stack as stack;

/// Reads a lab file. `name` is what messages call it.
///
/// # Errors
/// All that is wrong with it, each with its line and column.
pub fn from_yaml(text: &str, name: &str) -> Result<Plan, Diagnostics> {
    let (file, mut diagnostics) = netspace_lab::file::load(text, name)?;
    netspace_lab::plan::plan(&file, &mut diagnostics).ok_or(diagnostics)
}
