//! What holds for any octets: shared by the property tests and the fuzz target.

use tandem_cluster::{
    Cluster, ClusterConfig, Member, MemberId, Membership, Placement, Reach, Secret, Service, fuzzing,
};
use tandem_contract::Nanos;

fn config() -> ClusterConfig {
    let member = |name: &str| Member { name: name.to_owned(), placement: Placement::default(), takes: 1, paths: 1 };
    ClusterConfig {
        own: MemberId(0),
        members: ["a", "b", "c"].map(member).to_vec(),
        membership: Membership::Listed,
        services: vec![Service { name: "calls".to_owned(), home: None, reach: Reach::Subnet }],
        secret: Secret::new(vec![1; 32]),
        beat_ns: 20_000_000,
        missed_near: 3,
        missed_far: 10,
        store: false,
        locate_ns: Some(1_000_000_000),
    }
}

/// Whatever comes, with a tag that is right or without one, a machine neither panics nor puts out without bound; and what is read
/// from a beat reads the same when it is written again.
pub fn any_octets(octets: &[u8]) {
    let mut cluster = Cluster::new(Nanos(0), config(), 7, 0).expect("a configuration");
    let mut now = 0;
    // The first octets say how much time passes between the rest, which is cut into beats.
    let (times, rest) = octets.split_at(octets.len().min(4));
    for (place, body) in rest.chunks(72).enumerate() {
        now += u64::from(times.get(place % 4).copied().unwrap_or(20)) * 1_000_000;
        fuzzing::reads_what_it_writes(body);
        // Taken or refused; both are counted.
        let _ = cluster.on_datagram(Nanos(now), body);
        let mut body = body.to_vec();
        if let Some(fingerprint) = body.get_mut(8..12) {
            fingerprint.copy_from_slice(&fuzzing::fingerprint(&config()).to_be_bytes());
        }
        let _ = cluster.on_datagram(Nanos(now), &fuzzing::seal(&config().secret, body));
        cluster.on_timeout(Nanos(now));
        assert!(std::iter::from_fn(|| cluster.poll_output()).count() < 1000);
        assert!(cluster.next_deadline() > Nanos(now));
    }
}
