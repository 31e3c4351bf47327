//! Instances, addresses, routes and groups.

use std::net::Ipv4Addr;

/// What a placement group does with its instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Close together.
    Cluster,
    /// In partitions.
    Partition,
    /// Each on a rack of its own.
    Spread,
}

impl Strategy {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Partition => "partition",
            Self::Spread => "spread",
        }
    }
}

/// A placement group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// What it does.
    pub strategy: Strategy,
    /// Partitions, in a group of them.
    pub partitions: u16,
}

/// An instance with one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// As in `i-01`.
    pub id: String,
    /// Its zone.
    pub zone: String,
    /// Its subnet, in that zone.
    pub subnet: String,
    /// Its interface, as in `eni-01`.
    pub interface: String,
    /// The interface's private addresses, the primary one first.
    pub addresses: Vec<Ipv4Addr>,
    /// Its placement group, and the partition in it.
    pub group: Option<(String, Option<u16>)>,
}

/// An Elastic IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticIp {
    /// As in `eipalloc-01`.
    pub allocation: String,
    /// The public address.
    pub public: Ipv4Addr,
    /// Interface and private address that it leads to.
    pub leads_to: Option<(String, Ipv4Addr)>,
}

/// All there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// The instances.
    pub instances: Vec<Instance>,
    /// The placement groups.
    pub groups: Vec<Group>,
    /// The Elastic IPs.
    pub elastic: Vec<ElasticIp>,
    /// Table, destination, interface.
    pub routes: Vec<(String, String, String)>,
    /// Lifecycle actions that wait: group, hook, instance; and what they were completed with.
    pub lifecycle: Vec<(String, String, String, Option<String>)>,
}

/// An error of the interface: its code, and why.
pub(crate) type Refusal = (&'static str, String);

impl World {
    /// The instance that has an interface.
    pub fn instance_of(&self, interface: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.interface == interface)
    }

    /// The interface that has a private address in a subnet.
    pub fn holder(&self, subnet: &str, address: Ipv4Addr) -> Option<&str> {
        let holds = |instance: &&Instance| instance.subnet == subnet && instance.addresses.contains(&address);
        self.instances.iter().find(holds).map(|instance| instance.interface.as_str())
    }

    pub(crate) fn assign(&mut self, interface: &str, addresses: &[Ipv4Addr], reassign: bool) -> Result<(), Refusal> {
        let unknown = || ("InvalidNetworkInterfaceID.NotFound", format!("no interface {interface}"));
        let subnet = self.instance_of(interface).ok_or_else(unknown)?.subnet.clone();
        for address in addresses {
            let holder = self.holder(&subnet, *address).map(str::to_owned);
            if let Some(holder) = holder.filter(|holder| holder != interface) {
                let is_primary = self.instance_of(&holder).is_some_and(|one| one.addresses.first() == Some(address));
                if !reassign || is_primary {
                    return Err(("InvalidParameterValue", format!("{address} is assigned to {holder}")));
                }
            }
        }
        for instance in &mut self.instances {
            if instance.subnet != subnet {
                continue;
            }
            instance.addresses.retain(|address| !addresses.contains(address) || instance.interface == interface);
            if instance.interface == interface {
                for address in addresses {
                    if !instance.addresses.contains(address) {
                        instance.addresses.push(*address);
                    }
                }
            }
        }
        // What leads to a private address that went leads nowhere.
        for elastic in &mut self.elastic {
            if elastic.leads_to.as_ref().is_some_and(|(to, ip)| to != interface && addresses.contains(ip)) {
                elastic.leads_to = None;
            }
        }
        Ok(())
    }

    pub(crate) fn unassign(&mut self, interface: &str, addresses: &[Ipv4Addr]) -> Result<(), Refusal> {
        let instance = self.instances.iter_mut().find(|instance| instance.interface == interface);
        let instance =
            instance.ok_or_else(|| ("InvalidNetworkInterfaceID.NotFound", format!("no interface {interface}")))?;
        let secondary = instance.addresses.get(1..).unwrap_or_default();
        if let Some(address) = addresses.iter().find(|address| !secondary.contains(address)) {
            return Err(("InvalidParameterValue", format!("{address} is no secondary address of {interface}")));
        }
        instance.addresses.retain(|address| !addresses.contains(address));
        Ok(())
    }

    pub(crate) fn associate(
        &mut self,
        allocation: &str,
        interface: &str,
        private: Option<Ipv4Addr>,
        reassociate: bool,
    ) -> Result<(), Refusal> {
        let unknown = || ("InvalidNetworkInterfaceID.NotFound", format!("no interface {interface}"));
        let instance = self.instance_of(interface).ok_or_else(unknown)?;
        let wanted = private.or(instance.addresses.first().copied());
        let Some(private) = wanted.filter(|ip| instance.addresses.contains(ip)) else {
            return Err(("InvalidParameterValue", format!("{interface} has no such private address")));
        };
        let elastic = self.elastic.iter_mut().find(|elastic| elastic.allocation == allocation);
        let elastic = elastic.ok_or_else(|| ("InvalidAllocationID.NotFound", format!("no allocation {allocation}")))?;
        if elastic.leads_to.as_ref().is_some_and(|(to, _)| to != interface) && !reassociate {
            return Err(("Resource.AlreadyAssociated", format!("{allocation} is associated")));
        }
        elastic.leads_to = Some((interface.to_owned(), private));
        Ok(())
    }

    pub(crate) fn replace_route(&mut self, table: &str, destination: &str, interface: &str) -> Result<(), Refusal> {
        let route = self.routes.iter_mut().find(|(known, to, _)| known == table && to == destination);
        match route {
            Some((_, _, leads_to)) => {
                *leads_to = interface.to_owned();
                Ok(())
            }
            None => Err(("InvalidParameterValue", format!("no route to {destination} in {table}"))),
        }
    }

    pub(crate) fn complete(&mut self, group: &str, hook: &str, instance: &str, result: &str) -> Result<(), Refusal> {
        let waits = self
            .lifecycle
            .iter_mut()
            .find(|(known, its, of, result)| known == group && its == hook && of == instance && result.is_none());
        match waits {
            Some((.., completed)) => {
                *completed = Some(result.to_owned());
                Ok(())
            }
            None => Err(("ValidationError", format!("No active Lifecycle Action found with instance ID {instance}"))),
        }
    }
}
