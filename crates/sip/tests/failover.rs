//! A request that one target does not take goes to the next (RFC 3263 section 4.3).
#![allow(missing_docs)]

use std::net::SocketAddr;
use std::time::Duration;

use tandem_sip::{
    ClientTx, HeaderName, Identifiers, Instant, Message, Method, Output, Peer, Request, RequestBuilder,
    ResponseBuilder, SeededRandom, StatusCode, TargetFailure, TransactionConfig, Transactions, Transport, Tx,
};

struct Stage {
    transactions: Transactions,
    now: Instant,
    tx: ClientTx,
    /// Targets that were passed over, why, and who came next.
    moved: Vec<(Peer, TargetFailure, Peer)>,
}

fn peer(transport: Transport, last: u8) -> Peer {
    let at = |last| SocketAddr::from(([192, 0, 2, last], 5060));
    Peer::new(transport, at(1), at(last))
}

impl Stage {
    fn new(method: Method, targets: [Peer; 3]) -> Self {
        let identifiers = Identifiers::new(SeededRandom::new(7));
        let mut transactions = Transactions::new(TransactionConfig::default(), identifiers);
        let request = RequestBuilder::new(method.clone(), "sip:b@example.com")
            .header(HeaderName::From, "<sip:a@example.com>;tag=a")
            .header(HeaderName::To, "<sip:b@example.com>")
            .header(HeaderName::CallId, "one")
            .header(HeaderName::CSeq, &format!("1 {method}"));
        let now = Instant::from_us(0);
        let [first, others @ ..] = targets;
        let tx = transactions.send_request_to(now, first, &others, request).expect("room");
        Self { transactions, now, tx, moved: Vec::new() }
    }

    /// The next output; that another target is tried goes to `moved`.
    fn poll_output(&mut self) -> Option<Output> {
        loop {
            match self.transactions.poll_output()? {
                Output::MovedOn { target, failure, next, .. } => self.moved.push((target, failure, next)),
                output => return Some(output),
            }
        }
    }

    /// What leaves next, with where it goes.
    fn sent(&mut self) -> (Peer, Request) {
        let Some(Output::Send { to, bytes }) = self.poll_output() else { panic!("nothing leaves") };
        let message = Message::parse(&bytes, &Default::default()).expect("a message");
        let Message::Request(request) = message else { panic!("a request") };
        (to, request)
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.transactions.next_deadline().filter(|at| *at <= end) {
            self.transactions.on_timeout(at);
        }
        self.now = end;
    }

    fn respond(&mut self, from: Peer, request: &Request, status: StatusCode) {
        let response = ResponseBuilder::new(request, status).to_tag("b").build().expect("a response");
        self.transactions.on_message(self.now, from, Message::Response(response));
    }
}

const A: u8 = 2;
const B: u8 = 3;
const C: u8 = 4;

fn tcp() -> [Peer; 3] {
    [A, B, C].map(|last| peer(Transport::Tcp, last))
}

#[test]
fn a_target_that_cannot_be_reached_is_passed_over_with_a_branch_of_its_own() {
    let [a, b, c] = tcp();
    let mut stage = Stage::new(Method::Invite, [a, b, c]);
    let (to, first) = stage.sent();
    assert_eq!(to, a);
    stage.transactions.on_transport_error(stage.now, a);
    let (to, second) = stage.sent();
    assert_eq!(to, b);
    assert_ne!(first.top_via().branch(), second.top_via().branch());
    assert_eq!((first.call_id(), first.cseq_number()), (second.call_id(), second.cseq_number()));
    stage.respond(a, &first, StatusCode::OK);
    assert!(stage.transactions.poll_output().is_none(), "the first is not asked any more");
    stage.respond(b, &second, StatusCode::OK);
    match stage.transactions.poll_output() {
        Some(Output::Response { id, response, .. }) => assert_eq!((id, response.status()), (stage.tx, StatusCode::OK)),
        other => panic!("{other:?}"),
    }
    assert_eq!(stage.transactions.counters().failovers, 1);
    assert_eq!(stage.moved, [(a, TargetFailure::Unreachable, b)]);
}

#[test]
fn a_503_is_acknowledged_and_the_next_target_is_asked() {
    let [a, b, c] = tcp();
    let mut stage = Stage::new(Method::Invite, [a, b, c]);
    let (_, first) = stage.sent();
    stage.respond(a, &first, StatusCode::TRYING);
    stage.transactions.poll_output();
    stage.respond(a, &first, StatusCode::SERVICE_UNAVAILABLE);
    let (to, ack) = stage.sent();
    assert_eq!((to, ack.method(), ack.top_via().branch()), (a, &Method::Ack, first.top_via().branch()));
    let (to, second) = stage.sent();
    assert_eq!((to, second.method()), (b, &Method::Invite));
    assert_eq!(stage.moved, [(a, TargetFailure::Unavailable { retry_after_s: None }, b)]);
}

#[test]
fn another_refusal_is_an_answer_and_no_reason_to_go_on() {
    let [a, b, c] = tcp();
    let mut stage = Stage::new(Method::Options, [a, b, c]);
    let (_, first) = stage.sent();
    stage.respond(a, &first, StatusCode::NOT_FOUND);
    let answer = stage.transactions.poll_output();
    assert!(matches!(answer, Some(Output::Response { response, .. }) if response.status() == StatusCode::NOT_FOUND));
}

#[test]
fn a_silent_target_has_four_seconds_and_the_last_one_all_the_time() {
    let targets = [A, B, C].map(|last| peer(Transport::Udp, last));
    let mut stage = Stage::new(Method::Options, targets);
    let mut tried = Vec::new();
    for (seconds, expected) in [(4, A), (4, B), (31, C)] {
        let mut to = None;
        while let Some(Output::Send { to: there, .. }) = stage.poll_output() {
            to = Some(there);
        }
        assert_eq!(to, Some(peer(Transport::Udp, expected)));
        tried.push(to);
        stage.pass(Duration::from_secs(seconds));
    }
    stage.pass(Duration::from_secs(2));
    let reported = std::iter::from_fn(|| stage.transactions.poll_output()).find(|o| !matches!(o, Output::Send { .. }));
    assert_eq!(reported, Some(Output::Timeout { id: Tx::Client(stage.tx) }));
    assert_eq!(tried.len(), 3);
    assert!(stage.moved.iter().all(|(_, failure, _)| *failure == TargetFailure::Silent));
}

#[test]
fn what_was_cancelled_is_not_tried_elsewhere() {
    let [a, b, c] = tcp();
    let mut stage = Stage::new(Method::Invite, [a, b, c]);
    stage.sent();
    stage.transactions.cancel(stage.now, stage.tx, None).expect("it can be cancelled");
    stage.transactions.on_transport_error(stage.now, a);
    assert_eq!(stage.transactions.poll_output(), Some(Output::TransportFailed { id: Tx::Client(stage.tx) }));
}
