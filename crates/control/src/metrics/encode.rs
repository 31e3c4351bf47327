//! One scrape, in the text format of OpenMetrics.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tandem_contract::{DropReason, Stage, WorkerCounters, WorkerId};

use super::latency::Latency;
use super::table::{METRICS, Metric, Value};
use crate::aws::AwsStatus;
use crate::cluster::ClusterStatus;
use crate::database::StoreState;
use crate::hep::HepState;
use crate::ports::PortReading;
use crate::recorder::RecorderState;
use crate::records::RecordsState;
use crate::status::SwitchStatus;

/// All that a scrape tells.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) ready: bool,
    pub(crate) uptime_s: u64,
    /// Octets that the machine moved to and from memory; `None` where it does not tell.
    pub(crate) memory_octets: Option<u64>,
    pub(crate) switch: Option<SwitchStatus>,
    pub(crate) cluster: ClusterStatus,
    pub(crate) hep: Arc<HepState>,
    /// HTTP requests that showed no token, or one of another scope.
    pub(crate) http_refused: u64,
    pub(crate) aws: AwsStatus,
    pub(crate) records: Arc<RecordsState>,
    pub(crate) store: Arc<StoreState>,
    pub(crate) recorder: Arc<RecorderState>,
    pub(crate) workers: Vec<(WorkerId, Arc<WorkerCounters>)>,
    pub(crate) ports: Vec<PortReading>,
}

/// The text of one scrape.
pub(crate) fn encode(scrape: Scrape) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in METRICS {
            let kind = match metric.value {
                Value::Histogram => MetricType::Histogram,
                _ if metric.is_gauge => MetricType::Gauge,
                _ => MetricType::Counter,
            };
            self.values(metric, encoder.encode_descriptor(metric.name, metric.help, None, kind)?)?;
        }
        Ok(())
    }
}

impl Scrape {
    fn values(&self, metric: &Metric, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        match metric.value {
            Value::Node(read) => number(metric, encoder, read(self)),
            Value::Told(read) => read(self).map_or(Ok(()), |value| number(metric, encoder, value)),
            Value::Switch(read) => match &self.switch {
                Some(switch) => number(metric, encoder, read(switch)),
                None => Ok(()),
            },
            Value::Trunk(read) => self.switch.iter().flat_map(|switch| &switch.trunks).try_for_each(|trunk| {
                number(metric, encoder.encode_family(&[("peer", trunk.peer.as_str())])?, read(trunk))
            }),
            Value::Worker(read) => self.workers.iter().try_for_each(|(worker, counters)| {
                number(metric, encoder.encode_family(&[("worker", worker.0.to_string())])?, read(counters))
            }),
            Value::Drops => self.workers.iter().try_for_each(|(worker, counters)| {
                DropReason::ALL.iter().try_for_each(|reason| {
                    let labels = [("worker", worker.0.to_string()), ("reason", reason.label().to_owned())];
                    number(metric, encoder.encode_family(&labels)?, counters.drops_of(*reason))
                })
            }),
            Value::Stages => self.workers.iter().try_for_each(|(worker, counters)| {
                Stage::ALL.iter().try_for_each(|stage| {
                    let labels = [("worker", worker.0.to_string()), ("stage", stage.label().to_owned())];
                    number(metric, encoder.encode_family(&labels)?, counters.stage_ns.of(*stage))
                })
            }),
            Value::Histogram => self.workers.iter().try_for_each(|(worker, counters)| {
                let latency = Latency::of([&**counters]);
                let labels = [("worker", worker.0.to_string())];
                encoder.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                    latency.sum_s(),
                    latency.count(),
                    &latency.prometheus_buckets(),
                    None,
                )
            }),
            Value::Ports => self.ports.iter().try_for_each(|port| {
                port.counters.iter().try_for_each(|(counter, value)| {
                    let labels = [("port", port.port.as_str()), ("counter", counter.as_str())];
                    number(metric, encoder.encode_family(&labels)?, *value)
                })
            }),
        }
    }
}

fn number(metric: &Metric, encoder: MetricEncoder<'_>, value: u64) -> fmt::Result {
    if metric.is_gauge { ConstGauge::new(value).encode(encoder) } else { ConstCounter::new(value).encode(encoder) }
}

#[cfg(test)]
mod tests {
    use tandem_call::TrunkStatus;

    use super::*;

    fn scrape() -> Scrape {
        let counters = Arc::new(WorkerCounters::default());
        counters.rtp_forwarded.add(7);
        counters.dropped(DropReason::NoFlow);
        counters.stage_ns.add(Stage::Codec, 40);
        counters.added_latency.record_n(1_500, 3);
        Scrape {
            ready: true,
            uptime_s: 12,
            memory_octets: Some(640),
            switch: Some(SwitchStatus {
                trunks: vec![TrunkStatus { peer: "carrier".to_owned(), answered: 4, ..TrunkStatus::default() }],
                ..SwitchStatus::default()
            }),
            cluster: ClusterStatus::default(),
            hep: Arc::default(),
            http_refused: 0,
            aws: AwsStatus::default(),
            records: Arc::default(),
            store: Arc::default(),
            recorder: Arc::default(),
            workers: vec![(WorkerId(0), counters)],
            ports: vec![PortReading { port: "media".to_owned(), counters: vec![("rx_missed".to_owned(), 5)] }],
        }
    }

    #[test]
    fn each_kind_of_metric_is_told_with_its_labels() {
        let text = encode(scrape()).unwrap();
        for line in [
            "tandem_ready 1",
            "tandem_uptime_seconds 12",
            "tandem_memory_traffic_bytes_total 640",
            "tandem_calls 0",
            "tandem_call_attempts_total 0",
            "tandem_trunk_answered_total{peer=\"carrier\"} 4",
            "tandem_rtp_forwarded_total{worker=\"0\"} 7",
            "tandem_drops_total{worker=\"0\",reason=\"no_flow\"} 1",
            "tandem_drops_total{worker=\"0\",reason=\"too_late\"} 0",
            "tandem_stage_nanoseconds_total{worker=\"0\",stage=\"codec\"} 40",
            "tandem_added_latency_seconds_count{worker=\"0\"} 3",
            "tandem_added_latency_seconds_bucket{le=\"0.000001\",worker=\"0\"} 0",
            "tandem_added_latency_seconds_bucket{le=\"0.000002\",worker=\"0\"} 3",
            "tandem_port_driver_total{port=\"media\",counter=\"rx_missed\"} 5",
            "# HELP tandem_calls Calls at present, set-up and clearing included.",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_switch_that_does_not_answer_leaves_the_workers_visible() {
        let text = encode(Scrape { switch: None, ready: false, ..scrape() }).unwrap();
        assert!(text.contains("\ntandem_switch_answering 0\n"));
        assert!(text.contains("\ntandem_rtp_forwarded_total{worker=\"0\"} 7\n"));
        assert!(!text.contains("\ntandem_calls 0\n"));
    }

    #[test]
    fn names_are_distinct_and_follow_the_rules() {
        for (index, metric) in METRICS.iter().enumerate() {
            assert!(metric.name.starts_with("tandem_"), "{}", metric.name);
            assert!(metric.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", metric.name);
            assert!(!metric.name.ends_with("_total"), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
            assert!(METRICS[..index].iter().all(|other| other.name != metric.name), "{}", metric.name);
        }
    }
}
