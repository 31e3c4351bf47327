//! Which instances belong together, as a simulator of EC2 and Auto Scaling says.
#![allow(missing_docs, clippy::unwrap_used)]

use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

use tandem_aws::{Client, Endpoints, Metadata, members};
use tandem_aws_protocol::{Existing, InCommon, Strategy};
use tandem_ec2_simulator::{Group, Instance, InstanceState, Interface, ScalingGroup, Simulator, Tag, World};

fn world() -> World {
    let instance = |number: u8| Instance {
        id: format!("i-{number}"),
        zone: "eu-central-1a".to_owned(),
        group: (number == 2).then(|| ("racks".to_owned(), None)),
        interfaces: vec![Interface {
            id: format!("eni-{number}"),
            mac: format!("02:00:00:00:00:0{number}"),
            subnet: "subnet-a".to_owned(),
            addresses: vec![Ipv4Addr::new(10, 0, 0, number), Ipv4Addr::new(10, 0, 0, 100 + number)],
        }],
        ..Instance::default()
    };
    let racks = Group { name: "racks".to_owned(), strategy: tandem_ec2_simulator::Strategy::Spread, partitions: 0 };
    World { instances: (1..=6).map(instance).collect(), groups: vec![racks], ..World::default() }
}

fn client(simulator: &Simulator) -> Client {
    let endpoints = Endpoints { all: Some(simulator.url()) };
    let client = Client::new(Metadata::new(&simulator.url()), "eu-central-1", endpoints, Duration::from_secs(20));
    client.renew_credentials(SystemTime::now()).unwrap();
    client
}

fn names(found: &[Existing]) -> Vec<(&str, bool)> {
    found.iter().map(|found| (found.instance.as_str(), found.belongs)).collect()
}

#[test]
fn instances_with_a_tag_are_found_over_several_pages_and_those_that_have_ended_are_not() {
    let simulator = Simulator::start(world()).unwrap();
    simulator.change(|world| {
        world.tags = (1..=5).map(|number| Tag::new(&format!("i-{number}"), "tandem:pair", "voice")).collect();
        world.tags.push(Tag::new("i-6", "tandem:pair", "other"));
        world.instances[2].state = InstanceState::Terminated;
        world.instances[3].state = InstanceState::ShuttingDown;
    });
    let by = InCommon::Tag("tandem:pair".to_owned(), "voice".to_owned());
    let also = ["i-6".to_owned(), "i-3".to_owned(), "i-gone".to_owned()];
    let found = members(&client(&simulator), &by, &also).unwrap();
    let wanted = [("i-1", true), ("i-2", true), ("i-4", false), ("i-5", true), ("i-6", false)];
    assert_eq!(names(&found), wanted);
    assert_eq!(found[1].address, Ipv4Addr::new(10, 0, 0, 2));
    assert_eq!((found[1].zone.as_str(), found[1].subnet.as_str()), ("eu-central-1a", "subnet-a"));
    assert_eq!(found[1].group, Some(("racks".to_owned(), Strategy::Spread)));
    assert_eq!(found[0].group, None);
    let pages = simulator.calls().iter().filter(|call| call.get("NextToken").is_some()).count();
    assert_eq!(pages, 2, "five have the tag, in pages of two");
}

#[test]
fn instances_of_an_auto_scaling_group_are_found_and_a_group_that_there_is_not_is_told() {
    let simulator = Simulator::start(world()).unwrap();
    let group = |name: &str, ids: &[&str]| ScalingGroup {
        name: name.to_owned(),
        instances: ids.iter().map(|id| (*id).to_owned()).collect(),
    };
    simulator.change(|world| world.scaling = vec![group("data", &["i-1"]), group("voice", &["i-2", "i-3", "i-5"])]);
    let of = |name: &str| members(&client(&simulator), &InCommon::AutoScalingGroup(name.to_owned()), &[]);
    assert_eq!(names(&of("voice").unwrap()), [("i-2", true), ("i-3", true), ("i-5", true)]);
    let error = of("video").unwrap_err().to_string();
    assert_eq!(error, "DescribeAutoScalingGroups failed: there is no group called video");
}

#[test]
fn nobody_is_found_where_no_instance_has_the_tag() {
    let simulator = Simulator::start(world()).unwrap();
    let by = InCommon::Tag("tandem:pair".to_owned(), "none".to_owned());
    assert_eq!(members(&client(&simulator), &by, &[]).unwrap(), []);
}
