//! Between the registrar's words and the store's.

use std::time::Duration;

use tandem_call::WallClock;
use tandem_contract::Nanos;
use tandem_registrar::{Binding, Change, Subscriber};
use tandem_sip::digest::{Algorithm, Ha1};
use tandem_sip::{Instant, Peer, Transport, UriBuf};
use tandem_store::{RegistrationChange, RegistrationRow, SubscriberRow};

/// What is kept of a password: one hash for each algorithm.
pub(crate) fn row_of(user: &str, realm: &str, password: &str, algorithms: &[Algorithm]) -> SubscriberRow {
    let hash = |algorithm| {
        let wanted = algorithms.contains(&algorithm);
        if wanted { Ha1::new(algorithm, user, realm, password).to_hex() } else { String::new() }
    };
    SubscriberRow {
        username: user.to_owned(),
        realm: realm.to_owned(),
        ha1_md5: hash(Algorithm::Md5),
        ha1_sha256: hash(Algorithm::Sha256),
        ha1_sha512_256: hash(Algorithm::Sha512T256),
    }
}

/// Given hashes in place of a password; `None` where one is no hash of its algorithm, or none is given.
pub(crate) fn hashes_of(user: &str, realm: &str, given: &[(Algorithm, String)]) -> Option<SubscriberRow> {
    let mut row = SubscriberRow { username: user.to_owned(), realm: realm.to_owned(), ..SubscriberRow::default() };
    for (algorithm, text) in given {
        let hash = Ha1::from_hex(*algorithm, text)?.to_hex();
        match algorithm {
            Algorithm::Md5 => row.ha1_md5 = hash,
            Algorithm::Sha256 => row.ha1_sha256 = hash,
            Algorithm::Sha512T256 => row.ha1_sha512_256 = hash,
        }
    }
    (!given.is_empty()).then_some(row)
}

pub(crate) fn subscriber_of(row: &SubscriberRow) -> Subscriber {
    let kept = [
        (Algorithm::Md5, &row.ha1_md5),
        (Algorithm::Sha256, &row.ha1_sha256),
        (Algorithm::Sha512T256, &row.ha1_sha512_256),
    ];
    Subscriber { hashes: kept.into_iter().filter_map(|(algorithm, hash)| Ha1::from_hex(algorithm, hash)).collect() }
}

/// `wall` tells the time of day at a moment of the machine's clock.
pub(crate) fn change_of(wall: &WallClock, change: Change) -> RegistrationChange {
    match change {
        Change::Remove { user, key } => RegistrationChange::Remove { username: user, binding: key },
        Change::Put { user, binding } => {
            let binding = *binding;
            let expires_ms = wall.unix_millis(Nanos(binding.expires.as_us().saturating_mul(1_000)));
            RegistrationChange::Put(Box::new(RegistrationRow {
                username: user,
                binding: binding.key,
                contact: binding.contact.as_str().to_owned(),
                q: binding.q.into(),
                expires_ms: i64::try_from(expires_ms).unwrap_or(i64::MAX),
                call_id: binding.call_id,
                cseq: binding.cseq.into(),
                received: if binding.uses_flow { binding.flow.remote.to_string() } else { String::new() },
                local: binding.flow.local.to_string(),
                transport: binding.flow.transport.as_str().to_owned(),
                path: binding.path.join("\n"),
                instance: binding.instance,
                reg_id: binding.reg_id.into(),
                user_agent: binding.user_agent,
            }))
        }
    }
}

/// A binding from before the start; `None` for a row that makes no sense to this version.
pub(crate) fn binding_of(wall: &WallClock, now: Nanos, row: RegistrationRow) -> Option<Binding> {
    let left_ms = u64::try_from(row.expires_ms).ok()?.checked_sub(wall.unix_millis(now))?;
    let contact = UriBuf::parse(&row.contact).ok()?;
    let transports = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
    let transport = transports.into_iter().find(|known| known.as_str() == row.transport)?;
    let local = row.local.parse().ok()?;
    let uses_flow = !row.received.is_empty();
    let remote = if uses_flow {
        row.received.parse().ok()?
    } else {
        // It is called by its URI; where that has a name the flow is as good as none.
        let view = contact.view();
        let ip = view.host().trim_matches(['[', ']']).parse().ok();
        ip.map_or(local, |ip| std::net::SocketAddr::new(ip, view.port().unwrap_or(transport.default_port())))
    };
    Some(Binding {
        key: row.binding,
        contact,
        q: u16::try_from(row.q).ok()?.min(1_000),
        expires: Instant::from_us(now.0 / 1_000) + Duration::from_millis(left_ms),
        call_id: row.call_id,
        cseq: u32::try_from(row.cseq).ok()?,
        flow: Peer::new(transport, local, remote),
        uses_flow,
        path: row.path.lines().map(str::to_owned).collect(),
        instance: row.instance,
        reg_id: u32::try_from(row.reg_id).ok()?,
        user_agent: row.user_agent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_survives_being_kept() {
        let wall = WallClock { at: Nanos(5_000_000_000), unix_ns: 1_700_000_000_000_000_000 };
        let now = Nanos(6_000_000_000);
        for uses_flow in [true, false] {
            let remote = if uses_flow { "203.0.113.1:40000" } else { "192.0.2.1:5070" };
            let binding = Binding {
                key: "k".to_owned(),
                contact: UriBuf::parse("sip:alice@192.0.2.1:5070").unwrap(),
                q: 500,
                expires: Instant::from_ms(66_000),
                call_id: "c".to_owned(),
                cseq: 7,
                flow: Peer::udp("192.0.2.10:5060".parse().unwrap(), remote.parse().unwrap()),
                uses_flow,
                path: vec!["<sip:a;lr>".to_owned(), "<sip:b;lr>".to_owned()],
                instance: "<urn:x>".to_owned(),
                reg_id: 1,
                user_agent: "phone".to_owned(),
            };
            let change = Change::Put { user: "alice".to_owned(), binding: Box::new(binding.clone()) };
            let RegistrationChange::Put(row) = change_of(&wall, change) else { panic!("a row") };
            assert_eq!(row.expires_ms, 1_700_000_061_000);
            assert_eq!(binding_of(&wall, now, (*row).clone()), Some(binding));
            assert_eq!(binding_of(&wall, Nanos(67_000_000_000), *row), None, "over");
        }
    }

    #[test]
    fn of_a_password_only_hashes_are_kept() {
        let row = row_of("alice", "example.com", "secret", &[Algorithm::Md5]);
        assert_eq!((row.ha1_md5.len(), row.ha1_sha256.len()), (32, 0));
        let subscriber = subscriber_of(&row);
        assert_eq!(subscriber.hashes, [Ha1::new(Algorithm::Md5, "alice", "example.com", "secret")]);
        assert_eq!(hashes_of("alice", "example.com", &[(Algorithm::Md5, row.ha1_md5.to_uppercase())]), Some(row));
        assert_eq!(hashes_of("alice", "example.com", &[(Algorithm::Md5, "zz".to_owned())]), None);
        assert_eq!(hashes_of("alice", "example.com", &[]), None);
    }
}
