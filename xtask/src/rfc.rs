//! Which tests show what RFC 9293 demands (its Appendix B): `cargo xtask rfc`.
//!
//! A test says so beside itself: `/// RFC 9293 MUST-12` before its function, or `# RFC 9293 MUST-12` in a packetdrill script.
//! Several numbers may stand on the line. A comment that cites a section (`RFC 9293 §3.7.1, MUST-15`) claims nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// What marks a claim; numbers follow.
const MARK: &str = "RFC 9293 MUST-";

/// Number, what it demands (in own words), and why it is not met where it is not.
const MUSTS: &[(u32, &str, &str)] = &[
    (1, "windows are unsigned", ""),
    (2, "senders compute the checksum", ""),
    (3, "receivers check it", ""),
    (4, "end of list, no-operation and MSS are understood", ""),
    (5, "options may come in any segment", ""),
    (6, "unknown options are passed over", ""),
    (7, "options of an impossible length do no harm", ""),
    (8, "initial sequence numbers follow a clock", ""),
    (9, "nobody else can compute them", ""),
    (10, "both sides may open at once", ""),
    (11, "SYN-RECEIVED remembers whether it came by an active or a passive open", ""),
    (12, "the program can tell a connection that was aborted from one that was closed", ""),
    (
        13,
        "who closes first stays in TIME-WAIT for two segment lifetimes",
        "a lifetime is 30 s, as on Linux; the RFC says 2 minutes",
    ),
    (14, "the MSS option is sent and obeyed", ""),
    (15, "without it, 536 bytes over IPv4 (1220 over IPv6)", ""),
    (16, "no segment is larger than the peer's MSS and the path allow, options counted", ""),
    (17, "the program can switch Nagle's algorithm off", ""),
    (18, "retransmitted segments give no round-trip sample (Karn)", ""),
    (19, "timeouts double; slow start and congestion avoidance", ""),
    (20, "after R1 retransmissions IP is told, after R2 the connection ends", ""),
    (21, "the program can set R2", ""),
    (22, "SYNs are given up likewise", ""),
    (
        23,
        "but not within three minutes",
        "given up after 131 s, as by Linux (net.ipv4.tcp_syn_retries, tcp_syn_linear_timeouts)",
    ),
    (24, "the program can ask for keepalives", ""),
    (25, "they are off otherwise", ""),
    (26, "they are sent only after an idle interval", ""),
    (27, "the interval can be set", ""),
    (28, "it is two hours or more otherwise", ""),
    (29, "one unanswered keepalive does not end the connection", ""),
    (30, "there is an urgent pointer", ""),
    (31, "urgent data may have any length", "one byte, as on Linux and as programs know it (RFC 6093)"),
    (32, "the program is told at once of urgent data", ""),
    (33, "it can learn where it ends", ""),
    (34, "a window that shrinks from the right does no harm", ""),
    (35, "a closed window is probed", ""),
    (36, "also for new data, so that an opening is noticed", ""),
    (37, "for as long as the receiver answers", ""),
    (38, "senders avoid silly windows", ""),
    (39, "receivers too", ""),
    (40, "acknowledgements wait less than half a second", ""),
    (41, "listening leaves other connections alone", ""),
    (42, "one can listen on a port with connections in the making", ""),
    (43, "the program may choose the local address", ""),
    (44, "else IP chooses it", ""),
    (45, "and it stays for the connection", ""),
    (46, "no connection to broadcast or multicast addresses", ""),
    (47, "soft errors can be asked for", ""),
    (48, "the program chooses the traffic class", ""),
    (49, "the time to live can be set", ""),
    (50, "IP options that mean nothing to TCP are passed over", ""),
    (51, "the program may give a source route", "source routes are refused, as by Linux's default"),
    (52, "which is taken before one that came in", "source routes are refused, as by Linux's default"),
    (53, "one that came in is used for the answers", "source routes are refused, as by Linux's default"),
    (54, "ICMP errors reach the connection", ""),
    (55, "source quench is ignored", ""),
    (
        56,
        "unreachable, time exceeded and parameter problem do not end a connection",
        "they end one that is being opened, as on Linux (RFC 5461)",
    ),
    (57, "segments to broadcast or multicast addresses are silently dropped", ""),
    (58, "acknowledgements are joined where possible", ""),
    (59, "all that has come is worked off before one is sent", ""),
    (60, "without a push call, data is not held back for ever", ""),
    (61, "and the last queued segment bears PSH", ""),
    (62, "the urgent pointer points behind the urgent byte", ""),
    (63, "SYNs from impossible addresses are passed over", ""),
    (64, "options need no alignment", ""),
    (65, "the MSS option is in no segment without SYN", ""),
    (66, "RST and URG count while the window is closed", ""),
    (67, "the MSS told comes from the largest datagram that is taken", ""),
    (68, "options have a length, but for end of list and no-operation", ""),
    (69, "the header is padded with zeros", ""),
];

/// Prints each demand with the tests that claim to show it; fails on a number that the RFC does not have.
pub(crate) fn report(root: &Path) -> Result<()> {
    let mut shown: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut unknown = Vec::new();
    for path in test_files(root)? {
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        for (line, numbers, test) in claims(&text) {
            for number in numbers {
                if MUSTS.iter().any(|(known, ..)| *known == number) {
                    shown.entry(number).or_default().push(format!("{name}{test}"));
                } else {
                    unknown.push(format!("{name}:{line}: RFC 9293 has no MUST-{number}"));
                }
            }
        }
    }
    let mut without = 0;
    for (number, demand, differs) in MUSTS {
        let tests = shown.get(number).map(Vec::as_slice).unwrap_or_default();
        let told = match (tests.is_empty(), differs.is_empty()) {
            (false, true) => tests.join(", "),
            (false, false) => format!("{} (but {differs})", tests.join(", ")),
            (true, false) => format!("not met: {differs}"),
            (true, true) => {
                without += 1;
                "NO TEST".to_owned()
            }
        };
        println!("MUST-{number:<3} {demand}\n         {told}");
    }
    println!("\n{} demands, {} claimed by tests, {without} without a test", MUSTS.len(), shown.len());
    if unknown.is_empty() { Ok(()) } else { bail!("{}", unknown.join("\n")) }
}

/// Rust sources and packetdrill scripts that may hold tests.
fn test_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.join("crates"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs" || e == "pkt") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Each claim: its line, its numbers, and `::name` of the test that follows (nothing in a script, which is one test).
fn claims(text: &str) -> Vec<(usize, Vec<u32>, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let claim = |(at, line): (usize, &&str)| {
        let comment = ["///", "#"].iter().find_map(|c| line.trim_start().strip_prefix(c))?;
        let rest = comment.trim_start().strip_prefix(MARK)?;
        // What is no number is one that the RFC does not have.
        let number = |n: &str| n.trim_end_matches(['.', ':']).parse().unwrap_or(0);
        let numbers = rest.split(", MUST-").map(number).collect();
        let function = lines[at..].iter().find_map(|l| l.trim_start().strip_prefix("fn "));
        let test = function.and_then(|f| f.split('(').next()).map_or(String::new(), |f| format!("::{f}"));
        Some((at + 1, numbers, test))
    };
    lines.iter().enumerate().filter_map(claim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_stand_before_their_test() {
        let text = "/// RFC 9293 MUST-1, MUST-34\n#[test]\nfn windows() {\n}\n// RFC 9293 §3.7.1, MUST-15\nfn other() {}\n";
        assert_eq!(claims(text), [(1, vec![1, 34], "::windows".to_owned())]);
        assert_eq!(claims("# RFC 9293 MUST-70\n0 socket(...) = 3\n"), [(1, vec![70], String::new())]);
    }

    #[test]
    fn the_table_has_every_number_once() {
        let numbers: Vec<u32> = MUSTS.iter().map(|(number, ..)| *number).collect();
        assert_eq!(numbers, (1..=69).collect::<Vec<_>>());
    }
}
