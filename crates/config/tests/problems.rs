//! What a wrong file is told: line, column, field, and what is allowed.

use tandem_config::{Config, LoadError, MAX_FILE_BYTES};

/// A short file that is right; each test spoils one place of it.
const RIGHT: &str = "\
ports:
  - name: media
    device: net_af_packet0,iface=eth1
    addresses: [10.0.0.10/24]
sip:
  listen:
    - address: 10.0.1.10:5060
peers:
  - name: left
    address: 10.0.1.20
  - name: right
    address: 10.0.1.30
routes:
  - from: left
    peer: right
  - from: right
    peer: left
";

fn right() -> Config {
    tandem_config::parse("t.yaml", RIGHT).expect("the short file is right")
}

/// What is said of the short file with `from` replaced by `to`, without the lines that show the source.
fn told(from: &str, to: &str) -> Vec<String> {
    assert!(RIGHT.contains(from), "{from} is not in the file");
    problems_of(&RIGHT.replacen(from, to, 1))
}

fn problems_of(text: &str) -> Vec<String> {
    let problems = tandem_config::parse("t.yaml", text).expect_err("the file is wrong");
    problems.iter().map(|problem| problem.to_string().lines().next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_short_file_is_enough_and_the_rest_has_defaults() {
    let config = right();
    assert_eq!(config.peers[0].address.to_string(), "10.0.1.20:5060");
    assert_eq!(config.sip.listen[0].name, "main");
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:9060");
    assert_eq!(config.workers.cores, [1]);
    assert!(config.records.fsync);
}

#[test]
fn an_unknown_field_is_told_with_what_is_allowed() {
    assert_eq!(
        told("    peer: right", "    per: right"),
        ["t.yaml:15:5: routes[0].per: unknown field `per`; \
          allowed here: peer, name, from, prefix, number, caller, domain, strip, codec, identity, recorder, prepend, hours"]
    );
}

#[test]
fn the_source_is_shown_with_a_mark_below_the_place() {
    let problems = tandem_config::parse("t.yaml", &RIGHT.replace("peer: left", "peer: leff")).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "t.yaml:17:11: routes[1].peer: no peer is called `leff`; the peers are left, right\n   17 |     peer: leff\n      |           ^"
    );
}

#[test]
fn a_missing_field_is_told() {
    assert_eq!(told("    peer: right\n", ""), ["t.yaml:14:5: routes[0]: the field `peer` is missing"]);
}

#[test]
fn a_field_said_twice_is_told() {
    assert_eq!(
        told("    peer: right", "    peer: right\n    peer: left"),
        ["t.yaml:16:5: routes[0]: `peer` was said already"]
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_told_with_what_is_wanted() {
    let tail = |section: &str| problems_of(&format!("{RIGHT}{section}\n"));
    assert_eq!(
        tail("limits: {max_calls: many}"),
        ["t.yaml:18:21: limits.max_calls: not a whole number from 0 to 4294967295"]
    );
    assert_eq!(tail("http: {open_monitoring: maybe}"), ["t.yaml:18:25: http.open_monitoring: neither true nor false"]);
    assert_eq!(
        tail("log: {level: loud}"),
        ["t.yaml:18:14: log.level: `loud` is not possible here; allowed: error, warn, info, debug, trace"]
    );
    assert_eq!(
        tail("media: {port_range: 20001-30000}"),
        ["t.yaml:18:21: media.port_range: `20001-30000`: the first port is even (RTP) and the last odd (RTCP)"]
    );
    assert_eq!(tail("media: {port_range: }"), ["t.yaml:18:19: media.port_range: a value is missing"]);
}

#[test]
fn an_address_that_is_neither_address_nor_name_is_told() {
    assert_eq!(
        told("address: 10.0.1.30", "address: sip..example.com"),
        [
            "t.yaml:12:14: peers[1].address: `sip..example.com`: an IP address or a host name is wanted, with or without a \
          port, as in 10.0.0.1, [2001:db8::1]:5060, sip.example.com or sip.example.com:5060"
        ]
    );
}

#[test]
fn broken_yaml_is_told_with_its_place() {
    let told = told("  - name: right", "  - name: [right");
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("t.yaml:1"), "{}", told[0]);
}

#[test]
fn a_number_out_of_range_is_told() {
    let problems = problems_of(&format!("{RIGHT}limits: {{max_calls: 0}}\n"));
    assert_eq!(problems, ["t.yaml:18:21: limits.max_calls: lower than 1"]);
}

#[test]
fn all_problems_between_sections_are_told_at_once() {
    let told = told("  - from: left\n    peer: right\n", "  - peer: rihgt\n  - from: lfet\n    peer: right\n");
    assert_eq!(
        told,
        [
            "t.yaml:14:11: routes[0].peer: no peer is called `rihgt`; the peers are left, right",
            "t.yaml:15:11: routes[1].from: no peer is called `lfet`; the peers are left, right",
            "t.yaml:15:5: routes[1]: never reached: routes[0] takes every call",
            "t.yaml:17:5: routes[2]: never reached: routes[0] takes every call",
        ]
    );
}

#[test]
fn names_are_distinct() {
    assert_eq!(
        told("name: right", "name: left"),
        [
            "t.yaml:11:11: peers[1].name: another one is called `left` already",
            "t.yaml:15:11: routes[0].peer: no peer is called `right`; the peers are left, left",
            "t.yaml:16:11: routes[1].from: no peer is called `right`; the peers are left, left",
        ]
    );
}

#[test]
fn addresses_lie_in_the_ports_subnets() {
    assert_eq!(
        told("    addresses: [10.0.0.10/24]", "    addresses: [10.0.0.10/24]\n    gateway: 10.0.7.1"),
        ["t.yaml:5:14: ports[0].gateway: 10.0.7.1 lies in none of the port's subnets: 10.0.0.10/24"]
    );
    assert_eq!(
        told("address: 10.0.1.30", "address: 10.0.1.30\n    media_address: 10.0.0.11"),
        ["t.yaml:13:20: peers[1].media_address: 10.0.0.11 is no address of a port; the ports have 10.0.0.10"]
    );
}

#[test]
fn ports_have_subnets_of_their_own_and_no_more_addresses_than_there_are_places() {
    let with_inside = |addresses: &str| {
        RIGHT.replace(
            "    addresses: [10.0.0.10/24]",
            &format!(
                "    addresses: [10.0.0.10/24]\n  - name: inside\n    device: net_af_packet1,iface=eth2\n    \
                 addresses: [{addresses}]"
            ),
        )
    };
    assert!(tandem_config::parse("t.yaml", &with_inside("10.9.0.10/24")).is_ok());
    assert_eq!(
        problems_of(&with_inside("10.9.0.10/24, 10.0.0.77/25")),
        ["t.yaml:7:31: ports[1].addresses[1]: the subnet of 10.0.0.77/25 is on port `media` too"]
    );
    let sixteen: Vec<_> = (1..=16).map(|host| format!("10.9.0.{host}/24")).collect();
    assert_eq!(
        problems_of(&with_inside(&sixteen.join(", "))),
        ["t.yaml:2:3: ports: 17 addresses in all, and 16 are possible"]
    );
}

#[test]
fn media_addresses_are_those_that_peers_can_be_told() {
    for address in
        ["127.0.0.1/8", "0.0.0.0/8", "224.0.0.1/8", "::1/64", "ff02::1/64", "fe80::1/64", "::ffff:10.0.0.1/96"]
    {
        let said = address.split('/').next().expect("an address");
        assert_eq!(
            told("10.0.0.10/24", &format!("\"{address}\"")),
            [format!("t.yaml:4:17: ports[0].addresses[0]: {said} is no address that a port can have")]
        );
    }
}

#[test]
fn a_port_of_ipv6_has_a_gateway_of_its_own_and_room_for_its_packets() {
    let both = "    addresses: [10.0.0.10/24, \"2001:db8::10/64\"]";
    let more = |lines: &str| RIGHT.replace("    addresses: [10.0.0.10/24]", &format!("{both}\n{lines}"));
    let parsed =
        tandem_config::parse("t.yaml", &more("    gateway: 10.0.0.1\n    gateway_v6: fe80::1")).expect("right");
    let port = &parsed.ports[0];
    let hops = port.addresses.iter().map(|cidr| port.gateway_for(cidr.address).expect("a gateway").to_string());
    assert_eq!(hops.collect::<Vec<_>>(), ["10.0.0.1", "fe80::1"]);
    assert_eq!(
        problems_of(&more("    gateway_v6: 2001:db8:0:1::1")),
        [
            "t.yaml:5:17: ports[0].gateway_v6: 2001:db8:0:1::1 lies in none of the port's subnets: 10.0.0.10/24, 2001:db8::10/64"
        ]
    );
    assert_eq!(
        problems_of(&more("    mtu: 1279")),
        ["t.yaml:5:10: ports[0].mtu: 1279 is too short for IPv6, which needs 1280"]
    );
    assert_eq!(
        told("    addresses: [10.0.0.10/24]", "    addresses: [10.0.0.10/24]\n    gateway_v6: fe80::1"),
        ["t.yaml:5:17: ports[0].gateway_v6: fe80::1 lies in none of the port's subnets: 10.0.0.10/24"]
    );
}

#[test]
fn a_peer_is_spoken_with_by_a_listener_of_its_family() {
    assert_eq!(
        told("address: 10.0.1.30", "address: \"2001:db8::30\""),
        [
            "t.yaml:12:14: peers[1].address: [2001:db8::30]:5060 cannot be reached from listener `main`, 10.0.1.10:5060: \
          IPv4 and IPv6 do not meet; name another in `listen`"
        ]
    );
}

#[test]
fn media_has_an_address_of_the_family_that_sip_is_spoken_over() {
    let file = RIGHT
        .replace("[10.0.0.10/24]", "[10.0.0.10/24, \"2001:db8::10/64\"]")
        .replace(
            "    - address: 10.0.1.10:5060",
            "    - address: 10.0.1.10:5060\n    - {name: v6, address: \"[2001:db8::1]:5060\"}",
        )
        .replace("address: 10.0.1.30", "listen: v6\n    address: \"2001:db8::30\"");
    let config = tandem_config::parse("t.yaml", &file).expect("the file is right");
    let addresses = config.peers.iter().map(|peer| config.media_address_of(peer).expect("an address").to_string());
    assert_eq!(addresses.collect::<Vec<_>>(), ["10.0.0.10", "2001:db8::10"]);
}

#[test]
fn a_device_is_a_pci_address_or_a_virtual_device() {
    assert_eq!(
        told("net_af_packet0,iface=eth1", "eth1"),
        ["t.yaml:3:13: ports[0].device: `eth1`: a device is a PCI address as in 0000:00:06.0, \
          or a virtual device as in net_af_packet0,iface=eth1"]
    );
    for device in ["0000:00:06.0", "00:1f.7", "net_null0", "0000:00:06.0,enable_llq=1"] {
        let text = RIGHT.replace("net_af_packet0,iface=eth1", device);
        assert!(tandem_config::parse("t.yaml", &text).is_ok(), "{device}");
    }
    for device in ["0000:00:06.8", "0:6.0", "net_null0 size=64"] {
        assert_eq!(told("net_af_packet0,iface=eth1", device).len(), 1, "{device}");
    }
}

#[test]
fn the_port_range_is_large_enough_for_the_calls() {
    let problems = problems_of(&format!("{RIGHT}media: {{port_range: 20000-20199}}\nlimits: {{max_calls: 51}}\n"));
    assert_eq!(
        problems,
        ["t.yaml:18:21: media.port_range: 20000-20199 holds 100 legs on 1 address(es); \
          51 calls (limits.max_calls) need 102"]
    );
    let enough = format!("{RIGHT}media: {{port_range: 20000-20199}}\nlimits: {{max_calls: 50}}\n");
    assert!(tandem_config::parse("t.yaml", &enough).is_ok());
}

#[test]
fn memory_holds_the_packet_buffers_and_these_more_than_the_queues() {
    let problems = problems_of(&format!("{RIGHT}dpdk: {{memory_mib: 64}}\n"));
    assert_eq!(problems, ["t.yaml:18:20: dpdk.memory_mib: 16384 packet buffers need 68 MiB"]);
    let problems = problems_of(&format!("{RIGHT}dpdk: {{packet_buffers: 4096}}\nworkers: {{cores: [1, 2]}}\n"));
    assert_eq!(
        problems,
        ["t.yaml:18:24: dpdk.packet_buffers: the ports' queues alone hold 4096, for 2 worker(s): \
          more are needed for work"]
    );
}

#[test]
fn a_core_has_one_worker() {
    let problems = problems_of(&format!("{RIGHT}workers: {{cores: [1, 2, 1]}}\n"));
    assert_eq!(problems, ["t.yaml:18:25: workers.cores[2]: core 1 has a worker already"]);
}

#[test]
fn http_that_others_reach_is_refused_unless_it_asks_who() {
    let problems = problems_of(&format!("{RIGHT}http: {{listen: \"0.0.0.0:9060\"}}\n"));
    assert_eq!(
        problems,
        [
            "t.yaml:18:16: http.listen: 0.0.0.0:9060 is reached from other machines, and whoever reaches it can end calls: \
          use 127.0.0.1, or say who may in `http.tokens`, or ask for certificates with `http.tls.client_certificates` and \
          `client_ca`"
        ]
    );
    let files = "certificate: c.pem, key: k.pem";
    for told in [
        "tokens: [{name: operators, file: /etc/token}]".to_owned(),
        format!("tls: {{{files}, client_certificates: optional, client_ca: ca.pem}}"),
    ] {
        let allowed = format!("{RIGHT}http: {{listen: \"0.0.0.0:9060\", {told}}}\n");
        assert!(tandem_config::parse("t.yaml", &allowed).is_ok(), "{allowed}");
    }
    for (told, wrong) in [
        ("tokens: [{name: a}]", "http.tokens[0].name: where is it read?"),
        ("tokens: [{name: a, file: f, environment: E}]", "http.tokens[0].name: where is it read?"),
        ("tokens: [{name: a, file: f}, {name: a, file: g}]", "http.tokens[1].name: another one is called `a` already"),
        (
            "tls: {certificate: c.pem, key: k.pem, client_certificates: required}",
            "http.tls.client_certificates: clients are asked",
        ),
    ] {
        let problems = problems_of(&format!("{RIGHT}http: {{{told}}}\n"));
        assert!(problems[0].contains(wrong), "{problems:?}");
    }
}

#[test]
fn a_listener_on_every_address_says_where_it_is_reached() {
    assert_eq!(
        told("address: 10.0.1.10:5060", "address: 0.0.0.0:5060"),
        ["t.yaml:7:16: sip.listen[0].address: peers cannot reach 0.0.0.0:5060: say in `advertise` where they reach it"]
    );
}

#[test]
fn a_problem_with_a_default_names_the_field_without_a_place() {
    let problems = problems_of(&format!("{RIGHT}limits: {{max_calls: 5000}}\n"));
    assert_eq!(
        problems,
        ["t.yaml: media.port_range: 16384-32767 holds 8192 legs on 1 address(es); \
          5000 calls (limits.max_calls) need 10000"]
    );
}

#[test]
fn references_that_multiply_are_refused() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (this, last) in ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"]) {
        text += &format!("{this}: &{this} [*{last}, *{last}, *{last}, *{last}, *{last}, *{last}, *{last}, *{last}]\n");
    }
    assert_eq!(problems_of(&text).len(), 1);
}

#[test]
fn a_file_that_is_too_long_or_not_there_or_not_text_is_refused() {
    let directory = std::env::temp_dir().join(format!("tandem-config-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let long = directory.join("long.yaml");
    std::fs::write(&long, vec![b'#'; MAX_FILE_BYTES + 1]).unwrap();
    assert!(matches!(tandem_config::load(&long), Err(LoadError::TooLong { .. })));
    let absent = tandem_config::load(&directory.join("absent.yaml")).unwrap_err().to_string();
    assert!(absent.ends_with("absent.yaml: No such file or directory (os error 2)"), "{absent}");
    let bytes = directory.join("bytes.yaml");
    std::fs::write(&bytes, b"ports:\n  - name: m\xff\n").unwrap();
    let told = tandem_config::load(&bytes).unwrap_err().to_string();
    assert!(told.ends_with("bytes.yaml:2:1: not UTF-8"), "{told}");
    std::fs::remove_dir_all(&directory).unwrap();
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = tandem_config::parse("t.yaml", &text);
    }

    #[test]
    fn no_damage_to_a_right_file_makes_it_panic(at in 0..RIGHT.len(), byte in proptest::char::range(' ', '~')) {
        let mut text = RIGHT.to_owned();
        text.replace_range(at..=at, &byte.to_string());
        if let Err(problems) = tandem_config::parse("t.yaml", &text) {
            proptest::prop_assert!(!problems.is_empty());
        }
    }
}

#[test]
fn a_device_is_one_ports_however_it_is_written() {
    let second = |device: &str| format!("\n  - name: more\n    device: {device}\n    addresses: [10.2.0.10/24]\nsip:");
    let told = |first: &str, device: &str| {
        problems_of(&RIGHT.replace("net_af_packet0,iface=eth1", first).replacen("\nsip:", &second(device), 1))
    };
    for (first, device, taken) in [
        ("net_af_packet0,iface=eth1", "net_af_packet0,iface=eth2", "net_af_packet0"),
        ("net_af_packet0,iface=eth1", "net_af_packet1,qpairs=1,iface=eth1", "iface=eth1"),
        ("net_af_packet0,iface=eth1", "net_af_xdp0,iface=eth1", "iface=eth1"),
        ("0000:00:06.0", "00:06.0", "0000:00:06.0"),
        ("0000:0A:06.0", "0000:0a:06.0,llq_policy=1", "0000:0a:06.0"),
    ] {
        assert_eq!(
            told(first, device),
            [format!("t.yaml:6:13: ports[1].device: `{taken}` is the device of port `media` too")],
            "{first} and {device}"
        );
    }
    let apart = RIGHT.replacen("\nsip:", &second("net_af_packet1,iface=eth2"), 1);
    assert_eq!(tandem_config::parse("t.yaml", &apart).expect("two devices").ports.len(), 2);
}

#[test]
fn replication_is_told_what_does_not_fit_and_never_repeats_a_password() {
    let with = |section: &str| problems_of(&format!("{RIGHT}replication:\n  {section}\n"));
    let told = with("store: [\"http://u:secret@h/\"]");
    assert_eq!(
        told,
        [
            "t.yaml:19:11: replication.store[0]: a URL as in redis://host:6379/ or, over TLS, rediss://user:password@host:6379/ is wanted"
        ]
    );
    let told = with("store: [\"redis://a\", \"redis://b\"]");
    assert!(told[0].ends_with("several URLs are those of Sentinels: name the master in `sentinel_master`"), "{told:?}");
    let told = with("addresses: [{address: 10.0.0.10/24}]");
    assert!(told[0].ends_with("10.0.0.10 is given to a port or stands further ahead already"), "{told:?}");
    let told = with("addresses: [{address: 10.0.0.9/24, port: inside}]");
    assert!(told[0].ends_with("no port is called `inside`; the ports are media"), "{told:?}");
    let told = with("addresses: [{address: 10.0.0.9/24, interface: \"-x\"}]");
    assert!(told[0].contains("the name of an interface has 1 to 15 characters"), "{told:?}");
}

#[test]
fn a_floating_address_is_one_that_a_peers_media_may_come_to_and_a_listener_may_have() {
    let text = RIGHT.replace("address: 10.0.1.20", "address: 10.0.1.20\n    media_address: 10.0.0.100")
        + "replication:\n  addresses: [{address: 10.0.0.100/24}, {address: 10.0.1.10/24, interface: eth0}]\n";
    let config = tandem_config::parse("t.yaml", &text).expect("it is right");
    assert!(config.floats(&config.sip.listen[0]));
    assert!(!right().floats(&right().sip.listen[0]));
}

#[test]
fn a_cluster_is_told_what_its_members_lack() {
    let with = |section: &str| problems_of(&format!("{RIGHT}node: {{name: edge-1}}\ncluster: {{{section}}}\n"));
    let one = "{name: edge-1, heartbeat: [\"10.0.2.10:7946\"]}";
    let other = "{name: edge-2, heartbeat: [\"10.0.2.11:7946\"], witness: true}";
    let is_told = |section: &str, what: &str| {
        let told = with(section);
        assert!(told.iter().any(|problem| problem.ends_with(what)), "{section}: {told:?}");
    };
    is_told(&format!("members: [{one}]"), "cluster.members: a cluster has 2 members at least, or none");
    is_told(&format!("members: [{other}, {other}]"), "this node, `edge-1` (node.name), is not among them");
    is_told(&format!("members: [{one}, {one}]"), "cluster.members[1].name: another member is called `edge-1` too");
    is_told(
        &format!("home: edge-2, members: [{one}, {other}]"),
        "cluster.home: no member that is not a witness is called `edge-2`",
    );
    is_told(
        &format!("store: \"http://h/\", members: [{one}, {other}]"),
        "cluster.store: a URL is wanted, as in redis://10.0.2.5:6379/",
    );
    let tag = "discover: {tag: {key: k, value: v}}";
    is_told("discover: {}, store: \"redis://h/\"", "cluster.discover: one of `tag` and `auto_scaling_group` is wanted");
    is_told(
        &format!("{tag}, members: [{one}, {other}]"),
        "cluster.members: either they are listed, or `discover` finds them",
    );
    is_told(tag, "cluster.discover: members that come and go need `cluster.store`, which has the list of them");
    is_told(tag, "cluster.discover: EC2 is asked by `tandem-aws`: `aws.enabled` is wanted");
    is_told(&format!("{tag}, home: edge-1"), "cluster.home: who is found by `discover` has no home");
    let right = format!("{RIGHT}cluster: {{{tag}, store: \"redis://h/\"}}\naws: {{enabled: true}}\n");
    tandem_config::parse("t.yaml", &right).expect("it is right");
}

#[test]
fn who_registers_is_a_peer_without_an_address() {
    let phones = format!(
        "{}registrar: {{realm: example.com, peer: phones}}\n",
        RIGHT.replace("routes:", "  - name: phones\nroutes:")
    );
    assert!(tandem_config::parse("t.yaml", &phones).is_ok());
    for (from, to, told) in [
        ("peer: phones", "peer: nobody", "registrar.peer: no peer is called `nobody`"),
        (", peer: phones", "", "registrar.peer: which peer are registered telephones?"),
        ("realm: example.com, ", "", "registrar.realm: telephones register only where it is given"),
        ("peer: phones", "peer: phones, min_expires_s: 4000", "registrar.default_expires_s: 3600 does not lie between"),
        (
            "peer: phones",
            "peer: phones, algorithms: [MD5, MD5]",
            "registrar.algorithms[1]: this algorithm stands further ahead",
        ),
        ("registrar", "store: {url: /tmp/x}\nregistrar", "store.url: a URL as in sqlite://"),
    ] {
        let problems = problems_of(&phones.replacen(from, to, 1));
        assert!(problems.iter().any(|problem| problem.contains(told)), "{told}: {problems:?}");
    }
    let problems = problems_of(&RIGHT.replace("    address: 10.0.1.30\n", ""));
    assert!(
        problems.iter().any(|problem| problem.contains("peers[1].address: where does its SIP go to?")),
        "{problems:?}"
    );
}

#[test]
fn identities_are_checked_and_signed_with_what_there_is() {
    let peer = "address: 10.0.1.20";
    assert!(RIGHT.contains(peer));
    let with = |of_peer: &str, stir: &str| {
        format!("{}stir: {{{stir}}}\n", RIGHT.replacen(peer, &format!("{peer}\n    stir: {{{of_peer}}}"), 1))
    };
    let full = "authorities: ca.pem, certificates: [{url: \"https://a.example/x\", file: a.pem}], signing: {key: k.pem, url: \"https://b.example/\"}";
    let right = with("check: required, sign: true, attestation: A", full);
    assert!(tandem_config::parse("t.yaml", &right).is_ok(), "{right}");
    for (of_peer, stir, wrong) in [
        ("check: on", "freshness_s: 60", "peers[0].stir.check: nobody is believed"),
        ("sign: true", "freshness_s: 60", "peers[0].stir.sign: there is no key to sign with"),
        ("sign: false", "certificates: [{url: \"https://a\", file: a}]", "stir.authorities: who vouches"),
        ("sign: false", "country_code: '01'", "`01`: the code of a country"),
        ("sign: false", "certificates: [{url: \"ftp://a\", file: a}]", "stir.certificates[0].url: `ftp://a`"),
        ("sign: false", "signing: {key: k, url: \"https://b\", origin_id: x}", "`x`: a UUID is wanted"),
    ] {
        let problems = problems_of(&with(of_peer, stir));
        assert!(problems.iter().any(|problem| problem.contains(wrong)), "{problems:?}");
    }
}

#[test]
fn what_aws_is_to_move_or_tell_fits_the_rest_of_the_file() {
    let with = |section: &str| {
        let floating = "replication: {addresses: [{address: 10.0.0.100/24}, {address: \"2001:db8::1/64\"}]}";
        problems_of(&format!("{RIGHT}{floating}\naws: {{{section}}}\n"))
    };
    let is_told = |section: &str, told: &str| {
        let problems = with(section);
        assert!(problems.iter().any(|problem| problem.contains(told)), "{section}: {problems:?}");
    };
    is_told(
        "elastic: [{allocation: eipalloc-1, address: 10.0.0.100}, {allocation: eipalloc-2, address: 10.0.0.7}]",
        "aws.elastic[1].address: 10.0.0.7 is not among the addresses of replication.addresses",
    );
    is_told("enabled: true", "replication.addresses[1].address: with aws.enabled only IPv4 addresses move");
    is_told(
        "records: [{zone: Z1, name: a.example.net., type: A, value: edge-1}]",
        "aws.records[0].value: an IPv4 address is wanted, not `edge-1`",
    );
    is_told(
        "records: [{zone: Z1, name: _sip._udp.example.net., type: SRV, value: 10 5060 edge-1}]",
        "aws.records[0].value: priority, weight, port and target is wanted, not `10 5060 edge-1`",
    );
    is_told("metadata: 169.254.169.254", "aws.metadata: a URL as in http://169.254.169.254 is wanted");
}
