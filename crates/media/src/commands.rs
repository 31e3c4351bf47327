//! What control asks for: flows come, change and go.

use std::net::SocketAddr;

use tandem_contract::{
    Command, DropReason, Epoch, Event, FlowId, LegConfig, LegCounters, LegPosition, LegSide, Nanos, Refusal,
    SentPosition,
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

/// How a flow gets into the table.
#[derive(Clone, Copy)]
enum Beginning<'a> {
    /// Anew.
    Anew,
    /// Another node has it.
    Elsewhere,
    /// Another node had it, and came so far.
    After(&'a [LegPosition; 2]),
}

impl Beginning<'_> {
    const fn stands_by(self) -> bool {
        matches!(self, Self::Elsewhere)
    }

    /// Whether its legs have yet to be heard. A flow that another node had open is open.
    fn is_half_open(self) -> bool {
        match self {
            Self::Anew => true,
            Self::Elsewhere => false,
            Self::After(positions) => positions.iter().all(|leg| leg.counters.packets_received == 0),
        }
    }
}

/// What control is told of a flow that was to be taken into the table.
fn installed(flow: FlowId, epoch: Epoch, outcome: Result<(), Refusal>) -> Event {
    match outcome {
        Ok(()) => Event::Installed { flow, epoch },
        Err(reason) => Event::Refused { flow, epoch, reason },
    }
}

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
            Command::InstallFlow { flow, epoch, legs } => {
                let outcome = self.install(now, flow, (&legs, Beginning::Anew), egress);
                installed(flow, epoch, outcome)
            }
            Command::PrepareFlow { flow, epoch, legs } => {
                let outcome = self.install(now, flow, (&legs, Beginning::Elsewhere), egress);
                installed(flow, epoch, outcome)
            }
            Command::ResumeFlow { flow, epoch, legs, positions } => {
                let outcome = self.install(now, flow, (&legs, Beginning::After(&positions)), egress);
                installed(flow, epoch, outcome)
            }
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

    /// Takes a flow into the table, or one that stands by there out of its rest.
    fn install<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        id: FlowId,
        (legs, beginning): (&[LegConfig; 2], Beginning<'_>),
        egress: &mut E,
    ) -> Result<(), Refusal> {
        let prepared = match self.flows.get(id.slot as usize).ok_or(Refusal::SlotOutOfRange)? {
            Some(flow) if flow.id == id && flow.stands_by => Some(*flow),
            Some(_) => return Err(Refusal::SlotTaken),
            None => None,
        };
        let is_half_open = beginning.is_half_open();
        let half_open = self.counters.half_open_flows.get();
        if is_half_open && self.half_open_flows > 0 && half_open >= u64::from(self.half_open_flows) {
            return Err(Refusal::HalfOpenExhausted);
        }
        let stands_by = beginning.stands_by();
        let flow = Flow { half_open: is_half_open, stands_by, ..self.check(id, legs, stands_by)? };
        self.check_room(prepared.as_ref(), &flow)?;
        match &prepared {
            None => LegSide::BOTH.into_iter().for_each(|leg| self.vacate(now, stream_of(id.slot, leg))),
            Some(prepared) => self.leave_ports(prepared),
        }
        self.configure(now, &flow);
        self.secure(prepared.as_ref(), &flow);
        if let Beginning::After(positions) = beginning {
            self.resume(now, &flow, positions);
        }
        self.admit(now, flow, egress);
        self.counters.flows.add(u64::from(!stands_by));
        self.counters.half_open_flows.set(half_open + u64::from(is_half_open));
        Ok(())
    }

    /// Whether there is memory for what the legs need, beside what the flow has already.
    fn check_room(&self, before: Option<&Flow>, flow: &Flow) -> Result<(), Refusal> {
        if self.pipelines.len() + before.map_or(0, Flow::pipelines) < flow.pipelines() {
            return Err(Refusal::TranscodersExhausted);
        }
        if self.srtp_contexts.len() + before.map_or(0, Flow::srtp_legs) < flow.srtp_legs() {
            return Err(Refusal::SrtpContextsExhausted);
        }
        Ok(())
    }

    fn vacate(&mut self, now: Nanos, index: StreamIndex) {
        (self.streams[index.at()], self.rare[index.at()]) = (Stream::vacant(), Rare::vacant());
        self.streams[index.at()].last_accepted = now;
    }

    fn leave_ports(&mut self, flow: &Flow) {
        for leg in LegSide::BOTH {
            self.ports.free(flow.locals[leg.index()], flow.legs[leg.index()].local.port());
        }
    }

    /// Gives both streams of a checked flow their legs' configuration.
    fn configure(&mut self, now: Nanos, flow: &Flow) {
        for leg in LegSide::BOTH {
            let (from, to) = (&flow.legs[leg.index()], &flow.legs[leg.other().index()]);
            let at = stream_of(flow.id.slot, leg).at();
            self.streams[at].configure(&mut self.rare[at], now, from, to);
            if flow.stands_by {
                self.streams[at].gate = Err(DropReason::NotPermitted);
            }
        }
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
        let before = *self.find(id).filter(|flow| !flow.stands_by).ok_or(Refusal::UnknownFlow)?;
        let flow = Flow { half_open: before.half_open, ..self.check(id, legs, false)? };
        self.check_room(Some(&before), &flow)?;
        self.leave_ports(&before);
        for leg in LegSide::BOTH {
            // Each party is spoken to as another source: somebody has taken its place.
            if before.legs[leg.index()].ssrc != legs[leg.index()].ssrc {
                self.rare[stream_of(id.slot, leg).at()].latch.change_party(now);
            }
        }
        self.configure(now, &flow);
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
        self.leave_ports(&flow);
        for leg in LegSide::BOTH {
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
        self.counters.flows.set(self.counters.flows.get().saturating_sub(u64::from(!flow.stands_by)));
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

    /// Whether the legs can be had. Ports that the flow itself holds count as free. The addresses of one that stands by need
    /// not be ours.
    fn check(&mut self, id: FlowId, legs: &[LegConfig; 2], stands_by: bool) -> Result<Flow, Refusal> {
        let [a, b] = legs;
        let addresses = [a.local.ip(), b.local.ip()];
        let locals = if stands_by {
            self.ports.expect(addresses)
        } else {
            self.ports.address(addresses[0]).zip(self.ports.address(addresses[1])).map(<[_; 2]>::from)
        };
        let locals = locals.ok_or(Refusal::LocalAddressNotOurs)?;
        let may_have = |leg: LegSide| self.is_free_for(id, locals[leg.index()], legs[leg.index()].local.port());
        if a.local == b.local || !LegSide::BOTH.into_iter().all(may_have) {
            return Err(Refusal::LocalPortTaken);
        }
        if let (Some(from), Some(to)) = (&a.format, &b.format) {
            let joined = treatment(from, to).and(treatment(to, from));
            joined.ok_or(Refusal::CodecPairUnsupported)?;
        }
        Ok(Flow { id, legs: *legs, locals, half_open: true, stands_by })
    }

    fn is_free_for(&self, id: FlowId, address: AddressIndex, port: u16) -> bool {
        let ours =
            port.is_multiple_of(2) && self.ports.is_in_range(port) && owner_of(port, self.workers) == self.worker;
        let holder = self.ports.find(address, port).map(|stream| leg_of(stream).0);
        ours && holder.is_none_or(|slot| slot == id.slot)
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
        if flow.stands_by {
            return Exit::Closed(DropReason::NotPermitted);
        }
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
