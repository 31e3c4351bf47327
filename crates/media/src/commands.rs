//! What control asks for: flows come, change and go.

use std::net::SocketAddr;

use tandem_contract::{
    Command, DropReason, Event, FlowId, LegConfig, LegCounters, LegPosition, LegSide, Nanos, Refusal, SentPosition,
};
use tandem_packet_io::PacketBuf;

use crate::classify::owner_of;
use crate::departure::Departure;
use crate::egress::Egress;
use crate::engine::Engine;
use crate::flow::{Flow, leg_of, stream_of};
use crate::peer::Peer;
use crate::pipeline::Pipeline;
use crate::port_table::{AddressIndex, StreamIndex};
use crate::stream::{Exit, Rare, Stream, Treatment, treatment};
use crate::transcode::Conversion;

impl<B: PacketBuf> Engine<B> {
    /// Carries out one command and returns its answer.
    pub fn on_command<E: Egress<Buf = B>>(&mut self, now: Nanos, command: &Command, egress: &mut E) -> Event {
        // What waits in a window or a batch was received under the configuration that stands now.
        let slot = command.flow().map(|flow| flow.slot).filter(|slot| self.flows.get(*slot as usize).is_some());
        let only_reads = matches!(command, Command::ReadFlow { .. } | Command::ReadPosition { .. });
        if let Some(slot) = slot.filter(|_| !only_reads) {
            LegSide::BOTH.into_iter().for_each(|leg| self.flush_window(now, stream_of(slot, leg), egress));
        }
        if !matches!(command, Command::ReadPosition { .. }) {
            self.run_due_batches(now, true, egress);
        }
        match *command {
            Command::InstallFlow { flow, epoch, legs } => self
                .install(now, flow, (&legs, None), egress)
                .map_or_else(|reason| Event::Refused { flow, epoch, reason }, |()| Event::Installed { flow, epoch }),
            Command::ResumeFlow { flow, epoch, legs, positions } => self
                .install(now, flow, (&legs, Some(&positions)), egress)
                .map_or_else(|reason| Event::Refused { flow, epoch, reason }, |()| Event::Installed { flow, epoch }),
            Command::UpdateFlow { flow, epoch, legs } => self
                .update(now, flow, &legs, egress)
                .map_or_else(|reason| Event::Refused { flow, epoch, reason }, |()| Event::Updated { flow, epoch }),
            Command::RemoveFlow { flow } => {
                self.say_goodbye(now, flow, egress);
                Event::Removed { flow, counters: self.remove(flow) }
            }
            Command::AbandonFlow { flow } => Event::Removed { flow, counters: self.remove(flow) },
            Command::ReadPosition { flow } => Event::Position { flow, legs: self.position(now, flow) },
            Command::ReadFlow { flow } => Event::Counters { flow, counters: self.read(flow) },
            Command::Function { flow, request, function } => {
                let outcome = self.on_function(now, flow, function, egress);
                Event::FunctionDone { flow, request, outcome }
            }
            Command::AddAddress { request, port, local } => self.add_address(request, (port, local)),
            Command::AnnounceAddress { request, address } => self.announce(now, request, address, egress),
            Command::RemoveAddress { request, address } => self.remove_address(request, address, egress),
        }
    }

    fn install<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        id: FlowId,
        (legs, positions): (&[LegConfig; 2], Option<&[LegPosition; 2]>),
        egress: &mut E,
    ) -> Result<(), Refusal> {
        match self.flows.get(id.slot as usize) {
            None => return Err(Refusal::SlotOutOfRange),
            Some(Some(_)) => return Err(Refusal::SlotTaken),
            Some(None) => {}
        }
        // A flow that another node had open is open.
        let is_open = |positions: &[LegPosition; 2]| positions.iter().any(|leg| leg.counters.packets_received > 0);
        let is_half_open = !positions.is_some_and(is_open);
        let half_open = self.counters.half_open_flows.get();
        if is_half_open && self.half_open_flows > 0 && half_open >= u64::from(self.half_open_flows) {
            return Err(Refusal::HalfOpenExhausted);
        }
        let flow = Flow { half_open: is_half_open, ..self.check(id, legs)? };
        let [a, b] = legs;
        if self.pipelines.len() < flow.pipelines() {
            return Err(Refusal::TranscodersExhausted);
        }
        if self.srtp_contexts.len() < flow.srtp_legs() {
            return Err(Refusal::SrtpContextsExhausted);
        }
        for (leg, from, to) in [(LegSide::A, a, b), (LegSide::B, b, a)] {
            let index = stream_of(id.slot, leg);
            let (stream, rare) = (&mut self.streams[index.at()], &mut self.rare[index.at()]);
            (*stream, *rare) = (Stream::vacant(), Rare::vacant());
            stream.last_accepted = now;
            stream.configure(rare, now, from, to);
        }
        self.secure(None, &flow);
        if let Some(positions) = positions {
            self.resume(now, &flow, positions);
        }
        self.admit(now, flow, egress);
        self.counters.flows.add(1);
        self.counters.half_open_flows.set(half_open + u64::from(is_half_open));
        Ok(())
    }

    /// Lets the streams of a checked flow, which are configured and secured, go on where another node stopped.
    fn resume(&mut self, now: Nanos, flow: &Flow, positions: &[LegPosition; 2]) {
        for leg in LegSide::BOTH {
            let position = &positions[leg.index()];
            let at = stream_of(flow.id.slot, leg).at();
            let (receives, rare) = (&mut self.streams[at], &mut self.rare[at]);
            let counted = &position.counters;
            receives.resume_latch(rare, now, position.learned);
            receives.reception.resume(counted.packets_lost);
            receives.packets_received = counted.packets_received;
            receives.octets_received = counted.octets_received;
            rare.packets_dropped = counted.packets_dropped;
            if let (Some(contexts), Some(srtp)) = (&mut receives.srtp, position.srtp) {
                contexts.resume(&flow.legs[leg.index()], srtp);
            }
            let sends = &mut self.streams[stream_of(flow.id.slot, leg.other()).at()];
            sends.packets_sent = counted.packets_sent;
            sends.octets_sent = counted.octets_sent;
            if let Some(SentPosition { sequence, timestamp }) = position.sent {
                sends.continuity.resume(now.0 / 1000, sequence, timestamp);
            }
        }
    }

    fn position(&self, now: Nanos, id: FlowId) -> [LegPosition; 2] {
        if self.find(id).is_none() {
            return [LegPosition::default(); 2];
        }
        let counters = self.read(id);
        LegSide::BOTH.map(|leg| {
            let receives = &self.streams[stream_of(id.slot, leg).at()];
            let continuity = &self.streams[stream_of(id.slot, leg.other()).at()].continuity;
            let sent = continuity.last_sequence().zip(continuity.timestamp_at(now.0 / 1000));
            let heard = receives.reception.source().map(|(ssrc, _)| ssrc);
            LegPosition {
                learned: self.rare[stream_of(id.slot, leg).at()].latch.learned(),
                sent: sent.map(|(sequence, timestamp)| SentPosition { sequence, timestamp }),
                srtp: receives.srtp.as_ref().and_then(|contexts| contexts.position(heard)),
                counters: counters[leg.index()],
            }
        })
    }

    fn update<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        id: FlowId,
        legs: &[LegConfig; 2],
        egress: &mut E,
    ) -> Result<(), Refusal> {
        let before = *self.find(id).ok_or(Refusal::UnknownFlow)?;
        let flow = Flow { half_open: before.half_open, ..self.check(id, legs)? };
        if self.pipelines.len() + before.pipelines() < flow.pipelines() {
            return Err(Refusal::TranscodersExhausted);
        }
        if self.srtp_contexts.len() + before.srtp_legs() < flow.srtp_legs() {
            return Err(Refusal::SrtpContextsExhausted);
        }
        for leg in LegSide::BOTH {
            self.ports.free(before.locals[leg.index()], before.legs[leg.index()].local.port());
        }
        for leg in LegSide::BOTH {
            let (from, to) = (&legs[leg.index()], &legs[leg.other().index()]);
            let at = stream_of(id.slot, leg).at();
            // Each party is spoken to as another source: somebody has taken its place.
            if before.legs[leg.index()].ssrc != from.ssrc {
                self.rare[at].latch.change_party(now);
            }
            self.streams[at].configure(&mut self.rare[at], now, from, to);
        }
        self.secure(Some(&before), &flow);
        self.admit(now, flow, egress);
        Ok(())
    }

    /// Puts a checked flow, whose streams are configured, into the tables.
    fn admit<E: Egress<Buf = B>>(&mut self, now: Nanos, flow: Flow, egress: &mut E) {
        self.flows[flow.id.slot as usize] = Some(flow);
        for leg in LegSide::BOTH {
            let index = stream_of(flow.id.slot, leg);
            self.ports.occupy(flow.locals[leg.index()], flow.legs[leg.index()].local.port(), index);
            let ptime_ms = flow.legs[leg.other().index()].format.map_or(0, |format| format.ptime_ms);
            self.treat(index, flow.treatment(leg), ptime_ms);
            if let Some(window) = self.rare[index.at()].window {
                let from = &flow.legs[leg.index()];
                self.windows.configure(window, from.reorder_packets, from.format.map_or(20, |format| format.ptime_ms));
            }
            self.open_exit(now, index, egress);
        }
        for leg in LegSide::BOTH {
            self.look_after_hold(now, flow.id.slot, leg);
        }
    }

    /// Sets what happens to a stream's payload. The codecs' state is kept where codecs and packet time stay.
    fn treat(&mut self, index: StreamIndex, treatment: Treatment, ptime_ms: u8) {
        let (stream, rare) = (&mut self.streams[index.at()], &mut self.rare[index.at()]);
        let kept = rare.pipeline.as_ref().is_some_and(|pipeline| pipeline.packets.makes(ptime_ms));
        if kept && stream.treatment == treatment {
            return;
        }
        stream.treatment = treatment;
        let before = rare.pipeline.take();
        self.give_back(before);
        self.end_noise(index);
        let (stream, rare) = (&mut self.streams[index.at()], &mut self.rare[index.at()]);
        if let Some(window) = rare.window.take() {
            self.windows.give_back(window, index);
        }
        if let Treatment::Transcode(Conversion::Linear(pair)) = treatment {
            // That there are enough was checked before.
            rare.pipeline = self.pipelines.pop().map(|mut pipeline| {
                pipeline.reset(pair, ptime_ms, self.keys.take(pair));
                pipeline
            });
            rare.window = self.windows.take();
            stream.continuity.interrupt();
        }
    }

    /// Takes back what a stream was decoded with.
    fn give_back(&mut self, pipeline: Option<Box<Pipeline>>) {
        if let Some(mut pipeline) = pipeline {
            self.keys.give_back(pipeline.keys.take());
            self.pipelines.push(pipeline);
        }
    }

    /// A leg has begun to be heard, and control does not know.
    #[cold]
    pub(crate) fn on_media_start(&mut self, index: StreamIndex, peer: Peer) {
        let (slot, leg) = leg_of(index);
        let stream = &mut self.streams[index.at()];
        if let Some(flow) = &self.flows[slot as usize] {
            stream.report_start(flow.id, leg, (peer, self.handed_over), &mut self.events);
        }
        if stream.packets_received == 1 {
            self.on_first_packet(slot);
        }
    }

    /// A leg of the flow accepted its first packet, or never will.
    #[cold]
    pub(crate) fn on_first_packet(&mut self, slot: u32) {
        if let Some(flow) = &mut self.flows[slot as usize]
            && std::mem::replace(&mut flow.half_open, false)
        {
            self.counters.half_open_flows.set(self.counters.half_open_flows.get().saturating_sub(1));
        }
    }

    fn remove(&mut self, id: FlowId) -> [LegCounters; 2] {
        let counters = self.read(id);
        let Some(flow) = self.find(id).copied() else {
            return counters;
        };
        self.end_functions(id.slot);
        for leg in LegSide::BOTH {
            self.ports.free(flow.locals[leg.index()], flow.legs[leg.index()].local.port());
            let index = stream_of(id.slot, leg);
            let (stream, rare) = (&self.streams[index.at()], &mut self.rare[index.at()]);
            if let Exit::Open(departure) = stream.exit {
                self.neighbours.release(departure.next_hop, &self.counters);
            }
            let pipeline = rare.pipeline.take();
            if let Some(window) = rare.window.take() {
                self.windows.give_back(window, index);
            }
            self.give_back(pipeline);
            self.release_srtp(index);
            self.release_rtcp_next_hop(index);
            self.end_noise(index);
            (self.streams[index.at()], self.rare[index.at()]) = (Stream::vacant(), Rare::vacant());
        }
        self.on_first_packet(id.slot);
        if let Some(flow) = &mut self.flows[id.slot as usize] {
            flow.wipe_keys();
        }
        self.flows[id.slot as usize] = None;
        self.counters.flows.set(self.counters.flows.get().saturating_sub(1));
        counters
    }

    fn read(&self, id: FlowId) -> [LegCounters; 2] {
        if self.find(id).is_none() {
            return [LegCounters::default(); 2];
        }
        LegSide::BOTH.map(|leg| {
            let index = stream_of(id.slot, leg);
            let (receives, rare) = (&self.streams[index.at()], &self.rare[index.at()]);
            let sends = &self.streams[stream_of(id.slot, leg.other()).at()];
            LegCounters {
                packets_received: receives.packets_received,
                octets_received: receives.octets_received,
                packets_sent: sends.packets_sent,
                octets_sent: sends.octets_sent,
                packets_lost: receives.reception.lost(),
                packets_dropped: rare.packets_dropped,
                jitter_us: receives.jitter_us(),
                round_trip_us: rare.reporting.round_trip_us,
                peer_packets_lost: rare.reporting.peer_packets_lost,
                peer_jitter_us: rare.reporting.peer_jitter_us,
                mos_received: rare.mos_received(receives),
                mos_sent: rare.mos_sent(sends.packets_sent),
            }
        })
    }

    pub(crate) fn find(&self, id: FlowId) -> Option<&Flow> {
        self.flows.get(id.slot as usize)?.as_ref().filter(|flow| flow.id == id)
    }

    /// Whether the legs can be had. Ports that the flow itself holds count as free.
    fn check(&self, id: FlowId, legs: &[LegConfig; 2]) -> Result<Flow, Refusal> {
        let [a, b] = legs;
        let locals = [self.check_local(id, a.local)?, self.check_local(id, b.local)?];
        if a.local == b.local {
            return Err(Refusal::LocalPortTaken);
        }
        if let (Some(from), Some(to)) = (&a.format, &b.format) {
            let joined = treatment(from, to).and(treatment(to, from));
            joined.ok_or(Refusal::CodecPairUnsupported)?;
        }
        Ok(Flow { id, legs: *legs, locals, half_open: true })
    }

    fn check_local(&self, id: FlowId, local: SocketAddr) -> Result<AddressIndex, Refusal> {
        let address = self.ports.address(local.ip()).ok_or(Refusal::LocalAddressNotOurs)?;
        let port = local.port();
        let ours =
            port.is_multiple_of(2) && self.ports.is_in_range(port) && owner_of(port, self.workers) == self.worker;
        let holder = self.ports.find(address, port).map(|stream| leg_of(stream).0);
        if !ours || holder.is_some_and(|slot| slot != id.slot) {
            return Err(Refusal::LocalPortTaken);
        }
        Ok(address)
    }

    /// Opens or closes the way out of a stream as configuration and the learned remote have it.
    pub(crate) fn open_exit<E: Egress<Buf = B>>(&mut self, now: Nanos, index: StreamIndex, egress: &mut E) {
        let exit = self.exit_of(now, index, egress);
        let stream = &mut self.streams[index.at()];
        let before = std::mem::replace(&mut stream.exit, exit);
        if matches!(exit, Exit::Closed(_)) {
            stream.continuity.interrupt();
        }
        if let Exit::Open(departure) = before {
            self.neighbours.release(departure.next_hop, &self.counters);
        }
    }

    fn exit_of<E: Egress<Buf = B>>(&mut self, now: Nanos, index: StreamIndex, egress: &mut E) -> Exit {
        let (slot, leg) = leg_of(index);
        let Some(flow) = &self.flows[slot as usize] else {
            return Exit::Closed(DropReason::PeerNotReady);
        };
        let to = &flow.legs[leg.other().index()];
        let remote = self.rare[index.reverse().at()].remote();
        let Some(remote) = remote.filter(|remote| to.format.is_some() && remote.port() != 0) else {
            return Exit::Closed(DropReason::PeerNotReady);
        };
        if !to.direction.sends() {
            return Exit::Closed(DropReason::DirectionInactive);
        }
        let (address, local) = (flow.locals[leg.other().index()], to.local);
        if !self.ports.is_present(address) {
            return Exit::Closed(DropReason::AddressLost);
        }
        self.departure(now, address, local, remote, egress).map_or_else(Exit::Closed, Exit::Open)
    }

    /// Headers from one of our sockets to a remote. Whoever drops them releases their neighbour.
    pub(crate) fn departure<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        address: AddressIndex,
        local: SocketAddr,
        remote: SocketAddr,
        egress: &mut E,
    ) -> Result<Departure, DropReason> {
        let link = self.ports.link(address);
        let next_hop = self.ports.local(address).next_hop(remote.ip());
        let next_hop = next_hop.filter(|_| remote.is_ipv4() == local.is_ipv4()).ok_or(DropReason::NoRoute)?;
        let next_hop = self
            .neighbours
            .acquire(now, next_hop, (link, local.ip()), &self.links, &self.counters, egress)
            .ok_or(DropReason::NeighbourUnresolved)?;
        Departure::new(self.links.of(link), local, remote, next_hop).ok_or_else(|| {
            self.neighbours.release(next_hop, &self.counters);
            DropReason::NoRoute
        })
    }
}
