//! Where instances are: zone, subnet, placement group.

use std::net::IpAddr;

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
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reservation {
    instances_set: Set<Instance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instance {
    instance_id: String,
    placement: Placement,
    network_interface_set: Set<Interface>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Placement {
    availability_zone: String,
    #[serde(default)]
    group_name: String,
    partition_number: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Interface {
    subnet_id: String,
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

/// Where the instances with these addresses are. Those of other accounts, regions or clouds are missing.
///
/// # Errors
/// There is no answer, or none that can be read.
pub fn places(client: &Client, addresses: &[IpAddr]) -> Result<Vec<Placed>, CallError> {
    let mut parameters = vec![pair("Filter.1.Name", "network-interface.addresses.private-ip-address")];
    parameters.extend(numbered("Filter.1.Value", addresses));
    let action = Action::DescribeInstances;
    let answer: Reservations = read(action, &client.query(action, &parameters)?)?;
    let instances: Vec<Instance> =
        answer.reservation_set.item.into_iter().flat_map(|reservation| reservation.instances_set.item).collect();
    let mut names: Vec<&str> = instances.iter().map(|instance| instance.placement.group_name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| !name.is_empty());
    let strategies = strategies(client, &names)?;
    let placed = |instance: &Instance, interface: &Interface, address: IpAddr| {
        let placement = &instance.placement;
        let group = strategies.iter().find(|group| group.group_name == placement.group_name);
        Placed {
            address,
            instance: instance.instance_id.clone(),
            zone: placement.availability_zone.clone(),
            subnet: interface.subnet_id.clone(),
            group: group.map(|group| (group.group_name.clone(), group.strategy)),
            partition: placement.partition_number,
        }
    };
    let mut found = Vec::new();
    for instance in &instances {
        for interface in &instance.network_interface_set.item {
            let its = interface.private_ip_addresses_set.item.iter().map(|address| address.private_ip_address);
            found.extend(its.filter(|ip| addresses.contains(ip)).map(|ip| placed(instance, interface, ip)));
        }
    }
    Ok(found)
}

fn strategies(client: &Client, names: &[&str]) -> Result<Vec<Group>, CallError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let action = Action::DescribePlacementGroups;
    let parameters: Vec<_> = numbered("GroupName", names).collect();
    let answer: Groups = read(action, &client.query(action, &parameters)?)?;
    Ok(answer.placement_group_set.item)
}
