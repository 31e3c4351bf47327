//! The page of one report.

mod charts;

use std::fmt::Write as _;

use super::{document, duration, escape, facts, micros, short, whole};
use crate::report::{
    Answer, Binding, Breach, Ended, Limit, Machine, Measurement, Mix, Point, Quantity, Report, ServiceLevel, Status,
    Step, Verdict,
};

/// The page of a report.
pub fn report_page(report: &Report) -> String {
    let machine = machine_name(&report.machine);
    let aside = format!("{machine} · {} · {}", day(&report.made.at), gateway_name(report));
    let mut body = String::new();
    if report.made.interrupted {
        body += "<p class=\"warn\">This run was interrupted. What had been measured is here; ranges are as wide as that leaves them.</p>\n";
    }
    if report.gateway.debug_burn_ns > 0 {
        let _ = writeln!(
            body,
            "<p class=\"warn\">The gateway was made slower on purpose: {} ns for each frame received.</p>",
            report.gateway.debug_burn_ns
        );
    }
    for measurement in &report.measurements {
        body += &section(measurement);
    }
    body += &about(report);
    document("How many calls", &aside, &body)
}

/// What a machine is called on a page.
pub(crate) fn machine_name(machine: &Machine) -> String {
    let kind = machine.instance.as_ref().map(|instance| instance.kind.clone());
    machine.name.clone().or(kind).unwrap_or_else(|| machine.cpu.model.clone())
}

/// The gateway that was measured, ours or another.
fn gateway_name(report: &Report) -> String {
    let version = &report.gateway.version;
    if report.source.set_up == "ng" { version.clone() } else { format!("tandem {version}") }
}

/// The day of a time in RFC 3339.
pub(crate) fn day(at: &str) -> &str {
    at.get(..10).unwrap_or(at)
}

/// The traffic of a call, for people.
pub(crate) fn mix_text(mix: &Mix) -> String {
    let pairs = mix.codecs.iter().map(|codecs| {
        let leg = |codec: &str, suite: &Option<String>| match suite {
            Some(suite) => format!("{codec} ({suite})"),
            None => codec.to_owned(),
        };
        let [a, b] = [leg(&codecs.a, &codecs.suites[0]), leg(&codecs.b, &codecs.suites[1])];
        let pair = if a == b { format!("{a} relayed") } else { format!("{a} ↔ {b}") };
        if codecs.share < 1.0 { format!("{} % {pair}", short(100.0 * codecs.share)) } else { pair }
    });
    let mut text = pairs.collect::<Vec<_>>().join(", ");
    let _ = write!(text, ", {} ms packets", mix.packet_time_ms);
    if mix.srtp {
        text += ", SRTP";
    }
    if mix.dtx > 0.0 {
        let _ = write!(text, ", {} % silence not sent", short(100.0 * mix.dtx));
    }
    if mix.loss > 0.0 {
        let _ = write!(text, ", {} % of packets left out", short(100.0 * mix.loss));
        if mix.loss_burst > 1.0 {
            let _ = write!(text, ", {} in a row", short(mix.loss_burst));
        }
    }
    if mix.jitter_ms > 0.0 {
        let _ = write!(text, ", jitter {} ms", short(mix.jitter_ms));
    }
    if mix.bursts > 0 {
        let _ = write!(text, ", all calls in {} moments of a packet time", mix.bursts);
    }
    text
}

pub(crate) fn level_text(level: &ServiceLevel, quantity: Quantity) -> String {
    if quantity == Quantity::CallsPerSecond {
        let none = |ppm: f64, nothing: &str, what: &str| match ppm {
            0.0 => nothing.to_owned(),
            some => format!("at most {} of a million {what}", short(some)),
        };
        return format!(
            "{}, {}, p99 from INVITE to 200 ≤ {}, for {} s",
            none(level.max_failed_ppm, "no call failed", "calls failed"),
            none(level.max_repeated_ppm, "no message sent again", "messages sent again"),
            micros(level.max_set_up_p99_us),
            short(level.hold_s)
        );
    }
    let loss = if level.max_lost_ppm == 0.0 {
        "no packet lost".to_owned()
    } else {
        format!("at most {} packets of a million lost", short(level.max_lost_ppm))
    };
    let audio = if level.audio_right { ", every call's audio right" } else { "" };
    let stops = if level.discount_stops { " (without stops of the cores)" } else { "" };
    format!("{loss}, p99.9 latency ≤ {}{stops}{audio}, for {} s", micros(level.max_p99_9_us), short(level.hold_s))
}

/// What an answer means, in a sentence.
pub(crate) fn answer_text(answer: &Answer) -> String {
    let held = whole(answer.held);
    let mut text = match (answer.status, answer.range) {
        (Status::Found, Some(range)) => format!(
            "{held} held in {} of {} full runs at that number. The edge, where a run holds or breaks with even odds, lies between {} and {} ({} % sure).",
            answer.held_runs,
            answer.held_runs,
            whole(range.low),
            whole(range.high),
            short(100.0 * range.confidence)
        ),
        (Status::Found | Status::AtLeast, _) => format!("{held} held, and nothing above it was seen to break."),
        (Status::NothingHeld, _) => "Not even one call held the service level.".to_owned(),
        (Status::Undetermined, _) => "Too little was measured to say anything.".to_owned(),
    };
    text += match answer.ended {
        Ended::Source => " The source, not the gateway, was at its end.",
        Ended::Maximum => " More was not to be tried.",
        Ended::Budget => " The search ended at its budget of runs; more of them would narrow the range.",
        Ended::Interrupted => " The search was interrupted.",
        Ended::Resolved => "",
    };
    text
}

pub(crate) fn limit_text(limit: Limit) -> &'static str {
    match limit {
        Limit::CoreCycles => "Cycles of a core",
        Limit::HotCore => "One hot core",
        Limit::LaneFill => "Empty codec lanes",
        Limit::ReceiveQueue => "The receive queue",
        Limit::TransmitQueue => "The transmit queue",
        Limit::PacketBuffers => "Packet buffers",
        Limit::HandoverRing => "A ring between workers",
        Limit::PacketAllowance => "The instance's packet rate",
        Limit::BandwidthInAllowance => "The instance's inbound bandwidth",
        Limit::BandwidthOutAllowance => "The instance's outbound bandwidth",
        Limit::ConntrackAllowance => "Connection tracking of the instance",
        Limit::LinkLocalAllowance => "Link-local packets of the instance",
        Limit::Configuration => "The gateway's configuration",
        Limit::MemoryBandwidth => "What memory can move",
        Limit::CallThread => "The thread that handles calls",
        Limit::Source => "The traffic source",
        Limit::Stops => "Something else on the cores",
        Limit::Unknown => "Nothing that was read explains it",
    }
}

fn section(measurement: &Measurement) -> String {
    let answer = &measurement.answer;
    let mut html = format!(
        "<section>\n<h2>{}</h2>\n<p class=\"soft\" style=\"margin:0 0 14px\">{}</p>\n",
        escape(&measurement.name),
        escape(&mix_text(&measurement.mix))
    );
    let at_least = if answer.status == Status::AtLeast { "≥&thinsp;" } else { "" };
    let chip = match answer.status {
        Status::Found => "<span class=\"chip holds\">measured</span>",
        Status::AtLeast => "<span class=\"chip a\">at least</span>",
        Status::NothingHeld => "<span class=\"chip breaks\">nothing held</span>",
        Status::Undetermined => "<span class=\"chip void\">undetermined</span>",
    };
    let _ = write!(
        html,
        "<div class=\"card hero\"><div>{chip}<div class=\"big\">{at_least}{}<small>{}</small></div><p style=\"margin:0\">{}</p>",
        whole(answer.held),
        measurement.quantity.name(),
        escape(&answer_text(answer)),
    );
    let _ = write!(
        html,
        "<p class=\"soft\" style=\"margin:10px 0 0\">Held: {}.</p>",
        escape(&level_text(&measurement.level, measurement.quantity))
    );
    if let Some(extrapolation) = answer.extrapolation {
        let _ = write!(
            html,
            "<p class=\"warn\">By arithmetic alone about {}: the busiest core was {} % busy at {}. Nobody measured that.</p>",
            whole(extrapolation.calls),
            short(100.0 * extrapolation.utilisation),
            whole(answer.held)
        );
    }
    if let Some(stops) = measurement.stops_text() {
        let _ = write!(html, "<p class=\"soft\" style=\"margin:10px 0 0\">{}</p>", escape(&stops));
    }
    html += "</div><div>";
    html += &charts::search(measurement);
    html += "</div></div>\n<div class=\"grid\">\n";
    html += &charts::latency(measurement);
    if measurement.quantity == Quantity::ConcurrentCalls {
        html += &charts::loss(measurement);
    }
    html += &charts::histogram(measurement);
    html += &charts::set_up(measurement);
    html += &charts::stages(measurement);
    html += &charts::cores(measurement);
    if let Some(binding) = &measurement.binding {
        html += &binding_card(binding);
    }
    html += "</div>\n<div class=\"card\" style=\"margin-top:16px\">";
    html += &every_point(measurement);
    html + "</div>\n</section>\n"
}

fn binding_card(binding: &Binding) -> String {
    let mut html = format!(
        "<div class=\"card wide\"><h3>What stands in the way<small>{}</small></h3><p style=\"margin:0\">{}</p><ul class=\"evidence\">",
        limit_text(binding.limit),
        escape(&binding.summary)
    );
    for evidence in &binding.evidence {
        let _ = write!(
            html,
            "<li><code>{}</code> {} <span class=\"soft\">{}</span></li>",
            escape(&evidence.what),
            short(evidence.value),
            escape(&evidence.meaning)
        );
    }
    html + "</ul></div>\n"
}

fn every_point(measurement: &Measurement) -> String {
    let mut html = format!(
        "<details><summary>Every run ({})</summary><div class=\"scroll\"><table><thead><tr>",
        measurement.points.len() + usize::from(measurement.half_load.is_some())
    );
    for head in ["at", "step"] {
        let _ = write!(html, "<th class=\"left\">{head}</th>");
    }
    let heads = match measurement.quantity {
        Quantity::ConcurrentCalls => [
            "calls",
            "seconds",
            "sent",
            "lost",
            "audio wrong",
            "p50",
            "p99",
            "p99.9",
            "busiest core",
            "source busy",
            "cores stopped",
        ],
        Quantity::CallsPerSecond => [
            "calls/s",
            "seconds",
            "calls",
            "failed",
            "sent again",
            "p50",
            "p99",
            "p99.9",
            "call thread",
            "source busy",
            "cores stopped",
        ],
    };
    for head in heads {
        let _ = write!(html, "<th>{head}</th>");
    }
    html += "<th class=\"left\">verdict</th></tr></thead><tbody>\n";
    for point in measurement.points.iter().chain(&measurement.half_load) {
        html += &row(point);
    }
    html + "</tbody></table></div></details>"
}

fn row(point: &Point) -> String {
    let step = match point.step {
        Step::Ramp => "ramp",
        Step::Bisect => "bisect",
        Step::Edge => "edge",
        Step::HalfLoad => "half load",
    };
    let quantile =
        |of: fn(&crate::report::Latency) -> f64| point.delay().map_or("–".to_owned(), |delay| micros(of(delay)));
    let percent = |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{} %", short(100.0 * share)));
    let (class, verdict) = match point.verdict {
        Verdict::Holds => ("holds", "holds".to_owned()),
        Verdict::Breaks => ("breaks", format!("breaks: {}", breaches(&point.breaches))),
        Verdict::Void => ("void", format!("void: {}", point.void_because.clone().unwrap_or_default())),
    };
    let traffic = &point.traffic;
    let (counts, busiest) = match &point.set_up {
        Some(set_up) => {
            ([traffic.calls_up + traffic.calls_failed, traffic.calls_failed, set_up.repeated], set_up.control_busy)
        }
        None => {
            let busiest = point.gateway.as_ref().and_then(crate::report::GatewayReading::busiest);
            ([traffic.sent, traffic.lost, traffic.audio_wrong], busiest)
        }
    };
    let stopped = point.stops.as_ref().map_or("–".to_owned(), |stops| {
        let ms = stops.source_ms + stops.gateway_ms.unwrap_or(0.0);
        let without = stops.p99_9_without_us.map_or(String::new(), |us| format!(", p99.9 without {}", micros(us)));
        format!("{}{without}", micros(1e3 * ms))
    });
    let given_up = if point.given_up { ", given up" } else { "" };
    format!(
        "<tr><td class=\"left\">{}</td><td class=\"left\">{step}{given_up}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{stopped}</td><td class=\"left\"><span class=\"chip {class}\">{}</span></td></tr>\n",
        duration(point.at_s),
        whole(point.calls),
        short(point.seconds),
        whole(counts[0]),
        whole(counts[1]),
        whole(counts[2]),
        quantile(|l| l.p50_us),
        quantile(|l| l.p99_us),
        quantile(|l| l.p99_9_us),
        percent(busiest),
        percent(point.source.busy),
        escape(&verdict),
    )
}

/// What did not hold, for people.
pub(crate) fn breaches(breaches: &[Breach]) -> String {
    let names = breaches.iter().map(|breach| match breach {
        Breach::Loss => "loss",
        Breach::Latency => "latency",
        Breach::Audio => "audio",
        Breach::Backlog => "not taken in time",
        Breach::SetUp => "calls failed",
        Breach::SetUpDelay => "answered late",
        Breach::Repeated => "messages sent again",
    });
    names.collect::<Vec<_>>().join(", ")
}

fn about(report: &Report) -> String {
    let made = &report.made;
    let gateway = &report.gateway;
    let cores = |cores: &[u16]| cores.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let mut html =
        "<section><h2>How it was measured</h2><div class=\"grid\"><div class=\"card\"><h3>The machine</h3>".to_owned();
    html += &machine(&report.machine);
    if let Some(source) = &report.source_machine {
        html += "</div><div class=\"card\"><h3>The source's machine</h3>";
        html += &machine(source);
    }
    html += "</div><div class=\"card\"><h3>The run</h3>";
    html += &facts(&[
        ("Began", made.at.clone()),
        ("Took", duration(made.took_s)),
        (
            "Gateway",
            match gateway.cores.as_slice() {
                [] => gateway_name(report),
                own => format!("{}, worker cores {}", gateway_name(report), cores(own)),
            },
        ),
        ("Its port", gateway.device.clone()),
        ("Its codecs", gateway.codec_level.clone()),
        (
            "Source",
            format!(
                "tandem {}, core {}, calls set up over {}",
                made.program,
                cores(&report.source.cores),
                report.source.set_up
            ),
        ),
        ("Its port", report.source.device.clone()),
        ("Note", made.note.clone().unwrap_or_default()),
    ]);
    let _ = writeln!(
        html,
        "</div><div class=\"card wide\"><h3>The command</h3><code>{}</code></div></div></section>",
        escape(&made.command.join(" "))
    );
    html += "<footer>Latency is from the source and back, per packet, by the source's clock. The range says where the edge of this machine lay during this run; another day, another tenant beside it, another kernel may move it.</footer>\n";
    html
}

fn machine(machine: &Machine) -> String {
    let cpu = &machine.cpu;
    let pages = machine.huge_pages.iter().filter(|pages| pages.total > 0);
    let pages =
        pages.map(|pages| format!("{} of {} KiB", whole(pages.total), pages.size_kib)).collect::<Vec<_>>().join(", ");
    let nics = machine.nics.iter().map(|nic| format!("{} ({})", nic.name, nic.driver)).collect::<Vec<_>>().join(", ");
    facts(&[
        ("Name", machine.name.clone().unwrap_or_default()),
        ("Instance", machine.instance.as_ref().map_or(String::new(), |i| format!("{} in {}", i.kind, i.zone))),
        ("Processor", cpu.model.clone()),
        ("Logical cores", format!("{}, {} per physical core", cpu.logical, cpu.threads_per_core.max(1))),
        ("Frequency", cpu.mhz.map_or(String::new(), |mhz| format!("{} MHz", short(mhz)))),
        ("Governor", cpu.governor.clone().unwrap_or_else(|| "none: not the machine's to choose".to_owned())),
        ("Isolated cores", if cpu.isolated.is_empty() { "none".to_owned() } else { cpu.isolated.clone() }),
        ("Instruction sets", cpu.instruction_sets.join(", ")),
        ("Memory", format!("{} MiB", whole(machine.memory_mib))),
        ("Huge pages", if pages.is_empty() { "none".to_owned() } else { pages }),
        ("System", format!("{}, kernel {}", machine.os, machine.kernel)),
        ("Hypervisor", machine.hypervisor.clone().unwrap_or_default()),
        ("DPDK", machine.dpdk.clone().unwrap_or_default()),
        ("Network", nics),
        (
            "Memory bandwidth",
            match (machine.memory_gb_s, machine.memory_counters.as_slice()) {
                (Some(most), _) => format!("{} GB/s, read by all cores together", short(most)),
                (None, []) => "not read: the machine offers no counters of it".to_owned(),
                (None, counters) => {
                    format!("not read: mount /sys/fs/resctrl; the kernel has counters besides: {}", counters.join(", "))
                }
            },
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_page_needs_nothing_but_itself() {
        let page = report_page(&sample::report());
        for outside in ["http:", "https:", "src=", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains(">1,000<small>concurrent calls</small>"));
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    }

    #[test]
    fn calls_per_second_have_their_own_words() {
        let report = Report { measurements: vec![sample::rate("g711", 1000)], ..sample::report() };
        let page = report_page(&report);
        let added = ["Added to the set-up of a call", "<td>400 µs</td>", "<td class=\"left\">half load</td>"];
        let words = ["calls per second", "From INVITE to 200", "sent again", "p99 from INVITE to 200 ≤ 100 ms"];
        for there in words.into_iter().chain(added) {
            assert!(page.contains(there), "{there}");
        }
        assert!(!page.contains("packets lost of each million") && !page.contains("NaN"));
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    }

    #[test]
    fn what_a_report_says_cannot_become_markup() {
        let mut report = sample::report();
        report.made.command.push("<script>alert(1)</script>".to_owned());
        report.machine.cpu.model = "<b>".to_owned();
        report.measurements[0].name = "<i>".to_owned();
        report.measurements[0].points[0].gateway.as_mut().unwrap().cores[0].stages[0].stage = "<u>".to_owned();
        let page = report_page(&report);
        assert!(["<script", "<b>", "<i>", "<u>"].iter().all(|tag| !page.contains(tag)));
    }

    #[test]
    fn a_report_without_latency_gateway_or_answer_still_has_a_page() {
        let mut report = sample::report();
        for point in &mut report.measurements[0].points {
            point.latency = None;
            point.gateway = None;
            point.traffic.expected = 0;
            point.traffic.lost = 0;
        }
        report.measurements[0].answer.range = None;
        report.measurements[0].answer.status = Status::Undetermined;
        assert!(report_page(&report).contains("undetermined"));
        report.measurements[0].points.clear();
        let page = report_page(&report);
        assert!(page.contains("Every run (0)") && !page.contains("NaN") && !page.contains("inf"));
    }
}
