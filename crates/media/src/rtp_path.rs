//! The way of one RTP packet: checked, taken into account, converted, numbered, sent.

use tandem_contract::{DropReason, Nanos};
use tandem_packet_io::PacketBuf;
use tandem_wire::demux::Kind;
use tandem_wire::rtp::{self, Rtp, RtpFields};

use crate::classify::Datagram;
use crate::continuity::Heard;
use crate::departure::Departure;
use crate::egress::Egress;
use crate::engine::Engine;
use crate::flow::leg_of;
use crate::reception::Verdict;
use crate::stream::{Admission, Content, Exit, Treatment};
use crate::transcode;

/// What is known of a packet once its header was read.
struct Packet {
    content: Content,
    heard: Heard,
    /// Octets of the RTP header with its list and extension, and of the payload without padding.
    header_len: usize,
    payload_len: usize,
}

impl<B: PacketBuf> Engine<B> {
    /// Takes one datagram for a leg; an error is the reason to drop it.
    #[inline]
    pub(crate) fn on_datagram<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        received_at: Nanos,
        mut frame: B,
        datagram: Datagram,
        egress: &mut E,
    ) -> Result<(), DropReason> {
        match datagram.kind {
            Kind::Rtp => {}
            Kind::Rtcp => return Err(DropReason::RtcpUnhandled),
            Kind::Stun | Kind::Dtls | Kind::Zrtp | Kind::TurnChannel => return Err(DropReason::StunUnhandled),
            Kind::Unknown => return Err(DropReason::RtpHeaderBad),
        }
        let packet = self.receive(now, &frame, &datagram, egress)?;
        let stream = &mut self.streams[datagram.stream.at()];
        let departure = match &stream.exit {
            Exit::Open(departure) => departure,
            Exit::Closed(reason) => return Err(*reason),
        };
        let Some(payload_type) = stream.send_type(packet.content) else {
            stream.continuity.leave_out(packet.heard.verdict);
            return Err(DropReason::PayloadTypeUnknown);
        };
        // Where the RTP packet to send starts in the frame, and its length.
        let at = usize::from(datagram.at);
        let (rtp_at, rtp_len) = match (stream.treatment, packet.content) {
            (Treatment::Relay, _) | (_, Content::Event) => (at, usize::from(datagram.len)),
            (Treatment::Transcode(conversion), Content::Speech) => {
                // A new packet: its header stands right before the payload, and neither list nor extension is kept.
                let payload_at = at + packet.header_len;
                frame.set_len(payload_at + packet.payload_len).map_err(|_| DropReason::FrameTruncated)?;
                transcode::convert(self.codec_level, conversion, &mut frame, payload_at)?;
                let rtp_at = payload_at - rtp::HEADER_LEN;
                frame.data_mut()[rtp_at] = rtp::PLAIN_FIRST_OCTET;
                (rtp_at, frame.len() - rtp_at)
            }
        };
        place(&mut frame, rtp_at, rtp_len, departure)?;
        let numbered = stream.continuity.number(packet.heard);
        let fields = RtpFields {
            marker: numbered.marker,
            payload_type,
            sequence: numbered.sequence,
            timestamp: numbered.timestamp,
            ssrc: stream.continuity.ssrc(),
        };
        let header = frame.data_mut().get_mut(departure.header_len()..).and_then(|rtp| rtp.first_chunk_mut());
        fields.rewrite(header.ok_or(DropReason::FrameTruncated)?);
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

    /// Checks a packet and takes it into account.
    #[inline]
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
        match stream.admit(datagram.source) {
            Admission::Admitted => {}
            Admission::Learned => self.open_exit(now, datagram.stream.reverse(), egress),
            Admission::Refused => return Err(DropReason::SourceNotAllowed),
        }
        let stream = &mut self.streams[datagram.stream.at()];
        let verdict = stream.reception.on_packet(rtp.ssrc(), rtp.sequence());
        match verdict {
            Verdict::Duplicate => return Err(DropReason::Duplicate),
            Verdict::TooLate => return Err(DropReason::TooLate),
            Verdict::Next { .. } | Verdict::Reordered | Verdict::Started => {}
        }
        let now_us = now.0 / 1000;
        if content == Content::Speech && verdict != Verdict::Reordered {
            let arrival = (now_us * u64::from(stream.receive_khz) / 1000) as u32;
            stream.reception.on_arrival(arrival, rtp.timestamp());
        }
        let (slot, leg) = leg_of(datagram.stream);
        if let Some(flow) = &self.flows[slot as usize] {
            stream.on_accepted(now, rtp.payload().len(), flow.id, leg, datagram.source, &mut self.events);
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

/// Makes the frame end with the RTP packet at `rtp_at` and begin with room for the departure's headers before it.
#[inline]
fn place<B: PacketBuf>(frame: &mut B, rtp_at: usize, rtp_len: usize, departure: &Departure) -> Result<(), DropReason> {
    if frame.len() != rtp_at + rtp_len {
        frame.set_len(rtp_at + rtp_len).map_err(|_| DropReason::FrameTooLong)?;
    }
    let header_len = departure.header_len();
    if rtp_at > header_len {
        frame.advance(rtp_at - header_len).map_err(|_| DropReason::FrameTruncated)?;
    } else if rtp_at < header_len {
        frame.prepend(header_len - rtp_at).map_err(|_| DropReason::FrameTooLong)?;
    }
    Ok(())
}
