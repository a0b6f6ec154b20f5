//! The same socket programs on two hosts of ours and on two namespaces of this machine's kernel: every call's result,
//! every readiness, option and segment is compared.
//!
//! ```text
//! stage/scenarios/GROUP.py   stories, written once          stage/stage.py   plays them on both systems
//! stage/agent.py, calls.py   make the calls on each host    segments.py      reads what passed the link
//! ```
//!
//! `docs/linux-differences.md` lists what differs and why. A difference that is not listed fails, and so does a listed one
//! that is gone. The kernel's side needs root; without it nothing is compared, and the tests say so.
//!
//! To play some scenarios only, and see every line: `NETSPACE_SCENARIO=refused cargo test -p netspace-cli --test
//! differential connect`.

mod differences;
mod goodput;
mod systems;

use differences::Listed;

/// The oldest kernel that counts as "Linux" here: older ones lack options that are compared.
const KERNEL_MIN: (u32, u32) = (6, 18);

/// Plays a group on both systems; panics with every difference that is not listed, and every listed one that is gone.
#[track_caller]
fn group(name: &str) {
    if let Some(reason) = systems::not_here() {
        eprintln!("{name}: not compared with the kernel: {reason}");
        return;
    }
    let (kernel, ours) = systems::play(name);
    assert!(!kernel.is_empty(), "{name}: nothing was played on the kernel");
    let partly = std::env::var_os("NETSPACE_SCENARIO").is_some();
    let mut listed = Listed::of_group(name);
    let found = differences::between(name, &kernel, &ours);
    let new: Vec<String> =
        found.iter().filter(|difference| !listed.takes(difference)).map(ToString::to_string).collect();
    let stale = if partly { Vec::new() } else { listed.left() };
    println!("{name}: {} scenarios, {} differ as listed", kernel.len(), found.len() - new.len());
    assert!(
        new.is_empty(),
        "{name}: {} differences that docs/linux-differences.md does not list:\n{}",
        new.len(),
        new.join("\n")
    );
    assert!(stale.is_empty(), "{name}: gone, take them off docs/linux-differences.md:\n{}", stale.join("\n"));
}

macro_rules! groups {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            group(stringify!($name));
        }
    )*};
}

groups! {
    bind
    close
    connect
    descriptors
    listen
    options
    raw
    readiness
    reset
    signals
    transfer
    udp
}
