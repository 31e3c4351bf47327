//! A policy of IAM's, as far as those of the project go: allowed actions, with conditions on a resource's tag or a namespace.

use serde_json::Value;

use crate::Call;
use crate::world::World;

/// What callers may do.
#[derive(Clone, Debug)]
pub struct Policy(Vec<Value>);

/// Parameters that name what an action changes.
const RESOURCES: [&str; 3] = ["NetworkInterfaceId", "AllocationId", "RouteTableId"];

impl Policy {
    /// Takes a policy document.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        let document: Value = serde_json::from_str(text)?;
        Ok(Self(document["Statement"].as_array().cloned().unwrap_or_default()))
    }

    /// Whether a statement allows a call. Resources are told apart by their tags, not by their names.
    pub(crate) fn allows(&self, call: &Call, world: &World) -> bool {
        let service = if call.service == "monitoring" { "cloudwatch" } else { &call.service };
        let permission = format!("{service}:{}", call.action);
        self.0.iter().any(|statement| {
            statement["Effect"] == "Allow"
                && texts(&statement["Action"]).any(|action| action == permission)
                && conditions(&statement["Condition"]).all(|(key, wanted)| is_met(key, wanted, call, world))
        })
    }
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    list.iter().filter_map(Value::as_str)
}

fn conditions(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().flat_map(|(operator, keys)| {
        let keys = keys.as_object().into_iter().flatten();
        // Of other operators nothing is known, so that they are never met.
        keys.map(move |(key, wanted)| (if operator == "StringEquals" { key.as_str() } else { operator }, wanted))
    })
}

fn is_met(key: &str, wanted: &Value, call: &Call, world: &World) -> bool {
    let is_wanted = |text: Option<&str>| text.is_some_and(|text| texts(wanted).any(|wanted| wanted == text));
    if let Some(tag) = key.strip_prefix("aws:ResourceTag/") {
        let mut resources = RESOURCES.iter().filter_map(|name| call.get(name));
        return resources.all(|resource| is_wanted(world.tag(resource, tag)));
    }
    key == "cloudwatch:namespace" && is_wanted(call.get("Namespace"))
}
