//! `tandem capacity` without a subcommand: a gateway, a source before it, one measurement after the other, a report.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use rustix::thread::{CpuSet, sched_getaffinity};
use tandem_capacity::page::report_page;
use tandem_capacity::report::{FORMAT, Gateway, Machine, Made, Measurement, Report, ServiceLevel, Source, VERSION};
use tandem_capacity::search::Plan;
use tandem_loadgen::{Impairments, LoadSpec, RateSpec};

use super::gauge::{Gauge, HttpGauge};
use super::measure::{Bench, EndedBy, Method, News, summary};
use super::mixes::NamedMix;
use super::own_gateway::{GATEWAY_ADDRESSES, OwnGateway, Wanted};
use super::point::Link;
use super::process_gauge::ProcessGauge;
use super::progress::Display;
use super::rate::{RateBench, RateMethod, SipSource};
use super::threads::Threads;
use super::{files, machine};
use crate::api::Api;
use crate::exit::Failure;
use crate::load::{self, SourceArgs};

/// Calls that the ports of one address have room for: 32,256 pairs, two to a call.
const CALLS_PER_ADDRESS: u32 = 16_128;

#[derive(Args)]
pub(super) struct MeasureArguments {
    /// A mix to measure; several are measured one after the other. One of relay, g711, g711-g729, g711-g722, g722-g729; or
    /// codecs such as `pcmu-g729@40`; or `NAME=3*pcmu-pcmu,pcmu-g729`, by weight; with +srtp or +gcm behind a codec SRTP, as in srtp-relay, srtp-g711, srtp-g711-g729
    /// and gcm-relay. The first five where none is given.
    #[arg(long = "mix", value_name = "MIX")]
    mixes: Vec<NamedMix>,
    /// A rough answer in a minute or two for each mix: runs of 3 s, a range of 10 %.
    #[arg(long)]
    quick: bool,
    /// Seconds that the service level has to hold for: 30, or 3 with --quick.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: Option<u32>,
    /// Packets that may be lost of each million.
    #[arg(long, value_name = "PPM", default_value_t = 0.0)]
    max_lost_ppm: f64,
    /// 99.9 of 100 packets must be back after so many milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 2.0)]
    max_p99_9_ms: f64,
    /// Judge latency, and whether the source was late, without what happened while something else had a core of the source or of the gateway
    /// (another thread, another virtual machine), and up to 20 times as long after. Time that they worked themselves always counts, and so
    /// does every lost packet. A run of which less than half is left is void.
    #[arg(long)]
    discount_stops: bool,
    /// Do not mind whether the audio is right.
    #[arg(long)]
    any_audio: bool,
    /// Calls to begin with, or calls per second; a guess far below what a core carries where none is given.
    #[arg(long, value_name = "CALLS")]
    first: Option<u64>,
    /// Calls that are tried at most.
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u64).range(1..=u64::from(LoadSpec::MAX_CALLS)))]
    most: Option<u64>,
    /// How narrow the range is to be, in per cent: 3, or 10 with --quick.
    #[arg(long, value_name = "PERCENT")]
    resolution: Option<f64>,
    /// Runs in which the number that is told must have held: 3, or 2 with --quick.
    #[arg(long, value_name = "RUNS")]
    repeats: Option<u32>,
    /// What to measure; both where neither this nor --mix is given. Calls per second are those of the first mix, set up over SIP: on the
    /// gateway that is started here, or on the one at --sip.
    #[arg(long = "quantity", value_enum)]
    quantities: Vec<Asked>,
    /// 99 of 100 calls must be answered after so many milliseconds, for calls per second.
    #[arg(long, value_name = "MS", default_value_t = 100.0)]
    max_set_up_ms: f64,
    /// SIP messages that may be sent again for each million calls, for calls per second.
    #[arg(long, value_name = "PPM", default_value_t = 0.0)]
    max_repeated_ppm: f64,
    /// Calls that may fail to be set up of each million.
    #[arg(long, value_name = "PPM", default_value_t = 0.0)]
    max_failed_ppm: f64,
    /// How long a call is up when calls per second are measured.
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    hold_ms: u32,
    /// Per cent of the time in which a speaker is silent and sends nothing.
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    silence_percent: u8,
    /// Per cent of packets that the source withholds, as a lossy network would.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    loss_percent: f64,
    /// Packets withheld in a row, on average.
    #[arg(long, value_name = "PACKETS", default_value_t = 1.0)]
    loss_burst: f64,
    /// Every packet leaves up to so many milliseconds after its time.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    jitter_ms: u8,
    /// All calls send in the same so many moments of a packet time; 0 spreads them evenly.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    bursts_per_packet_time: u8,
    /// Where speakers begin in their clips: the same seed sends the same packets.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The report; its page is written beside it, as .html. A name with the time where none is given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What to call this machine in the report.
    #[arg(long, value_name = "NAME")]
    machine_name: Option<String>,
    /// A sentence for the report.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    source: SourceArgs,
    /// The core of the gateway that is started where the source has neither --device nor --kernel; the last one if left out.
    #[arg(long, value_name = "CORE", conflicts_with_all = ["device", "kernel"])]
    gateway_core: Option<u16>,
    /// The instruction set that its codecs run on: auto, scalar, avx2, avx512, avx512-vnni.
    #[arg(long, value_name = "LEVEL", default_value = "auto")]
    codec_level: String,
    /// Makes it slower by so many nanoseconds for each received frame.
    #[arg(long, value_name = "NS", default_value_t = 0, hide = true)]
    debug_burn_ns: u32,
    /// The process of the rtpengine that is measured in place of a gateway of ours (with --rtpengine).
    #[arg(long, value_name = "PID", requires = "rtpengine")]
    rtpengine_pid: Option<u32>,
    /// The configuration of the gateway at --control, so that the report can tell its cores and its device.
    #[arg(long, value_name = "FILE")]
    gateway_config: Option<PathBuf>,
    /// What `tandem capacity machine` printed on the gateway's machine, where that is another one.
    #[arg(long, value_name = "FILE")]
    gateway_machine: Option<PathBuf>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Asked {
    /// Calls that are up at once.
    ConcurrentCalls,
    /// Calls set up and ended per second.
    CallsPerSecond,
}

/// Calls a second to begin with.
const FIRST_RATE: u64 = 100;

impl MeasureArguments {
    fn measures(&self, asked: Asked) -> bool {
        match self.quantities.as_slice() {
            [] if asked == Asked::CallsPerSecond => {
                self.mixes.is_empty() && (self.starts_gateway() || self.source.sip.is_some())
            }
            [] => true,
            some => some.contains(&asked),
        }
    }

    fn level(&self) -> ServiceLevel {
        ServiceLevel {
            max_lost_ppm: self.max_lost_ppm,
            max_p99_9_us: 1e3 * self.max_p99_9_ms,
            audio_right: !self.any_audio,
            max_set_up_p99_us: 1e3 * self.max_set_up_ms,
            max_repeated_ppm: self.max_repeated_ppm,
            max_failed_ppm: self.max_failed_ppm,
            discount_stops: self.discount_stops,
            ..ServiceLevel::default()
        }
    }

    fn impairments(&self) -> Impairments {
        Impairments {
            loss_percent: self.loss_percent,
            loss_burst: self.loss_burst,
            jitter_ms: self.jitter_ms,
            silence_percent: self.silence_percent,
            bursts_per_packet_time: self.bursts_per_packet_time,
        }
    }

    fn rate_method(&self, mix: &NamedMix) -> RateMethod {
        let concurrent = self.method(mix, u64::from(RateSpec::MAX_RATE));
        // Where both quantities are measured, --first and --most are numbers of calls at once.
        let alone = !self.measures(Asked::ConcurrentCalls);
        let most = self.most.filter(|_| alone).unwrap_or(u64::MAX).min(u64::from(RateSpec::MAX_RATE));
        let first = self.first.filter(|_| alone).unwrap_or(FIRST_RATE).min(most);
        let plan = Plan { first, most, ..concurrent.plan };
        RateMethod {
            level: concurrent.level,
            plan,
            seconds: concurrent.seconds,
            ramp_seconds: concurrent.ramp_seconds,
            warm_up_ms: concurrent.warm_up_ms,
            hold_ms: self.hold_ms,
        }
    }

    fn mixes(&self) -> Vec<NamedMix> {
        if self.mixes.is_empty() { NamedMix::standard() } else { self.mixes.clone() }
    }

    fn method(&self, mix: &NamedMix, room: u64) -> Method {
        let full = Plan::default();
        let base = if self.quick {
            Plan { repeats: 2, bisections: 8, void_retries: 1, budget: 24, resolution: 0.1, ..full }
        } else {
            full
        };
        let most = self.most.unwrap_or(room);
        let plan = Plan {
            first: self.first.unwrap_or_else(|| mix.first()).min(most),
            most,
            repeats: self.repeats.unwrap_or(base.repeats),
            resolution: self.resolution.map_or(base.resolution, |percent| percent / 100.0),
            ..base
        };
        let seconds = self.seconds.unwrap_or(if self.quick { 3 } else { 30 });
        Method {
            level: self.level(),
            plan,
            seconds,
            ramp_seconds: if self.quick { seconds.div_ceil(2) } else { seconds.div_ceil(6) },
            warm_up_ms: if self.quick { 500 } else { 1_000 },
            impairments: self.impairments(),
            seed: self.seed,
        }
    }

    /// Whether the gateway is one that this command starts.
    fn starts_gateway(&self) -> bool {
        self.source.device.is_none() && !self.source.kernel
    }

    /// The core of that gateway.
    fn own_core(&self) -> anyhow::Result<u16> {
        if let Some(core) = self.gateway_core {
            return Ok(core);
        }
        let allowed = sched_getaffinity(None).context("which cores this process may use")?;
        let mut cores = (0..CpuSet::MAX_CPU as u16).rev().filter(|core| allowed.is_set(usize::from(*core)));
        cores.find(|core| *core != self.source.core).ok_or_else(|| {
            anyhow!("a gateway and a source need a core each, and this process may use one alone: measure from another machine, with --device and --control")
        })
    }
}

/// Measures and writes the report.
pub(super) fn measure(arguments: &MeasureArguments) -> Result<(), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    load::stop_on_signal(&stop)?;
    let mixes = arguments.mixes();
    let (gateway, source, mut report) = set_up(arguments, &mixes)?;
    let out =
        arguments.out.clone().unwrap_or_else(|| PathBuf::from(format!("capacity-{}.json", file_time(&report.made.at))));
    if out.extension().is_some_and(|extension| extension == "html") {
        return Err(anyhow!("--out {}: the report is JSON; its page goes beside it as .html", out.display()).into());
    }
    let mut gauge: Box<dyn Gauge> = match (source.rtpengine, arguments.rtpengine_pid) {
        (None, _) => {
            Box::new(HttpGauge::new(&Api::new(&source.control, &source.credentials)?, report.machine.memory_gb_s)?)
        }
        (Some(_), Some(pid)) => Box::new(ProcessGauge::new(Path::new("/proc"), pid)?),
        (Some(_), None) => return Err(anyhow!("--rtpengine needs --rtpengine-pid, to tell how busy it is").into()),
    };
    let mut runner = if arguments.measures(Asked::ConcurrentCalls) { Some(load::open(&source)?) } else { None };
    let shares_rings = source.device.as_ref().is_some_and(|device| device.starts_with("net_memif"));
    let link = if shares_rings { Link::SharedRings } else { Link::Apart };

    let mut display = Display::new();
    let began = Instant::now();
    let mut failed = None;
    let mut wanted: Vec<(Asked, &NamedMix)> = Vec::new();
    if arguments.measures(Asked::CallsPerSecond) {
        wanted.extend(mixes.first().map(|mix| (Asked::CallsPerSecond, mix)));
    }
    if arguments.measures(Asked::ConcurrentCalls) {
        wanted.extend(mixes.iter().map(|mix| (Asked::ConcurrentCalls, mix)));
    }
    for (nth, (asked, mix)) in wanted.iter().copied().enumerate() {
        display.mix(&mix.name, nth + 1, wanted.len());
        let what = if asked == Asked::CallsPerSecond { ", calls per second" } else { "" };
        display.say(&format!("{mix}{what}: up to {} s a run", arguments.method(mix, 1).seconds));
        let mut news = |news: News<'_>| {
            display.news(&news);
            if let News::Ended { so_far, .. } = news {
                // Whatever happens next, this much is on the disk.
                report.made.took_s = began.elapsed().as_secs_f64();
                let kept = keep(&report, so_far, &out);
                if let Err(error) = kept {
                    display.say(&format!("{error:#}"));
                }
            }
        };
        let measured = match (asked, &mut runner) {
            (Asked::ConcurrentCalls, Some(runner)) => {
                let room = if gateway.is_some() { CALLS_PER_ADDRESS * GATEWAY_ADDRESSES } else { LoadSpec::MAX_CALLS };
                let method = arguments.method(mix, u64::from(room));
                let mut bench = Bench { runner: &mut **runner, gauge: &mut *gauge, stop: &stop, link };
                bench.measure(mix, &method, &mut news)?
            }
            _ => {
                let mut signalling = signalling(&source, gateway.as_ref())?;
                let threads = gateway.as_ref().map(|gateway| Threads::of(Path::new("/proc"), gateway.process()));
                let shares_core = gateway.is_some() && cores_left()? < 2;
                let mut bench = RateBench { runner: &mut signalling, threads, shares_core, stop: &stop };
                bench.measure(mix, &arguments.rate_method(mix), &mut news)?
            }
        };
        if !measured.measurement.points.is_empty() {
            display.say(&format!("{}: {}\n", mix.name, summary(&measured.measurement)));
            report.measurements.push(measured.measurement);
        }
        match measured.ended_by {
            EndedBy::Itself => {}
            EndedBy::Stop => {
                report.made.interrupted = true;
                break;
            }
            EndedBy::Error(error) => {
                report.made.interrupted = true;
                failed = Some(error);
                break;
            }
        }
    }
    display.done();
    report.made.took_s = began.elapsed().as_secs_f64();
    if !report.measurements.is_empty() {
        files::write(&out, &report.to_json())?;
        let page = out.with_extension("html");
        files::write(&page, &report_page(&report))?;
        let early = if report.made.interrupted { ", of what was measured before the end" } else { "" };
        println!("report {}, page {}{early}", out.display(), page.display());
    }
    match failed {
        Some(error) => Err(error.into()),
        None if stop.load(Ordering::Relaxed) && report.measurements.is_empty() => {
            Err(anyhow!("interrupted before the first run was over: there is nothing to report").into())
        }
        None => Ok(()),
    }
}

/// Who calls whom through the gateway that is measured.
fn signalling(source: &SourceArgs, gateway: Option<&OwnGateway>) -> anyhow::Result<SipSource> {
    let endpoints = gateway.map(OwnGateway::sip_endpoints).or_else(|| load::endpoints(source)).ok_or_else(|| {
        anyhow!("calls per second are set up over SIP: --sip takes one of the gateway's sip.listen addresses, --sip-caller and --sip-callee the source's own")
    })?;
    Ok(SipSource { endpoints, network: load::network(source) })
}

/// Cores that this process may use, and a gateway that it started beside its worker.
fn cores_left() -> anyhow::Result<usize> {
    let allowed = sched_getaffinity(None).context("which cores this process may use")?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).count())
}

/// Writes what is there so far, as a report that was interrupted.
fn keep(report: &Report, so_far: &Measurement, out: &Path) -> anyhow::Result<()> {
    let mut report = report.clone();
    report.measurements.push(so_far.clone());
    report.made.interrupted = true;
    files::write(out, &report.to_json())
}

/// The gateway where it is to be started, the source's arguments that fit it, and a report without measurements.
fn set_up(
    arguments: &MeasureArguments,
    mixes: &[NamedMix],
) -> anyhow::Result<(Option<OwnGateway>, SourceArgs, Report)> {
    for mix in mixes {
        // Before anything is started.
        tandem_capacity::search::Search::new(arguments.method(mix, u64::from(LoadSpec::MAX_CALLS)).plan)?;
    }
    let mut source = arguments.source.clone();
    let this_machine = machine::facts(Path::new("/"), arguments.machine_name.clone());
    let made = Made {
        at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        command: std::env::args().collect(),
        took_s: 0.0,
        interrupted: false,
        note: arguments.note.clone(),
    };
    let (own, gateway) = if arguments.starts_gateway() {
        let core = arguments.own_core()?;
        if core == source.core {
            bail!("--core and --gateway-core are both {core}: gateway and source need a core each");
        }
        // A rate needs room for what is up, and for what ends late.
        let most = arguments.most.filter(|_| !arguments.measures(Asked::CallsPerSecond)).unwrap_or(u64::MAX);
        let most = most.min(u64::from(CALLS_PER_ADDRESS * GATEWAY_ADDRESSES));
        let wanted = Wanted {
            core,
            calls: u32::try_from(most).unwrap_or(u32::MAX),
            debug_burn_ns: arguments.debug_burn_ns,
            codec_level: arguments.codec_level.clone(),
        };
        let own = OwnGateway::start(&wanted)?;
        own.control().clone_into(&mut source.control);
        source.device = Some(own.source_device());
        source.addresses = OwnGateway::source_addresses();
        // This thread and those it starts stay off the gateway's core.
        crate::run::keep_off(&[core]);
        let config = tandem_config::parse("the gateway's configuration", own.configuration());
        let config = config.map_err(|problems| anyhow!("{problems:?}"))?;
        let gateway = told(&config, arguments.debug_burn_ns);
        (Some(own), gateway)
    } else if let Some(path) = &arguments.gateway_config {
        let config = tandem_config::load(path).map_err(|error| anyhow!("{error}"))?;
        (None, told(&config, arguments.debug_burn_ns))
    } else {
        let peer = source.rtpengine.is_some();
        let unknown = if peer { "not ours" } else { "not told (--gateway-config)" }.to_owned();
        let gateway = Gateway {
            version: if peer { "rtpengine".to_owned() } else { unknown.clone() },
            cores: Vec::new(),
            device: unknown.clone(),
            codec_level: unknown,
            debug_burn_ns: arguments.debug_burn_ns,
        };
        (None, gateway)
    };
    let far: Option<Machine> = arguments.gateway_machine.as_deref().map(machine_of).transpose()?;
    let device = source.device.clone().unwrap_or_else(|| "kernel".to_owned());
    let set_up = match (source.rtpengine, source.sip) {
        (Some(_), _) => "ng",
        (None, Some(_)) => "sip",
        (None, None) => "http",
    };
    let report = Report {
        format: FORMAT.to_owned(),
        version: VERSION,
        made,
        source_machine: far.is_some().then(|| this_machine.clone()),
        machine: far.unwrap_or(this_machine),
        gateway,
        source: Source { device, cores: vec![source.core], set_up: set_up.to_owned() },
        measurements: Vec::new(),
    };
    Ok((own, source, report))
}

fn told(config: &tandem_config::Config, debug_burn_ns: u32) -> Gateway {
    let level = serde_json::to_value(config.workers.codec_level).ok();
    Gateway {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cores: config.workers.cores.clone(),
        device: config.ports[0].device.clone(),
        codec_level: level.and_then(|level| Some(level.as_str()?.to_owned())).unwrap_or_default(),
        debug_burn_ns,
    }
}

fn machine_of(path: &Path) -> anyhow::Result<Machine> {
    let name = || path.display().to_string();
    let text = fs::read_to_string(path).with_context(name)?;
    serde_json::from_str(&text).with_context(|| format!("{}: not what `tandem capacity machine` prints", name()))
}

/// `2026-11-25T10:00:00Z` for the name of a file.
fn file_time(at: &str) -> String {
    at.chars().filter(|c| c.is_ascii_alphanumeric()).collect()
}
