//! Copies of what a leg receives, sent to somebody else as a stream of their own.

use tandem_contract::{Codec, DropReason, ForkTarget, Nanos, Refusal};
use tandem_packet_io::PacketBuf;
use tandem_srtp::Sender;
use tandem_wire::rtp::{self, RtpFields};
use zeroize::Zeroize as _;

use crate::continuity::{Continuity, Heard, Start};
use crate::departure::Departure;
use crate::egress::Egress;
use crate::engine::Engine;
use crate::flow::leg_of;
use crate::port_table::StreamIndex;
use crate::srtp_path::grown;

/// Legs of one worker that can be copied at once.
pub(crate) const FORK_CAPACITY: usize = 1024;

/// Where one stream's copies go.
pub(crate) struct Fork {
    target: ForkTarget,
    departure: Departure,
    continuity: Continuity,
    /// What protects it, where it is protected.
    sender: Option<Sender>,
}

impl Fork {
    /// Wipes the key.
    fn wipe(&mut self) {
        if let Some(key) = &mut self.target.key {
            key.zeroize();
        }
    }
}

impl<B: PacketBuf> Engine<B> {
    /// Begins, changes or ends the copying of a stream. To be told of the same target again changes nothing: numbers go on.
    pub(crate) fn set_fork<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        index: StreamIndex,
        to: Option<ForkTarget>,
        egress: &mut E,
    ) -> Result<(), Refusal> {
        let Some(target) = to else {
            self.end_fork(index);
            return Ok(());
        };
        let (slot, leg) = leg_of(index);
        let flow = self.flows[slot as usize].as_ref().ok_or(Refusal::UnknownFlow)?;
        let at = match self.streams[index.at()].beside.fork.map(usize::from) {
            Some(at) if self.forks[at].as_ref().is_some_and(|fork| fork.target == target) => return Ok(()),
            Some(at) => at,
            None => self.forks.iter().position(Option::is_none).ok_or(Refusal::FunctionsExhausted)?,
        };
        let leg = leg.index();
        let khz = flow.legs[leg].format.map_or(Codec::Pcmu, |format| format.codec).clock_rate_hz() / 1000;
        let khz = khz as u8;
        let (address, local) = (flow.locals[leg], flow.legs[leg].local);
        let departure = self.departure(now, address, local, target.remote, egress).map_err(|_| Refusal::Unreachable)?;
        let ForkTarget { ssrc, first_sequence, first_timestamp, .. } = target;
        let continuity = Continuity::new(Start { ssrc, first_sequence, first_timestamp }, khz, khz);
        let sender = target.key.as_ref().map(|key| Sender::new(key, ssrc));
        self.end_fork(index);
        self.forks[at] = Some(Fork { target, departure, continuity, sender });
        self.streams[index.at()].beside.fork = Some(at as u16);
        Ok(())
    }

    pub(crate) fn end_fork(&mut self, index: StreamIndex) {
        let fork = self.streams[index.at()].beside.fork.take();
        if let Some(mut fork) = fork.and_then(|at| self.forks[usize::from(at)].take()) {
            fork.wipe();
            self.neighbours.release(fork.departure.next_hop, &self.counters);
        }
    }

    /// Sends one packet's copy: its payload under the copy's own numbers. CSRC list and extension are left out.
    pub(crate) fn send_copy<E: Egress<Buf = B>>(
        &mut self,
        at: u16,
        received_at: Nanos,
        payload_type: u8,
        payload: &[u8],
        heard: Heard,
        egress: &mut E,
    ) {
        // A sequence number is used up even where nothing comes of it: the recorder shall see the gap.
        let Some(fork) = &mut self.forks[usize::from(at)] else { return };
        let numbered = fork.continuity.number(heard);
        let fields = RtpFields {
            marker: numbered.marker,
            payload_type,
            sequence: numbered.sequence,
            timestamp: numbered.timestamp,
            ssrc: fork.continuity.ssrc(),
        };
        let departure = fork.departure;
        let Some(mut frame) = self.originate(egress) else {
            self.counters.packets_unforked.add(1);
            return;
        };
        let rtp_at = departure.header_len();
        let mac = self.neighbours.mac(departure.next_hop);
        let mut sender = self.forks[usize::from(at)].as_mut().and_then(|fork| fork.sender.as_mut());
        let mut fill = || {
            frame.set_len(rtp_at + rtp::HEADER_LEN + payload.len()).map_err(|_| DropReason::FrameTooLong)?;
            let (header, room) = frame.data_mut()[rtp_at..].split_first_chunk_mut().ok_or(DropReason::FrameTooLong)?;
            fields.write(header);
            room.copy_from_slice(payload);
            if let Some(sender) = &mut sender {
                let more = sender.suite().tag_len();
                grown(&mut frame, rtp_at, more, |packet, len| sender.protect(packet, len))?;
            }
            departure.write(&mut frame, mac.unwrap_or_default()).map_err(|_| DropReason::FrameTooLong)
        };
        if let Err(reason) = fill() {
            self.counters.packets_unforked.add(1);
            self.drop_frame(reason);
            return;
        }
        self.counters.packets_forked.add(1);
        match mac {
            Some(_) => egress.send(frame),
            None => self.neighbours.wait(departure.next_hop, frame, received_at, &self.counters),
        }
    }
}
