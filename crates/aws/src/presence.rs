//! What the world is told of this node: its share of a name, its instance's lifecycle, its figures.

use std::time::{Duration, Instant};

use serde::Deserialize;
use tandem_aws_protocol::{Measured, Serving, WeightedRecord};

use crate::action::Action;
use crate::again::until_done;
use crate::client::{CallError, Client};
use crate::ec2::pair;
use crate::xml::read;

/// Nobody waits for these: they are tried for so long, and asked for again then.
const PATIENCE: Duration = Duration::from_secs(10);
/// CloudWatch's namespace.
const NAMESPACE: &str = "Tandem";

/// Tells for one node.
#[derive(Clone, Debug)]
pub struct Presence {
    /// The instance.
    pub instance: String,
    /// Its records.
    pub records: Vec<WeightedRecord>,
    /// The hook of an instance that begins.
    pub launch_hook: Option<String>,
    /// The hook of an instance that ends.
    pub terminate_hook: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScalingAnswer {
    describe_auto_scaling_instances_result: ScalingResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScalingResult {
    auto_scaling_instances: Members,
}

#[derive(Deserialize)]
struct Members {
    #[serde(default)]
    member: Vec<ScalingInstance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScalingInstance {
    auto_scaling_group_name: String,
    lifecycle_state: String,
}

impl Presence {
    /// Tells records and the Auto Scaling group. What is so already is said again: nothing changes by it.
    ///
    /// # Errors
    /// The first call that failed; those behind it were not made.
    pub fn serve(&self, client: &Client, serving: Serving) -> Result<(), CallError> {
        self.weigh(client, serving == Serving::Yes)?;
        let (hook, waits_in, action) = match serving {
            Serving::Yes => (&self.launch_hook, "Pending:Wait", Action::CompleteLifecycleAction),
            Serving::Draining => (&self.terminate_hook, "Terminating:Wait", Action::RecordLifecycleActionHeartbeat),
            Serving::No => (&self.terminate_hook, "Terminating:Wait", Action::CompleteLifecycleAction),
        };
        let Some(hook) = hook else { return Ok(()) };
        let Some(member) = self.membership(client)?.filter(|member| member.lifecycle_state == waits_in) else {
            return Ok(());
        };
        let mut parameters = vec![
            pair("AutoScalingGroupName", member.auto_scaling_group_name),
            pair("LifecycleHookName", hook),
            pair("InstanceId", &self.instance),
        ];
        if action == Action::CompleteLifecycleAction {
            parameters.push(pair("LifecycleActionResult", "CONTINUE"));
        }
        patiently(|| client.query(action, &parameters).map(drop))
    }

    /// Gives this node's records their weight, or none.
    ///
    /// # Errors
    /// The first zone that could not be changed.
    pub fn weigh(&self, client: &Client, serves: bool) -> Result<(), CallError> {
        let mut zones: Vec<&str> = self.records.iter().map(|record| record.zone.as_str()).collect();
        zones.sort_unstable();
        zones.dedup();
        for zone in zones {
            let of_zone = self.records.iter().filter(|record| record.zone == zone);
            let xml = change(of_zone.map(|record| (record, if serves { record.weight } else { 0 })));
            let path = format!("hostedzone/{zone}/rrset/");
            patiently(|| client.rest(Action::ChangeResourceRecordSets, &path, &xml).map(drop))?;
        }
        Ok(())
    }

    fn membership(&self, client: &Client) -> Result<Option<ScalingInstance>, CallError> {
        let action = Action::DescribeAutoScalingInstances;
        let mut found = None;
        patiently(|| {
            let xml = client.query(action, &[pair("InstanceIds.member.1", &self.instance)])?;
            let answer: ScalingAnswer = read(action, &xml)?;
            found = answer.describe_auto_scaling_instances_result.auto_scaling_instances.member.into_iter().next();
            Ok(())
        })?;
        Ok(found)
    }
}

/// Gives figures to CloudWatch.
///
/// # Errors
/// They are not there, as far as is known.
pub fn publish(client: &Client, node: &str, metrics: &[Measured]) -> Result<(), CallError> {
    let mut parameters = vec![pair("Namespace", NAMESPACE)];
    for (metric, number) in metrics.iter().take(Measured::MOST).zip(1..) {
        let member = format!("MetricData.member.{number}");
        parameters.extend([
            pair(&format!("{member}.MetricName"), &metric.name),
            pair(&format!("{member}.Unit"), metric.unit.name()),
            pair(&format!("{member}.Value"), metric.value),
            pair(&format!("{member}.Dimensions.member.1.Name"), "Node"),
            pair(&format!("{member}.Dimensions.member.1.Value"), node),
        ]);
    }
    patiently(|| client.query(Action::PutMetricData, &parameters).map(drop))
}

fn patiently(call: impl FnMut() -> Result<(), CallError>) -> Result<(), CallError> {
    until_done(Instant::now() + PATIENCE, call).map(drop)
}

/// The body of ChangeResourceRecordSets: each record with its weight.
fn change<'a>(records: impl Iterator<Item = (&'a WeightedRecord, u8)>) -> String {
    let escape = |text: &str| quick_xml::escape::escape(text).into_owned();
    let one = |(record, weight): (&'a WeightedRecord, u8)| {
        format!(
            "<Change><Action>UPSERT</Action><ResourceRecordSet><Name>{}</Name><Type>{}</Type>\
             <SetIdentifier>{}</SetIdentifier><Weight>{weight}</Weight><TTL>{}</TTL><ResourceRecords><ResourceRecord>\
             <Value>{}</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></Change>",
            escape(&record.name),
            record.kind.name(),
            escape(&record.node),
            record.ttl_s,
            escape(&record.value),
        )
    };
    let changes: String = records.map(one).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes>\
         {changes}</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
    )
}

#[cfg(test)]
mod tests {
    use tandem_aws_protocol::RecordKind;

    use super::*;

    #[test]
    fn a_record_is_written_with_its_weight_and_what_xml_reserves_is_escaped() {
        let record = WeightedRecord {
            zone: "Z1".to_owned(),
            name: "_sip._udp.example.net.".to_owned(),
            kind: RecordKind::Srv,
            value: "10 5 5060 a<b.example.net.".to_owned(),
            weight: 5,
            ttl_s: 30,
            node: "a&b".to_owned(),
        };
        let xml = change([(&record, 0)].into_iter());
        assert!(xml.contains("<Type>SRV</Type><SetIdentifier>a&amp;b</SetIdentifier><Weight>0</Weight><TTL>30</TTL>"));
        assert!(xml.contains("<Value>10 5 5060 a&lt;b.example.net.</Value>"), "{xml}");
    }
}
