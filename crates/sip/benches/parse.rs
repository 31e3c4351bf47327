//! What a message costs: reading an INVITE of 999 bytes with its typed views, refusing junk, and carrying a whole call
//! through the server and client transactions of two endpoints.

use core::hint::black_box;
use std::net::SocketAddr;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tandem_sip::*;

/// A telephone's INVITE with SDP, filled up to exactly 999 bytes.
fn invite() -> Vec<u8> {
    let body = "v=0\r\no=alice 2890844526 2890844526 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
                m=audio 49170 RTP/AVP 0 8 18 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
                a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n";
    let head = |agent: &str| {
        format!(
            "INVITE sip:+12125550123@gw.example.com;user=phone SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK776asdhds776asdhds;rport\r\n\
             Max-Forwards: 70\r\n\
             From: \"Alice Atlanta\" <sip:alice@atlanta.example.com>;tag=1928301774\r\n\
             To: <sip:+12125550123@gw.example.com;user=phone>\r\n\
             Call-ID: a84b4c76e66710a84b4c76e66710@192.0.2.10\r\n\
             CSeq: 314159 INVITE\r\n\
             Contact: <sip:alice@192.0.2.10:5060;transport=udp>\r\n\
             Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK\r\n\
             Supported: timer, 100rel\r\n\
             User-Agent: {agent}\r\n\
             Content-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let padding = 999 - head("").len();
    let message = head(&"x".repeat(padding)).into_bytes();
    assert_eq!(message.len(), 999);
    message
}

fn reading(criterion: &mut Criterion) {
    let limits = Limits::default();
    let invite = invite();
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(1));
    group.bench_function("INVITE of 999 bytes", |bencher| {
        bencher.iter(|| Message::parse(black_box(&invite), &limits));
    });
    group.bench_function("INVITE of 999 bytes, Via From To CSeq Call-ID Contact as types", |bencher| {
        bencher.iter(|| {
            let Ok(Message::Request(request)) = Message::parse(black_box(&invite), &limits) else {
                panic!("a request")
            };
            black_box((request.top_via().branch(), request.from().uri().is_ok(), request.to().uri().is_ok()));
            black_box((request.from_tag(), request.call_id(), request.cseq_number()));
            black_box(request.contact().is_some());
            request
        });
    });
    let source = SocketAddr::from(([192, 0, 2, 10], 5060));
    let no_call_id = String::from_utf8_lossy(&invite).replace("Call-ID", "Call-XX").into_bytes();
    let noise: Vec<u8> = (0..400u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (name, junk) in
        [("junk: noise of 400 bytes", &noise), ("junk: INVITE without Call-ID, answered with 400", &no_call_id)]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let error = Message::parse(black_box(junk), &limits).expect_err("junk");
                respond_to_malformed(junk, &error, source, "tag")
            });
        });
    }
    group.finish();
}

/// INVITE, 180, 200, ACK, BYE, 200 between two endpoints: what one call leg costs on both of its sides together.
fn call(caller: &mut Transactions, callee: &mut Transactions, now: Instant, call_id: &str) {
    let address = |last| SocketAddr::from(([192, 0, 2, last], 5060));
    let (to_callee, to_caller) = (Peer::udp(address(1), address(2)), Peer::udp(address(2), address(1)));
    let invite = RequestBuilder::new(Method::Invite, "sip:bob@192.0.2.2")
        .from("<sip:alice@192.0.2.1>;tag=a")
        .to("<sip:bob@192.0.2.2>")
        .call_id(call_id)
        .cseq(1)
        .contact("sip:alice@192.0.2.1")
        .body("application/sdp", &b"v=0\r\n"[..]);
    caller.send_request(now, to_callee, invite).expect("a request");
    loop {
        let mut idle = true;
        while let Some(output) = caller.poll_output() {
            idle = false;
            match output {
                Output::Send { bytes, .. } => callee.on_bytes(now, to_caller, &bytes).expect("a message"),
                Output::Response { response, .. }
                    if response.status() == StatusCode::OK && *response.cseq_method() == Method::Invite =>
                {
                    let common = |method| {
                        RequestBuilder::new(method, "sip:bob@192.0.2.2")
                            .from("<sip:alice@192.0.2.1>;tag=a")
                            .to("<sip:bob@192.0.2.2>;tag=b")
                            .call_id(call_id)
                    };
                    caller.send_ack(to_callee, common(Method::Ack).cseq(1)).expect("an ACK");
                    caller.send_request(now, to_callee, common(Method::Bye).cseq(2)).expect("a request");
                }
                _ => {}
            }
        }
        while let Some(output) = callee.poll_output() {
            idle = false;
            match output {
                Output::Send { bytes, .. } => caller.on_bytes(now, to_callee, &bytes).expect("a message"),
                Output::Request { id, request, .. } => {
                    let respond =
                        |status| ResponseBuilder::new(&request, status).to_tag("b").contact("sip:bob@192.0.2.2");
                    if *request.method() == Method::Invite {
                        let ringing = respond(StatusCode::RINGING).build().expect("a response");
                        callee.respond(now, id, &ringing).expect("a transaction");
                    }
                    let ok = respond(StatusCode::OK).build().expect("a response");
                    callee.respond(now, id, &ok).expect("a transaction");
                }
                _ => {}
            }
        }
        if idle {
            return;
        }
    }
}

fn calls(criterion: &mut Criterion) {
    let endpoint = |seed| Transactions::new(TransactionConfig::default(), Identifiers::new(SeededRandom::new(seed)));
    let (mut caller, mut callee) = (endpoint(1), endpoint(2));
    let mut number = 0u64;
    let mut group = criterion.benchmark_group("call");
    group.throughput(Throughput::Elements(1));
    // A thousand calls a second, so that some 64,000 transactions linger in their last states.
    group.bench_function("INVITE 180 200 ACK BYE 200, both ends", |bencher| {
        bencher.iter(|| {
            number += 1;
            let now = Instant::from_ms(number);
            call(&mut caller, &mut callee, now, &number.to_string());
            for end in [&mut caller, &mut callee] {
                end.on_timeout(now);
                while end.poll_output().is_some() {}
            }
        });
    });
    group.finish();
    println!("{} + {} transactions at the end", caller.live(), callee.live());
}

criterion_group!(benches, reading, calls);
criterion_main!(benches);
