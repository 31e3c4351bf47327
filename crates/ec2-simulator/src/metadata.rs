//! The instance metadata service, version 2.

use crate::{Simulator, http::Answer};

const TOKEN: &str = "a-token-of-the-simulator";

impl Simulator {
    /// Answers a request that is the metadata service's; `None` where it is not.
    pub(crate) fn metadata(&self, method: &str, path: &str, token: Option<&str>) -> Option<Answer> {
        let path = path.strip_prefix("/latest/")?;
        if method == "PUT" && path == "api/token" {
            return Some(Answer::ok(TOKEN.to_owned()));
        }
        if token != Some(TOKEN) {
            return Some(Answer { status: 401, body: String::new() });
        }
        let text = self.look_up(path.strip_prefix("meta-data/")?);
        Some(text.map_or(Answer { status: 404, body: String::new() }, Answer::ok))
    }

    fn look_up(&self, path: &str) -> Option<String> {
        let state = self.state();
        let instance = state.world.instances.get(state.asking)?;
        let mac = format!("02:00:00:00:00:{:02x}", state.asking);
        let group = instance.group.as_ref();
        let of_interface = path.strip_prefix(&format!("network/interfaces/macs/{mac}/"));
        Some(match of_interface.unwrap_or(path) {
            "subnet-id" if of_interface.is_some() => instance.subnet.clone(),
            "interface-id" if of_interface.is_some() => instance.interface.clone(),
            "mac" => mac,
            "instance-id" => instance.id.clone(),
            "placement/availability-zone" => instance.zone.clone(),
            "placement/region" => instance.zone.trim_end_matches(|c: char| c.is_ascii_lowercase()).to_owned(),
            "placement/group-name" => group?.0.clone(),
            "placement/partition-number" => group?.1?.to_string(),
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
