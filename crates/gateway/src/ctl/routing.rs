//! Peers' service, and which route takes a call.

use clap::Subcommand;
use serde_json::Value;

use super::client::Client;
use super::{Table, list, rows, text};
use crate::exit::Failure;

#[derive(Subcommand)]
pub(super) enum Route {
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
    },
}

pub(super) fn explain(client: &Client, route: &Route) -> Result<Value, Failure> {
    let Route::Explain { number, from, caller, codecs } = route;
    let further = [("from", from), ("caller", caller), ("codecs", codecs)];
    let further = further.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let query: Vec<(&str, &str)> = std::iter::once(("number", number.as_str())).chain(further).collect();
    client.get_with("/v1/routes/explain", &query)
}

pub(super) fn explanation(answer: &Value) -> String {
    let mut table = Table::new(&["route", "verdict", "why not"]);
    for rule in rows(&answer["rules"]) {
        let verdict = if rule["takes"] == true { "takes it" } else { "no" };
        table.row([text(&rule["route"]), verdict.to_owned(), text(&rule["because"])]);
    }
    let mut page = format!("{table}\n{}: {}\n", text(&answer["number"]), text(&answer["outcome"]));
    let mut targets = Table::new(&["peer", "Request-URI", "in service", "calls", "OPTIONS us"]);
    for target in rows(&answer["targets"]) {
        targets.row([
            text(&target["peer"]),
            text(&target["uri"]),
            text(&target["in_service"]),
            text(&target["calls"]),
            text(&target["round_trip_us"]),
        ]);
    }
    if !targets.is_empty() {
        page += &format!("\n{targets}");
    }
    page
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
    format!("applied: {}\nneeds a restart: {}\n", told("applied"), told("needs_restart"))
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
            "targets": [{ "peer": "a", "uri": "sip:0301@x", "in_service": true, "calls": 2, "round_trip_us": null }],
        });
        assert_eq!(
            explanation(&answer),
            "route      verdict   why not\n\
             emergency  no        the number does not begin with 112\n\
             national   takes it\n\n\
             0301: to group carriers: as listed, the next where one fails\n\n\
             peer  Request-URI  in service  calls  OPTIONS us\n\
             a     sip:0301@x   true        2      -\n"
        );
    }
}
