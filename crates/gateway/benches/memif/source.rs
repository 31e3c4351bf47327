//! The far side: sends packets of all flows in turn, as fast as the ring takes them or at a rate, and counts what comes back.

use std::time::{Duration, Instant};

use dpdk::lcore;
use dpdk::mbuf::Mbuf;
use dpdk::queue::QueuePair;
use tandem_contract::Nanos;
use tandem_packet_io::{BURST_CAPACITY, Burst, PacketBuf, PacketIo};
use tandem_worker::{Clock, TscClock};

use crate::end::End;
use crate::frames::{Path, Traffic, arp_answer, arp_question, is_junk, mac_from};
use crate::{Result, SOURCE_CORE};

/// Frames shorter than this are no packets of calls.
const SHORTEST: usize = 70;

struct Source {
    queue: QueuePair,
    traffic: Traffic,
    clock: TscClock,
    out: Burst<Mbuf>,
    /// What the ring does not take is tried again: a stream without gaps. Else it is lost, as on a wire.
    insists: bool,
    back: Burst<Mbuf>,
    counts: Counts,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    /// Packets of calls, and those of them that came back.
    sent: u64,
    back: u64,
    /// Packets of calls that the ring did not take, and junk.
    refused: u64,
    refused_junk: u64,
}

/// Prints `begin` when it begins to count, then packets of calls back per second, sent, lost, those of them that the ring refused, and junk that it
/// refused per second.
pub(crate) fn run(socket: &str, flows: u16, path: Path, seconds: u64, rate: u64) -> Result<()> {
    let End { eal, _port, mut queue } = End::open("client", socket, SOURCE_CORE, path.ring_log2())?;
    let _lcore = lcore::enter(&eal, SOURCE_CORE)?;
    // Mostly legs of one side alone: what the others would send is the other direction of the same work.
    let traffic = Traffic::new(path, flows, resolve(&mut queue)?);
    let (out, back, counts) = (Burst::new(), Burst::new(), Counts::default());
    let mut source = Source { queue, traffic, clock: TscClock::new(), out, insists: path != Path::Flood, back, counts };
    let until = Instant::now() + Duration::from_secs(20);
    while source.counts.back == 0 {
        // Gently at first: only a few packets may wait for an answer to ARP.
        source.send(1);
        source.receive();
        std::thread::sleep(Duration::from_micros(100));
        if Instant::now() > until {
            return Err("nothing came back in 20 s".into());
        }
    }
    source.go(Duration::from_millis(500), rate);
    source.drain();
    println!("begin");
    source.counts = Counts::default();
    let took = source.go(Duration::from_secs(seconds), rate);
    let back = source.counts.back as f64 / took;
    source.drain();
    let Counts { sent, back: all_back, refused, refused_junk } = source.counts;
    println!("{back:.0} {sent} {} {refused} {:.0}", sent.saturating_sub(all_back), refused_junk as f64 / took);
    Ok(())
}

impl Source {
    /// Sends for so long; the seconds it took.
    fn go(&mut self, duration: Duration, rate: u64) -> f64 {
        let start = self.clock.now();
        let (mut now, mut sent) = (start, 0_u64);
        while now.since(start) < duration.as_nanos() as u64 {
            if rate == 0 {
                for _ in 0..32 {
                    self.receive();
                    self.send(BURST_CAPACITY);
                }
            } else {
                let due = (u128::from(now.since(start)) * u128::from(rate) / 1_000_000_000) as u64;
                // A source that was interrupted does not make up for it with more than a ring's worth.
                sent = sent.max(due.saturating_sub(256));
                let frames = (due - sent).min(BURST_CAPACITY as u64);
                self.receive();
                if frames > 0 {
                    self.send(frames as usize);
                    sent += frames;
                }
            }
            now = self.clock.now();
        }
        now.since(start) as f64 / 1e9
    }

    /// Waits for what is under way.
    fn drain(&mut self) {
        let start: Nanos = self.clock.now();
        while self.clock.now().since(start) < 100_000_000 {
            self.receive();
            self.queue.tx_burst(&mut self.out);
        }
    }

    fn receive(&mut self) {
        self.back.clear();
        self.queue.rx_burst(&mut self.back);
        for frame in &self.back {
            if frame.data().len() >= SHORTEST {
                self.counts.back += 1;
            } else if let Some(answer) = arp_answer(frame.data()) {
                send_one(&mut self.queue, &answer);
            }
        }
    }

    /// Sends so many frames more, or fewer where earlier ones still wait.
    fn send(&mut self, frames: usize) {
        let waiting = self.out.len();
        let frames = frames.min(self.out.remaining_capacity());
        if frames == BURST_CAPACITY {
            self.queue.mempool().allocate_burst(&mut self.out);
        } else {
            self.out.extend((0..frames).map_while(|_| self.queue.mempool().allocate()));
        }
        for frame in &mut self.out[waiting..] {
            if frame.set_len(self.traffic.next_len()).is_ok() {
                self.counts.sent += u64::from(self.traffic.fill(frame.data_mut()));
            }
        }
        self.queue.tx_burst(&mut self.out);
        if !self.insists {
            let junk = self.out.iter().filter(|frame| is_junk(frame.data())).count();
            self.counts.refused_junk += junk as u64;
            self.counts.refused += (self.out.len() - junk) as u64;
            self.out.clear();
        }
    }
}

/// Asks for the gateway's hardware address.
fn resolve(queue: &mut QueuePair) -> Result<tandem_wire::ethernet::MacAddress> {
    let mut back = Burst::new();
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        send_one(queue, &arp_question());
        std::thread::sleep(Duration::from_millis(10));
        queue.rx_burst(&mut back);
        for frame in back.drain(..) {
            if let Some(mac) = mac_from(frame.data()) {
                return Ok(mac);
            }
        }
    }
    Err("nobody answered ARP for 20 s".into())
}

fn send_one(queue: &mut QueuePair, octets: &[u8]) {
    if let Some(mut frame) = queue.allocate()
        && frame.set_len(octets.len()).is_ok()
    {
        frame.data_mut().copy_from_slice(octets);
        let mut burst = Burst::new();
        burst.push(frame);
        queue.tx_burst(&mut burst);
    }
}
