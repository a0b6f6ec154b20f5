//! What a running lab tells of itself: hosts, programs, addresses, links.

use std::collections::BTreeMap;

use netspace_base::NsId;
use netspace_door::ProgramId;
use netspace_lab::run::Lab;
use netspace_lab::world::{LinkInfo, World};
use netspace_sched::Impairment;

use crate::control::{
    DirectionState, HostState, InterfaceState, LabState, LinkChange, LinkState, ProgramState,
};
use crate::output::did_you_mean;
use crate::runtime::LabInfo;

/// The whole lab, for `ps`.
pub(crate) fn lab(lab: &Lab, info: &LabInfo) -> LabState {
    let world = &lab.world;
    let pids: BTreeMap<ProgramId, u32> = world.programs().iter().map(|(id, pid, _)| (*id, *pid)).collect();
    let programs = |host: &str| {
        let its = lab.programs().filter(|(_, program)| program.host == host);
        its.map(|(id, program)| ProgramState {
            pid: pids.get(&id).copied().unwrap_or_default(),
            command: shown(&program.command),
        })
        .collect()
    };
    let hosts = (0..).map(NsId).zip(world.hosts()).map(|(ns, host)| HostState {
        name: host.name.clone(),
        kind: host.kind.word().to_owned(),
        interfaces: interfaces(world, ns),
        programs: programs(&host.name),
    });
    LabState {
        name: info.name.clone(),
        file: info.file.as_ref().map(|file| file.display().to_string()),
        pid: info.pid,
        uptime_seconds: world.now().as_secs_f64(),
        time_fidelity_percent: world.time_fidelity() * 100.0,
        hosts: hosts.collect(),
    }
}

/// A command as one would type it.
fn shown(argv: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    let word = |arg: &String| {
        if !arg.is_empty() && arg.chars().all(plain) { arg.clone() } else { format!("{arg:?}") }
    };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn interfaces(world: &World, ns: NsId) -> Vec<InterfaceState> {
    let devices = world.netns(ns).dev.iter().filter(|device| !device.is_loopback());
    devices
        .map(|device| {
            let v4 = device.addrs4.iter().map(|addr| format!("{}/{}", addr.addr, addr.prefix_len));
            // Link-local addresses are on every interface and say nothing.
            let v6 = device
                .addrs6
                .iter()
                .filter(|addr| !addr.addr.is_unicast_link_local())
                .map(|addr| format!("{}/{}", addr.addr, addr.prefix_len));
            InterfaceState {
                name: device.name.clone(),
                mac: netspace_wire::MacAddr(device.mac).to_string(),
                mtu: device.mtu,
                up: device.is_running(),
                addresses: v4.chain(v6).collect(),
            }
        })
        .collect()
}

/// All links, or the one that is named.
pub(crate) fn links(world: &World, name: Option<&str>) -> Result<Vec<LinkState>, String> {
    match name {
        None => Ok(world.links().map(|link| link_state(&link)).collect()),
        Some(name) => {
            let (number, _) = world.find_link(name).map_err(|error| error.to_string())?;
            Ok(vec![link_state(&world.link(number))])
        }
    }
}

fn link_state(link: &LinkInfo) -> LinkState {
    let direction = |to: usize| DirectionState {
        from: link.ends[1 - to].name(),
        to: link.ends[to].name(),
        settings: settings(&link.towards[to]),
        in_flight: link.in_flight[to] as u64,
    };
    LinkState {
        name: format!("{}--{}", link.ends[0].host, link.ends[1].host),
        up: link.up,
        directions: vec![direction(1), direction(0)],
    }
}

/// The settings that are on; the queue's length is called as in a lab file.
fn settings(link: &Impairment) -> BTreeMap<String, String> {
    let name = |key: &str| if key == "limit" { "queue".to_owned() } else { key.to_owned() };
    link.pairs().into_iter().map(|(key, value)| (name(key), value)).collect()
}

/// Carries out a change of a link.
pub(crate) fn change_link(
    world: &mut World,
    name: &str,
    from: Option<&str>,
    change: &LinkChange,
) -> Result<(), String> {
    let (number, _) = world.find_link(name).map_err(|error| error.to_string())?;
    match change {
        LinkChange::Up => world.set_link_up(number, true),
        LinkChange::Down => world.set_link_up(number, false),
        LinkChange::Set(settings) => {
            let towards = from.map(|from| other_end(&world.link(number), from)).transpose()?;
            let words: Vec<String> = settings.iter().map(|(key, value)| format!("{key} {value}")).collect();
            world.set_link(number, towards, &words.join(" ")).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// The end that frames from `from` go towards.
fn other_end(link: &LinkInfo, from: &str) -> Result<usize, String> {
    let is = |end: usize| link.ends[end].host == from || link.ends[end].name() == from;
    match (is(0), is(1)) {
        (true, false) => Ok(1),
        (false, true) => Ok(0),
        (true, true) => Err(format!("both ends are {from}: name one as {:?}", link.ends[0].name())),
        (false, false) => {
            let ends = [link.ends[0].host.as_str(), link.ends[1].host.as_str()];
            let hint = did_you_mean(from, ends);
            Err(format!("{from:?} is no end of this link{hint}; its ends are {} and {}", ends[0], ends[1]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_in_pairs() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let of = |words: &str| settings(&words.parse().expect("reads"));
        assert_eq!(of("delay 50ms limit 10"), [pair("delay", "50ms"), pair("queue", "10")].into());
        assert_eq!(of("delay 50ms 5ms loss 2%"), [pair("delay", "50ms 5ms"), pair("loss", "2%")].into());
        assert_eq!(of("queue fq_codel noecn"), [pair("queue", "fq_codel noecn")].into());
        assert!(of("").is_empty());
    }
}
