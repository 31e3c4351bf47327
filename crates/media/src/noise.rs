//! Comfort noise for a leg that hears speech alone, for as long as the other leg has described its silence and sends nothing:
//! made packet by packet when they are due, in the codecs' batches like speech.

use tandem_contract::Nanos;
use tandem_packet_io::PacketBuf;

use crate::batch::{Came, Pending};
use crate::egress::Egress;
use crate::engine::Engine;
use crate::port_table::StreamIndex;
use crate::stream::{Exit, Treatment};
use crate::transcode::{Conversion, TICKS_PER_MS};

/// How far descriptions may run ahead of the noise that they describe.
const MAX_AHEAD_NS: u64 = 200_000_000;

/// Noise that is being made for a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    stream: StreamIndex,
    /// When its next packet is to be made.
    due: Nanos,
}

const fn ns(ticks: usize) -> u64 {
    ticks as u64 * 1_000_000 / TICKS_PER_MS as u64
}

impl<B: PacketBuf> Engine<B> {
    /// A packet of noise is being made, and others follow. They come half a packet behind their time, so that speech that
    /// begins again finds its place free.
    pub(crate) fn begin_noise(&mut self, now: Nanos, index: StreamIndex, ticks: usize) {
        let noise = Noise { stream: index, due: now.plus(ns(ticks + ticks / 2)) };
        // There is room for one of each stream that has a pipeline.
        self.rare[index.at()].noise = Some(self.noises.len() as u32);
        self.noises.push(noise);
    }

    /// A packet of noise is made out of turn, because it is described anew; `false` where that happens all too often.
    pub(crate) fn put_off_noise(&mut self, now: Nanos, index: StreamIndex, ticks: usize) -> bool {
        let place = self.rare[index.at()].noise;
        let Some(noise) = place.and_then(|at| self.noises.get_mut(at as usize)) else { return false };
        let due = noise.due.plus(ns(ticks));
        let is_sensible = due <= now.plus(MAX_AHEAD_NS);
        if is_sensible {
            noise.due = due;
        }
        is_sensible
    }

    /// Speech goes on, or the stream ends.
    pub(crate) fn end_noise(&mut self, index: StreamIndex) {
        let Some(at) = self.rare[index.at()].noise.take() else { return };
        let at = at as usize;
        self.noises.swap_remove(at);
        if let Some(moved) = self.noises.get(at) {
            self.rare[moved.stream.at()].noise = Some(at as u32);
        }
    }

    /// Makes all noise that is due.
    pub(crate) fn run_noises<E: Egress<Buf = B>>(&mut self, now: Nanos, egress: &mut E) {
        let mut at = 0;
        while let Some(Noise { stream, due }) = self.noises.get(at).copied() {
            if now >= due {
                let Some(ticks) = self.make_noise(now, stream, egress) else {
                    self.end_noise(stream);
                    continue;
                };
                let next = due.plus(ns(ticks));
                self.noises[at].due = if next > now { next } else { now.plus(ns(ticks)) };
            }
            at += 1;
        }
    }

    /// Lets one packet of noise join its batch, unless nobody would hear it, or sends one of a key's tone; how many ticks it
    /// stands for, where others follow.
    fn make_noise<E: Egress<Buf = B>>(&mut self, now: Nanos, index: StreamIndex, egress: &mut E) -> Option<usize> {
        const NOT_NOW: Option<usize> = Some(20 * TICKS_PER_MS);
        let stream = &self.streams[index.at()];
        let Treatment::Transcode(Conversion::Linear(pair)) = stream.treatment else { return NOT_NOW };
        if matches!(stream.exit, Exit::Closed(_)) || stream.beside.playback.is_some() {
            return NOT_NOW;
        }
        let Ok(mut pipeline) = self.take_pipeline(now, pair, index, egress) else { return NOT_NOW };
        let ticks = pipeline.packets.ticks_per_packet();
        if self.keys.is_sounding(pipeline.keys) {
            let goes_on = self.make_tone(now, index, &mut pipeline, egress);
            self.rare[index.at()].pipeline = Some(pipeline);
            return goes_on.then_some(ticks);
        }
        let Some(frame) = self.originate(egress) else {
            self.rare[index.at()].pipeline = Some(pipeline);
            return Some(ticks);
        };
        self.counters.frames_of_noise.add(1);
        let pending = Pending {
            stream: index,
            frame,
            received_at: now,
            joined_at: now,
            payload_at: 0,
            payload_len: 0,
            came: Came::Nothing { ticks },
            pipeline,
        };
        self.join_batch(now, pair, pending, egress);
        Some(ticks)
    }
}
