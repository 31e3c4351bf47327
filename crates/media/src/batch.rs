//! Frames of many calls, taken through a codec together.
//!
//! A frame joins the batch of its kind of conversion. The batch runs when it is full, when its oldest frame has waited for
//! the deadline, or when the core is idle. A stream has one frame in a batch at most, and that frame has the stream's codec
//! state with it: a second one makes the batch run first.

use arrayvec::ArrayVec;
use tandem_codec::Level;
use tandem_codec::g729::bitstream::SPEECH_OCTETS;
use tandem_codec::transcode::{self, Input, Made, TranscodeError, TranscodeJob, transcode_batch};
use tandem_contract::{DropReason, Nanos, Stage};
use tandem_packet_io::PacketBuf;

use crate::continuity::Heard;
use crate::egress::Egress;
use crate::engine::Engine;
use crate::pipeline::{Cut, Packetizer, Pipeline};
use crate::port_table::StreamIndex;
use crate::stream::{Content, Exit};
use crate::transcode::{MAX_PAYLOAD, Pair};

/// Frames in one batch at most: what the widest kernel takes in lock-step.
pub(crate) const BATCH_CAPACITY: usize = 32;

/// One packet that waits for its batch to run. It has its stream's codec state with it.
pub(crate) struct Pending<B> {
    pub(crate) stream: StreamIndex,
    pub(crate) frame: B,
    /// When it was received, and when it joined the batch: the same but for what another worker handed over.
    pub(crate) received_at: Nanos,
    pub(crate) joined_at: Nanos,
    /// Where the payload is.
    pub(crate) payload_at: usize,
    pub(crate) payload_len: usize,
    pub(crate) came: Came,
    pub(crate) pipeline: Box<Pipeline>,
}

/// What has come, or was to come, for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// A payload of the codec's own.
    Speech,
    /// Comfort noise, of which so many ticks are made now.
    Noise { ticks: usize },
    /// Nothing, for so many ticks: the frame is a new one, for what is made of that.
    Nothing { ticks: usize },
}

/// Frames that go through a codec together.
type Batch<B> = ArrayVec<Pending<B>, BATCH_CAPACITY>;

/// The frames that wait, by kind of batch.
pub(crate) struct Batches<B> {
    waiting: [Box<Batch<B>>; Pair::KINDS],
    /// Stands in for the batch that runs; `None` while one does.
    spare: Option<Box<Batch<B>>>,
    /// When the first of all frames that wait has waited long enough; never earlier than that.
    due: Option<Nanos>,
    deadline_ns: u64,
    /// The payloads that a batch makes, before they are put into their frames, and one that is cut from them.
    made: Box<[[u8; MAX_PAYLOAD]; BATCH_CAPACITY + 1]>,
}

/// The place of the payload that is no packet's own.
pub(crate) const CUT: usize = BATCH_CAPACITY;

impl<B: PacketBuf> Batches<B> {
    pub(crate) fn new(deadline_ns: u64) -> Self {
        Self {
            waiting: std::array::from_fn(|_| Box::default()),
            spare: Some(Box::default()),
            due: None,
            deadline_ns,
            made: Box::new([[0; MAX_PAYLOAD]; BATCH_CAPACITY + 1]),
        }
    }

    /// A payload to be sent as that at [`CUT`].
    pub(crate) fn set_payload(&mut self, payload: &[u8]) {
        self.made[CUT][..payload.len()].copy_from_slice(payload);
    }

    /// The next packet that is cut from the octets `from..to` of the nth payload, which begins behind it then.
    fn cut(&mut self, packets: &mut Packetizer, nth: usize, (from, to): (&mut usize, usize)) -> Option<(Cut, usize)> {
        let (made, cut) = self.made_and_cut(nth);
        let mut rest = &made[*from..to];
        let whole = packets.feed(&mut rest, cut);
        *from = to - rest.len();
        whole
    }

    /// The nth payload that a batch has made, and that at [`CUT`].
    fn made_and_cut(&mut self, nth: usize) -> (&[u8; MAX_PAYLOAD], &mut [u8; MAX_PAYLOAD]) {
        let [made @ .., cut] = &mut *self.made;
        (&made[nth], cut)
    }

    /// Whether some batch has to run now.
    #[inline]
    pub(crate) fn is_due(&self, now: Nanos, idle: bool) -> bool {
        self.due.is_some_and(|due| idle || now >= due)
    }

    /// When the oldest frame of a batch has waited long enough.
    fn due_of(&self, kind: usize) -> Option<Nanos> {
        self.waiting[kind].first().map(|pending| pending.joined_at.plus(self.deadline_ns))
    }
}

impl<B: PacketBuf> Engine<B> {
    /// Lets a packet join its batch, which runs when it is full.
    pub(crate) fn join_batch<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        pair: Pair,
        pending: Pending<B>,
        egress: &mut E,
    ) {
        let kind = pair.kind();
        let batches = &mut self.batches;
        batches.waiting[kind].push(pending);
        let due = now.plus(batches.deadline_ns);
        batches.due = Some(batches.due.map_or(due, |earlier| earlier.min(due)));
        if batches.waiting[kind].is_full() {
            self.run_batch(now, kind, egress);
        }
    }

    /// Runs the batches whose time is up, or all of them.
    #[cold]
    pub(crate) fn run_due_batches<E: Egress<Buf = B>>(&mut self, now: Nanos, all: bool, egress: &mut E) {
        for kind in 0..Pair::KINDS {
            if self.batches.due_of(kind).is_some_and(|due| all || now >= due) {
                self.run_batch(now, kind, egress);
            }
        }
        self.batches.due = (0..Pair::KINDS).filter_map(|kind| self.batches.due_of(kind)).min();
    }

    /// Runs one kind of batch and sends what comes of it.
    pub(crate) fn run_batch<E: Egress<Buf = B>>(&mut self, now: Nanos, kind: usize, egress: &mut E) {
        if self.batches.waiting[kind].is_empty() {
            return;
        }
        let Some(spare) = self.batches.spare.take() else { return };
        let mut batch = std::mem::replace(&mut self.batches.waiting[kind], spare);
        self.counters.batches.add(1);
        self.counters.batch_frames.add(batch.len() as u64);
        self.counters.batch_wait_ns.add(batch.iter().map(|pending| now.since(pending.joined_at)).sum());
        egress.stage_ended(Stage::Relay);
        let results = transcode(self.codec_level, &mut batch, &mut self.batches.made[..]);
        egress.stage_ended(Stage::Codec);
        for (nth, (pending, result)) in batch.drain(..).zip(results).enumerate() {
            let Pending { stream, frame, received_at, mut pipeline, .. } = pending;
            let sent = match result {
                Ok(made) => self.send_made(now, stream, Some(frame), received_at, &mut pipeline, nth, made, egress),
                Err(_) => Err(DropReason::PayloadLengthBad),
            };
            self.rare[stream.at()].pipeline = Some(pipeline);
            if let Err(reason) = sent {
                self.drop_datagram(stream, reason);
            }
        }
        self.batches.spare = Some(batch);
    }

    /// Sends what was made of one packet: as one packet, or cut into those that are whole by now. The packet's own frame
    /// carries the first of them, or ends here when there is none.
    fn send_made<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        index: StreamIndex,
        mut frame: Option<B>,
        received_at: Nanos,
        pipeline: &mut Pipeline,
        nth: usize,
        made: Made,
        egress: &mut E,
    ) -> Result<(), DropReason> {
        if !made.is_speech() {
            return self.send_parts(now, index, frame, received_at, pipeline, nth, made, egress);
        }
        let len = made.octets();
        if let Some(frame) = frame.take_if(|_| pipeline.packets.is_packet(len)) {
            let cut = pipeline.packets.cut();
            return self.send_payload(now, index, frame, received_at, cut, Content::Speech, nth, len, egress);
        }
        let mut from = 0;
        while let Some((cut, len)) = self.batches.cut(&mut pipeline.packets, nth, (&mut from, len)) {
            let Some(frame) = frame.take().or_else(|| self.originate(egress)) else {
                continue; // Without a buffer its sequence number stays a gap.
            };
            self.send_payload(now, index, frame, received_at, cut, Content::Speech, CUT, len, egress)?;
        }
        if frame.is_some() {
            self.counters.frames_consumed.add(1);
        }
        Ok(())
    }

    /// The same for what is not speech throughout: descriptors end a packet or are one, and of silence nothing is sent.
    #[cold]
    fn send_parts<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        index: StreamIndex,
        mut frame: Option<B>,
        received_at: Nanos,
        pipeline: &mut Pipeline,
        nth: usize,
        made: Made,
        egress: &mut E,
    ) -> Result<(), DropReason> {
        let to = pipeline.transcoder.to();
        let packets = &mut pipeline.packets;
        let begin = packets.end();
        // Speech that waited for its rest, speech with what ends it, and a descriptor that is a packet.
        let mut send = |engine: &mut Self, cut, content, len| {
            let Some(frame) = frame.take().or_else(|| engine.originate(egress)) else {
                return Ok(());
            };
            engine.send_payload(now, index, frame, received_at, cut, content, CUT, len, egress)
        };
        for part in made.parts(to) {
            let at = begin.wrapping_add(part.at as u32);
            if packets.end() != at || part.content == transcode::Content::Descriptor {
                if let Some((cut, len)) = packets.flush(&[], &mut self.batches.made[CUT]) {
                    send(self, cut, Content::Speech, len)?;
                }
                packets.pass_over(at);
            }
            let descriptor_len = match part.content {
                transcode::Content::Speech => 0,
                transcode::Content::SpeechThenDescriptor => part.octets.len() % SPEECH_OCTETS,
                transcode::Content::Descriptor => part.octets.len(),
            };
            let (mut from, speech_ends) = (part.octets.start, part.octets.end - descriptor_len);
            while let Some((cut, len)) = self.batches.cut(packets, nth, (&mut from, speech_ends)) {
                send(self, cut, Content::Speech, len)?;
            }
            let (made, cut_payload) = self.batches.made_and_cut(nth);
            let descriptor = &made[speech_ends..part.octets.end];
            if part.content == transcode::Content::SpeechThenDescriptor {
                if let Some((cut, len)) = packets.flush(descriptor, cut_payload) {
                    send(self, cut, Content::Speech, len)?;
                }
            } else if !descriptor.is_empty() {
                let content = if to == transcode::Codec::G729 { Content::Speech } else { Content::Noise };
                cut_payload[..descriptor_len].copy_from_slice(descriptor);
                send(self, packets.describe(), content, descriptor_len)?;
            }
        }
        let end = begin.wrapping_add(made.ticks() as u32);
        if packets.end() != end {
            if let Some((cut, len)) = packets.flush(&[], &mut self.batches.made[CUT]) {
                send(self, cut, Content::Speech, len)?;
            }
            packets.pass_over(end);
        }
        if frame.is_some() {
            self.counters.frames_consumed.add(1);
        }
        Ok(())
    }

    /// Makes up for `ticks` of lost speech and sends it.
    #[cold]
    pub(crate) fn conceal<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        index: StreamIndex,
        received_at: Nanos,
        pipeline: &mut Pipeline,
        ticks: u32,
        egress: &mut E,
    ) {
        let lost = Input::Lost { ticks: ticks as usize };
        let made = pipeline.transcoder.transcode(self.codec_level, lost, &mut self.batches.made[0]);
        let Some(made) = made.ok().filter(|made| made.octets() > 0 || !made.is_speech()) else {
            pipeline.packets.leave_gap(ticks);
            return;
        };
        self.counters.frames_concealed.add(u64::from(ticks).div_ceil(pipeline.packets.ticks_per_packet() as u64));
        if let Err(reason) = self.send_made(now, index, None, received_at, pipeline, 0, made, egress) {
            self.drop_frame(reason);
        }
    }

    /// Sends samples of our own in place of what comes.
    #[cold]
    pub(crate) fn send_own_speech<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        index: StreamIndex,
        pipeline: &mut Pipeline,
        pcm: &[i16],
        egress: &mut E,
    ) -> Result<(), DropReason> {
        let made = pipeline.transcoder.encode(self.codec_level, pcm, &mut self.batches.made[0]);
        self.send_made(now, index, None, now, pipeline, 0, made, egress)
    }

    /// A buffer for a packet more than came in.
    pub(crate) fn originate<E: Egress<Buf = B>>(&self, egress: &mut E) -> Option<B> {
        let frame = egress.allocate()?;
        self.counters.frames_originated.add(1);
        Some(frame)
    }

    /// Puts the nth payload made into a frame and sends it.
    pub(crate) fn send_payload<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        index: StreamIndex,
        mut frame: B,
        received_at: Nanos,
        cut: Cut,
        content: Content,
        nth: usize,
        len: usize,
        egress: &mut E,
    ) -> Result<(), DropReason> {
        let departure = match &self.streams[index.at()].exit {
            Exit::Open(departure) => departure,
            Exit::Closed(reason) => return Err(*reason),
        };
        let rtp_at = departure.header_len();
        let payload_at = rtp_at + tandem_wire::rtp::HEADER_LEN;
        frame.set_len(payload_at + len).map_err(|_| DropReason::FrameTooLong)?;
        let bytes = frame.data_mut();
        bytes[rtp_at] = tandem_wire::rtp::PLAIN_FIRST_OCTET;
        bytes[payload_at..].copy_from_slice(&self.batches.made[nth][..len]);
        self.send_rtp(index, frame, received_at, cut.heard(now, content == Content::Event), content, egress)
    }
}

impl Cut {
    /// The numbers as those of a packet that was heard.
    pub(crate) const fn heard(self, now: Nanos, is_event: bool) -> Heard {
        let Self { sequence, timestamp, verdict, marker } = self;
        Heard { now_us: now.0 / 1000, sequence, timestamp, marker, verdict, is_event }
    }
}

/// What was made of each packet, or why nothing was.
type Results = ArrayVec<Result<Made, TranscodeError>, BATCH_CAPACITY>;

fn transcode<B: PacketBuf>(
    level: Level,
    batch: &mut ArrayVec<Pending<B>, BATCH_CAPACITY>,
    made: &mut [[u8; MAX_PAYLOAD]],
) -> Results {
    let mut jobs = ArrayVec::<TranscodeJob<'_>, BATCH_CAPACITY>::new();
    for (pending, output) in batch.iter_mut().zip(made.iter_mut()) {
        let payload = pending.frame.data().get(pending.payload_at..pending.payload_at + pending.payload_len);
        let payload = payload.unwrap_or_default();
        jobs.push(TranscodeJob {
            state: &mut pending.pipeline.transcoder,
            input: match pending.came {
                Came::Speech => Input::Payload(payload),
                Came::Noise { ticks } => Input::Noise { payload, ticks },
                Came::Nothing { ticks } => Input::NotSent { ticks },
            },
            output,
            made: Ok(Made::default()),
        });
    }
    transcode_batch(level, &mut jobs);
    jobs.into_iter().map(|job| job.made).collect()
}
