use std::net::{Ipv4Addr, Ipv6Addr};

use netspace_base::DevId;

use super::*;

const ETH0: DevId = DevId(2);
const ETH1: DevId = DevId(3);

fn any<N: Net>(_: &Route<N>, _: &NextHop<N::Addr>) -> Option<i32> {
    Some(0)
}

fn net(text: &str) -> Ipv4Net {
    text.parse().expect("a prefix")
}

fn by(prefix: &str, via: &str, dev: DevId, metric: u32) -> Route<Ipv4Net> {
    Route { metric, ..Route::new(net(prefix), NextHop::by(via.parse().expect("an address"), dev)) }
}

fn via(fib: &Fib4, dst: &str) -> Option<String> {
    let query = Query::to(dst.parse().expect("an address"));
    let (_, hop) = fib.lookup(&query, any)?;
    hop.via.map(|v| v.to_string())
}

#[test]
fn the_longest_prefix_wins_then_the_lowest_metric() {
    let mut fib = Fib4::default();
    fib.add(by("0.0.0.0/0", "10.0.0.1", ETH0, 0), Add::New).expect("new");
    fib.add(by("10.1.0.0/16", "10.0.0.2", ETH0, 100), Add::New).expect("new");
    fib.add(by("10.1.0.0/16", "10.0.0.3", ETH0, 50), Add::New).expect("new");
    fib.add(by("10.1.2.0/24", "10.0.0.4", ETH0, 900), Add::New).expect("new");
    assert_eq!(via(&fib, "8.8.8.8").as_deref(), Some("10.0.0.1"));
    assert_eq!(via(&fib, "10.1.9.9").as_deref(), Some("10.0.0.3"));
    assert_eq!(via(&fib, "10.1.2.9").as_deref(), Some("10.0.0.4"));
    assert_eq!(fib.add(by("10.1.0.0/16", "10.0.0.9", ETH0, 50), Add::New), Err(FibError::Exists));
    fib.add(by("10.1.0.0/16", "10.0.0.9", ETH0, 50), Add::Replace).expect("replaces");
    assert_eq!(via(&fib, "10.1.9.9").as_deref(), Some("10.0.0.9"));
    assert_eq!(fib.len(), 4);
}

#[test]
fn an_unusable_route_falls_back_to_a_shorter_prefix() {
    let mut fib = Fib4::default();
    fib.add(by("0.0.0.0/0", "10.0.0.1", ETH0, 0), Add::New).expect("new");
    fib.add(by("10.1.0.0/16", "10.0.0.2", ETH1, 0), Add::New).expect("new");
    let query = Query::to(Ipv4Addr::new(10, 1, 0, 9));
    let (route, _) = fib.lookup(&query, |_, hop| (hop.dev == ETH0).then_some(0)).expect("the default route");
    assert_eq!(route.prefix, net("0.0.0.0/0"));
}

#[test]
fn the_local_table_is_asked_first_and_refusals_are_found() {
    let mut fib = Fib4::default();
    let local =
        Route { table: TABLE_LOCAL, kind: Kind::Local, ..Route::new(net("10.0.0.5/32"), NextHop::on(ETH0)) };
    fib.add(local, Add::New).expect("new");
    fib.add(Route::refusal(net("10.0.0.0/8"), Kind::Unreachable), Add::New).expect("new");
    let kind = |dst: [u8; 4]| fib.lookup(&Query::to(Ipv4Addr::from(dst)), any).map(|(r, _)| r.kind);
    assert_eq!(kind([10, 0, 0, 5]), Some(Kind::Local));
    assert_eq!(kind([10, 0, 0, 6]), Some(Kind::Unreachable));
    assert_eq!(kind([11, 0, 0, 6]), None);
}

#[test]
fn flows_spread_over_next_hops_by_weight() {
    let mut fib = Fib4::default();
    let mut route = by("0.0.0.0/0", "10.0.0.1", ETH0, 0);
    route.hops.push(NextHop { weight: 3, ..NextHop::by(Ipv4Addr::new(10, 0, 1, 1), ETH1) });
    fib.add(route, Add::New).expect("new");
    let counts = (0..1000u32).fold([0; 2], |mut counts, n| {
        let query = Query { hash: n.wrapping_mul(0x9e37_79b9), ..Query::to(Ipv4Addr::new(8, 8, 8, 8)) };
        let (_, hop) = fib.lookup(&query, any).expect("a route");
        counts[usize::from(hop.dev == ETH1)] += 1;
        counts
    });
    assert!((200..300).contains(&counts[0]), "a quarter goes by the first: {counts:?}");
}

#[test]
fn rules_choose_tables_by_mark_and_source() {
    let mut fib = Fib4::default();
    fib.add(by("0.0.0.0/0", "10.0.0.1", ETH0, 0), Add::New).expect("new");
    fib.add(Route { table: 100, ..by("0.0.0.0/0", "10.0.0.2", ETH0, 0) }, Add::New).expect("new");
    fib.add_rule(Rule { mark: Some((7, 0xff)), ..Rule::for_all(1000, 100) });
    let query = Query { mark: 7, ..Query::to(Ipv4Addr::new(8, 8, 8, 8)) };
    let (_, hop) = fib.lookup(&query, any).expect("a route");
    assert_eq!(hop.via, Some(Ipv4Addr::new(10, 0, 0, 2)));
    assert_eq!(via(&fib, "8.8.8.8").as_deref(), Some("10.0.0.1"));
    fib.remove_rule(|r| r.priority == 1000).expect("it is there");
    assert_eq!(fib.rules().len(), 3);
}

#[test]
fn ipv6_default_routers_of_one_metric_go_by_score() {
    let mut fib = Fib6::default();
    let router = |n: u16| {
        let addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n);
        Route { metric: 1024, ..Route::new("::/0".parse().expect("a prefix"), NextHop::by(addr, ETH0)) }
    };
    fib.add(router(1), Add::Append).expect("new");
    fib.add(router(2), Add::Append).expect("another");
    assert_eq!(fib.add(router(2), Add::Append), Err(FibError::Exists));
    let query = Query::to(Ipv6Addr::LOCALHOST);
    let reachable = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
    let (_, hop) = fib.lookup(&query, |_, h| Some(i32::from(h.via == Some(reachable)))).expect("a router");
    assert_eq!(hop.via, Some(reachable));
    assert_eq!(fib.retain(|r| r.hops[0].via != Some(reachable)), 1);
    assert_eq!(fib.len(), 1);
}

#[test]
fn lookups_agree_with_a_list_searched_from_end_to_end() {
    let mut rng = netspace_base::Seed(5).stream("fib", 0);
    let mut fib = Fib4::default();
    let mut list: Vec<Route<Ipv4Net>> = Vec::new();
    for n in 0..500u32 {
        let addr = Ipv4Addr::from(0x0a00_0000 | (rng.u32() & 0xffff));
        let prefix = Ipv4Net::new(addr, 16 + rng.below(17) as u8).expect("a prefix").trunc();
        let route = Route { metric: n, ..Route::new(prefix, NextHop::on(ETH0)) };
        fib.add(route.clone(), Add::New).expect("new");
        list.push(route);
    }
    for _ in 0..2000 {
        let dst = Ipv4Addr::from(0x0a00_0000 | (rng.u32() & 0xffff));
        let expected = list
            .iter()
            .filter(|r| r.prefix.covers(dst))
            .max_by_key(|r| (r.prefix.prefix_len(), std::cmp::Reverse(r.metric)));
        assert_eq!(fib.lookup(&Query::to(dst), any).map(|(r, _)| r), expected);
    }
}
