//! Real, unmodified programs on a lab's hosts, run as uid 65534 with `unshare`, `setns` and `pidfd_getfd` denied: each
//! must do what it does on real hosts. The tests assert on what the programs print.

mod bash;
mod capture;
mod curl;
mod dns;
mod failures;
mod iperf;
mod lifecycle;
mod names;
mod netcat;
mod nginx;
mod ping;
mod python;
mod socat;
mod ssh;
mod static_binaries;
mod traceroute;

use netspace_testkit::Lab;

/// client – switch – router – server: what most of these tests run on.
pub(crate) fn lab(server: &str) -> Lab {
    lab_with(server, "")
}

/// The same with settings on the link between router and server (`{delay: 5ms}`).
pub(crate) fn lab_with(server: &str, link: &str) -> Lab {
    let run: String = server.lines().map(|line| format!("      - {}\n", quote(line))).collect();
    let run = if run.is_empty() { String::new() } else { format!("\n    run:\n{run}") };
    let server = if run.is_empty() { " {}".to_owned() } else { run };
    let yaml = format!(
        "hosts:\n  client: {{}}\n  server:{server}\nrouters:\n  gw: {{}}\nswitches:\n  lan: {{}}\nlinks:\n  - client -- lan\n  - lan -- gw\n  - gw -- server {link}\n"
    );
    Lab::new(env!("CARGO_BIN_EXE_netspace"), &yaml)
}

/// A YAML string in double quotes.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A shell loop that waits until TCP port `port` of the server answers, without sleeping longer than it must.
pub(crate) fn wait_for(port: u16) -> String {
    format!(
        "for i in $(seq 200); do (exec 3<>/dev/tcp/server/{port}) 2>/dev/null && break; sleep 0.05; done; "
    )
}

/// Deterministic bytes: `len` of them, no two blocks alike.
pub(crate) fn content(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}
