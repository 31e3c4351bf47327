//! The loop around the switch: what happens goes in, what it wants done is done.

mod requests;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tandem_call::{
    Answer, CallNumber, Output, RegistrationState, SourceNet, Spread, StoreTicket, Switch, Transport, TrunkEvent,
};
use tandem_config::{Cidr, Config, Defence};
use tandem_contract::{Event, Fence, Nanos, Prefix, SourceLists};
use tandem_registrar::{Change, Registrar};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::time::sleep_until;

use crate::addresses::Addresses;
use crate::aws::Presence;
use crate::clock::Clock;
use crate::cluster::{ClusterHandle, ClusterRequest, LetGo};
use crate::database::{Ask, Database, News, change_of};
use crate::flows::{FlowQuery, FlowRequests};
use crate::functions::Functions;
use crate::hep::{Capture, Carrier, Collector, Content, Quality};
use crate::http::{Certificates, Gate};
use crate::load::Load;
use crate::logging::LogHandle;
use crate::order::{Order, Request, read_again};
use crate::ports::PortSpreading;
use crate::recorder::Recorder;
use crate::records::RecordWriter;
use crate::replication::{KernelAddress, Replication};
use crate::resolver::Resolver;
use crate::sockets::{Sent, Sockets};
use crate::start::Ended;
use crate::status::{ReplicationStatus, SipCounters, SwitchStatus};
use crate::streams::{Arrival, Streams};
use crate::takeover::{Expected, WARMED_AT_ONCE};
use crate::users::take_news;
use crate::workers::{Watch, Workers};

/// Between looks at the event rings while an answer is expected, for what no answer announces.
const EVENTS_BUSY_MS: u64 = 1;
/// Between looks at the event rings otherwise: media that starts or falls silent can wait so long.
const EVENTS_IDLE_MS: u64 = 20;
/// Between looks at workers and the wall clock. A worker polls some hundred thousand times in it.
const WATCH_MS: u64 = 1000;
/// How long a BYE that nobody answers is sent again (64 T1, RFC 3261 §17.1.2.2), and a little more.
const ENDING_MS: u64 = 35_000;
/// How long the last BYEs and records have when the end is asked for a second time.
const HURRIED_ENDING_MS: u64 = 2000;

/// Arrivals of connections taken before the sockets, the workers and the timers have their turn.
const ARRIVALS: usize = 64;

/// Everything that the loop owns.
pub(crate) struct Shell {
    pub(crate) clock: Clock,
    pub(crate) switch: Switch,
    pub(crate) sockets: Sockets,
    pub(crate) streams: Streams,
    pub(crate) arrivals: Receiver<Arrival>,
    /// Lets the listeners accept connections.
    pub(crate) accept: Option<oneshot::Sender<()>>,
    pub(crate) workers: Workers,
    pub(crate) functions: Functions,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) records: RecordWriter,
    pub(crate) resolver: Resolver,
    /// `None` where no store is configured.
    pub(crate) replication: Option<Replication>,
    /// SIP that waits until the kernel has its floating address.
    pub(crate) held: Option<Vec<Output>>,
    /// `None` where AWS is told nothing.
    pub(crate) presence: Option<Presence>,
    /// Floating addresses that the kernel has while the calls are here.
    pub(crate) attached: Vec<KernelAddress>,
    /// Calls that are handed over to here and have not all come.
    pub(crate) expected: Option<Expected>,
    /// `None` where nothing is kept in a database.
    pub(crate) database: Option<Database>,
    pub(crate) config: Config,
    pub(crate) config_path: PathBuf,
    /// Flows that fit into each worker's table.
    pub(crate) slots: u32,
    pub(crate) log: Option<LogHandle>,
    pub(crate) orders: UnboundedReceiver<Order>,
    /// For orders to oneself.
    pub(crate) order: UnboundedSender<Order>,
    pub(crate) requests: Receiver<Request>,
    pub(crate) phase: Phase,
    pub(crate) draining: bool,
    pub(crate) sip: SipCounters,
    pub(crate) flow_queries: Vec<FlowQuery>,
    pub(crate) addresses: Addresses,
    /// Who waits for flows without a call.
    pub(crate) flow_requests: FlowRequests,
    pub(crate) next_watch: Nanos,
    pub(crate) load: Load,
    /// Calls in progress, per mille of the limit, for the cluster.
    pub(crate) permille: Arc<AtomicU64>,
    pub(crate) cluster: Option<ClusterHandle>,
    /// Who gets every SIP message; `None` where nobody is configured.
    pub(crate) collector: Option<Collector>,
    pub(crate) quality: Quality,
    /// Whom HTTP believes.
    pub(crate) gate: Arc<Gate>,
    /// HTTP's.
    pub(crate) certificates: Certificates,
    /// Until when SIP may be sent, on this thread's clock.
    pub(crate) permit: Arc<Fence>,
    /// Whether the floating addresses are being handed over, for which the end waits.
    pub(crate) leaving: Arc<AtomicBool>,
}

/// Where the process is between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Workers do not run yet; nothing is read from the sockets.
    Starting,
    /// Calls are taken.
    Running,
    /// No calls are taken, those that are up may go on until then.
    Draining(Nanos),
    /// Calls are being ended; then the process is.
    Ending(Nanos),
}

impl Shell {
    /// Runs until the process is to end.
    pub(crate) async fn run(mut self) -> Ended {
        loop {
            let now = self.clock.now();
            self.load.wakes(now);
            self.take_events(now);
            if self.switch.next_deadline().is_some_and(|deadline| deadline <= now) {
                self.switch.on_timeout(now);
            }
            self.watch(now);
            self.look_for_expected(now);
            self.warm_up(WARMED_AT_ONCE);
            self.perform(now);
            // Without votes another node may have the calls, and what is said of them here be old.
            if let Some(replication) = self.replication.as_mut().filter(|_| self.permit.is_open(now)) {
                replication.turn(now, &mut self.switch, &mut self.workers);
            }
            if let Some(calls_cut) = self.is_over(now) {
                // The runtime has nothing else to do any more.
                let records_lost = self.records.finish();
                if let Some(presence) = self.presence {
                    presence.finish().await;
                }
                return Ended { calls_cut, records_lost };
            }
            let wake = self.clock.instant(self.next_wake(now));
            if self.load.rests(self.clock.now()) {
                self.switch.set_overloaded(self.load.percent() > self.config.sip.guard.max_load_percent);
            }
            let listening = self.phase != Phase::Starting;
            tokio::select! {
                () = poll_fn(|context| self.sockets.poll_readable(context)), if listening => {
                    self.load.wakes(self.clock.now());
                    self.receive();
                }
                () = poll_fn(|context| self.workers.poll_answered(context)) => {}
                Some(arrival) = self.arrivals.recv() => {
                    self.load.wakes(self.clock.now());
                    self.on_arrivals(arrival);
                }
                Some(order) = self.orders.recv() => self.on_order(order),
                Some(call) = self.records.written.recv() => self.on_written(call),
                Some(request) = self.requests.recv() => self.on_request(request),
                Some((question, answer)) = self.resolver.answers.recv() => {
                    self.switch.on_resolved(self.clock.now(), &question, answer);
                }
                Some(news) = next_news(&mut self.database) => self.on_news(news),
                () = sleep_until(wake) => {}
            }
        }
    }

    fn next_wake(&self, now: Nanos) -> Nanos {
        let look = if self.workers.is_busy() { EVENTS_BUSY_MS } else { EVENTS_IDLE_MS };
        let mut wake = now.plus(look * 1_000_000).min(self.next_watch);
        if let Some(deadline) = self.switch.next_deadline() {
            wake = wake.min(deadline);
        }
        if let Phase::Draining(until) | Phase::Ending(until) = self.phase {
            wake = wake.min(until);
        }
        if let Some(expected) = &self.expected {
            wake = wake.min(expected.until);
        }
        wake
    }

    /// SIP in.
    fn receive(&mut self) {
        let (switch, clock, sip) = (&mut self.switch, &self.clock, &mut self.sip);
        // Whoever may not answer takes nothing in either: it is sent again, and whoever has the calls then answers.
        let is_heard = self.permit.is_open_at(|| clock.now());
        self.sockets.receive(|listener, remote, bytes| {
            sip.received += 1;
            if !is_heard {
                sip.unheard += 1;
                return;
            }
            switch.on_datagram(clock.now(), listener, remote, bytes);
        });
    }

    /// What connections brought, as much of it as there is now, at most [`ARRIVALS`].
    fn on_arrivals(&mut self, first: Arrival) {
        self.on_arrival(first);
        for _ in 1..ARRIVALS {
            let Ok(arrival) = self.arrivals.try_recv() else { return };
            // What the switch said to the one before may matter to this one.
            self.perform(self.clock.now());
            self.on_arrival(arrival);
        }
    }

    fn on_arrival(&mut self, arrival: Arrival) {
        let now = self.clock.now();
        match arrival {
            Arrival::Accepted { listener, remote, admit } => {
                let connection = self.switch.on_accepted(now, listener, remote);
                // It may be gone already; then it is said so next.
                let _ = admit.send(connection.map(|connection| self.streams.admit(connection)));
            }
            Arrival::Opened(connection) => self.switch.on_connected(now, connection),
            Arrival::Bytes(connection, bytes) => {
                self.sip.octets_received += bytes.len() as u64;
                self.switch.on_stream_bytes(now, connection, &bytes);
            }
            Arrival::Message(connection, bytes) => {
                self.sip.octets_received += bytes.len() as u64;
                self.switch.on_frame(now, connection, &bytes);
            }
            Arrival::Closed(connection) => {
                self.streams.close(connection);
                self.switch.on_disconnected(now, connection);
            }
        }
    }

    /// Workers' events in.
    fn take_events(&mut self, now: Nanos) {
        while let Some((worker, event)) = self.workers.next_event() {
            for query in &mut self.flow_queries {
                match event {
                    Event::Counters { flow, counters } => query.on_counters(worker, flow, counters),
                    Event::Refused { flow, .. } | Event::Removed { flow, .. } => query.on_refused(worker, flow),
                    _ => {}
                }
            }
            if let Some(command) = self.addresses.on_event(self.workers.count(), &event) {
                self.workers.send_all(command);
            }
            if let Event::Counters { flow, counters } = event {
                let unix_us = self.clock.wall().unix_micros(now);
                let reports = self.quality.on_counters(&self.switch, unix_us, (worker, flow), &counters);
                self.collect(reports);
            }
            match event {
                Event::Position { flow, legs } => {
                    if let Some(replication) = self.replication.as_ref().filter(|_| self.permit.is_open(now)) {
                        let unix_ms = self.clock.wall().unix_millis(now);
                        replication.on_position(unix_ms, worker, flow, legs);
                    }
                }
                Event::FunctionDone { request, outcome, .. } => {
                    let done = self.functions.on_done(&mut self.workers, request, outcome);
                    if let Some((key, function)) = done {
                        self.switch.note_function(key, &function);
                    }
                }
                Event::PlaybackEnded { flow, leg } => {
                    self.functions.on_playback_ended(&mut self.workers, (worker, flow), leg);
                }
                Event::Removed { flow, .. } => {
                    self.functions.on_removed(&mut self.workers, (worker, flow));
                    if let Some(recorder) = &self.recorder {
                        recorder.finish((worker, flow));
                    }
                }
                _ => {}
            }
            self.switch.on_media_event(now, worker, event);
        }
        while let Some((ticket, done)) = self.switch.poll_flows() {
            if let Some(unwanted) = self.flow_requests.answer(ticket, done) {
                // Whoever asked has gone: nobody will ever remove them.
                self.switch.remove_flows(unwanted);
            }
        }
        if !self.flow_queries.is_empty() {
            let (complete, waiting) =
                std::mem::take(&mut self.flow_queries).into_iter().partition(|query| query.is_complete(now));
            self.flow_queries = waiting;
            complete.into_iter().for_each(FlowQuery::answer);
        }
    }

    /// Does what the switch wants done.
    pub(crate) fn perform(&mut self, now: Nanos) {
        while let Some((from, message)) = self.switch.poll_heard() {
            self.capture(now, (from.remote, from.local), from.transport, message);
        }
        while let Some(output) = self.switch.poll_output() {
            match (&mut self.held, output) {
                (Some(held), output @ (Output::Datagram { .. } | Output::Connect { .. })) => held.push(output),
                (_, output) => self.carry_out(now, output),
            }
        }
    }

    /// Does one thing.
    pub(crate) fn carry_out(&mut self, now: Nanos, output: Output) {
        match output {
            // Another node has the calls, or will: this process was stopped, and has not heard of it yet.
            Output::Datagram { .. } | Output::Stream { .. } | Output::Connect { .. }
                if !self.permit.is_open(self.clock.now()) =>
            {
                self.sip.unsent += 1;
            }
            Output::Datagram { listener, to, bytes } => match self.sockets.send(listener, to, &bytes) {
                Sent::Yes => {
                    self.sip.sent += 1;
                    if let Some(local) = self.config.sip.listen.get(usize::from(listener.0)) {
                        self.capture(now, (local.advertise.unwrap_or(local.address).0, to), Transport::Udp, bytes);
                    }
                }
                Sent::Dropped => self.sip.unsent += 1,
                Sent::Unreachable => {
                    self.sip.unsent += 1;
                    self.switch.on_transport_error(now, listener, to);
                }
            },
            Output::Connect { connection, listener, to, server_name } => {
                self.streams.connect(connection, listener, to, server_name);
            }
            Output::Stream { connection, bytes } => {
                let octets = bytes.len() as u64;
                // Line ends that keep a connection alive are no messages.
                if self.collector.is_some()
                    && octets > 4
                    && let Some(peer) = self.switch.connected_peer(connection)
                {
                    self.capture(now, (peer.local, peer.remote), peer.transport, bytes.clone());
                }
                if self.streams.send(connection, bytes) {
                    self.sip.octets_sent += octets;
                } else {
                    self.streams.close(connection);
                    self.switch.on_disconnected(now, connection);
                }
            }
            Output::Disconnect { connection } => self.streams.close(connection),
            Output::Command { worker, command } => self.workers.send(worker, command),
            Output::Trunk(TrunkEvent { peer, out_because: Some(why) }) => {
                tracing::warn!(peer, why, "out of service: others of its groups get its calls");
            }
            Output::Trunk(TrunkEvent { peer, out_because: None }) => tracing::info!(peer, "in service again"),
            Output::Registration { peer, state } => match state {
                RegistrationState::Registered(expires_s) => tracing::info!(peer, expires_s, "registered"),
                RegistrationState::Failed(why) => tracing::warn!(peer, why, "the registration failed"),
                RegistrationState::Asking | RegistrationState::Ended => tracing::info!(peer, "no longer registered"),
            },
            Output::Resolve(question) => {
                if let Err(question) = self.resolver.ask(question) {
                    self.switch.on_resolved(now, &question, Answer::Failed);
                }
            }
            Output::Registrations { ticket, changes } => self.store(now, ticket, changes),
            Output::Record(record) => {
                tracing::debug!(
                    call = record.number.0,
                    status = record.status,
                    reason = record.reason,
                    from = record.from,
                    to = record.to,
                    duration_ms = record.duration_ms,
                    "call over"
                );
                if let Some(presence) = &mut self.presence {
                    presence.on_record(&record);
                }
                self.collect(self.quality.on_record(self.clock.wall().unix_micros(now), &record));
                self.records.write(record);
            }
        }
    }

    /// Gives the collector reports, where there is one.
    fn collect(&self, reports: Vec<Capture>) {
        for report in reports {
            if let Some(collector) = &self.collector {
                collector.send(report);
            }
        }
    }

    /// Gives the collector a message, where there is one.
    fn capture(&self, now: Nanos, (from, to): (SocketAddr, SocketAddr), transport: Transport, message: Vec<u8>) {
        let Some(collector) = &self.collector else { return };
        let carrier = if transport == Transport::Udp { Carrier::Udp } else { Carrier::Tcp };
        let unix_us = self.clock.wall().unix_micros(now);
        collector.send(Capture { from, to, carrier, content: Content::Sip, unix_us, message });
    }

    /// Hands changes of registrations to the store.
    fn store(&mut self, now: Nanos, ticket: Option<StoreTicket>, changes: Vec<Change>) {
        let wall = self.clock.wall();
        let changes = changes.into_iter().map(|change| change_of(&wall, change)).collect();
        let handed = self.database.as_ref().is_some_and(|database| {
            let sent = database.asks.send(Ask::Registrations(ticket, changes));
            sent.is_ok()
        });
        if let (false, Some(ticket)) = (handed, ticket) {
            self.switch.on_registrations_stored(now, ticket, false);
        }
    }

    /// The store says something, and perhaps more with it.
    fn on_news(&mut self, news: News) {
        take_news(&mut self.switch, &self.clock, news);
        while let Some(news) = self.database.as_mut().and_then(|database| database.news.try_recv().ok()) {
            take_news(&mut self.switch, &self.clock, news);
        }
    }

    /// A record is written, and perhaps more with it.
    fn on_written(&mut self, call: CallNumber) {
        let now = self.clock.now();
        self.switch.on_record_written(now, call);
        while let Ok(call) = self.records.written.try_recv() {
            self.switch.on_record_written(now, call);
        }
    }

    fn watch(&mut self, now: Nanos) {
        if now < self.next_watch {
            return;
        }
        self.next_watch = now.plus(WATCH_MS * 1_000_000);
        self.switch.set_wall_clock(self.clock.wall());
        self.renew_addresses();
        if let Some(replication) = &self.replication {
            replication.state.warm().try_again();
        }
        let permille = self.switch.calls_in_progress() as u64 * 1000 / u64::from(self.config.limits.max_calls).max(1);
        self.permille.store(permille, Relaxed);
        if self.phase == Phase::Starting {
            return;
        }
        if let Some(mut presence) = self.presence.take() {
            presence.turn(now, &self.status());
            self.presence = Some(presence);
        }
        for (worker, command) in self.quality.ask(&self.switch) {
            self.workers.send(worker, command);
        }
        for found in self.workers.watch() {
            match found {
                Watch::Stuck(worker) => {
                    tracing::error!(worker = worker.0, "worker does not poll: the node is not ready")
                }
                Watch::Recovered(worker) => tracing::info!(worker = worker.0, "worker polls"),
            }
        }
    }

    fn on_order(&mut self, order: Order) {
        match order {
            Order::DataPlaneReady(spreading) if self.phase == Phase::Starting => {
                self.switch.set_spreads(spreading.into_iter().map(|of_port| spread(&self.config, of_port)).collect());
                self.phase = Phase::Running;
                if let Some(accept) = self.accept.take() {
                    // The thread of connections ends only with this one.
                    let _ = accept.send(());
                }
                // Workers have just begun: give them a whole interval to show that they poll.
                self.next_watch = self.clock.now().plus(WATCH_MS * 1_000_000);
                let started_ms = self.clock.since_start_ms();
                tracing::info!(started_ms, "ready for calls");
            }
            Order::DataPlaneReady(_) => {}
            Order::AddressesAttached => self.on_attached(self.clock.now()),
            Order::Terminate => self.terminate(),
            Order::Reload => read_again(self.config_path.clone(), self.order.clone(), None),
            Order::Apply(read, answer) => {
                let applied = self.apply(read);
                if let Err(why) = &applied {
                    tracing::error!("the configuration stays as it is:\n{why}");
                }
                if let Some(answer) = answer {
                    let _ = answer.send(applied);
                }
            }
            Order::Ask(number, asked) => self.ask_again(self.clock.now(), number, asked),
            // Whoever waits for it looks before the next turn.
            Order::CopyComplete => {}
            Order::TakeOver(order) => self.begin_take_over(self.clock.now(), order),
            Order::LetGo(LetGo { superseded, done }) => {
                self.release(self.clock.now(), superseded, Some(done));
            }
        }
    }

    fn terminate(&mut self) {
        let now = self.clock.now();
        let calls = self.switch.calls_in_progress();
        if let Some(cluster) = self.cluster.take() {
            // Another member goes on; what is still here then ends by itself.
            let leaving = Arc::new(AtomicBool::new(true));
            self.leaving = leaving.clone();
            tokio::spawn(async move {
                // Where it does not answer, the others find out by themselves.
                let _ = cluster.ask(ClusterRequest::Leave).await;
                leaving.store(false, Relaxed);
            });
        }
        match self.phase {
            Phase::Starting | Phase::Running => {
                let timeout_s = self.config.shutdown.drain_timeout_s;
                tracing::info!(calls, timeout_s, "ending: no new calls, those that are up may end by themselves");
                self.drain(now);
                self.phase = Phase::Draining(now.plus(u64::from(timeout_s) * 1_000_000_000));
            }
            Phase::Draining(_) => {
                tracing::info!(calls, "asked again: ending all calls now");
                self.switch.end_all(now, "gateway shut down");
                self.phase = Phase::Ending(now.plus(HURRIED_ENDING_MS * 1_000_000));
            }
            Phase::Ending(until) => self.phase = Phase::Ending(until.min(now.plus(HURRIED_ENDING_MS * 1_000_000))),
        }
    }

    fn drain(&mut self, now: Nanos) {
        self.draining = true;
        self.switch.drain(now);
    }

    /// How many calls are left when it is time to end.
    fn is_over(&mut self, now: Nanos) -> Option<usize> {
        match self.phase {
            Phase::Starting | Phase::Running => None,
            _ if self.leaving.load(Relaxed) => None,
            Phase::Draining(_) | Phase::Ending(_) if self.switch.is_drained() => Some(0),
            Phase::Draining(until) if now >= until => {
                let calls = self.switch.calls_in_progress();
                tracing::info!(calls, "the time to end by themselves is over: ending all calls");
                self.switch.end_all(now, "gateway shut down");
                self.perform(now);
                self.phase = Phase::Ending(now.plus(ENDING_MS * 1_000_000));
                None
            }
            Phase::Ending(until) if now >= until => Some(self.switch.calls_in_progress()),
            Phase::Draining(_) | Phase::Ending(_) => None,
        }
    }

    fn status(&self) -> SwitchStatus {
        let mut not_ready = Vec::new();
        if self.phase == Phase::Starting {
            not_ready.push("starting".to_owned());
        }
        if self.draining {
            not_ready.push("draining: no new calls are taken".to_owned());
        }
        not_ready.extend(self.workers.stuck().map(|worker| format!("worker {} does not poll", worker.0)));
        if let Some(database) = &self.database
            && !database.state.is_up.load(Relaxed)
        {
            not_ready.push("the store does not answer: nobody can register".to_owned());
        }
        if self.records.state.failing.load(Relaxed) {
            not_ready.push("call detail records cannot be written".to_owned());
        }
        let registrar = self.switch.registrar();
        SwitchStatus {
            counters: self.switch.counters(),
            sip: self.sip,
            calls: self.switch.calls_in_progress() as u64,
            load_percent: self.load.percent(),
            max_calls: self.config.limits.max_calls.into(),
            draining: self.draining,
            trunks: self.switch.trunks(),
            subscribers: registrar.map_or(0, |registrar| registrar.subscribers() as u64),
            registrations: registrar.map_or(0, |registrar| registrar.location().len() as u64),
            registrar: registrar.map(Registrar::counters).unwrap_or_default(),
            not_ready,
            replication: self
                .replication
                .as_ref()
                .map(|replication| ReplicationStatus::of(&replication.state, self.switch.flows_at_hand())),
        }
    }
}

/// How a port spreads what it receives, with the subnets that it is about.
fn spread(config: &Config, of_port: PortSpreading) -> Spread {
    let nets = config.ports.get(of_port.port).map(|port| port.addresses.as_slice()).unwrap_or_default();
    let subnets = nets.iter().map(|net| SourceNet { address: net.address, prefix_len: net.prefix_len }).collect();
    Spread { subnets, key: of_port.key, table: of_port.table }
}

/// The lists of a configuration as workers use them.
fn source_lists(defence: &Defence) -> SourceLists {
    let prefixes = |list: &[Cidr]| -> Vec<Prefix> {
        list.iter().map(|net| Prefix { address: net.address, len: net.prefix_len }).collect()
    };
    SourceLists::new(&prefixes(&defence.allow), &prefixes(&defence.deny))
}

/// What the store says next; never where there is none.
async fn next_news(database: &mut Option<Database>) -> Option<News> {
    match database {
        Some(database) => database.news.recv().await,
        None => std::future::pending().await,
    }
}
