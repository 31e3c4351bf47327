//! Each row of the tables, reached and set off through the public interface.

use tandem_sip::transaction::table::*;
use tandem_sip::{ClientTx, Method, Request, ServerTx, TimerValues, Transport, Tx};

use super::endpoint::*;

const TABLES: [(&str, &[Row]); 4] = [
    ("INVITE client", INVITE_CLIENT),
    ("non-INVITE client", NON_INVITE_CLIENT),
    ("INVITE server", INVITE_SERVER),
    ("non-INVITE server", NON_INVITE_SERVER),
];

/// A transaction in some state, and the means to set off events.
struct Subject {
    endpoint: Endpoint,
    machine: &'static str,
    tx: Option<Tx>,
    client: Option<ClientTx>,
    server: Option<(ServerTx, Request)>,
    branch: String,
}

impl Subject {
    fn in_state(machine: &'static str, state: State) -> Option<Self> {
        let mut subject = Self {
            endpoint: Endpoint::new(Transport::Udp),
            machine,
            tx: None,
            client: None,
            server: None,
            branch: String::new(),
        };
        let way: &[Event] = match (machine, state) {
            (_, State::Initial) => &[],
            ("INVITE client", State::Calling) | ("non-INVITE client" | "non-INVITE server", State::Trying) => {
                &[Event::Start]
            }
            ("INVITE client" | "non-INVITE client" | "non-INVITE server", State::Proceeding) => {
                &[Event::Start, Event::Provisional]
            }
            ("INVITE server", State::Proceeding) => &[Event::Start],
            ("INVITE client" | "INVITE server", State::Accepted) => &[Event::Start, Event::Success],
            ("INVITE client" | "INVITE server", State::Completed) => &[Event::Start, Event::Failure],
            ("non-INVITE client" | "non-INVITE server", State::Completed) => &[Event::Start, Event::Success],
            ("INVITE server", State::Confirmed) => &[Event::Start, Event::Failure, Event::Ack],
            _ => return None,
        };
        for event in way {
            subject.set_off(*event);
        }
        Some(subject)
    }

    fn is_invite(&self) -> bool {
        self.machine.starts_with("INVITE")
    }

    fn is_client(&self) -> bool {
        self.machine.ends_with("client")
    }

    fn method(&self) -> &'static str {
        if self.is_invite() { "INVITE" } else { "OPTIONS" }
    }

    fn state(&self) -> State {
        self.tx.map_or(State::Initial, |tx| self.endpoint.layer.state(tx).unwrap_or(State::Terminated))
    }

    fn set_off(&mut self, event: Event) -> Vec<String> {
        let status = match event {
            Event::Provisional => 180,
            Event::Success => 200,
            _ => 486,
        };
        let outputs = match event {
            Event::Start if self.is_client() => {
                let method = if self.is_invite() { Method::Invite } else { Method::Options };
                let to = self.endpoint.peer;
                let id = self.endpoint.layer.send_request(self.endpoint.now, to, request(method)).expect("a request");
                self.client = Some(id);
                self.tx = Some(Tx::Client(id));
                let outputs = self.endpoint.outputs();
                if let [tandem_sip::Output::Send { bytes, .. }] = &outputs[..] {
                    self.branch = parse_request(bytes).top_via().branch().expect("a branch").to_owned();
                }
                outputs
            }
            Event::Start => {
                let outputs = self.endpoint.receive(&incoming(self.method(), "a"));
                if let [tandem_sip::Output::Request { id, request, .. }] = &outputs[..] {
                    self.server = Some((*id, request.clone()));
                    self.tx = Some(Tx::Server(*id));
                }
                outputs
            }
            Event::Provisional | Event::Success | Event::Failure if self.is_client() => {
                let message = answer(self.method(), &self.branch, status);
                self.endpoint.receive(&message)
            }
            Event::Provisional | Event::Success | Event::Failure => {
                let (id, request) = self.server.clone().expect("a server");
                self.endpoint.respond(id, &request, status).unwrap_or_default()
            }
            Event::Request => self.endpoint.receive(&incoming(self.method(), "a")),
            Event::Ack => self.endpoint.receive(&incoming("ACK", "a")),
            Event::Cancel => {
                let _ = self.endpoint.layer.cancel(self.endpoint.now, self.client.expect("a client"), None);
                self.endpoint.outputs()
            }
            Event::TransportError => {
                self.endpoint.layer.on_transport_error(self.endpoint.now, self.endpoint.peer);
                self.endpoint.outputs()
            }
            Event::Fires(timer) => {
                if timer == Timer::Cancelled {
                    self.set_off(Event::Cancel);
                }
                let length = TimerValues::default().first(timer, false).expect("a timer that runs over UDP");
                let passed = self.endpoint.pass(length);
                // Only what comes out at the very end is this timer's.
                passed.into_iter().filter(|(at, _)| *at == length).map(|(_, output)| output).collect()
            }
        };
        kinds(&outputs)
    }

    /// What the actions of a row look like from outside.
    fn expected(&self, row: &Row) -> Vec<String> {
        let said = match (row.event, row.state) {
            (Event::Provisional, _) => "180",
            (Event::Success, _) => "200",
            (Event::Failure, _) => "486",
            (_, State::Proceeding) => "180",
            (_, State::Completed) if !self.is_invite() => "200",
            _ => "486",
        };
        let mut expected: Vec<String> = Vec::new();
        for action in row.actions {
            match action {
                Action::SendRequest => expected.push(format!("send {}", self.method())),
                Action::SendAck => expected.push("send ACK".to_owned()),
                Action::SendCancel => expected.push("send CANCEL".to_owned()),
                // Nothing has been said yet when an INVITE has just come in.
                Action::SendResponse
                    if self.machine == "INVITE server" && row.event == Event::Request && said == "180" => {}
                Action::SendResponse => expected.push(format!("send {said}")),
                Action::SendTrying => expected.push("send 100".to_owned()),
                Action::DeliverRequest => expected.push(format!("request {}", self.method())),
                Action::DeliverAck => expected.push("ack".to_owned()),
                Action::DeliverResponse => expected.push(format!("response {said}")),
                Action::ReportTimeout => expected.push("timeout".to_owned()),
                Action::ReportTransportError => expected.push("transport failed".to_owned()),
                _ => {}
            }
        }
        if row.next == State::Terminated {
            expected.push("terminated".to_owned());
        }
        expected
    }
}

const EVENTS: [Event; 8] = [
    Event::Provisional,
    Event::Success,
    Event::Failure,
    Event::Request,
    Event::Ack,
    Event::Cancel,
    Event::TransportError,
    Event::Start,
];

#[test]
fn every_row_does_what_it_says() {
    let mut rows = 0;
    for (machine, table) in TABLES {
        for row in table {
            let mut subject = Subject::in_state(machine, row.state).expect("a state that can be reached");
            assert_eq!(subject.state(), row.state, "{machine}: {row:?}");
            let expected = subject.expected(row);
            let outputs = subject.set_off(row.event);
            assert_eq!(outputs, expected, "{machine}: {row:?}");
            assert_eq!(subject.state(), row.next, "{machine}: {row:?}");
            rows += 1;
        }
    }
    assert_eq!(rows, TABLES.iter().map(|(_, table)| table.len()).sum::<usize>());
}

#[test]
fn what_has_no_row_changes_nothing() {
    use State::*;
    for (machine, table) in TABLES {
        for state in [Calling, Trying, Proceeding, Accepted, Completed, Confirmed] {
            for event in EVENTS {
                let is_clients = matches!(event, Event::Cancel);
                let is_servers = matches!(event, Event::Request | Event::Ack);
                let is_client = machine.ends_with("client");
                if event == Event::Start || (is_clients && !is_client) || (is_servers && is_client) {
                    continue;
                }
                // An ACK that does not match an INVITE belongs to no transaction.
                if event == Event::Ack && machine == "non-INVITE server" {
                    continue;
                }
                let Some(mut subject) = Subject::in_state(machine, state) else { continue };
                if find(table, state, event).is_some() {
                    continue;
                }
                assert_eq!(subject.set_off(event), Vec::<String>::new(), "{machine} {state:?} {event:?}");
                assert_eq!(subject.state(), state, "{machine} {state:?} {event:?}");
            }
        }
    }
}
