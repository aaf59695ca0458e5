//! The calls about interfaces and routes, which may change while connections live.

use super::{InterfaceInfo, Route, Stack, mss_of_link};
use crate::error::{Error, Result};
use std::net::IpAddr;

impl Stack {
    /// The largest packet on the link of the first interface, in bytes.
    pub fn mtu(&self) -> usize {
        self.ip.mtu()
    }

    /// The link of the first interface carries packets of another size from now on, in bytes. Every connection keeps to it
    /// at once, also with what it sends again. A connection's work for this is small, but all have it in one call.
    ///
    /// # Errors
    /// `InvalidInput` outside 68 to 65,535; nothing has changed then.
    pub fn set_mtu(&mut self, mtu: usize) -> Result<()> {
        self.set_mtu_of(0, mtu)
    }

    /// As [`set_mtu`](Stack::set_mtu), of the interface with this number, from one; zero is the first.
    ///
    /// # Errors
    /// As there; `NoDevice` if there is no such interface.
    pub fn set_mtu_of(&mut self, interface: u32, mtu: usize) -> Result<()> {
        let number = self.ip.check_interface(interface)?;
        self.ip.set_mtu(number, mtu)?;
        match number {
            0 | 1 => self.config.mtu = mtu,
            _ => self.config.interfaces[usize::from(number) - 2].mtu = mtu,
        }
        self.follow_links();
        Ok(())
    }

    /// What the interfaces are now, the first one first.
    pub fn interfaces(&self) -> Vec<InterfaceInfo> {
        self.ip.interfaces()
    }

    /// The number of the interface that is called so, from one.
    ///
    /// # Errors
    /// `NoDevice` if there is none.
    pub fn interface_named(&self, name: &str) -> Result<u32> {
        let named = self.ip.interfaces().into_iter().find(|interface| interface.name.as_str() == name);
        named.map(|interface| interface.number).ok_or(Error::NoDevice)
    }

    /// The number of the interface by which packets of sockets with this mark leave, whatever the routes say; zero if that is
    /// not ruled ([`Config::marks`](super::Config::marks)).
    pub fn interface_of_mark(&self, mark: u32) -> u8 {
        let rule = self.config.marks.iter().find(|(marked, _)| mark != 0 && *marked == mark);
        rule.map_or(0, |(_, name)| self.interface_named(name.as_str()).unwrap_or(0) as u8)
    }

    /// Whether a socket may be bound to `addr` and send from there: it is one of our own, or every host's is as good
    /// ([`Config::any_address`](super::Config::any_address)).
    pub fn takes(&self, addr: IpAddr) -> bool {
        self.ip.takes(addr)
    }

    /// The routes that were given, beside the networks of our own addresses.
    pub fn routes(&self) -> &[Route] {
        &self.config.routes
    }

    /// Adds a route. From then on all go only where routes lead. Connections follow it with their next packet.
    ///
    /// # Errors
    /// `InvalidInput` if it makes no sense, or is there already, or beyond 1024 routes; nothing has changed then.
    pub fn add_route(&mut self, route: Route) -> Result<()> {
        if self.config.routes.contains(&route) {
            return Err(Error::InvalidInput("the route is there already"));
        }
        let routes = self.config.routes.iter().copied().chain([route]).collect();
        self.set_routes(routes)
    }

    /// Removes a route that was given; says whether there was one. Connections that took it take the next best one with
    /// their next packet; where there is none they try again as if their packets had been lost.
    ///
    /// # Errors
    /// None now; that of a stack whose routes cannot be made anew.
    pub fn remove_route(&mut self, route: &Route) -> Result<bool> {
        let mut routes = self.config.routes.clone();
        routes.retain(|own| own != route);
        let found = routes.len() < self.config.routes.len();
        if found {
            self.set_routes(routes)?;
        }
        Ok(found)
    }

    fn set_routes(&mut self, routes: Vec<Route>) -> Result<()> {
        self.ip.set_routes(&routes)?;
        self.config.routes = routes;
        self.follow_links();
        Ok(())
    }

    /// Links or routes have changed: connections keep to what is so now.
    fn follow_links(&mut self) {
        for index in self.table.indices() {
            if let Some(slot) = self.table.get_mut(index) {
                let mss = mss_of_link(&self.ip, &slot.tuple, slot.options(&self.default_options));
                if let Some(connection) = slot.connection.as_mut() {
                    connection.on_link_mss(mss);
                    self.mark_egress(index);
                }
            }
        }
    }
}
