//! What stands in the way of more calls.
//!
//! Looked at are the run that held the most and the lowest one above it that broke. In this order, the first that applies:
//! the source's own end; an allowance of the instance that was exceeded; buffers, rings and queues that overflowed while
//! the cores had time; memory that is at its end; cycles; stops of the cores. Cycles come after the queues because a core that is full makes every
//! queue before it overflow, and before them when they alone explain what is seen; a core that waits for memory is full as well, so memory comes
//! before them. Stops come last: a core that is full has them besides.

use crate::report::{
    Answer, Binding, Breach, Core, Ended, Evidence, Extrapolation, GatewayReading, Limit, Measurement, MemoryTraffic,
    Point, SetUp, Verdict,
};

/// A core this busy has no time left for a burst.
const FULL: f64 = 0.9;
/// A core below this has time.
const HAS_TIME: f64 = 0.7;
/// Below this mean load, one full core among several is a hot one.
const IDLE_OTHERS: f64 = 0.6;
/// Memory this busy makes whoever asks for more wait: what can be read in order by all cores is never reached by packets and calls.
const MEMORY_FULL: f64 = 0.8;
/// Lanes that a batch has.
const LANES: f64 = 16.0;

/// ENA's counters of packets that the instance's allowances delayed or dropped, and what they count.
const ALLOWANCES: [(&str, Limit, &str); 5] = [
    ("pps_allowance_exceeded", Limit::PacketAllowance, "packets beyond the instance's packet rate"),
    ("bw_in_allowance_exceeded", Limit::BandwidthInAllowance, "packets beyond the instance's inbound bandwidth"),
    ("bw_out_allowance_exceeded", Limit::BandwidthOutAllowance, "packets beyond the instance's outbound bandwidth"),
    (
        "conntrack_allowance_exceeded",
        Limit::ConntrackAllowance,
        "packets beyond the connections that the instance tracks: let the security groups not track",
    ),
    ("linklocal_allowance_exceeded", Limit::LinkLocalAllowance, "packets beyond the rate to link-local services"),
];

/// What stands in the way, by a measurement's points and answer. None where nothing broke and the source was not at its
/// end, or where the gateway was not read.
pub fn binding(points: &[Point], answer: &Answer) -> Option<Binding> {
    let held = points.iter().rfind(|point| point.calls == answer.held && point.verdict == Verdict::Holds);
    if answer.ended == Ended::Source {
        return Some(source_binds(points, held));
    }
    let broke = points
        .iter()
        .filter(|point| point.verdict == Verdict::Breaks && point.calls > answer.held)
        .min_by_key(|point| point.calls)?;
    if let Some(set_up) = &broke.set_up {
        return Some(signalling_binds(broke, set_up));
    }
    if broke.breaches == [Breach::SetUp] {
        let refused = broke.traffic.calls_failed;
        let evidence = vec![evidence("calls_failed", refused as f64, "calls that were not set up")];
        return Some(Binding {
            limit: Limit::Configuration,
            summary: format!("{refused} calls were refused while media was fine: limits.max_calls or the port range."),
            evidence,
        });
    }
    let gateway = broke.gateway.as_ref()?;
    let found = overflow(gateway).or_else(|| memory_is_full(gateway)).or_else(|| cycles(gateway));
    let found = found.or_else(|| stops(broke));
    let mut binding = found.unwrap_or_else(|| unknown(broke, gateway));
    binding.evidence.extend(gateway.memory.map(memory_evidence));
    if let Some(held) = held.and_then(|held| held.gateway.as_ref()?.busiest()) {
        let meaning = "the busiest core's share of time with work, at the number that held";
        binding.evidence.push(evidence("busiest core when it held", held, meaning));
    }
    Some(binding)
}

/// What stands in the way of more calls per second.
fn signalling_binds(broke: &Point, set_up: &SetUp) -> Binding {
    let mut found = Vec::new();
    if let Some(busy) = set_up.control_busy {
        let meaning =
            "the share of one core that the busiest of the gateway's threads took, workers left out, when it broke";
        found.push(evidence("call thread busy", busy, meaning));
    }
    for failure in &set_up.failures {
        found.push(evidence(failure.name.clone(), failure.count as f64, "calls that failed so"));
    }
    if let Some(after) = &set_up.answered_after {
        found.push(evidence("answered after, p99", after.p99_us, "microseconds from an INVITE to its 200"));
    }
    if set_up.repeated > 0 {
        found.push(evidence("sent again", set_up.repeated as f64, "SIP messages, by the source or the gateway"));
    }
    let refused = set_up.failures.iter().filter(|failure| failure.name.starts_with("503")).map(|failure| failure.count);
    let refused: u64 = refused.sum();
    let source = broke.source.busy.filter(|_| set_up.shares_core);
    if let Some(busy) = source {
        found.push(evidence("source busy", busy, "its share of the core that it has with the gateway's threads"));
    }
    let percent = |share: f64| (100.0 * share).round();
    let (limit, summary) = match (set_up.control_busy, source) {
        (Some(busy), _) if busy >= FULL => {
            (Limit::CallThread, format!("The thread that handles calls takes {} % of a core.", percent(busy)))
        }
        (Some(busy), Some(source)) if busy + source >= FULL => {
            let (busy, source) = (percent(busy), percent(source));
            let text = format!(
                "The thread that handles calls ({busy} %) and the source ({source} %) have one core between them, and it is full: \
                 a machine with more cores, or a source on another one, shows more."
            );
            (Limit::CallThread, text)
        }
        _ if refused > 0 => {
            let text = format!(
                "{refused} of {} calls were refused with 503: limits.max_calls, limits.max_transactions or the port range.",
                broke.traffic.calls_up + broke.traffic.calls_failed
            );
            (Limit::Configuration, text)
        }
        (Some(_), _) => {
            let text = "The thread that handles calls had time: the network between, the disk under records, or others on its core.";
            (Limit::Unknown, text.to_owned())
        }
        (None, _) => (Limit::Unknown, "How busy the gateway's threads are was not read.".to_owned()),
    };
    Binding { limit, summary, evidence: found }
}

impl Measurement {
    /// Fills in what binds, from the points and the answer; and where that is the source, an estimate of what the gateway
    /// could carry with a stronger one.
    pub fn find_binding(&mut self) {
        self.binding = binding(&self.points, &self.answer);
        self.answer.extrapolation = extrapolation(&self.points, &self.answer);
    }
}

/// By arithmetic alone: as many times what held as its load goes into a full core. A core that is nearly idle works in
/// bursts of one packet, which cost more each than those of a full one, so the estimate errs downwards.
fn extrapolation(points: &[Point], answer: &Answer) -> Option<Extrapolation> {
    if answer.ended != Ended::Source || answer.held == 0 {
        return None;
    }
    let held = points.iter().filter(|point| point.calls == answer.held && point.verdict == Verdict::Holds);
    let utilisation = held.filter_map(|point| point.gateway.as_ref()?.busiest()).max_by(f64::total_cmp)?;
    let calls = (answer.held as f64 / utilisation).floor();
    (utilisation > 0.0).then_some(Extrapolation { calls: calls as u64, utilisation })
}

fn evidence(what: impl Into<String>, value: f64, meaning: impl Into<String>) -> Evidence {
    Evidence { what: what.into(), value, meaning: meaning.into() }
}

fn source_binds(points: &[Point], held: Option<&Point>) -> Binding {
    let mut found = Vec::new();
    let busy = held.and_then(|held| held.source.busy);
    if let Some(busy) = busy {
        found.push(evidence("source busy", busy, "its share of time with work, at the number that held"));
    }
    let stopped = |point: &Point| Some(point.stops.as_ref()?.source_ms / (1e3 * point.seconds));
    let void = || points.iter().filter(|point| point.verdict == Verdict::Void && point.seconds > 0.0);
    let stopped = void().filter_map(stopped).max_by(f64::total_cmp).unwrap_or(0.0);
    if stopped > 0.0 {
        let meaning = "the share of time in which something else had its core, in the void run with the most of it";
        found.push(evidence("source stopped", stopped, meaning));
    }
    let mut numbers: Vec<u64> = void().map(|point| point.calls).collect();
    numbers.sort_unstable();
    numbers.dedup();
    for calls in numbers {
        let because: Vec<&String> =
            void().filter(|point| point.calls == calls).filter_map(|point| point.void_because.as_ref()).collect();
        let (Some(last), runs) = (because.last(), because.len()) else { continue };
        let meaning = match runs {
            1 => format!("one with that many: {last}"),
            _ => format!("{runs} with that many, the last: {last}"),
        };
        found.push(evidence("void runs", calls as f64, meaning));
    }
    if let Some(busy) = held.and_then(|held| held.gateway.as_ref()?.busiest()) {
        found.push(evidence("gateway busy", busy, "the busiest worker's share of time with work there"));
    }
    let summary = match busy {
        Some(busy) if busy < HAS_TIME && stopped > 0.001 => format!(
            "The source was {:.0} % busy and late all the same: something else takes its core. The gateway's own edge lies higher. Measure \
             where nothing else runs.",
            100.0 * busy
        ),
        _ => "The source cannot drive more; the gateway's own edge lies higher. Give the source more cores.".to_owned(),
    };
    Binding { limit: Limit::Source, summary, evidence: found }
}

/// Something that overflowed, other than what a full core makes overflow.
fn overflow(gateway: &GatewayReading) -> Option<Binding> {
    for (counter, limit, meaning) in ALLOWANCES {
        let count = gateway.port_count(counter);
        if count > 0 {
            let summary = format!("The instance, not the gateway: {count} {meaning}.");
            return Some(Binding { limit, summary, evidence: vec![evidence(counter, count as f64, meaning)] });
        }
    }
    let busiest = gateway.busiest().unwrap_or(0.0);
    let buffers = gateway.port_count("rx_no_mbuf") + gateway.drops("buffer_exhausted");
    if buffers > 0 {
        let summary = "Packet buffers have run out: raise dpdk.packet_buffers.".to_owned();
        let meaning = "packets for which there was no buffer";
        let evidence = vec![evidence("rx_no_mbuf + buffer_exhausted", buffers as f64, meaning)];
        return Some(Binding { limit: Limit::PacketBuffers, summary, evidence });
    }
    if busiest >= FULL {
        return None;
    }
    let queues = [
        (
            "handover_full",
            Limit::HandoverRing,
            gateway.drops("handover_full"),
            "packets for another worker's full ring",
        ),
        (
            "transmit_queue_full",
            Limit::TransmitQueue,
            gateway.drops("transmit_queue_full"),
            "packets that the device did not take",
        ),
        (
            "rx_missed",
            Limit::ReceiveQueue,
            gateway.port_count("rx_missed"),
            "packets that found the receive queue full",
        ),
    ];
    let (name, limit, count, meaning) = queues.into_iter().find(|(_, _, count, _)| *count > 0)?;
    let advice = match limit {
        Limit::ReceiveQueue => " Bursts are longer than the queue: raise ports[].rx_descriptors.",
        Limit::TransmitQueue => " Raise ports[].tx_descriptors, or the port is at its rate.",
        _ => " Let the NIC spread flows as they are owned, or use more queues.",
    };
    let mut found = vec![evidence(name, count as f64, meaning)];
    if busiest < HAS_TIME {
        found.push(evidence("busiest core", busiest, "the cores had time"));
    }
    Some(Binding {
        limit,
        summary: format!("{count} {meaning}, while the busiest core had time.{advice}"),
        evidence: found,
    })
}

fn memory_evidence(memory: MemoryTraffic) -> Evidence {
    match memory.of_most {
        Some(share) => {
            evidence("memory traffic", share, "what all cores moved to and from memory, of what they can read together")
        }
        None => evidence("memory traffic", memory.gb_s, "gigabytes per second that all cores moved to and from memory"),
    }
}

/// Memory that gives no more.
fn memory_is_full(gateway: &GatewayReading) -> Option<Binding> {
    let memory = gateway.memory?;
    let share = memory.of_most.filter(|share| *share >= MEMORY_FULL)?;
    let summary = format!(
        "Memory: {:.1} GB/s went to and from it, {:.0} % of what all cores together can read. More cores would wait as well; faster memory, more channels or \
         calls spread over sockets would help.",
        memory.gb_s,
        100.0 * share
    );
    Some(Binding { limit: Limit::MemoryBandwidth, summary, evidence: Vec::new() })
}

/// A core without time left.
fn cycles(gateway: &GatewayReading) -> Option<Binding> {
    let full = gateway.cores.iter().max_by(|a, b| a.busy.total_cmp(&b.busy)).filter(|core| core.busy >= FULL)?;
    let mean = gateway.cores.iter().map(|core| core.busy).sum::<f64>() / gateway.cores.len() as f64;
    let percent = (100.0 * full.busy).round();
    let mut found = vec![evidence(
        format!("worker {} busy", full.worker),
        full.busy,
        "its share of time in rounds that found work",
    )];
    let costliest = full.stages.iter().max_by(|a, b| a.share.total_cmp(&b.share));
    for stage in &full.stages {
        found.push(evidence(format!("stage {}", stage.stage), stage.share, "its share of that time"));
    }
    let missed = gateway.port_count("rx_missed");
    if missed > 0 {
        found.push(evidence("rx_missed", missed as f64, "packets that found the receive queue full, as the core was"));
    }
    if full.batches > 0 {
        found.push(evidence("frames in a batch", full.batch_fill, "codec lanes that are filled together on average"));
    }
    let where_to = costliest
        .map(|stage| format!(", most of it ({:.0} %) in {}", 100.0 * stage.share, stage.stage))
        .unwrap_or_default();
    let (limit, summary) = if gateway.cores.len() > 1 && mean < IDLE_OTHERS {
        found.push(evidence("mean over workers", mean, "the others had time"));
        let text = format!(
            "Worker {} is {percent} % busy while the mean is {:.0} %: one hot queue.",
            full.worker,
            100.0 * mean
        );
        (Limit::HotCore, text)
    } else if lanes_are_empty(full) {
        let text = format!(
            "Worker {} is {percent} % busy, mostly in codec batches of {:.1} frames: lanes run empty.",
            full.worker, full.batch_fill
        );
        (Limit::LaneFill, text)
    } else {
        (Limit::CoreCycles, format!("Worker {} is {percent} % busy{where_to}.", full.worker))
    };
    Some(Binding { limit, summary, evidence: found })
}

/// Codecs take most of the time, in batches that do not fill a quarter of the lanes.
fn lanes_are_empty(core: &Core) -> bool {
    let codecs = core.stages.iter().find(|stage| stage.stage == "codec").map_or(0.0, |stage| stage.share);
    core.batches > 0 && codecs > 0.5 && core.batch_fill < LANES / 4.0
}

/// What was lost, or late, because something else had a core.
fn stops(broke: &Point) -> Option<Binding> {
    let stops = broke.stops.as_ref()?;
    let (lost, of, longest) = (stops.lost, broke.traffic.lost, stops.longest_ms);
    let (explains, what, advice) = if broke.breaches.contains(&Breach::Loss) {
        let what = format!("{lost} of {of} lost packets had left while something else had a core");
        let advice = "Deeper queues (ports[].rx_descriptors, socket buffers) hold what comes meanwhile; cores of their own lose none";
        (2 * lost > of, what, advice)
    } else {
        let whole = broke.latency.as_ref().map_or(0.0, |latency| latency.p99_9_us);
        let is_fast = stops.p99_9_without_us.is_some_and(|without| 2.0 * without < whole);
        let what = "Packets were late after something else had had a core".to_owned();
        (broke.breaches == [Breach::Latency] && is_fast, what, "Cores of their own have no stops")
    };
    let mut found = vec![
        evidence("longest stop", longest, "milliseconds in which something else had a core"),
        evidence("lost in stops", lost as f64, "lost packets that had left then"),
    ];
    found.extend(stops.p99_9_without_us.map(|us| evidence("p99.9 without stops", us, "microseconds")));
    let summary = format!("{what}, {longest:.1} ms at a stretch at most. {advice}.");
    explains.then_some(Binding { limit: Limit::Stops, summary, evidence: found })
}

fn unknown(broke: &Point, gateway: &GatewayReading) -> Binding {
    let mut found = vec![evidence(
        "busiest core",
        gateway.busiest().unwrap_or(0.0),
        "its share of time in rounds that found work, when it broke",
    )];
    for drop in gateway.cores.iter().flat_map(|core| &core.drops) {
        found.push(evidence(
            format!("drop {}", drop.name),
            drop.count as f64,
            "packets dropped by the gateway under that reason",
        ));
    }
    let what = match broke.traffic.lost {
        0 => "No packet was lost, but some took too long or were wrong".to_owned(),
        lost => format!("{lost} of {} packets were lost", broke.traffic.expected),
    };
    let elsewhere = match gateway.memory {
        Some(_) => "a neighbour on the machine",
        None => "a neighbour on the machine, or memory bandwidth, which this machine does not tell",
    };
    let summary = format!("{what}, and the gateway's counters do not say why: the network between, {elsewhere}.");
    Binding { limit: Limit::Unknown, summary, evidence: found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Count, StageTime, Stops, sample};

    /// What binds when the lowest run that broke read this.
    fn binds(change: impl Fn(&mut GatewayReading)) -> Binding {
        let mut measurement = sample::measurement("m", 1000);
        for point in measurement.points.iter_mut().filter(|point| point.calls == 1030) {
            change(point.gateway.as_mut().unwrap());
        }
        binding(&measurement.points, &measurement.answer).unwrap()
    }

    fn port(name: &str) -> Vec<Count> {
        vec![Count { name: name.to_owned(), count: 7 }]
    }

    #[test]
    fn a_full_core_is_told_with_its_costliest_stage() {
        let found = binds(|_| ());
        assert_eq!(found.limit, Limit::CoreCycles);
        assert_eq!(found.summary, "Worker 0 is 100 % busy, most of it (75 %) in codec.");
        assert!(found.evidence.iter().any(|evidence| evidence.what == "stage send"));
    }

    #[test]
    fn each_allowance_is_told_before_anything_else() {
        for (counter, limit, _) in ALLOWANCES {
            assert_eq!(binds(|gateway| gateway.port = port(counter)).limit, limit);
        }
    }

    #[test]
    fn a_full_core_explains_what_the_queue_before_it_missed() {
        let found = binds(|gateway| gateway.port = port("rx_missed"));
        assert_eq!(found.limit, Limit::CoreCycles);
        assert!(found.evidence.iter().any(|evidence| evidence.what == "rx_missed" && evidence.value == 7.0));
    }

    #[test]
    fn queues_and_rings_that_overflow_while_cores_have_time_bind() {
        let idle = |gateway: &mut GatewayReading| gateway.cores[0].busy = 0.4;
        let with_port = |name: &'static str| {
            binds(move |gateway| {
                idle(gateway);
                gateway.port = port(name);
            })
        };
        let with_drop = |name: &'static str| {
            binds(move |gateway| {
                idle(gateway);
                gateway.cores[0].drops = port(name);
            })
        };
        assert_eq!(with_port("rx_missed").limit, Limit::ReceiveQueue);
        assert_eq!(with_port("rx_no_mbuf").limit, Limit::PacketBuffers);
        assert_eq!(with_drop("transmit_queue_full").limit, Limit::TransmitQueue);
        assert_eq!(with_drop("handover_full").limit, Limit::HandoverRing);
        assert_eq!(with_drop("no_flow").limit, Limit::Unknown);
    }

    #[test]
    fn what_was_lost_while_something_else_had_a_core_is_told_where_the_cores_had_time() {
        let with = |busy, lost| {
            let mut measurement = sample::measurement("m", 1000);
            for point in measurement.points.iter_mut().filter(|point| point.calls == 1030) {
                point.gateway.as_mut().unwrap().cores[0].busy = busy;
                point.traffic.lost = 100;
                point.stops = Some(Stops { lost, longest_ms: 9.5, ..Stops::default() });
            }
            binding(&measurement.points, &measurement.answer).unwrap()
        };
        let found = with(0.2, 97);
        assert_eq!(found.limit, Limit::Stops);
        let told = "97 of 100 lost packets had left while something else had a core, 9.5 ms at a stretch at most.";
        assert!(found.summary.starts_with(told), "{}", found.summary);
        assert_eq!((with(0.2, 50).limit, with(0.99, 97).limit), (Limit::Unknown, Limit::CoreCycles));
    }

    #[test]
    fn memory_at_its_end_is_told_before_the_cores_that_wait_for_it() {
        let with = |of_most| binds(move |gateway| gateway.memory = Some(MemoryTraffic { gb_s: 41.0, of_most }));
        let full = with(Some(0.86));
        assert_eq!(full.limit, Limit::MemoryBandwidth);
        assert!(full.summary.starts_with("Memory: 41.0 GB/s went to and from it, 86 %"), "{}", full.summary);
        for (of_most, value) in [(Some(0.5), 0.5), (None, 41.0)] {
            let found = with(of_most);
            assert_eq!(found.limit, Limit::CoreCycles);
            let told = found.evidence.iter().find(|evidence| evidence.what == "memory traffic");
            assert_eq!(told.map(|evidence| evidence.value), Some(value));
        }
    }

    #[test]
    fn one_full_core_among_idle_ones_is_hot() {
        let found = binds(|gateway| {
            let idle = Core { worker: 1, busy: 0.1, ..gateway.cores[0].clone() };
            gateway.cores.extend([idle.clone(), idle]);
        });
        assert_eq!(found.limit, Limit::HotCore);
    }

    #[test]
    fn batches_of_one_frame_waste_lanes() {
        let found = binds(|gateway| {
            gateway.cores[0].batches = 1000;
            gateway.cores[0].batch_fill = 1.5;
            gateway.cores[0].stages = vec![StageTime { stage: "codec".to_owned(), share: 0.8 }];
        });
        assert_eq!(found.limit, Limit::LaneFill);
    }

    #[test]
    fn refused_calls_with_good_media_are_the_configurations() {
        let mut measurement = sample::measurement("m", 1000);
        for point in measurement.points.iter_mut().filter(|point| point.verdict == Verdict::Breaks) {
            point.breaches = vec![Breach::SetUp];
            point.traffic.calls_failed = 30;
        }
        measurement.find_binding();
        assert_eq!(measurement.binding.map(|binding| binding.limit), Some(Limit::Configuration));
    }

    #[test]
    fn calls_per_second_are_bound_by_the_thread_that_handles_them_or_by_what_refuses_them() {
        let binds = |change: fn(&mut SetUp)| {
            let mut rate = sample::rate("g711", 1000);
            let broken = rate.points.iter_mut().filter(|point| point.verdict == Verdict::Breaks);
            broken.for_each(|point| change(point.set_up.as_mut().unwrap()));
            rate.find_binding();
            rate.binding.unwrap()
        };
        let full = binds(|set_up| set_up.control_busy = Some(0.97));
        assert_eq!(full.limit, Limit::CallThread);
        assert_eq!(full.summary, "The thread that handles calls takes 97 % of a core.");
        let refused =
            binds(|set_up| set_up.failures = vec![Count { name: "503 Service Unavailable".to_owned(), count: 7 }]);
        assert_eq!(refused.limit, Limit::Configuration);
        assert!(refused.evidence.iter().any(|evidence| evidence.what.starts_with("503") && evidence.value == 7.0));
        // The sample's source takes 40 %.
        let shared = binds(|set_up| set_up.shares_core = true);
        assert_eq!(shared.limit, Limit::CallThread);
        assert!(shared.summary.contains("(50 %) and the source (40 %) have one core"), "{}", shared.summary);
        assert_eq!(binds(|_| ()).limit, Limit::Unknown);
        assert_eq!(binds(|set_up| set_up.control_busy = None).limit, Limit::Unknown);
    }

    #[test]
    fn a_source_at_its_end_is_told_as_such() {
        let mut measurement = sample::measurement("m", 1000);
        measurement.answer.ended = Ended::Source;
        measurement.points[2].verdict = Verdict::Void;
        measurement.points[2].void_because = Some("late".to_owned());
        measurement.find_binding();
        let found = measurement.binding.unwrap();
        assert_eq!(found.limit, Limit::Source);
        // The sample's core is full at what held, so there is nothing beyond.
        assert_eq!(measurement.answer.extrapolation, Some(Extrapolation { calls: 1000, utilisation: 1.0 }));
        assert!(found.evidence.iter().any(|evidence| evidence.meaning.contains("late")));
    }

    #[test]
    fn a_source_that_is_late_without_being_busy_is_told_what_has_its_core() {
        let mut measurement = sample::measurement("m", 1000);
        measurement.answer.ended = Ended::Source;
        for point in measurement.points.iter_mut().filter(|point| point.calls > 1000) {
            point.verdict = Verdict::Void;
            point.void_because = Some("late".to_owned());
            point.stops = Some(crate::report::Stops { source_ms: 300.0, ..Default::default() });
        }
        measurement.find_binding();
        let found = measurement.binding.unwrap();
        assert!(found.summary.starts_with("The source was 40 % busy and late all the same"), "{}", found.summary);
        let voids = found.evidence.iter().filter(|evidence| evidence.what == "void runs");
        assert_eq!(
            voids.map(|evidence| evidence.value).collect::<Vec<_>>(),
            [1030.0, 2000.0],
            "a line for each number"
        );
    }

    #[test]
    fn beyond_the_sources_end_is_estimated_from_the_busiest_core_and_only_there() {
        let mut measurement = sample::measurement("m", 1000);
        measurement.find_binding();
        assert_eq!(measurement.answer.extrapolation, None, "the gateway's own edge was found");
        measurement.answer.ended = Ended::Source;
        for point in measurement.points.iter_mut().filter(|point| point.calls == 1000) {
            point.gateway.as_mut().unwrap().cores[0].busy = 0.4;
        }
        measurement.find_binding();
        assert_eq!(measurement.answer.extrapolation, Some(Extrapolation { calls: 2500, utilisation: 0.4 }));
        measurement.points.iter_mut().for_each(|point| point.gateway = None);
        measurement.find_binding();
        assert_eq!(measurement.answer.extrapolation, None, "a gateway that was not read");
    }

    #[test]
    fn where_nothing_broke_nothing_binds() {
        let mut measurement = sample::measurement("m", 1000);
        measurement.points.retain(|point| point.verdict == Verdict::Holds);
        assert_eq!(binding(&measurement.points, &measurement.answer), None);
    }
}
