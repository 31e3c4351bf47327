//! The loop around an engine: a clock, a device, and nothing else on its core.

use std::sync::atomic::{AtomicBool, Ordering};

use tandem_contract::Nanos;
use tandem_packet_io::{Burst, PacketIo};

use crate::{Engine, Progress};

/// Drives a run from its start to its end over `io`. `progress` is called about once a second, on this thread: it must not take its time.
/// Every round in which something is sent takes `throttle_ns` longer for each packet, for those who want to see a source at its limit.
pub fn drive<Io: PacketIo>(
    engine: &mut Engine<Io::Buf>,
    io: &mut Io,
    clock: &mut impl FnMut() -> Nanos,
    throttle_ns: u32,
    progress: &mut impl FnMut(Progress),
    stop: &AtomicBool,
) {
    let mut frames = Burst::new();
    let mut began = clock();
    engine.start(began);
    while !engine.is_over(began) {
        io.rx_burst(&mut frames);
        let now = clock();
        let received = engine.receive(now, &mut frames, io);
        let sent = engine.prepare(now, io);
        if sent {
            if throttle_ns > 0 {
                let until = clock().plus(u64::from(throttle_ns) * engine.waiting() as u64);
                while clock() < until {
                    std::hint::spin_loop();
                }
            }
            engine.depart(clock(), io);
        }
        if let Some(second) = engine.progress(now) {
            progress(second);
        }
        if stop.load(Ordering::Relaxed) {
            engine.end_early();
        }
        let ended = clock();
        if received || sent {
            engine.was_busy(ended.0.saturating_sub(began.0));
        }
        engine.round(began, ended, ran_ns);
        began = ended;
    }
}

/// Processor time of this thread, in nanoseconds.
fn ran_ns() -> Option<u64> {
    let ran = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Some(u64::try_from(ran.tv_sec).ok()? * 1_000_000_000 + u64::try_from(ran.tv_nsec).ok()?)
}
