//! The JSON schema of the lab file, for editors: types that mirror what [`super::read`] reads.

#![allow(dead_code, reason = "the types are read by schemars alone")]

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;

/// The JSON schema of the lab file.
pub fn schema() -> Schema {
    schema_for!(Lab)
}

/// A network and what runs on it.
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
struct Lab {
    /// The lab's name; without it the file's name.
    name: Option<String>,
    /// Hosts: they run programs.
    hosts: Option<Named<Host>>,
    /// Routers: hosts that forward between their links.
    routers: Option<Named<Router>>,
    /// Switches: they join their links on layer 2.
    switches: Option<Named<Switch>>,
    /// Links between them.
    links: Option<Vec<LinkItem>>,
    /// Commands that must succeed for the lab to hold; retried until their timeout.
    checks: Option<Vec<CheckItem>>,
    /// What all chance (loss, jitter, initial sequence numbers) is drawn from.
    seed: Option<u64>,
    /// `real`, or `virtual` for labs without programs.
    clock: Option<Clock>,
    /// The DNS domain of the lab's names; `lab` without it.
    domain: Option<String>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
enum Clock {
    Real,
    Virtual,
}

/// Names with settings, or a list of names. `h[1-30]` stands for thirty.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
enum Named<T> {
    Settings(BTreeMap<String, Option<T>>),
    Names(Vec<String>),
}

#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

/// A host.
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
struct Host {
    /// Addresses of its first interface, as `10.0.1.5/24`; planned without it.
    addresses: Option<OneOrMany<String>>,
    /// The MAC of its first interface.
    mac: Option<String>,
    /// The MTU of its interfaces, bytes.
    mtu: Option<u32>,
    /// Default gateways; without it a router on its segment.
    gateway: Option<OneOrMany<String>>,
    /// Static routes besides the planned ones.
    routes: Option<Vec<RouteItem>>,
    /// Sysctls, as `net.ipv4.tcp_congestion_control: reno`.
    sysctls: Option<BTreeMap<String, Word>>,
    /// Environment variables of its programs.
    env: Option<BTreeMap<String, Word>>,
    /// Commands run on it, one after the other, when the lab starts.
    setup: Option<OneOrMany<String>>,
    /// Programs that run on it while the lab runs.
    run: Option<OneOrMany<ProgramItem>>,
    /// How it gets its IPv6 address: `static`, `auto` (router advertisements) or `off`.
    ipv6: Option<V6>,
}

/// A router.
#[derive(JsonSchema, Serialize)]
struct Router {
    #[serde(flatten)]
    host: Host,
    /// Whether it sends router advertisements even where no host asks for them.
    advertise: Option<bool>,
}

/// A switch.
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    /// A hub never learns: every frame goes to every port.
    hub: Option<bool>,
    /// The MTU of its ports, bytes.
    mtu: Option<u32>,
    /// Sysctls of the switch's own stack.
    sysctls: Option<BTreeMap<String, Word>>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
enum V6 {
    Static,
    Auto,
    Off,
}

/// A word, number or yes/no.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Number(f64),
    Flag(bool),
}

#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
enum RouteItem {
    /// `10.9.0.0/16 via r2 metric 20`.
    Line(String),
    Route(Route),
}

/// A static route.
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
struct Route {
    /// Where to, as `10.9.0.0/16` or `default`.
    to: String,
    /// The next hop: an address or a node's name.
    via: Option<String>,
    /// The interface.
    dev: Option<String>,
    /// Its metric; lower wins.
    metric: Option<u32>,
}

#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
enum ProgramItem {
    /// A command line.
    Line(String),
    /// A program's words.
    Words(Vec<String>),
    Program(Program),
}

/// A background program.
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
struct Program {
    /// What to run: a line or a list of words.
    cmd: OneOrMany<String>,
    /// When it counts as started.
    ready: Option<Ready>,
    /// Environment variables of this program alone.
    env: Option<BTreeMap<String, Word>>,
}

/// When a program counts as started.
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
struct Ready {
    /// When something on its host listens on this port.
    port: Option<u16>,
    /// When it has written this text.
    output: Option<String>,
    /// After a time, as `200ms`.
    after: Option<String>,
}

#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
enum LinkItem {
    /// `a -- b {delay: 20ms, loss: 1%, rate: 100mbit}`; an end may name its interface, as `a:eth1`; `a -- b -- c` are two.
    Short(String),
    Link(Box<Link>),
}

/// A link.
#[derive(JsonSchema, Serialize)]
struct Link {
    /// The two nodes it joins.
    between: Vec<String>,
    /// Settings of both directions.
    #[serde(flatten)]
    settings: Settings,
    /// Settings of the direction towards one end alone, by the end's name.
    to: Option<BTreeMap<String, Settings>>,
    /// Interface name, addresses and MAC of an end, by its name.
    ends: Option<BTreeMap<String, EndItem>>,
    /// The MTU of both ends, bytes.
    mtu: Option<u32>,
    /// Its cost for the planned routes.
    cost: Option<u32>,
    /// Whether it is up at the start.
    up: Option<bool>,
}

/// What a direction of a link does to frames.
#[derive(JsonSchema, Serialize)]
struct Settings {
    /// Time on the way, as `20ms`.
    delay: Option<String>,
    /// How far the delay varies, as `2ms`.
    jitter: Option<String>,
    /// Chance that a frame is lost, as `1%`; or in bursts (Gilbert–Elliott), as `gemodel 1% 10% 70% 0.1%`: the chances to
    /// turn bad and good again, those of loss while bad (100% without it) and good (0%).
    loss: Option<String>,
    /// Chance that a frame comes twice.
    duplicate: Option<String>,
    /// Chance that a frame overtakes those before it.
    reorder: Option<String>,
    /// Chance that a bit of a frame is flipped.
    corrupt: Option<String>,
    /// Bits per second, as `100mbit`.
    rate: Option<String>,
    /// How much waits for the rate, as `100packets` or `64kB`; or how the queue is managed: `codel` or `fq_codel`, perhaps
    /// with `limit`, `target`, `interval`, `flows`, `quantum`, `ecn` or `noecn`, as in tc.
    queue: Option<String>,
}

/// One end of a link.
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
struct EndItem {
    /// The interface's name.
    interface: Option<String>,
    /// Its addresses, as `10.0.1.5/24`.
    addresses: Option<OneOrMany<String>>,
    /// Its MAC.
    mac: Option<String>,
}

/// A check.
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
struct CheckItem {
    /// On which host or router it runs.
    on: String,
    /// The command: a line or a list of words.
    run: OneOrMany<String>,
    /// Its name in the report.
    name: Option<String>,
    /// What its standard output must contain.
    expect: Option<OneOrMany<String>>,
    /// What its standard output must not contain.
    reject: Option<OneOrMany<String>>,
    /// Its exit code: a number, `nonzero` or `any`; 0 without it.
    exit: Option<Word>,
    /// How long it may take to hold, as `10s`.
    timeout: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{command, link, read};
    use super::*;

    fn keys(schema: &Schema) -> BTreeSet<String> {
        let value = schema.clone().to_value();
        let properties = value["properties"].as_object().expect("an object schema");
        properties.keys().cloned().collect()
    }

    /// An editor that knows the schema and the reader that refuses unknown keys must agree.
    #[test]
    fn the_schema_has_the_keys_that_the_reader_takes() {
        let table: [(Schema, &[&str]); 10] = [
            (schema_for!(Lab), read::LAB),
            (schema_for!(Host), read::HOST),
            (schema_for!(Router), read::ROUTER),
            (schema_for!(Switch), read::SWITCH),
            (schema_for!(Route), read::ROUTE),
            (schema_for!(Program), command::PROGRAM),
            (schema_for!(Ready), command::READY),
            (schema_for!(Link), link::LINK),
            (schema_for!(EndItem), link::END),
            (schema_for!(CheckItem), read::CHECK),
        ];
        for (schema, known) in table {
            assert_eq!(keys(&schema), known.iter().map(|k| (*k).to_owned()).collect());
        }
        assert_eq!(keys(&schema_for!(Settings)), link::SETTINGS.iter().map(|k| (*k).to_owned()).collect());
    }
}
