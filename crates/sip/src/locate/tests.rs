//! Destinations and answers under a virtual clock.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;

const BOTH: [Way; 4] = [
    Way { transport: Transport::Udp, is_ipv6: false },
    Way { transport: Transport::Udp, is_ipv6: true },
    Way { transport: Transport::Tcp, is_ipv6: false },
    Way { transport: Transport::Tls, is_ipv6: false },
];

/// A name server with a few records, and the clock.
#[derive(Default)]
struct Zone {
    records: HashMap<(String, RecordKind), (Records, u32)>,
    locator: Locator,
    now: Instant,
    asked: Vec<String>,
    is_down: bool,
}

impl Zone {
    fn new(records: &[(&str, RecordKind, Records, u32)]) -> Self {
        let records =
            records.iter().map(|(name, kind, records, ttl)| (((*name).to_owned(), *kind), (records.clone(), *ttl)));
        Self { records: records.collect(), ..Self::default() }
    }

    fn answer(&mut self) {
        while let Some(question) = self.locator.poll_question() {
            self.asked.push(format!("{:?} {}", question.kind, question.name));
            let found = self.records.get(&(question.name.clone(), question.kind));
            let name_exists = self.records.keys().any(|(name, _)| *name == question.name);
            let answer = match found {
                _ if self.is_down => Answer::Failed,
                Some((records, ttl_s)) => Answer::Records { records: records.clone(), ttl_s: *ttl_s },
                None => Answer::Absent { name_exists, ttl_s: 60 },
            };
            self.locator.on_answer(self.now, &question, answer);
        }
    }

    fn locate(&mut self, destination: &Destination) -> Located {
        for _ in 0..8 {
            let located = self.locator.locate(self.now, destination, &BOTH);
            self.answer();
            if let Some(located) = located {
                return located;
            }
        }
        panic!("the walk does not end")
    }

    fn found(&mut self, destination: &Destination) -> Vec<String> {
        let choices = self.locate(destination).choices.expect("somewhere");
        let targets = targets(&choices, || 0);
        targets.into_iter().map(|(transport, address)| format!("{} {address}", transport.as_str())).collect()
    }
}

fn to(host: &str) -> Destination {
    Destination { host: host.to_owned(), port: None, transport: None, is_secure: false }
}

fn a(address: &str) -> Records {
    Records::Addresses(vec![address.parse().expect("an address")])
}

fn srv(servers: &[(u16, u16, u16, &str)]) -> Records {
    let server = |&(priority, weight, port, target): &(u16, u16, u16, &str)| Srv {
        priority,
        weight,
        port,
        target: target.to_owned(),
    };
    Records::Srv(servers.iter().map(server).collect())
}

fn naptr(services: &[(u16, u16, &str, &str)]) -> Records {
    let service = |&(order, preference, services, replacement): &(u16, u16, &str, &str)| Naptr {
        order,
        preference,
        flags: "S".to_owned(),
        services: services.to_owned(),
        replacement: replacement.to_owned(),
    };
    Records::Naptr(services.iter().map(service).collect())
}

#[test]
fn an_address_is_where_it_says_and_nobody_is_asked() {
    let mut zone = Zone::new(&[]);
    assert_eq!(zone.found(&to("192.0.2.1")), ["UDP 192.0.2.1:5060"]);
    assert_eq!(zone.found(&Destination { port: Some(5070), ..to("[2001:db8::1]") }), ["UDP [2001:db8::1]:5070"]);
    let secure = Destination { is_secure: true, ..to("192.0.2.1") };
    assert_eq!(zone.found(&secure), ["TLS 192.0.2.1:5061"]);
    assert!(zone.asked.is_empty());
}

#[test]
fn naptr_names_the_transport_and_its_srv_records_the_servers() {
    let mut zone = Zone::new(&[
        (
            "example.com",
            RecordKind::Naptr,
            naptr(&[
                (20, 1, "SIP+D2U", "u.example.com"),
                (10, 9, "SIP+D2T", "T.Example.com."),
                (10, 1, "E2U+sip", "x"),
            ]),
            60,
        ),
        ("t.example.com", RecordKind::Srv, srv(&[(2, 0, 5062, "b.example.com"), (1, 0, 5061, "a.example.com.")]), 60),
        ("a.example.com", RecordKind::A, a("192.0.2.1"), 60),
        ("b.example.com", RecordKind::A, a("192.0.2.2"), 60),
    ]);
    assert_eq!(zone.found(&to("Example.COM.")), ["TCP 192.0.2.1:5061", "TCP 192.0.2.2:5062"]);
    assert!(!zone.asked.contains(&"Srv _sip._udp.example.com".to_owned()), "{:?}", zone.asked);
}

#[test]
fn without_naptr_the_first_of_our_transports_with_srv_records_is_taken() {
    let mut zone = Zone::new(&[
        ("_sips._tcp.example.com", RecordKind::Srv, srv(&[(0, 0, 5061, "tls.example.com")]), 60),
        ("_sip._tcp.example.com", RecordKind::Srv, srv(&[(0, 0, 5060, "tcp.example.com")]), 60),
        ("tcp.example.com", RecordKind::A, a("192.0.2.1"), 60),
        ("tls.example.com", RecordKind::A, a("192.0.2.2"), 60),
    ]);
    assert_eq!(zone.found(&to("example.com")), ["TCP 192.0.2.1:5060"]);
    let secure = Destination { is_secure: true, ..to("example.com") };
    assert_eq!(zone.found(&secure), ["TLS 192.0.2.2:5061"]);
    let by_udp = Destination { transport: Some(Transport::Udp), ..to("example.com") };
    assert_eq!(zone.locate(&by_udp).choices, Err(Nowhere::NoSuchName), "neither SRV nor an address");
}

#[test]
fn without_srv_a_host_is_at_its_addresses_and_the_usual_port() {
    let mut zone = Zone::new(&[
        ("pbx.example.com", RecordKind::A, a("192.0.2.1"), 60),
        ("pbx.example.com", RecordKind::Aaaa, a("2001:db8::1"), 60),
    ]);
    assert_eq!(zone.found(&to("pbx.example.com")), ["UDP [2001:db8::1]:5060", "UDP 192.0.2.1:5060"]);
    let at_port = Destination { port: Some(5080), ..to("pbx.example.com") };
    zone.asked.clear();
    assert_eq!(zone.found(&at_port).len(), 2);
    assert!(zone.asked.is_empty(), "with a port neither SRV nor NAPTR is asked for: {:?}", zone.asked);
}

#[test]
fn a_service_that_is_not_offered_and_a_name_that_is_not_there_lead_nowhere() {
    let mut zone = Zone::new(&[
        ("_sip._udp.example.com", RecordKind::Srv, srv(&[(0, 0, 0, "")]), 60),
        ("example.com", RecordKind::A, a("192.0.2.1"), 60),
        ("text.example.com", RecordKind::Naptr, naptr(&[(1, 1, "SMTP+D2T", "x")]), 60),
    ]);
    assert_eq!(zone.locate(&to("example.com")).choices, Err(Nowhere::NotOffered));
    assert_eq!(zone.locate(&to("nobody.example.com")).choices, Err(Nowhere::NoSuchName));
    assert_eq!(zone.locate(&to("text.example.com")).choices, Err(Nowhere::NoAddress));
    zone.is_down = true;
    assert_eq!(zone.locate(&to("elsewhere.example.com")).choices, Err(Nowhere::Unanswered));
}

#[test]
fn an_answer_is_used_for_its_time_and_asked_for_again_after_it() {
    let mut zone = Zone::new(&[("pbx.example.com", RecordKind::A, a("192.0.2.1"), 30)]);
    let by_port = Destination { port: Some(5060), ..to("pbx.example.com") };
    let first = zone.locate(&by_port);
    assert_eq!((first.expires, first.is_stale), (Instant::from_ms(30_000), false));
    zone.records.insert(("pbx.example.com".to_owned(), RecordKind::A), (a("192.0.2.2"), 30));
    zone.now = Instant::from_ms(29_999);
    assert_eq!(zone.found(&by_port), ["UDP 192.0.2.1:5060"]);
    zone.now = Instant::from_ms(30_000);
    let old = zone.locate(&by_port);
    assert!(old.is_stale, "the old one does until the new one is there");
    assert_eq!(zone.found(&by_port), ["UDP 192.0.2.2:5060"]);
}

#[test]
fn where_nobody_answers_any_more_the_old_answer_does_for_a_day() {
    let mut zone = Zone::new(&[("pbx.example.com", RecordKind::A, a("192.0.2.1"), 30)]);
    let by_port = Destination { port: Some(5060), ..to("pbx.example.com") };
    zone.found(&by_port);
    zone.is_down = true;
    for hour in [1, 23] {
        zone.now = Instant::from_ms(hour * 3_600_000);
        assert_eq!(zone.found(&by_port), ["UDP 192.0.2.1:5060"], "after {hour} h");
        assert_eq!(zone.found(&by_port), ["UDP 192.0.2.1:5060"], "asked again in vain");
    }
    zone.now = Instant::from_ms(25 * 3_600_000);
    zone.locate(&by_port);
    assert_eq!(zone.locate(&by_port).choices, Err(Nowhere::Unanswered));
}

#[test]
fn what_is_absent_is_not_asked_for_again_at_once() {
    let mut zone = Zone::new(&[]);
    zone.locate(&to("nobody.example.com")).choices.expect_err("nobody");
    let asked = zone.asked.len();
    zone.now = Instant::from_ms(59_000);
    zone.locate(&to("nobody.example.com")).choices.expect_err("nobody");
    assert_eq!(zone.asked.len(), asked);
    zone.now = Instant::from_ms(61_000);
    zone.locate(&to("nobody.example.com")).choices.expect_err("nobody");
    assert!(zone.asked.len() > asked);
}

#[test]
fn answers_of_another_kind_and_answers_that_nobody_asked_for_change_nothing() {
    let mut locator = Locator::default();
    let by_port = Destination { port: Some(5060), transport: Some(Transport::Tcp), ..to("pbx.example.com") };
    let question = Question { name: "pbx.example.com".to_owned(), kind: RecordKind::A };
    locator.on_answer(Instant::ZERO, &question, Answer::Records { records: a("192.0.2.9"), ttl_s: 60 });
    assert!(locator.is_empty());
    assert_eq!(locator.locate(Instant::ZERO, &by_port, &BOTH), None);
    locator.on_answer(Instant::ZERO, &question, Answer::Records { records: a("2001:db8::9"), ttl_s: 60 });
    let located = locator.locate(Instant::ZERO, &by_port, &BOTH).expect("an answer");
    assert_eq!(located.choices, Err(Nowhere::Unanswered));
}

proptest! {
    #[test]
    fn memory_is_bounded_whatever_is_asked(names in prop::collection::vec("[a-z]{1,8}", 1..40), answered in any::<bool>()) {
        let mut locator = Locator::default();
        for (round, name) in (0u64..200).flat_map(|round| names.iter().map(move |name| (round, name))) {
            let now = Instant::from_ms(round * 10_000);
            let destination = Destination { transport: Some(Transport::Tcp), ..to(&format!("{name}{round}.example")) };
            locator.locate(now, &destination, &BOTH);
            while let Some(question) = locator.poll_question() {
                if answered {
                    locator.on_answer(now, &question, Answer::Absent { name_exists: false, ttl_s: 60 });
                }
            }
        }
        prop_assert!(locator.len() <= 4096);
    }

    /// RFC 2782: by priority, each exactly once.
    #[test]
    fn every_server_is_tried_once_and_by_priority(ranks in prop::collection::vec((0u16..4, 0u16..5), 1..12), seed in any::<u64>()) {
        let choices = choices(&ranks);
        let mut state = seed;
        let ordered = in_order(&choices, || { state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1); state >> 11 });
        prop_assert!(ordered.windows(2).all(|pair| pair[0].priority <= pair[1].priority));
        let names = |of: Vec<&Choice>| { let mut names: Vec<String> = of.into_iter().map(|choice| choice.host.clone()).collect(); names.sort(); names };
        prop_assert_eq!(names(ordered), names(choices.iter().collect()));
    }

    /// RFC 2782: of all numbers that may be drawn, each server is first for as many as it has weight; the one that stands
    /// at the beginning, which is one without weight where there is any, for one more.
    #[test]
    fn a_servers_share_is_its_weight(weights in prop::collection::vec(0u16..50, 1..10)) {
        let choices = choices(&weights.iter().map(|weight| (7, *weight)).collect::<Vec<_>>());
        let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut firsts: BTreeMap<String, u64> = BTreeMap::new();
        for drawn in 0..=sum {
            *firsts.entry(in_order(&choices, || drawn)[0].host.clone()).or_default() += 1;
        }
        let extra: Vec<u64> = choices
            .iter()
            .map(|choice| firsts.get(&choice.host).copied().unwrap_or(0) - u64::from(choice.weight))
            .collect();
        prop_assert_eq!(extra.iter().sum::<u64>(), 1);
        let lucky = extra.iter().position(|extra| *extra == 1).expect("one of them");
        prop_assert!(weights[lucky] == 0 || weights.iter().all(|weight| *weight > 0));
    }
}

fn choices(ranks: &[(u16, u16)]) -> Vec<Choice> {
    let choice = |(index, &(priority, weight)): (usize, &(u16, u16))| Choice {
        host: format!("host{index}"),
        transport: Transport::Udp,
        priority,
        weight,
        addresses: vec!["192.0.2.1:5060".parse().expect("an address")],
    };
    ranks.iter().enumerate().map(choice).collect()
}
