//! Two gateways whose addresses move by EC2's interface, as far as a simulator is EC2.
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use support::pair::Pair;
use support::softphone::alone;
use support::talkers::{Standing, Talkers};
use support::{Process, inside, may_make_networks, repository};
use tandem_ec2_simulator::{
    Call, Fault, Group, Instance, InstanceState, Interface, Lifecycle, Policy, Presence, Simulator, Strategy, Tag,
    World,
};

const CORES: [usize; 2] = [1, 1];
const PATIENCE: Duration = Duration::from_secs(20);
/// Parties talk on while something else is waited for.
const TALK: Duration = Duration::from_millis(50);
const EC2: &str = "10.79.0.9:8000";
const SUBNET: &str = "subnet-a";
const SIGNALLING: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 100);
const MEDIA: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 101);
const AWS: &str = r#"aws:
  enabled: true
  metadata: "http://10.79.0.9:8000"
  endpoint: "http://10.79.0.9:8000"
  call_timeout_ms: 500
  metrics_interval_s: 1
  launch_hook: launch
  terminate_hook: terminate
"#;

/// Two instances with an interface for SIP and one for media; the first has the floating addresses.
fn world(pair: &Pair) -> World {
    let instance = |node: u8| {
        let name = ["a", "b"][usize::from(node)];
        let mac = inside(Some(&pair.namespace(node.into())), "cat").arg("/sys/class/net/eth0/address").output();
        let mac = String::from_utf8(mac.expect("cat runs").stdout).expect("text").trim().to_owned();
        let floats = |address: Ipv4Addr| (node == 0).then_some(address);
        let interface = |number: u8, mac: String, own: u8, floating: Ipv4Addr| Interface {
            id: format!("eni-{name}{number}"),
            mac,
            subnet: SUBNET.to_owned(),
            addresses: [Ipv4Addr::new(10, 79, 0, own)].into_iter().chain(floats(floating)).collect(),
        };
        Instance {
            id: format!("i-{name}"),
            zone: "eu-central-1a".to_owned(),
            group: Some(("voice".to_owned(), Some(u16::from(node) + 1))),
            interfaces: vec![
                interface(0, mac, 11 + node, SIGNALLING),
                interface(1, format!("02:00:00:00:00:0{node}"), 20 + node, MEDIA),
            ],
            ..Instance::default()
        }
    };
    let voice = Group { name: "voice".to_owned(), strategy: Strategy::Partition, partitions: 2 };
    let lifecycle = vec![waits_at("launch", 0), waits_at("launch", 1)];
    let tagged = ["i-a", "i-b", "eni-a0", "eni-a1", "eni-b0", "eni-b1"];
    let tags = tagged.iter().map(|resource| Tag::new(resource, "tandem:pair", "voice")).collect();
    World { instances: vec![instance(0), instance(1)], groups: vec![voice], lifecycle, tags, ..World::default() }
}

/// An Auto Scaling group that waits with an instance.
fn waits_at(hook: &str, node: usize) -> Lifecycle {
    let instance = format!("i-{}", ["a", "b"][node]);
    Lifecycle { group: "voice".to_owned(), hook: hook.to_owned(), instance, ends: hook == "terminate", result: None }
}

/// What CloudWatch was told of a node: names, and the last value of each.
fn figures(simulator: &Simulator, node: usize) -> BTreeMap<String, f64> {
    let from = IpAddr::V4(Ipv4Addr::new(10, 79, 0, [11, 12][node]));
    let mut figures = BTreeMap::new();
    for call in simulator.calls().iter().filter(|call| call.action == FIGURES && call.from == from) {
        assert_eq!(call.get("Namespace"), Some("Tandem"));
        for member in (1..).map(|number| format!("MetricData.member.{number}")) {
            let get = |what: &str| call.get(&format!("{member}.{what}"));
            let Some(name) = get("MetricName") else { break };
            let node = format!("node-{}", ["a", "b"][node]);
            let dimension = (get("Dimensions.member.1.Name"), get("Dimensions.member.1.Value"));
            assert_eq!(dimension, (Some("Node"), Some(node.as_str())));
            figures.insert(name.to_owned(), get("Value").and_then(|value| value.parse().ok()).expect("a number"));
        }
    }
    figures
}

/// What it waited for was said of all.
fn goes_on(simulator: &Simulator) -> bool {
    simulator.world().lifecycle.iter().all(|action| action.result.as_deref() == Some("CONTINUE"))
}

/// Serves in the namespace of the peers; who asks is told apart by address.
fn simulate(pair: &Pair) -> Simulator {
    let (namespace, world) = (pair.endpoints(), world(pair));
    let start = move || {
        let file = File::open(format!("/run/netns/{namespace}")).expect("the namespace");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("entered");
        let simulator =
            Simulator::start_at(EC2.parse::<SocketAddr>().expect("an address"), world).expect("EC2 is simulated");
        // What the role of an instance may do, and no more.
        let policy = repository().join("configs/aws-policy.json");
        let policy = std::fs::read_to_string(policy).expect("the policy").replace("PAIR", "voice");
        simulator.allow_only(Policy::parse(&policy).expect("it is JSON"));
        simulator
    };
    std::thread::spawn(start).join().expect("it starts")
}

/// Members in place of a list of them: instances with a tag.
const TAGGED: &str = "discover: { tag: { key: \"tandem:pair\", value: voice } }";

fn pair_on_ec2() -> (Pair, Simulator) {
    pair_with(|callee, prepare| Pair::clustered_with(callee, CORES, AWS, prepare))
}

fn pair_with(start: impl FnOnce(&str, &mut dyn FnMut(&Pair)) -> Pair) -> (Pair, Simulator) {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_tandem")).with_file_name("tandem-aws");
    assert!(program.exists(), "there is no {}: cargo build -p tandem-aws", program.display());
    let mut simulator = None;
    let pair = start("PCMA", &mut |pair| simulator = Some(simulate(pair)));
    (pair, simulator.expect("it runs"))
}

const ASSIGN: &str = "AssignPrivateIpAddresses";
const FIGURES: &str = "PutMetricData";
const LOOK: &str = "DescribeNetworkInterfaces";

/// What a node called since for a move, and how it looked for the addresses.
fn called(simulator: &Simulator, node: usize, since: Instant) -> Vec<Call> {
    let from = IpAddr::V4(Ipv4Addr::new(10, 79, 0, [11, 12][node]));
    let is_other = |action: &str| {
        // Where members are, and what the group waits for, is asked now and then; figures are told.
        ["DescribeInstances", "DescribePlacementGroups", "DescribeAutoScalingInstances", FIGURES].contains(&action)
    };
    let is_of_move = |call: &Call| call.from == from && call.at >= since && !is_other(&call.action);
    simulator.calls().into_iter().filter(is_of_move).collect()
}

/// The moves among these: interface and address.
fn moves(calls: &[Call]) -> Vec<(&str, &str)> {
    let assigned = calls.iter().filter(|call| call.action == ASSIGN);
    assigned
        .map(|call| {
            assert_eq!(call.get("AllowReassignment"), Some("true"));
            let get = |name| call.get(name).expect("a parameter");
            (get("NetworkInterfaceId"), get("PrivateIpAddress.1"))
        })
        .collect()
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < until, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn are_at(simulator: &Simulator, node: usize) -> bool {
    let (world, name) = (simulator.world(), ["a", "b"][node]);
    let held = |address| world.holder(SUBNET, address).unwrap_or_default().to_owned();
    held(SIGNALLING) == format!("eni-{name}0") && held(MEDIA) == format!("eni-{name}1")
}

#[test]
fn addresses_of_a_killed_gateway_move_in_ec2_to_the_other_and_calls_go_on() {
    if !may_make_networks("addresses_of_a_killed_gateway_move_in_ec2_to_the_other_and_calls_go_on") {
        return;
    }
    let _alone = alone();
    let (mut pair, simulator) = pair_on_ec2();
    let holder = pair.await_holder();
    let other = 1 - holder;
    wait_for("the first move", || are_at(&simulator, holder));
    wait_for("both are in service", || goes_on(&simulator));
    let mut talkers = pair.talkers(2, &["PCMA"]);
    talkers.call(PATIENCE);
    talkers.hear(50, PATIENCE);
    pair.await_copied(holder, 2);
    wait_for("where members are", || {
        let page = pair.node(other).ctl(&["cluster", "explain"]).stdout;
        let page = String::from_utf8_lossy(&page).into_owned();
        let placed = format!("(zone eu-central-1a, subnet {SUBNET}, partition group voice partition {}", other + 1);
        page.contains(&placed)
            && page.contains("shares no partition, rack or host")
            && page.contains("successors: only members of")
    });

    // The process beside the standby ends: it is missed, and started again.
    let pid = pair.node(other).process.id().to_string();
    assert!(Command::new("pkill").args(["-KILL", "-P", &pid, "tandem-aws"]).status().expect("pkill runs").success());
    let has = |line: &str| pair.metrics(other).lines().any(|other| other == line);
    wait_for("another tandem-aws", || has("tandem_aws_restarts_total 1") && has("tandem_aws_away 0"));

    let killed = Instant::now();
    pair.node(holder).process.signal("KILL");
    pair.nodes[holder] = None;
    talkers.listen_anew();
    talkers.hear(100, PATIENCE);
    assert!(are_at(&simulator, other), "{:?}", simulator.world());
    wait_for("the look after the move", || {
        called(&simulator, other, killed).last().is_some_and(|call| call.action == LOOK)
    });
    let calls = called(&simulator, other, killed);
    assert!(calls.iter().all(|call| [ASSIGN, LOOK].contains(&call.action.as_str())), "{calls:?}");
    let looks_before = calls.iter().rev().skip_while(|call| call.action == LOOK).filter(|call| call.action == LOOK);
    assert!(looks_before.count() > 0, "it looked when it asked for votes: {calls:?}");
    let name = ["a", "b"][other];
    let mut moved = moves(&calls);
    moved.sort_unstable();
    let wanted = [(format!("eni-{name}0"), SIGNALLING.to_string()), (format!("eni-{name}1"), MEDIA.to_string())];
    assert_eq!(moved, wanted.each_ref().map(|(interface, address)| (interface.as_str(), address.as_str())));

    let view = pair.node(other).ctl_json(&["cluster"]);
    assert_eq!((&view["aws"]["moves"], &view["aws"]["addresses_here"]), (&1.into(), &true.into()), "{view}");
    println!("the move, of which own_ms is spent outside EC2: {}", view["aws"]["last_move"]);
    assert_eq!(talkers.of_two_nodes(), 0, "one gateway alone is heard");
    assert_eq!(talkers.hang_up(PATIENCE), [Standing::Ended; 2]);
    pair.node(other).records(2);
    wait_for("all figures", || figures(&simulator, other).len() == 6);
    let figures = figures(&simulator, other);
    let names: Vec<&str> = figures.keys().map(String::as_str).collect();
    assert_eq!(names, ["ConcurrentCalls", "Headroom", "Loss", "MOS", "Retransmissions", "SuccessfulCalls"]);
    let of = |name: &str| figures[name];
    assert!((1.0..=5.0).contains(&of("MOS")) && (0.0..=100.0).contains(&of("Loss")), "{figures:?}");

    // The group ends the instance: the gateway has no calls any more, says so, and ends.
    simulator.change(|world| world.lifecycle = vec![waits_at("terminate", other)]);
    pair.nodes[other].as_mut().expect("it runs").process.expect_success(40);
    assert!(goes_on(&simulator), "{:?}", simulator.world().lifecycle);
}

#[test]
fn a_move_is_made_again_when_ec2_throttles_or_does_not_answer_and_goes_back_when_it_refuses() {
    if !may_make_networks("a_move_is_made_again_when_ec2_throttles_or_does_not_answer_and_goes_back_when_it_refuses") {
        return;
    }
    let _alone = alone();
    let (pair, simulator) = pair_on_ec2();
    let holder = pair.await_holder();
    let other = 1 - holder;
    wait_for("the first move", || are_at(&simulator, holder));
    let mut talkers = pair.talkers(1, &["PCMA"]);
    talkers.call(PATIENCE);
    talkers.hear(20, PATIENCE);
    pair.await_copied(holder, 1);

    let slow = Fault::Delay(Duration::from_millis(700));
    simulator.order(ASSIGN, &[Fault::Throttle, Fault::Fail, slow, Fault::Vanish]);
    let ordered = Instant::now();
    pair.node(holder).ctl_json(&["failover"]);
    let moves_to = |talkers: &mut Talkers, node: usize, calls: usize| {
        let until = Instant::now() + PATIENCE;
        while !are_at(&simulator, node) || moves(&called(&simulator, node, ordered)).len() < calls {
            assert!(Instant::now() < until, "not moved:\n{}", pair.node(node).process.log());
            talkers.run(Duration::from_millis(50));
        }
        talkers.listen_anew();
        talkers.hear(50, PATIENCE);
    };
    moves_to(&mut talkers, other, 6);
    println!(
        "the move, of which own_ms is spent outside EC2: {}",
        pair.node(other).ctl_json(&["cluster"])["aws"]["last_move"]
    );

    pair.await_copied(other, 1);
    simulator.order(ASSIGN, &[Fault::Refuse, Fault::Refuse]);
    let before = moves(&called(&simulator, other, ordered)).len();
    pair.node(other).ctl_json(&["failover"]);
    moves_to(&mut talkers, other, before + 2);
    assert_eq!(moves(&called(&simulator, holder, ordered)).len(), 2, "what was refused is not called again");
    assert!(pair.node(holder).process.log().contains("is refused (UnauthorizedOperation)"));
    assert_eq!(talkers.hang_up(PATIENCE), [Standing::Ended]);
    pair.node(other).records(1);
}

#[test]
fn calls_go_on_at_whichever_step_of_a_takeover_ec2_dies_and_addresses_move_when_it_is_back() {
    // Each with what EC2 does for the last time.
    const STEPS: [(&str, Presence); 4] = [
        ("before the fault", Presence::Away),
        ("when the addresses are looked for", Presence::Until(LOOK)),
        ("with one address moved", Presence::Until(ASSIGN)),
        ("after the takeover", Presence::Here),
    ];
    if !may_make_networks("calls_go_on_at_whichever_step_of_a_takeover_ec2_dies_and_addresses_move_when_it_is_back") {
        return;
    }
    let _alone = alone();
    let (mut pair, simulator) = pair_on_ec2();
    let mut talkers = pair.talkers(0, &["PCMA"]);
    for (done, (dies, presence)) in STEPS.into_iter().enumerate() {
        let holder = pair.await_holder();
        let other = 1 - holder;
        wait_for("the move before", || are_at(&simulator, holder));
        talkers.meet(1, &["PCMA"]);
        talkers.call(PATIENCE);
        talkers.hear(20, PATIENCE);
        pair.await_copied(holder, 1);

        simulator.be(presence);
        talkers.listen_anew();
        talkers.hear(20, PATIENCE);
        let killed = Instant::now();
        pair.node(holder).process.signal("KILL");
        pair.nodes[holder] = None;
        pair.await_holder();
        if presence != Presence::Here {
            // It has the votes, and tries again and again.
            wait_for("that it is told", || {
                pair.node(other).ctl_json(&["cluster"])["alarms"].to_string().contains("cannot_move")
            });
            talkers.run(Duration::from_secs(1));
            assert!(!are_at(&simulator, other), "EC2 died {dies}");
            assert_eq!(simulator.presence(), Presence::Away, "EC2 died {dies}");
            simulator.be(Presence::Here);
        }
        talkers.listen_anew();
        talkers.hear(50, PATIENCE);
        assert!(are_at(&simulator, other), "EC2 died {dies}: {:?}", simulator.world());
        if presence == Presence::Here {
            simulator.be(Presence::Away);
            talkers.listen_anew();
            talkers.hear(100, PATIENCE);
        }
        assert_eq!(talkers.of_two_nodes(), 0, "EC2 died {dies}");
        assert_eq!(talkers.hang_up(PATIENCE), [Standing::Ended], "EC2 died {dies}");
        simulator.be(Presence::Here);
        println!("EC2 died {dies}: {} calls of a move", moves(&called(&simulator, other, killed)).len());
        wait_for("its record", || pair.records().len() > done);
        pair.start_again(holder);
        pair.await_warm(holder, 0);
    }
    assert_eq!(pair.records().len(), STEPS.len(), "each once");
}

/// The members as a node sees them.
fn members(pair: &Pair, node: usize) -> Vec<String> {
    let view = pair.node(node).ctl_json(&["cluster"]);
    let names = view["members"].as_array().into_iter().flatten().filter_map(|member| member["name"].as_str());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort_unstable();
    names
}

#[test]
fn members_are_instances_with_a_tag_and_come_and_go_with_them() {
    if !may_make_networks("members_are_instances_with_a_tag_and_come_and_go_with_them") {
        return;
    }
    let _alone = alone();
    let (mut pair, simulator) =
        pair_with(|callee, prepare| Pair::clustered_by(TAGGED, callee, CORES, AWS, |pair| prepare(pair)));
    let holder = pair.await_holder();
    let other = 1 - holder;
    let names = ["i-a", "i-b"];
    wait_for("both are members", || (0..2).all(|node| members(&pair, node) == names));
    wait_for("the first move", || are_at(&simulator, holder));
    let mut talkers = pair.talkers(1, &["PCMA"]);
    talkers.call(PATIENCE);
    talkers.hear(20, PATIENCE);
    pair.await_copied(holder, 1);
    let page = pair.node(other).ctl(&["cluster", "explain"]).stdout;
    let page = String::from_utf8_lossy(&page).into_owned();
    assert!(page.contains("the store says who of its list of members has them"), "{page}");
    assert!(
        page.contains(&format!("{} (zone eu-central-1a, subnet {SUBNET}, partition group voice", names[other])),
        "{page}"
    );

    // The instance of the holder ends, with its gateway.
    pair.node(holder).process.signal("KILL");
    pair.nodes[holder] = None;
    simulator.change(|world| world.instances[holder].state = InstanceState::Terminated);
    talkers.listen_anew();
    talkers.hear(50, PATIENCE);
    assert!(are_at(&simulator, other), "{:?}", simulator.world());
    wait_for("the other is the only member", || {
        talkers.run(TALK);
        members(&pair, other) == [names[other]]
    });

    // Another is launched without the tag: it is told what is wrong.
    simulator.change(|world| {
        world.instances[holder].state = InstanceState::Running;
        world.tags.retain(|tag| tag.resource != names[holder]);
    });
    let scratch = &pair.scratch[holder];
    let mut command = inside(Some(&pair.namespace(holder)), env!("CARGO_BIN_EXE_tandem"));
    command.arg("run").arg("--config").arg(scratch.path().join("tandem.yaml"));
    let mut stranger = Process::spawn("the stranger", &mut command, scratch.path().join("stranger.log"));
    let until = Instant::now() + Duration::from_secs(60);
    while stranger.is_running() {
        assert!(Instant::now() < until, "it runs:\n{}", stranger.log());
        talkers.run(TALK);
    }
    assert!(!stranger.wait(1).success());
    let wanted = format!(
        "cluster.discover: this instance, {}, does not have the tag tandem:pair=voice; those that have are {}",
        names[holder], names[other]
    );
    assert!(stranger.log().contains(&wanted), "{}", stranger.log());

    // With the tag it becomes one.
    simulator.change(|world| world.tags.push(Tag::new(names[holder], "tandem:pair", "voice")));
    pair.start_again(holder);
    wait_for("both are members again", || {
        talkers.run(TALK);
        (0..2).all(|node| members(&pair, node) == names)
    });
    assert_eq!(talkers.hang_up(PATIENCE), [Standing::Ended]);
    pair.node(other).records(1);
}

#[test]
fn a_takeover_by_hand_moves_the_addresses_in_ec2_too_and_says_where_they_did_not_move() {
    if !may_make_networks("a_takeover_by_hand_moves_the_addresses_in_ec2_too_and_says_where_they_did_not_move") {
        return;
    }
    let _alone = alone();
    let (pair, simulator) = pair_with(|callee, prepare| Pair::up_with(callee, CORES, AWS, |pair| prepare(pair)));
    assert_eq!(pair.take_over(1), 0);
    assert!(are_at(&simulator, 1), "{:?}", simulator.world());
    let mut talkers = pair.talkers(1, &["PCMA"]);
    talkers.call(PATIENCE);
    talkers.hear(20, PATIENCE);
    pair.await_warm(0, 1);

    pair.node(1).ctl_json(&["release"]);
    simulator.order(ASSIGN, &[Fault::Refuse, Fault::Refuse]);
    let refused = pair.node(0).ctl(&["takeover"]);
    assert!(!refused.status.success());
    let why = String::from_utf8_lossy(&refused.stderr);
    let wanted = "1 calls go on here, but EC2 did not move the addresses: AssignPrivateIpAddresses is refused";
    assert!(why.contains(wanted), "{why}");
    assert_eq!(pair.take_over(0), 0, "the calls are here already");
    assert!(are_at(&simulator, 0), "{:?}", simulator.world());
    talkers.listen_anew();
    talkers.hear(20, PATIENCE);
    assert_eq!(talkers.hang_up(PATIENCE), [Standing::Ended]);
    pair.node(0).records(1);
}
