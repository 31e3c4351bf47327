//! Which instances belong together: by a tag, or as an Auto Scaling group.

use std::net::IpAddr;

use serde::Deserialize;
use tandem_aws_protocol::{Existing, InCommon};

use crate::action::Action;
use crate::client::{CallError, Client};
use crate::ec2::{numbered, pair};
use crate::places::{Instance, instances_page, strategies};
use crate::xml::read;

/// Instances in one answer; there are as many answers as it takes.
const PAGE: &str = "100";
/// Answers at most: more instances than that are no cluster.
const MOST_PAGES: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GroupsAnswer {
    describe_auto_scaling_groups_result: GroupsResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GroupsResult {
    auto_scaling_groups: Members<Group>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Members<T> {
    #[serde(default = "Vec::new")]
    member: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Group {
    instances: Members<GroupInstance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GroupInstance {
    instance_id: String,
}

/// The instances that have something in common, and those of `also` that exist.
///
/// # Errors
/// There is no answer, none that can be read, or no such group.
pub fn members(client: &Client, by: &InCommon, also: &[String]) -> Result<Vec<Existing>, CallError> {
    let (mut found, belonging) = match by {
        InCommon::Tag(key, value) => {
            let tagged = described(client, &format!("tag:{key}"), std::slice::from_ref(value))?;
            let ids = tagged.iter().map(|instance| instance.instance_id.clone()).collect();
            (tagged, ids)
        }
        InCommon::AutoScalingGroup(name) => (Vec::new(), group(client, name)?),
    };
    let asked: Vec<String> = belonging.iter().chain(also).cloned().collect();
    let unknown = asked.into_iter().filter(|id| found.iter().all(|known: &Instance| known.instance_id != *id));
    let mut unknown: Vec<String> = unknown.collect();
    unknown.sort_unstable();
    unknown.dedup();
    if !unknown.is_empty() {
        // A filter: who is gone for long is missing then, where a list of identifiers would be refused.
        found.extend(described(client, "instance-id", &unknown)?);
    }
    found.retain(Instance::exists);
    let strategies = strategies(client, found.iter())?;
    let existing = |instance: &Instance| {
        let address = instance.private_ip_address?;
        let of_address = instance.interfaces().find(|interface| interface.has(IpAddr::V4(address)));
        Some(Existing {
            instance: instance.instance_id.clone(),
            belongs: belonging.contains(&instance.instance_id) && !instance.ends(),
            address: address.into(),
            zone: instance.placement.availability_zone.clone(),
            subnet: of_address.map_or_else(String::new, |interface| interface.subnet_id.clone()),
            group: strategies.of(instance),
            partition: instance.placement.partition_number,
        })
    };
    Ok(found.iter().filter_map(existing).collect())
}

fn described(client: &Client, filter: &str, values: &[String]) -> Result<Vec<Instance>, CallError> {
    let mut parameters = vec![pair("MaxResults", PAGE), pair("Filter.1.Name", filter)];
    parameters.extend(numbered("Filter.1.Value", values));
    pages(Action::DescribeInstances, &parameters, |parameters| instances_page(client, parameters))
}

/// The instances of a group.
fn group(client: &Client, name: &str) -> Result<Vec<String>, CallError> {
    let action = Action::DescribeAutoScalingGroups;
    let groups = pages(action, &[pair("AutoScalingGroupNames.member.1", name)], |parameters| {
        let answer: GroupsAnswer = read(action, &client.query(action, parameters)?)?;
        let result = answer.describe_auto_scaling_groups_result;
        Ok((result.auto_scaling_groups.member, result.next_token))
    })?;
    if groups.is_empty() {
        return Err(CallError::Failed { action: action.to_string(), why: format!("there is no group called {name}") });
    }
    let instances = groups.into_iter().flat_map(|group| group.instances.member);
    Ok(instances.map(|instance| instance.instance_id).collect())
}

/// One page after the other, until one does not name the next.
fn pages<T>(
    action: Action,
    parameters: &[(String, String)],
    mut page: impl FnMut(&[(String, String)]) -> Result<(Vec<T>, Option<String>), CallError>,
) -> Result<Vec<T>, CallError> {
    let (mut all, mut asked) = (Vec::new(), parameters.to_vec());
    for _ in 0..MOST_PAGES {
        let (items, next) = page(&asked)?;
        all.extend(items);
        let Some(token) = next.filter(|token| !token.is_empty()) else { return Ok(all) };
        asked = parameters.to_vec();
        asked.push(pair("NextToken", token));
    }
    Err(CallError::Failed { action: action.to_string(), why: format!("there are more than {MOST_PAGES} pages") })
}
