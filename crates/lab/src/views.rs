//! Files as programs on a host see them: names and how to resolve them.
//!
//! Programs read these paths; the door answers with this text instead of the machine's own file.

use std::fmt::Write as _;

use crate::names::Names;

/// Where each host's resolver listens. It is a loopback address, so every host has one of its own.
pub const RESOLVER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 0, 0, 53);

/// The text of a file under `/etc` on `host`; none if the lab says nothing about it.
pub fn etc(names: &Names, host: &str, path: &str) -> Option<String> {
    match path {
        "/etc/hosts" => Some(hosts(names, host)),
        "/etc/resolv.conf" => {
            Some(format!("nameserver {RESOLVER}\nsearch {}\noptions timeout:2 attempts:2\n", names.domain))
        }
        "/etc/nsswitch.conf" => Some(NSSWITCH.to_owned()),
        "/etc/hostname" => Some(format!("{host}\n")),
        "/etc/host.conf" => Some("multi on\n".to_owned()),
        "/etc/gai.conf" => Some(String::new()),
        _ => None,
    }
}

const NSSWITCH: &str = "\
passwd:   files
group:    files
shadow:   files
hosts:    files dns
networks: files
protocols: files
services: files
ethers:   files
rpc:      files
";

/// `/etc/hosts`: one address of each family for each name, the nearest to `host`.
fn hosts(names: &Names, host: &str) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    for name in names.nodes() {
        let addresses = names.lookup(name, host).unwrap_or_default();
        if addresses.is_empty() && name == host {
            // A host without links knows its own name all the same, as Debian's hosts do.
            let _ = writeln!(text, "127.0.1.1\t{name} {}", names.full(name));
        }
        for v4 in [true, false] {
            if let Some(addr) = addresses.iter().find(|a| a.is_ipv4() == v4) {
                let _ = writeln!(text, "{addr}\t{name} {}", names.full(name));
            }
        }
    }
    text
}
