//! Where instances are: zone, subnet, placement group.

use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;
use tandem_aws_protocol::{Placed, Strategy};

use crate::action::Action;
use crate::client::{CallError, Client};
use crate::ec2::{numbered, pair};
use crate::xml::{Set, read};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reservations {
    reservation_set: Set<Reservation>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reservation {
    instances_set: Set<Instance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Instance {
    pub(crate) instance_id: String,
    /// The first address of its first interface; one that has ended has none.
    pub(crate) private_ip_address: Option<Ipv4Addr>,
    instance_state: State,
    pub(crate) placement: Placement,
    #[serde(default)]
    network_interface_set: Set<Interface>,
}

#[derive(Deserialize)]
struct State {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Placement {
    pub(crate) availability_zone: String,
    #[serde(default)]
    group_name: String,
    pub(crate) partition_number: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Interface {
    pub(crate) subnet_id: String,
    private_ip_addresses_set: Set<Address>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Address {
    private_ip_address: IpAddr,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Groups {
    placement_group_set: Set<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    group_name: String,
    strategy: Strategy,
}

impl Instance {
    /// Whether it may still run something.
    pub(crate) fn exists(&self) -> bool {
        !["terminated", "stopped"].contains(&self.instance_state.name.as_str())
    }

    /// Whether it is about to end.
    pub(crate) fn ends(&self) -> bool {
        ["shutting-down", "stopping"].contains(&self.instance_state.name.as_str())
    }

    pub(crate) fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.network_interface_set.item.iter()
    }
}

impl Interface {
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.private_ip_addresses_set.item.iter().map(|address| address.private_ip_address)
    }

    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.addresses().any(|ip| ip == address)
    }
}

/// What the placement groups of instances do.
pub(crate) struct Strategies(Vec<Group>);

impl Strategies {
    pub(crate) fn of(&self, instance: &Instance) -> Option<(String, Strategy)> {
        let group = self.0.iter().find(|group| group.group_name == instance.placement.group_name);
        group.map(|group| (group.group_name.clone(), group.strategy))
    }
}

/// Where the instances with these addresses are. Those of other accounts, regions or clouds are missing.
///
/// # Errors
/// There is no answer, or none that can be read.
pub fn places(client: &Client, addresses: &[IpAddr]) -> Result<Vec<Placed>, CallError> {
    let mut parameters = vec![pair("Filter.1.Name", "network-interface.addresses.private-ip-address")];
    parameters.extend(numbered("Filter.1.Value", addresses));
    let (instances, _) = instances_page(client, &parameters)?;
    let strategies = strategies(client, instances.iter())?;
    let placed = |instance: &Instance, interface: &Interface, address: IpAddr| Placed {
        address,
        instance: instance.instance_id.clone(),
        zone: instance.placement.availability_zone.clone(),
        subnet: interface.subnet_id.clone(),
        group: strategies.of(instance),
        partition: instance.placement.partition_number,
    };
    let mut found = Vec::new();
    for instance in &instances {
        for interface in instance.interfaces() {
            let its = interface.addresses().filter(|ip| addresses.contains(ip));
            found.extend(its.map(|ip| placed(instance, interface, ip)));
        }
    }
    Ok(found)
}

/// One page of instances, and what names the next.
pub(crate) fn instances_page(
    client: &Client,
    parameters: &[(String, String)],
) -> Result<(Vec<Instance>, Option<String>), CallError> {
    let action = Action::DescribeInstances;
    let answer: Reservations = read(action, &client.query(action, parameters)?)?;
    let reservations = answer.reservation_set.item.into_iter();
    Ok((reservations.flat_map(|reservation| reservation.instances_set.item).collect(), answer.next_token))
}

pub(crate) fn strategies<'a>(
    client: &Client,
    instances: impl Iterator<Item = &'a Instance>,
) -> Result<Strategies, CallError> {
    let mut names: Vec<&str> = instances.map(|instance| instance.placement.group_name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| !name.is_empty());
    if names.is_empty() {
        return Ok(Strategies(Vec::new()));
    }
    let action = Action::DescribePlacementGroups;
    let parameters: Vec<_> = numbered("GroupName", &names).collect();
    let answer: Groups = read(action, &client.query(action, &parameters)?)?;
    Ok(Strategies(answer.placement_group_set.item))
}
