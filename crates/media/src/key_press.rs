//! Keys that control asks for, as telephone events (RFC 4733) on the leg's own line of sequence numbers and timestamps.

use tandem_codec::dtmf;
use tandem_contract::{DropReason, EventCode, LegSide, Nanos, Refusal};
use tandem_packet_io::PacketBuf;
use tandem_wire::rtp;

use crate::continuity::Heard;
use crate::egress::Egress;
use crate::engine::Engine;
use crate::flow::{leg_of, stream_of};
use crate::playback::{Pace, Playback, Progress, What, usual_ptime_ms};
use crate::port_table::StreamIndex;
use crate::stream::{Content, Exit};

/// How often the last packet of an event is sent (RFC 4733 §2.5.1.4).
const LAST_SENT: u8 = 3;
/// The level that the event tells (RFC 4733 §2.3.3): what a telephone usually sends.
const USUAL_MINUS_DBM0: u8 = 10;

/// A key that is being sent.
#[derive(Debug)]
pub(crate) struct KeyPress {
    code: EventCode,
    duration_ms: u32,
    /// What its packets have told so far.
    told_ms: u32,
    /// How often its end is still to be said.
    ends_left: u8,
    /// When its first packet left, in microseconds.
    started_us: Option<u64>,
}

impl KeyPress {
    /// What the next packet tells, one of `ptime_ms` in a clock of `khz`.
    fn next(&mut self, ptime_ms: u32, khz: u32) -> dtmf::Event {
        self.told_ms = (self.told_ms + ptime_ms).min(self.duration_ms);
        let end = self.told_ms == self.duration_ms;
        self.ends_left -= u8::from(end);
        let duration = u16::try_from(self.told_ms * khz).unwrap_or(u16::MAX);
        dtmf::Event { code: self.code.0, end, minus_dbm0: USUAL_MINUS_DBM0, duration }
    }
}

impl<B: PacketBuf> Engine<B> {
    /// Begins to send `leg` of the flow in `slot` a key.
    pub(crate) fn send_key(
        &mut self,
        now: Nanos,
        slot: u32,
        leg: LegSide,
        code: EventCode,
        duration_ms: u16,
    ) -> Result<(), Refusal> {
        let format = self.flows[slot as usize].as_ref().and_then(|flow| flow.legs[leg.index()].format);
        format.ok_or(Refusal::LegNotReady)?.telephone_event.ok_or(Refusal::NoTelephoneEvents)?;
        let stream = stream_of(slot, leg.other());
        if self.streams[stream.at()].beside.playback.is_some() {
            return Err(Refusal::FunctionsExhausted);
        }
        let duration_ms = u32::from(duration_ms.max(1));
        let press = KeyPress { code, duration_ms, told_ms: 0, ends_left: LAST_SENT, started_us: None };
        // There is room for one of each stream.
        self.streams[stream.at()].beside.playback = Some(self.playbacks.len() as u32);
        self.playbacks.push(Playback { stream, what: What::Key(press), pace: Pace::new(now) });
        Ok(())
    }

    /// Sends what of a key is due: its event, longer with each packet.
    #[cold]
    pub(crate) fn advance_key<E: Egress<Buf = B>>(&mut self, now: Nanos, at: usize, egress: &mut E) -> Progress {
        loop {
            let Playback { stream: index, what: What::Key(press), pace } = &mut self.playbacks[at] else {
                return Progress::GoesOn;
            };
            if !pace.is_due(now) {
                return Progress::GoesOn;
            }
            let index = *index;
            if press.ends_left == 0 {
                if let Some(started_us) = press.started_us {
                    self.streams[index.at()].continuity.end_event(started_us);
                }
                return Progress::IsOver;
            }
            let (slot, receives) = leg_of(index);
            let format = self.flows[slot as usize].as_ref().and_then(|flow| flow.legs[receives.other().index()].format);
            let Some(format) = format.filter(|format| format.telephone_event.is_some()) else {
                return Progress::IsOver;
            };
            let ptime_ms = usual_ptime_ms(format.ptime_ms);
            let khz = self.streams[index.at()].receive_khz.into();
            let Some(heard) = pace.next(now, ptime_ms, khz) else { return Progress::GoesOn };
            let event = press.next(ptime_ms, format.codec.clock_rate_hz() / 1000);
            // All its packets have the timestamp of its beginning.
            let heard = Heard { timestamp: 0, is_event: true, ..heard };
            let sent = self.send_event(index, now, heard, event, egress);
            let What::Key(press) = &mut self.playbacks[at].what else { return Progress::GoesOn };
            if sent {
                press.started_us.get_or_insert(heard.now_us);
            }
        }
    }

    fn send_event<E: Egress<Buf = B>>(
        &mut self,
        index: StreamIndex,
        now: Nanos,
        heard: Heard,
        event: dtmf::Event,
        egress: &mut E,
    ) -> bool {
        let Exit::Open(departure) = &self.streams[index.at()].exit else { return false };
        let rtp_at = departure.header_len();
        let payload = event.payload();
        let Some(mut frame) = self.originate(egress) else { return false };
        let fits = frame.set_len(rtp_at + rtp::HEADER_LEN + payload.len()).map_err(|_| DropReason::FrameTooLong);
        let sent = fits.and_then(|()| {
            let bytes = frame.data_mut();
            bytes[rtp_at] = rtp::PLAIN_FIRST_OCTET;
            bytes[rtp_at + rtp::HEADER_LEN..].copy_from_slice(&payload);
            self.send_rtp(index, frame, now, heard, Content::Event, egress)
        });
        if let Err(reason) = sent {
            self.drop_frame(reason);
        }
        sent.is_ok()
    }
}
