//! The examples' plans, as `netspace check` shows them: kept in `tests/plans/`. After a wanted change, run with
//! `NETSPACE_BLESS=1` and read the difference.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use netspace_lab::file;
use netspace_lab::plan::{self, Plan};

fn example(name: &str) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../examples/{name}.yaml"));
    let text = std::fs::read_to_string(&path).expect("the example is there");
    plan_of(&text, &format!("{name}.yaml"))
}

fn plan_of(text: &str, name: &str) -> Plan {
    let (lab, mut diagnostics) = file::load(text, name).unwrap_or_else(|d| panic!("{d}"));
    let plan = plan::plan(&lab, &mut diagnostics);
    assert!(diagnostics.list.is_empty(), "{diagnostics}");
    plan.expect("a plan")
}

#[track_caller]
fn snapshot(name: &str, shown: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans").join(name);
    if std::env::var_os("NETSPACE_BLESS").is_some() {
        std::fs::write(&path, shown).expect("written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, shown, "{name} differs: NETSPACE_BLESS=1 keeps the new one");
}

#[test]
fn the_examples_plans_are_as_kept() {
    for name in ["hello", "wan", "ring", "lan"] {
        let plan = example(name);
        assert_eq!(plan.name, name);
        snapshot(&format!("{name}.txt"), &format!("{}\n{}", plan::table(&plan), plan::graph_text(&plan)));
        snapshot(&format!("{name}.json"), &format!("{:#}\n", plan::json(&plan)));
    }
    snapshot("hello.dot", &plan::dot(&example("hello")));
}

/// Every address, MAC and interface name is given once; every host has an address of each family and a way out.
#[test]
fn plans_hold_together() {
    let big = "hosts: {'h[1-600]': {}}\nrouters: {'r[1-3]': {}}\nswitches: {'s[1-2]': {}}\n\
               links:\n  - h[1-300] -- s1\n  - h[301-600] -- s2\n  - s1 -- r1\n  - r1 -- r2 -- r3\n  - r3 -- s2\n";
    for plan in ["hello", "wan", "ring", "lan"].map(example).into_iter().chain([plan_of(big, "big.yaml")]) {
        let interfaces = || plan.nodes.iter().flat_map(|n| &n.interfaces);
        let macs: BTreeSet<_> = interfaces().map(|i| i.mac).collect();
        assert_eq!(macs.len(), interfaces().count());
        let addresses: Vec<IpAddr> =
            interfaces().flat_map(plan::Interface::all_addresses).map(|n| n.addr()).collect();
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), addresses.len());
        for node in plan.nodes.iter().filter(|n| !n.kind.is_switch()) {
            let number = plan.node(&node.name).expect("it is there");
            let (v4, v6) = plan.first_addresses(number);
            assert!(v4.is_some() && v6.is_some(), "{} has no address", node.name);
            for other in addresses.iter().step_by(1 + addresses.len() / 40) {
                assert!(reaches(&plan, number, *other), "{} has no way to {other}", node.name);
            }
        }
    }
}

/// Whether following the routes from `node` leads to `addr`.
fn reaches(plan: &Plan, mut node: usize, addr: IpAddr) -> bool {
    for _hop in 0..16 {
        if plan.nodes[node].interfaces.iter().any(|i| i.all_addresses().any(|n| n.contains(&addr))) {
            return true;
        }
        let routes = plan.nodes[node].routes.iter().filter(|r| r.to.contains(&addr));
        let best = routes.max_by_key(|r| (r.to.prefix_len(), std::cmp::Reverse(r.metric)));
        let Some(via) = best.and_then(|r| r.via) else { return false };
        let owner =
            |n: &plan::PlanNode| n.interfaces.iter().any(|i| i.all_addresses().any(|a| a.addr() == via));
        let Some(next) = plan.nodes.iter().position(owner) else { return false };
        node = next;
    }
    false
}

#[test]
fn what_the_file_writes_is_kept() {
    let text = "\
hosts:
  a: {addresses: [192.168.7.20/24, 'fd77::20/64'], mac: '02:aa:00:00:00:01', mtu: 1400}
  b: {ipv6: 'off'}
  c: {ipv6: auto}
  x: {}
routers:
  r: {}
switches: {s: {}}
links:
  - a:lan0 -- s
  - b -- s
  - c -- s
  - r -- s
  - r -- x {cost: 5}
";
    let plan = plan_of(text, "kept.yaml");
    let interface = |name: &str| &plan.nodes[plan.node(name).unwrap()].interfaces[0];
    let shown = |name: &str| interface(name).all_addresses().map(|a| a.to_string()).collect::<Vec<_>>();
    assert_eq!(shown("a"), ["192.168.7.20/24", "fd77::20/64"]);
    assert_eq!((interface("a").name.as_str(), interface("a").mtu), ("lan0", 1400));
    assert_eq!(interface("a").mac.to_string(), "02:aa:00:00:00:01");
    // The others follow into its subnet.
    assert_eq!(shown("r"), ["192.168.7.1/24", "fd77::1/64"]);
    assert_eq!(shown("b"), ["192.168.7.10/24"]);
    assert_eq!(shown("c"), ["192.168.7.11/24", "fd77::ff:fe03:0/64"], "SLAAC makes it of prefix and MAC");
    assert!(interface("r").advertises, "c waits for advertisements");
}

/// Editors read it: `# yaml-language-server: $schema=lab.schema.json`.
#[test]
fn the_schema_beside_the_examples_is_current() {
    let schema = format!("{}\n", serde_json::to_string_pretty(&file::schema()).expect("JSON"));
    snapshot("../../../../examples/lab.schema.json", &schema);
}
