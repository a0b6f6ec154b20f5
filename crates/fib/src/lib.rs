//! Route tables: longest-prefix match with metrics, several next hops, and policy rules; IPv4 and IPv6 in one code.
//!
//! ```text
//! lookup: rules by priority → table → longest prefix → best type of service, metric, score → next hop by flow hash
//!            0: local (255)      └ a prefix whose routes are all unusable falls back to a shorter one
//!        32766: main (254)
//!        32767: default (253)
//! ```
//! The caller says which next hops can be used (device up, carrier, the device asked for) and how good they are: the
//! tables know nothing of devices or neighbours.
#![forbid(unsafe_code)]

mod route;
mod rule;
mod table;

pub use route::{Kind, Net, NextHop, Route, Scope, protocol};
pub use rule::{Query, Rule};
pub use table::{Add, Table};

use std::collections::BTreeMap;

use ipnet::{Ipv4Net, Ipv6Net};

/// The number of the table of this host's own addresses.
pub const TABLE_LOCAL: u32 = 255;
/// The number of the table that routes go to by default.
pub const TABLE_MAIN: u32 = 254;
/// The number of the table that is asked last.
pub const TABLE_DEFAULT: u32 = 253;

/// Why a route could not be added or removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FibError {
    /// There is such a route already.
    #[error("the route exists already")]
    Exists,
    /// There is no such route.
    #[error("no such route")]
    NotFound,
    /// More than [`Fib::MAX_ROUTES`] routes.
    #[error("too many routes")]
    Full,
}

/// The route tables of one namespace and one address family.
#[derive(Clone, Debug)]
pub struct Fib<N: Net> {
    tables: BTreeMap<u32, Table<N>>,
    rules: Vec<Rule<N>>,
    routes: usize,
}

/// IPv4's route tables.
pub type Fib4 = Fib<Ipv4Net>;
/// IPv6's route tables.
pub type Fib6 = Fib<Ipv6Net>;

impl<N: Net> Default for Fib<N> {
    fn default() -> Self {
        let mut rules = vec![Rule::for_all(0, TABLE_LOCAL), Rule::for_all(32766, TABLE_MAIN)];
        if N::HAS_DEFAULT_TABLE {
            rules.push(Rule::for_all(32767, TABLE_DEFAULT));
        }
        Self { tables: BTreeMap::new(), rules, routes: 0 }
    }
}

impl<N: Net> Fib<N> {
    /// The most routes in all tables together.
    pub const MAX_ROUTES: usize = 2_000_000;

    /// The best usable route for a query, and the next hop chosen. `score` tells how good a next hop is, `None` that it
    /// cannot be used. A route of kind `Unreachable`, `Prohibit` or `Blackhole` is found like any other.
    pub fn lookup<'a, F>(
        &'a self,
        query: &Query<N::Addr>,
        score: F,
    ) -> Option<(&'a Route<N>, NextHop<N::Addr>)>
    where
        F: Fn(&Route<N>, &NextHop<N::Addr>) -> Option<i32>,
    {
        for rule in self.rules.iter().filter(|rule| rule.matches(query)) {
            let Some(table) = self.tables.get(&rule.table) else { continue };
            match table.lookup(query, &score) {
                Some((route, _)) if route.kind == Kind::Throw => {}
                Some(found) => return Some(found),
                None => {}
            }
        }
        None
    }

    /// The best usable route of one table.
    pub fn lookup_in<'a, F>(
        &'a self,
        table: u32,
        query: &Query<N::Addr>,
        score: F,
    ) -> Option<(&'a Route<N>, NextHop<N::Addr>)>
    where
        F: Fn(&Route<N>, &NextHop<N::Addr>) -> Option<i32>,
    {
        self.tables.get(&table)?.lookup(query, &score)
    }

    /// Adds a route to the table that it names.
    pub fn add(&mut self, route: Route<N>, how: Add) -> Result<(), FibError> {
        if self.routes >= Self::MAX_ROUTES {
            return Err(FibError::Full);
        }
        let added = self.tables.entry(route.table).or_default().add(route, how)?;
        self.routes += usize::from(added);
        Ok(())
    }

    /// Removes the first route of `table` to `prefix` that `matches` accepts, and gives it back.
    pub fn remove(
        &mut self,
        table: u32,
        prefix: N,
        matches: impl Fn(&Route<N>) -> bool,
    ) -> Result<Route<N>, FibError> {
        let routes = self.tables.get_mut(&table).ok_or(FibError::NotFound)?;
        let route = routes.remove(prefix, matches).ok_or(FibError::NotFound)?;
        self.routes -= 1;
        Ok(route)
    }

    /// Keeps only the routes that `keep` accepts (it may change them: take a next hop out, say); tells how many went.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut Route<N>) -> bool) -> usize {
        let gone: usize = self.tables.values_mut().map(|table| table.retain(&mut keep)).sum();
        self.routes -= gone;
        gone
    }

    /// All routes: by table, then prefix, then preference.
    pub fn routes(&self) -> impl Iterator<Item = &Route<N>> + '_ {
        self.tables.values().flat_map(Table::routes)
    }

    /// The routes to exactly this prefix in a table, best first.
    pub fn exact(&self, table: u32, prefix: N) -> &[Route<N>] {
        self.tables.get(&table).map_or(&[], |t| t.exact(prefix))
    }

    /// Whether a table has ever had a route: it stays when its last route goes, as on Linux.
    pub fn has_table(&self, table: u32) -> bool {
        self.tables.contains_key(&table)
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.routes
    }

    /// Whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.routes == 0
    }

    /// The policy rules, by priority.
    pub fn rules(&self) -> &[Rule<N>] {
        &self.rules
    }

    /// Adds a rule behind those of the same priority.
    pub fn add_rule(&mut self, rule: Rule<N>) {
        let at = self.rules.partition_point(|r| r.priority <= rule.priority);
        self.rules.insert(at, rule);
    }

    /// Removes the first rule that `matches` accepts.
    pub fn remove_rule(&mut self, matches: impl Fn(&Rule<N>) -> bool) -> Result<Rule<N>, FibError> {
        let at = self.rules.iter().position(matches).ok_or(FibError::NotFound)?;
        Ok(self.rules.remove(at))
    }
}

#[cfg(test)]
mod tests;
