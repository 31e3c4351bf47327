//! A report as a run would write it, for tests.

use super::*;

/// A report of one mix with an edge at about 1,000 calls.
pub(crate) fn report() -> Report {
    Report {
        format: FORMAT.to_owned(),
        version: VERSION,
        made: Made {
            at: "2026-11-25T10:00:00Z".to_owned(),
            program: "0.1.0".to_owned(),
            command: ["tandem", "capacity", "--mix", "pcmu-g729"].map(str::to_owned).to_vec(),
            took_s: 612.5,
            interrupted: false,
            note: None,
        },
        machine: Machine {
            name: Some("bench".to_owned()),
            cpu: Cpu {
                model: "AMD EPYC 9R14".to_owned(),
                logical: 8,
                threads_per_core: 1,
                mhz: Some(2600.0),
                governor: None,
                isolated: "2-7".to_owned(),
                instruction_sets: vec!["avx2".to_owned(), "avx512bw".to_owned()],
            },
            memory_mib: 16_000,
            huge_pages: vec![HugePages { size_kib: 2048, total: 512 }],
            instance: Some(Instance { kind: "c7i.2xlarge".to_owned(), zone: "eu-central-1a".to_owned(), image: None }),
            ..Machine::default()
        },
        source_machine: None,
        gateway: Gateway {
            version: "0.1.0".to_owned(),
            cores: vec![1],
            device: "net_memif0".to_owned(),
            codec_level: "avx512".to_owned(),
            debug_burn_ns: 0,
        },
        source: Source { device: "net_memif0".to_owned(), cores: vec![0], set_up: "http".to_owned() },
        measurements: vec![measurement("g711-g729", 1000)],
    }
}

/// A mix whose edge lies just above `held` calls.
pub(crate) fn measurement(name: &str, held: u64) -> Measurement {
    let steps = [
        (held / 4, Step::Ramp, Verdict::Holds),
        (held / 2, Step::Ramp, Verdict::Holds),
        (held * 2, Step::Ramp, Verdict::Breaks),
        (held * 103 / 100, Step::Bisect, Verdict::Breaks),
        (held, Step::Edge, Verdict::Holds),
    ];
    let points = steps.iter().enumerate().map(|(nth, (calls, step, verdict))| {
        point(*calls, *step, *verdict, nth as f64 * 40.0, *calls as f64 / held as f64)
    });
    Measurement {
        name: name.to_owned(),
        quantity: Quantity::ConcurrentCalls,
        mix: Mix {
            codecs: vec![CodecShare { a: "PCMU".to_owned(), b: "G729".to_owned(), share: 1.0, suites: [None, None] }],
            packet_time_ms: 20,
            dtx: 0.0,
            srtp: false,
            loss: 0.0,
            jitter_ms: 0.0,
            loss_burst: 1.0,
            bursts: 0,
        },
        level: ServiceLevel::default(),
        points: points.collect(),
        answer: Answer {
            status: Status::Found,
            held,
            held_runs: 1,
            range: Some(Range { low: held, high: held * 103 / 100, confidence: 0.95 }),
            ended: Ended::Resolved,
            void_runs: 0,
            violations: Vec::new(),
            extrapolation: None,
        },
        binding: None,
        half_load: None,
    }
}

fn point(calls: u64, step: Step, verdict: Verdict, at_s: f64, load: f64) -> Point {
    let breaks = verdict == Verdict::Breaks;
    // Whole numbers, which JSON gives back to the last bit.
    let us = (4.0 * (1.0 + load * load)).round() * 20.0;
    let expected = calls * 100 * 30;
    let lost = if breaks { expected / 100 } else { 0 };
    let count = 1000;
    let stage = |stage: &str, share| StageTime { stage: stage.to_owned(), share };
    Point {
        calls,
        step,
        at_s,
        seconds: 30.0,
        verdict,
        breaches: if breaks { vec![Breach::Loss] } else { Vec::new() },
        void_because: None,
        traffic: Traffic {
            calls_up: calls,
            calls_failed: 0,
            sent: expected,
            expected,
            received: expected - lost,
            lost,
            audio_checked: calls,
            audio_wrong: 0,
        },
        latency: Some(Latency {
            count,
            p50_us: us,
            p90_us: us * 1.5,
            p99_us: us * 2.5,
            p99_9_us: us * 4.0,
            max_us: us * 6.0,
            histogram: vec![
                Bucket { from_us: us * 0.5, to_us: us, count: 500 },
                Bucket { from_us: us, to_us: us * 1.5, count: 420 },
                Bucket { from_us: us * 1.5, to_us: us * 3.0, count: 75 },
                Bucket { from_us: us * 3.0, to_us: us * 6.0, count: 5 },
            ],
        }),
        gateway: Some(GatewayReading {
            cores: vec![Core {
                worker: 0,
                busy: (load * 64.0).floor().min(64.0) / 64.0,
                stages: vec![stage("receive", 0.1), stage("codec", 0.75), stage("send", 0.15)],
                forwarded: expected - lost,
                batch_fill: 24.0,
                ..Core::default()
            }],
            port: Vec::new(),
            added_p99_9_us: Some(us * 2.0),
            memory: None,
        }),
        source: SourceReading { busy: Some(0.4), worst_lag_us: Some(30.0) },
        set_up: None,
        given_up: false,
        stops: None,
    }
}

/// Calls per second, with an edge just above `held`, where calls are answered too late.
pub(crate) fn rate(name: &str, held: u64) -> Measurement {
    let mut rate = Measurement { quantity: Quantity::CallsPerSecond, ..measurement(name, held) };
    for point in &mut rate.points {
        let calls = point.calls * 30;
        point.traffic = Traffic { calls_up: calls, ..Traffic::default() };
        let answered_after = point.latency.take();
        let added = answered_after.clone();
        point.set_up = Some(SetUp { answered_after, added, control_busy: Some(0.5), ..SetUp::default() });
        if point.verdict == Verdict::Breaks {
            point.breaches = vec![Breach::SetUpDelay];
        }
    }
    let half = rate.points.iter().find(|point| point.calls == held / 2).cloned();
    rate.half_load = half.map(|half| Point { step: Step::HalfLoad, at_s: 200.0, ..half });
    rate
}
