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
    AutoScaling: CompleteLifecycleAction, DescribeAutoScalingInstances, RecordLifecycleActionHeartbeat;
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
    use super::*;

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
