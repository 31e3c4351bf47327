//! Records and figures as others read them: told to `moto`, asked of it by AWS's own library for Python.
#![allow(missing_docs, clippy::unwrap_used)]

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use tandem_aws::{Client, Endpoints, Metadata, Presence, publish};
use tandem_aws_protocol::{Measured, RecordKind, Serving, Unit, WeightedRecord};
use tandem_ec2_simulator::{Instance, Simulator, World};

const PATIENCE: Duration = Duration::from_secs(30);

fn tool(name: &str) -> PathBuf {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let build = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project.join("target"), PathBuf::from);
    let path = build.join("tools/bin").join(name);
    assert!(path.exists(), "there is no {}: run scripts/setup.sh test", path.display());
    path
}

struct Moto {
    child: Child,
    url: String,
}

impl Moto {
    fn start() -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        // Through the interpreter: the script has the path that it was installed at.
        let mut command = Command::new(tool("python3"));
        command.arg(tool("moto_server")).args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let moto = Self { child, url: format!("http://127.0.0.1:{port}") };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < until, "moto does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        moto
    }

    /// Runs a script that has clients `route53` and `cloudwatch`; what it prints.
    fn ask(&self, script: &str) -> String {
        let clients = format!(
            "import boto3, datetime, json
def client(name):
    return boto3.client(name, endpoint_url='{}', region_name='eu-central-1', aws_access_key_id='a', aws_secret_access_key='b')
route53, cloudwatch = client('route53'), client('cloudwatch')
",
            self.url
        );
        let output = Command::new(tool("python3")).args(["-c", &(clients + script)]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client with keys from a simulated instance.
fn client(endpoint: &str) -> Client {
    let instance = Instance { id: "i-1".into(), zone: "eu-central-1a".into(), ..Instance::default() };
    let simulator = Simulator::start(World { instances: vec![instance], ..World::default() }).unwrap();
    let endpoints = Endpoints { all: Some(endpoint.to_owned()) };
    let client = Client::new(Metadata::new(&simulator.url()), "eu-central-1", endpoints, PATIENCE);
    client.renew_credentials(SystemTime::now()).unwrap();
    client
}

fn record(zone: &str, node: &str, kind: RecordKind, value: &str) -> WeightedRecord {
    let name = if kind == RecordKind::Srv { "_sip._udp.example.net." } else { "sip.example.net." };
    WeightedRecord {
        zone: zone.to_owned(),
        name: name.to_owned(),
        kind,
        value: value.to_owned(),
        weight: 7,
        ttl_s: 30,
        node: node.to_owned(),
    }
}

#[test]
fn records_weigh_what_they_should_while_a_node_serves_and_nothing_once_it_drains() {
    let moto = Moto::start();
    let create = "z = route53.create_hosted_zone(Name='example.net', CallerReference='1')
print(z['HostedZone']['Id'].split('/')[-1])";
    let zone = moto.ask(create);
    let client = client(&moto.url);
    let presence = |node: &str, address: &str| Presence {
        instance: "i-1".to_owned(),
        records: vec![
            record(&zone, node, RecordKind::A, address),
            record(&zone, node, RecordKind::Srv, &format!("10 1 5060 {node}.example.net.")),
        ],
        launch_hook: None,
        terminate_hook: None,
    };
    let nodes = [presence("a", "192.0.2.1"), presence("b", "192.0.2.2")];
    nodes.iter().for_each(|node| node.serve(&client, Serving::Yes).unwrap());
    nodes[0].serve(&client, Serving::Draining).unwrap();
    let show = format!(
        "for r in route53.list_resource_record_sets(HostedZoneId='{zone}')['ResourceRecordSets']:
    if 'SetIdentifier' in r: print(r['Name'], r['Type'], r['SetIdentifier'], r['Weight'], r['TTL'], r['ResourceRecords'][0]['Value'])"
    );
    let told = moto.ask(&show);
    let mut lines: Vec<&str> = told.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "_sip._udp.example.net. SRV a 0 30 10 1 5060 a.example.net.",
            "_sip._udp.example.net. SRV b 7 30 10 1 5060 b.example.net.",
            "sip.example.net. A a 0 30 192.0.2.1",
            "sip.example.net. A b 7 30 192.0.2.2",
        ]
    );

    let measured = |name: &str, unit, value| Measured { name: name.to_owned(), unit, value };
    let figures = [measured("ConcurrentCalls", Unit::Count, 12.0), measured("MOS", Unit::None, 4.31)];
    publish(&client, "a", &figures).unwrap();
    let shown = moto.ask(
        "now = datetime.datetime.now(datetime.timezone.utc)
for m in cloudwatch.list_metrics(Namespace='Tandem')['Metrics']:
    s = cloudwatch.get_metric_statistics(Namespace='Tandem', MetricName=m['MetricName'], Dimensions=m['Dimensions'],
        StartTime=now - datetime.timedelta(minutes=5), EndTime=now + datetime.timedelta(minutes=5), Period=60, Statistics=['Maximum'])
    print(m['MetricName'], m['Dimensions'][0]['Value'], [(d['Maximum'], d['Unit']) for d in s['Datapoints']])",
    );
    let mut lines: Vec<&str> = shown.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["ConcurrentCalls a [(12.0, 'Count')]", "MOS a [(4.31, 'None')]"]);
}

#[test]
fn a_zone_that_there_is_not_is_told() {
    let moto = Moto::start();
    let presence = Presence {
        instance: "i-1".to_owned(),
        records: vec![record("ZNONE", "a", RecordKind::A, "192.0.2.1")],
        launch_hook: None,
        terminate_hook: None,
    };
    let error = presence.serve(&client(&moto.url), Serving::Yes).unwrap_err().to_string();
    assert!(error.starts_with("ChangeResourceRecordSets is refused (NoSuchHostedZone)"), "{error}");
}
