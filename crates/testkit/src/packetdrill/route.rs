//! Routes of the host under test with their metrics.

use std::net::IpAddr;

use ipnet::IpNet;
use netspace_fib::{Add, NextHop, Route};
use netspace_stack::sock::SockError;

use super::world::World;

/// What a route says beside its prefix.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    pub(super) via: Option<IpAddr>,
    pub(super) mtu: Option<u32>,
    pub(super) mtu_lock: bool,
}

/// Adds the route; one to the same prefix goes.
pub(super) fn set(world: &mut World, net: IpNet, metrics: &Metrics) -> Result<(), SockError> {
    let (ns, t, dev) = (&mut world.ns, &mut world.t, world.dev);
    let _ = ns.del_route(t, net, None, None);
    match (net, metrics.via) {
        (IpNet::V4(net), via) => {
            let hop = match via {
                Some(IpAddr::V4(via)) => NextHop::by(via, dev),
                Some(IpAddr::V6(_)) => return Err(SockError::Invalid),
                None => NextHop::on(dev),
            };
            let route = Route { mtu: metrics.mtu, mtu_lock: metrics.mtu_lock, ..Route::new(net, hop) };
            ns.add_route4(t, route, Add::New)
        }
        (IpNet::V6(net), via) => {
            let hop = match via {
                Some(IpAddr::V6(via)) => NextHop::by(via, dev),
                Some(IpAddr::V4(_)) => return Err(SockError::Invalid),
                None => NextHop::on(dev),
            };
            let route = Route { mtu: metrics.mtu, mtu_lock: metrics.mtu_lock, ..Route::new(net, hop) };
            ns.add_route6(t, route, Add::New)
        }
    }
}
