//! The actions of EC2 that a move needs.

use std::net::Ipv4Addr;

use serde::Deserialize;

use crate::client::{CallError, Client};
use crate::mover::{ElasticAddress, RouteEntry};

const VERSION: &str = "2016-11-15";

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
struct Set<T> {
    #[serde(default = "Vec::new")]
    item: Vec<T>,
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
    network_interface_id: Option<String>,
}

impl Ec2<'_> {
    fn call(&self, action: &str, parameters: &[(String, String)]) -> Result<String, CallError> {
        self.0.call("ec2", VERSION, action, parameters)
    }

    /// Gives private addresses to an interface, also where another has them.
    ///
    /// # Errors
    /// It was not done, or that is not known.
    pub fn assign(&self, interface: &str, addresses: &[Ipv4Addr]) -> Result<(), CallError> {
        let mut parameters = vec![pair("NetworkInterfaceId", interface), pair("AllowReassignment", "true")];
        let numbered = addresses.iter().zip(1..);
        parameters.extend(numbered.map(|(address, number)| pair(&format!("PrivateIpAddress.{number}"), address)));
        self.call("AssignPrivateIpAddresses", &parameters).map(drop)
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
        self.call("AssociateAddress", &parameters).map(drop)
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
        self.call("ReplaceRoute", &parameters).map(drop)
    }

    /// Which interfaces have any of these private addresses; also keeps the connection warm.
    ///
    /// # Errors
    /// There is no answer, or none that can be read.
    pub fn interfaces_with(&self, addresses: &[Ipv4Addr]) -> Result<Vec<Interface>, CallError> {
        let mut parameters = vec![pair("Filter.1.Name", "addresses.private-ip-address")];
        let numbered = addresses.iter().zip(1..);
        parameters.extend(numbered.map(|(address, number)| pair(&format!("Filter.1.Value.{number}"), address)));
        let action = "DescribeNetworkInterfaces";
        let answer: Interfaces = read(action, &self.call(action, &parameters)?)?;
        let interface = |item: InterfaceItem| Interface {
            id: item.network_interface_id,
            addresses: item.private_ip_addresses_set.item.iter().map(|address| address.private_ip_address).collect(),
        };
        Ok(answer.network_interface_set.item.into_iter().map(interface).collect())
    }

    /// The interface that an Elastic IP leads to.
    ///
    /// # Errors
    /// There is no answer, or none that can be read.
    pub fn interface_of(&self, elastic: &ElasticAddress) -> Result<Option<String>, CallError> {
        let action = "DescribeAddresses";
        let answer: AddressesAnswer =
            read(action, &self.call(action, &[pair("AllocationId.1", &elastic.allocation)])?)?;
        Ok(answer.addresses_set.item.into_iter().find_map(|item| item.network_interface_id))
    }
}

fn pair(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn read<'a, T: Deserialize<'a>>(action: &str, xml: &'a str) -> Result<T, CallError> {
    quick_xml::de::from_str(xml).map_err(|error| CallError::Failed {
        action: action.to_owned(),
        why: format!("its answer is unreadable: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_items_is_an_empty_one() {
        let xml = "<DescribeNetworkInterfacesResponse><networkInterfaceSet/></DescribeNetworkInterfacesResponse>";
        let answer: Interfaces = read("X", xml).unwrap();
        assert!(answer.network_interface_set.item.is_empty());
    }

    #[test]
    fn an_answer_that_is_something_else_is_told() {
        let error = read::<Interfaces>("DescribeNetworkInterfaces", "<html>").err().unwrap().to_string();
        assert!(error.starts_with("DescribeNetworkInterfaces failed: its answer is unreadable"), "{error}");
    }
}
