//! Moves against a simulator in which addresses really move.
#![allow(missing_docs, clippy::unwrap_used)]

use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

use tandem_aws::{CallError, Client, Endpoints, Metadata, Mover, places};
use tandem_aws_protocol::{ElasticAddress, Floating, HasInterface, RouteEntry, Strategy};
use tandem_ec2_simulator::{ElasticIp, Fault, Group, Instance, Interface, Simulator, World};

const FLOATING: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
const PATIENCE: Duration = Duration::from_secs(20);
const SUBNET: &str = "subnet-a";

fn world() -> World {
    let instance = |number: u8, addresses: Vec<Ipv4Addr>| Instance {
        id: format!("i-{number:02}"),
        zone: "eu-central-1a".to_owned(),
        interfaces: vec![Interface {
            id: format!("eni-{number:02}"),
            mac: format!("02:00:00:00:00:{number:02x}"),
            subnet: SUBNET.to_owned(),
            addresses,
        }],
        group: Some(("voice".to_owned(), Some(number.into()))),
        ..Instance::default()
    };
    World {
        instances: vec![
            instance(1, vec![Ipv4Addr::new(10, 0, 0, 1), FLOATING]),
            instance(2, vec![Ipv4Addr::new(10, 0, 0, 2)]),
        ],
        groups: vec![Group {
            name: "voice".to_owned(),
            strategy: tandem_ec2_simulator::Strategy::Partition,
            partitions: 3,
        }],
        elastic: vec![ElasticIp {
            allocation: "eipalloc-01".to_owned(),
            public: Ipv4Addr::new(192, 0, 2, 1),
            leads_to: Some(("eni-01".to_owned(), FLOATING)),
        }],
        routes: vec![("rtb-01".to_owned(), "10.9.0.1/32".to_owned(), "eni-01".to_owned())],
        ..World::default()
    }
}

fn client(simulator: &Simulator, call_timeout: Duration) -> Client {
    let endpoints = Endpoints { all: Some(simulator.url()) };
    let client = Client::new(Metadata::new(&simulator.url()), "eu-central-1", endpoints, call_timeout);
    client.renew_credentials(SystemTime::now()).unwrap();
    client
}

/// The second instance, which takes over from the first.
fn mover(simulator: &Simulator, floating: Floating, call_timeout: Duration) -> Mover {
    simulator.ask_as(1);
    let (identity, here) = Metadata::new(&simulator.url()).identity(vec![floating]).unwrap();
    assert_eq!((identity.instance.as_str(), identity.region.as_str()), ("i-02", "eu-central-1"));
    assert_eq!(identity.interfaces, ["eni-02"]);
    Mover::new(client(simulator, call_timeout), here)
}

fn nothing() -> Floating {
    let at = HasInterface::Mac("02:00:00:00:00:02".to_owned());
    Floating { at, private: Vec::new(), elastic: Vec::new(), routes: Vec::new() }
}

fn private() -> Floating {
    Floating { private: vec![FLOATING], ..nothing() }
}

#[test]
fn a_private_address_moves_with_one_call() {
    let simulator = Simulator::start(world()).unwrap();
    let mover = mover(&simulator, private(), PATIENCE);
    assert_eq!(mover.is_here(), Ok(false));
    let report = mover.move_here(PATIENCE).unwrap();
    assert_eq!((report.calls, report.throttled), (1, 0));
    assert_eq!(mover.is_here(), Ok(true));
    let calls = simulator.calls();
    assert_eq!(calls[1].action, "AssignPrivateIpAddresses");
    let parameters =
        [("NetworkInterfaceId", "eni-02"), ("AllowReassignment", "true"), ("PrivateIpAddress.1", "10.0.0.100")];
    assert_eq!(calls[1].parameters, parameters.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(simulator.world().holder(SUBNET, FLOATING), Some("eni-02"));
    let world = simulator.world();
    assert_eq!(world.interface("eni-01").unwrap().addresses, [Ipv4Addr::new(10, 0, 0, 1)], "it has left the other");
    assert_eq!(world.elastic[0].leads_to, Some(("eni-02".to_owned(), FLOATING)), "the Elastic IP on it came along");
}

#[test]
fn an_elastic_ip_and_a_route_move_at_the_same_time_to_another_zone() {
    let mut world = world();
    world.instances[1].zone = "eu-central-1b".to_owned();
    world.instances[1].interfaces[0].subnet = "subnet-b".to_owned();
    let simulator = Simulator::start(world).unwrap();
    let own = Ipv4Addr::new(10, 0, 0, 2);
    let floating = Floating {
        at: HasInterface::Address(own),
        elastic: vec![ElasticAddress { allocation: "eipalloc-01".to_owned(), private: Some(own) }],
        routes: vec![RouteEntry { table: "rtb-01".to_owned(), destination: "10.9.0.1/32".to_owned() }],
        ..nothing()
    };
    let mover = mover(&simulator, floating, PATIENCE);
    assert_eq!(mover.is_here(), Ok(false));
    assert_eq!(simulator.actions(), ["DescribeAddresses"]);
    assert_eq!(mover.move_here(PATIENCE).unwrap().calls, 2);
    let mut actions = simulator.actions().split_off(1);
    actions.sort();
    assert_eq!(actions, ["AssociateAddress", "ReplaceRoute"]);
    let world = simulator.world();
    assert_eq!(world.elastic[0].leads_to, Some(("eni-02".to_owned(), own)));
    assert_eq!(world.routes[0].2, "eni-02");
    assert_eq!(mover.is_here(), Ok(true));
    simulator.change(|world| world.routes[0].2 = "eni-01".to_owned());
    assert_eq!(mover.is_here(), Ok(false), "somebody took the route");
}

#[test]
fn an_elastic_ip_waits_for_the_private_address_that_it_is_to_lead_to() {
    let simulator = Simulator::start(world()).unwrap();
    simulator.change(|world| world.elastic[0].leads_to = None);
    let elastic = vec![ElasticAddress { allocation: "eipalloc-01".to_owned(), private: Some(FLOATING) }];
    let mover = mover(&simulator, Floating { elastic, ..private() }, PATIENCE);
    mover.move_here(PATIENCE).unwrap();
    assert_eq!(simulator.actions(), ["AssignPrivateIpAddresses", "AssociateAddress"]);
    assert_eq!(mover.is_here(), Ok(true));
}

#[test]
fn an_interface_that_the_instance_has_not_is_told() {
    let simulator = Simulator::start(world()).unwrap();
    let metadata = Metadata::new(&simulator.url());
    for (at, told) in [
        (HasInterface::Mac("02:00:00:00:00:09".to_owned()), "the hardware address 02:00:00:00:00:09"),
        (HasInterface::Address(Ipv4Addr::new(10, 0, 0, 9)), "the private address 10.0.0.9"),
    ] {
        let error = metadata.identity(vec![Floating { at, ..nothing() }]).unwrap_err().to_string();
        assert_eq!(error, format!("this instance has no network interface with {told}"));
    }
}

#[test]
fn where_members_are_is_found_by_their_addresses() {
    let simulator = Simulator::start(world()).unwrap();
    simulator.change(|world| world.instances[0].group = None);
    let asked = ["10.0.0.1", "10.0.0.2", "10.0.0.77"].map(|text| text.parse().unwrap());
    let found = places(&client(&simulator, PATIENCE), &asked).unwrap();
    assert_eq!(simulator.actions(), ["DescribeInstances", "DescribePlacementGroups"]);
    let told: Vec<_> = found.iter().map(|one| (one.address, one.instance.as_str(), one.subnet.as_str())).collect();
    assert_eq!(told, [(asked[0], "i-01", SUBNET), (asked[1], "i-02", SUBNET)], "and 10.0.0.77 is nobody's");
    assert_eq!(found[0].group, None);
    assert_eq!(found[1].group, Some(("voice".to_owned(), Strategy::Partition)));
    assert_eq!((found[1].partition, found[1].zone.as_str()), (Some(2), "eu-central-1a"));
}

#[test]
fn what_is_throttled_failed_or_not_answered_is_called_again() {
    let simulator = Simulator::start(world()).unwrap();
    let mover = mover(&simulator, private(), Duration::from_millis(500));
    let faults = [Fault::Throttle, Fault::Throttle, Fault::Fail, Fault::Delay(Duration::from_secs(2)), Fault::Vanish];
    simulator.order("AssignPrivateIpAddresses", &faults);
    let report = mover.move_here(PATIENCE).unwrap();
    assert_eq!((report.calls, report.throttled), (6, 2));
    assert_eq!(simulator.world().holder(SUBNET, FLOATING), Some("eni-02"));
}

#[test]
fn what_is_refused_is_not_called_again_and_says_why() {
    let simulator = Simulator::start(world()).unwrap();
    let mover = mover(&simulator, private(), PATIENCE);
    simulator.order("AssignPrivateIpAddresses", &[Fault::Refuse]);
    let error = mover.move_here(PATIENCE).unwrap_err();
    assert!(matches!(error, CallError::Refused { .. }));
    assert_eq!(
        error.to_string(),
        "AssignPrivateIpAddresses is refused (UnauthorizedOperation): You are not authorized."
    );
    assert_eq!(simulator.actions(), ["AssignPrivateIpAddresses"]);
}

#[test]
fn no_call_is_begun_after_the_votes_may_be_anothers() {
    let simulator = Simulator::start(world()).unwrap();
    let mover = mover(&simulator, private(), PATIENCE);
    simulator.order("AssignPrivateIpAddresses", &[Fault::Throttle]);
    assert!(matches!(mover.move_here(Duration::ZERO), Err(CallError::Throttled { .. })));
    assert_eq!(simulator.actions().len(), 1);
}

#[test]
fn an_old_answer_is_not_the_last_word() {
    let simulator = Simulator::start(world()).unwrap();
    let mover = mover(&simulator, private(), PATIENCE);
    mover.move_here(PATIENCE).unwrap();
    simulator.order("DescribeNetworkInterfaces", &[Fault::Stale, Fault::Stale]);
    assert_eq!(mover.is_here(), Ok(false));
    assert_eq!(mover.confirm(PATIENCE), Ok(true));
}

#[test]
fn an_address_of_another_subnet_is_not_taken_from_there() {
    let mut world = world();
    world.instances[0].interfaces[0].subnet = "subnet-other".to_owned();
    let simulator = Simulator::start(world).unwrap();
    let mover = mover(&simulator, private(), PATIENCE);
    mover.move_here(PATIENCE).unwrap();
    let world = simulator.world();
    assert_eq!(world.holder("subnet-other", FLOATING), Some("eni-01"), "another subnet's address of the same number");
    assert_eq!(world.holder(SUBNET, FLOATING), Some("eni-02"));
}
