//! What of a new file can be applied while the gateway runs.

use garde::Validate;
use serde_json::Value;

use crate::check::Document;
use crate::document::{Config, Limits};

/// What can change while the gateway runs: fields, and sections with all that is in them.
pub const CHANGEABLE: [&str; 17] = [
    "ports[].addresses",
    "defence.allow",
    "defence.deny",
    "http.open_monitoring",
    "http.tokens",
    "sip.connections",
    "sip.guard",
    "sip.no_answer_timeout_s",
    "limits.max_calls",
    "limits.retry_after_s",
    "limits.max_call_s",
    "peers",
    "groups",
    "routes",
    "stir",
    "shutdown",
    "log.level",
];

/// A new file, as far as it can be applied to a running gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// The running configuration with everything in [`CHANGEABLE`] taken from the new file.
    pub config: Config,
    /// Fields that differ and are applied.
    pub applied: Vec<String>,
    /// Fields that differ and stay as they are until the gateway is restarted.
    pub needs_restart: Vec<String>,
}

/// The new file cannot be applied without a restart: what can change depends on what cannot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct ReloadError {
    /// What does not fit together, with its field.
    pub problems: Vec<String>,
}

impl Reload {
    /// Compares a running configuration with a new one.
    ///
    /// # Errors
    /// The changeable part of `wanted` does not fit the part of `running` that stays.
    pub fn new(running: &Config, wanted: Config) -> Result<Self, ReloadError> {
        let mut changed = Vec::new();
        // Both were parsed, so that both can be written again.
        let value = |config: &Config| serde_json::to_value(config).unwrap_or_default();
        differences("", &value(running), &value(&wanted), &mut changed);
        let (applied, needs_restart) = changed.into_iter().partition(|path| is_changeable(path));

        let mut config = running.clone();
        for (port, wanted) in config.ports.iter_mut().zip(wanted.ports) {
            port.addresses = wanted.addresses;
        }
        config.defence.allow = wanted.defence.allow;
        config.defence.deny = wanted.defence.deny;
        config.http.open_monitoring = wanted.http.open_monitoring;
        config.http.tokens = wanted.http.tokens;
        config.sip.connections = wanted.sip.connections;
        config.sip.guard = wanted.sip.guard;
        config.sip.no_answer_timeout_s = wanted.sip.no_answer_timeout_s;
        config.limits = Limits { max_transactions: running.limits.max_transactions, ..wanted.limits };
        config.peers = wanted.peers;
        config.groups = wanted.groups;
        config.routes = wanted.routes;
        config.stir = wanted.stir;
        config.shutdown = wanted.shutdown;
        config.log.level = wanted.log.level;
        if config.has_srtp() && !running.has_srtp() {
            let message = "peers: no peer had `srtp` at the start, so the workers made no room for it";
            return Err(ReloadError { problems: vec![message.to_owned()] });
        }
        let document = Document(config);
        match document.validate() {
            Ok(()) => Ok(Self { config: document.0, applied, needs_restart }),
            Err(report) => {
                let problems = report.iter().map(|(path, error)| format!("{path}: {error}")).collect();
                Err(ReloadError { problems })
            }
        }
    }
}

fn is_changeable(path: &str) -> bool {
    // `[]` stands for any place in a sequence.
    if let Some((first, rest)) = path.split_once('[').and_then(|(name, rest)| Some((name, rest.split_once(']')?.1)))
        && is_changeable_field(&format!("{first}[]{rest}"))
    {
        return true;
    }
    is_changeable_field(path)
}

fn is_changeable_field(path: &str) -> bool {
    CHANGEABLE.iter().any(|changeable| {
        path.strip_prefix(changeable).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}

/// Paths at which two values differ. Sequences of different length differ as a whole.
fn differences(path: &str, left: &Value, right: &Value, into: &mut Vec<String>) {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            for (name, value) in left {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                differences(&path, value, right.get(name).unwrap_or(&Value::Null), into);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                differences(&format!("{path}[{index}]"), left, right, into);
            }
        }
        _ if left != right => into.push(path.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
ports: [{name: media, device: net_null0, addresses: [10.0.0.10/24]}]
sip: {listen: [{address: 10.0.1.10}]}
peers: [{name: left, address: 10.0.1.20}, {name: right, address: 10.0.1.30}]
routes: [{from: left, peer: right}]
";

    fn parse(text: &str) -> Config {
        crate::parse("t.yaml", text).unwrap()
    }

    fn reload(from: &str, to: &str) -> Result<Reload, ReloadError> {
        assert!(FILE.contains(from));
        Reload::new(&parse(FILE), parse(&FILE.replace(from, to)))
    }

    #[test]
    fn an_equal_file_changes_nothing() {
        let reload = reload("left", "left").unwrap();
        assert_eq!((reload.applied.len(), reload.needs_restart.len()), (0, 0));
        assert_eq!(reload.config, parse(FILE));
    }

    #[test]
    fn peers_and_routes_are_applied() {
        let reload = reload("address: 10.0.1.30", "address: 10.0.1.31, ptime_ms: 30").unwrap();
        assert_eq!(reload.applied, ["peers[1].address", "peers[1].ptime_ms"]);
        assert!(reload.needs_restart.is_empty());
        assert_eq!(reload.config.peers[1].ptime_ms, 30);
    }

    #[test]
    fn another_device_needs_a_restart_and_the_rest_is_applied() {
        let wanted = format!(
            "{}limits: {{max_calls: 7, max_transactions: 200}}\nlog: {{level: debug, format: json}}\n",
            FILE.replace("net_null0", "net_ring0")
        );
        let reload = Reload::new(&parse(FILE), parse(&wanted)).unwrap();
        assert_eq!(reload.needs_restart, ["ports[0].device", "limits.max_transactions", "log.format"]);
        assert_eq!(reload.applied, ["limits.max_calls", "log.level"]);
        assert_eq!(reload.config.limits.max_calls, 7);
        assert_eq!(reload.config.ports, parse(FILE).ports);
    }

    #[test]
    fn addresses_come_and_go_with_the_peers_that_use_them() {
        let wanted = FILE
            .replace("[10.0.0.10/24]", "[10.0.0.10/24, 10.0.0.11/24]")
            .replace("address: 10.0.1.30", "address: 10.0.1.30, media_address: 10.0.0.11");
        let reload = Reload::new(&parse(FILE), parse(&wanted)).unwrap();
        assert_eq!(reload.applied, ["ports[0].addresses", "peers[1].media_address"]);
        assert!(reload.needs_restart.is_empty());
        assert_eq!(reload.config, parse(&wanted));
    }

    #[test]
    fn lists_of_sources_are_applied_and_budgets_are_not() {
        let wanted = format!("{FILE}defence: {{deny: [192.0.2.0/24], source_packets_per_second: 9}}\n");
        let reload = Reload::new(&parse(FILE), parse(&wanted)).unwrap();
        assert_eq!(reload.applied, ["defence.deny"]);
        assert_eq!(reload.needs_restart, ["defence.source_packets_per_second"]);
        assert_eq!(reload.config.defence.deny.len(), 1);
    }

    #[test]
    fn what_needs_something_that_cannot_change_is_refused() {
        let wanted = FILE
            .replace("[{address: 10.0.1.10}]", "[{name: a, address: 10.0.1.10}, {name: b, address: 10.0.1.11}]")
            .replace("address: 10.0.1.30", "address: 10.0.1.30, listen: b");
        let problems = Reload::new(&parse(FILE), parse(&wanted)).unwrap_err().problems;
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("peers[1].listen: no listener is called `b`"), "{problems:?}");
    }
}
