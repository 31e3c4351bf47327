//! What the gateway counts meanwhile.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tandem_capacity::report::GatewayReading;
use tandem_capacity::scrape::Scrape;

/// For one answer of the gateway.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer, in octets.
const LONGEST: u64 = 64 << 20;

/// A gateway that can be asked what it counts.
pub(super) trait Gauge {
    /// A run of so many seconds begins.
    fn begin(&mut self, seconds: f64);
    /// So many seconds of it have passed; negative while it warms up. Must not block: it is called by the source.
    fn tick(&mut self, seconds: f64);
    /// What the gateway counted during the run; none where it did not answer.
    fn reading(&mut self) -> Option<GatewayReading>;
    /// Whether the gateway is there.
    fn answers(&mut self) -> bool;
}

/// A gateway's `GET /metrics`, asked by a thread of its own: twice a run, because each answer costs the core that control
/// runs on some hundred microseconds, and on a small machine that is the source's.
pub(super) struct HttpGauge {
    asks: mpsc::Sender<()>,
    scrapes: mpsc::Receiver<Option<(Instant, Scrape)>>,
    probe: Asker,
    seconds: f64,
    /// Asks of this run.
    asked: u32,
}

#[derive(Clone)]
struct Asker {
    agent: ureq::Agent,
    url: String,
}

impl Asker {
    fn scrape(&self) -> anyhow::Result<(Instant, Scrape)> {
        let from = Instant::now();
        let mut answer = self.agent.get(&self.url).call()?;
        let text = answer.body_mut().with_config().limit(LONGEST).read_to_string()?;
        // The counters were read somewhere between.
        let at = from + from.elapsed() / 2;
        Ok((at, Scrape::parse(&text)?))
    }
}

impl HttpGauge {
    /// Of the gateway at `base`: `http://127.0.0.1:9060`.
    pub(super) fn new(base: &str) -> anyhow::Result<Self> {
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).proxy(None);
        let probe = Asker { agent: config.build().into(), url: format!("{}/metrics", base.trim_end_matches('/')) };
        probe.scrape().with_context(|| format!("no gateway answers at {base}"))?;
        let (asks, asked) = mpsc::channel();
        let (tell, scrapes) = mpsc::channel();
        let asker = probe.clone();
        std::thread::Builder::new()
            .name("gauge".to_owned())
            .spawn(move || while asked.recv().is_ok() && tell.send(asker.scrape().ok()).is_ok() {})?;
        Ok(Self { asks, scrapes, probe, seconds: 0.0, asked: 0 })
    }

    fn ask(&mut self) {
        // The thread ends only after this does.
        if self.asks.send(()).is_ok() {
            self.asked += 1;
        }
    }

    fn collect(&mut self) -> Vec<(Instant, Scrape)> {
        let answers = (0..std::mem::take(&mut self.asked)).map_while(|_| self.scrapes.recv_timeout(2 * PATIENCE).ok());
        answers.flatten().collect()
    }
}

impl Gauge for HttpGauge {
    fn begin(&mut self, seconds: f64) {
        self.collect();
        self.seconds = seconds;
    }

    fn tick(&mut self, seconds: f64) {
        match self.asked {
            // At the end of the warm-up, or as soon as it is over.
            0 if seconds > -0.5 => self.ask(),
            1 if seconds > 0.5 && seconds > self.seconds - 1.5 => self.ask(),
            _ => {}
        }
    }

    fn reading(&mut self) -> Option<GatewayReading> {
        let scrapes = self.collect();
        let [(begin, before), .., (end, after)] = scrapes.as_slice() else { return None };
        let seconds = end.duration_since(*begin).as_secs_f64();
        (seconds > 0.2).then(|| after.since(before, seconds))
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
            Some("/metrics") => ("200 OK", format!("tandem_busy_nanoseconds_total{{worker=\"0\"}} {busy}\n# EOF\n")),
            _ => ("404 Not Found", String::new()),
        };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
            .unwrap();
    }

    #[test]
    fn a_run_is_read_between_its_warm_up_and_its_last_second() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let since = Instant::now();
            listener.incoming().map_while(Result::ok).for_each(|stream| answer(stream, since));
        });
        let mut gauge = HttpGauge::new(&base).unwrap();
        assert!(gauge.answers());
        gauge.begin(3.0);
        gauge.tick(-0.9);
        assert_eq!(gauge.asked, 0, "the warm-up has just begun");
        gauge.tick(0.0);
        gauge.tick(1.0);
        assert_eq!(gauge.asked, 1, "the middle of a run is left alone");
        std::thread::sleep(Duration::from_millis(300));
        gauge.tick(2.0);
        gauge.tick(3.0);
        assert_eq!(gauge.asked, 2);
        let reading = gauge.reading().unwrap();
        assert!(reading.cores[0].busy > 0.0, "{reading:?}");
        gauge.begin(3.0);
        assert_eq!(gauge.reading(), None, "nothing of an earlier run is left");
    }

    #[test]
    fn who_is_not_there_is_told_so_at_once() {
        let said = HttpGauge::new("http://127.0.0.1:1").err().unwrap().to_string();
        assert_eq!(said, "no gateway answers at http://127.0.0.1:1");
    }
}
