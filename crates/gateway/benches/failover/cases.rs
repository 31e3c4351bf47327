//! The ways in which the active node goes away, and how it is brought back.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::pair::Pair;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Kill,
    Stop,
    HeartbeatCut,
    MediaCut,
    PowerCut,
    StoreAndKill,
    Planned,
}

impl Case {
    pub const ALL: [Self; 7] =
        [Self::Kill, Self::Stop, Self::HeartbeatCut, Self::MediaCut, Self::PowerCut, Self::StoreAndKill, Self::Planned];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::HeartbeatCut => "heartbeat-cut",
            Self::MediaCut => "media-cut",
            Self::PowerCut => "power-cut",
            Self::StoreAndKill => "store-and-kill",
            Self::Planned => "planned",
        }
    }

    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Kill => "kill -9 of the active gateway's process",
            Self::Stop => "SIGSTOP of it, and SIGCONT two seconds later",
            Self::HeartbeatCut => "no heartbeat passes between the gateways; nobody takes over, for the votes see both",
            Self::MediaCut => "the link of the active gateway's media port is cut; it finds out by itself",
            Self::PowerCut => "both links of the active gateway's host are cut",
            Self::StoreAndKill => "kill -9 of the store of calls, then of the active gateway",
            Self::Planned => "tandem ctl failover",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.name() == name)
    }

    /// Whether the other gateway goes on with the calls.
    pub fn moves(self) -> bool {
        self != Self::HeartbeatCut
    }

    /// The gap that is to be kept.
    pub const fn goal(self) -> Duration {
        Duration::from_millis(match self {
            Self::Planned | Self::HeartbeatCut => 40,
            _ => 150,
        })
    }

    /// Lets the gateway that has the calls fail.
    pub fn strike(self, pair: &mut Pair, active: usize) {
        match self {
            Self::Kill => signal(pair, active, Signal::KILL),
            Self::Stop => signal(pair, active, Signal::STOP),
            Self::HeartbeatCut => blackhole(pair, "add"),
            Self::MediaCut => pair.link(active, "media0", "down"),
            Self::PowerCut => {
                pair.link(active, "media0", "down");
                pair.link(active, "eth0", "down");
            }
            Self::StoreAndKill => {
                pair.stores[0].signal("KILL");
                signal(pair, active, Signal::KILL);
            }
            Self::Planned => drop(pair.node(active).ctl_json(&["failover"])),
        }
    }

    /// Brings what failed back.
    pub fn heal(self, pair: &mut Pair, failed: usize) {
        match self {
            Self::Kill => pair.start_again(failed),
            Self::Stop => signal(pair, failed, Signal::CONT),
            Self::HeartbeatCut => blackhole(pair, "delete"),
            Self::MediaCut => pair.link(failed, "media0", "up"),
            Self::PowerCut => {
                pair.link(failed, "media0", "up");
                pair.link(failed, "eth0", "up");
            }
            Self::StoreAndKill => {
                pair.start_store(0);
                pair.start_again(failed);
            }
            Self::Planned => {}
        }
    }
}

/// Without a process of its own, whose start would take some milliseconds.
fn signal(pair: &Pair, node: usize, signal: Signal) {
    let process = i32::try_from(pair.node(node).process.id()).expect("a process");
    kill_process(Pid::from_raw(process).expect("a process"), signal).expect("it is there");
}

/// Nothing passes between the gateways' own addresses; both speak with the stores and the parties as before.
fn blackhole(pair: &Pair, action: &str) {
    for (node, other) in [(0, "10.79.0.12"), (1, "10.79.0.11")] {
        pair.run(&pair.namespace(node), &format!("ip route {action} blackhole {other}/32"));
    }
}
