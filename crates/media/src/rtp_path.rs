//! The way of one RTP packet: checked, taken into account, converted, numbered, sent.

use tandem_codec::g729::bitstream::SID_OCTETS;
use tandem_codec::transcode::Silence;
use tandem_contract::{DropReason, Nanos};
use tandem_packet_io::PacketBuf;
use tandem_wire::demux::Kind;
use tandem_wire::rtp::{self, Rtp, RtpFields};

use crate::batch::{Came, Pending};
use crate::classify::Datagram;
use crate::continuity::Heard;
use crate::egress::Egress;
use crate::engine::Engine;
use crate::keys::Carry;
use crate::latch::Admission;
use crate::pipeline::{Join, Pipeline};
use crate::port_table::StreamIndex;
use crate::reception::Verdict;
use crate::stream::{Content, Exit, Stream, Treatment};
use crate::transcode::{self, Conversion, FRAME_TICKS, MAX_PAYLOAD, Pair};

/// A packet of a stream that is decoded, on its way there.
pub(crate) struct Arrival<B> {
    pub(crate) frame: B,
    pub(crate) received_at: Nanos,
    content: Content,
    pub(crate) timestamp: u32,
    marker: bool,
    /// Where the RTP packet and its payload start in the frame, and their lengths; the payload's without padding.
    rtp_at: u16,
    rtp_len: u16,
    pub(crate) payload_at: u16,
    pub(crate) payload_len: u16,
}

/// What is known of a packet once its header was read.
pub(crate) struct Packet {
    pub(crate) content: Content,
    pub(crate) heard: Heard,
    /// Octets of the RTP header with its list and extension, and of the payload without padding.
    pub(crate) header_len: usize,
    pub(crate) payload_len: usize,
}

impl<B: PacketBuf> Engine<B> {
    /// Takes one datagram for a leg; an error is the reason to drop it.
    #[inline(always)]
    pub(crate) fn on_datagram<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        received_at: Nanos,
        mut frame: B,
        mut datagram: Datagram,
        egress: &mut E,
    ) -> Result<(), DropReason> {
        if self.streams[datagram.stream.at()].srtp.is_some() {
            self.open(&mut frame, &mut datagram)?;
        }
        match datagram.kind {
            Kind::Rtp => {}
            Kind::Rtcp => return self.on_rtcp(now, &frame, &datagram),
            Kind::Stun | Kind::Dtls | Kind::Zrtp | Kind::TurnChannel => return Err(DropReason::StunUnhandled),
            Kind::Unknown => return Err(DropReason::RtpHeaderBad),
        }
        let packet = self.receive(now, &frame, &datagram, egress)?;
        if self.streams[datagram.stream.at()].beside.is_copied() {
            self.copy(received_at, &frame, &datagram, &packet, egress);
        }
        if packet.content == Content::Event {
            self.hear_event(&frame, &datagram, &packet);
        }
        let stream = &mut self.streams[datagram.stream.at()];
        if let Treatment::Transcode(Conversion::Linear(_)) = stream.treatment {
            let heard = packet.heard;
            let arrival = Arrival {
                frame,
                received_at,
                content: packet.content,
                timestamp: heard.timestamp,
                marker: heard.marker,
                rtp_at: datagram.at,
                rtp_len: datagram.len,
                payload_at: datagram.at + packet.header_len as u16,
                payload_len: packet.payload_len as u16,
            };
            let starts = heard.verdict == Verdict::Started;
            return self.put_in_order(now, datagram.stream, heard.sequence, starts, arrival, egress);
        }
        if stream.beside.playback.is_some() {
            return Err(DropReason::Replaced);
        }
        if let Exit::Closed(reason) = stream.exit {
            return Err(reason);
        }
        if stream.send_type(packet.content).is_none() {
            stream.continuity.leave_out(packet.heard.verdict);
            return Err(DropReason::PayloadTypeUnknown);
        }
        // Where the RTP packet to send starts in the frame, and its length.
        let at = usize::from(datagram.at);
        let payload_at = at + packet.header_len;
        let (rtp_at, rtp_len) = match (stream.treatment, packet.content) {
            (Treatment::Transcode(Conversion::Law(from)), Content::Speech) => {
                // A new packet: its header stands right before the payload, and neither list nor extension is kept.
                frame.set_len(payload_at + packet.payload_len).map_err(|_| DropReason::FrameTruncated)?;
                transcode::convert_law(self.codec_level, from, &mut frame, payload_at)?;
                let rtp_at = payload_at - rtp::HEADER_LEN;
                frame.data_mut()[rtp_at] = rtp::PLAIN_FIRST_OCTET;
                (rtp_at, frame.len() - rtp_at)
            }
            _ => (at, usize::from(datagram.len)),
        };
        place(&mut frame, rtp_at, rtp_len, datagram.stream, &self.streams)?;
        self.number_and_send(datagram.stream, frame, received_at, packet.heard, packet.content, egress)
    }

    /// Takes a packet on that everything before it has come or was given up for. `verdict` says how much was.
    pub(crate) fn on_ordered<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        index: StreamIndex,
        mut arrival: Arrival<B>,
        verdict: Verdict,
        egress: &mut E,
    ) -> Result<(), DropReason> {
        let stream = &self.streams[index.at()];
        if let Exit::Closed(reason) = stream.exit {
            return Err(reason);
        }
        if stream.beside.playback.is_some() {
            return Err(DropReason::Replaced);
        }
        let Treatment::Transcode(Conversion::Linear(pair)) = stream.treatment else {
            return Err(DropReason::NotNegotiated);
        };
        match arrival.content {
            Content::Speech | Content::Noise => self.transcode(now, pair, index, arrival, verdict, egress),
            Content::Event if pair.keys == Carry::ToTones => {
                self.sound_event(now, pair, index, &arrival, verdict, egress)
            }
            Content::Event if stream.send_type(Content::Event).is_none() => Err(DropReason::PayloadTypeUnknown),
            Content::Event => {
                let heard = self.number_event(now, pair, index, &arrival, verdict, egress)?;
                let (rtp_at, rtp_len) = (usize::from(arrival.rtp_at), usize::from(arrival.rtp_len));
                place(&mut arrival.frame, rtp_at, rtp_len, index, &self.streams)?;
                self.send_rtp(index, arrival.frame, arrival.received_at, heard, Content::Event, egress)
            }
        }
    }

    /// Gives a packet to its batch.
    fn transcode<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        pair: Pair,
        index: StreamIndex,
        arrival: Arrival<B>,
        verdict: Verdict,
        egress: &mut E,
    ) -> Result<(), DropReason> {
        let content = arrival.content;
        let (payload_at, payload_len) = (usize::from(arrival.payload_at), usize::from(arrival.payload_len));
        let length_holds = pair
            .from
            .ticks_of_payload(payload_len)
            .is_some_and(|ticks| (1..=MAX_PAYLOAD).contains(&ticks) && pair.to.octets_of_speech(ticks).is_some());
        let is_noise = content == Content::Noise;
        if !length_holds && !is_noise {
            return Err(DropReason::PayloadLengthBad);
        }
        let describes_silence = is_noise || pair.ends_in_descriptor(payload_len);
        let is_description = is_noise || (describes_silence && payload_len == SID_OCTETS);
        let mut pipeline = self.take_pipeline(now, pair, index, egress)?;
        if pair.keys == Carry::ToTones && self.keys.is_sounding(pipeline.keys) {
            self.rare[index.at()].pipeline = Some(pipeline);
            return Err(DropReason::Replaced);
        }
        let arrival = match pair.keys {
            Carry::ToEvents if !is_noise => {
                match self.listen_for_keys(now, index, &mut pipeline, arrival, verdict, egress) {
                    Ok(Some(arrival)) => arrival,
                    taken => {
                        self.rare[index.at()].pipeline = Some(pipeline);
                        return taken.map(|_| ());
                    }
                }
            }
            _ => arrival,
        };
        let Arrival { frame, received_at, timestamp, marker, .. } = arrival;
        let ticks = pipeline.packets.ticks_per_packet();
        let came = match (is_noise, pair.silence) {
            (false, _) => Came::Speech,
            (true, Silence::Described) => Came::Noise { ticks: FRAME_TICKS },
            (true, Silence::AsSpeech) => Came::Noise { ticks },
        };
        if is_description && self.rare[index.at()].noise.is_some() {
            // It changes the noise, whose time goes on as it does.
            if !self.put_off_noise(now, index, ticks) {
                self.rare[index.at()].pipeline = Some(pipeline);
                self.counters.frames_consumed.add(1);
                return Ok(());
            }
        } else {
            self.end_noise(index);
            if let Join::Lost(ticks) = pipeline.packets.join(verdict, timestamp, marker) {
                self.conceal(now, index, received_at, &mut pipeline, ticks, egress);
            }
            if describes_silence && pair.silence == Silence::AsSpeech {
                self.begin_noise(now, index, ticks);
            }
        }
        let (stream, joined_at) = (index, now);
        let pending = Pending { stream, frame, received_at, joined_at, payload_at, payload_len, came, pipeline };
        self.join_batch(now, pair, pending, egress);
        Ok(())
    }

    /// The stream's codec state. If the packet before this one still waits with it, that one goes first.
    pub(crate) fn take_pipeline<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        pair: Pair,
        index: StreamIndex,
        egress: &mut E,
    ) -> Result<Box<Pipeline>, DropReason> {
        if self.rare[index.at()].pipeline.is_none() {
            self.run_batch(now, pair.kind(), egress);
        }
        // Every stream that needs one was given one when it was configured.
        self.rare[index.at()].pipeline.take().ok_or(DropReason::NotNegotiated)
    }

    /// Numbers an event among the packets of speech that are made anew.
    fn number_event<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        pair: Pair,
        index: StreamIndex,
        arrival: &Arrival<B>,
        verdict: Verdict,
        egress: &mut E,
    ) -> Result<Heard, DropReason> {
        let mut pipeline = self.take_pipeline(now, pair, index, egress)?;
        let cut = pipeline.packets.event(verdict, arrival.timestamp, arrival.marker);
        self.rare[index.at()].pipeline = Some(pipeline);
        Ok(cut.heard(now, true))
    }

    /// Numbers and sends an RTP packet that stands at the end of the departure's headers.
    pub(crate) fn send_rtp<E: Egress<Buf = B>>(
        &mut self,
        index: StreamIndex,
        frame: B,
        received_at: Nanos,
        heard: Heard,
        content: Content,
        egress: &mut E,
    ) -> Result<(), DropReason> {
        self.number_and_send(index, frame, received_at, heard, content, egress)
    }

    /// The same within the caller.
    #[inline(always)]
    fn number_and_send<E: Egress<Buf = B>>(
        &mut self,
        index: StreamIndex,
        mut frame: B,
        received_at: Nanos,
        heard: Heard,
        content: Content,
        egress: &mut E,
    ) -> Result<(), DropReason> {
        let stream = &mut self.streams[index.at()];
        let departure = match &stream.exit {
            Exit::Open(departure) => departure,
            Exit::Closed(reason) => return Err(*reason),
        };
        let payload_type = stream.send_type(content).ok_or(DropReason::PayloadTypeUnknown)?;
        let numbered = stream.continuity.number(heard);
        let fields = RtpFields {
            marker: numbered.marker,
            payload_type,
            sequence: numbered.sequence,
            timestamp: numbered.timestamp,
            ssrc: stream.continuity.ssrc(),
        };
        let rtp_at = departure.header_len();
        let rtp_len = frame.len().saturating_sub(rtp_at);
        let header = frame.data_mut().get_mut(rtp_at..).and_then(|rtp| rtp.first_chunk_mut());
        fields.rewrite(header.ok_or(DropReason::FrameTruncated)?);
        if stream.is_sealed {
            self.seal(index, &mut frame, rtp_at)?;
        }
        let stream = &mut self.streams[index.at()];
        let Exit::Open(departure) = &stream.exit else {
            return Err(DropReason::PeerNotReady);
        };
        let mac = self.neighbours.mac(departure.next_hop);
        departure.write(&mut frame, mac.unwrap_or_default()).map_err(|_| DropReason::FrameTooLong)?;
        stream.packets_sent += 1;
        stream.octets_sent += (rtp_len - rtp::HEADER_LEN) as u64;
        match mac {
            Some(_) => {
                self.counters.rtp_forwarded.add(1);
                egress.forward(frame, received_at);
            }
            None => self.neighbours.wait(departure.next_hop, frame, received_at, &self.counters),
        }
        Ok(())
    }

    /// Counts a datagram that ends here, for its leg and for the worker.
    #[inline]
    pub(crate) fn drop_datagram(&mut self, stream: StreamIndex, reason: DropReason) {
        self.rare[stream.at()].packets_dropped += 1;
        self.counters.dropped(reason);
    }

    /// Checks a packet and takes it into account.
    #[inline(always)]
    fn receive<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        frame: &B,
        datagram: &Datagram,
        egress: &mut E,
    ) -> Result<Packet, DropReason> {
        let stream = &mut self.streams[datagram.stream.at()];
        stream.gate?;
        let at = usize::from(datagram.at);
        let bytes = frame.data().get(at..at + usize::from(datagram.len)).ok_or(DropReason::FrameTruncated)?;
        let rtp = Rtp::parse(bytes).map_err(|_| DropReason::RtpHeaderBad)?;
        let content = stream.content(rtp.payload_type()).ok_or(DropReason::PayloadTypeUnknown)?;
        if stream.is_own(rtp.ssrc()) {
            return Err(DropReason::OwnSsrc);
        }
        let peer = datagram.peer(frame.data());
        if !stream.admits(now, peer) {
            match stream.admit_other(&mut self.rare[datagram.stream.at()], now, peer, rtp.ssrc()) {
                Admission::Admitted => {}
                Admission::Learned => self.open_exit(now, datagram.stream.reverse(), egress),
                Admission::Refused => return Err(DropReason::SourceNotAllowed),
            }
        }
        let stream = &mut self.streams[datagram.stream.at()];
        if !stream.budget.permit(now, self.flow_budget) {
            return Err(DropReason::FlowBudget);
        }
        let verdict = stream.reception.on_packet(rtp.ssrc(), rtp.sequence());
        match verdict {
            Verdict::Duplicate => return Err(DropReason::Duplicate),
            Verdict::TooLate => return Err(DropReason::TooLate),
            Verdict::Next { skipped } if skipped > 0 => {
                self.rare[datagram.stream.at()].on_loss(stream.packets_received, skipped);
            }
            Verdict::Next { .. } | Verdict::Reordered | Verdict::Started => {}
        }
        let now_us = now.0 / 1000;
        if content == Content::Speech && verdict != Verdict::Reordered {
            let arrival = (now_us * u64::from(stream.receive_khz) / 1000) as u32;
            stream.reception.on_arrival(arrival, rtp.timestamp());
        }
        if stream.on_accepted(now, rtp.payload().len()) {
            self.on_media_start(datagram.stream, peer);
        }
        let heard = Heard {
            now_us,
            sequence: rtp.sequence(),
            timestamp: rtp.timestamp(),
            marker: rtp.marker(),
            verdict,
            is_event: content == Content::Event,
        };
        Ok(Packet { content, heard, header_len: rtp.header_len(), payload_len: rtp.payload().len() })
    }
}

/// Makes the frame end with the RTP packet at `rtp_at` and begin with room for the headers of its departure before it.
#[inline(always)]
fn place<B: PacketBuf>(
    frame: &mut B,
    rtp_at: usize,
    rtp_len: usize,
    index: StreamIndex,
    streams: &[Stream],
) -> Result<(), DropReason> {
    let header_len = match &streams[index.at()].exit {
        Exit::Open(departure) => departure.header_len(),
        Exit::Closed(reason) => return Err(*reason),
    };
    if frame.len() != rtp_at + rtp_len {
        frame.set_len(rtp_at + rtp_len).map_err(|_| DropReason::FrameTooLong)?;
    }
    if rtp_at > header_len {
        frame.advance(rtp_at - header_len).map_err(|_| DropReason::FrameTruncated)?;
    } else if rtp_at < header_len {
        frame.prepend(header_len - rtp_at).map_err(|_| DropReason::FrameTooLong)?;
    }
    Ok(())
}
