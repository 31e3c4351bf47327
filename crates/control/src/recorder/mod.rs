//! Calls on disk: one thread takes the copies that workers make of packets and writes them to WAV and pcap files.
//!
//! Workers wait for nobody: what finds the ring full is left out and counted there. What the disk does not take ends that
//! recording; it is counted, said once, and the call goes on.

mod pcap;
mod take;
mod timeline;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tandem_contract::{FlowId, TapHeader, WorkerId};
use tokio::sync::oneshot;

pub(crate) use take::Plan;
use take::Take;

/// Between two looks at the rings while something is recorded. A ring holds what arrives in many times as long.
const LOOK: Duration = Duration::from_millis(5);
/// The same while nothing is.
const IDLE_LOOK: Duration = Duration::from_millis(250);

/// Whose packets are recorded.
pub(crate) type Key = (WorkerId, FlowId);

/// How the recorder fares, readable by anyone.
#[derive(Debug, Default)]
pub(crate) struct RecorderState {
    /// Recordings under way.
    pub(crate) active: AtomicU64,
    /// Recordings whose files are complete.
    pub(crate) finished: AtomicU64,
    /// Recordings that ended because the disk took no more.
    pub(crate) failed: AtomicU64,
    /// The last attempt to write failed.
    failing: AtomicBool,
}

/// The way to the recorder's thread. It ends when the last of them is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    orders: mpsc::Sender<Order>,
    pub(crate) state: Arc<RecorderState>,
}

#[derive(Debug)]
enum Order {
    Start { key: Key, plan: Plan, answer: oneshot::Sender<io::Result<()>> },
    Finish { key: Key },
}

impl Recorder {
    /// Starts the thread on the workers' rings.
    pub(crate) fn start(taps: Vec<(WorkerId, rtrb::Consumer<u8>)>) -> io::Result<(Self, JoinHandle<()>)> {
        let (orders, incoming) = mpsc::channel();
        let state = Arc::new(RecorderState::default());
        let mut thread = Thread { taps, takes: HashMap::new(), state: state.clone(), packet: Vec::new() };
        let run = move || thread.run(&incoming);
        let thread = std::thread::Builder::new().name("tandem-recorder".to_owned()).spawn(run)?;
        Ok((Self { orders, state }, thread))
    }

    /// Makes the files of a recording; what is copied from then on is written to them.
    pub(crate) async fn begin(&self, key: Key, plan: Plan) -> io::Result<()> {
        let (answer, answered) = oneshot::channel();
        let gone = || io::Error::other("the recorder has ended");
        self.orders.send(Order::Start { key, plan, answer }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Completes a flow's files, where it has any, with all that was copied until now.
    pub(crate) fn finish(&self, key: Key) {
        // Without the thread there is nothing to complete.
        let _ = self.orders.send(Order::Finish { key });
    }
}

struct Thread {
    taps: Vec<(WorkerId, rtrb::Consumer<u8>)>,
    takes: HashMap<Key, Take>,
    state: Arc<RecorderState>,
    /// A packet that lay around the end of its ring.
    packet: Vec<u8>,
}

impl Thread {
    fn run(&mut self, orders: &mpsc::Receiver<Order>) {
        loop {
            let order = orders.recv_timeout(if self.takes.is_empty() { IDLE_LOOK } else { LOOK });
            // First what was copied before the order was given.
            for ring in 0..self.taps.len() {
                self.drain(ring);
            }
            match order {
                Ok(Order::Start { key, plan, answer }) => {
                    // Whoever asked may have gone.
                    let _ = answer.send(self.begin(key, &plan));
                }
                Ok(Order::Finish { key }) => self.finish(key),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let keys: Vec<Key> = self.takes.keys().copied().collect();
                    keys.into_iter().for_each(|key| self.finish(key));
                    return;
                }
            }
            self.state.active.store(self.takes.len() as u64, Relaxed);
        }
    }

    fn begin(&mut self, key: Key, plan: &Plan) -> io::Result<()> {
        if self.takes.contains_key(&key) {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "the call is being recorded already"));
        }
        let take = Take::create(plan).inspect_err(|error| self.failed(error))?;
        self.takes.insert(key, take);
        Ok(())
    }

    fn finish(&mut self, key: Key) {
        let Some(take) = self.takes.remove(&key) else { return };
        match take.finish() {
            Ok(()) => {
                self.state.finished.fetch_add(1, Relaxed);
                self.state.failing.store(false, Relaxed);
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &io::Error) {
        self.state.failed.fetch_add(1, Relaxed);
        if !self.state.failing.swap(true, Relaxed) {
            tracing::error!(%error, "calls cannot be recorded (recording.directory); they go on");
        }
    }

    /// Takes every packet of one worker's ring.
    fn drain(&mut self, ring: usize) {
        let (worker, tap) = &mut self.taps[ring];
        let mut ended = Vec::new();
        while let Some(header) = peek(tap) {
            let Ok(chunk) = tap.read_chunk(TapHeader::LEN + usize::from(header.rtp_len)) else { break };
            let key = (*worker, header.flow);
            if let Some(take) = self.takes.get_mut(&key) {
                let (first, second) = chunk.as_slices();
                self.packet.clear();
                self.packet.extend_from_slice(first);
                self.packet.extend_from_slice(second);
                match take.push(&header, &self.packet[TapHeader::LEN..], unix_ns) {
                    Ok(true) => {}
                    Ok(false) => {
                        tracing::warn!(files = ?take.files(), "a recording has ended: it has the size or length of recording.max_mib or max_s");
                        ended.push((key, Ok(())));
                    }
                    Err(error) => {
                        ended.push((key, Err(error)));
                        self.takes.remove(&key);
                    }
                }
            }
            chunk.commit_all();
        }
        for (key, outcome) in ended {
            match outcome {
                Ok(()) => self.finish(key),
                Err(error) => self.failed(&error),
            }
        }
    }
}

/// The header of the next packet of a ring. A packet is there as a whole or not at all.
fn peek(tap: &mut rtrb::Consumer<u8>) -> Option<TapHeader> {
    let chunk = tap.read_chunk(TapHeader::LEN).ok()?;
    let (first, second) = chunk.as_slices();
    let mut octets = [0; TapHeader::LEN];
    octets[..first.len()].copy_from_slice(first);
    octets[first.len()..].copy_from_slice(second);
    // Not committed: it stays on the ring.
    let header = TapHeader::from_octets(&octets);
    debug_assert!(header.is_some(), "the ring is out of step");
    header
}

fn unix_ns() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};
    use tandem_codec::Level;
    use tandem_codec::g711::{self, Law};
    use tandem_codec::resample::Rate;
    use tandem_config::RecordingFormat;
    use tandem_contract::{Codec, LegSide, Nanos};

    const WORKER: WorkerId = WorkerId(0);

    fn flow(slot: u32) -> FlowId {
        FlowId { slot, generation: 1 }
    }

    struct Rig {
        recorder: Recorder,
        thread: JoinHandle<()>,
        ring: rtrb::Producer<u8>,
        directory: tempfile::TempDir,
    }

    impl Rig {
        fn new() -> Self {
            let (ring, tap) = rtrb::RingBuffer::new(100_000);
            let (recorder, thread) = Recorder::start(vec![(WORKER, tap)]).unwrap();
            Self { recorder, thread, ring, directory: tempfile::tempdir().unwrap() }
        }

        fn plan(&self, name: &str) -> Plan {
            Plan {
                stem: self.directory.path().join(name),
                formats: vec![RecordingFormat::Wav, RecordingFormat::Pcap],
                rate: Rate::Hz8000,
                max_s: 60,
                max_octets: u64::MAX,
            }
        }

        fn begin(&self, slot: u32, plan: Plan) -> io::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(self.recorder.begin((WORKER, flow(slot)), plan))
        }

        /// Packet number `number` of a leg, 20 ms each, all octets `value`.
        fn packet(&mut self, slot: u32, leg: LegSide, number: u16, value: u8) {
            let mut rtp = vec![0x80, 0];
            rtp.extend(number.to_be_bytes());
            rtp.extend((u32::from(number) * 160).to_be_bytes());
            rtp.extend([0, 0, 0, leg.index() as u8]);
            rtp.extend([value; 160]);
            let header = TapHeader {
                flow: flow(slot),
                leg,
                codec: Codec::Pcmu,
                is_beside_speech: false,
                received_at: Nanos(1_000 + u64::from(number) * 20_000_000),
                source: "192.0.2.1:4000".parse().unwrap(),
                local: "10.0.0.1:20000".parse().unwrap(),
                rtp_len: rtp.len() as u16,
            };
            let entry = [&header.to_octets()[..], &rtp].concat();
            self.ring.push_entire_slice(&entry).unwrap();
        }

        /// Ends the recorder, so that all is written.
        fn end(self) -> (tempfile::TempDir, Arc<RecorderState>) {
            let state = self.recorder.state.clone();
            drop(self.recorder);
            self.thread.join().unwrap();
            (self.directory, state)
        }
    }

    fn samples(path: &Path) -> Vec<i16> {
        hound::WavReader::open(path).unwrap().samples::<i16>().map(Result::unwrap).collect()
    }

    fn pcm(value: u8) -> i16 {
        let mut pcm = [0];
        g711::decode(Level::Scalar, Law::Mu, &[value], &mut pcm);
        pcm[0]
    }

    #[test]
    fn both_legs_are_written_side_by_side_with_what_was_lost_as_silence() {
        let mut rig = Rig::new();
        let plan = rig.plan("call");
        assert_eq!(plan.files().len(), 2);
        rig.begin(3, plan).unwrap();
        rig.packet(3, LegSide::A, 0, 1);
        rig.packet(3, LegSide::B, 1, 2);
        rig.packet(9, LegSide::A, 1, 99);
        rig.packet(3, LegSide::A, 2, 3);
        rig.recorder.finish((WORKER, flow(3)));
        let (directory, state) = rig.end();
        let mut expected = Vec::new();
        for (left, right) in [(pcm(1), 0), (0, pcm(2)), (pcm(3), 0)] {
            for _ in 0..160 {
                expected.extend([left, right]);
            }
        }
        assert_eq!(samples(&directory.path().join("call.wav")), expected);
        let pcap = std::fs::read(directory.path().join("call.pcap")).unwrap();
        assert_eq!(pcap.len(), 24 + 3 * (16 + 20 + 8 + 172));
        assert_eq!((state.finished.load(Relaxed), state.failed.load(Relaxed)), (1, 0));
    }

    #[test]
    fn recordings_that_nobody_ended_are_complete_when_the_recorder_ends() {
        let mut rig = Rig::new();
        rig.begin(1, rig.plan("one")).unwrap();
        rig.begin(2, rig.plan("two")).unwrap();
        for number in 0..100 {
            rig.packet(1, LegSide::A, number, 5);
            rig.packet(2, LegSide::B, number, 6);
        }
        let (directory, state) = rig.end();
        for name in ["one.wav", "two.wav"] {
            assert_eq!(samples(&directory.path().join(name)).len(), 2 * 16_000, "{name}");
        }
        assert_eq!(state.finished.load(Relaxed), 2);
    }

    #[test]
    fn a_recording_ends_at_its_longest_duration() {
        let mut rig = Rig::new();
        rig.begin(1, Plan { max_s: 1, ..rig.plan("call") }).unwrap();
        for number in 0..70 {
            rig.packet(1, LegSide::A, number, 5);
        }
        let (directory, state) = rig.end();
        assert_eq!(samples(&directory.path().join("call.wav")).len(), 2 * 8_000);
        assert_eq!(state.finished.load(Relaxed), 1);
    }

    #[test]
    fn a_recording_ends_when_its_files_are_as_large_as_they_may_be() {
        let mut rig = Rig::new();
        rig.begin(1, Plan { max_octets: 20_000, ..rig.plan("call") }).unwrap();
        for number in 0..70 {
            rig.packet(1, LegSide::A, number, 5);
        }
        let (directory, state) = rig.end();
        let octets = |name: &str| std::fs::metadata(directory.path().join(name)).unwrap().len();
        let both = octets("call.wav") + octets("call.pcap");
        assert!((19_000..=21_000).contains(&both), "{both} octets");
        assert_eq!(state.finished.load(Relaxed), 1);
    }

    #[test]
    fn what_the_disk_does_not_take_is_counted_and_hurts_nobody_else() {
        let mut rig = Rig::new();
        std::fs::write(rig.directory.path().join("taken.wav"), b"mine").unwrap();
        assert_eq!(rig.begin(1, rig.plan("taken")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let nowhere = Plan { stem: PathBuf::from("/proc/no/such/place"), ..rig.plan("x") };
        assert!(rig.begin(1, nowhere).is_err());
        rig.begin(4, Plan { formats: vec![RecordingFormat::Pcap], ..rig.plan("good") }).unwrap();
        rig.packet(4, LegSide::A, 0, 1);
        let (directory, state) = rig.end();
        assert_eq!(std::fs::read(directory.path().join("taken.wav")).unwrap(), b"mine");
        assert_eq!((state.finished.load(Relaxed), state.failed.load(Relaxed)), (1, 2));
    }
}
