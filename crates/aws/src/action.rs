//! Every action that is ever called: a role needs these and no others.

/// An interface of AWS's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Ec2,
    AutoScaling,
    CloudWatch,
    Route53,
}

impl Service {
    /// As in a host's name and in a signature's scope.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::AutoScaling => "autoscaling",
            Self::CloudWatch => "monitoring",
            Self::Route53 => "route53",
        }
    }

    /// As in a policy.
    const fn prefix(self) -> &'static str {
        match self {
            Self::CloudWatch => "cloudwatch",
            other => other.name(),
        }
    }

    /// The version of its interface.
    pub(crate) const fn version(self) -> &'static str {
        match self {
            Self::Ec2 => "2016-11-15",
            Self::AutoScaling => "2011-01-01",
            Self::CloudWatch => "2010-08-01",
            Self::Route53 => "2013-04-01",
        }
    }

    /// Its region and host for who is in `region`. Route 53 has one for each partition.
    pub(crate) fn place(self, region: &str) -> (String, String) {
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        match self {
            Self::Route53 if region.starts_with("cn-") => ("cn-northwest-1".into(), format!("route53.{domain}")),
            Self::Route53 if region.starts_with("us-gov-") => {
                ("us-gov-west-1".into(), format!("route53.us-gov.{domain}"))
            }
            Self::Route53 => ("us-east-1".into(), format!("route53.{domain}")),
            other => (region.to_owned(), format!("{}.{region}.{domain}", other.name())),
        }
    }
}

macro_rules! actions {
    ($($service:ident: $($name:ident),+;)+) => {
        /// What is called.
        #[expect(missing_docs, reason = "the names are AWS's, and so are their manuals")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action { $($($name),+),+ }

        impl Action {
            /// Every action.
            pub const ALL: &[Self] = &[$($(Self::$name),+),+];

            /// As AWS has it.
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$name => stringify!($name)),+),+ }
            }

            pub(crate) const fn service(self) -> Service {
                match self { $($(Self::$name => Service::$service),+),+ }
            }
        }
    };
}

actions! {
    Ec2: AssignPrivateIpAddresses, AssociateAddress, ReplaceRoute, DescribeAddresses, DescribeInstances,
        DescribeNetworkInterfaces, DescribePlacementGroups, DescribeRouteTables;
    AutoScaling: CompleteLifecycleAction, DescribeAutoScalingGroups, DescribeAutoScalingInstances,
        RecordLifecycleActionHeartbeat;
    CloudWatch: PutMetricData;
    Route53: ChangeResourceRecordSets;
}

impl Action {
    /// As a policy has it, `ec2:AssociateAddress`.
    pub fn permission(self) -> String {
        format!("{}:{}", self.service().prefix(), self.name())
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn project(file: &str) -> String {
        std::fs::read_to_string(format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    /// Actions as policies have them: `service:NameOfAction`.
    fn permissions(text: &str) -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':' || c == '_'));
        let is_action = |word: &&str| {
            let Some((service, name)) = word.split_once(':') else { return false };
            let known = ["ec2", "autoscaling", "cloudwatch", "route53"].contains(&service);
            // What an instance is going through is named alike, with `_`.
            known && name.starts_with(|c: char| c.is_ascii_uppercase()) && !name.contains([':', '_'])
        };
        words.filter(is_action).map(str::to_owned).collect()
    }

    #[test]
    fn the_policy_allows_what_is_called_and_nothing_else() {
        let called: BTreeSet<String> = Action::ALL.iter().map(|action| action.permission()).collect();
        assert_eq!(permissions(&project("configs/aws-policy.json")), called);
        // It is read as JSON, and what changes something is bound to a resource or a namespace.
        let policy: serde_json::Value = serde_json::from_str(&project("configs/aws-policy.json")).unwrap();
        for statement in policy["Statement"].as_array().unwrap() {
            let looks = statement["Sid"] == "Look";
            assert!(looks || statement["Resource"] != "*" || statement["Condition"].is_object(), "{statement}");
        }
    }

    #[test]
    fn roles_of_what_is_deployed_may_do_no_more_and_enough_to_move_addresses_and_tell_figures() {
        let group = permissions(&project("deploy/cloudformation/group.yaml"));
        for action in Action::ALL.iter().filter(|action| action.service() == Service::AutoScaling) {
            assert!(group.contains(&action.permission()), "{action} is missing");
        }
        is_enough_and_no_more(&group);
        is_enough_and_no_more(&permissions(&project("deploy/cloudformation/pair.yaml")));
    }

    fn is_enough_and_no_more(allowed: &BTreeSet<String>) {
        let called: BTreeSet<String> = Action::ALL.iter().map(|action| action.permission()).collect();
        let more: Vec<&String> = allowed.difference(&called).collect();
        assert!(more.is_empty(), "never called: {more:?}");
        for action in [
            Action::AssignPrivateIpAddresses,
            Action::AssociateAddress,
            Action::DescribeAddresses,
            Action::DescribeInstances,
            Action::DescribeNetworkInterfaces,
            Action::DescribePlacementGroups,
            Action::PutMetricData,
        ] {
            assert!(allowed.contains(&action.permission()), "{action} is missing");
        }
    }

    #[test]
    fn route_53_has_one_region_for_each_partition_and_others_are_where_the_instance_is() {
        let host = |service: Service, region| service.place(region);
        assert_eq!(host(Service::CloudWatch, "eu-central-1").1, "monitoring.eu-central-1.amazonaws.com");
        assert_eq!(host(Service::Ec2, "cn-north-1").1, "ec2.cn-north-1.amazonaws.com.cn");
        assert_eq!(host(Service::Route53, "eu-central-1"), ("us-east-1".into(), "route53.amazonaws.com".into()));
        assert_eq!(host(Service::Route53, "us-gov-east-1").0, "us-gov-west-1");
        assert_eq!(Action::PutMetricData.permission(), "cloudwatch:PutMetricData");
    }
}
