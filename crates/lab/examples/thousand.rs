//! How long a thousand hosts on switches take to start, and how much memory each needs.
//!
//! `cargo run --release -p netspace-lab --example thousand [HOSTS]`

use std::time::{Duration, Instant};

use netspace_lab::world::{Clock, World};
use netspace_lab::{file, plan};

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PER_SWITCH: usize = 50;
    let hosts: usize = std::env::args().nth(1).map_or(Ok(1000), |n| n.parse())?;
    let switches = hosts.div_ceil(PER_SWITCH);
    let mut text = format!(
        "hosts: {{'h[1-{hosts}]': {{}}}}\nrouters: {{r: {{}}}}\nswitches: {{core: {{}}, 's[1-{switches}]': {{}}}}\n"
    );
    text.push_str(&format!("links:\n  - r -- core\n  - r -- h1\n  - s[1-{switches}] -- core\n"));
    for s in 1..=switches {
        let first = (s - 1) * PER_SWITCH + 1;
        text.push_str(&format!("  - h[{first}-{}] -- s{s}\n", (s * PER_SWITCH).min(hosts)));
    }
    let before = resident();
    let started = Instant::now();
    let (lab, mut diagnostics) = file::load(&text, "thousand.yaml").map_err(|d| d.to_string())?;
    let read = started.elapsed();
    let plan = plan::plan(&lab, &mut diagnostics).ok_or_else(|| diagnostics.to_string())?;
    let planned = started.elapsed();
    let mut world = World::from_plan(plan, None, Clock::virtual_time())?;
    while world.work() {}
    let up = started.elapsed();
    world.run_for(Duration::from_secs(10))?;
    let settled = started.elapsed();
    let per_host = resident().saturating_sub(before) / hosts as u64;
    println!("{hosts} hosts, {switches} switches");
    println!("read {read:.1?}, planned after {planned:.1?}, up after {up:.1?}");
    println!("10 s of the lab's time (duplicate address detection, multicast reports) after {settled:.1?}");
    println!("memory per host: {} kB", per_host / 1000);
    let packets = world.ledger();
    println!(
        "packets: {} created, {} delivered, {} dropped",
        packets.created,
        packets.delivered,
        packets.dropped_total()
    );
    for (reason, count) in packets.drops() {
        println!("  {reason}: {count}");
    }
    Ok(())
}
