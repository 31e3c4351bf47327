//! Clips that a leg hears in place of the other party: sent packet by packet when they are due, on the leg's own line of
//! sequence numbers and timestamps.

use std::sync::Arc;

use tandem_contract::{Clip, ClipId, DropReason, Event, LegSide, Nanos, Refusal};
use tandem_packet_io::PacketBuf;
use tandem_wire::rtp;

use crate::continuity::Heard;
use crate::egress::Egress;
use crate::engine::Engine;
use crate::flow::{leg_of, stream_of};
use crate::key_press::KeyPress;
use crate::port_table::StreamIndex;
use crate::reception::Verdict;
use crate::stream::{Content, Exit};

/// A core that stood still for so long does not make up for it: what follows is late, and its timestamps say so.
const MAX_LATE_MS: u32 = 100;

/// What is played instead of what a stream receives.
pub(crate) struct Playback {
    /// Its receiving leg is silenced, its sending leg hears the clip.
    pub(crate) stream: StreamIndex,
    pub(crate) what: What,
    pub(crate) pace: Pace,
}

/// What is played.
pub(crate) enum What {
    Clip(Playing),
    /// A key, as a telephone event.
    Key(KeyPress),
}

/// A clip under way.
pub(crate) struct Playing {
    clip: Arc<Clip>,
    /// Milliseconds into the clip.
    position_ms: u32,
    repeats: bool,
    /// It is what a leg on hold hears, and ends with the hold.
    is_hold: bool,
}

impl Playback {
    const fn is_hold(&self) -> bool {
        matches!(&self.what, What::Clip(Playing { is_hold: true, .. }))
    }
}

/// When which packet is due, and its numbers, as those of a source of its own.
#[derive(Debug)]
pub(crate) struct Pace {
    due: Nanos,
    sequence: u16,
    timestamp: u32,
    verdict: Verdict,
}

impl Pace {
    /// The first packet is due now.
    pub(crate) const fn new(now: Nanos) -> Self {
        Self { due: now, sequence: 0, timestamp: 0, verdict: Verdict::Started }
    }

    /// Whether the next packet is due, or what comes after the last one.
    pub(crate) fn is_due(&self, now: Nanos) -> bool {
        now >= self.due
    }

    /// The next packet, of `ptime_ms` in a clock of `khz`, where it is due.
    pub(crate) fn next(&mut self, now: Nanos, ptime_ms: u32, khz: u32) -> Option<Heard> {
        if !self.is_due(now) {
            return None;
        }
        let late_ms = now.since(self.due) / 1_000_000;
        let stood_still = late_ms > u64::from(MAX_LATE_MS);
        if stood_still {
            self.due = self.due.plus(late_ms * 1_000_000);
            self.timestamp = self.timestamp.wrapping_add((late_ms as u32).wrapping_mul(khz));
        }
        let verdict = std::mem::replace(&mut self.verdict, Verdict::Next { skipped: 0 });
        let marker = stood_still || verdict == Verdict::Started;
        let (sequence, timestamp) = (self.sequence, self.timestamp);
        self.due = self.due.plus(u64::from(ptime_ms) * 1_000_000);
        self.sequence = sequence.wrapping_add(1);
        self.timestamp = timestamp.wrapping_add(ptime_ms * khz);
        Some(Heard { now_us: now.0 / 1000, sequence, timestamp, marker, verdict, is_event: false })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    GoesOn,
    IsOver,
}

impl<B: PacketBuf> Engine<B> {
    /// Takes a clip into the table, or out of it.
    pub fn on_clip(&mut self, id: ClipId, clip: Option<Arc<Clip>>) {
        if let Some(place) = self.clips.get_mut(usize::from(id.0)) {
            *place = clip;
        }
    }

    /// Lets `leg` of the flow in `slot` hear a clip.
    pub(crate) fn start_playback(
        &mut self,
        now: Nanos,
        slot: u32,
        leg: LegSide,
        id: ClipId,
        repeats: bool,
    ) -> Result<(), Refusal> {
        let format = self.flows[slot as usize].as_ref().and_then(|flow| flow.legs[leg.index()].format);
        let codec = format.ok_or(Refusal::LegNotReady)?.codec;
        let clip = self.clips.get(usize::from(id.0)).and_then(Option::as_ref).filter(|clip| clip.has(codec));
        let clip = Arc::clone(clip.ok_or(Refusal::ClipUnavailable)?);
        let stream = stream_of(slot, leg.other());
        let is_hold = id == ClipId::HOLD;
        let what = What::Clip(Playing { clip, position_ms: 0, repeats, is_hold });
        let playback = Playback { stream, what, pace: Pace::new(now) };
        let beside = &mut self.streams[stream.at()].beside;
        match beside.playback {
            Some(at) => self.playbacks[at as usize] = playback,
            // There is room for one of each stream.
            None => {
                beside.playback = Some(self.playbacks.len() as u32);
                self.playbacks.push(playback);
            }
        }
        Ok(())
    }

    /// What `leg` hears instead of the other party ends; what it hears on hold may follow.
    pub(crate) fn stop_playback(&mut self, now: Nanos, slot: u32, leg: LegSide) {
        let stream = stream_of(slot, leg.other());
        if let Some(at) = self.streams[stream.at()].beside.playback {
            self.forget_playback(at as usize);
            self.look_after_hold(now, slot, leg);
        }
    }

    /// Begins or ends what a leg hears on hold, as its configuration has it. A clip that was asked for goes on.
    pub(crate) fn look_after_hold(&mut self, now: Nanos, slot: u32, leg: LegSide) {
        let Some(flow) = self.flows[slot as usize].as_ref().filter(|flow| !flow.stands_by) else { return };
        let config = &flow.legs[leg.index()];
        let is_held = config.held && config.direction.sends();
        let playing = self.streams[stream_of(slot, leg.other()).at()].beside.playback;
        match playing {
            None if is_held => {
                // Without a clip for its codec the leg hears what the other party sends.
                let _ = self.start_playback(now, slot, leg, ClipId::HOLD, true);
            }
            Some(at) if !is_held && self.playbacks[at as usize].is_hold() => self.forget_playback(at as usize),
            _ => {}
        }
    }

    /// Sends the packets of all clips that are due.
    pub(crate) fn run_playbacks<E: Egress<Buf = B>>(&mut self, now: Nanos, egress: &mut E) {
        let mut at = 0;
        while let Some(playback) = self.playbacks.get(at) {
            let (slot, receives) = leg_of(playback.stream);
            match self.advance(now, at, egress) {
                Progress::GoesOn => at += 1,
                Progress::IsOver => {
                    self.forget_playback(at);
                    self.look_after_hold(now, slot, receives.other());
                }
            }
        }
    }

    /// Sends what of one clip is due.
    fn advance<E: Egress<Buf = B>>(&mut self, now: Nanos, at: usize, egress: &mut E) -> Progress {
        loop {
            let Playback { stream: index, what, pace } = &mut self.playbacks[at];
            let What::Clip(playback) = what else { return self.advance_key(now, at, egress) };
            if !pace.is_due(now) {
                return Progress::GoesOn;
            }
            let index = *index;
            let (slot, receives) = leg_of(index);
            let leg = receives.other();
            let Some(flow) = &self.flows[slot as usize] else { return Progress::IsOver };
            let format = flow.legs[leg.index()].format;
            let Some(format) = format.filter(|format| playback.clip.has(format.codec)) else {
                return self.report_end(slot, leg, at);
            };
            if playback.position_ms >= playback.clip.duration_ms() {
                if !playback.repeats {
                    return self.report_end(slot, leg, at);
                }
                playback.position_ms = 0;
            }
            let ptime_ms = usual_ptime_ms(format.ptime_ms);
            let khz = self.streams[index.at()].receive_khz.into();
            let Some(heard) = pace.next(now, ptime_ms, khz) else { return Progress::GoesOn };
            let from_ms = playback.position_ms;
            playback.position_ms += ptime_ms;
            if !playback.repeats || playback.position_ms <= playback.clip.duration_ms() {
                let clip = Arc::clone(&playback.clip);
                let first = clip.frames(format.codec, from_ms, ptime_ms).unwrap_or_default();
                self.send_clip(now, index, heard, [first, &[]], egress);
                continue;
            }
            // Around the end of a clip that repeats: the rest of it, and its beginning. A clip may be shorter than a packet.
            let clip = Arc::clone(&playback.clip);
            let rest_ms = clip.duration_ms() - from_ms;
            let begin_ms = (ptime_ms - rest_ms).min(clip.duration_ms());
            playback.position_ms = begin_ms;
            let rest = clip.frames(format.codec, from_ms, rest_ms).unwrap_or_default();
            let begin = clip.frames(format.codec, 0, begin_ms).unwrap_or_default();
            self.send_clip(now, index, heard, [rest, begin], egress);
        }
    }

    /// A clip is over once control can be told; one that a leg hears on hold is nothing to tell.
    fn report_end(&mut self, slot: u32, leg: LegSide, at: usize) -> Progress {
        let Some(flow) = self.flows[slot as usize].as_ref().map(|flow| flow.id) else { return Progress::IsOver };
        if self.playbacks[at].is_hold() || self.events.push(Event::PlaybackEnded { flow, leg }) {
            Progress::IsOver
        } else {
            Progress::GoesOn
        }
    }

    fn send_clip<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        index: StreamIndex,
        heard: Heard,
        parts: [&[u8]; 2],
        egress: &mut E,
    ) {
        let Exit::Open(departure) = &self.streams[index.at()].exit else {
            // The clip plays on for when the leg can be reached.
            return;
        };
        let rtp_at = departure.header_len();
        let payload_at = rtp_at + rtp::HEADER_LEN;
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        // Without a buffer its place stays a gap.
        let Some(mut frame) = self.originate(egress) else { return };
        let sent = frame.set_len(payload_at + len).map_err(|_| DropReason::FrameTooLong).and_then(|()| {
            let bytes = frame.data_mut();
            bytes[rtp_at] = rtp::PLAIN_FIRST_OCTET;
            let (first, second) = bytes[payload_at..].split_at_mut(parts[0].len());
            first.copy_from_slice(parts[0]);
            second.copy_from_slice(parts[1]);
            self.send_rtp(index, frame, now, heard, Content::Speech, egress)
        });
        match sent {
            Ok(()) => self.counters.packets_played.add(1),
            Err(reason) => self.drop_frame(reason),
        }
    }

    /// Takes a playback off the list. The stream's own packets join on to what was played.
    pub(crate) fn forget_playback(&mut self, at: usize) {
        let ended = self.playbacks.swap_remove(at);
        let stream = &mut self.streams[ended.stream.at()];
        stream.beside.playback = None;
        stream.continuity.interrupt();
        if let Some(moved) = self.playbacks.get(at) {
            self.streams[moved.stream.at()].beside.playback = Some(at as u32);
        }
    }
}

/// Packets are cut between frames of 10 ms, and are no longer than a clip's tail.
pub(crate) const fn usual_ptime_ms(ptime_ms: u8) -> u32 {
    let ptime_ms = ptime_ms as u32;
    if ptime_ms >= 10 && ptime_ms <= Clip::TAIL_MS && ptime_ms.is_multiple_of(10) { ptime_ms } else { 20 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packets_are_sent_at_their_time_in_a_row_however_the_clock_ticks(
            ticks in proptest::collection::vec(0_u64..130_000_000, 1..200),
            ptime_ms in prop::sample::select(vec![10_u32, 20, 30, 60]),
            khz in prop::sample::select(vec![8_u32, 48]),
        ) {
            let start = Nanos(5_000_000);
            let mut pace = Pace::new(start);
            let (mut now, mut due, mut timestamp, mut sequence) = (start, start, 0_u32, 0_u16);
            for tick in ticks {
                now = now.plus(tick);
                while let Some(heard) = pace.next(now, ptime_ms, khz) {
                    prop_assert!(now >= due, "never early");
                    let late_ms = now.since(due) / 1_000_000;
                    let expected = if late_ms > u64::from(MAX_LATE_MS) {
                        // Time that passed while nothing was sent is a gap, by whole milliseconds.
                        due = due.plus(late_ms * 1_000_000);
                        timestamp.wrapping_add(late_ms as u32 * khz)
                    } else {
                        timestamp
                    };
                    prop_assert_eq!(heard.timestamp, expected);
                    prop_assert_eq!(heard.sequence, sequence);
                    prop_assert_eq!(heard.marker, sequence == 0 || late_ms > u64::from(MAX_LATE_MS));
                    due = due.plus(u64::from(ptime_ms) * 1_000_000);
                    timestamp = expected.wrapping_add(ptime_ms * khz);
                    sequence += 1;
                }
                prop_assert!(now < due, "all that was due was sent");
            }
        }
    }
}
