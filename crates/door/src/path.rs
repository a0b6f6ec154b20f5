//! Paths that mean the network: which files are the host's own rather than the machine's.

/// What a path is to the door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// The machine's, like most.
    Machine,
    /// The host may have its own; else it is the machine's (`/etc/hosts`).
    HostOrMachine,
    /// The host's own or none: the machine's would tell about another network (`/proc/net`).
    HostOnly,
}

/// Files in `/etc` that a host may have of its own.
const ETC: [&str; 7] =
    ["hosts", "resolv.conf", "nsswitch.conf", "hostname", "host.conf", "gai.conf", "networks"];

/// What the normal form of an absolute path is to the door.
pub(crate) fn kind(path: &str) -> Kind {
    if let Some(name) = path.strip_prefix("/etc/") {
        return if ETC.contains(&name) { Kind::HostOrMachine } else { Kind::Machine };
    }
    let under =
        |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if ["/proc/net", "/proc/sys/net", "/sys/class/net"].into_iter().any(under) {
        return Kind::HostOnly;
    }
    if path == "/proc/sys/kernel/hostname" { Kind::HostOrMachine } else { Kind::Machine }
}

/// Whether a file may be written: a sysctl.
pub(crate) fn is_setting(path: &str) -> bool {
    path.starts_with("/proc/sys/")
}

/// Whether an absolute path names a symbolic link, rather than what it leads to.
pub(crate) fn is_link(literal: &str) -> bool {
    !literal.ends_with('/') && parts(literal) == ["proc", "net"]
}

/// Whether a path, as a program writes it, can be one of ours at all: most are not, and cost no more than this look.
pub(crate) fn may_matter(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    ETC.contains(&name) || path.contains("net") || path.starts_with("/proc") || name == "hostname"
}

/// The normal form of an absolute path, without looking at the file system: no doubled slashes, no `.` and `..`;
/// `/proc/self/net` and the like are `/proc/net`.
pub(crate) fn normal(path: &str) -> String {
    let mut parts = parts(path);
    if parts.first() == Some(&"proc") {
        // /proc/<pid>/net and /proc/<pid>/task/<tid>/net
        let is_process = |part: &str| part == "self" || part == "thread-self" || part.parse::<u32>().is_ok();
        if parts.get(1).is_some_and(|part| is_process(part)) {
            let net = if parts.get(2) == Some(&"task") { 4 } else { 2 };
            if parts.get(net) == Some(&"net") {
                parts.drain(1..net);
            }
        }
    }
    format!("/{}", parts.join("/"))
}

fn parts(path: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts
}

/// Sockets of the machine's name services: asking them would tell names to, and get names from, another network.
pub(crate) fn is_name_service(path: &str) -> bool {
    const SERVICES: [&str; 3] = ["/nscd/socket", "/systemd/resolve/", "/avahi-daemon/socket"];
    SERVICES.iter().any(|service| path.contains(service))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_known_in_all_their_forms() {
        assert_eq!(normal("/etc//./hosts"), "/etc/hosts");
        assert_eq!(normal("/proc/self/net/tcp"), "/proc/net/tcp");
        assert_eq!(normal("/proc/123/task/124/net/dev"), "/proc/net/dev");
        assert_eq!(normal("/proc/../etc/x/../hosts"), "/etc/hosts");
        assert_eq!(normal("/proc/self/status"), "/proc/self/status");
        assert_eq!(kind("/etc/hosts"), Kind::HostOrMachine);
        assert_eq!(kind("/etc/passwd"), Kind::Machine);
        assert_eq!(kind("/proc/net"), Kind::HostOnly);
        assert_eq!(kind("/proc/network"), Kind::Machine);
        assert_eq!(kind("/proc/sys/net/ipv4/ip_forward"), Kind::HostOnly);
        assert!(is_name_service("/var/run/nscd/socket"));
        assert!(is_name_service("/run/systemd/resolve/io.systemd.Resolve"));
        assert!(!is_name_service("/tmp/.X11-unix/X0"));
        assert!(is_link("/proc//net") && !is_link("/proc/net/") && !is_link("/proc/self/net"));
        assert!(!may_matter("/usr/lib/python3.11/os.py"));
    }
}
