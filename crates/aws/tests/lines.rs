//! The process as the gateway meets it: lines in, lines out, against the simulator.
#![allow(missing_docs, clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tandem_aws_protocol::{Answer, Asked, Floating, HasInterface, Outcome, Serving, Setup};
use tandem_ec2_simulator::{Fault, Instance, Interface, Lifecycle, Simulator, World};

const FLOATING: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
const PATIENCE: Duration = Duration::from_secs(20);

struct Process {
    child: Child,
    input: Option<ChildStdin>,
    answers: Receiver<Answer>,
}

impl Process {
    /// Starts it on the second instance, and waits until it is ready.
    fn start(simulator: &Simulator, hooks: bool) -> Self {
        simulator.ask_as(1);
        let setup = Setup {
            metadata: simulator.url(),
            endpoint: Some(simulator.url()),
            call_timeout_ms: 500,
            floating: vec![Floating {
                at: HasInterface::Address(Ipv4Addr::new(10, 0, 0, 2)),
                private: vec![FLOATING],
                elastic: Vec::new(),
                routes: Vec::new(),
            }],
            records: Vec::new(),
            launch_hook: hooks.then(|| "launch".to_owned()),
            terminate_hook: hooks.then(|| "terminate".to_owned()),
        };
        let mut process = Self::spawn();
        process.say(&serde_json::to_string(&setup).unwrap());
        let Outcome::Ready(identity) = process.next().outcome else { panic!("not ready") };
        assert_eq!((identity.instance.as_str(), &identity.interfaces[..]), ("i-02", &["eni-02".to_owned()][..]));
        process
    }

    fn spawn() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem-aws"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (answer, answers) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = answer.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { input: child.stdin.take(), child, answers }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    fn ask(&mut self, asked: &Asked) {
        self.say(&serde_json::to_string(asked).unwrap());
    }

    fn next(&self) -> Answer {
        self.answers.recv_timeout(PATIENCE).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.input = None;
        assert!(self.child.wait().unwrap().success(), "it ends with its input");
    }
}

fn simulator() -> Simulator {
    let instance = |number: u8, addresses: Vec<Ipv4Addr>| Instance {
        id: format!("i-{number:02}"),
        zone: "eu-central-1a".to_owned(),
        interfaces: vec![Interface {
            id: format!("eni-{number:02}"),
            mac: format!("02:00:00:00:00:{number:02x}"),
            subnet: "subnet-a".to_owned(),
            addresses,
        }],
        ..Instance::default()
    };
    let first = instance(1, vec![Ipv4Addr::new(10, 0, 0, 1), FLOATING]);
    let instances = vec![first, instance(2, vec![Ipv4Addr::new(10, 0, 0, 2)])];
    Simulator::start(World { instances, ..World::default() }).unwrap()
}

#[test]
fn a_move_is_answered_when_it_is_taken_and_confirmed_when_it_is_seen() {
    let simulator = simulator();
    let mut process = Process::start(&simulator, false);
    process.ask(&Asked::Locate { id: 1 });
    assert_eq!(process.next(), Answer { id: 1, outcome: Outcome::Here(Some(false)) });
    // Two looks are old.
    simulator.order("DescribeNetworkInterfaces", &[Fault::Stale, Fault::Stale]);
    process.ask(&Asked::Move { id: 2, within_ms: 5000 });
    let Answer { id: 2, outcome: Outcome::Moved(report) } = process.next() else { panic!("not moved") };
    assert_eq!((report.calls, report.throttled), (1, 0));
    assert_eq!(simulator.world().holder("subnet-a", FLOATING), Some("eni-02"));
    assert_eq!(process.next(), Answer { id: 0, outcome: Outcome::Confirmed(Some(true)) });
    // One to open the connection, one that was asked for, the move, and the three looks.
    let look = "DescribeNetworkInterfaces";
    assert_eq!(simulator.actions(), [look, look, "AssignPrivateIpAddresses", look, look, look]);
}

#[test]
fn what_is_refused_and_what_is_no_request_is_told() {
    let simulator = simulator();
    let mut process = Process::start(&simulator, false);
    simulator.order("AssignPrivateIpAddresses", &[Fault::Refuse]);
    process.ask(&Asked::Move { id: 7, within_ms: 5000 });
    let Answer { id: 7, outcome: Outcome::NotMoved { refused: true, error } } = process.next() else { panic!("moved") };
    assert_eq!(error, "AssignPrivateIpAddresses is refused (UnauthorizedOperation): You are not authorized.");
    process.say("{}");
    assert!(matches!(process.next(), Answer { id: 0, outcome: Outcome::Misunderstood(_) }));
}

#[test]
fn an_instance_without_a_role_or_interface_says_so_and_ends() {
    let simulator = simulator();
    simulator.change(|world| world.instances[1].interfaces.clear());
    simulator.ask_as(1);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem-aws"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let setup = format!(
        r#"{{"metadata":"{}","call_timeout_ms":500,"floating":[{{"at":{{"address":"10.0.0.2"}}}}]}}"#,
        simulator.url()
    );
    writeln!(child.stdin.as_mut().unwrap(), "{setup}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("this instance has no network interface with the private address 10.0.0.2"), "{said}");
}

#[test]
fn an_auto_scaling_group_waits_until_the_node_serves_and_until_it_serves_nobody() {
    let simulator = simulator();
    let lifecycle = |hook: &str, ends| Lifecycle {
        group: "fleet".to_owned(),
        hook: hook.to_owned(),
        instance: "i-02".to_owned(),
        ends,
        result: None,
    };
    simulator.change(|world| world.lifecycle = vec![lifecycle("launch", false)]);
    let mut process = Process::start(&simulator, true);
    let done = |id| Answer { id, outcome: Outcome::Done };
    process.ask(&Asked::Serve { id: 1, serving: Serving::Yes });
    assert_eq!(process.next(), done(1));
    assert_eq!(simulator.world().lifecycle[0].result.as_deref(), Some("CONTINUE"));
    process.ask(&Asked::Serve { id: 2, serving: Serving::Yes });
    assert_eq!(process.next(), done(2), "said again, it is not completed again");

    simulator.change(|world| world.lifecycle = vec![lifecycle("terminate", true)]);
    assert_eq!(process.next(), Answer { id: 0, outcome: Outcome::Terminating });
    process.ask(&Asked::Serve { id: 3, serving: Serving::Draining });
    assert_eq!(process.next(), done(3));
    assert_eq!(simulator.world().lifecycle[0].result, None, "it has calls");
    process.ask(&Asked::Serve { id: 4, serving: Serving::No });
    assert_eq!(process.next(), done(4));
    assert_eq!(simulator.world().lifecycle[0].result.as_deref(), Some("CONTINUE"));
    let told: Vec<String> = simulator.actions().into_iter().filter(|action| action.contains("Lifecycle")).collect();
    assert_eq!(told, ["CompleteLifecycleAction", "RecordLifecycleActionHeartbeat", "CompleteLifecycleAction"]);
}
