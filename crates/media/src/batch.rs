//! Frames of many calls, taken through a codec together.

use arrayvec::ArrayVec;
use tandem_codec::Level;
use tandem_codec::transcode::{Input, TranscodeJob, Transcoder, transcode_batch};
use tandem_contract::{DropReason, Nanos};
use tandem_packet_io::PacketBuf;

use crate::continuity::Heard;
use crate::egress::Egress;
use crate::engine::Engine;
use crate::port_table::StreamIndex;
use crate::stream::{Content, Exit};
use crate::transcode::{MAX_PTIME_MS, Pair};

/// Frames in one batch at most: what the widest kernel takes in lock-step.
pub(crate) const BATCH_CAPACITY: usize = 32;
/// Octets of the longest payload a codec makes here.
const MAX_PAYLOAD: usize = MAX_PTIME_MS * 8;

/// One packet that waits for its batch to run. It has its stream's codec state with it.
pub(crate) struct Pending<B> {
    pub(crate) stream: StreamIndex,
    pub(crate) frame: B,
    pub(crate) received_at: Nanos,
    pub(crate) heard: Heard,
    /// Where the payload is.
    pub(crate) payload_at: usize,
    pub(crate) payload_len: usize,
    pub(crate) transcoder: Box<Transcoder>,
}

/// The frames that wait, by kind of batch.
pub(crate) struct Batches<B> {
    waiting: [ArrayVec<Pending<B>, BATCH_CAPACITY>; Pair::KINDS],
    /// The payloads that a batch makes, before they are put into their frames.
    made: Box<[[u8; MAX_PAYLOAD]; BATCH_CAPACITY]>,
}

impl<B: PacketBuf> Batches<B> {
    pub(crate) fn new() -> Self {
        Self {
            waiting: [const { ArrayVec::new_const() }; Pair::KINDS],
            made: Box::new([[0; MAX_PAYLOAD]; BATCH_CAPACITY]),
        }
    }
}

impl<B: PacketBuf> Engine<B> {
    /// Lets a packet join its batch, which runs when it is full.
    pub(crate) fn join_batch<E: Egress<Buf = B>>(&mut self, pair: Pair, pending: Pending<B>, egress: &mut E) {
        let batch = &mut self.batches.waiting[pair.kind()];
        batch.push(pending);
        if batch.is_full() {
            self.run_batch(pair.kind(), egress);
        }
    }

    /// Runs what waits, of whatever kind.
    #[inline]
    pub(crate) fn run_batches<E: Egress<Buf = B>>(&mut self, egress: &mut E) {
        for kind in 0..Pair::KINDS {
            if !self.batches.waiting[kind].is_empty() {
                self.run_batch(kind, egress);
            }
        }
    }

    /// Runs one kind of batch and sends what comes of it.
    pub(crate) fn run_batch<E: Egress<Buf = B>>(&mut self, kind: usize, egress: &mut E) {
        let mut batch = std::mem::take(&mut self.batches.waiting[kind]);
        let results = transcode(self.codec_level, &mut batch, &mut self.batches.made);
        for (nth, (pending, result)) in batch.into_iter().zip(results).enumerate() {
            let Pending { stream, frame, received_at, heard, transcoder, .. } = pending;
            self.streams[stream.at()].transcoder = Some(transcoder);
            let sent = match result {
                Ok(len) => self.send_made(stream, frame, received_at, heard, nth, len, egress),
                Err(_) => Err(DropReason::PayloadLengthBad),
            };
            if let Err(reason) = sent {
                self.drop_datagram(stream, reason);
            }
        }
    }

    /// Puts the nth payload made into its frame and sends it.
    fn send_made<E: Egress<Buf = B>>(
        &mut self,
        index: StreamIndex,
        mut frame: B,
        received_at: Nanos,
        heard: Heard,
        nth: usize,
        len: usize,
        egress: &mut E,
    ) -> Result<(), DropReason> {
        let stream = &self.streams[index.at()];
        let departure = match &stream.exit {
            Exit::Open(departure) => departure,
            Exit::Closed(reason) => return Err(*reason),
        };
        let rtp_at = departure.header_len();
        let payload_at = rtp_at + tandem_wire::rtp::HEADER_LEN;
        frame.set_len(payload_at + len).map_err(|_| DropReason::FrameTooLong)?;
        let bytes = frame.data_mut();
        bytes[rtp_at] = tandem_wire::rtp::PLAIN_FIRST_OCTET;
        bytes[payload_at..].copy_from_slice(&self.batches.made[nth][..len]);
        self.send_rtp(index, frame, received_at, heard, Content::Speech, egress)
    }
}

/// Octets made per packet, or why none were.
type Results = ArrayVec<Result<usize, tandem_codec::transcode::TranscodeError>, BATCH_CAPACITY>;

fn transcode<B: PacketBuf>(
    level: Level,
    batch: &mut ArrayVec<Pending<B>, BATCH_CAPACITY>,
    made: &mut [[u8; MAX_PAYLOAD]; BATCH_CAPACITY],
) -> Results {
    let mut jobs = ArrayVec::<TranscodeJob<'_>, BATCH_CAPACITY>::new();
    for (pending, output) in batch.iter_mut().zip(made.iter_mut()) {
        let payload = pending.frame.data().get(pending.payload_at..pending.payload_at + pending.payload_len);
        jobs.push(TranscodeJob {
            state: &mut pending.transcoder,
            input: Input::Payload(payload.unwrap_or_default()),
            output,
            made: Ok(0),
        });
    }
    transcode_batch(level, &mut jobs);
    jobs.into_iter().map(|job| job.made).collect()
}
