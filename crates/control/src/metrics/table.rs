//! Every metric, declared once: its name, help text and where its value comes from.

use std::sync::atomic::Ordering::Relaxed;

use tandem_call::{RegistrationState, TrunkStatus};
use tandem_contract::WorkerCounters;

use super::encode::Scrape;
use crate::status::SwitchStatus;

/// One metric.
pub(super) struct Metric {
    /// The name; a counter gets `_total` behind it.
    pub(super) name: &'static str,
    pub(super) is_gauge: bool,
    pub(super) help: &'static str,
    pub(super) value: Value,
}

/// Where a metric's value comes from, and so which labels it has.
pub(super) enum Value {
    /// One for the node.
    Node(fn(&Scrape) -> u64),
    /// One for the node, where the machine tells.
    Told(fn(&Scrape) -> Option<u64>),
    /// One for the node, known while the switch answers.
    Switch(fn(&SwitchStatus) -> u64),
    /// One per peer, known while the switch answers.
    Trunk(fn(&TrunkStatus) -> u64),
    /// One per worker.
    Worker(fn(&WorkerCounters) -> u64),
    /// One per worker and drop reason.
    Drops,
    /// One per worker and stage of its rounds.
    Stages,
    /// One histogram per worker.
    Histogram,
    /// One per counter of each port's driver.
    Ports,
}

const fn gauge(name: &'static str, value: Value, help: &'static str) -> Metric {
    Metric { name, is_gauge: true, help, value }
}

const fn counter(name: &'static str, value: Value, help: &'static str) -> Metric {
    Metric { name, is_gauge: false, help, value }
}

use Value::{Drops, Histogram, Node, Ports, Stages, Switch, Told, Trunk, Worker};

pub(super) const METRICS: &[Metric] = &[
    gauge("tandem_ready", Node(|node| node.ready.into()), "1 while the node is ready for calls."),
    gauge("tandem_uptime_seconds", Node(|node| node.uptime_s), "Seconds since the process started."),
    counter(
        "tandem_memory_traffic_bytes",
        Told(|node| node.memory_octets),
        "Bytes that all cores together moved to and from memory, whatever ran on them; absent where the kernel does not tell \
         (`mount -t resctrl resctrl /sys/fs/resctrl`, on processors that count it).",
    ),
    gauge(
        "tandem_switch_answering",
        Node(|node| node.switch.is_some().into()),
        "1 while the thread that handles calls answers; otherwise the metrics of calls and SIP are absent.",
    ),
    gauge("tandem_calls", Switch(|switch| switch.calls), "Calls at present, set-up and clearing included."),
    gauge("tandem_calls_limit", Switch(|switch| switch.max_calls), "Calls at most (limits.max_calls)."),
    gauge("tandem_draining", Switch(|switch| switch.draining.into()), "1 once the node takes no new calls."),
    counter(
        "tandem_call_attempts",
        Switch(|switch| switch.counters.attempts),
        "INVITEs that began a call or were refused as one.",
    ),
    counter("tandem_calls_answered", Switch(|switch| switch.counters.answered), "Calls that were answered."),
    counter(
        "tandem_calls_failed",
        Switch(|switch| switch.counters.failed),
        "Calls that ended without an answer, by a refusal of ours or the callee's.",
    ),
    counter(
        "tandem_calls_cancelled",
        Switch(|switch| switch.counters.cancelled),
        "Calls that the caller gave up before the answer.",
    ),
    counter(
        "tandem_calls_refused_busy",
        Switch(|switch| switch.counters.refused_busy),
        "Calls refused with 503: too many, or draining.",
    ),
    counter("tandem_sip_datagrams_received", Switch(|switch| switch.sip.received), "SIP datagrams received."),
    counter("tandem_sip_datagrams_sent", Switch(|switch| switch.sip.sent), "SIP datagrams sent."),
    counter(
        "tandem_sip_datagrams_unheard",
        Switch(|switch| switch.sip.unheard),
        "SIP datagrams that were not looked at, because another node may have the floating addresses and the calls.",
    ),
    counter(
        "tandem_sip_datagrams_unsent",
        Switch(|switch| switch.sip.unsent),
        "SIP datagrams that the kernel did not take: its buffer is full, or there is no way to the address; and messages that a \
         node of a cluster had no votes to send.",
    ),
    counter(
        "tandem_sip_stream_bytes_received",
        Switch(|switch| switch.sip.octets_received),
        "Bytes of SIP that came over connections.",
    ),
    counter(
        "tandem_sip_stream_bytes_sent",
        Switch(|switch| switch.sip.octets_sent),
        "Bytes of SIP given to connections.",
    ),
    gauge(
        "tandem_sip_connections",
        Switch(|switch| switch.counters.connections.live),
        "Connections of TCP, TLS and WebSocket, those that shake hands included.",
    ),
    counter(
        "tandem_sip_connections_accepted",
        Switch(|switch| switch.counters.connections.accepted),
        "Connections accepted.",
    ),
    counter(
        "tandem_sip_connections_opened",
        Switch(|switch| switch.counters.connections.opened),
        "Connections that the gateway opened.",
    ),
    counter(
        "tandem_sip_connections_refused",
        Switch(|switch| switch.counters.connections.refused),
        "Connections refused or not opened: sip.connections.max or max_per_source is reached.",
    ),
    counter(
        "tandem_sip_connections_failed",
        Switch(|switch| switch.counters.connections.failed),
        "Connections that did not come about: refused by the far end, no TLS, or open_timeout_s was over.",
    ),
    counter(
        "tandem_sip_connections_idle",
        Switch(|switch| switch.counters.connections.closed_idle),
        "Connections closed because nothing was heard for idle_timeout_s.",
    ),
    counter(
        "tandem_sip_connections_slow",
        Switch(|switch| switch.counters.connections.closed_slow),
        "Connections closed because a message did not come, or did not end, within message_timeout_s.",
    ),
    counter(
        "tandem_sip_connections_malformed",
        Switch(|switch| switch.counters.connections.closed_malformed),
        "Connections closed because it could not be known where the next message begins.",
    ),
    gauge(
        "tandem_switch_load_percent",
        Switch(|switch| switch.load_percent.into()),
        "How busy the thread that handles calls is; above sip.guard.max_load_percent new requests are answered 503.",
    ),
    counter(
        "tandem_sip_denied",
        Switch(|switch| switch.counters.guard.denied),
        "SIP messages and connections from networks that sip.guard does not let in.",
    ),
    counter(
        "tandem_sip_banned",
        Switch(|switch| switch.counters.guard.banned),
        "SIP messages and connections from banned addresses.",
    ),
    counter(
        "tandem_sip_over_budget",
        Switch(|switch| switch.counters.guard.over_budget),
        "SIP messages and connections beyond sip.guard.messages_per_s of one address.",
    ),
    counter(
        "tandem_sip_scanners",
        Switch(|switch| switch.counters.guard.scanners),
        "Requests whose User-Agent is a scanner's; nothing is answered.",
    ),
    counter("tandem_sip_bans", Switch(|switch| switch.counters.guard.bans), "Bans pronounced."),
    counter(
        "tandem_sip_malformed",
        Switch(|switch| switch.counters.malformed_datagrams),
        "Datagrams that are not SIP messages that can be answered.",
    ),
    counter(
        "tandem_sip_retransmissions",
        Switch(|switch| switch.counters.retransmissions),
        "SIP retransmissions that were absorbed or repeated.",
    ),
    counter(
        "tandem_sip_failovers",
        Switch(|switch| switch.counters.failovers),
        "Requests that were sent to another target, since the first could not be had.",
    ),
    counter(
        "tandem_sip_timeouts",
        Switch(|switch| switch.counters.transaction_timeouts),
        "Requests of the gateway's own that nobody answered.",
    ),
    counter(
        "tandem_sip_requests_dropped",
        Switch(|switch| switch.counters.dropped_requests),
        "Requests answered 503 because too many transactions were under way, or of overload.",
    ),
    counter(
        "tandem_legs_near",
        Switch(|switch| switch.counters.legs_near),
        "Callers' legs whose port was chosen by the device's spreading (RSS), and whose packets came to the worker of the call.",
    ),
    counter(
        "tandem_legs_astray",
        Switch(|switch| switch.counters.legs_astray),
        "Such legs whose packets came to another worker all the same; where many do, ports are no longer chosen so.",
    ),
    counter(
        "tandem_calls_taken_over",
        Switch(|switch| switch.counters.taken_over),
        "Calls of another node that go on, or were recorded, here.",
    ),
    gauge(
        "tandem_store_up",
        Switch(|switch| switch.replication.is_some_and(|replication| replication.store_up).into()),
        "1 while the store of calls takes what is written (replication.store). While it is 0, calls would be lost with the node.",
    ),
    gauge(
        "tandem_store_waiting",
        Switch(|switch| switch.replication.map_or(0, |replication| replication.waiting)),
        "Calls and positions that have changed and are not in the store yet.",
    ),
    counter(
        "tandem_store_writes",
        Switch(|switch| switch.replication.map_or(0, |replication| replication.written)),
        "Calls and positions written to the store.",
    ),
    counter(
        "tandem_store_outages",
        Switch(|switch| switch.replication.map_or(0, |replication| replication.outages)),
        "How often the store of calls went away.",
    ),
    counter(
        "tandem_store_resyncs",
        Switch(|switch| switch.replication.map_or(0, |replication| replication.resyncs)),
        "How often all calls were compared with the store: at the start, and when it is back.",
    ),
    gauge(
        "tandem_warm_calls",
        Switch(|switch| switch.replication.map_or(0, |replication| replication.warm_calls)),
        "Calls of other nodes that this one could go on with.",
    ),
    gauge(
        "tandem_flows_at_hand",
        Switch(|switch| switch.replication.map_or(0, |replication| replication.flows_at_hand)),
        "Those among them whose media goes on at once in a takeover: a worker of this node has their flow at hand.",
    ),
    counter(
        "tandem_warm_calls_unreadable",
        Switch(|switch| switch.replication.map_or(0, |replication| replication.unreadable)),
        "Calls of other nodes that this one cannot read, written by a newer version most likely.",
    ),
    gauge(
        "tandem_following",
        Switch(|switch| switch.replication.is_some_and(|replication| replication.following).into()),
        "1 while the copy of other nodes' calls is kept up.",
    ),
    counter(
        "tandem_following_gaps",
        Switch(|switch| switch.replication.map_or(0, |replication| replication.gaps)),
        "How often a publication of another node was missed and everything was read again.",
    ),
    counter(
        "tandem_worker_refusals",
        Switch(|switch| switch.counters.worker_refusals),
        "Commands that a worker did not take.",
    ),
    gauge(
        "tandem_trunk_in_service",
        Trunk(|trunk| trunk.in_service.into()),
        "1 while the peer is in service; calls go to others of its groups while it is not.",
    ),
    gauge("tandem_trunk_calls", Trunk(|trunk| trunk.calls.into()), "Calls from and to the peer at present."),
    counter("tandem_trunk_attempts", Trunk(|trunk| trunk.attempts), "Calls that the peer was sent."),
    counter("tandem_trunk_answered", Trunk(|trunk| trunk.answered), "Those that it answered."),
    counter(
        "tandem_trunk_failures",
        Trunk(|trunk| trunk.failures),
        "Those that it refused with 503, did not answer at all, or could not be reached for.",
    ),
    counter(
        "tandem_trunk_over_limit",
        Trunk(|trunk| trunk.over_limit),
        "Calls that the peer was not sent because of max_calls or max_calls_per_s.",
    ),
    gauge(
        "tandem_trunk_round_trip_microseconds",
        Trunk(|trunk| trunk.round_trip_us.unwrap_or(0).into()),
        "How long the peer's answer to OPTIONS takes, smoothed; 0 before the first.",
    ),
    gauge(
        "tandem_trunk_registered",
        Trunk(|trunk| matches!(trunk.registration, Some(RegistrationState::Registered(_))).into()),
        "1 while the gateway is registered with the peer (register_s).",
    ),
    counter(
        "tandem_identities_verified",
        Switch(|switch| switch.counters.identities_verified),
        "Calls whose caller's identity was verified (STIR).",
    ),
    counter(
        "tandem_identities_failed",
        Switch(|switch| switch.counters.identities_failed),
        "Calls whose caller's identity was there or asked for, and not valid.",
    ),
    counter(
        "tandem_identities_signed",
        Switch(|switch| switch.counters.identities_signed),
        "INVITEs signed here (STIR).",
    ),
    counter(
        "tandem_recording_sessions",
        Switch(|switch| switch.counters.recordings_begun),
        "Calls whose media a recording server took (peers[].recorder).",
    ),
    counter(
        "tandem_recording_sessions_failed",
        Switch(|switch| switch.counters.recordings_failed),
        "How often a call's recording server refused or did not answer; the calls went on.",
    ),
    counter(
        "tandem_recording_sessions_changed",
        Switch(|switch| switch.counters.recordings_changed),
        "Changes of a recorded call, of codec, hold, address or party, that its recording server took.",
    ),
    counter(
        "tandem_recording_changes_refused",
        Switch(|switch| switch.counters.recording_changes_refused),
        "Changes of a recorded call that its recording server refused; copies went on as they were agreed before.",
    ),
    gauge(
        "tandem_calls_unrecorded",
        Switch(|switch| switch.counters.recordings_missing),
        "Calls that are to be recorded by a server and are not: it refused, was silent, or left.",
    ),
    counter(
        "tandem_recording_sessions_lost",
        Switch(|switch| switch.counters.recordings_lost),
        "Recording sessions that the server ended before their call.",
    ),
    counter(
        "tandem_hep_sent",
        Node(|node| node.hep.sent.load(Relaxed)),
        "SIP messages and reports sent to the collector (hep).",
    ),
    counter(
        "tandem_hep_dropped",
        Node(|node| node.hep.dropped.load(Relaxed)),
        "SIP messages and reports not sent to the collector: the queue was full, or the network did not take them.",
    ),
    counter(
        "tandem_http_refused",
        Node(|node| node.http_refused),
        "HTTP requests refused for want of a token or its scope (http.tokens).",
    ),
    counter("tandem_records_written", Node(|node| node.records.written.load(Relaxed)), "Call detail records written."),
    gauge(
        "tandem_records_waiting",
        Node(|node| node.records.waiting.load(Relaxed)),
        "Call detail records that wait to be written.",
    ),
    gauge(
        "tandem_records_failing",
        Node(|node| node.records.failing.load(Relaxed).into()),
        "1 while call detail records cannot be written.",
    ),
    gauge(
        "tandem_cluster_active",
        Node(|node| node.cluster.active.into()),
        "1 while this node has the floating addresses and the votes to send from them.",
    ),
    gauge(
        "tandem_cluster_members_alive",
        Node(|node| node.cluster.members_alive),
        "Members of the cluster that are heard, this node among them; 0 without a cluster.",
    ),
    gauge("tandem_cluster_alarms", Node(|node| node.cluster.alarms), "Alarms of the cluster that last."),
    gauge(
        "tandem_cluster_epoch",
        Node(|node| node.cluster.epoch),
        "The epoch of who has the floating addresses; it grows with every holder.",
    ),
    counter(
        "tandem_cluster_beats_received",
        Node(|node| node.cluster.counters.beats_received),
        "Heartbeats of other members.",
    ),
    counter(
        "tandem_cluster_beats_refused",
        Node(|node| {
            let counters = &node.cluster.counters;
            counters.beats_malformed
                + counters.beats_unauthenticated
                + counters.beats_replayed
                + counters.beats_of_strangers
        }),
        "Datagrams that are no heartbeat, have another secret, were seen before or are for nobody known.",
    ),
    counter(
        "tandem_cluster_promotions",
        Node(|node| node.cluster.counters.promotions),
        "How often this node got the floating addresses.",
    ),
    counter(
        "tandem_cluster_demotions",
        Node(|node| node.cluster.counters.demotions),
        "How often it lost or gave them.",
    ),
    counter(
        "tandem_cluster_lapses",
        Node(|node| node.cluster.counters.lapses),
        "How often it had the floating addresses and lacked votes, so that it did not send.",
    ),
    counter(
        "tandem_cluster_pauses",
        Node(|node| node.cluster.counters.pauses),
        "How often the process did not run for longer than a vote holds, or lost time to a hypervisor.",
    ),
    gauge(
        "tandem_aws_away",
        Node(|node| (node.aws.enabled && node.aws.identity.is_none()).into()),
        "1 while `tandem-aws` is wanted (aws.enabled) and not there: addresses cannot move to this node.",
    ),
    counter(
        "tandem_aws_restarts",
        Node(|node| node.aws.restarts),
        "How often `tandem-aws` ended and was started again.",
    ),
    counter(
        "tandem_aws_moves",
        Node(|node| node.aws.moves),
        "How often EC2 moved the floating addresses to this node.",
    ),
    counter("tandem_aws_moves_failed", Node(|node| node.aws.moves_failed), "Attempts at that which failed."),
    counter(
        "tandem_aws_calls_throttled",
        Node(|node| node.aws.calls_throttled),
        "Calls to EC2 that moves made and that were throttled.",
    ),
    gauge(
        "tandem_aws_move_milliseconds",
        Node(|node| node.aws.last_move.unwrap_or_default().took_ms),
        "From the votes until the addresses were here, the last time.",
    ),
    gauge(
        "tandem_aws_move_own_milliseconds",
        Node(|node| node.aws.last_move.unwrap_or_default().own_ms),
        "Of these, milliseconds in which EC2 was not waited for.",
    ),
    gauge("tandem_subscribers", Switch(|switch| switch.subscribers), "Those who may register."),
    gauge("tandem_registrations", Switch(|switch| switch.registrations), "Contacts that are registered."),
    counter(
        "tandem_registers_accepted",
        Switch(|switch| switch.registrar.registered),
        "REGISTERs that added, renewed or removed contacts.",
    ),
    counter(
        "tandem_digest_challenges",
        Switch(|switch| switch.registrar.challenged),
        "Requests challenged for want of credentials.",
    ),
    counter(
        "tandem_digest_stale",
        Switch(|switch| switch.registrar.stale),
        "Requests challenged anew: their nonce was too old, unknown or used.",
    ),
    counter(
        "tandem_digest_refused",
        Switch(|switch| switch.registrar.refused),
        "Requests with a wrong password or of an unknown user.",
    ),
    gauge(
        "tandem_database_up",
        Node(|node| node.store.is_up.load(Relaxed).into()),
        "1 while the database answers; 0 also where none is configured.",
    ),
    counter("tandem_database_failures", Node(|node| node.store.failures.load(Relaxed)), "Transactions that failed."),
    counter(
        "tandem_database_records",
        Node(|node| node.store.records.load(Relaxed)),
        "Call detail records taken over into the database (records.store).",
    ),
    gauge("tandem_recordings", Node(|node| node.recorder.active.load(Relaxed)), "Calls that are being recorded."),
    counter(
        "tandem_recordings_finished",
        Node(|node| node.recorder.finished.load(Relaxed)),
        "Recordings whose files are complete.",
    ),
    counter(
        "tandem_recordings_failed",
        Node(|node| node.recorder.failed.load(Relaxed)),
        "Recordings that did not begin, or ended early, because the disk did not take them.",
    ),
    gauge("tandem_flows", Worker(|worker| worker.flows.get()), "Media flows in the worker's table."),
    gauge(
        "tandem_flows_half_open",
        Worker(|worker| worker.half_open_flows.get()),
        "Of these, flows that have not accepted any packet yet.",
    ),
    counter(
        "tandem_frames_received",
        Worker(|worker| worker.frames_received.get()),
        "Ethernet frames that the port delivered.",
    ),
    counter("tandem_frames_sent", Worker(|worker| worker.frames_sent.get()), "Ethernet frames that the port took."),
    counter("tandem_rtp_forwarded", Worker(|worker| worker.rtp_forwarded.get()), "RTP packets forwarded."),
    counter(
        "tandem_neighbour_answers",
        Worker(|worker| worker.control_answered.get()),
        "ARP and ICMP packets answered.",
    ),
    counter(
        "tandem_handed_over",
        Worker(|worker| worker.handed_over.get()),
        "Packets handed to the worker that owns their flow.",
    ),
    counter(
        "tandem_handed_in",
        Worker(|worker| worker.handed_in.get()),
        "Packets that other workers handed to this one.",
    ),
    counter(
        "tandem_frames_originated",
        Worker(|worker| worker.frames_originated.get()),
        "Frames that the worker built in buffers of its own: ARP requests, reports, packets that re-framing adds.",
    ),
    counter(
        "tandem_frames_consumed",
        Worker(|worker| worker.frames_consumed.get()),
        "Frames taken in and answered with nothing: ARP replies, reports, media that another packet carries on.",
    ),
    counter(
        "tandem_frames_passed_on",
        Worker(|worker| worker.frames_passed_on.get()),
        "Frames that followed a floating address to the node that it was handed over to.",
    ),
    counter("tandem_reports_sent", Worker(|worker| worker.reports_sent.get()), "RTCP reports sent."),
    counter("tandem_reports_received", Worker(|worker| worker.reports_received.get()), "RTCP packets taken in."),
    counter("tandem_codec_batches", Worker(|worker| worker.batches.get()), "Codec batches run."),
    counter(
        "tandem_codec_batch_frames",
        Worker(|worker| worker.batch_frames.get()),
        "Frames in those batches; divided by their number, the mean lane fill.",
    ),
    counter(
        "tandem_codec_batch_wait_nanoseconds",
        Worker(|worker| worker.batch_wait_ns.get()),
        "Nanoseconds that frames waited for their batch, summed over frames.",
    ),
    counter(
        "tandem_frames_concealed",
        Worker(|worker| worker.frames_concealed.get()),
        "Packets of speech made up for lost ones.",
    ),
    counter(
        "tandem_frames_of_noise",
        Worker(|worker| worker.frames_of_noise.get()),
        "Packets of comfort noise made for legs that hear speech alone, while the other side had described its silence.",
    ),
    counter(
        "tandem_telephone_events",
        Worker(|worker| worker.telephone_events.get()),
        "Telephone events of peers, each counted once (RFC 4733).",
    ),
    counter("tandem_packets_played", Worker(|worker| worker.packets_played.get()), "Packets of clips sent to legs."),
    counter(
        "tandem_packets_recorded",
        Worker(|worker| worker.packets_recorded.get()),
        "Packets of recorded calls copied to the recorder.",
    ),
    counter(
        "tandem_packets_unrecorded",
        Worker(|worker| worker.packets_unrecorded.get()),
        "Packets of recorded calls that were not copied, because the recorder could not keep up; the calls themselves had them.",
    ),
    counter(
        "tandem_packets_forked",
        Worker(|worker| worker.packets_forked.get()),
        "Copies of packets sent to another RTP address.",
    ),
    counter(
        "tandem_packets_unforked",
        Worker(|worker| worker.packets_unforked.get()),
        "Such copies that were not sent: no packet buffer, or longer than the MTU.",
    ),
    counter("tandem_drops", Drops, "Packets dropped, by reason; each under exactly one."),
    counter(
        "tandem_polls",
        Worker(|worker| worker.polls.get()),
        "Rounds of the poll loop; a worker whose count stands still is stuck.",
    ),
    counter("tandem_busy_polls", Worker(|worker| worker.busy_polls.get()), "Rounds that found work."),
    counter(
        "tandem_busy_nanoseconds",
        Worker(|worker| worker.busy_ns.get()),
        "Nanoseconds spent in rounds that found work: the worker's load.",
    ),
    counter(
        "tandem_stage_nanoseconds",
        Stages,
        "The same by stage of the round; divided by the packets forwarded, what each stage costs a packet.",
    ),
    counter(
        "tandem_stops",
        Worker(|worker| worker.stops.count()),
        "Times in which something else had the worker's core for 0.1 ms and more: another thread, or another virtual machine.",
    ),
    counter("tandem_stopped_nanoseconds", Worker(|worker| worker.stops.ns()), "Nanoseconds of these."),
    gauge(
        "tandem_commands_waiting",
        Worker(|worker| worker.commands_ring.now.get()),
        "Commands on the ring to the worker.",
    ),
    gauge(
        "tandem_commands_waiting_most",
        Worker(|worker| worker.commands_ring.most.get()),
        "The most that ever waited there.",
    ),
    gauge(
        "tandem_events_waiting",
        Worker(|worker| worker.events_ring.now.get()),
        "Events on the ring from the worker.",
    ),
    gauge(
        "tandem_events_waiting_most",
        Worker(|worker| worker.events_ring.most.get()),
        "The most that ever waited there.",
    ),
    gauge(
        "tandem_handover_waiting",
        Worker(|worker| worker.handover_ring.now.get()),
        "Frames on the rings from other workers.",
    ),
    gauge(
        "tandem_handover_waiting_most",
        Worker(|worker| worker.handover_ring.most.get()),
        "The most that ever waited there.",
    ),
    Metric {
        name: "tandem_added_latency_seconds",
        is_gauge: false,
        help: "Time from receive burst to transmit per RTP packet. Counts are exact to 3.1 % of a bucket's bound; the sum is that of the counted buckets' middles.",
        value: Histogram,
    },
    counter("tandem_port_driver", Ports, "The port's own counters as its DPDK driver names them."),
];
