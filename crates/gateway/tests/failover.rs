//! A call outlives its gateway: another one goes on with it, and its parties hang up as though nothing had happened.
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::fs;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use support::pair::{CALLEE, Pair, RECORDER};
use support::softphone::alone;
use support::talkers::{Standing, Talkers};
use support::{Process, Scratch, inside, may_make_networks, repository};

/// Both workers poll one core: there are machines of two, and the parties need one.
const CORES: [usize; 2] = [1, 1];
const PATIENCE: Duration = Duration::from_secs(20);

fn talkers(pair: &Pair, calls: usize, codecs: &[&str]) -> Talkers {
    let mut talkers = pair.talkers(calls, codecs);
    talkers.call(PATIENCE);
    talkers
}

fn hear(talkers: &mut Talkers, packets: u64) {
    talkers.hear(packets, PATIENCE);
}

#[test]
fn calls_of_a_gateway_that_was_killed_go_on_at_the_other_and_are_recorded_once() {
    if !may_make_networks("calls_of_a_gateway_that_was_killed_go_on_at_the_other_and_are_recorded_once") {
        return;
    }
    let _alone = alone();
    let mut pair = Pair::up("G722, PCMA", CORES);
    assert_eq!(pair.take_over(0), 0, "there is nothing to take");
    let mut talkers = talkers(&pair, 4, &["G722", "PCMA"]);
    // What came since the last position, which is up to 200 ms old, is not counted.
    hear(&mut talkers, 80);
    pair.await_warm(1, 4);
    pair.node(0).process.signal("KILL");
    pair.nodes[0] = None;
    talkers.listen_anew();
    assert_eq!(pair.take_over(1), 4);
    hear(&mut talkers, 50);
    assert_eq!(talkers.of_two_nodes(), 0, "one gateway alone is heard");
    assert_eq!(talkers.hang_up(PATIENCE), [Standing::Ended; 4]);
    let records = pair.node(1).records(4);
    pair.node(1).assert_idle();
    assert_eq!(pair.records().len(), 4, "each call is recorded once");
    for record in &records {
        assert_eq!((&record["status"], &record["ended_by"]), (&200.into(), &"caller".into()), "{record}");
        let received = record["caller"]["packets_received"].as_u64().expect("a number");
        // Each heard 50; what the killed one had counted since it last told is lost, a few tenths of a second.
        assert!(received > 75, "both gateways' packets are counted: {record}");
    }
    // Nothing is left that a third could take.
    pair.start(0, "PCMA", CORES[0]);
    assert_eq!(pair.take_over(0), 0);
}

#[test]
fn a_node_that_stands_still_is_relieved_by_itself_and_is_not_heard_when_it_wakes() {
    if !may_make_networks("a_node_that_stands_still_is_relieved_by_itself_and_is_not_heard_when_it_wakes") {
        return;
    }
    let _alone = alone();
    let pair = Pair::clustered("PCMA", CORES);
    let holder = pair.await_holder();
    let other = 1 - holder;
    let mut talkers = talkers(&pair, 2, &["PCMA"]);
    hear(&mut talkers, 50);
    pair.await_copied(holder, 2);
    pair.node(holder).process.signal("STOP");
    talkers.listen_anew();
    hear(&mut talkers, 50);
    pair.node(holder).process.signal("CONT");
    hear(&mut talkers, 150);
    assert_eq!(talkers.of_two_nodes(), 0, "one gateway alone is heard");
    assert_eq!(talkers.hang_up(PATIENCE), [Standing::Ended; 2]);
    pair.node(other).records(2);
    assert_eq!(pair.records().len(), 2, "the one that woke let go of them");
    pair.node(holder).assert_idle();
}

#[test]
fn a_call_goes_on_whenever_the_store_dies_and_the_copy_catches_up() {
    if !may_make_networks("a_call_goes_on_whenever_the_store_dies_and_the_copy_catches_up") {
        return;
    }
    let _alone = alone();
    let mut pair = Pair::up("PCMA", CORES);
    pair.take_over(0);
    let mut talkers = talkers(&pair, 0, &["PCMA"]);
    for (calls, dies_at) in ["before it", "while it is up", "before its end"].into_iter().enumerate() {
        let kill = |pair: &Pair, now| {
            if now == dies_at {
                pair.stores[0].signal("KILL");
            }
        };
        kill(&pair, "before it");
        talkers.meet(1, &["PCMA"]);
        talkers.call(PATIENCE);
        kill(&pair, "while it is up");
        hear(&mut talkers, 20);
        if dies_at == "before its end" {
            pair.await_warm(1, 1);
            kill(&pair, dies_at);
        } else {
            pair.start_store(0);
            pair.await_warm(1, 1);
        }
        assert_eq!(talkers.hang_up(PATIENCE), [Standing::Ended], "the store died {dies_at}");
        pair.node(0).records(calls + 1);
        if dies_at == "before its end" {
            pair.start_store(0);
        }
        pair.await_warm(1, 0);
    }
    pair.node(0).assert_idle();
}

#[test]
fn a_call_moves_to_the_other_gateway_and_back_as_planned() {
    if !may_make_networks("a_call_moves_to_the_other_gateway_and_back_as_planned") {
        return;
    }
    let _alone = alone();
    let pair = Pair::up("PCMA", CORES);
    pair.take_over(0);
    let mut talkers = talkers(&pair, 1, &["PCMA"]);
    for (from, to) in [(0, 1), (1, 0)] {
        hear(&mut talkers, 20);
        pair.await_warm(to, 1);
        let released = pair.node(from).ctl_json(&["release"]);
        assert_eq!(released["calls"], 1);
        assert_eq!(pair.take_over(to), 1);
        talkers.listen_anew();
        hear(&mut talkers, 20);
        pair.node(from).assert_idle();
    }
    assert_eq!(talkers.hang_up(PATIENCE), [Standing::Ended]);
    pair.node(0).records(1);
    assert_eq!(pair.records().len(), 1);
}

#[test]
fn what_is_recorded_and_copied_goes_on_at_the_other_gateway() {
    if !may_make_networks("what_is_recorded_and_copied_goes_on_at_the_other_gateway") {
        return;
    }
    let _alone = alone();
    let recordings = Scratch::new();
    let more = format!("recording: {{ directory: \"{}\", formats: [wav, pcap] }}\n", recordings.path().display());
    let mut pair = Pair::clustered_with("PCMA", CORES, &more, |_| ());
    let holder = pair.await_holder();
    let other = 1 - holder;
    let mut talkers = talkers(&pair, 1, &["PCMA"]);
    let copies = UdpSocket::bind((CALLEE, 0)).expect("a port for copies");
    copies.set_nonblocking(true).expect("it does not block");
    let to = copies.local_addr().expect("an address").to_string();
    let copied = || std::iter::from_fn(|| copies.recv(&mut [0; 2048]).ok()).count();
    let number = pair.node(holder).ctl_json(&["calls"])[0]["number"].to_string();
    pair.node(holder).ctl_json(&["record", "start", &number]);
    pair.node(holder).ctl_json(&["fork", &number, "caller", &to]);
    hear(&mut talkers, 50);
    assert!(copied() > 20, "the first one copies");
    pair.await_copied(holder, 1);
    pair.node(holder).process.signal("KILL");
    pair.nodes[holder] = None;
    assert_eq!(pair.await_holder(), other);
    copied();
    talkers.listen_anew();
    hear(&mut talkers, 150);
    assert!(copied() > 50, "the other one copies as well");
    assert_eq!(talkers.hang_up(PATIENCE), [Standing::Ended]);
    let record = pair.node(other).records(1).remove(0);
    let files: Vec<&str> =
        record["recordings"].as_array().expect("files").iter().filter_map(|file| file.as_str()).collect();
    assert_eq!(files.len(), 4, "a WAV and the packets of each gateway: {record}");
    pair.node(other).assert_idle();
    let until = Instant::now() + PATIENCE;
    while !pair.metrics(other).lines().any(|line| line == "tandem_recordings_finished_total 1") {
        assert!(Instant::now() < until, "the recording is not finished:\n{}", pair.node(other).process.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let wav = hound::WavReader::open(files[2]).expect("the second recording is whole");
    assert_eq!(wav.spec().channels, 2);
    // Of the three seconds that were heard it misses what was said before the recorder was asked again.
    assert!(wav.duration() >= wav.spec().sample_rate, "{} samples", wav.duration());
}

#[test]
fn a_recording_server_hears_both_voices_from_the_other_gateway_and_the_end_of_the_call() {
    if !may_make_networks("a_recording_server_hears_both_voices_from_the_other_gateway_and_the_end_of_the_call") {
        return;
    }
    let _alone = alone();
    let mut pair = Pair::recorded("PCMA", CORES);
    let holder = pair.await_holder();
    let other = 1 - holder;
    let scenario = repository().join("crates/gateway/tests/sipp/recording_server.xml");
    let (ip, port) = RECORDER.split_once(':').expect("an address");
    let mut command = inside(Some(&pair.endpoints()), "sipp");
    command.arg("-sf").arg(fs::canonicalize(scenario).expect("the scenario"));
    command.args(["-i", ip, "-p", port, "-m", "1", "-nostdin", "-timeout", "60s", "-timeout_error"]);
    command.current_dir(pair.scratch[0].path());
    let log = pair.scratch[0].path().join("server.log");
    let mut server = Process::spawn("the recording server", &mut command, log);
    let mut talkers = talkers(&pair, 1, &["PCMA"]);
    // What its scenario says that the two voices are to be sent to.
    let voices = [45_000, 45_002].map(|port| {
        let socket = UdpSocket::bind((ip, port)).expect("a port for a voice");
        socket.set_nonblocking(true).expect("it does not block");
        socket
    });
    let heard = || voices.each_ref().map(|voice| std::iter::from_fn(|| voice.recv(&mut [0; 2048]).ok()).count());
    hear(&mut talkers, 50);
    assert!(heard().iter().all(|packets| *packets > 20), "the first one sends both");
    pair.await_copied(holder, 1);
    pair.node(holder).process.signal("KILL");
    pair.nodes[holder] = None;
    assert_eq!(pair.await_holder(), other);
    heard();
    talkers.listen_anew();
    hear(&mut talkers, 150);
    let packets = heard();
    assert!(packets.iter().all(|packets| *packets > 50), "the other one sends both: {packets:?}");
    assert_eq!(talkers.hang_up(PATIENCE), [Standing::Ended]);
    // It was told of the end within the dialog that it had with the first one.
    server.expect_success(20);
    pair.node(other).records(1);
    pair.node(other).assert_idle();
}

#[test]
fn a_media_port_without_a_link_hands_its_calls_over() {
    if !may_make_networks("a_media_port_without_a_link_hands_its_calls_over") {
        return;
    }
    let _alone = alone();
    let pair = Pair::clustered("PCMA", CORES);
    let holder = pair.await_holder();
    let other = 1 - holder;
    let mut talkers = talkers(&pair, 2, &["PCMA"]);
    hear(&mut talkers, 30);
    pair.await_copied(holder, 2);
    pair.link(holder, "media0", "down");
    let until = Instant::now() + PATIENCE;
    while pair.await_holder() != other {
        assert!(Instant::now() < until, "nobody took over:\n{}", pair.node(holder).process.log());
    }
    talkers.listen_anew();
    hear(&mut talkers, 50);
    let view = pair.node(holder).ctl_json(&["cluster"]);
    assert!(view["alarms"].to_string().contains("port_down"), "it says why: {view}");
    assert_eq!(talkers.hang_up(PATIENCE), [Standing::Ended; 2]);
    pair.node(other).records(2);
    assert_eq!(pair.records().len(), 2);
    pair.node(holder).assert_idle();
}
