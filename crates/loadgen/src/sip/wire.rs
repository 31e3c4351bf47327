//! A gateway that only passes on: what callers send goes to callees and back, late by a millisecond each way.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use tandem_sip::{Instant, Message, Request, ResponseBuilder, StatusCode};

use super::SipEndpoints;
use super::phones::{Output, Phones};
use crate::PlannedCall;

pub(super) const WAY: Duration = Duration::from_millis(1);

pub(super) fn endpoints() -> SipEndpoints {
    let at = |host, port| SocketAddr::from(([10, 0, 0, host], port));
    SipEndpoints { gateway: at(1, 5060), caller: at(2, 5060), callee: at(3, 5060), prefix: "load".to_owned() }
}

pub(super) fn planned(mix: &str) -> PlannedCall {
    let kind = mix.parse::<crate::Mix>().unwrap().kinds()[0];
    let local = [10_000, 10_002].map(|port| SocketAddrV4::new(Ipv4Addr::new(10, 1, 0, 9), port));
    PlannedCall { kind, local }
}

/// What happens to the `nth` datagram.
pub(super) enum Fate {
    Passes,
    Lost,
    /// The gateway refuses a request.
    Refused(StatusCode),
}

pub(super) struct Wire {
    endpoints: SipEndpoints,
    fate: fn(u64, &str) -> Fate,
    count: u64,
    under_way: VecDeque<(Instant, SocketAddr, Arc<[u8]>)>,
}

impl Wire {
    pub(super) fn new(fate: fn(u64, &str) -> Fate) -> Self {
        Self { endpoints: endpoints(), fate, count: 0, under_way: VecDeque::new() }
    }

    pub(super) fn carry(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: &Arc<[u8]>) {
        self.count += 1;
        let (text, at) = (String::from_utf8_lossy(bytes), now + WAY);
        let SipEndpoints { gateway, caller, callee, .. } = self.endpoints;
        match (self.fate)(self.count, &text) {
            Fate::Lost => {}
            Fate::Passes if to == gateway => {
                let other = if from == caller { callee } else { caller };
                self.under_way.push_back((at, other, bytes.clone()));
            }
            Fate::Passes => self.under_way.push_back((at, to, bytes.clone())),
            Fate::Refused(status) => {
                let response = ResponseBuilder::new(&request(bytes), status).to_tag("gateway").build().unwrap();
                self.under_way.push_back((at, from, response.to_bytes()));
            }
        }
    }

    /// Hands over what has arrived by `now`, as if the gateway had sent it.
    pub(super) fn deliver(&mut self, now: Instant, phones: &mut Phones) {
        while let Some((_, to, bytes)) = self.under_way.pop_front_if(|(at, ..)| *at <= now) {
            phones.on_datagram(now, to, self.endpoints.gateway, &bytes);
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.under_way.front().map(|(at, ..)| *at)
    }
}

pub(super) fn request(bytes: &[u8]) -> Request {
    match Message::parse(bytes, &tandem_sip::Limits::default()).unwrap() {
        Message::Request(request) => request,
        Message::Response(response) => panic!("{response:?} is no request"),
    }
}

/// Drives phones until nothing happens any more or `until`; what came about.
pub(super) fn run(
    phones: &mut Phones,
    wire: &mut Wire,
    now: &mut Instant,
    until: Instant,
) -> Vec<(u32, super::Happened)> {
    let mut news = Vec::new();
    loop {
        phones.on_timeout(*now);
        wire.deliver(*now, phones);
        while let Some(output) = phones.poll(*now) {
            match output {
                Output::Send { from, to, bytes } => wire.carry(*now, from, to, &bytes),
                Output::Call { number, happened } => news.push((number, happened)),
            }
        }
        let Some(next) = wire.next().into_iter().chain(phones.next_deadline()).min() else { break };
        if next > until {
            break;
        }
        *now = next.max(*now);
    }
    news
}
