//! The Debian packages whose programs the tests run.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Package, and a file that shows that it is there.
const PACKAGES: &[(&str, &str)] = &[
    ("arping", "/usr/sbin/arping"),
    ("bash", "/bin/bash"),
    ("bind9-dnsutils", "/usr/bin/dig"),
    ("bind9-host", "/usr/bin/host"),
    ("curl", "/usr/bin/curl"),
    ("golang-go", "/usr/bin/go"),
    ("iperf3", "/usr/bin/iperf3"),
    ("iproute2", "/usr/sbin/ip|/sbin/ip|/usr/bin/ip"),
    ("iputils-ping", "/usr/bin/ping|/bin/ping"),
    ("iputils-tracepath", "/usr/bin/tracepath"),
    (
        "libnss-wrapper",
        "/usr/lib/x86_64-linux-gnu/libnss_wrapper.so|/usr/lib/aarch64-linux-gnu/libnss_wrapper.so",
    ),
    ("libpython3.11-testsuite", "/usr/lib/python3.11/test/test_socket.py"),
    ("netcat-openbsd", "/bin/nc.openbsd|/usr/bin/nc.openbsd"),
    ("nginx-light", "/usr/sbin/nginx"),
    ("nmap", "/usr/bin/nmap"),
    ("openssh-client", "/usr/bin/ssh"),
    ("openssh-server", "/usr/sbin/sshd"),
    ("passt", "/usr/bin/pasta"),
    ("procps", "/usr/bin/ps|/bin/ps"),
    ("python3", "/usr/bin/python3"),
    ("slirp4netns", "/usr/bin/slirp4netns"),
    ("socat", "/usr/bin/socat"),
    ("tcpdump", "/usr/bin/tcpdump|/usr/sbin/tcpdump"),
    ("traceroute", "/usr/sbin/traceroute|/usr/bin/traceroute.db"),
    ("tshark", "/usr/bin/tshark"),
    ("util-linux", "/usr/bin/setpriv"),
    ("wget", "/usr/bin/wget"),
    ("wrk", "/usr/bin/wrk"),
];

/// Installs what is missing when root, else names it.
pub(crate) fn ensure_packages() -> Result<()> {
    let there = |files: &str| files.split('|').any(|file| Path::new(file).exists());
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|(_, files)| !there(files)).map(|(package, _)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root()? {
        bail!(
            "the tests run programs of Debian packages that are not installed. Install them with\n\n    sudo apt-get install --no-install-recommends {}\n",
            missing.join(" ")
        );
    }
    eprintln!("== installing {}", missing.join(" "));
    apt(&["update", "-qq"])?;
    let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
    install.extend(missing);
    apt(&install)
}

fn is_root() -> Result<bool> {
    let output = Command::new("id").arg("-u").output().context("run id -u")?;
    Ok(output.stdout == b"0\n")
}

fn apt(args: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    // Services that come with a package are not to be started on the machine that only runs their programs in labs.
    command.env("RUNLEVEL", "1");
    let status = command.status().context("start apt-get (the tests need Debian's packages)")?;
    if !status.success() {
        bail!("apt-get {} failed", args.join(" "));
    }
    Ok(())
}
