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

/// What an instance does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InstanceState {
    /// It is launched.
    Pending,
    /// It runs.
    #[default]
    Running,
    /// It is about to end.
    ShuttingDown,
    /// It has ended; it is told of for a while.
    Terminated,
}

impl InstanceState {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
        }
    }
}

/// An instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// As in `i-01`.
    pub id: String,
    /// What it does.
    pub state: InstanceState,
    /// Its zone.
    pub zone: String,
    /// Its placement group, and the partition in it.
    pub group: Option<(String, Option<u16>)>,
    /// Its interfaces.
    pub interfaces: Vec<Interface>,
}

impl Instance {
    /// Whether an interface of its has a private address.
    pub fn has(&self, address: Ipv4Addr) -> bool {
        self.interfaces.iter().any(|interface| interface.addresses.contains(&address))
    }
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// As in `eni-01`.
    pub id: String,
    /// Its hardware address, in small letters.
    pub mac: String,
    /// Its subnet, in the instance's zone.
    pub subnet: String,
    /// Its private addresses, the primary one first.
    pub addresses: Vec<Ipv4Addr>,
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

/// A tag of an instance, interface, Elastic IP or route table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// What has it.
    pub resource: String,
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Tag {
    /// A tag of a resource.
    pub fn new(resource: &str, key: &str, value: &str) -> Self {
        Self { resource: resource.to_owned(), key: key.to_owned(), value: value.to_owned() }
    }
}

/// An Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalingGroup {
    /// Its name.
    pub name: String,
    /// Its instances.
    pub instances: Vec<String>,
}

/// An Auto Scaling group that waits with an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// The group.
    pub group: String,
    /// The hook by which it waits.
    pub hook: String,
    /// The instance.
    pub instance: String,
    /// Whether that is to end; it begins otherwise.
    pub ends: bool,
    /// What it was completed with.
    pub result: Option<String>,
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
    /// Lifecycle actions.
    pub lifecycle: Vec<Lifecycle>,
    /// The tags.
    pub tags: Vec<Tag>,
    /// The Auto Scaling groups.
    pub scaling: Vec<ScalingGroup>,
}

/// An error of the interface: its code, and why.
pub(crate) type Refusal = (&'static str, String);

impl World {
    /// An interface.
    pub fn interface(&self, id: &str) -> Option<&Interface> {
        self.interfaces().find(|interface| interface.id == id)
    }

    pub(crate) fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.instances.iter().flat_map(|instance| &instance.interfaces)
    }

    fn interfaces_mut(&mut self) -> impl Iterator<Item = &mut Interface> {
        self.instances.iter_mut().flat_map(|instance| &mut instance.interfaces)
    }

    pub(crate) fn tag(&self, resource: &str, key: &str) -> Option<&str> {
        let mut tags = self.tags.iter().filter(|tag| tag.resource == resource && tag.key == key);
        tags.next().map(|tag| tag.value.as_str())
    }

    /// The interface that has a private address in a subnet.
    pub fn holder(&self, subnet: &str, address: Ipv4Addr) -> Option<&str> {
        let mut interfaces = self.interfaces();
        let holder = interfaces.find(|other| other.subnet == subnet && other.addresses.contains(&address));
        holder.map(|interface| interface.id.as_str())
    }

    pub(crate) fn assign(&mut self, to: &str, addresses: &[Ipv4Addr], reassign: bool) -> Result<(), Refusal> {
        let subnet = self.interface(to).ok_or_else(|| unknown(to))?.subnet.clone();
        for address in addresses {
            let holder = self.holder(&subnet, *address).filter(|holder| *holder != to);
            if let Some(holder) = holder {
                let is_primary = self.interface(holder).is_some_and(|one| one.addresses.first() == Some(address));
                if !reassign || is_primary {
                    return Err(("InvalidParameterValue", format!("{address} is assigned to {holder}")));
                }
            }
        }
        let mut left = Vec::new();
        for interface in self.interfaces_mut().filter(|interface| interface.subnet == subnet) {
            if interface.id == to {
                let new = addresses.iter().filter(|address| !interface.addresses.contains(address)).copied();
                let new: Vec<_> = new.collect();
                interface.addresses.extend(new);
            } else if interface.addresses.iter().any(|address| addresses.contains(address)) {
                interface.addresses.retain(|address| !addresses.contains(address));
                left.push(interface.id.clone());
            }
        }
        // An Elastic IP comes along with the private address that it leads to.
        for (at, private) in self.elastic.iter_mut().filter_map(|elastic| elastic.leads_to.as_mut()) {
            if left.contains(at) && addresses.contains(private) {
                *at = to.to_owned();
            }
        }
        Ok(())
    }

    pub(crate) fn associate(
        &mut self,
        allocation: &str,
        interface: &str,
        private: Option<Ipv4Addr>,
        reassociate: bool,
    ) -> Result<(), Refusal> {
        let addresses = &self.interface(interface).ok_or_else(|| unknown(interface))?.addresses;
        let wanted = private.or(addresses.first().copied());
        let Some(private) = wanted.filter(|ip| addresses.contains(ip)) else {
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
        let action =
            self.lifecycle.iter_mut().find(|one| one.group == group && one.hook == hook && one.instance == instance);
        match action.filter(|action| action.result.is_none()) {
            Some(action) => {
                action.result = Some(result.to_owned());
                Ok(())
            }
            None => Err(("ValidationError", format!("No active Lifecycle Action found with instance ID {instance}"))),
        }
    }
}

fn unknown(interface: &str) -> Refusal {
    ("InvalidNetworkInterfaceID.NotFound", format!("no interface {interface}"))
}
