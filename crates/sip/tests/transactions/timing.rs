//! When each timer fires (RFC 3261 table 4), and what runs over reliable transports.

use core::time::Duration;

use tandem_sip::transaction::table::State;
use tandem_sip::*;

use super::endpoint::*;

/// Times in milliseconds at which outputs of one kind came.
fn times(outputs: &[(Duration, Output)], wanted: &str) -> Vec<u128> {
    outputs.iter().filter(|(_, output)| kind(output) == wanted).map(|(at, _)| at.as_millis()).collect()
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn unanswered_invite_is_retransmitted_six_times_and_times_out_after_32_s() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let (id, _) = endpoint.send(Method::Invite);
    let passed = endpoint.pass(MINUTE);
    assert_eq!(times(&passed, "send INVITE"), [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert_eq!(times(&passed, "timeout"), [32_000]);
    assert_eq!(times(&passed, "terminated"), [32_000]);
    assert_eq!(endpoint.client_state(id), None);
    assert_eq!(endpoint.layer.live(), 0);
    assert_eq!(endpoint.layer.counters().retransmissions_sent, 6);
}

#[test]
fn unanswered_request_is_retransmitted_ten_times_at_most_4_s_apart() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    endpoint.send(Method::Bye);
    let passed = endpoint.pass(MINUTE);
    let expected = [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(times(&passed, "send BYE"), expected);
    assert_eq!(times(&passed, "timeout"), [32_000]);
}

#[test]
fn provisional_response_slows_a_request_down_to_t2() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let (_, branch) = endpoint.send(Method::Options);
    endpoint.receive(&answer("OPTIONS", &branch, 100));
    let passed = endpoint.pass(MINUTE);
    assert_eq!(times(&passed, "send OPTIONS"), [500, 4_500, 8_500, 12_500, 16_500, 20_500, 24_500, 28_500]);
    assert_eq!(times(&passed, "timeout"), [32_000]);
}

#[test]
fn nothing_is_retransmitted_over_tcp() {
    for method in [Method::Invite, Method::Options] {
        let mut endpoint = Endpoint::new(Transport::Tcp);
        endpoint.send(method);
        let passed = endpoint.pass(MINUTE);
        assert_eq!(passed.len(), 2, "{passed:?}");
        assert_eq!(times(&passed, "timeout"), [32_000]);
    }
}

#[test]
fn invite_that_rings_too_long_is_cancelled_and_ends() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let (id, branch) = endpoint.send(Method::Invite);
    endpoint.receive(&answer("INVITE", &branch, 180));
    endpoint.pass(Duration::from_secs(100));
    endpoint.receive(&answer("INVITE", &branch, 180));
    let passed = endpoint.pass(Duration::from_secs(300));
    assert_eq!(times(&passed, "send CANCEL")[0], 185_000, "Timer C starts again with every provisional response");
    assert_eq!(times(&passed, "timeout"), [217_000]);
    assert_eq!(endpoint.client_state(id), None);
    assert_eq!(endpoint.layer.live(), 0);
}

#[test]
fn failure_is_acknowledged_each_time_until_timer_d() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let (_, branch) = endpoint.send(Method::Invite);
    assert_eq!(kinds(&endpoint.receive(&answer("INVITE", &branch, 486))), ["send ACK", "response 486"]);
    assert_eq!(kinds(&endpoint.receive(&answer("INVITE", &branch, 486))), ["send ACK"]);
    let passed = endpoint.pass(MINUTE);
    assert_eq!(times(&passed, "terminated"), [32_000]);
    assert_eq!(endpoint.receive(&answer("INVITE", &branch, 486)), []);
    assert_eq!(endpoint.layer.counters().stray_responses, 1);
}

#[test]
fn over_tcp_a_failure_ends_the_invite_at_once() {
    let mut endpoint = Endpoint::new(Transport::Tcp);
    let (_, branch) = endpoint.send(Method::Invite);
    assert_eq!(kinds(&endpoint.receive(&answer("INVITE", &branch, 486))), ["send ACK", "response 486", "terminated"]);
    let (_, branch) = endpoint.send(Method::Options);
    assert_eq!(kinds(&endpoint.receive(&answer("OPTIONS", &branch, 200))), ["response 200", "terminated"]);
    assert_eq!(endpoint.layer.live(), 0);
}

#[test]
fn every_2xx_is_handed_up_until_timer_m() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut endpoint = Endpoint::new(transport);
        let (id, branch) = endpoint.send(Method::Invite);
        for _ in 0..3 {
            assert_eq!(kinds(&endpoint.receive(&answer("INVITE", &branch, 200))), ["response 200"]);
        }
        assert_eq!(endpoint.client_state(id), Some(State::Accepted));
        assert_eq!(times(&endpoint.pass(MINUTE), "terminated"), [32_000]);
    }
}

#[test]
fn response_to_a_request_is_repeated_for_timer_j() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let (id, request) = endpoint.accept(&incoming("OPTIONS", "a"));
    assert_eq!(endpoint.receive(&incoming("OPTIONS", "a")), [], "not answered yet");
    assert_eq!(kinds(&endpoint.respond(id, &request, 200).expect("a transaction")), ["send 200"]);
    assert_eq!(kinds(&endpoint.receive(&incoming("OPTIONS", "a"))), ["send 200"]);
    assert_eq!(endpoint.respond(id, &request, 404), Err(RespondError::Answered));
    assert_eq!(times(&endpoint.pass(MINUTE), "terminated"), [32_000]);
    assert_eq!(endpoint.respond(id, &request, 404), Err(RespondError::Gone));
    assert_eq!(endpoint.layer.counters().request_retransmissions_received, 2);
}

#[test]
fn slow_user_gets_100_trying_sent_for_it_once() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    endpoint.accept(&incoming("INVITE", "a"));
    assert_eq!(endpoint.receive(&incoming("INVITE", "a")), []);
    let passed = endpoint.pass(MINUTE);
    assert_eq!(times(&passed, "send 100"), [200]);
    assert_eq!(passed.len(), 1);
    assert_eq!(kinds(&endpoint.receive(&incoming("INVITE", "a"))), ["send 100"]);
}

#[test]
fn quick_user_gets_no_100_trying() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let (id, request) = endpoint.accept(&incoming("INVITE", "a"));
    assert_eq!(kinds(&endpoint.respond(id, &request, 180).expect("a transaction")), ["send 180"]);
    assert!(endpoint.pass(MINUTE).is_empty());
}

#[test]
fn trying_without_delay_comes_before_anything_else() {
    let timers = TimerValues { trying_after: Duration::ZERO, ..TimerValues::default() };
    let mut endpoint = Endpoint::with(Transport::Udp, TransactionConfig { timers, ..TransactionConfig::default() });
    endpoint.accept(&incoming("INVITE", "a"));
    assert_eq!(times(&endpoint.pass(Duration::ZERO), "send 100"), [0]);
}

#[test]
fn refused_invite_is_repeated_until_the_ack_comes() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let (id, request) = endpoint.accept(&incoming("INVITE", "a"));
    endpoint.respond(id, &request, 486).expect("a transaction");
    let passed = endpoint.pass(Duration::from_secs(12));
    assert_eq!(times(&passed, "send 486"), [500, 1_500, 3_500, 7_500, 11_500]);
    assert_eq!(endpoint.receive(&incoming("ACK", "a")), []);
    assert_eq!(endpoint.server_state(id), Some(State::Confirmed));
    assert_eq!(endpoint.receive(&incoming("ACK", "a")), []);
    let passed = endpoint.pass(MINUTE);
    assert_eq!((passed.len(), times(&passed, "terminated")), (1, vec![5_000]));
}

#[test]
fn missing_ack_is_reported_after_timer_h() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut endpoint = Endpoint::new(transport);
        let (id, request) = endpoint.accept(&incoming("INVITE", "a"));
        endpoint.respond(id, &request, 486).expect("a transaction");
        let passed = endpoint.pass(MINUTE);
        assert_eq!(times(&passed, "timeout"), [32_000]);
        assert_eq!(times(&passed, "send 486").is_empty(), transport == Transport::Tcp);
    }
}

#[test]
fn accepted_invite_absorbs_retransmissions_and_takes_the_2xx_again() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let (id, request) = endpoint.accept(&incoming("INVITE", "a"));
    endpoint.respond(id, &request, 200).expect("a transaction");
    assert_eq!(endpoint.receive(&incoming("INVITE", "a")), []);
    assert_eq!(kinds(&endpoint.respond(id, &request, 200).expect("accepted")), ["send 200"]);
    assert_eq!(endpoint.respond(id, &request, 486), Err(RespondError::Answered));
    assert_eq!(
        kinds(&endpoint.receive(&incoming("ACK", "other"))),
        ["ack"],
        "the ACK of a 2xx has a branch of its own"
    );
    assert_eq!(times(&endpoint.pass(MINUTE), "terminated"), [32_000]);
}

#[test]
fn success_is_retransmitted_until_its_ack_and_given_up_after_32_s() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let (id, request) = endpoint.accept(&incoming("INVITE", "a"));
    let start = endpoint.now;
    let mut pending = Invite2xx::new(start, response_to(&request, 200), &TimerValues::default());
    endpoint.layer.respond(start, id, pending.response()).expect("a transaction");
    let mut sent = Vec::new();
    loop {
        let at = pending.deadline();
        match pending.on_timeout(at) {
            Invite2xxStep::Wait => panic!("a deadline with nothing to do"),
            Invite2xxStep::Retransmit => {
                endpoint.layer.respond(at, id, pending.response()).expect("the transaction lives as long");
                sent.push((at - start).as_millis());
            }
            Invite2xxStep::GiveUp => {
                assert_eq!((at - start).as_millis(), 32_000);
                break;
            }
        }
    }
    assert_eq!(sent, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!(pending.on_timeout(start), Invite2xxStep::Wait);
    assert!(pending.is_acknowledged_by(1));
    assert!(!pending.is_acknowledged_by(2));
}

#[test]
fn late_wake_up_does_not_make_a_burst() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    endpoint.send(Method::Invite);
    endpoint.now = endpoint.now + Duration::from_secs(20);
    endpoint.layer.on_timeout(endpoint.now);
    assert_eq!(kinds(&endpoint.outputs()), ["send INVITE"]);
}

#[test]
fn later_deadline_is_not_announced_for_what_has_ended() {
    let mut endpoint = Endpoint::new(Transport::Tcp);
    let (_, branch) = endpoint.send(Method::Options);
    endpoint.receive(&answer("OPTIONS", &branch, 200));
    endpoint.layer.on_timeout(endpoint.now);
    assert_eq!(endpoint.layer.next_deadline(), None);
    assert_eq!(endpoint.layer.deadlines(), 0);
}
