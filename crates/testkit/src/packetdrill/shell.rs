//! The commands in backticks: no shell runs; what they set is set on the host under test.
//!
//! Public scripts set sysctls (`sysctl -q net.…=…`, `set_sysctls.py /proc/sys/net/…=…`), routes (`ip route`), queueing
//! (`tc`), and read settings that many share (`../common/defaults.sh`, interpreted the same way). A command that is not
//! known, or a setting that is not here, skips the script.

use std::net::IpAddr;

use ipnet::IpNet;
use netspace_stack::sock::SockError;

use super::runner::{Counters, Outcome, Runner, Trouble, skip, wrong};
use super::world::DEVICE;

/// How deep scripts may read other scripts.
const DEPTH_MAX: usize = 4;

/// Sysctls that are not here and need not be, and why.
const WITHOUT_EFFECT: &[&str] = &[
    "ipv4.tcp_fack",               // without effect on Linux itself since 4.15
    "ipv4.tcp_min_tso_segs",       // large segments are whole up to 64 KiB
    "ipv4.tcp_tso_win_divisor",    // the same
    "ipv4.tcp_tso_rtt_log",        // the same
    "ipv4.tcp_pacing_ss_ratio",    // nothing is paced
    "ipv4.tcp_pacing_ca_ratio",    // the same
    "ipv4.tcp_ecn_option",         // about AccECN's option, which stays off without tcp_ecn=3
    "ipv4.tcp_fastopen_key",       // cookies are not compared
    "ipv4.tcp_fastopen_cookies",   // never was a sysctl of Linux
    "ipv4.tcp_low_latency",        // without effect on Linux itself since 4.14
    "ipv4.tcp_autocorking",        // frames never wait below
    "ipv4.tcp_shrink_window",      // memory pressure, which is not modelled
    "ipv4.tcp_comp_sack_delay_ns", // ACKs are not compressed
    "ipv4.tcp_comp_sack_nr",       // the same
    "ipv4.tcp_comp_sack_slack_ns", // the same
    "core.default_qdisc",          // the device has no queue
];

/// Runs a command, perhaps of several lines.
pub(super) fn run(runner: &mut Runner, text: &str) -> Outcome<()> {
    lines(runner, text, 0)
}

/// Runs a shell script, by its path from the script's folder.
pub(super) fn script_file(runner: &mut Runner, name: &str) -> Outcome<()> {
    file(runner, name, 0)
}

fn file(runner: &mut Runner, name: &str, depth: usize) -> Outcome<()> {
    let path = runner.folder.join(name);
    if depth >= DEPTH_MAX {
        return wrong(format!("{name}: scripts read each other too deeply"));
    }
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => return wrong(format!("{}: {error}", path.display())),
    };
    lines(runner, &text, depth + 1)
}

fn lines(runner: &mut Runner, text: &str, depth: usize) -> Outcome<()> {
    let joined = text.replace("\\\n", " ");
    for line in joined.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        for command in split_commands(line) {
            one(runner, &command, depth)?;
        }
    }
    Ok(())
}

/// Commands of a line, at `;` and `&&` outside quotes.
fn split_commands(line: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(q)) if c == q => quote = None,
            (';' | '&', None) => {
                // `2>&1` is one word.
                if c == '&' && out.last().is_some_and(|l| l.ends_with('>')) {
                    out.last_mut().into_iter().for_each(|l| l.push(c));
                    continue;
                }
                out.push(String::new());
                continue;
            }
            _ => {}
        }
        out.last_mut().into_iter().for_each(|l| l.push(c));
    }
    out.retain(|command| !command.trim().is_empty());
    out
}

/// Words of a command: quotes joined, sums worked out, redirections left out.
fn words(command: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word = String::new();
    let (mut quote, mut parens) = (None, 0);
    let mut started = false;
    for c in command.chars() {
        match (c, quote) {
            ('(', _) => parens += 1,
            (')', _) => parens -= 1,
            _ => {}
        }
        match (c, quote) {
            ('"' | '\'', None) => (quote, started) = (Some(c), true),
            (c, Some(q)) if c == q => quote = None,
            (c, None) if c.is_whitespace() && parens == 0 => {
                if started || !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
                started = false;
            }
            (c, _) => word.push(c),
        }
    }
    if started || !word.is_empty() {
        out.push(word);
    }
    let mut kept = Vec::new();
    let mut target = false;
    for word in out {
        let redirects = word.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('>');
        if !target && !redirects {
            kept.push(sums(&word));
        }
        target = redirects && word.ends_with('>');
    }
    kept
}

/// Works out `$((a*b+c))`: products of sums are not needed, so both go from left to right by their rank.
fn sums(word: &str) -> String {
    let Some((before, rest)) = word.split_once("$((") else { return word.to_owned() };
    let Some((inside, after)) = rest.split_once("))") else { return word.to_owned() };
    let product = |term: &str| term.split('*').map(|f| f.trim().parse::<i64>().unwrap_or(0)).product::<i64>();
    let sum: i64 = inside.split('+').map(product).sum();
    format!("{before}{sum}{}", sums(after))
}

fn one(runner: &mut Runner, command: &str, depth: usize) -> Outcome<()> {
    let words = words(command);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((name, args)) = words.split_first() else { return Ok(()) };
    match (*name, args) {
        ("sysctl", args) => sysctl(runner, args),
        ("ip", args) => ip(runner, args),
        ("tc", args) => tc(args),
        ("nstat", args) => nstat(runner, args),
        ("echo", [value, ..])
            if command.contains("> /proc/sys/net/") || command.contains(">/proc/sys/net/") =>
        {
            let path = command.rsplit("/proc/sys/").next().unwrap_or("").trim();
            set_sysctl(runner, &path.replace('/', "."), value)
        }
        ("true" | ":" | "echo" | "cat" | "set" | "exit" | "export", _) => Ok(()),
        ("sleep", [time]) => {
            let nanos =
                time.parse::<f64>().map_err(|_| Trouble::Wrong(format!("sleep {time}: not a time")))? * 1e9;
            let to = runner.world.now_ns() + nanos as i64;
            runner.run_until(to).map_err(|(_, trouble)| trouble)
        }
        ("python" | "python3" | "sh" | "bash" | "source" | ".", [script, rest @ ..]) => {
            script_command(runner, script, rest, command, depth)
        }
        (name, args) => script_command(runner, name, args, command, depth),
    }
}

fn script_command(
    runner: &mut Runner,
    name: &str,
    args: &[&str],
    command: &str,
    depth: usize,
) -> Outcome<()> {
    let base = name.rsplit('/').next().unwrap_or(name);
    if base == "set_sysctls.py" {
        for arg in args {
            let Some((path, value)) = arg.split_once('=') else {
                return wrong(format!("{arg}: expected FILE=VALUE"));
            };
            set_sysctl(runner, &path.trim_start_matches("/proc/sys/").replace('/', "."), value)?;
        }
        return Ok(());
    }
    // What it would restore ends with the host.
    if base.starts_with("sysctl_restore_") {
        return Ok(());
    }
    if base.ends_with(".sh") {
        return file(runner, name, depth);
    }
    skip(format!("the command {:?} is not known", command.trim()))
}

// ---- sysctl --------------------------------------------------------------------------------------------------------

fn sysctl(runner: &mut Runner, args: &[&str]) -> Outcome<()> {
    let mut set = false;
    for arg in args.iter().filter(|arg| !arg.starts_with('-')) {
        // `sysctl -w "name = value"`, `sysctl name=value`; reading needs no answer.
        if let Some((name, value)) = arg.split_once('=') {
            set_sysctl(runner, &name.trim().replace('/', "."), value.trim())?;
            set = true;
        }
    }
    if set || args.iter().any(|arg| !arg.starts_with('-')) {
        Ok(())
    } else {
        wrong("sysctl: name=value is missing")
    }
}

fn set_sysctl(runner: &mut Runner, name: &str, value: &str) -> Outcome<()> {
    let short = name.strip_prefix("net.").unwrap_or(name);
    let world = &mut runner.world;
    match world.ns.set_sysctl(&mut world.t, short, value) {
        Ok(()) => {
            world.settle();
            Ok(())
        }
        Err(SockError::NoEntry) if WITHOUT_EFFECT.contains(&short) => Ok(()),
        Err(SockError::NoEntry) => skip(format!("the sysctl {name} is not here")),
        Err(error) => skip(format!("the sysctl {name} does not take {value:?}: {error}")),
    }
}

// ---- ip, tc --------------------------------------------------------------------------------------------------------

fn ip(runner: &mut Runner, args: &[&str]) -> Outcome<()> {
    let args: Vec<&str> =
        args.iter().copied().filter(|arg| !matches!(*arg, "-4" | "-6" | "-f" | "inet" | "inet6")).collect();
    match args.as_slice() {
        // Metrics of one connection are not kept for the next.
        ["tcp_metrics" | "tcpmetrics" | "tcp_metric", ..] => Ok(()),
        ["route" | "r", "change" | "replace" | "add", rest @ ..] => route(runner, rest),
        ["link", "set", rest @ ..] => link(runner, rest),
        ["addr" | "address" | "a", "add", address, ..] => {
            let Ok(net) = address.parse::<IpNet>() else {
                return wrong(format!("{address}: not an address"));
            };
            let world = &mut runner.world;
            let result = world.ns.add_address(&mut world.t, world.dev, net, true);
            result.map_err(|error| Trouble::Wrong(format!("ip address add {address}: {error}")))
        }
        _ => skip(format!("the command \"ip {}\" is not known", args.join(" "))),
    }
}

fn link(runner: &mut Runner, args: &[&str]) -> Outcome<()> {
    let world = &mut runner.world;
    let result = match args {
        ["dev", DEVICE, "mtu", mtu] | [DEVICE, "mtu", mtu] => {
            let mtu = mtu.parse().map_err(|_| Trouble::Wrong(format!("{mtu}: not an MTU")))?;
            world.ns.set_mtu(&mut world.t, world.dev, mtu)
        }
        ["dev", DEVICE, "up"] | [DEVICE, "up"] => world.ns.set_up(&mut world.t, world.dev, true),
        ["dev", DEVICE, "down"] | [DEVICE, "down"] => world.ns.set_up(&mut world.t, world.dev, false),
        ["dev" | "lo", ..] if args.contains(&"lo") => Ok(()),
        _ => return skip(format!("the command \"ip link set {}\" is not known", args.join(" "))),
    };
    world.settle();
    result.map_err(|error| Trouble::Wrong(format!("ip link set: {error}")))
}

/// `ip route add|change|replace PREFIX [via GATEWAY] [dev tun0] [metrics …]`.
fn route(runner: &mut Runner, args: &[&str]) -> Outcome<()> {
    let Some((prefix, rest)) = args.split_first() else { return wrong("ip route: a prefix is missing") };
    let prefix = match *prefix {
        "default" if runner.setup.version.is_v6() => "::/0",
        "default" => "0.0.0.0/0",
        prefix => prefix,
    };
    let net = match (prefix.parse::<IpNet>(), prefix.parse::<IpAddr>()) {
        (Ok(net), _) => net,
        (_, Ok(addr)) => IpNet::from(addr),
        _ => return wrong(format!("ip route: {prefix}: not a prefix")),
    };
    let mut metrics = super::route::Metrics::default();
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().copied().unwrap_or("");
        match *word {
            "via" => {
                let gateway = value();
                metrics.via = gateway
                    .parse()
                    .map(Some)
                    .map_err(|_| Trouble::Wrong(format!("{gateway}: not an address")))?;
            }
            "dev" | "proto" | "scope" | "src" => drop(value()),
            "mtu" => {
                let mut number = value();
                if number == "lock" {
                    metrics.mtu_lock = true;
                    number = value();
                }
                metrics.mtu = number.parse().ok();
            }
            "advmss" => return skip("ip route … advmss: routes here have no advmss"),
            other => return skip(format!("ip route … {other}: not supported")),
        }
    }
    super::route::set(&mut runner.world, net, &metrics)
        .map_err(|error| Trouble::Wrong(format!("ip route: {error}")))
}

/// The device has no queue: what only chooses one changes nothing.
fn tc(args: &[&str]) -> Outcome<()> {
    if args.first() != Some(&"qdisc") {
        return skip(format!("the command \"tc {}\" is not known", args.join(" ")));
    }
    match args {
        [.., "limit", "0"] => skip("tc … limit 0: the device has no queue that could be full"),
        _ if args.iter().any(|a| matches!(*a, "netem" | "tbf" | "htb")) => {
            skip("tc: the device has no queue")
        }
        _ => Ok(()),
    }
}

// ---- nstat ---------------------------------------------------------------------------------------------------------

/// `nstat`: notes the counters. `nstat | grep NAME`: one whose name fits must have changed since.
fn nstat(runner: &mut Runner, args: &[&str]) -> Outcome<()> {
    let now = counters(runner);
    let before = std::mem::replace(&mut runner.counters, now);
    let Some(at) = args.iter().position(|arg| *arg == "grep") else { return Ok(()) };
    let Some(pattern) = args[at + 1..].iter().find(|arg| !arg.starts_with('-')) else { return Ok(()) };
    let changed = |(name, value): (&String, &u64)| name.contains(*pattern) && before.get(name) != Some(value);
    if runner.counters.iter().any(changed) {
        return Ok(());
    }
    wrong(format!("nstat: no counter {pattern} has changed"))
}

fn counters(runner: &Runner) -> Counters {
    let mut out = Counters::new();
    for name in ["snmp", "netstat"] {
        let path = format!("/proc/net/{name}");
        let Some(text) = netspace_uapi::files::read(&runner.world.ns, runner.world.t.now, &path) else {
            continue;
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.chunks_exact(2) {
            let (Some((table, names)), Some((_, values))) =
                (pair[0].split_once(':'), pair[1].split_once(':'))
            else {
                continue;
            };
            for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
                out.insert(format!("{table}{name}"), value.parse().unwrap_or(0));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_quotes_and_lose_redirections() {
        assert_eq!(
            words("sysctl -q net.ipv4.tcp_rmem=\"4096 540000 $((15*1024*1024+1))\" > /dev/null 2>&1"),
            ["sysctl", "-q", "net.ipv4.tcp_rmem=4096 540000 15728641"]
        );
        assert_eq!(
            split_commands("a 'x;y' && b >/dev/null 2>&1; c"),
            ["a 'x;y' ", " b >/dev/null 2>&1", " c"]
        );
    }
}
