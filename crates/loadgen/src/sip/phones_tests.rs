use super::super::wire::{Fate, WAY, Wire, planned, run};
use super::*;

const SOON: Duration = Duration::from_millis(400);
const LATER: Duration = Duration::from_secs(40);

/// Calls `calls` parties of a mix's first kind; what came about by `until`.
fn called(mix: &str, calls: u32, wire: &mut Wire, until: Duration) -> (Phones, Instant, Vec<(u32, Happened)>) {
    let mut phones = Phones::new(super::super::wire::endpoints(), 7);
    let mut now = Instant::from_ms(1);
    (0..calls).for_each(|number| phones.call(now, number, &planned(mix)));
    let end = now + until;
    let news = run(&mut phones, wire, &mut now, end);
    (phones, now, news)
}

fn faithful() -> Wire {
    Wire::new(|_, _| Fate::Passes)
}

#[test]
fn every_call_comes_up_with_the_others_address_and_ends_when_the_caller_hangs_up() {
    let wire = &mut faithful();
    let (mut phones, mut now, news) = called("pcmu-pcmu", 50, wire, SOON);
    assert_eq!(news.len(), 50);
    for (_, happened) in &news {
        let Happened::Up { remotes, took, added } = happened else { panic!("{happened:?}") };
        // The gateway has no media of its own here: each side is told where the other one is.
        assert_eq!(remotes.map(|leg| leg.address.port()), [10_002, 10_000]);
        assert_eq!((*took, *added), (2 * WAY, 2 * WAY));
    }
    (0..50).for_each(|number| phones.hang_up(now, number));
    let end = now + SOON;
    let over = run(&mut phones, wire, &mut now, end);
    assert_eq!(over.len(), 50);
    assert!(over.iter().all(|(_, happened)| *happened == Happened::Down), "{over:?}");
    assert_eq!((phones.calls(), phones.repeated()), (0, 0));
}

#[test]
fn the_time_that_a_callee_takes_for_its_answer_is_not_what_the_gateway_adds() {
    let mut phones = Phones::new(super::super::wire::endpoints(), 7);
    let (mut wire, mut now) = (faithful(), Instant::from_ms(1));
    phones.call(now, 0, &planned("pcmu-pcmu"));
    // Whatever leaves takes so long to be made.
    let slowly = |phones: &mut Phones, wire: &mut Wire, now: &mut Instant| {
        let mut news = Vec::new();
        while let Some(output) = phones.poll(*now) {
            match output {
                Output::Send { from, to, bytes } => wire.carry(*now, from, to, &bytes),
                Output::Call { happened, .. } => news.push(happened),
            }
            *now = *now + Duration::from_micros(300);
        }
        news
    };
    let mut news = slowly(&mut phones, &mut wire, &mut now);
    while let Some(next) = wire.next() {
        now = next.max(now);
        wire.deliver(now, &mut phones);
        news.extend(slowly(&mut phones, &mut wire, &mut now));
    }
    let [Happened::Up { took, added, .. }] = &news[..] else { panic!("{news:?}") };
    assert_eq!((*took - *added, *added), (Duration::from_micros(300), 2 * WAY));
}

#[test]
fn keys_of_one_side_are_the_others_the_other_way_round() {
    let (_, _, news) = called("pcmu+srtp-pcmu+srtp", 1, &mut faithful(), SOON);
    let [(0, Happened::Up { remotes, .. })] = &news[..] else { panic!("{news:?}") };
    let [a, b] = remotes.map(|leg| leg.crypto.unwrap());
    assert!(a.send == b.receive && a.receive == b.send && a.send != a.receive);
}

#[test]
fn a_lost_message_is_sent_again_and_counted_and_the_call_comes_up() {
    for (what, nth) in [("INVITE", 1), ("180", 2), ("200", 3), ("ACK", 4)] {
        let fate: fn(u64, &str) -> Fate = match nth {
            1 => |count, _| if count == 1 { Fate::Lost } else { Fate::Passes },
            2 => |count, _| if count == 2 { Fate::Lost } else { Fate::Passes },
            3 => |count, _| if count == 3 { Fate::Lost } else { Fate::Passes },
            _ => |count, _| if count == 4 { Fate::Lost } else { Fate::Passes },
        };
        let (phones, _, news) = called("pcmu-pcmu", 1, &mut Wire::new(fate), Duration::from_secs(3));
        assert!(matches!(news[..], [(0, Happened::Up { .. })]), "{what}: {news:?}");
        assert_eq!(phones.repeated() > 0, what != "180", "{what}");
    }
}

#[test]
fn a_refusal_is_told_with_its_status() {
    let busy = |_, text: &str| match text.starts_with("INVITE") {
        true => Fate::Refused(StatusCode::SERVICE_UNAVAILABLE),
        false => Fate::Lost,
    };
    let (phones, _, news) = called("pcmu-pcmu", 1, &mut Wire::new(busy), SOON);
    assert_eq!(news, [(0, Happened::Failed(Failure::Refused(503, "Service Unavailable".to_owned())))]);
    assert_eq!(phones.calls(), 0);
}

#[test]
fn who_never_answers_fails_a_call_by_the_name_of_what_was_not_answered() {
    let (_, _, news) = called("pcmu-pcmu", 1, &mut Wire::new(|_, _| Fate::Lost), LATER);
    assert_eq!(news, [(0, Happened::Failed(Failure::NoAnswer("INVITE")))]);
    let no_ack = |_, text: &str| if text.starts_with("ACK") { Fate::Lost } else { Fate::Passes };
    let (phones, _, news) = called("pcmu-pcmu", 1, &mut Wire::new(no_ack), LATER);
    assert_eq!(news, [(0, Happened::Failed(Failure::NoAck))]);
    assert!(phones.repeated() > 10);
}

#[test]
fn an_offer_without_the_callees_codec_is_refused_and_says_so() {
    let (_, _, news) = called("pcmu-g729", 1, &mut faithful(), SOON);
    let [(0, Happened::Failed(Failure::Description(why)))] = &news[..] else { panic!("{news:?}") };
    assert_eq!(why, "its offer to a callee that speaks G729: no codec in common");
    let (_, _, news) = called("pcmu-pcmu+srtp", 1, &mut faithful(), SOON);
    let [(0, Happened::Failed(Failure::Description(why)))] = &news[..] else { panic!("{news:?}") };
    assert!(why.contains("SRTP needs an a=crypto line"), "{why}");
}

#[test]
fn strangers_are_answered_and_change_nothing() {
    let wire = &mut faithful();
    let (mut phones, mut now, _) = called("pcmu-pcmu", 1, wire, SOON);
    let super::super::SipEndpoints { gateway, callee, .. } = super::super::wire::endpoints();
    let asks = |method: &str, user: &str, tag: &str| {
        format!(
            "{method} sip:{user}@10.0.0.3 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{method}{user}\r\n\
             From: <sip:x@10.0.0.1>;tag=x\r\nTo: <sip:y@10.0.0.3>{tag}\r\nCall-ID: {method}{user}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:x@10.0.0.1>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
    };
    for (method, user, tag, status) in [
        ("OPTIONS", "y", "", "200"),
        ("INVITE", "load000007", "", "404"),
        ("INVITE", "nobody", "", "404"),
        ("BYE", "y", ";tag=000000bff", "481"),
        ("BYE", "y2", ";tag=z", "481"),
        ("MESSAGE", "y", "", "405"),
    ] {
        phones.on_datagram(now, callee, gateway, asks(method, user, tag).as_bytes());
        let Some(Output::Send { bytes, .. }) = phones.poll(now) else { panic!("{method} {user}: no answer") };
        let said = String::from_utf8_lossy(&bytes).into_owned();
        assert!(said.starts_with(&format!("SIP/2.0 {status}")), "{method} {user}: {said}");
    }
    phones.on_datagram(now, callee, gateway, b"\x00\xff no SIP");
    assert_eq!(phones.calls(), 1);
    let end = now + SOON;
    assert_eq!(run(&mut phones, wire, &mut now, end), []);
}

#[test]
fn a_number_is_the_last_six_digits_of_a_name() {
    assert_eq!(number_at_end("load000017"), Some(17));
    assert_eq!(number_at_end("+49123456"), Some(123_456));
    assert_eq!(number_at_end("12345"), None);
    assert_eq!(number_at_end("load+12345"), None);
    assert_eq!(number_at_end("üüüüüü"), None);
}
