//! Connections that come, speak, stall and go in any order; what must hold, holds. The property test and the fuzzer share
//! this.

use std::net::SocketAddr;

use tandem_call::{ConnectionId, Listener, ListenerId, Output, Transport};

use super::{ALICE, BOB, GATEWAY, Stage, config, sdp};

/// The longest script that is played.
const MAX_STEPS: usize = 200;
/// Connections at once.
const MAX_CONNECTIONS: u32 = 5;

/// Plays `script`, two bytes a step, then lets everybody fall silent and checks that nothing is left.
pub fn play(script: &[u8]) {
    let mut config = config();
    config.connections.max_connections = MAX_CONNECTIONS;
    config.connections.max_per_source = 3;
    config.timeouts.max_call_s = 300;
    for (port, transport) in [(5060, Transport::Tcp), (5061, Transport::Tls), (80, Transport::Ws)] {
        let advertised = SocketAddr::new(GATEWAY.ip(), port);
        config.listeners.push(Listener {
            name: transport.as_str().into(),
            advertised,
            transport,
            authenticates: false,
        });
    }
    config.peers[1].listener = ListenerId(1);
    let mut play = Play { stage: Stage::with(config), open: Vec::new(), number: 0 };
    for step in script.chunks_exact(2).take(MAX_STEPS) {
        play.step(step[0], usize::from(step[1]));
        play.obey();
    }
    play.end();
}

struct Play {
    stage: Stage,
    /// Connections that the switch knows of, with whether they are open.
    open: Vec<(ConnectionId, bool)>,
    number: u32,
}

impl Play {
    fn step(&mut self, what: u8, how: usize) {
        let (switch, now) = (&mut self.stage.switch, self.stage.now);
        let chosen = (!self.open.is_empty()).then(|| self.open[how % self.open.len()].0);
        match (what % 10, chosen) {
            (0 | 1, _) => {
                let listener = ListenerId(1 + (how % 3) as u16);
                let ip = if how.is_multiple_of(2) { ALICE.ip() } else { BOB.ip() };
                self.number += 1;
                let remote = SocketAddr::new(ip, 10_000 + self.number as u16);
                if let Some(id) = switch.on_accepted(now, listener, remote) {
                    self.open.push((id, false));
                }
            }
            (2, Some(id)) => {
                switch.on_connected(now, id);
                self.open.iter_mut().filter(|(known, _)| *known == id).for_each(|(_, is_open)| *is_open = true);
            }
            (3, Some(id)) => {
                switch.on_disconnected(now, id);
                self.open.retain(|(known, _)| *known != id);
            }
            (4..=6, Some(id)) => {
                let message = self.message(how);
                // The whole, its beginning, its end, or two at once.
                let bytes = match how % 4 {
                    0 => message,
                    1 => message[..message.len() / 2].to_vec(),
                    2 => message[message.len() / 2..].to_vec(),
                    _ => [message.clone(), b"\r\n\r\n".to_vec(), message].concat(),
                };
                self.stage.switch.on_stream_bytes(now, id, &bytes);
            }
            (7, Some(id)) => {
                let message = self.message(how);
                self.stage.switch.on_frame(now, id, &message);
            }
            (8, _) => self.stage.pass_ms([1, 200, 5_000, 10_000, 33_000, 91_000, 901_000][how % 7]),
            _ => {
                let invite = self.message(0);
                self.stage.alice_sends(invite);
            }
        }
        self.stage.settle();
    }

    fn message(&mut self, how: usize) -> Vec<u8> {
        self.number += 1;
        let number = self.number;
        let method = ["INVITE", "OPTIONS", "BYE", "ACK", "REGISTER"][how % 5];
        let body = if method == "INVITE" { sdp(ALICE, 4000, "0 8", "") } else { String::new() };
        let alias = if how.is_multiple_of(3) { ";alias" } else { "" };
        format!(
            "{method} sip:200@{GATEWAY} SIP/2.0\r\nVia: SIP/2.0/TCP {ALICE};branch=z9hG4bK{number}{alias}\r\n\
             From: <sip:alice@{ALICE}>;tag=a{number}\r\nTo: <sip:200@{GATEWAY}>\r\nCall-ID: {number}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:alice@{ALICE}>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// Does what the switch asked of connections, and checks that it asks only what it may.
    fn obey(&mut self) {
        while let Some(asked) = self.stage.connections.pop_front() {
            match asked {
                Output::Connect { connection, .. } => {
                    assert!(self.open.iter().all(|(known, _)| *known != connection), "a number is used twice");
                    self.open.push((connection, false));
                }
                Output::Stream { connection, .. } => {
                    let open = self.open.iter().find(|(known, _)| *known == connection);
                    // It may have been closed by what came after it in the same step.
                    assert!(open.is_none_or(|(_, is_open)| *is_open), "octets for a connection that is not open");
                }
                Output::Disconnect { connection } => self.open.retain(|(known, _)| *known != connection),
                other => panic!("{other:?}"),
            }
        }
        let live = self.stage.switch.counters().connections.live;
        assert_eq!(live, self.open.len() as u64, "both sides know of the same connections");
        assert!(live <= u64::from(MAX_CONNECTIONS));
    }

    fn end(mut self) {
        for _ in 0..100 {
            self.stage.pass_ms(60_000);
            self.obey();
        }
        assert!(self.open.is_empty(), "silence ends every connection");
        assert_eq!(self.stage.switch.calls_in_progress(), 0);
        assert_eq!(self.stage.switch.next_deadline(), None, "nothing is waited for");
    }
}
