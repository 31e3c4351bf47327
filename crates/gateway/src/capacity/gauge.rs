//! What the gateway counts meanwhile.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Deserialize;
use tandem_capacity::report::GatewayReading;
use tandem_capacity::scrape::Scrape;
use tandem_contract::{Nanos, Stop};
use tandem_worker::{Clock as _, TscClock};

/// For one answer of the gateway.
const PATIENCE: Duration = Duration::from_secs(5);
/// Looks at the workers' clocks after a run.
const LOOKS: usize = 5;
/// The longest answer, in octets.
const LONGEST: u64 = 64 << 20;

use crate::api::Api;

/// A gateway that can be asked what it counts.
pub(super) trait Gauge {
    /// A run of so many seconds begins.
    fn begin(&mut self, seconds: f64);
    /// So many seconds of it have passed; negative while it warms up. Must not block: it is called by the source.
    fn tick(&mut self, seconds: f64);
    /// What the gateway counted during the run; none where it did not answer.
    fn reading(&mut self) -> Option<GatewayReading>;
    /// When something else had its workers' cores lately, on this process's own clock; none where it does not tell.
    fn stops(&mut self) -> Option<Vec<Stop>> {
        None
    }
    /// Whether the gateway is there.
    fn answers(&mut self) -> bool;
}

/// A gateway's `GET /metrics`, asked by a thread of its own: twice a run, because each answer costs the core that control
/// runs on some hundred microseconds, and on a small machine that is the source's.
pub(super) struct HttpGauge {
    asks: mpsc::Sender<Ask>,
    readings: mpsc::Receiver<Option<GatewayReading>>,
    probe: Asker,
    seconds: f64,
    /// A reading of this run is under way.
    asked: bool,
}

/// What the thread is asked.
enum Ask {
    /// To read now, and again after so long or when it is told to, whichever comes first.
    Begin(Duration),
    /// To read the second time.
    End,
}

#[derive(Clone)]
struct Asker {
    agent: ureq::Agent,
    url: String,
    stops_url: String,
}

/// What `GET /v1/stops` answers.
#[derive(Deserialize)]
struct Told {
    workers: Vec<ToldWorker>,
}

#[derive(Deserialize)]
struct ToldWorker {
    clock_ns: u64,
    last: Vec<[u64; 2]>,
}

impl Asker {
    fn scrape(&self) -> anyhow::Result<(Instant, Scrape)> {
        let from = Instant::now();
        let mut answer = self.agent.get(&self.url).call()?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), "{} answers {status}", self.url);
        let text = answer.body_mut().with_config().limit(LONGEST).read_to_string()?;
        // The counters were read somewhere between.
        let at = from + from.elapsed() / 2;
        Ok((at, Scrape::parse(&text)?))
    }

    /// What the gateway says of its workers' stops, and what our own clock showed meanwhile.
    fn stops(&self) -> anyhow::Result<(Nanos, Told)> {
        let mut clock = TscClock::new();
        let from = clock.now();
        let mut answer = self.agent.get(&self.stops_url).call()?;
        let text = answer.body_mut().with_config().limit(LONGEST).read_to_string()?;
        Ok((from.plus(clock.now().since(from) / 2), serde_json::from_str(&text)?))
    }
}

/// The stops of several looks, on our own clock. What a worker says that its clock shows may be old, where it is stopped just then: of
/// several looks the one counts that is the least behind.
fn on_our_clock(looks: &[(Nanos, Told)]) -> Option<Vec<Stop>> {
    let (_, last) = looks.last()?;
    let mut stops = Vec::new();
    for (worker, nth) in last.workers.iter().zip(0..) {
        let behind = |(now, told): &(Nanos, Told)| {
            let shown = told.workers.get(nth)?.clock_ns;
            Some(i128::from(now.0) - i128::from(shown))
        };
        let offset = looks.iter().filter_map(behind).min()?;
        let ours = |ns: u64| Nanos(u64::try_from(i128::from(ns) + offset).unwrap_or(0));
        stops.extend(worker.last.iter().map(|[from, until]| Stop { from: ours(*from), until: ours(*until) }));
    }
    Some(stops)
}

impl HttpGauge {
    /// Of a gateway that runs, on a machine whose cores together can read so much from memory.
    pub(super) fn new(api: &Api, most_memory_gb_s: Option<f64>) -> anyhow::Result<Self> {
        let probe = Asker { agent: api.agent(PATIENCE), url: api.url("/metrics"), stops_url: api.url("/v1/stops") };
        probe.scrape().with_context(|| format!("no gateway answers at {}", api.address))?;
        let (asks, asked) = mpsc::channel();
        let (tell, readings) = mpsc::channel();
        let asker = probe.clone();
        std::thread::Builder::new().name("gauge".to_owned()).spawn(move || {
            while let Ok(ask) = asked.recv() {
                // An end that comes after its reading has nothing to end.
                let Ask::Begin(until) = ask else { continue };
                let before = asker.scrape();
                let _ = asked.recv_timeout(until);
                let mut reading = between(before, asker.scrape());
                if let Some(memory) = reading.as_mut().and_then(|reading| reading.memory.as_mut()) {
                    memory.of_most = most_memory_gb_s.map(|most| memory.gb_s / most);
                }
                if tell.send(reading).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { asks, readings, probe, seconds: 0.0, asked: false })
    }
}

/// What happened between two answers; none where one is missing, or they came at once.
fn between(
    before: anyhow::Result<(Instant, Scrape)>,
    after: anyhow::Result<(Instant, Scrape)>,
) -> Option<GatewayReading> {
    let ((begin, before), (end, after)) = (before.ok()?, after.ok()?);
    let seconds = end.duration_since(begin).as_secs_f64();
    (seconds > 0.2).then(|| after.since(&before, seconds))
}

impl Gauge for HttpGauge {
    fn begin(&mut self, seconds: f64) {
        self.seconds = seconds;
    }

    fn tick(&mut self, seconds: f64) {
        // At the end of the warm-up, or as soon as it is over; and once more just before the run is.
        if !self.asked && seconds > -0.6 && seconds < self.seconds - 0.3 {
            let last = Duration::from_secs_f64(self.seconds - seconds - 0.1);
            self.asked = self.asks.send(Ask::Begin(last)).is_ok();
        }
    }

    fn reading(&mut self) -> Option<GatewayReading> {
        if !std::mem::take(&mut self.asked) {
            return None;
        }
        // A run that was ended early is over now.
        let _ = self.asks.send(Ask::End);
        self.readings.recv_timeout(3 * PATIENCE).ok()?
    }

    fn stops(&mut self) -> Option<Vec<Stop>> {
        let looks: Vec<_> = (0..LOOKS).map_while(|_| self.probe.stops().ok()).collect();
        on_our_clock(&looks)
    }

    fn answers(&mut self) -> bool {
        self.probe.scrape().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Tells of a worker that is half busy all the time.
    fn answer(mut stream: TcpStream, since: Instant) {
        let head = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
        let first = head.collect::<Vec<_>>().remove(0);
        let busy = since.elapsed().as_nanos() / 2;
        let (status, body) = match first.split_whitespace().nth(1) {
            // A byte to and from memory per nanosecond of its clock's half.
            Some("/metrics") => {
                let memory = format!("tandem_memory_traffic_bytes_total {busy}\n");
                ("200 OK", format!("tandem_busy_nanoseconds_total{{worker=\"0\"}} {busy}\n{memory}# EOF\n"))
            }
            _ => ("404 Not Found", String::new()),
        };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
            .unwrap();
    }

    #[test]
    fn a_run_is_read_between_its_warm_up_and_its_last_second() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let since = Instant::now();
            listener.incoming().map_while(Result::ok).for_each(|stream| answer(stream, since));
        });
        let mut gauge = HttpGauge::new(&Api::open(&base), Some(8.0)).unwrap();
        assert!(gauge.answers());
        gauge.begin(1.0);
        gauge.tick(-0.9);
        assert_eq!(gauge.reading(), None, "the warm-up has just begun");
        gauge.begin(30.0);
        gauge.tick(0.0);
        gauge.tick(1.0);
        std::thread::sleep(Duration::from_millis(300));
        // Ended early.
        let reading = gauge.reading().unwrap();
        assert!(reading.cores[0].busy > 0.0, "{reading:?}");
        let memory = reading.memory.unwrap();
        assert_eq!(memory.of_most, Some(memory.gb_s / 8.0));
        gauge.begin(0.6);
        gauge.tick(0.1);
        std::thread::sleep(Duration::from_millis(600));
        assert!(gauge.reading().is_some(), "a short run, to its end");
        gauge.begin(3.0);
        assert_eq!(gauge.reading(), None, "nothing of an earlier run is left");
    }

    #[test]
    fn stops_are_moved_to_our_clock_by_the_look_that_is_the_least_behind() {
        let look = |now: u64, clock_ns: u64| {
            let last = vec![[1_000, 1_500]];
            (Nanos(now), Told { workers: vec![ToldWorker { clock_ns, last }] })
        };
        // The gateway's clock is 90,000 behind ours; it shows what it showed a little ago, once long ago.
        let stops = on_our_clock(&[look(92_000, 1_995), look(93_000, 1_995), look(94_000, 3_990)]).unwrap();
        assert_eq!(stops, [Stop { from: Nanos(91_005), until: Nanos(91_505) }]);
        assert_eq!(on_our_clock(&[]), None);
    }

    #[test]
    fn who_is_not_there_is_told_so_at_once() {
        let said = HttpGauge::new(&Api::open("127.0.0.1:1"), None).err().unwrap().to_string();
        assert_eq!(said, "no gateway answers at 127.0.0.1:1");
    }
}
