//! The actions of EC2 that a move needs.

use std::net::Ipv4Addr;

use serde::Deserialize;
use tandem_aws_protocol::{ElasticAddress, RouteEntry};

use crate::action::Action;
use crate::client::{CallError, Client};
use crate::xml::{Set, read};

/// EC2's query interface.
#[derive(Clone, Copy, Debug)]
pub struct Ec2<'a>(pub &'a Client);

/// A network interface and the private addresses that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, as in `eni-0a1b2c3d`.
    pub id: String,
    /// All of its private addresses.
    pub addresses: Vec<Ipv4Addr>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Interfaces {
    network_interface_set: Set<InterfaceItem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InterfaceItem {
    network_interface_id: String,
    private_ip_addresses_set: Set<PrivateAddress>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PrivateAddress {
    private_ip_address: Ipv4Addr,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddressesAnswer {
    addresses_set: Set<AddressItem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddressItem {
    allocation_id: String,
    network_interface_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tables {
    route_table_set: Set<Table>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    route_table_id: String,
    route_set: Set<RouteItem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RouteItem {
    destination_cidr_block: Option<String>,
    network_interface_id: Option<String>,
}

impl Ec2<'_> {
    /// Gives private addresses to an interface, also where another has them.
    ///
    /// # Errors
    /// It was not done, or that is not known.
    pub fn assign(&self, interface: &str, addresses: &[Ipv4Addr]) -> Result<(), CallError> {
        let mut parameters = vec![pair("NetworkInterfaceId", interface), pair("AllowReassignment", "true")];
        parameters.extend(numbered("PrivateIpAddress", addresses));
        self.0.query(Action::AssignPrivateIpAddresses, &parameters).map(drop)
    }

    /// Lets an Elastic IP lead to a private address of an interface, wherever it led before.
    ///
    /// # Errors
    /// It was not done, or that is not known.
    pub fn associate(&self, interface: &str, elastic: &ElasticAddress) -> Result<(), CallError> {
        let mut parameters = vec![
            pair("AllocationId", &elastic.allocation),
            pair("NetworkInterfaceId", interface),
            pair("AllowReassociation", "true"),
        ];
        parameters.extend(elastic.private.map(|address| pair("PrivateIpAddress", address)));
        self.0.query(Action::AssociateAddress, &parameters).map(drop)
    }

    /// Lets a route lead to an interface.
    ///
    /// # Errors
    /// It was not done, or that is not known.
    pub fn replace_route(&self, interface: &str, route: &RouteEntry) -> Result<(), CallError> {
        let parameters = [
            pair("RouteTableId", &route.table),
            pair("DestinationCidrBlock", &route.destination),
            pair("NetworkInterfaceId", interface),
        ];
        self.0.query(Action::ReplaceRoute, &parameters).map(drop)
    }

    /// Which interfaces have any of these private addresses.
    ///
    /// # Errors
    /// There is no answer, or none that can be read.
    pub fn interfaces_with(&self, addresses: &[Ipv4Addr]) -> Result<Vec<Interface>, CallError> {
        let mut parameters = vec![pair("Filter.1.Name", "addresses.private-ip-address")];
        parameters.extend(numbered("Filter.1.Value", addresses));
        let action = Action::DescribeNetworkInterfaces;
        let answer: Interfaces = read(action, &self.0.query(action, &parameters)?)?;
        let interface = |item: InterfaceItem| Interface {
            id: item.network_interface_id,
            addresses: item.private_ip_addresses_set.item.iter().map(|address| address.private_ip_address).collect(),
        };
        Ok(answer.network_interface_set.item.into_iter().map(interface).collect())
    }

    /// Elastic IPs, by allocation, and the interfaces that they lead to.
    ///
    /// # Errors
    /// There is no answer, or none that can be read.
    pub fn associations(&self, allocations: &[&str]) -> Result<Vec<(String, Option<String>)>, CallError> {
        let action = Action::DescribeAddresses;
        let parameters: Vec<_> = numbered("AllocationId", allocations).collect();
        let answer: AddressesAnswer = read(action, &self.0.query(action, &parameters)?)?;
        Ok(answer.addresses_set.item.into_iter().map(|item| (item.allocation_id, item.network_interface_id)).collect())
    }

    /// The routes of tables that lead to interfaces: table, destination, interface.
    ///
    /// # Errors
    /// There is no answer, or none that can be read.
    pub fn routes(&self, tables: &[&str]) -> Result<Vec<(String, String, String)>, CallError> {
        let action = Action::DescribeRouteTables;
        let parameters: Vec<_> = numbered("RouteTableId", tables).collect();
        let answer: Tables = read(action, &self.0.query(action, &parameters)?)?;
        let of_table = |table: Table| {
            let id = table.route_table_id;
            let route =
                move |route: RouteItem| Some((id.clone(), route.destination_cidr_block?, route.network_interface_id?));
            table.route_set.item.into_iter().filter_map(route)
        };
        Ok(answer.route_table_set.item.into_iter().flat_map(of_table).collect())
    }
}

pub(crate) fn numbered<'a, T: ToString>(name: &'a str, values: &'a [T]) -> impl Iterator<Item = (String, String)> + 'a {
    values.iter().zip(1..).map(move |(value, number)| pair(&format!("{name}.{number}"), value.to_string()))
}

pub(crate) fn pair(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_items_is_an_empty_one() {
        let xml = "<DescribeNetworkInterfacesResponse><networkInterfaceSet/></DescribeNetworkInterfacesResponse>";
        let answer: Interfaces = read(Action::DescribeNetworkInterfaces, xml).unwrap();
        assert!(answer.network_interface_set.item.is_empty());
    }

    #[test]
    fn an_answer_that_is_something_else_is_told() {
        let error = read::<Interfaces>(Action::DescribeNetworkInterfaces, "<html>").err().unwrap().to_string();
        assert!(error.starts_with("DescribeNetworkInterfaces failed: its answer is unreadable"), "{error}");
    }
}
