//! What is built reads back as what it was built of.

use proptest::collection::vec;
use proptest::prelude::*;
use tandem_sip::header::write_name_addr;
use tandem_sip::*;

const LIMITS: Limits = Limits { max_bytes: 65_535, max_head_bytes: 65_535, max_headers: 128, max_uri_bytes: 2_048 };

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9.!%*_+`'~-]{1,12}"
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9]{1,8}(\\.[a-z0-9]{1,8}){0,2}",
        Just("[2001:db8::1]".to_owned()),
        Just("192.0.2.1:5070".to_owned())
    ]
}

fn uri() -> impl Strategy<Value = UriBuf> {
    (proptest::option::of("\\PC{1,10}"), host())
        .prop_map(|(user, host)| UriBuf::sip(user.as_deref(), &host).expect("a URI"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_built_request_reads_back(
        method in token(),
        target in uri(),
        display in "\\PC{0,12}",
        from in uri(),
        to in uri(),
        tag in token(),
        call_id in token(),
        number in any::<u32>(),
        hops in any::<u8>(),
        extension in "X-[a-z]{1,8}",
        value in "[ -~]{0,30}",
        body in vec(any::<u8>(), 0..50),
    ) {
        let method = Method::parse(&method).expect("a token");
        let built = RequestBuilder::new(method.clone(), target.clone())
            .via("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx")
            .from(&write_name_addr(Some(&display), from.as_str(), Some(&tag)))
            .to(&write_name_addr(None, to.as_str(), None))
            .call_id(&call_id)
            .cseq(number)
            .max_forwards(hops)
            .extension(&extension, &value)
            .body("application/octet-stream", body.clone())
            .build()
            .expect("a request");
        let Ok(Message::Request(read)) = Message::parse(&built.to_bytes(), &LIMITS) else { panic!("a request") };
        prop_assert_eq!(&read, &built);
        prop_assert_eq!(read.method(), &method);
        prop_assert_eq!(read.uri_text(), target.as_str());
        prop_assert_eq!(read.from().uri, from.as_str());
        prop_assert_eq!(read.from_tag(), Some(tag.as_str()));
        let unescaped = read.from().display_text().map(|text| text.replace("\\\"", "\"").replace("\\\\", "\\"));
        prop_assert_eq!(unescaped.is_some(), !display.is_empty());
        prop_assert_eq!(read.to().uri, to.as_str());
        prop_assert_eq!(read.to_tag(), None);
        prop_assert_eq!(read.call_id(), call_id.as_str());
        prop_assert_eq!((read.cseq_number(), read.cseq_method()), (number, &method));
        prop_assert_eq!(read.max_forwards(), Some(hops));
        prop_assert_eq!(read.extension(&extension), Some(value.trim()));
        prop_assert_eq!(read.body(), &body[..]);
    }

    #[test]
    fn values_cannot_add_lines(value in "[a-z\r\n: ]{0,30}") {
        let request = RequestBuilder::new(Method::Options, "sip:a@b")
            .via("SIP/2.0/UDP h;branch=z9hG4bKx")
            .from("<sip:a@b>;tag=1")
            .to("<sip:a@b>")
            .call_id("c")
            .cseq(1)
            .extension("X-Value", &value)
            .build()
            .expect("a request");
        prop_assert_eq!(request.headers().len(), 8);
    }

    #[test]
    fn users_read_back_unescaped(user in "\\PC{1,20}") {
        let uri = UriBuf::sip(Some(&user), "example.com").expect("a URI");
        let view = uri.view();
        prop_assert_eq!(&*unescape(view.user().expect("a user")), user.as_bytes());
        prop_assert!(view.is_equivalent(&view));
    }
}
