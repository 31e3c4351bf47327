//! A stream whose speech is taken apart and put together anew: its codecs' state, and the packets it is cut into.

use arrayvec::ArrayVec;
use tandem_codec::transcode::Transcoder;

use crate::keys::KeysIndex;
use crate::reception::Verdict;
use crate::transcode::{FRAME_TICKS, MAX_PAYLOAD, Pair, TICKS_PER_MS};

/// The longest packets that are made, in milliseconds. Whoever would like longer ones (RFC 4566 §6: `ptime` is a wish) gets these.
const MAX_PTIME_MS: usize = 60;

/// Longest gap, in milliseconds, that is filled. Every codec's concealment has faded to silence by then.
const MAX_CONCEALED_MS: u32 = 60;

/// One direction of a call that is transcoded or re-framed. What each packet needs beside the codecs comes first.
#[repr(C, align(64))]
pub(crate) struct Pipeline {
    pub(crate) packets: Packetizer,
    pub(crate) transcoder: Transcoder,
    /// Where keys are carried over.
    pub(crate) keys: Option<KeysIndex>,
}

impl Pipeline {
    pub(crate) fn new(pair: Pair, ptime_ms: u8) -> Self {
        Self { packets: Packetizer::new(pair, ptime_ms), transcoder: pair.transcoder(), keys: None }
    }

    /// Reads a little of its parts, so that the cache misses of a burst overlap.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        u64::from(self.packets.start) ^ self.transcoder.from() as u64
    }

    /// Begins a stream in the same memory.
    pub(crate) fn reset(&mut self, pair: Pair, ptime_ms: u8, keys: Option<KeysIndex>) {
        *self = Self { keys, ..Self::new(pair, ptime_ms) };
    }
}

/// Cuts a stream of encoded speech into packets of one length and numbers them. Its sequence numbers are not those of the
/// packets that came: they start at 0 and have gaps where speech is missing.
#[repr(C)]
pub(crate) struct Packetizer {
    octets_per_packet: usize,
    ticks_per_packet: u32,
    /// The timestamp of the first octet that waits, or of the next one to come, in the clock of what comes.
    start: u32,
    sequence: u16,
    /// What the next packet says about the stream: that it starts, that it follows a silence.
    verdict: Verdict,
    marker: bool,
    heard_speech: bool,
    last_was_event: bool,
    /// Speech that waits for the rest of its packet.
    octets: ArrayVec<u8, { MAX_PTIME_MS * TICKS_PER_MS }>,
}

const _: () =
    assert!(size_of::<Pipeline>() <= 4864, "what a transcoded call takes is mostly two of these; see docs/CAPACITY.md");

/// The numbers of one packet, in the clock of what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) verdict: Verdict,
    pub(crate) marker: bool,
}

/// What lies between the speech so far and a packet that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// It goes on where the last one ended, or starts anew behind a silence or a long gap.
    Follows,
    /// So many ticks were lost and are to be concealed first.
    Lost(u32),
}

impl Packetizer {
    fn new(pair: Pair, ptime_ms: u8) -> Self {
        let ticks = ticks_of(ptime_ms);
        Self {
            ticks_per_packet: ticks as u32,
            octets_per_packet: pair.to.octets_of_speech(ticks).unwrap_or(ticks),
            octets: ArrayVec::new(),
            start: 0,
            sequence: 0,
            verdict: Verdict::Started,
            marker: true,
            heard_speech: false,
            last_was_event: false,
        }
    }

    /// Whether packets are as long as this packet time says.
    pub(crate) fn makes(&self, ptime_ms: u8) -> bool {
        self.ticks_per_packet as usize == ticks_of(ptime_ms)
    }

    /// Takes note of a packet of speech that starts at `timestamp`.
    pub(crate) fn join(&mut self, verdict: Verdict, timestamp: u32, marker: bool) -> Join {
        let gap = timestamp.wrapping_sub(self.end());
        let goes_on = self.heard_speech && verdict != Verdict::Started;
        let after_event = std::mem::take(&mut self.last_was_event);
        if goes_on && gap == 0 {
            self.marker |= marker;
            return Join::Follows;
        }
        let skipped = match verdict {
            Verdict::Next { skipped } => skipped,
            _ => 0,
        };
        if goes_on && skipped > 0 && !after_event && gap <= MAX_CONCEALED_MS * TICKS_PER_MS as u32 {
            self.marker |= marker;
            return Join::Lost(gap);
        }
        // What waits is less than a packet, and its rest will not come.
        self.octets.clear();
        self.sequence = self.sequence.wrapping_add(skipped);
        self.start = timestamp;
        self.marker = true;
        self.heard_speech = true;
        if verdict == Verdict::Started {
            self.verdict = Verdict::Started;
        }
        Join::Follows
    }

    /// Concealment made nothing of a gap: it stays one.
    pub(crate) fn leave_gap(&mut self, ticks: u32) {
        self.start = self.end().wrapping_add(ticks);
        self.octets.clear();
        self.sequence = self.sequence.wrapping_add((ticks / self.ticks_per_packet).max(1) as u16);
    }

    /// The numbers of an event packet between the packets of speech.
    pub(crate) fn event(&mut self, verdict: Verdict, timestamp: u32, marker: bool) -> Cut {
        self.last_was_event = true;
        let verdict = match (verdict, self.verdict) {
            (Verdict::Started, _) | (_, Verdict::Started) => Verdict::Started,
            (other, _) => other,
        };
        self.verdict = Verdict::Next { skipped: 0 };
        Cut { timestamp, verdict, marker, sequence: self.next_sequence() }
    }

    /// Whether so many octets that were made are a packet as they are, with nothing to wait for.
    pub(crate) fn is_packet(&self, octets: usize) -> bool {
        self.octets.is_empty() && octets == self.octets_per_packet
    }

    /// Takes in what was made, up to the end of a packet. Where that is reached, `made` begins behind it: the packet's numbers,
    /// and its octets written to `payload`. Otherwise all of it waits for the rest.
    pub(crate) fn feed(&mut self, made: &mut &[u8], payload: &mut [u8; MAX_PAYLOAD]) -> Option<(Cut, usize)> {
        let len = self.octets_per_packet;
        let missing = len - self.octets.len();
        let Some((last, rest)) = made.split_at_checked(missing) else {
            // Less than a packet, which is what there is room for.
            let waits = self.octets.try_extend_from_slice(std::mem::take(made));
            debug_assert!(waits.is_ok());
            return None;
        };
        *made = rest;
        for (octet, whole) in payload.iter_mut().zip(self.octets.drain(..).chain(last.iter().copied())) {
            *octet = whole;
        }
        Some((self.cut(), len))
    }

    /// What waits, as a packet shorter than the others, because what follows is not speech; with the silence descriptor that
    /// ends it, where there is one.
    pub(crate) fn flush(&mut self, descriptor: &[u8], payload: &mut [u8; MAX_PAYLOAD]) -> Option<(Cut, usize)> {
        let speech_ends = self.end();
        let octets = self.octets.drain(..).chain(descriptor.iter().copied());
        let len = payload.iter_mut().zip(octets).map(|(to, octet)| *to = octet).count();
        if len == 0 {
            return None;
        }
        let cut = self.cut();
        self.start = if descriptor.is_empty() { speech_ends } else { speech_ends.wrapping_add(FRAME_TICKS as u32) };
        self.marker |= !descriptor.is_empty();
        Some((cut, len))
    }

    /// The numbers of a silence descriptor that is a packet of its own. Nothing waits before it.
    pub(crate) fn describe(&mut self) -> Cut {
        let cut = self.cut();
        self.start = cut.timestamp.wrapping_add(FRAME_TICKS as u32);
        self.marker = true;
        Cut { marker: false, ..cut }
    }

    /// Nothing is sent up to a timestamp; what waits was flushed.
    pub(crate) fn pass_over(&mut self, to: u32) {
        self.marker |= to != self.start;
        self.start = to;
    }

    /// The numbers of the next packet.
    pub(crate) fn cut(&mut self) -> Cut {
        let timestamp = self.start;
        let verdict = std::mem::replace(&mut self.verdict, Verdict::Next { skipped: 0 });
        let marker = std::mem::take(&mut self.marker);
        self.start = timestamp.wrapping_add(self.ticks_per_packet);
        Cut { timestamp, verdict, marker, sequence: self.next_sequence() }
    }

    /// The timestamp behind the last octet.
    pub(crate) fn end(&self) -> u32 {
        let waiting = self.octets.len() * self.ticks_per_packet as usize / self.octets_per_packet;
        self.start.wrapping_add(waiting as u32)
    }

    /// Ticks of a packet.
    pub(crate) const fn ticks_per_packet(&self) -> usize {
        self.ticks_per_packet as usize
    }

    fn next_sequence(&mut self) -> u16 {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        sequence
    }
}

/// Ticks of a packet; what not every codec here can send is taken as the usual 20 ms.
fn ticks_of(ptime_ms: u8) -> usize {
    let sensible = ptime_ms >= 10 && ptime_ms.is_multiple_of(10);
    TICKS_PER_MS * if sensible { MAX_PTIME_MS.min(ptime_ms.into()) } else { 20 }
}

#[cfg(test)]
mod tests {
    use tandem_codec::transcode::{Codec, Silence};

    use super::*;
    use crate::keys::Carry;

    const NEXT: Verdict = Verdict::Next { skipped: 0 };

    fn packetizer(to: Codec, ptime_ms: u8) -> Packetizer {
        Packetizer::new(Pair { from: Codec::Pcmu, to, silence: Silence::AsSpeech, keys: Carry::AsTheyAre }, ptime_ms)
    }

    /// Lets speech in and returns the packets that are whole: sequence, timestamp, length.
    fn feed(packets: &mut Packetizer, mut made: &[u8]) -> Vec<(u16, u32, usize)> {
        let mut payload = [0; MAX_PAYLOAD];
        let next = || packets.feed(&mut made, &mut payload).map(|(cut, len)| (cut.sequence, cut.timestamp, len));
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn octets_are_cut_where_packets_end_and_no_packet_is_longer_than_60_ms() {
        let mut packets = packetizer(Codec::Pcmu, 120);
        packets.join(Verdict::Started, 0, true);
        let speech: Vec<u8> = (0..960).map(|n| (n / 4) as u8).collect();
        let (mut payload, mut cut) = ([0; MAX_PAYLOAD], Vec::new());
        for mut made in [&speech[..100], &speech[100..]] {
            while let Some((_, len)) = packets.feed(&mut made, &mut payload) {
                cut.push(payload[..len].to_vec());
            }
        }
        assert_eq!(cut, [&speech[..480], &speech[480..]]);
    }

    #[test]
    fn ten_become_thirty_and_thirty_become_twenty() {
        let mut packets = packetizer(Codec::G722, 30);
        packets.join(Verdict::Started, 1000, true);
        assert_eq!(feed(&mut packets, &[1; 80]), []);
        assert_eq!(packets.join(NEXT, 1080, false), Join::Follows);
        assert_eq!(feed(&mut packets, &[2; 80]), []);
        assert_eq!(packets.join(NEXT, 1160, false), Join::Follows);
        assert_eq!(feed(&mut packets, &[3; 80]), [(0, 1000, 240)]);

        let mut packets = packetizer(Codec::G729, 20);
        packets.join(Verdict::Started, 0, true);
        assert_eq!(feed(&mut packets, &[1; 30]), [(0, 0, 20)]);
        assert_eq!(packets.join(NEXT, 240, false), Join::Follows);
        assert_eq!(feed(&mut packets, &[1; 30]), [(1, 160, 20), (2, 320, 20)]);
    }

    #[test]
    fn a_short_loss_is_to_be_concealed_and_a_long_one_stays_a_gap() {
        let mut packets = packetizer(Codec::G722, 20);
        packets.join(Verdict::Started, 0, true);
        assert_eq!(feed(&mut packets, &[1; 160]), [(0, 0, 160)]);
        assert_eq!(packets.join(Verdict::Next { skipped: 2 }, 480, false), Join::Lost(320));
        assert_eq!(feed(&mut packets, &[0; 320]).len(), 2);
        assert_eq!(feed(&mut packets, &[1; 160]), [(3, 480, 160)]);
        assert_eq!(packets.join(Verdict::Next { skipped: 10 }, 2240, false), Join::Follows);
        assert!(packets.marker);
        assert_eq!(feed(&mut packets, &[1; 160]), [(14, 2240, 160)]);
    }

    #[test]
    fn silence_that_was_not_sent_is_no_loss() {
        let mut packets = packetizer(Codec::G722, 20);
        packets.join(Verdict::Started, 0, true);
        feed(&mut packets, &[1; 160]);
        assert_eq!(packets.join(NEXT, 80_000, true), Join::Follows);
        assert_eq!(feed(&mut packets, &[1; 160]), [(1, 80_000, 160)]);
    }

    #[test]
    fn what_waits_for_a_rest_that_never_comes_is_left_out() {
        let mut packets = packetizer(Codec::G722, 20);
        packets.join(Verdict::Started, 0, true);
        assert_eq!(feed(&mut packets, &[1; 100]), []);
        packets.join(Verdict::Started, 7777, true);
        assert_eq!(feed(&mut packets, &[1; 160]), [(0, 7777, 160)]);
        packets.leave_gap(320);
        assert_eq!(feed(&mut packets, &[1; 160]), [(3, 8257, 160)]);
    }

    #[test]
    fn events_are_numbered_among_the_speech_and_the_pause_behind_them_is_not_concealed() {
        let mut packets = packetizer(Codec::G722, 20);
        packets.join(Verdict::Started, 0, true);
        feed(&mut packets, &[1; 160]);
        for sequence in 1..4 {
            let cut = packets.event(NEXT, 160, sequence == 1);
            assert_eq!((cut.sequence, cut.timestamp, cut.verdict), (sequence, 160, NEXT));
        }
        assert_eq!(packets.join(Verdict::Next { skipped: 1 }, 800, false), Join::Follows);
        assert_eq!(feed(&mut packets, &[1; 160]), [(5, 800, 160)]);
    }
}
