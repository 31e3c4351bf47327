//! The cluster as HTTP and metrics tell it.

use serde::Serialize;
use tandem_cluster::{Alarm, Cluster, ClusterCounters, Explanation, MemberView, ServiceId, ServiceView};
use tandem_contract::Nanos;

use crate::aws::{Aws, AwsView};

/// The cluster as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ClusterView {
    pub(crate) members: Vec<MemberView>,
    pub(crate) services: Vec<ServiceView>,
    pub(crate) alarms: Vec<Alarm>,
    pub(crate) counters: ClusterCounters,
    pub(crate) explanation: Option<Explanation>,
    /// What EC2 says, where it is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aws: Option<AwsView>,
    #[serde(skip)]
    pub(crate) active: bool,
}

impl ClusterView {
    /// As a node sees it that is no member yet.
    pub(crate) fn of_nobody(aws: Option<&Aws>) -> Self {
        Self {
            members: Vec::new(),
            services: Vec::new(),
            alarms: Vec::new(),
            counters: ClusterCounters::default(),
            explanation: None,
            aws: aws.map(Aws::view),
            active: false,
        }
    }

    pub(crate) fn of(cluster: &Cluster, now: Nanos, aws: Option<&Aws>) -> Self {
        Self {
            members: cluster.members(now),
            services: cluster.services(now),
            alarms: cluster.alarms().collect(),
            counters: cluster.counters(),
            explanation: cluster.explain(now, ServiceId(0)),
            aws: aws.map(Aws::view),
            active: cluster.is_active(now, ServiceId(0)),
        }
    }
}

/// What metrics say of it; all 0 without a cluster.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClusterStatus {
    pub(crate) active: bool,
    pub(crate) members_alive: u64,
    pub(crate) alarms: u64,
    pub(crate) epoch: u64,
    pub(crate) counters: ClusterCounters,
}

impl From<&ClusterView> for ClusterStatus {
    fn from(view: &ClusterView) -> Self {
        Self {
            active: view.active,
            members_alive: view.members.iter().filter(|member| member.alive).count() as u64,
            alarms: view.alarms.len() as u64,
            epoch: view.services.first().map_or(0, |service| service.epoch),
            counters: view.counters,
        }
    }
}
