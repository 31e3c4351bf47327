//! Moves against a simulator in which addresses really move.
#![allow(missing_docs, clippy::unwrap_used)]

use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

use tandem_aws::{Addresses, CallError, Client, ElasticAddress, Endpoints, Metadata, Mover, RouteEntry};
use tandem_ec2_simulator::{ElasticIp, Fault, Group, Instance, Simulator, Strategy, World};

const FLOATING: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
const PATIENCE: Duration = Duration::from_secs(20);

fn world() -> World {
    let instance = |number: u8, zone: &str, addresses: Vec<Ipv4Addr>| Instance {
        id: format!("i-{number:02}"),
        zone: zone.to_owned(),
        subnet: format!("subnet-{zone}"),
        interface: format!("eni-{number:02}"),
        addresses,
        group: Some(("voice".to_owned(), Some(number.into()))),
    };
    World {
        instances: vec![
            instance(1, "eu-central-1a", vec![Ipv4Addr::new(10, 0, 0, 1), FLOATING]),
            instance(2, "eu-central-1a", vec![Ipv4Addr::new(10, 0, 0, 2)]),
        ],
        groups: vec![Group { name: "voice".to_owned(), strategy: Strategy::Partition, partitions: 3 }],
        elastic: vec![ElasticIp {
            allocation: "eipalloc-01".to_owned(),
            public: Ipv4Addr::new(192, 0, 2, 1),
            leads_to: Some(("eni-01".to_owned(), FLOATING)),
        }],
        routes: vec![("rtb-01".to_owned(), "10.9.0.1/32".to_owned(), "eni-01".to_owned())],
        lifecycle: Vec::new(),
    }
}

/// The second instance, which takes over from the first.
fn mover(simulator: &Simulator, addresses: Addresses, call_timeout: Duration) -> Mover {
    simulator.ask_as(1);
    let metadata = Metadata::new(&simulator.url());
    let identity = metadata.identity(None).unwrap();
    assert_eq!((identity.instance.as_str(), identity.region.as_str()), ("i-02", "eu-central-1"));
    assert_eq!((identity.placement_group.as_deref(), identity.partition), (Some("voice"), Some(2)));
    let endpoints = Endpoints { all: Some(simulator.url()) };
    let client = Client::new(metadata, &identity.region, endpoints, call_timeout);
    client.renew_credentials(SystemTime::now()).unwrap();
    Mover::new(client, identity.interface, addresses)
}

fn private() -> Addresses {
    Addresses { private: vec![FLOATING], ..Addresses::default() }
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
    assert_eq!(simulator.world().holder("subnet-eu-central-1a", FLOATING), Some("eni-02"));
    assert_eq!(simulator.world().instances[0].addresses, [Ipv4Addr::new(10, 0, 0, 1)], "it has left the other");
}

#[test]
fn an_elastic_ip_follows_the_private_address_that_it_leads_to_and_a_route_goes_beside() {
    let simulator = Simulator::start(world()).unwrap();
    let addresses = Addresses {
        private: vec![FLOATING],
        elastic: vec![ElasticAddress { allocation: "eipalloc-01".to_owned(), private: Some(FLOATING) }],
        routes: vec![RouteEntry { table: "rtb-01".to_owned(), destination: "10.9.0.1/32".to_owned() }],
    };
    let mover = mover(&simulator, addresses, PATIENCE);
    assert_eq!(mover.move_here(PATIENCE).unwrap().calls, 3);
    let mut actions = simulator.actions();
    assert_eq!(actions[2], "AssociateAddress", "its private address was here first");
    actions[..2].sort();
    assert_eq!(actions[..2], ["AssignPrivateIpAddresses", "ReplaceRoute"]);
    let world = simulator.world();
    assert_eq!(world.elastic[0].leads_to, Some(("eni-02".to_owned(), FLOATING)));
    assert_eq!(world.routes[0].2, "eni-02");
    assert_eq!(mover.is_here(), Ok(true));
}

#[test]
fn what_is_throttled_failed_or_not_answered_is_called_again() {
    let simulator = Simulator::start(world()).unwrap();
    let mover = mover(&simulator, private(), Duration::from_millis(500));
    let faults = [Fault::Throttle, Fault::Throttle, Fault::Fail, Fault::Delay(Duration::from_secs(2)), Fault::Vanish];
    simulator.order("AssignPrivateIpAddresses", &faults);
    let report = mover.move_here(PATIENCE).unwrap();
    assert_eq!((report.calls, report.throttled), (6, 2));
    assert_eq!(simulator.world().holder("subnet-eu-central-1a", FLOATING), Some("eni-02"));
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
    world.instances[0].subnet = "subnet-other".to_owned();
    let simulator = Simulator::start(world).unwrap();
    let mover = mover(&simulator, private(), PATIENCE);
    mover.move_here(PATIENCE).unwrap();
    let world = simulator.world();
    assert_eq!(world.holder("subnet-other", FLOATING), Some("eni-01"), "another subnet's address of the same number");
    assert_eq!(world.holder("subnet-eu-central-1a", FLOATING), Some("eni-02"));
}
