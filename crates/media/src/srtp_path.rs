//! SRTP on a packet's way: opened in place before anything learns from it, sealed in place when all else is final.

use tandem_contract::{DropReason, LegConfig, LegSide, SrtpPosition};
use tandem_packet_io::PacketBuf;
use tandem_srtp::{Position, ProtectError, Receiver, Sender, UnprotectError};
use tandem_wire::demux::Kind;
use zeroize::Zeroize;

use crate::classify::Datagram;
use crate::engine::Engine;
use crate::flow::{Flow, stream_of};
use crate::port_table::StreamIndex;

/// Memory for the two contexts of one leg that speaks SRTP. Empty while no leg has it: what was there is wiped.
#[derive(Default)]
pub(crate) struct Contexts {
    ends: Option<Ends>,
}

struct Ends {
    receiver: Receiver,
    sender: Sender,
}

impl Contexts {
    /// Takes over a leg's keys. Where a key and what it protects stay, the context goes on as it is; under another key it
    /// keeps its roll-over counter.
    fn configure(&mut self, before: Option<&LegConfig>, leg: &LegConfig) {
        let Some(keys) = leg.crypto else {
            self.ends = None;
            return;
        };
        let before = before.and_then(|before| before.crypto);
        let Some(ends) = &mut self.ends else {
            self.ends =
                Some(Ends { receiver: Receiver::new(&keys.receive), sender: Sender::new(&keys.send, leg.ssrc) });
            return;
        };
        if before.is_none_or(|before| before.receive != keys.receive) {
            ends.receiver.rekey(&keys.receive);
        }
        if ends.sender.ssrc() != leg.ssrc {
            ends.sender = Sender::new(&keys.send, leg.ssrc);
        } else if before.is_none_or(|before| before.send != keys.send) {
            ends.sender.rekey(&keys.send);
        }
    }

    /// How far both have come; `heard` is the peer's source. `None` without contexts.
    pub(crate) fn position(&self, heard: Option<u32>) -> Option<SrtpPosition> {
        let ends = self.ends.as_ref()?;
        let Position { index, rtcp_index } = ends.sender.position();
        let received = heard.and_then(|ssrc| Some((ssrc, ends.receiver.newest_index(ssrc)?)));
        Some(SrtpPosition { sent: index, sent_rtcp: rtcp_index, received })
    }

    /// Goes on where another node stopped.
    pub(crate) fn resume(&mut self, leg: &LegConfig, position: SrtpPosition) {
        let (Some(ends), Some(keys)) = (&mut self.ends, leg.crypto) else { return };
        let sent = Position { index: position.sent, rtcp_index: position.sent_rtcp };
        ends.sender = Sender::resume(&keys.send, leg.ssrc, sent);
        if let Some((ssrc, index)) = position.received {
            ends.receiver.resume(ssrc, index);
        }
    }

    /// Something of both contexts, for the cache.
    pub(crate) fn touch(&self) -> u64 {
        self.ends.as_ref().map_or(0, |ends| u64::from(ends.sender.ssrc()) ^ ends.receiver.suite() as u64)
    }
}

impl Flow {
    /// Legs that speak SRTP.
    pub(crate) fn srtp_legs(&self) -> usize {
        self.legs.iter().filter(|leg| leg.crypto.is_some()).count()
    }

    /// Overwrites the keys.
    pub(crate) fn wipe_keys(&mut self) {
        for keys in self.legs.iter_mut().filter_map(|leg| leg.crypto.as_mut()) {
            keys.zeroize();
        }
    }
}

impl<B: PacketBuf> Engine<B> {
    /// Gives the legs of a checked flow their contexts, or takes them back.
    pub(crate) fn secure(&mut self, before: Option<&Flow>, flow: &Flow) {
        for leg in LegSide::BOTH {
            let (config, before) = (&flow.legs[leg.index()], before.map(|before| &before.legs[leg.index()]));
            let index = stream_of(flow.id.slot, leg);
            self.streams[index.reverse().at()].is_sealed = config.crypto.is_some();
            let stream = &mut self.streams[index.at()];
            if config.crypto.is_none() {
                self.srtp_contexts.extend(stream.srtp.take().map(wiped));
                continue;
            }
            if stream.srtp.is_none() {
                // That there are enough was checked before.
                stream.srtp = self.srtp_contexts.pop();
            }
            if let Some(contexts) = &mut stream.srtp {
                contexts.configure(before, config);
            }
        }
    }

    /// Takes a leg's contexts back.
    pub(crate) fn release_srtp(&mut self, index: StreamIndex) {
        self.srtp_contexts.extend(self.streams[index.at()].srtp.take().map(wiped));
    }

    /// Opens what a leg received in place, where the leg speaks SRTP: the datagram is the plain one then, or it is to be
    /// dropped and nothing remembers it.
    #[inline(never)]
    pub(crate) fn open(&mut self, frame: &mut B, datagram: &mut Datagram) -> Result<(), DropReason> {
        let stream = &mut self.streams[datagram.stream.at()];
        match &mut stream.srtp {
            None => Ok(()),
            Some(contexts) => contexts.open(stream.gate, frame, datagram),
        }
    }

    /// Seals the RTP packet that stands at `at` up to the end of the frame, where the leg that sends this stream speaks SRTP.
    #[inline(never)]
    pub(crate) fn seal(&mut self, index: StreamIndex, frame: &mut B, at: usize) -> Result<(), DropReason> {
        match self.streams[index.reverse().at()].srtp.as_mut().and_then(|contexts| contexts.ends.as_mut()) {
            None => Ok(()),
            Some(ends) => {
                grown(frame, at, ends.sender.suite().tag_len(), |packet, len| ends.sender.protect(packet, len))
            }
        }
    }

    /// Seals the RTCP compound that stands at `at` up to the end of the frame, where the leg that receives this stream, and
    /// reports about it, speaks SRTP.
    pub(crate) fn seal_rtcp(&mut self, index: StreamIndex, frame: &mut B, at: usize) -> Result<(), DropReason> {
        match self.streams[index.at()].srtp.as_mut().and_then(|contexts| contexts.ends.as_mut()) {
            None => Ok(()),
            Some(ends) => {
                let more = ends.sender.suite().rtcp_tag_len() + SRTCP_INDEX_LEN;
                grown(frame, at, more, |packet, len| ends.sender.protect_rtcp(packet, len))
            }
        }
    }
}

/// Octets of the index that SRTCP puts behind a compound (RFC 3711 §3.4).
const SRTCP_INDEX_LEN: usize = 4;

impl Contexts {
    fn open<B: PacketBuf>(
        &mut self,
        gate: Result<(), DropReason>,
        frame: &mut B,
        datagram: &mut Datagram,
    ) -> Result<(), DropReason> {
        let at = usize::from(datagram.at);
        let packet = frame.data_mut().get_mut(at..at + usize::from(datagram.len)).ok_or(DropReason::FrameTruncated)?;
        // A leg without contexts has no box; a box without contexts opens nothing.
        let receiver = &mut self.ends.as_mut().ok_or(DropReason::NotNegotiated)?.receiver;
        let (opened, malformed) = match datagram.kind {
            Kind::Rtp => {
                gate?;
                (receiver.unprotect(packet), DropReason::RtpHeaderBad)
            }
            Kind::Rtcp => (receiver.unprotect_rtcp(packet), DropReason::RtcpMalformed),
            _ => return Ok(()),
        };
        let len = opened.map_err(|error| match error {
            UnprotectError::Malformed => malformed,
            UnprotectError::Forged => DropReason::SrtpForged,
            UnprotectError::Replayed | UnprotectError::TooOld => DropReason::SrtpReplayed,
            UnprotectError::KeyExhausted => DropReason::SrtpKeyExhausted,
        })?;
        datagram.len = len as u16;
        Ok(())
    }
}

fn wiped(mut contexts: Box<Contexts>) -> Box<Contexts> {
    contexts.ends = None;
    contexts
}

/// Makes the frame `more` octets longer and lets `protect` fill them.
#[inline]
pub(crate) fn grown<B: PacketBuf>(
    frame: &mut B,
    at: usize,
    more: usize,
    protect: impl FnOnce(&mut [u8], usize) -> Result<usize, ProtectError>,
) -> Result<(), DropReason> {
    let end = frame.len();
    frame.set_len(end + more).map_err(|_| DropReason::FrameTooLong)?;
    let packet = frame.data_mut().get_mut(at..).ok_or(DropReason::FrameTruncated)?;
    let protected = protect(packet, end.saturating_sub(at));
    protected.map(|_| ()).map_err(|error| match error {
        ProtectError::KeyExhausted | ProtectError::IndexUsed => DropReason::SrtpKeyExhausted,
        ProtectError::NoRoom => DropReason::FrameTooLong,
        // We write the header ourselves.
        ProtectError::Malformed | ProtectError::WrongSsrc => DropReason::RtpHeaderBad,
    })
}
