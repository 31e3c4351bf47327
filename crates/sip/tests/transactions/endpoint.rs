//! An endpoint with a clock of its own, and the messages a peer sends to it.

use core::time::Duration;
use std::sync::Arc;

use tandem_sip::transaction::table::State;
use tandem_sip::*;

pub(crate) struct Endpoint {
    pub(crate) now: Instant,
    pub(crate) peer: Peer,
    pub(crate) layer: Transactions,
}

impl Endpoint {
    pub(crate) fn new(transport: Transport) -> Self {
        Self::with(transport, TransactionConfig::default())
    }

    pub(crate) fn with(transport: Transport, config: TransactionConfig) -> Self {
        let address = |text: &str| text.parse().expect("an address");
        Self {
            now: Instant::from_ms(1_000_000),
            peer: Peer::new(transport, address("192.0.2.1:5060"), address("192.0.2.2:5060")),
            layer: Transactions::new(config, Identifiers::new(SeededRandom::new(1))),
        }
    }

    /// Everything that has to be done or known.
    pub(crate) fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.layer.poll_output()).collect()
    }

    /// Lets time pass, firing each timer at its time; says when, counted from before, and what came out.
    pub(crate) fn pass(&mut self, length: Duration) -> Vec<(Duration, Output)> {
        let start = self.now;
        let end = start + length;
        let mut all = Vec::new();
        while let Some(deadline) = self.layer.next_deadline().filter(|&deadline| deadline <= end) {
            assert!(deadline >= self.now, "a deadline in the past");
            self.now = deadline;
            self.layer.on_timeout(self.now);
            all.extend(self.outputs().into_iter().map(|output| (self.now - start, output)));
        }
        self.now = end;
        all
    }

    pub(crate) fn receive(&mut self, message: &str) -> Vec<Output> {
        self.layer.on_bytes(self.now, self.peer, message.as_bytes()).expect("a message");
        self.outputs()
    }

    /// Begins a client transaction; gives its name and branch.
    pub(crate) fn send(&mut self, method: Method) -> (ClientTx, String) {
        let id = self.layer.send_request(self.now, self.peer, request(method)).expect("a request");
        let sent = self.outputs();
        let [Output::Send { bytes, .. }] = &sent[..] else { panic!("{sent:?}") };
        let branch = parse_request(bytes).top_via().branch().expect("a branch").to_owned();
        (id, branch)
    }

    /// Begins a server transaction.
    pub(crate) fn accept(&mut self, message: &str) -> (ServerTx, Request) {
        let outputs = self.receive(message);
        let [Output::Request { id, request, .. }] = &outputs[..] else { panic!("{outputs:?}") };
        (*id, request.clone())
    }

    pub(crate) fn respond(
        &mut self,
        id: ServerTx,
        request: &Request,
        status: u16,
    ) -> Result<Vec<Output>, RespondError> {
        let response = response_to(request, status);
        self.layer.respond(self.now, id, &response)?;
        Ok(self.outputs())
    }

    pub(crate) fn client_state(&self, id: ClientTx) -> Option<State> {
        self.layer.state(Tx::Client(id))
    }

    pub(crate) fn server_state(&self, id: ServerTx) -> Option<State> {
        self.layer.state(Tx::Server(id))
    }
}

pub(crate) fn request(method: Method) -> RequestBuilder {
    RequestBuilder::new(method, "sip:bob@biloxi.example.com")
        .from("Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl")
        .to("Bob <sip:bob@biloxi.example.com>")
        .call_id("3848276298220188511@atlanta.example.com")
        .cseq(2)
        .contact("sip:alice@192.0.2.1")
}

pub(crate) fn response_to(request: &Request, status: u16) -> Response {
    ResponseBuilder::new(request, StatusCode::new(status).expect("a status"))
        .to_tag("314159")
        .build()
        .expect("a response")
}

/// A request as a peer with branch `z9hG4bK` + `branch` would send it.
pub(crate) fn incoming(method: &str, branch: &str) -> String {
    incoming_cseq(method, branch, 1)
}

pub(crate) fn incoming_cseq(method: &str, branch: &str, cseq: u32) -> String {
    format!(
        "{method} sip:alice@192.0.2.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:bob@biloxi.example.com>;tag=8321234356\r\n\
         To: <sip:alice@atlanta.example.com>\r\n\
         Call-ID: call-{branch}\r\n\
         CSeq: {cseq} {method}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// A response to the request that we sent with `branch`.
pub(crate) fn answer(method: &str, branch: &str, status: u16) -> String {
    format!(
        "SIP/2.0 {status} Whatever\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch};received=192.0.2.1\r\n\
         From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n\
         To: Bob <sip:bob@biloxi.example.com>;tag=8321234356\r\n\
         Call-ID: 3848276298220188511@atlanta.example.com\r\n\
         CSeq: 2 {method}\r\n\
         Contact: <sip:bob@192.0.2.2>\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

pub(crate) fn parse_request(bytes: &Arc<[u8]>) -> Request {
    match Message::parse(bytes, &Limits::default()) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

/// What an output is, in a word or two: `ACK` or `SIP/2.0 200` for what is sent.
pub(crate) fn kind(output: &Output) -> String {
    match output {
        Output::Send { bytes, .. } => {
            let line = String::from_utf8_lossy(bytes);
            let words: Vec<_> = line.split(' ').take(2).collect();
            if words[0] == "SIP/2.0" { format!("send {}", words[1]) } else { format!("send {}", words[0]) }
        }
        Output::Request { request, .. } => format!("request {}", request.method()),
        Output::Ack { .. } => "ack".to_owned(),
        Output::Cancel { .. } => "cancel".to_owned(),
        Output::Response { response, .. } => format!("response {}", response.status()),
        Output::MovedOn { next, .. } => format!("moved on to {next}"),
        Output::Timeout { .. } => "timeout".to_owned(),
        Output::TransportFailed { .. } => "transport failed".to_owned(),
        Output::Terminated { .. } => "terminated".to_owned(),
    }
}

pub(crate) fn kinds(outputs: &[Output]) -> Vec<String> {
    outputs.iter().map(kind).collect()
}
