//! One more interface of a host, while it is made.

use super::addr::ToCidr;
use super::error::invalid;
use crate::device::Device;
use crate::stack::{Cidr, IfName};
use crate::{error, stack};
use std::io;
use std::sync::Arc;

/// One more interface, for [`Builder::interface`](super::Builder::interface).
pub struct Interface {
    name: error::Result<IfName>,
    addresses: Vec<Cidr>,
    /// The first address that was none.
    failure: Option<io::Error>,
    mtu: Option<usize>,
    queues: Vec<Arc<dyn Device>>,
}

impl Interface {
    /// The interface `name`, whose link is `device`. A name that is none, of 1 to 15 bytes, is an error of the host's start.
    pub fn new(name: &str, device: impl Device + 'static) -> Interface {
        Interface::with_queues(name, vec![Arc::new(device)])
    }

    /// As [`new`](Interface::new), whose link has several queues, as many as the host's first.
    pub fn with_queues(name: &str, queues: Vec<Arc<dyn Device>>) -> Interface {
        Interface { name: name.parse(), addresses: Vec::new(), failure: None, mtu: None, queues }
    }

    /// Adds one of the host's addresses on it. A text that is none is an error of the host's start.
    pub fn address(mut self, address: impl ToCidr) -> Self {
        match address.to_cidr() {
            Ok(cidr) => self.addresses.push(cidr),
            Err(error) => _ = self.failure.get_or_insert(error),
        }
        self
    }

    /// The largest IP packet in bytes; the device's by default.
    pub fn mtu(mut self, mtu: usize) -> Self {
        self.mtu = Some(mtu);
        self
    }

    /// What the stack is told of it, and its queues, as many as `wanted`.
    pub(super) fn take(self, wanted: usize) -> io::Result<(stack::Interface, Vec<Arc<dyn Device>>)> {
        let name = self.name?;
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if self.queues.len() != wanted {
            let has = self.queues.len();
            return Err(invalid(format!("{name} has {has} queues, and the host's first interface {wanted}")));
        }
        let device_mtu = self.queues.iter().map(|device| device.mtu()).min().unwrap_or_default();
        let mtu = self.mtu.unwrap_or(device_mtu);
        if mtu > device_mtu {
            return Err(invalid(format!("{name}: an MTU of {mtu} is more than the device's {device_mtu}")));
        }
        Ok((stack::Interface { name, addresses: self.addresses, mtu }, self.queues))
    }
}

impl core::fmt::Debug for Interface {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Interface")
            .field("name", &self.name)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}
