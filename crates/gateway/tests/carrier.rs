//! A carrier that wants to know who calls: Kamailio with digest authentication, a registrar and record routing.
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use support::configuration::Configuration;
use support::endpoint::Endpoint;
use support::{Gateway, Process, Scratch};

const GATEWAY: &str = "127.0.0.1";

/// Kamailio at `carrier`: it challenges REGISTER and what comes from `gateway`, whose calls go on to `phone`; calls of
/// others go to who is registered.
fn kamailio(scratch: &Scratch, carrier: Endpoint, gateway: Endpoint, phone: Endpoint) -> Process {
    let script = format!(
        r#"
debug=1
log_stderror=yes
children=1
auto_aliases=no
listen=udp:{address}:{port}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("usrloc", "db_mode", 0)
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
        sl_send_reply("404", "Not Here");
        exit;
    }}
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("carrier.test", "secret", "0")) {{ www_challenge("carrier.test", "1"); exit; }}
        save("location");
        exit;
    }}
    if (!is_method("INVITE")) {{ sl_send_reply("200", "OK"); exit; }}
    if ($si == "{gateway_address}" && $sp == {gateway_port}) {{
        if (!pv_proxy_authenticate("carrier.test", "secret", "0")) {{ proxy_challenge("carrier.test", "1"); exit; }}
        consume_credentials();
        record_route();
        $du = "sip:{phone_address}:{phone_port}";
        t_relay();
        exit;
    }}
    record_route();
    if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    t_relay();
}}
"#,
        address = carrier.address,
        port = carrier.port,
        gateway_address = gateway.address,
        gateway_port = gateway.port,
        phone_address = phone.address,
        phone_port = phone.port,
    );
    let file = scratch.path().join("kamailio.cfg");
    std::fs::write(&file, script).expect("the script is written");
    let mut command = Command::new("kamailio");
    command.arg("-f").arg(&file).args(["-DD", "-E", "-m", "32", "-M", "4", "-Y"]).arg(scratch.path());
    Process::spawn("kamailio", &mut command, scratch.path().join("kamailio.log"))
}

#[test]
fn calls_go_to_and_come_from_a_carrier_that_asks_for_a_password() {
    let scratch = Scratch::new();
    let [sip, carrier] = [GATEWAY, "127.0.0.5"].map(Endpoint::new);
    let [caller, phone, desk, outsider] = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.6"].map(Endpoint::new);
    let mut kamailio = kamailio(&scratch, carrier, sip, phone);
    let configuration = format!(
        r#"
sip: {{ listen: [{{ name: main, address: "{GATEWAY}:{sip_port}" }}] }}
peers:
  - {{ name: caller, address: "{caller_address}:{caller_port}", codecs: [PCMU, G722] }}
  - {{ name: desk, address: "{desk_address}:{desk_port}", codecs: [PCMA] }}
  - name: carrier
    address: "{carrier_address}:{carrier_port}"
    domain: carrier.test
    codecs: [PCMA, PCMU]
    username: trunk
    password: secret
    register_s: 60
    identity: asserted
    health: {{ options_interval_s: 1 }}
routes:
  - {{ name: out, from: caller, peer: carrier }}
  - {{ name: in, from: carrier, number: trunk, peer: desk }}
"#,
        sip_port = sip.port,
        caller_address = caller.address,
        caller_port = caller.port,
        desk_address = desk.address,
        desk_port = desk.port,
        carrier_address = carrier.address,
        carrier_port = carrier.port,
    );
    let gateway = Configuration::idle(&scratch).with(&configuration).start();
    let trunk = |gateway: &Gateway| gateway.ctl_json(&["trunks"])[2].clone();
    let until = Instant::now() + Duration::from_secs(40);
    while trunk(&gateway)["registration"]["registered"] != 60 {
        assert!(kamailio.is_running(), "{}", kamailio.log());
        assert!(Instant::now() < until, "{}\n{}", trunk(&gateway), kamailio.log());
        std::thread::sleep(Duration::from_millis(50));
    }

    let mut answers = phone.answers(&scratch, "callee_answers");
    caller.calls(&scratch, "caller_hangs_up", "4711", sip).expect_success(30);
    answers.expect_success(10);

    let mut answers = desk.answers(&scratch, "callee_answers");
    outsider.calls(&scratch, "caller_hangs_up", "trunk", carrier).expect_success(30);
    answers.expect_success(10);

    let records = gateway.records(2);
    let told: Vec<_> = records.iter().map(|record| (record["route"].as_str(), record["status"].as_u64())).collect();
    assert_eq!(told, [(Some("out"), Some(200)), (Some("in"), Some(200))], "{records:?}");
    assert_eq!(trunk(&gateway)["in_service"], true, "it answers OPTIONS");
    gateway.assert_idle();
    gateway.stop();
}
