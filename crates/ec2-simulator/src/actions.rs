//! What the actions do, and how they answer.

use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::http::Answer;
use crate::world::{ElasticIp, Instance, Interface, Refusal, World};
use crate::{Call, Fault, Presence, Simulator};

impl Simulator {
    /// Carries a call out, after what was ordered for it; `None` where there is to be no answer.
    pub(crate) fn act(&self, call: Call) -> Option<Answer> {
        let fault = match self.presence() {
            Presence::Away => return None,
            Presence::Until(action) if action == call.action => {
                self.be(Presence::Away);
                Some(Fault::Vanish)
            }
            Presence::Until(_) | Presence::Here => self.next_fault(&call.action),
        };
        self.state().calls.push(call.clone());
        match fault {
            Some(Fault::Throttle) => return Some(error(503, "RequestLimitExceeded", "Request limit exceeded.")),
            Some(Fault::Refuse) => return Some(error(403, "UnauthorizedOperation", "You are not authorized.")),
            Some(Fault::Fail) => return Some(error(500, "InternalError", "An internal error has occurred")),
            Some(Fault::Delay(time)) => std::thread::sleep(time),
            Some(Fault::Vanish | Fault::Stale) | None => {}
        }
        let mut state = self.state();
        if state.policy.as_ref().is_some_and(|policy| !policy.allows(&call, &state.world)) {
            return Some(error(403, "UnauthorizedOperation", "You are not authorized to perform this operation."));
        }
        let mut world = if fault == Some(Fault::Stale) { state.before.clone() } else { state.world.clone() };
        let outcome = perform(&mut world, &call);
        if fault != Some(Fault::Stale) && world != state.world {
            state.before = std::mem::replace(&mut state.world, world);
        }
        drop(state);
        if fault == Some(Fault::Vanish) {
            return None;
        }
        Some(match outcome {
            Ok(body) => Answer::ok(format!("<{0}Response><requestId>0</requestId>{body}</{0}Response>", call.action)),
            Err((code, why)) => error(400, code, &why),
        })
    }
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    Answer { status, body: format!("<Response><Errors>{error}</Errors><RequestID>0</RequestID></Response>") }
}

fn need<'a>(call: &'a Call, name: &'static str) -> Result<&'a str, Refusal> {
    call.get(name).ok_or_else(|| ("MissingParameter", format!("The request must contain the parameter {name}")))
}

fn addresses(texts: &[String]) -> Result<Vec<Ipv4Addr>, Refusal> {
    let parse = |text: &String| {
        Ipv4Addr::from_str(text).map_err(|_| ("InvalidParameterValue", format!("{text} is no address")))
    };
    texts.iter().map(parse).collect()
}

const DONE: &str = "<return>true</return>";

fn perform(world: &mut World, call: &Call) -> Result<String, Refusal> {
    let allows = |name: &str| call.get(name) == Some("true");
    match call.action.as_str() {
        "AssignPrivateIpAddresses" => {
            let wanted = addresses(&call.list("PrivateIpAddress"))?;
            world.assign(need(call, "NetworkInterfaceId")?, &wanted, allows("AllowReassignment"))?;
        }
        "AssociateAddress" => {
            let private = addresses(&call.get("PrivateIpAddress").map(str::to_owned).into_iter().collect::<Vec<_>>())?;
            let (allocation, interface) = (need(call, "AllocationId")?, need(call, "NetworkInterfaceId")?);
            world.associate(allocation, interface, private.first().copied(), allows("AllowReassociation"))?;
        }
        "ReplaceRoute" => {
            let (table, to) = (need(call, "RouteTableId")?, need(call, "DestinationCidrBlock")?);
            world.replace_route(table, to, need(call, "NetworkInterfaceId")?)?;
        }
        "CompleteLifecycleAction" | "RecordLifecycleActionHeartbeat" => {
            let (group, hook) = (need(call, "AutoScalingGroupName")?, need(call, "LifecycleHookName")?);
            let instance = need(call, "InstanceId")?;
            if call.action == "CompleteLifecycleAction" {
                world.complete(group, hook, instance, need(call, "LifecycleActionResult")?)?;
            }
            return Ok(String::new());
        }
        "DescribeInstances" => return Ok(instances(world, call)),
        "DescribeNetworkInterfaces" => return Ok(interfaces(world, call)),
        "DescribeAddresses" => return Ok(elastic(world, call)),
        "DescribePlacementGroups" => return Ok(groups(world, call)),
        "DescribeRouteTables" => return Ok(route_tables(world, call)),
        "DescribeAutoScalingGroups" => return Ok(scaling_groups(world, call)),
        "PutMetricData" => return Ok(String::new()),
        "DescribeAutoScalingInstances" => return Ok(scaling_instances(world, call)),
        other => return Err(("InvalidAction", format!("The action {other} is not valid for this web service."))),
    }
    Ok(DONE.to_owned())
}

/// The values of a filter, where there is one of that name.
fn filter(call: &Call, name: &str) -> Option<Vec<String>> {
    let number = (1..20).find(|number| call.get(&format!("Filter.{number}.Name")) == Some(name))?;
    Some(call.list(&format!("Filter.{number}.Value")))
}

/// Fewer than a caller asks for, as a cloud may answer: who reads one page alone misses somebody.
const MOST_IN_A_PAGE: usize = 2;

fn set(name: &str, items: impl Iterator<Item = String>) -> String {
    format!("<{name}>{}</{name}>", items.map(|item| format!("<item>{item}</item>")).collect::<String>())
}

fn interface(zone: &str, interface: &Interface) -> String {
    let addresses = set(
        "privateIpAddressesSet",
        interface.addresses.iter().enumerate().map(|(place, address)| {
            format!("<privateIpAddress>{address}</privateIpAddress><primary>{}</primary>", place == 0)
        }),
    );
    format!(
        "<networkInterfaceId>{}</networkInterfaceId><subnetId>{}</subnetId><macAddress>{}</macAddress>\
         <availabilityZone>{zone}</availabilityZone>{addresses}",
        interface.id, interface.subnet, interface.mac,
    )
}

fn has_any(interface: &Interface, texts: &[String]) -> bool {
    interface.addresses.iter().any(|address| texts.contains(&address.to_string()))
}

fn interfaces(world: &World, call: &Call) -> String {
    let (wanted, having) = (call.list("NetworkInterfaceId"), filter(call, "addresses.private-ip-address"));
    let matches = |found: &Interface| {
        let named = wanted.is_empty() || wanted.contains(&found.id);
        named && having.as_ref().is_none_or(|texts| has_any(found, texts))
    };
    let all = world.instances.iter().flat_map(|instance| {
        instance.interfaces.iter().filter(|found| matches(found)).map(|found| interface(&instance.zone, found))
    });
    set("networkInterfaceSet", all)
}

fn instances(world: &World, call: &Call) -> String {
    let (wanted, having) = (call.list("InstanceId"), filter(call, "network-interface.addresses.private-ip-address"));
    let (ids, tagged) = (filter(call, "instance-id"), tag_filter(call));
    let matches = |instance: &&Instance| {
        let named = wanted.is_empty() || wanted.contains(&instance.id);
        named
            && ids.as_ref().is_none_or(|ids| ids.contains(&instance.id))
            && tagged.as_ref().is_none_or(|(key, values)| {
                world.tag(&instance.id, key).is_some_and(|value| values.iter().any(|wanted| wanted == value))
            })
            && having.as_ref().is_none_or(|texts| instance.interfaces.iter().any(|one| has_any(one, texts)))
    };
    let instance = |instance: &Instance| {
        let group = instance.group.as_ref().map_or(String::new(), |(name, partition)| {
            let partition =
                partition.map_or(String::new(), |number| format!("<partitionNumber>{number}</partitionNumber>"));
            format!("<groupName>{name}</groupName>{partition}")
        });
        let placement = format!("<availabilityZone>{}</availabilityZone>{group}", instance.zone);
        let interfaces =
            set("networkInterfaceSet", instance.interfaces.iter().map(|one| interface(&instance.zone, one)));
        let address = instance.interfaces.first().and_then(|interface| interface.addresses.first());
        let address = address.map_or_else(String::new, |ip| format!("<privateIpAddress>{ip}</privateIpAddress>"));
        let item = format!(
            "<instanceId>{}</instanceId><instanceState><name>{}</name></instanceState>{address}\
             <placement>{placement}</placement>{interfaces}",
            instance.id,
            instance.state.name(),
        );
        set("instancesSet", std::iter::once(item))
    };
    let (page, next) = page(call, "MaxResults", world.instances.iter().filter(matches).map(instance).collect());
    set("reservationSet", page.into_iter())
        + &next.map_or_else(String::new, |token| format!("<nextToken>{token}</nextToken>"))
}

/// A tag that is filtered by: its name, and the values that it may have.
fn tag_filter(call: &Call) -> Option<(String, Vec<String>)> {
    let names = (1..20).filter_map(|number| call.get(&format!("Filter.{number}.Name")));
    let mut keys = names.filter_map(|name| Some((name, name.strip_prefix("tag:")?)));
    keys.next().and_then(|(name, key)| Some((key.to_owned(), filter(call, name)?)))
}

/// The part of a list that is asked for, and what names the next one.
fn page(call: &Call, most: &str, mut items: Vec<String>) -> (Vec<String>, Option<usize>) {
    let number = |name: &str| call.get(name).and_then(|text| text.parse::<usize>().ok());
    let from = number("NextToken").unwrap_or(0).min(items.len());
    let mut rest = items.split_off(from);
    let most = number(most).unwrap_or(usize::MAX).min(MOST_IN_A_PAGE);
    let next = (rest.len() > most).then(|| from + most);
    rest.truncate(most);
    (rest, next)
}

fn scaling_groups(world: &World, call: &Call) -> String {
    let wanted = call.list("AutoScalingGroupNames.member");
    let matching = world.scaling.iter().filter(|group| wanted.is_empty() || wanted.contains(&group.name));
    let member = |text: String| format!("<member>{text}</member>");
    let groups = matching.map(|group| {
        let instances = group.instances.iter().map(|id| member(format!("<InstanceId>{id}</InstanceId>")));
        member(format!(
            "<AutoScalingGroupName>{}</AutoScalingGroupName><Instances>{}</Instances>",
            group.name,
            instances.collect::<String>()
        ))
    });
    let (page, next) = page(call, "MaxRecords", groups.collect());
    let next = next.map_or_else(String::new, |token| format!("<NextToken>{token}</NextToken>"));
    format!(
        "<DescribeAutoScalingGroupsResult><AutoScalingGroups>{}</AutoScalingGroups>{next}</DescribeAutoScalingGroupsResult>",
        page.concat()
    )
}

fn route_tables(world: &World, call: &Call) -> String {
    let tables = call.list("RouteTableId").into_iter().map(|table| {
        let of_table = world.routes.iter().filter(|(known, ..)| *known == table);
        let routes = of_table.map(|(_, to, interface)| {
            format!(
                "<destinationCidrBlock>{to}</destinationCidrBlock><networkInterfaceId>{interface}</networkInterfaceId>"
            )
        });
        format!("<routeTableId>{table}</routeTableId>{}", set("routeSet", routes))
    });
    set("routeTableSet", tables)
}

fn elastic(world: &World, call: &Call) -> String {
    let wanted = call.list("AllocationId");
    let matches = |elastic: &&ElasticIp| wanted.is_empty() || wanted.contains(&elastic.allocation);
    let item = |elastic: &ElasticIp| {
        let leads_to = elastic.leads_to.as_ref().map_or(String::new(), |(interface, private)| {
            format!(
                "<networkInterfaceId>{interface}</networkInterfaceId><privateIpAddress>{private}</privateIpAddress>"
            )
        });
        format!("<allocationId>{}</allocationId><publicIp>{}</publicIp>{leads_to}", elastic.allocation, elastic.public)
    };
    set("addressesSet", world.elastic.iter().filter(matches).map(item))
}

fn groups(world: &World, call: &Call) -> String {
    let wanted = call.list("GroupName");
    let matching = world.groups.iter().filter(|group| wanted.is_empty() || wanted.contains(&group.name));
    set(
        "placementGroupSet",
        matching.map(|group| {
            format!(
                "<groupName>{}</groupName><strategy>{}</strategy><state>available</state><partitionCount>{}</partitionCount>",
                group.name,
                group.strategy.name(),
                group.partitions
            )
        }),
    )
}

fn scaling_instances(world: &World, call: &Call) -> String {
    let wanted = call.list("InstanceIds.member");
    let members: String = world
        .lifecycle
        .iter()
        .filter(|action| wanted.contains(&action.instance))
        .map(|action| {
            let state = match (action.ends, action.result.is_some()) {
                (false, false) => "Pending:Wait",
                (false, true) => "InService",
                (true, false) => "Terminating:Wait",
                (true, true) => "Terminating:Proceed",
            };
            format!(
                "<member><InstanceId>{}</InstanceId><AutoScalingGroupName>{}</AutoScalingGroupName>\
                 <LifecycleState>{state}</LifecycleState></member>",
                action.instance, action.group
            )
        })
        .collect();
    format!(
        "<DescribeAutoScalingInstancesResult><AutoScalingInstances>{members}</AutoScalingInstances>\
         </DescribeAutoScalingInstancesResult>"
    )
}
