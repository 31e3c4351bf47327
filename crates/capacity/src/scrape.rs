//! A gateway's metrics, read twice: what happened between.

use std::collections::BTreeMap;
use std::fmt;

use crate::report::{Core, Count, GatewayReading, MemoryTraffic, StageTime};

/// What a gateway told at one time: its metrics in the text format of OpenMetrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrape(BTreeMap<Key, f64>);

/// A metric's name and its labels, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    name: String,
    labels: BTreeMap<String, String>,
}

impl Key {
    fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// A text that is not a gateway's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMetrics;

impl fmt::Display for NoMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these are not the metrics of a gateway: `tandem_busy_nanoseconds_total` is not among them")
    }
}

impl std::error::Error for NoMetrics {}

const BUSY: &str = "tandem_busy_nanoseconds_total";

impl Scrape {
    /// Reads the answer to `GET /metrics`. Lines that are no samples are passed over.
    ///
    /// # Errors
    /// No worker's load is among them.
    pub fn parse(text: &str) -> Result<Self, NoMetrics> {
        let scrape = Self(text.lines().filter_map(sample).collect());
        if scrape.0.keys().any(|key| key.name == BUSY) { Ok(scrape) } else { Err(NoMetrics) }
    }

    /// What happened since an earlier scrape, `seconds` before this one.
    pub fn since(&self, before: &Self, seconds: f64) -> GatewayReading {
        let grown = Grown { now: self, before };
        let mut workers: Vec<u16> =
            self.0.keys().filter(|key| key.name == BUSY).filter_map(|key| key.label("worker").parse().ok()).collect();
        workers.sort_unstable();
        let cores = workers.into_iter().map(|worker| grown.core(worker, seconds)).collect();
        let port = grown.counts("tandem_port_driver_total", "counter", |_| true);
        let memory = grown.all("tandem_memory_traffic_bytes_total").next();
        let memory = memory.map(|(_, octets)| MemoryTraffic { gb_s: octets / (1e9 * seconds), of_most: None });
        GatewayReading { cores, port, added_p99_9_us: grown.added_latency_us(0.999), memory }
    }
}

/// The difference of two scrapes.
struct Grown<'a> {
    now: &'a Scrape,
    before: &'a Scrape,
}

impl<'a> Grown<'a> {
    /// Every sample of a metric, with how much it grew. One that shrank has started anew: it counts whole.
    fn all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = (&'a Key, f64)> + 'b {
        self.now.0.iter().filter(move |(key, _)| key.name == name).map(|(key, value)| {
            let before = self.before.0.get(key).copied().unwrap_or(0.0);
            (key, if *value >= before { value - before } else { *value })
        })
    }

    fn of(&self, name: &str, worker: u16) -> f64 {
        let worker = worker.to_string();
        self.all(name).filter(|(key, _)| key.label("worker") == worker).map(|(_, grown)| grown).sum()
    }

    /// What grew of a metric, by one of its labels.
    fn counts(&self, name: &str, by: &str, of: impl Fn(&Key) -> bool) -> Vec<Count> {
        let mut counts = BTreeMap::<&str, u64>::new();
        for (key, grown) in self.all(name).filter(|(key, grown)| *grown > 0.0 && of(key)) {
            *counts.entry(key.label(by)).or_default() += grown as u64;
        }
        counts.into_iter().map(|(name, count)| Count { name: name.to_owned(), count }).collect()
    }

    fn core(&self, worker: u16, seconds: f64) -> Core {
        let count = |name: &str| self.of(name, worker) as u64;
        let batches = count("tandem_codec_batches_total");
        let frames = count("tandem_codec_batch_frames_total");
        let own = |key: &Key| key.label("worker") == worker.to_string();
        Core {
            worker,
            busy: (self.of(BUSY, worker) / (1e9 * seconds)).clamp(0.0, 1.0),
            stages: self.stages(own),
            forwarded: count("tandem_rtp_forwarded_total"),
            busy_polls: count("tandem_busy_polls_total"),
            frames_received: count("tandem_frames_received_total"),
            batches,
            batch_fill: if batches == 0 { 0.0 } else { frames as f64 / batches as f64 },
            drops: self.counts("tandem_drops_total", "reason", own),
        }
    }

    fn stages(&self, of: impl Fn(&Key) -> bool) -> Vec<StageTime> {
        let stages: Vec<_> = self.all("tandem_stage_nanoseconds_total").filter(|(key, _)| of(key)).collect();
        let sum: f64 = stages.iter().map(|(_, ns)| ns).sum();
        let share = |(key, ns): (&Key, f64)| StageTime { stage: key.label("stage").to_owned(), share: ns / sum };
        if sum > 0.0 { stages.into_iter().map(share).collect() } else { Vec::new() }
    }

    /// A quantile of the time that packets spent in the gateway, over all workers: the bound of the bucket that it falls into.
    fn added_latency_us(&self, quantile: f64) -> Option<f64> {
        let mut below = BTreeMap::<u64, f64>::new();
        for (key, grown) in self.all("tandem_added_latency_seconds_bucket") {
            let Ok(bound_s) = key.label("le").parse::<f64>() else { continue };
            // Seconds in whole nanoseconds, which can be sorted; what is above every bound comes last.
            *below.entry((bound_s * 1e9).round() as u64).or_default() += grown;
        }
        let all = *below.values().next_back().filter(|all| **all > 0.0)?;
        let reached = below.iter().find(|(_, count)| **count >= quantile * all);
        reached.map(|(bound, _)| *bound as f64 / 1e3).filter(|bound| *bound < 1e12)
    }
}

/// `name{label="value",…} number`; none for comments and whatever else is not that.
fn sample(line: &str) -> Option<(Key, f64)> {
    let (series, rest) = match line.find('{') {
        Some(open) if !line.starts_with('#') => {
            let close = line.rfind('}')?;
            ((&line[..open], line.get(open + 1..close)?), &line[close + 1..])
        }
        _ => {
            let (name, rest) = line.split_once(' ')?;
            ((name, ""), rest)
        }
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    // No value of ours holds a quotation mark.
    let labels = series.1.split("\",").filter_map(|label| label.split_once("=\""));
    let labels = labels.map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned())).collect();
    Some((Key { name: series.0.to_owned(), labels }, value))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scrape(busy_ns: u64, forwarded: u64, missed: u64) -> Scrape {
        let text = format!(
            "# HELP tandem_busy_nanoseconds Nanoseconds.\n# TYPE tandem_busy_nanoseconds counter\n\
             tandem_busy_nanoseconds_total{{worker=\"0\"}} {busy_ns}\n\
             tandem_rtp_forwarded_total{{worker=\"0\"}} {forwarded}\n\
             tandem_codec_batches_total{{worker=\"0\"}} {}\ntandem_codec_batch_frames_total{{worker=\"0\"}} {forwarded}\n\
             tandem_drops_total{{worker=\"0\",reason=\"no_flow\"}} {missed}\n\
             tandem_drops_total{{worker=\"0\",reason=\"too_late\"}} 3\n\
             tandem_stage_nanoseconds_total{{worker=\"0\",stage=\"receive\"}} {forwarded}\n\
             tandem_stage_nanoseconds_total{{worker=\"0\",stage=\"codec\"}} {}\n\
             tandem_added_latency_seconds_bucket{{le=\"0.000002\",worker=\"0\"}} {}\n\
             tandem_added_latency_seconds_bucket{{le=\"0.00005\",worker=\"0\"}} {forwarded}\n\
             tandem_added_latency_seconds_bucket{{le=\"+Inf\",worker=\"0\"}} {forwarded}\n\
             tandem_port_driver_total{{port=\"media\",counter=\"rx_missed\"}} {missed}\n# EOF\n",
            forwarded / 10,
            3 * forwarded,
            forwarded / 2,
        );
        Scrape::parse(&text).unwrap()
    }

    #[test]
    fn a_reading_is_what_grew_between_two_scrapes() {
        let reading = scrape(2_500_000_000, 3_000, 7).since(&scrape(500_000_000, 1_000, 2), 4.0);
        let core = &reading.cores[0];
        assert_eq!((core.worker, core.busy, core.forwarded, core.batch_fill), (0, 0.5, 2_000, 10.0));
        assert_eq!(core.drops, [Count { name: "no_flow".to_owned(), count: 5 }]);
        let stages: Vec<_> = core.stages.iter().map(|stage| (stage.stage.as_str(), stage.share)).collect();
        assert_eq!(stages, [("codec", 0.75), ("receive", 0.25)]);
        assert_eq!(reading.port_count("rx_missed"), 5);
        assert_eq!(reading.added_p99_9_us, Some(50.0));
    }

    #[test]
    fn a_gateway_that_was_started_anew_counts_from_its_start() {
        let reading = scrape(100_000_000, 10, 0).since(&scrape(500_000_000, 1_000, 2), 1.0);
        assert_eq!((reading.cores[0].busy, reading.cores[0].forwarded), (0.1, 10));
    }

    #[test]
    fn a_gateway_without_stages_or_packets_tells_none() {
        let idle = Scrape::parse("tandem_busy_nanoseconds_total{worker=\"0\"} 5\n").unwrap();
        let reading = idle.since(&idle, 1.0);
        assert_eq!((reading.cores[0].stages.len(), reading.added_p99_9_us), (0, None));
        assert_eq!(reading.memory, None);
    }

    #[test]
    fn what_a_machine_moved_to_and_from_memory_is_a_rate() {
        let at = |octets: u64| {
            let text = "tandem_busy_nanoseconds_total{worker=\"0\"} 5\ntandem_memory_traffic_bytes_total ";
            Scrape::parse(&format!("{text}{octets}\n")).unwrap()
        };
        let memory = at(9_000_000_000).since(&at(1_000_000_000), 2.0).memory;
        assert_eq!(memory, Some(MemoryTraffic { gb_s: 4.0, of_most: None }));
    }

    #[test]
    fn what_is_no_gateways_answer_is_refused() {
        assert_eq!(Scrape::parse("<html>not here</html>"), Err(NoMetrics));
        assert_eq!(Scrape::parse("tandem_ready 1\n"), Err(NoMetrics));
    }

    proptest! {
        #[test]
        fn no_text_upsets_it(text in "\\PC{0,200}", line in "tandem_[a-z]{1,8}[{}=\",0-9 ]{0,40}") {
            let _ = Scrape::parse(&text);
            let _ = sample(&line);
        }
    }
}
