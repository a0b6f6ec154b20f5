//! One route table: a trie from prefixes to the routes of that prefix, best first.

use prefix_trie::PrefixMap;
use smallvec::SmallVec;

use crate::{FibError, Net, NextHop, Query, Route};

/// What to do if the prefix has a route of the same type of service and metric already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Add {
    /// Refuse (`NLM_F_EXCL`).
    New,
    /// Take its place (`NLM_F_REPLACE`).
    Replace,
    /// Stand behind it (`NLM_F_APPEND`).
    Append,
}

/// A route and the next hop chosen.
pub(crate) type Found<'a, N> = (&'a Route<N>, NextHop<<N as Net>::Addr>);

/// A route table.
#[derive(Clone, Debug)]
pub struct Table<N: Net> {
    map: PrefixMap<N, Vec<Route<N>>>,
}

impl<N: Net> Default for Table<N> {
    fn default() -> Self {
        Self { map: PrefixMap::new() }
    }
}

impl<N: Net> Table<N> {
    /// The best usable route, by longest prefix; see [`crate::Fib::lookup`].
    pub(crate) fn lookup<'a, F>(&'a self, query: &Query<N::Addr>, score: &F) -> Option<Found<'a, N>>
    where
        F: Fn(&Route<N>, &NextHop<N::Addr>) -> Option<i32>,
    {
        let host = N::host(query.dst);
        let (_, longest) = self.map.get_lpm(&host)?;
        if let Some(found) = choose(longest, query, score) {
            return Some(found);
        }
        let covers: SmallVec<[&Vec<Route<N>>; 16]> = self.map.cover_values(&host).collect();
        covers.iter().rev().skip(1).find_map(|routes| choose(routes, query, score))
    }

    /// Adds a route; tells whether the table has grown.
    pub(crate) fn add(&mut self, mut route: Route<N>, how: Add) -> Result<bool, FibError> {
        route.prefix = route.prefix.truncated();
        let routes = self.map.entry(route.prefix).or_default();
        let key = |r: &Route<N>| (std::cmp::Reverse(r.tos), r.metric);
        let at = routes.partition_point(|r| key(r) < key(&route));
        let end = routes.partition_point(|r| key(r) <= key(&route));
        match how {
            Add::New if at < end => return Err(FibError::Exists),
            Add::Replace if at < end => {
                routes[at] = route;
                return Ok(false);
            }
            Add::Append if routes[at..end].contains(&route) => return Err(FibError::Exists),
            _ => routes.insert(end, route),
        }
        Ok(true)
    }

    /// Removes the first route to `prefix` that `matches`.
    pub(crate) fn remove(&mut self, prefix: N, matches: impl Fn(&Route<N>) -> bool) -> Option<Route<N>> {
        let prefix = prefix.truncated();
        let routes = self.map.get_mut(&prefix)?;
        let route = routes.iter().position(matches).map(|at| routes.remove(at))?;
        if routes.is_empty() {
            self.map.remove(&prefix);
        }
        Some(route)
    }

    /// Keeps the routes that `keep` accepts; tells how many went.
    pub(crate) fn retain(&mut self, keep: &mut impl FnMut(&mut Route<N>) -> bool) -> usize {
        let mut gone = 0;
        let mut empty = Vec::new();
        for (prefix, routes) in self.map.iter_mut() {
            let before = routes.len();
            routes.retain_mut(&mut *keep);
            gone += before - routes.len();
            if routes.is_empty() {
                empty.push(prefix);
            }
        }
        for prefix in empty {
            self.map.remove(&prefix);
        }
        gone
    }

    /// All routes, by prefix.
    pub fn routes(&self) -> impl Iterator<Item = &Route<N>> + '_ {
        self.map.values().flatten()
    }

    /// The routes to exactly this prefix.
    pub fn exact(&self, prefix: N) -> &[Route<N>] {
        self.map.get(&prefix.truncated()).map_or(&[], Vec::as_slice)
    }
}

/// The best of one prefix's routes (sorted by type of service and metric): the first group of equal metric with a usable
/// next hop; within it the best score, then the one that came first.
fn choose<'a, N: Net, F>(routes: &'a [Route<N>], query: &Query<N::Addr>, score: &F) -> Option<Found<'a, N>>
where
    F: Fn(&Route<N>, &NextHop<N::Addr>) -> Option<i32>,
{
    let mut best: Option<(i32, Found<'a, N>)> = None;
    for route in routes {
        if route.tos != 0 && route.tos != query.tos {
            continue;
        }
        if best.is_some_and(|(_, (b, _))| (b.tos, b.metric) != (route.tos, route.metric)) {
            break;
        }
        let Some((points, hop)) = choose_hop(route, query, score) else { continue };
        if best.is_none_or(|(p, _)| points > p) {
            best = Some((points, (route, hop)));
        }
    }
    best.map(|(_, found)| found)
}

/// The next hop of a route for a flow: by weight among the usable ones.
fn choose_hop<N: Net, F>(
    route: &Route<N>,
    query: &Query<N::Addr>,
    score: &F,
) -> Option<(i32, NextHop<N::Addr>)>
where
    F: Fn(&Route<N>, &NextHop<N::Addr>) -> Option<i32>,
{
    if route.kind.is_refusal() {
        return Some((i32::MIN, NextHop::on(netspace_base::DevId::NONE)));
    }
    if let [hop] = route.hops.as_slice() {
        return score(route, hop).map(|points| (points, *hop));
    }
    let mut usable: SmallVec<[(i32, NextHop<N::Addr>); 8]> = SmallVec::new();
    usable.extend(route.hops.iter().filter_map(|hop| Some((score(route, hop)?, *hop))));
    let total: u64 = usable.iter().map(|(_, hop)| u64::from(hop.weight.max(1))).sum();
    let mut at = (u64::from(query.hash) * total) >> 32;
    for (points, hop) in usable {
        let weight = u64::from(hop.weight.max(1));
        if at < weight {
            return Some((points, hop));
        }
        at -= weight;
    }
    None
}
