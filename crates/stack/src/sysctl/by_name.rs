//! Sysctls by name: `/proc/sys/net` for the whole namespace, and what setting one brings about.

use netspace_base::DevId;

use super::{Conf4, Conf6, Core, Icmp6Conf, NeighConf, NeighGc, Net4, Net6, Outcome, Route4, Route6};
use crate::error::SockError;
use crate::sock::SockSysctls;
use crate::{Netns, Turn, ip6};

/// Whose values a name is about, within a family that exists per device.
#[derive(Clone, Copy)]
enum Whose {
    All,
    Default,
    Dev(DevId),
}

impl Netns {
    /// Sets a sysctl under `/proc/sys/net` (`ipv4.ip_forward` = `1`); its effects take place at once. `NoEntry` if there
    /// is no such name, `Invalid` if the value is out of range.
    pub fn set_sysctl(&mut self, t: &mut Turn, name: &str, value: &str) -> Result<(), SockError> {
        let name = normalise(name);
        if let Some(outcome) = self.set_own_sysctl(t, &name, value) {
            self.routes_changed();
            return outcome;
        }
        self.sockets.sysctls.set(&name, value).unwrap_or(Err(SockError::NoEntry))
    }

    /// Reads a sysctl as `/proc/sys` prints it.
    pub fn sysctl(&self, name: &str) -> Option<String> {
        let name = normalise(name);
        self.own_sysctl(&name).map(|v| v.to_string()).or_else(|| self.sockets.sysctls.get(&name))
    }

    /// All names under `/proc/sys/net`, with dots, in order.
    pub fn sysctl_names(&self) -> Vec<String> {
        let own = SockSysctls::NAMES.iter().chain(SockSysctls::READ_ONLY);
        let mut names: Vec<String> = own.map(|&name| name.to_owned()).collect();
        let mut group = |prefix: &str, of: &[&str]| names.extend(of.iter().map(|n| format!("{prefix}.{n}")));
        group("ipv4", Net4::NAMES);
        group("ipv4", &["ip_forward"]);
        group("ipv4.route", Route4::NAMES);
        group("ipv6", Net6::NAMES);
        group("ipv6.route", Route6::NAMES);
        group("ipv6.icmp", Icmp6Conf::NAMES);
        group("core", Core::NAMES);
        group("ipv4.neigh.default", NeighGc::NAMES);
        group("ipv6.neigh.default", NeighGc::NAMES);
        let devices = self.dev.iter().map(|d| d.name.as_str());
        for whose in ["all", "default"].into_iter().chain(devices) {
            group(&format!("ipv4.conf.{whose}"), Conf4::NAMES);
            group(&format!("ipv6.conf.{whose}"), Conf6::NAMES);
            if whose != "all" {
                group(&format!("ipv4.neigh.{whose}"), NeighConf::NAMES);
                group(&format!("ipv6.neigh.{whose}"), NeighConf::NAMES);
            }
        }
        names.sort_unstable();
        names
    }

    fn set_own_sysctl(&mut self, t: &mut Turn, name: &str, value: &str) -> Outcome {
        if name == "ipv4.ip_forward" {
            return self.set_conf4(Whose::All, "forwarding", value);
        }
        let (group, leaf) = name.rsplit_once('.')?;
        if let Some(outcome) = self.sysctl.set_single(group, leaf, value) {
            return Some(outcome);
        }
        match split_group(group)? {
            ("ipv4.conf", whose) => self.set_conf4(self.whose(whose)?, leaf, value),
            ("ipv6.conf", whose) => self.set_conf6(t, self.whose(whose)?, leaf, value),
            (family, whose) => match (family, self.whose(whose)?) {
                ("ipv4.neigh", Whose::Default) => self.sysctl.neigh4.set(leaf, value),
                ("ipv6.neigh", Whose::Default) => self.sysctl.neigh6.set(leaf, value),
                ("ipv4.neigh", Whose::Dev(dev)) => self.dev.get_mut(dev)?.conf.neigh4.set(leaf, value),
                ("ipv6.neigh", Whose::Dev(dev)) => self.dev.get_mut(dev)?.conf.neigh6.set(leaf, value),
                _ => None,
            },
        }
    }

    fn own_sysctl(&self, name: &str) -> Option<i32> {
        if name == "ipv4.ip_forward" {
            return Some(self.sysctl.all4.forwarding);
        }
        let (group, leaf) = name.rsplit_once('.')?;
        if let Some(value) = self.sysctl.get_single(group, leaf) {
            return Some(value);
        }
        let (family, whose) = split_group(group)?;
        let s = &self.sysctl;
        match (family, self.whose(whose)?) {
            ("ipv4.conf", Whose::All) => s.all4.get(leaf),
            ("ipv4.conf", Whose::Default) => s.default4.get(leaf),
            ("ipv4.conf", Whose::Dev(dev)) => self.dev.get(dev)?.conf.v4.get(leaf),
            ("ipv6.conf", Whose::All) => s.all6.get(leaf),
            ("ipv6.conf", Whose::Default) => s.default6.get(leaf),
            ("ipv6.conf", Whose::Dev(dev)) => self.dev.get(dev)?.conf.v6.get(leaf),
            ("ipv4.neigh", Whose::Default) => s.neigh4.get(leaf),
            ("ipv6.neigh", Whose::Default) => s.neigh6.get(leaf),
            ("ipv4.neigh", Whose::Dev(dev)) => self.dev.get(dev)?.conf.neigh4.get(leaf),
            ("ipv6.neigh", Whose::Dev(dev)) => self.dev.get(dev)?.conf.neigh6.get(leaf),
            _ => None,
        }
    }

    fn whose(&self, text: &str) -> Option<Whose> {
        match text {
            "all" => Some(Whose::All),
            "default" => Some(Whose::Default),
            name => self.dev.by_name(name).map(|d| Whose::Dev(d.id)),
        }
    }

    fn set_conf4(&mut self, whose: Whose, leaf: &str, value: &str) -> Outcome {
        let outcome = match whose {
            Whose::All => self.sysctl.all4.set(leaf, value),
            Whose::Default => self.sysctl.default4.set(leaf, value),
            Whose::Dev(dev) => self.dev.get_mut(dev)?.conf.v4.set(leaf, value),
        };
        // `all.forwarding` (and `ip_forward`) writes the default and every device, as Linux does.
        if matches!((whose, outcome), (Whose::All, Some(Ok(())))) && leaf == "forwarding" {
            let forwarding = self.sysctl.all4.forwarding;
            self.sysctl.default4.forwarding = forwarding;
            self.dev.iter_mut().for_each(|d| d.conf.v4.forwarding = forwarding);
        }
        outcome
    }

    fn set_conf6(&mut self, t: &mut Turn, whose: Whose, leaf: &str, value: &str) -> Outcome {
        let outcome = match whose {
            Whose::All => self.sysctl.all6.set(leaf, value),
            Whose::Default => self.sysctl.default6.set(leaf, value),
            Whose::Dev(dev) => self.dev.get_mut(dev)?.conf.v6.set(leaf, value),
        };
        if outcome != Some(Ok(())) {
            return outcome;
        }
        let devices: Vec<DevId> = match whose {
            Whose::All => self.dev.iter().map(|d| d.id).collect(),
            Whose::Default => Vec::new(),
            Whose::Dev(dev) => vec![dev],
        };
        if matches!(leaf, "forwarding" | "disable_ipv6") && matches!(whose, Whose::All) {
            let all = self.sysctl.all6.get(leaf)?.to_string();
            let _ = self.sysctl.default6.set(leaf, &all);
            for &dev in &devices {
                let _ = self.dev.get_mut(dev)?.conf.v6.set(leaf, &all);
            }
        }
        for dev in devices {
            match leaf {
                "forwarding" => ip6::switch::forwarding_changed(self, t, dev),
                "disable_ipv6" => ip6::switch::enabled_changed(self, t, dev),
                _ => {}
            }
        }
        outcome
    }
}

/// Dots between the words, no `net.` in front. Slashes are Linux's other separator, under which a device's name may hold
/// dots.
fn normalise(name: &str) -> String {
    let dotted = name.replace('/', ".");
    dotted.strip_prefix("net.").map_or(dotted.clone(), str::to_owned)
}

/// `ipv4.conf.eth0` → (`ipv4.conf`, `eth0`).
fn split_group(group: &str) -> Option<(&str, &str)> {
    let second = group.match_indices('.').nth(1)?.0;
    Some((&group[..second], &group[second + 1..]))
}
