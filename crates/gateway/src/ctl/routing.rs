//! Peers' service, and which route takes a call.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::Client;
use super::{Table, list, rows, text};
use crate::exit::Failure;

#[derive(Subcommand)]
pub(super) enum Route {
    /// The routing table, in the order in which routes are asked.
    List,
    /// Says which route takes a call, why those before it do not, and who would be called.
    Explain {
        /// The number that is called, or a whole Request-URI.
        number: String,
        /// The peer that the call comes from; without it no route that names one takes the call.
        #[arg(long)]
        from: Option<String>,
        /// The caller's number.
        #[arg(long)]
        caller: Option<String>,
        /// What the caller offers, as in PCMA,G722; without it routes that ask for a codec take the call.
        #[arg(long)]
        codecs: Option<String>,
        /// What is known of the caller's identity: verified, failed or none, which it is without it.
        #[arg(long, value_parser = ["verified", "failed", "none"])]
        identity: Option<String>,
    },
}

/// What is to change; nothing where nothing is given.
#[derive(Args)]
pub(super) struct Limits {
    /// Calls at once.
    #[arg(long, value_name = "CALLS")]
    max_calls: Option<u32>,
    /// `Retry-After` of what is refused beyond, in seconds.
    #[arg(long, value_name = "SECONDS")]
    retry_after_s: Option<u32>,
    /// A call's longest time, in seconds; 0 for any.
    #[arg(long, value_name = "SECONDS")]
    max_call_s: Option<u32>,
}

pub(super) fn limit(client: &Client, wanted: &Limits) -> Result<Value, Failure> {
    let named =
        [("max_calls", wanted.max_calls), ("retry_after_s", wanted.retry_after_s), ("max_call_s", wanted.max_call_s)];
    let changes: serde_json::Map<String, Value> =
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect();
    if changes.is_empty() { client.get("/v1/limits") } else { client.put_json("/v1/limits", &changes.into()) }
}

pub(super) fn limits(answer: &Value) -> String {
    let mut table = Table::new(&["limit", "value"]);
    for (name, value) in answer.as_object().into_iter().flatten() {
        table.row([name.clone(), text(value)]);
    }
    table.to_string()
}

/// The gateway's answer, and how people are told of it.
type Told = (Value, fn(&Value) -> String);

pub(super) fn route(client: &Client, route: &Route) -> Result<Told, Failure> {
    let Route::Explain { number, from, caller, codecs, identity } = route else {
        return Ok((client.get("/v1/routes")?, routes));
    };
    let further = [("from", from), ("caller", caller), ("codecs", codecs), ("identity", identity)];
    let further = further.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let query: Vec<(&str, &str)> = std::iter::once(("number", number.as_str())).chain(further).collect();
    Ok((client.get_with("/v1/routes/explain", &query)?, explanation))
}

/// A route's conditions are what it says beside its name and where it goes.
fn routes(answer: &Value) -> String {
    let mut table = Table::new(&["place", "route", "if", "goes to"]);
    for (place, route) in rows(answer).enumerate() {
        let conditions = route.as_object().into_iter().flatten().filter(|(name, value)| {
            let is_unset = value.is_null() || *value == "" || value.as_array().is_some_and(Vec::is_empty);
            !is_unset && !["name", "peer"].contains(&name.as_str())
        });
        let conditions: Vec<String> = conditions.map(|(name, value)| format!("{name} {}", text(value))).collect();
        table.row([place.to_string(), text(&route["name"]), conditions.join(", "), text(&route["peer"])]);
    }
    table.to_string()
}

fn explanation(answer: &Value) -> String {
    let mut table = Table::new(&["route", "verdict", "why not"]);
    for rule in rows(&answer["rules"]) {
        let verdict = if rule["takes"] == true { "takes it" } else { "no" };
        table.row([text(&rule["route"]), verdict.to_owned(), text(&rule["because"])]);
    }
    let mut page = format!("{table}\n{}: {}\n", text(&answer["number"]), text(&answer["outcome"]));
    let mut targets = Table::new(&["peer", "zone", "Request-URI", "in service", "calls", "OPTIONS us"]);
    for target in rows(&answer["targets"]) {
        targets.row([
            text(&target["peer"]),
            text(&target["zone"]) + if target["is_far"] == true { " (another)" } else { "" },
            text(&target["uri"]),
            text(&target["in_service"]),
            text(&target["calls"]),
            text(&target["round_trip_us"]),
        ]);
    }
    if !targets.is_empty() {
        page += &format!("\n{targets}");
    }
    rows(&answer["targets"]).filter(|target| target["resolution"].is_object()).for_each(|target| {
        page += &resolution(&text(&target["peer"]), &target["resolution"]);
    });
    page
}

/// Where a peer's name leads.
fn resolution(peer: &str, found: &Value) -> String {
    let name = text(&found["name"]);
    if let Some(problem) = found["problem"].as_str().filter(|problem| !problem.is_empty()) {
        return format!("\n{peer} is {name}: {problem}\n");
    }
    let mut servers = Table::new(&["host", "by", "address", "priority", "weight", "tried last for s"]);
    for server in rows(&found["servers"]) {
        let columns = ["host", "transport", "address", "priority", "weight", "dead_for_s"];
        servers.row(columns.map(|column| text(&server[column])));
    }
    format!("\n{peer} is {name}, for {} s:\n{servers}", text(&found["expires_s"]))
}

pub(super) fn trunks(answer: &Value) -> String {
    let names = [
        "peer",
        "in service",
        "calls",
        "attempts",
        "answered",
        "failures",
        "over limit",
        "OPTIONS us",
        "registered",
        "why",
    ];
    let mut table = Table::new(&names);
    for trunk in rows(answer) {
        table.row([
            text(&trunk["peer"]),
            text(&trunk["in_service"]),
            text(&trunk["calls"]),
            text(&trunk["attempts"]),
            text(&trunk["answered"]),
            text(&trunk["failures"]),
            text(&trunk["over_limit"]),
            text(&trunk["round_trip_us"]),
            registration(&trunk["registration"]),
            text(&trunk["out_because"]),
        ]);
    }
    table.to_string()
}

fn registration(state: &Value) -> String {
    match state["registered"].as_u64() {
        Some(expires_s) => format!("for {expires_s} s"),
        None => state["failed"].as_str().map_or_else(|| text(state), |why| format!("no: {why}")),
    }
}

pub(super) fn reloaded(answer: &Value) -> String {
    let told = |name: &str| match list(&answer[name]) {
        none if none.is_empty() => "nothing".to_owned(),
        some => some,
    };
    let kept: String = rows(&answer["kept"]).map(|why| format!("stays as it was: {}\n", text(why))).collect();
    format!("applied: {}\nneeds a restart: {}\n{kept}", told("applied"), told("needs_restart"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_explanation_names_every_rule_and_every_target() {
        let answer = json!({
            "number": "0301", "outcome": "to group carriers: as listed, the next where one fails",
            "rules": [
                { "route": "emergency", "takes": false, "because": "the number does not begin with 112" },
                { "route": "national", "takes": true, "because": "" },
            ],
            "targets": [
                { "peer": "a", "zone": "z1", "is_far": true, "uri": "sip:0301@x", "in_service": true, "calls": 2, "round_trip_us": null, "resolution": null },
                { "peer": "b", "uri": "sip:0301@y", "in_service": true, "calls": 0, "round_trip_us": null, "resolution": {
                    "name": "y", "problem": "", "expires_s": 59, "servers": [{ "host": "s.y", "transport": "UDP",
                    "address": "192.0.2.1:5060", "priority": 10, "weight": 1, "dead_for_s": 30 }] } },
            ],
        });
        assert_eq!(
            explanation(&answer),
            "route      verdict   why not\n\
             emergency  no        the number does not begin with 112\n\
             national   takes it\n\n\
             0301: to group carriers: as listed, the next where one fails\n\n\
             peer  zone          Request-URI  in service  calls  OPTIONS us\n\
             a     z1 (another)  sip:0301@x   true        2      -\n\
             b     -             sip:0301@y   true        0      -\n\n\
             b is y, for 59 s:\n\
             host  by   address         priority  weight  tried last for s\n\
             s.y   UDP  192.0.2.1:5060  10        1       30\n"
        );
    }
}
