//! What is done with a flow's media beside passing it on: clips played, packets copied to the recorder, packets copied to
//! somebody else.

use std::net::SocketAddr;

use tandem_contract::{FlowId, Function, LegSide, Nanos, Refusal, TapHeader};
use tandem_packet_io::PacketBuf;

use crate::classify::Datagram;
use crate::egress::Egress;
use crate::engine::Engine;
use crate::flow::{leg_of, stream_of};
use crate::rtp_path::Packet;
use crate::stream::Content;

/// What of it concerns one stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beside {
    /// Its packets are copied to the recorder.
    pub(crate) is_recorded: bool,
    /// The place of its copies' target.
    pub(crate) fork: Option<u16>,
    /// The place of what is played in its stead.
    pub(crate) playback: Option<u32>,
}

impl Beside {
    /// Whether its packets are copied to anyone.
    #[inline]
    pub(crate) const fn is_copied(&self) -> bool {
        self.is_recorded || self.fork.is_some()
    }
}

impl<B: PacketBuf> Engine<B> {
    pub(crate) fn on_function<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        id: FlowId,
        function: Function,
        egress: &mut E,
    ) -> Result<(), Refusal> {
        let FlowId { slot, .. } = self.find(id).filter(|flow| !flow.stands_by).ok_or(Refusal::UnknownFlow)?.id;
        match function {
            Function::Play { leg, clip, repeat } => self.start_playback(now, slot, leg, clip, repeat),
            Function::StopPlaying { leg } => {
                self.stop_playback(now, slot, leg);
                Ok(())
            }
            Function::SendKey { leg, code, duration_ms } => self.send_key(now, slot, leg, code, duration_ms),
            Function::Record { on } => {
                for leg in LegSide::BOTH {
                    self.streams[stream_of(slot, leg).at()].beside.is_recorded = on;
                }
                Ok(())
            }
            Function::Fork { leg, to } => self.set_fork(now, stream_of(slot, leg), to, egress),
        }
    }

    /// Ends all of it, before the flow goes.
    pub(crate) fn end_functions(&mut self, slot: u32) {
        for leg in LegSide::BOTH {
            let index = stream_of(slot, leg);
            if let Some(at) = self.streams[index.at()].beside.playback {
                self.forget_playback(at as usize);
            }
            self.end_fork(index);
        }
    }

    /// Copies an accepted packet to whom it may concern.
    #[cold]
    pub(crate) fn copy<E: Egress<Buf = B>>(
        &mut self,
        received_at: Nanos,
        frame: &B,
        datagram: &Datagram,
        packet: &Packet,
        egress: &mut E,
    ) {
        let beside = self.streams[datagram.stream.at()].beside;
        let at = usize::from(datagram.at);
        let Some(rtp) = frame.data().get(at..at + usize::from(datagram.len)) else { return };
        if beside.is_recorded {
            self.record(received_at, rtp, datagram.source(frame.data()), datagram, packet, egress);
        }
        if let Some(fork) = beside.fork {
            let payload = &rtp[packet.header_len..packet.header_len + packet.payload_len];
            self.send_copy(fork, received_at, rtp[1] & 0x7f, payload, packet.heard, egress);
        }
    }

    fn record<E: Egress<Buf = B>>(
        &self,
        received_at: Nanos,
        rtp: &[u8],
        source: SocketAddr,
        datagram: &Datagram,
        packet: &Packet,
        egress: &mut E,
    ) {
        let (slot, leg) = leg_of(datagram.stream);
        let Some(flow) = &self.flows[slot as usize] else { return };
        let config = &flow.legs[leg.index()];
        let Some(format) = config.format else { return };
        let header = TapHeader {
            flow: flow.id,
            leg,
            codec: format.codec,
            is_beside_speech: packet.content != Content::Speech,
            received_at,
            source,
            local: config.local,
            rtp_len: datagram.len,
        };
        let counter = if egress.record(&header, rtp) {
            &self.counters.packets_recorded
        } else {
            &self.counters.packets_unrecorded
        };
        counter.add(1);
    }
}
