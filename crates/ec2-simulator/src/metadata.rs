//! The instance metadata service, version 2.

use std::net::IpAddr;

use crate::{Simulator, http::Answer};

const TOKEN: &str = "a-token-of-the-simulator";

impl Simulator {
    /// Answers a request that is the metadata service's; `None` where it is not.
    pub(crate) fn metadata(&self, from: IpAddr, method: &str, path: &str, token: Option<&str>) -> Option<Answer> {
        let path = path.strip_prefix("/latest/")?;
        if method == "PUT" && path == "api/token" {
            return Some(Answer::ok(TOKEN.to_owned()));
        }
        if token != Some(TOKEN) {
            return Some(Answer { status: 401, body: String::new() });
        }
        let text = self.look_up(from, path.strip_prefix("meta-data/")?);
        Some(text.map_or(Answer { status: 404, body: String::new() }, Answer::ok))
    }

    fn look_up(&self, from: IpAddr, path: &str) -> Option<String> {
        let state = self.state();
        let mut instances = state.world.instances.iter();
        let asking = instances.find(|instance| matches!(from, IpAddr::V4(ip) if instance.has(ip)));
        let instance = asking.or_else(|| state.world.instances.get(state.asking))?;
        if let Some(rest) = path.strip_prefix("network/interfaces/macs/") {
            let Some((mac, what)) = rest.split_once('/') else {
                return Some(instance.interfaces.iter().map(|interface| format!("{}/\n", interface.mac)).collect());
            };
            let interface = instance.interfaces.iter().find(|interface| interface.mac == mac)?;
            return Some(match what {
                "subnet-id" => interface.subnet.clone(),
                "interface-id" => interface.id.clone(),
                "local-ipv4s" => interface.addresses.iter().map(|address| format!("{address}\n")).collect(),
                _ => return None,
            });
        }
        let ends = state.world.lifecycle.iter().any(|action| action.instance == instance.id && action.ends);
        let group = instance.group.as_ref();
        Some(match path {
            "instance-id" => instance.id.clone(),
            "placement/availability-zone" => instance.zone.clone(),
            "placement/region" => instance.zone.trim_end_matches(|c: char| c.is_ascii_lowercase()).to_owned(),
            "placement/group-name" => group?.0.clone(),
            "placement/partition-number" => group?.1?.to_string(),
            "autoscaling/target-lifecycle-state" => if ends { "Terminated" } else { "InService" }.to_owned(),
            "iam/security-credentials/" => "tandem".to_owned(),
            "iam/security-credentials/tandem" => concat!(
                r#"{"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIASIMULATED", "SecretAccessKey": "secret", "#,
                r#""Token": "token", "Expiration": "2999-01-01T00:00:00Z"}"#
            )
            .to_owned(),
            _ => return None,
        })
    }
}
