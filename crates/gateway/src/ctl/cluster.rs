//! The cluster.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::Client;
use super::{Table, list, rows, text};
use crate::exit::Failure;

#[derive(Args)]
pub(super) struct Cluster {
    #[command(subcommand)]
    command: Option<Show>,
}

#[derive(Subcommand)]
enum Show {
    /// Who would take over if the holder failed now, in order, and why.
    Explain,
}

#[derive(Args)]
pub(super) struct Failover {
    /// The member that is to have the addresses; the best of the others where none is given.
    #[arg(long, value_name = "MEMBER")]
    to: Option<String>,
    /// Takes the addresses here because the other of two members is dead: only you can know, where there is neither store nor
    /// third member. If it is not dead, two answer.
    #[arg(long, conflicts_with = "to")]
    force: bool,
}

#[derive(Subcommand)]
pub(super) enum Maintenance {
    /// Hands the floating addresses over and takes none.
    On,
    /// Is ready to take them again.
    Off,
}

/// The gateway's answer, and how people are told of it.
type Told = (Value, fn(&Value) -> String);

pub(super) fn show(client: &Client, cluster: &Cluster) -> Result<Told, Failure> {
    let view = client.get("/v1/cluster")?;
    Ok((view, if cluster.command.is_some() { explanation } else { overview }))
}

pub(super) fn fail_over(client: &Client, failover: &Failover) -> Result<Told, Failure> {
    let path = match (&failover.to, failover.force) {
        (Some(to), _) => format!("/v1/cluster/failover?to={to}"),
        (None, true) => "/v1/cluster/failover?force=true".to_owned(),
        (None, false) => "/v1/cluster/failover".to_owned(),
    };
    Ok((client.post(&path)?, |answer| match answer["to"].as_str() {
        Some(to) => format!("moving to {to}\n"),
        None => "moving\n".to_owned(),
    }))
}

pub(super) fn maintain(client: &Client, maintenance: &Maintenance) -> Result<Told, Failure> {
    Ok(match maintenance {
        Maintenance::On => (client.post("/v1/cluster/maintenance")?, |_| "in maintenance\n".to_owned()),
        Maintenance::Off => (client.delete("/v1/cluster/maintenance")?, |_| "no longer in maintenance\n".to_owned()),
    })
}

fn overview(view: &Value) -> String {
    let mut members = Table::new(&["member", "alive", "fit", "maintenance", "round trip us", "suspect after ms"]);
    for member in rows(&view["members"]) {
        let own = member["own"] == true;
        let name = text(&member["name"]);
        let of_others = |field: &str| if own { "-".to_owned() } else { text(&member[field]) };
        members.row([
            if own { format!("{name} (this node)") } else { name },
            text(&member["alive"]),
            text(&member["fit"]),
            text(&member["maintenance"]),
            of_others("round_trip_us"),
            of_others("patience_ms"),
        ]);
    }
    let mut services = Table::new(&["addresses of", "this node", "holder", "epoch", "permit ms", "vote", "store"]);
    for service in rows(&view["services"]) {
        services.row([
            text(&service["name"]),
            text(&service["standing"]),
            text(&service["holder"]),
            text(&service["epoch"]),
            text(&service["permit_ms"]),
            text(&service["vote"]),
            text(&service["store"]),
        ]);
    }
    let alarms: String = rows(&view["alarms"]).map(|alarm| format!("alarm: {alarm}\n")).collect();
    format!("{members}\n{services}{}{alarms}", ec2(&view["aws"]))
}

/// What EC2 says, where it is asked.
fn ec2(aws: &Value) -> String {
    if aws.is_null() {
        return String::new();
    }
    let Some(instance) = aws["instance"].as_str() else {
        return format!("EC2: tandem-aws is not there ({} restarts); addresses cannot move here\n", aws["restarts"]);
    };
    let here = match aws["addresses_here"].as_bool() {
        Some(true) => "the addresses are here",
        Some(false) => "the addresses are elsewhere",
        None => "where the addresses are is not known",
    };
    let last = &aws["last_move"];
    let last = if last.is_null() {
        String::new()
    } else {
        format!(
            "; the last move took {} ms, {} of them without EC2, {} calls, {} throttled",
            last["took_ms"], last["own_ms"], last["calls"], last["throttled"]
        )
    };
    format!("EC2: {instance}, {}: {here}{last}\n", list(&aws["interfaces"]))
}

fn explanation(view: &Value) -> String {
    let explanation = &view["explanation"];
    let (votes, needed) = (&explanation["votes"][0], &explanation["votes"][1]);
    let rule = if explanation["membership"] == "enrolled" {
        "the store says who of its list of members has them".to_owned()
    } else {
        format!("{needed} of {votes} votes are needed to have them")
    };
    let mut page = format!("{} has the addresses; {rule}\n", explanation["holder"].as_str().unwrap_or("nobody"));
    page += &format!("successors: {}\n", text(&explanation["rule"]));
    for (successor, place) in rows(&explanation["successors"]).zip(1..) {
        let able = if successor["able"] == true { format!("{place}.") } else { "- ".to_owned() };
        let placement = match successor["placement"].as_str() {
            None | Some("") => String::new(),
            Some(placement) => format!(" ({placement})"),
        };
        page += &format!("{able} {}{placement}: {}\n", text(&successor["member"]), list(&successor["reasons"]));
    }
    page + &ec2(&view["aws"])
}
