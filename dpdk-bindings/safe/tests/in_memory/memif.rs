use std::time::{Duration, Instant};

use dpdk::port::{Port, PortConfig, PortError};
use tandem_packet_io::{Burst, PacketBuf, PacketIo};

use crate::{attach, eal, frames, pool, unique};

/// Polls until `done`, or fails after a time in which anything would have happened.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(120), "{what} did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_two_ends_of_a_memif_meet_and_exchange_frames() {
    let socket = std::env::temp_dir().join(format!("dpdk-test-{}-{}.sock", std::process::id(), unique()));
    let options = format!(",socket={},socket-abstract=no", socket.display());
    let pool = pool(8191);
    let server = attach("net_memif", &format!(",role=server{options}"));
    let client = attach("net_memif", &format!(",role=client{options}"));
    let (server_port, mut server) = Port::start(eal(), &server, &PortConfig::default(), &pool).unwrap();
    let (client_port, mut client) = Port::start(eal(), &client, &PortConfig::default(), &pool).unwrap();
    wait_until("the link", || server_port.link().unwrap().up && client_port.link().unwrap().up);
    assert!(socket.exists());

    let mut burst = frames(&mut client[0], 20, 214);
    client[0].tx_burst(&mut burst);
    assert!(burst.is_empty());
    wait_until("the frames", || {
        server[0].rx_burst(&mut burst);
        burst.len() == 20
    });
    for (n, frame) in burst.iter().enumerate() {
        assert_eq!(frame.data(), [n as u8; 214]);
    }
    // A server sends into buffers that the client's polling has offered.
    let mut back = Burst::new();
    wait_until("the echo", || {
        server[0].tx_burst(&mut burst);
        client[0].rx_burst(&mut back);
        back.len() == 20
    });
    drop((back, client, client_port));
    // When its peer goes, the driver tears an end down on EAL's interrupt thread, first marking the link down. It does not guard against being closed
    // meanwhile: to stop at the same moment would free the queues' memory twice.
    wait_until("the end of the link", || !server_port.link().unwrap().up);
    std::thread::sleep(Duration::from_millis(50));
    drop((server, server_port));
    assert_eq!(pool.in_use(), 0);
    assert!(!socket.exists(), "the server removes its socket");
}

#[test]
fn a_client_without_server_is_told_so() {
    let socket = std::env::temp_dir().join("dpdk-test-nobody-listens.sock");
    let device = attach("net_memif", &format!(",role=client,socket={},socket-abstract=no", socket.display()));
    let error = Port::start(eal(), &device, &PortConfig::default(), &pool(63)).unwrap_err();
    assert_eq!(error, PortError::NoServer { device: device.name() });
}
