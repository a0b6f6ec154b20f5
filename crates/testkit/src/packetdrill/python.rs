//! The code in `%{ }%`: python3, with the connection's `tcp_info` as `tcpi_…` at that moment.
//!
//! All code of a script is one program: names that one piece sets, the next one sees. It runs when the script's packets are
//! through, in one interpreter that serves many scripts.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::lex::Place;

/// A piece of code and what it is told.
#[derive(Clone, Debug)]
pub(super) struct Snippet {
    pub(super) place: Place,
    pub(super) code: String,
    /// Bytes of `struct tcp_info`; empty if there is no socket.
    pub(super) tcp_info: Vec<u8>,
}

/// Constants that assertions use (linux/tcp.h, `enum tcp_ca_state`, `TCPI_OPT_*`).
const CONSTANTS: &[(&str, u32)] = &[
    ("TCP_CA_Open", 0),
    ("TCP_CA_Disorder", 1),
    ("TCP_CA_CWR", 2),
    ("TCP_CA_Recovery", 3),
    ("TCP_CA_Loss", 4),
    ("TCPI_OPT_TIMESTAMPS", 1),
    ("TCPI_OPT_SACK", 2),
    ("TCPI_OPT_WSCALE", 4),
    ("TCPI_OPT_ECN", 8),
    ("TCPI_OPT_ECN_SEEN", 16),
    ("TCPI_OPT_SYN_DATA", 32),
    ("TCPI_OPT_USEC_TS", 64),
    ("TCP_ESTABLISHED", 1),
    ("TCP_SYN_SENT", 2),
    ("TCP_SYN_RECV", 3),
    ("TCP_FIN_WAIT1", 4),
    ("TCP_FIN_WAIT2", 5),
    ("TCP_TIME_WAIT", 6),
    ("TCP_CLOSE", 7),
    ("TCP_CLOSE_WAIT", 8),
    ("TCP_LAST_ACK", 9),
    ("TCP_LISTEN", 10),
    ("TCP_CLOSING", 11),
];

/// `struct tcp_info`: name, where, bytes (linux/tcp.h).
const FIELDS: &[(&str, usize, usize)] = &[
    ("state", 0, 1),
    ("ca_state", 1, 1),
    ("retransmits", 2, 1),
    ("probes", 3, 1),
    ("backoff", 4, 1),
    ("options", 5, 1),
    ("rto", 8, 4),
    ("ato", 12, 4),
    ("snd_mss", 16, 4),
    ("rcv_mss", 20, 4),
    ("unacked", 24, 4),
    ("sacked", 28, 4),
    ("lost", 32, 4),
    ("retrans", 36, 4),
    ("fackets", 40, 4),
    ("last_data_sent", 44, 4),
    ("last_ack_sent", 48, 4),
    ("last_data_recv", 52, 4),
    ("last_ack_recv", 56, 4),
    ("pmtu", 60, 4),
    ("rcv_ssthresh", 64, 4),
    ("rtt", 68, 4),
    ("rttvar", 72, 4),
    ("snd_ssthresh", 76, 4),
    ("snd_cwnd", 80, 4),
    ("advmss", 84, 4),
    ("reordering", 88, 4),
    ("rcv_rtt", 92, 4),
    ("rcv_space", 96, 4),
    ("total_retrans", 100, 4),
    ("pacing_rate", 104, 8),
    ("max_pacing_rate", 112, 8),
    ("bytes_acked", 120, 8),
    ("bytes_received", 128, 8),
    ("segs_out", 136, 4),
    ("segs_in", 140, 4),
    ("notsent_bytes", 144, 4),
    ("min_rtt", 148, 4),
    ("data_segs_in", 152, 4),
    ("data_segs_out", 156, 4),
    ("delivery_rate", 160, 8),
    ("busy_time", 168, 8),
    ("rwnd_limited", 176, 8),
    ("sndbuf_limited", 184, 8),
    ("delivered", 192, 4),
    ("delivered_ce", 196, 4),
    ("bytes_sent", 200, 8),
    ("bytes_retrans", 208, 8),
    ("dsack_dups", 216, 4),
    ("reord_seen", 220, 4),
    ("rcv_ooopack", 224, 4),
    ("snd_wnd", 228, 4),
    ("rcv_wnd", 232, 4),
    ("rehash", 236, 4),
    ("total_rto", 240, 2),
    ("total_rto_recoveries", 242, 2),
    ("total_rto_time", 244, 4),
    ("received_ce", 248, 4),
    ("delivered_e1_bytes", 252, 4),
    ("delivered_e0_bytes", 256, 4),
    ("delivered_ce_bytes", 260, 4),
    ("received_e1_bytes", 264, 4),
    ("received_e0_bytes", 268, 4),
    ("received_ce_bytes", 272, 4),
];

/// Reads programs of `n` lines after a line that tells `n`; answers with one line: `ok`, or the number of the piece and what
/// went wrong.
const SERVER: &str = "\
import sys, io, contextlib
def serve(read, write):
    while True:
        head = read.readline()
        if not head: return
        pieces = eval(''.join(read.readline() for _ in range(int(head))))
        names, answer = {}, 'ok'
        for number, (values, code) in enumerate(pieces):
            names.update(values)
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(code, names)
            except BaseException as error:
                what = ': '.join([type(error).__name__] + [str(error)] * bool(str(error)))
                answer = '%d %s' % (number, what.replace('\\n', ' '))
                break
        write.write(answer + '\\n')
        write.flush()
serve(sys.stdin, sys.stdout)
";

/// One interpreter, started when first needed.
#[derive(Debug, Default)]
pub struct Python {
    running: Option<(Child, ChildStdin, BufReader<ChildStdout>)>,
}

impl Python {
    /// Runs a script's code; the first piece that fails, and how.
    pub(super) fn check(&mut self, snippets: &[Snippet]) -> Result<(), (Place, String)> {
        let Some(first) = snippets.first() else { return Ok(()) };
        match self.ask(snippets) {
            Ok(answer) if answer == "ok" => Ok(()),
            Ok(answer) => {
                let (number, what) = answer.split_once(' ').unwrap_or(("0", &answer));
                let place =
                    number.parse().ok().and_then(|n: usize| snippets.get(n)).map_or(first.place, |s| s.place);
                Err((place, format!("the code failed: {what}")))
            }
            Err(error) => Err((first.place, format!("python3 does not run: {error}"))),
        }
    }

    fn ask(&mut self, snippets: &[Snippet]) -> std::io::Result<String> {
        if self.running.is_none() {
            let mut child = Command::new("python3")
                .args(["-c", SERVER])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let missing = || std::io::Error::other("no pipe");
            let input = child.stdin.take().ok_or_else(missing)?;
            let output = BufReader::new(child.stdout.take().ok_or_else(missing)?);
            self.running = Some((child, input, output));
        }
        let Some((_, input, output)) = &mut self.running else { return Ok(String::new()) };
        let program = program(snippets);
        write!(input, "{}\n{program}", program.lines().count())?;
        input.flush()?;
        let mut answer = String::new();
        output.read_line(&mut answer)?;
        Ok(answer.trim_end().to_owned())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        if let Some((mut child, input, _)) = self.running.take() {
            drop(input);
            let _ = child.wait();
        }
    }
}

/// The pieces as a Python list of (values, code).
fn program(snippets: &[Snippet]) -> String {
    let mut out = String::from("[\n");
    for (number, snippet) in snippets.iter().enumerate() {
        let mut values = String::new();
        if number == 0 {
            CONSTANTS.iter().for_each(|(name, value)| values.push_str(&format!("'{name}':{value},")));
        }
        for (name, at, len) in FIELDS {
            if let Some(bytes) = snippet.tcp_info.get(*at..at + len) {
                let value = bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
                values.push_str(&format!("'tcpi_{name}':{value},"));
            }
        }
        if let Some(scales) = snippet.tcp_info.get(6) {
            values.push_str(&format!("'tcpi_snd_wscale':{},'tcpi_rcv_wscale':{},", scales & 15, scales >> 4));
        }
        out.push_str(&format!("({{{values}}}, {}),\n", quote(&dedent(&snippet.code))));
    }
    out.push_str("]\n");
    out
}

/// Code may be indented as the script is: what all its lines have in front goes. The first line follows `%{`.
fn dedent(code: &str) -> String {
    let (first, rest) = code.split_once('\n').unwrap_or((code, ""));
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let common =
        rest.lines().filter(|line| !line.trim().is_empty()).map(|line| indent(&line)).min().unwrap_or(0);
    let mut out = first.trim_start().to_owned();
    for line in rest.lines() {
        out.push('\n');
        out.push_str(line.get(common..).unwrap_or(""));
    }
    // A backslash may end the last line.
    out + "\n\n"
}

/// A Python string on one line.
fn quote(text: &str) -> String {
    let mut out = String::from("'");
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snippet(line: u32, code: &str) -> Snippet {
        let mut tcp_info = vec![0; 248];
        tcp_info[80] = 10;
        Snippet { place: Place { line, column: 1 }, code: code.into(), tcp_info }
    }

    #[test]
    fn assertions_see_tcp_info_and_each_others_names() {
        let mut python = Python::default();
        let good = [
            snippet(1, " assert tcpi_snd_cwnd == 10, 'a'\n"),
            snippet(2, "\n  x = 'b'\n"),
            snippet(3, "assert x == \"b\""),
        ];
        assert_eq!(python.check(&good), Ok(()));
        let bad = [snippet(1, "pass"), snippet(2, "assert tcpi_snd_cwnd == 11, tcpi_snd_cwnd")];
        let place = Place { line: 2, column: 1 };
        assert_eq!(python.check(&bad), Err((place, "the code failed: AssertionError: 10".into())));
        assert!(python.check(&[snippet(4, "assert x")]).is_err_and(|e| e.1.contains("NameError")));
    }
}
