//! `tandem ctl`: a running gateway's HTTP interface, for people and scripts.

mod bans;
mod client;
mod cluster;
mod functions;
mod routing;
mod table;
mod users;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::api::{Api, Credentials};
use crate::exit::Failure;
use client::Client;
pub(crate) use table::Table;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The gateway's `http.listen`; https://ADDRESS:PORT where it has `http.tls`.
    #[arg(long, global = true, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9060", env = "TANDEM_SERVER")]
    server: String,
    #[command(flatten)]
    credentials: Credentials,
    /// Prints the answer as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every call.
    Calls,
    /// Every call's media: packets each way, lost, jitter.
    Flows,
    /// What is counted, with quantiles of added latency.
    Stats,
    /// Whether the gateway takes calls; exit code 6 and the reasons when it does not.
    Ready,
    /// Takes no new calls from now on; those that are up go on.
    Drain,
    /// Takes the floating addresses and goes on with another node's calls.
    Takeover {
        /// The node whose calls; every other node's where none is named.
        node: Option<String>,
    },
    /// Lets go of the floating addresses and of every call: another node goes on with them.
    Release,
    /// Every peer: whether it is in service, its calls, answers and failures.
    Trunks,
    /// Where calls go.
    #[command(subcommand)]
    Route(routing::Route),
    /// How much is taken on, and changes of that until the configuration is read again.
    Limits(routing::Limits),
    /// Reads the configuration file, certificates and tokens again, as SIGHUP does.
    Reload,
    /// The members of the cluster and who has the floating addresses.
    Cluster(cluster::Cluster),
    /// Moves the floating addresses, and the calls on them, to another member.
    Failover(cluster::Failover),
    /// Leaves the floating addresses to other members.
    #[command(subcommand)]
    Maintenance(cluster::Maintenance),
    /// The media ports' addresses, while calls are up.
    #[command(subcommand)]
    Address(Address),
    /// Addresses whose SIP is not heard.
    #[command(subcommand)]
    Bans(bans::Bans),
    /// Records a call to files.
    #[command(subcommand)]
    Record(functions::Record),
    /// Lets one side of a call hear a WAV file in place of the other.
    Play(functions::Play),
    /// Sends a copy of what one side says to another RTP address.
    Fork(functions::Fork),
    /// Those who may register.
    #[command(subcommand)]
    Subscriber(users::Subscriber),
    /// Where they are.
    #[command(subcommand)]
    Registration(users::Registration),
    /// Ends a call.
    Hangup {
        /// The call's number, as `tandem ctl calls` shows it.
        call: u64,
    },
}

#[derive(Subcommand)]
enum Address {
    /// Every address.
    List,
    /// Adds an address and announces it on the link.
    Add {
        /// The address with its prefix length, as in 10.0.0.20/24.
        address: String,
        /// The next hop outside its subnet, where it is not the port's.
        #[arg(long)]
        gateway: Option<String>,
        /// The port's name; the first where none is given.
        #[arg(long)]
        port: Option<String>,
    },
    /// Removes an address; calls that use it end.
    Remove {
        /// The address, as in 10.0.0.20.
        address: String,
    },
}

fn address(client: &Client, json: bool, command: &Address) -> Result<String, Failure> {
    Ok(match command {
        Address::List => told(json, &client.get("/v1/addresses")?, addresses),
        Address::Add { address, gateway, port } => {
            let wanted = serde_json::json!({ "address": address, "gateway": gateway, "port": port });
            told(json, &client.post_json("/v1/addresses", &wanted)?, |_| format!("{address} added\n"))
        }
        Address::Remove { address } => {
            told(json, &client.delete(&format!("/v1/addresses/{address}"))?, |_| format!("{address} removed\n"))
        }
    })
}

fn addresses(addresses: &Value) -> String {
    let mut table = Table::new(&["port", "address", "gateway"]);
    for address in rows(addresses) {
        table.row([
            text(&address["port"]),
            format!("{}/{}", text(&address["address"]), address["prefix_len"]),
            text(&address["gateway"]),
        ]);
    }
    table.to_string()
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = Client::new(Api::new(&arguments.server, &arguments.credentials)?);
    let text = match &arguments.command {
        Command::Ready => client.get_text("/readyz")?,
        Command::Calls => told(arguments.json, &client.get("/v1/calls")?, calls),
        Command::Flows => told(arguments.json, &client.get("/v1/flows")?, flows),
        Command::Stats => told(arguments.json, &client.get("/v1/stats")?, stats),
        Command::Address(command) => address(&client, arguments.json, command)?,
        Command::Bans(command) => bans::run(&client, arguments.json, command)?,
        Command::Trunks => told(arguments.json, &client.get("/v1/trunks")?, routing::trunks),
        Command::Route(route) => told_of(arguments.json, routing::route(&client, route)?),
        Command::Limits(limits) => told(arguments.json, &routing::limit(&client, limits)?, routing::limits),
        Command::Reload => told(arguments.json, &client.post("/v1/reload")?, routing::reloaded),
        Command::Drain => told(arguments.json, &client.post("/v1/drain")?, |answer| {
            format!("draining, {} calls are up\n", answer["calls"])
        }),
        Command::Takeover { node } => {
            let wanted = serde_json::json!({ "node": node });
            told(arguments.json, &client.post_json("/v1/takeover", &wanted)?, taken_over)
        }
        Command::Release => told(arguments.json, &client.post("/v1/release")?, |answer| {
            format!("let go of {} calls\n", answer["calls"])
        }),
        Command::Cluster(cluster) => told_of(arguments.json, cluster::show(&client, cluster)?),
        Command::Failover(failover) => told_of(arguments.json, cluster::fail_over(&client, failover)?),
        Command::Maintenance(maintenance) => told_of(arguments.json, cluster::maintain(&client, maintenance)?),
        Command::Record(record) => told_of(arguments.json, functions::record(&client, record)?),
        Command::Play(play) => told_of(arguments.json, functions::play(&client, play)?),
        Command::Fork(fork) => told_of(arguments.json, functions::fork(&client, fork)?),
        Command::Subscriber(command) => told_of(arguments.json, users::subscriber(&client, command)?),
        Command::Registration(command) => told_of(arguments.json, users::registration(&client, command)?),
        Command::Hangup { call } => {
            told(arguments.json, &client.delete(&format!("/v1/calls/{call}"))?, |_| format!("call {call} ended\n"))
        }
    };
    print!("{text}");
    Ok(())
}

fn told(json: bool, answer: &Value, table: impl FnOnce(&Value) -> String) -> String {
    if json { format!("{answer:#}\n") } else { table(answer) }
}

fn told_of(json: bool, (answer, table): (Value, fn(&Value) -> String)) -> String {
    told(json, &answer, table)
}

fn taken_over(answer: &Value) -> String {
    let mut text = format!("{} calls go on here\n", answer["calls"]);
    for refused in rows(&answer["refused"]) {
        text += &format!("not so {}\n", crate::ctl::text(refused));
    }
    text
}

fn calls(calls: &Value) -> String {
    let mut table = Table::new(&["call", "state", "from", "to", "peers", "codecs", "age", "worker"]);
    for call in rows(calls) {
        table.row([
            text(&call["number"]),
            text(&call["state"]),
            text(&call["from"]),
            text(&call["to"]),
            format!("{} > {}", text(&call["source_peer"]), text(&call["destination_peer"])),
            format!("{} > {}", text(&call["caller_codec"]), text(&call["callee_codec"])),
            duration(&call["age_ms"]),
            text(&call["worker"]),
        ]);
    }
    table.to_string()
}

fn flows(flows: &Value) -> String {
    let mut table = Table::new(&[
        "call",
        "leg",
        "peer",
        "codec",
        "local",
        "received",
        "sent",
        "lost",
        "dropped",
        "jitter ms",
        "MOS",
    ]);
    for flow in rows(flows) {
        for (leg, peer) in [("caller", "source_peer"), ("callee", "destination_peer")] {
            let counters = &flow[leg];
            table.row([
                text(&flow["number"]),
                leg.to_owned(),
                text(&flow[peer]),
                text(&flow[format!("{leg}_codec")]),
                text(&flow[format!("{leg}_media")]),
                text(&counters["packets_received"]),
                text(&counters["packets_sent"]),
                text(&counters["packets_lost"]),
                text(&counters["packets_dropped"]),
                counters["jitter_us"].as_f64().map_or("-".to_owned(), |us| format!("{:.1}", us / 1000.0)),
                counters["mos_received"].as_f64().map_or("-".to_owned(), |mos| format!("{mos:.2}")),
            ]);
        }
    }
    table.to_string()
}

fn stats(stats: &Value) -> String {
    let mut page = format!(
        "{} {}, up {} s, {}\n{} of {} calls\n\n",
        text(&stats["node"]),
        text(&stats["version"]),
        stats["uptime_s"],
        if stats["ready"] == true { "ready".to_owned() } else { format!("not ready: {}", list(&stats["not_ready"])) },
        stats["calls"],
        stats["max_calls"],
    );
    let mut counted = Table::new(&["counter", "value"]);
    for section in ["switch", "sip", "records"] {
        for (name, value) in stats[section].as_object().into_iter().flatten() {
            match value.as_object() {
                Some(parts) => parts.iter().for_each(|(part, value)| {
                    counted.row([format!("{section}.{name}.{part}"), text(value)]);
                }),
                None => counted.row([format!("{section}.{name}"), text(value)]),
            }
        }
    }
    page += &counted.to_string();
    page.push('\n');

    let mut workers =
        Table::new(&["worker", "flows", "frames in", "frames out", "rtp", "p50 us", "p99 us", "p99.9 us"]);
    for worker in rows(&stats["workers"]) {
        let latency = &worker["added_latency_us"];
        workers.row([
            text(&worker["worker"]),
            text(&worker["flows"]),
            text(&worker["frames_received"]),
            text(&worker["frames_sent"]),
            text(&worker["rtp_forwarded"]),
            text(&latency["p50"]),
            text(&latency["p99"]),
            text(&latency["p99_9"]),
        ]);
    }
    page += &workers.to_string();
    page.push('\n');
    page += &stages(&stats["workers"]);

    let mut drops = Table::new(&["worker", "dropped because", "packets"]);
    for worker in rows(&stats["workers"]) {
        for (reason, count) in worker["drops"].as_object().into_iter().flatten() {
            drops.row([text(&worker["worker"]), reason.clone(), text(count)]);
        }
    }
    if !drops.is_empty() {
        page.push('\n');
        page += &drops.to_string();
    }
    page
}

/// Where the workers' time goes: nanoseconds a packet by stage, and how full the codecs' batches are.
fn stages(workers: &Value) -> String {
    let mut table = Table::new(&["worker", "stage", "ns a packet", "share"]);
    let mut batches = Table::new(&["worker", "batches", "frames a batch", "wait us"]);
    for worker in rows(workers) {
        let number = |name: &str| worker[name].as_f64().unwrap_or(0.0);
        let busy = number("busy_ns");
        for (stage, ns) in worker["stages_ns"].as_object().into_iter().flatten() {
            let ns = ns.as_f64().unwrap_or(0.0);
            table.row([
                text(&worker["worker"]),
                stage.clone(),
                ratio(ns, number("rtp_forwarded"), 1),
                ratio(100.0 * ns, busy, 1) + " %",
            ]);
        }
        if number("batches") > 0.0 {
            batches.row([
                text(&worker["worker"]),
                text(&worker["batches"]),
                ratio(number("batch_frames"), number("batches"), 1),
                ratio(number("batch_wait_ns") / 1000.0, number("batch_frames"), 1),
            ]);
        }
    }
    if batches.is_empty() { table.to_string() } else { format!("{table}\n{batches}") }
}

/// A quotient for people, `-` where there is none.
fn ratio(part: f64, whole: f64, decimals: usize) -> String {
    if whole > 0.0 { format!("{:.decimals$}", part / whole) } else { "-".to_owned() }
}

fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A value without the quotes of JSON; `-` where there is none.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn list(values: &Value) -> String {
    rows(values).map(text).collect::<Vec<_>>().join("; ")
}

/// Milliseconds as minutes and seconds.
fn duration(millis: &Value) -> String {
    let seconds = millis.as_u64().unwrap_or(0) / 1000;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn calls_are_told_in_columns() {
        let answer = json!([{
            "number": 7, "state": "answered", "from": "sip:a@x", "to": "sip:b@y", "source_peer": "left",
            "destination_peer": "right", "caller_codec": "PCMU", "callee_codec": null, "age_ms": 61_500, "worker": 0,
        }]);
        assert_eq!(
            calls(&answer),
            "call  state     from     to       peers         codecs    age   worker\n\
             7     answered  sip:a@x  sip:b@y  left > right  PCMU > -  1:01  0\n"
        );
    }

    #[test]
    fn stages_are_told_per_packet_and_as_shares() {
        let workers = json!([{
            "worker": 0, "busy_ns": 4000, "rtp_forwarded": 100, "stages_ns": { "relay": 3000, "codec": 1000 },
            "batches": 4, "batch_frames": 50, "batch_wait_ns": 100_000,
        }]);
        assert_eq!(
            stages(&workers),
            "worker  stage  ns a packet  share\n\
             0       relay  30.0         75.0 %\n\
             0       codec  10.0         25.0 %\n\n\
             worker  batches  frames a batch  wait us\n\
             0       4        12.5            2.0\n"
        );
        assert!(stages(&json!([{ "worker": 0, "stages_ns": { "relay": 0 } }])).ends_with("relay  -            - %\n"));
    }

    #[test]
    fn a_flow_without_counters_is_told_all_the_same() {
        let answer =
            json!([{ "number": 1, "caller_media": "10.0.0.1:20000", "caller": null, "callee": { "jitter_us": 1500 } }]);
        let told = flows(&answer);
        let mut lines = told.lines().skip(1);
        assert_eq!(lines.next().map(|line| line.split_whitespace().nth(4)), Some(Some("10.0.0.1:20000")));
        let callee: Vec<_> = lines.next().into_iter().flat_map(str::split_whitespace).collect();
        assert_eq!(callee[callee.len() - 2..], ["1.5", "-"], "jitter, and no score without one");
    }
}
