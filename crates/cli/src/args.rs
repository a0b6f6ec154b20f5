//! The command tree: what `--help`, the man pages and the shell completions are made from.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const EXIT_CODES: &str = "\
Exit codes:
  0      it worked; `run` without CMD: all checks hold
  1      it failed; `run` without CMD: some checks fail
  2      bad input: a wrong command line or lab file; nothing was started
  N      `run … -- CMD` and `exec`: what CMD exited with
  128+N  … CMD was killed by signal N
  125    … netspace itself failed; 126: CMD cannot be run; 127: CMD was not found

Environment:
  NO_COLOR         no colours (they are on only where output is a terminal)
  XDG_RUNTIME_DIR  where running labs keep their state; else /tmp/netspace-UID
  NETSPACE_LAB     the lab that is meant when none is named; set for programs on its hosts

Start with `netspace demo`.";

/// The Linux network stack as an ordinary process: labs of hosts, switches, routers and links for real programs.
#[derive(Debug, Parser)]
#[command(
    name = "netspace",
    version,
    after_help = EXIT_CODES,
    max_term_width = 100,
    infer_subcommands = false,
    long_about = "The Linux network stack, end to end, as an ordinary process. Describe a network (hosts, switches, \
routers, links) in one small file; your real, unmodified programs run on its hosts; every packet they send goes through \
netspace's own stack, and you can see each step of its way. No root, no kernel module, no container engine, nothing left \
behind."
)]
pub(crate) struct Cli {
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Color {
    /// On terminals, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show one HTTP request's way through the stack, layer by layer and host by host. Needs nothing installed.
    Demo(DemoArgs),
    /// Start a lab, run its programs and checks (or one command on one host), stop it.
    #[command(after_help = EXIT_CODES)]
    Run(RunArgs),
    /// Start a lab and leave it running.
    Up(UpArgs),
    /// Stop a running lab.
    Down(DownArgs),
    /// List running labs, their hosts, programs and addresses.
    Ps(PsArgs),
    /// Run a command on a host of a running lab.
    #[command(after_help = EXIT_CODES)]
    Exec(ExecArgs),
    /// Open a shell on a host of a running lab.
    Shell(ShellArgs),
    /// Show or change the links of a running lab.
    #[command(after_help = LINK_HELP)]
    Link(LinkArgs),
    /// Follow packets live through every stage of a running lab.
    #[command(after_help = TRACE_HELP)]
    Trace(TraceArgs),
    /// Check a lab file: hosts, links and addresses as they will be. Starts nothing.
    Check(CheckArgs),
    /// Draw a lab's network as text, or as DOT for Graphviz.
    Graph(GraphArgs),
    /// Tell what this machine offers netspace, what is missing and what that costs.
    Doctor(DoctorArgs),
    /// Small servers and clients, to run on a lab's hosts.
    Tool(ToolArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
    /// Print the manual page, or write all of them into a directory.
    Man(ManArgs),
    /// The process behind `up`.
    #[command(name = "__lab", hide = true)]
    Daemon(DaemonArgs),
}

const LINK_HELP: &str = "\
Actions (what is not named keeps its value):
  set [delay 50ms] [jitter 5ms] [loss 2%] [duplicate 1%] [reorder 1%] [corrupt 0.1%]
      [rate 10mbit|none] [queue 100|64kB|codel|fq_codel]
      loss in bursts: loss gemodel 1% 10% (chances to begin and to end)
      a managed queue takes tc's options: queue fq_codel target 5ms noecn
  up      plug the cable in
  down    unplug it: frames on their way are lost

A link is named by its ends, in either order. `--from END` changes the direction from END only.

Examples:
  netspace link                             all links and their settings
  netspace link lan--gw set delay 50ms loss 2%
  netspace link lan--gw --from gw set rate 1mbit
  netspace link lan--gw down";

const TRACE_HELP: &str = "\
Filters are words, with `and` (may be left out), `or`, `not` and parentheses:
  arp ip ip6 icmp icmp6 ndp igmp tcp udp      the protocol
  [src|dst] [host|net] ADDR[/BITS]            addresses
  [src|dst] port N[-N]                        TCP and UDP ports
  [src|dst] ether MAC                         Ethernet addresses
  drop [REASON]                               packets that end early, and why
  point NAME                                  a stage of the way (route, forward, demux, …)
  on HOST    dev NAME    packet N             a host, a device, one packet

Examples:
  netspace trace                              everything, on every host
  netspace trace gw drop                      what the router drops, and why
  netspace trace client 'tcp and port 80' --json
  netspace trace point forward or drop";

/// Names a running lab.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct LabChoice {
    /// The running lab: its name or its file. May be left out while only one is running.
    #[arg(long, value_name = "NAME")]
    pub(crate) lab: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Print the events themselves as JSON lines instead of the story.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// The lab file (YAML); `-` reads standard input.
    pub(crate) lab: PathBuf,
    /// Run CMD on this host instead of the file's checks.
    #[arg(long, value_name = "HOST", requires = "cmd")]
    pub(crate) on: Option<String>,
    /// Write one pcapng file per interface into this directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) pcap: Option<PathBuf>,
    /// The seed of everything random in the lab (loss, sequence numbers, …).
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Print the checks' results as JSON.
    #[arg(long, conflicts_with = "on")]
    pub(crate) json: bool,
    /// Print no progress messages.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// The command, with its arguments.
    #[arg(last = true, requires = "on", value_name = "CMD")]
    pub(crate) cmd: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct UpArgs {
    /// The lab file (YAML).
    pub(crate) lab: PathBuf,
    /// Write one pcapng file per interface into this directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) pcap: Option<PathBuf>,
    /// The seed of everything random in the lab.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct DaemonArgs {
    pub(crate) lab: PathBuf,
    #[arg(long)]
    pub(crate) pcap: Option<PathBuf>,
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct DownArgs {
    /// The running lab: its name or its file. May be left out while only one is running.
    pub(crate) lab: Option<String>,
    /// Stop every running lab.
    #[arg(long, conflicts_with = "lab")]
    pub(crate) all: bool,
}

#[derive(Args, Debug)]
pub(crate) struct PsArgs {
    /// Only this lab: its name or its file.
    pub(crate) lab: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) lab: LabChoice,
    /// The host to run the command on.
    pub(crate) host: String,
    /// The command, with its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) cmd: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct ShellArgs {
    #[command(flatten)]
    pub(crate) lab: LabChoice,
    /// The host to open the shell on.
    pub(crate) host: String,
}

#[derive(Args, Debug)]
pub(crate) struct LinkArgs {
    #[command(flatten)]
    pub(crate) lab: LabChoice,
    /// Change only the direction that starts at this end.
    #[arg(long, value_name = "END", requires = "link")]
    pub(crate) from: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The link, by its ends: `A--B`.
    #[arg(value_name = "A--B")]
    pub(crate) link: Option<String>,
    /// `set KEY VALUE…`, `up` or `down`; without it the link is shown.
    #[arg(value_name = "ACTION", num_args = 0..)]
    pub(crate) action: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    pub(crate) lab: LabChoice,
    /// Print one JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Stop after this many lines.
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) count: Option<u64>,
    /// A host's name first, then words of a filter.
    #[arg(value_name = "HOST|FILTER")]
    pub(crate) words: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The lab file (YAML); `-` reads standard input.
    pub(crate) lab: PathBuf,
    /// Print JSON: hosts, links, addresses as they will be.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct GraphArgs {
    /// The lab file (YAML); `-` reads standard input.
    pub(crate) lab: PathBuf,
    /// Print DOT (`netspace graph LAB --dot | dot -Tsvg`).
    #[arg(long)]
    pub(crate) dot: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Where to write `netspace.1`, `netspace-run.1`, …; without it `netspace.1` is printed.
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ToolArgs {
    #[command(subcommand)]
    pub(crate) tool: Tool,
}

/// Which IP version to use.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct IpVersion {
    /// Only IPv4.
    #[arg(short = '4', long = "ipv4", conflicts_with = "v6")]
    pub(crate) v4: bool,
    /// Only IPv6.
    #[arg(short = '6', long = "ipv6")]
    pub(crate) v6: bool,
}

/// Where a server listens.
#[derive(Args, Clone, Debug)]
pub(crate) struct Listen {
    /// The address to listen on; else every address, IPv6 and IPv4.
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Option<IpAddr>,
    #[command(flatten)]
    pub(crate) version: IpVersion,
    /// Serve one client, then exit.
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tool {
    /// An HTTP/1.1 server: files of DIR, `POST /echo` answers with what came, as JSON, `/bytes/N` gives N known bytes.
    Http(HttpArgs),
    /// An HTTP/1.1 client: GET, or POST with `--data`.
    Fetch(FetchArgs),
    /// A server that sends back what it gets.
    Echo(EchoArgs),
    /// A server that takes bytes, counts and checks them, and reports the rate.
    Sink(SinkArgs),
    /// A client that sends N bytes of known content to a sink.
    Source(SourceArgs),
}

#[derive(Args, Debug)]
pub(crate) struct HttpArgs {
    /// The TCP port.
    #[arg(long, short, default_value_t = 80)]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) listen: Listen,
    /// The directory to serve; without it there is a greeting at `/`.
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct FetchArgs {
    /// `http://HOST[:PORT]/PATH`.
    pub(crate) url: String,
    /// POST this body (`@FILE`: the file's bytes, `@-`: standard input).
    #[arg(long, short, value_name = "BODY")]
    pub(crate) data: Option<String>,
    /// The body's media type.
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    pub(crate) r#type: String,
    /// Ask for the headers only.
    #[arg(long, short = 'I', conflicts_with = "data")]
    pub(crate) head: bool,
    /// Print status line and headers to standard error.
    #[arg(long, short)]
    pub(crate) verbose: bool,
    /// Give up after this many seconds without progress.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) version: IpVersion,
}

#[derive(Args, Debug)]
pub(crate) struct EchoArgs {
    /// The port.
    #[arg(long, short, default_value_t = 7)]
    pub(crate) port: u16,
    /// UDP instead of TCP.
    #[arg(long, short)]
    pub(crate) udp: bool,
    #[command(flatten)]
    pub(crate) listen: Listen,
}

#[derive(Args, Debug)]
pub(crate) struct SinkArgs {
    /// The TCP port.
    #[arg(long, short, default_value_t = 9)]
    pub(crate) port: u16,
    /// Also report the content's SHA-256 (slower).
    #[arg(long)]
    pub(crate) sha256: bool,
    /// Report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) listen: Listen,
}

#[derive(Args, Debug)]
pub(crate) struct SourceArgs {
    /// The sink: `HOST` or `HOST:PORT`.
    pub(crate) to: String,
    /// How many bytes to send (`1000`, `64k`, `100M`, `1G`; powers of 1000, `Ki`/`Mi`/`Gi` of 1024).
    #[arg(long, short = 'n', value_name = "N", default_value = "1M", value_parser = crate::quantity::parse_bytes)]
    pub(crate) bytes: u64,
    /// How many bytes to write with one system call.
    #[arg(long, value_name = "N", default_value = "64Ki", value_parser = crate::quantity::parse_bytes)]
    pub(crate) block: u64,
    /// Report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) version: IpVersion,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_tree_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_needs_its_host() {
        assert!(Cli::try_parse_from(["netspace", "run", "a.yaml", "--", "true"]).is_err());
        assert!(Cli::try_parse_from(["netspace", "run", "a.yaml", "--on", "h"]).is_err());
        let Ok(cli) = Cli::try_parse_from(["netspace", "run", "a.yaml", "--on", "h", "--", "ls", "-l"])
        else {
            panic!("refused")
        };
        let Command::Run(run) = cli.command else { panic!("another command") };
        assert_eq!(run.cmd, ["ls", "-l"]);
    }

    #[test]
    fn link_actions_are_words() {
        let words = ["netspace", "link", "a--b", "--from", "a", "set", "delay", "5ms"];
        let Ok(cli) = Cli::try_parse_from(words) else { panic!("refused") };
        let Command::Link(link) = cli.command else { panic!("another command") };
        assert_eq!(link.link.as_deref(), Some("a--b"));
        assert_eq!(link.action, ["set", "delay", "5ms"]);
    }
}
