use dpdk::device::Device;
use dpdk::eal::AttachError;
use dpdk::port::{Port, PortConfig, PortError};
use dpdk::queue::QueuePair;
use tandem_packet_io::{Burst, PacketBuf, PacketIo};

use crate::{attach, eal, frames, pool, unique};

/// A port that receives what it sends.
fn looped(mbufs: u32) -> (dpdk::mempool::Mempool, Port, QueuePair) {
    let pool = pool(mbufs);
    let device = attach("net_ring", "");
    let (port, mut queues) = Port::start(eal(), &device, &PortConfig::default(), &pool).expect("a ring port");
    assert_eq!(queues.len(), 1);
    (pool, port, queues.remove(0))
}

#[test]
fn frames_come_back_as_they_were_sent() {
    let (pool, _port, mut queue) = looped(255);
    let mut burst = frames(&mut queue, 32, 214);
    queue.tx_burst(&mut burst);
    assert!(burst.is_empty());
    // Into a burst that has something already, and then the rest.
    burst.push(queue.allocate().unwrap());
    queue.rx_burst(&mut burst);
    assert_eq!(burst.len(), 32);
    let received = burst.drain(1..).collect::<Vec<_>>();
    burst.clear();
    queue.rx_burst(&mut burst);
    assert_eq!(burst.len(), 1);
    for (n, frame) in received.iter().chain(&burst).enumerate() {
        assert_eq!(frame.data(), [n as u8; 214]);
    }
    drop((received, burst));
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn what_does_not_fit_stays_in_order() {
    // The driver's ring holds 1,023 frames: 31 bursts of 32 and then 31 frames of the next.
    let (pool, _port, mut queue) = looped(2047);
    for _ in 0..31 {
        let mut burst = frames(&mut queue, 32, 60);
        queue.tx_burst(&mut burst);
        assert!(burst.is_empty());
    }
    let mut burst = frames(&mut queue, 32, 60);
    queue.tx_burst(&mut burst);
    assert_eq!(burst.iter().map(|frame| frame.data()[0]).collect::<Vec<_>>(), [31]);
    queue.tx_burst(&mut burst);
    assert_eq!(burst.len(), 1, "a full queue takes none");
    burst.clear();
    assert_eq!(pool.in_use(), 1023);
}

#[test]
fn everything_goes_home_when_port_and_queues_are_gone() {
    let (pool, port, mut queue) = looped(255);
    let mut burst = frames(&mut queue, 32, 60);
    queue.tx_burst(&mut burst);
    drop(port);
    assert_eq!(pool.in_use(), 32, "the port runs for as long as its queue is there");
    queue.rx_burst(&mut burst);
    assert_eq!(burst.len(), 32);
    drop(queue);
    assert_eq!(pool.in_use(), 32, "in the burst");
    drop(burst);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn counters_count() {
    let (_pool, port, mut queue) = looped(255);
    let mut burst = frames(&mut queue, 7, 100);
    queue.tx_burst(&mut burst);
    queue.rx_burst(&mut burst);
    let stats = port.stats().unwrap();
    assert_eq!((stats.tx_packets, stats.rx_packets, stats.rx_missed, stats.rx_no_mbuf), (7, 7, 0, 0));
    let xstats = port.xstats().unwrap();
    let good = xstats.iter().find(|x| x.name == "rx_good_packets").unwrap();
    assert_eq!(good.value, 7);
}

#[test]
fn a_port_tells_what_it_is() {
    let (_pool, port, queue) = looped(63);
    assert_eq!(port.driver(), "net_ring");
    assert_eq!(port.capabilities(), queue.capabilities());
    assert_eq!(port.capabilities().mtu, 1500);
    assert!(!port.capabilities().tx_ip_udp_checksum, "a ring has no checksum offload");
    assert!(port.link().unwrap().up);
}

#[test]
fn a_device_can_be_attached_again_when_its_port_is_gone() {
    let pool = pool(63);
    let device = attach("net_null", ",size=60");
    for _ in 0..3 {
        let (port, queues) = Port::start(eal(), &device, &PortConfig::default(), &pool).unwrap();
        assert!(matches!(Port::start(eal(), &device, &PortConfig::default(), &pool), Err(PortError::InUse { .. })));
        drop((port, queues));
        eal().attach(&device).unwrap();
    }
}

#[test]
fn a_device_is_attached_once() {
    let device = attach("net_null", "");
    assert!(matches!(eal().attach(&device), Err(AttachError::Exists { .. })));
}

#[test]
fn a_device_whose_driver_refuses_is_named() {
    let device: Device = format!("net_af_packet{},iface=nosuchif", unique()).parse().unwrap();
    let error = eal().attach(&device).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot attach {device}: ")), "{error}");
}

#[test]
fn a_device_that_eal_does_not_have_is_named() {
    let device: Device = format!("net_null{}", 60_000 + unique()).parse().unwrap();
    let error = Port::start(eal(), &device, &PortConfig::default(), &pool(7)).unwrap_err();
    assert_eq!(error, PortError::NotFound { device: device.to_string() });
}

#[test]
fn limits_of_the_device_are_named() {
    let start =
        |driver: &str, config: PortConfig| Port::start(eal(), &attach(driver, ""), &config, &pool(63)).unwrap_err();
    let error = start("net_ring", PortConfig { queue_pairs: 40, ..PortConfig::default() });
    assert!(matches!(error, PortError::QueuePairs { wanted: 40, most: 1..=39, .. }), "{error}");
    let error = start("net_ring", PortConfig { queue_pairs: 0, ..PortConfig::default() });
    assert!(matches!(error, PortError::QueuePairs { wanted: 0, .. }), "{error}");
    let error = start("net_ring", PortConfig { mtu: 9000, ..PortConfig::default() });
    assert!(matches!(error, PortError::MbufRoom { mtu: 9000, needed: 9026, room: 2048, .. }), "{error}");
    let error = start("net_ring", PortConfig { mtu: 20, ..PortConfig::default() });
    assert!(matches!(error, PortError::Mtu { wanted: 20, .. }), "{error}");
}

#[test]
fn a_null_device_swallows_what_it_is_sent() {
    let pool = pool(255);
    let device = attach("net_null", ",size=172");
    let (_port, mut queues) = Port::start(eal(), &device, &PortConfig::default(), &pool).unwrap();
    let queue = &mut queues[0];
    let mut burst = Burst::new();
    queue.rx_burst(&mut burst);
    assert!(burst.is_full());
    assert!(burst.iter().all(|frame| frame.len() == 172));
    queue.tx_burst(&mut burst);
    assert!(burst.is_empty());
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_port_tells_how_it_spreads_packets_over_its_queues() {
    let pool = pool(4095);
    let key = std::array::from_fn(|i| i as u8);
    let config = PortConfig { queue_pairs: 2, rss_key: Some(key), ..PortConfig::default() };
    let (port, queues) = Port::start(eal(), &attach("net_null", ""), &config, &pool).unwrap();
    assert_eq!(queues.iter().map(QueuePair::number).collect::<Vec<_>>(), [0, 1]);
    let rss = port.rss().unwrap();
    assert!(rss.table.len().is_power_of_two());
    assert!(rss.table.iter().all(|queue| *queue < 2));
    assert_eq!(rss.key, key);
}

#[test]
fn a_port_that_spreads_nothing_says_so() {
    let (_pool, port, _queue) = looped(63);
    assert_eq!(port.rss(), Err(dpdk::error::Errno::NotSupported));
}

#[test]
fn packets_go_into_a_capture_and_come_out_of_it() {
    let path = std::env::temp_dir().join(format!("dpdk-test-{}-{}.pcap", std::process::id(), unique()));
    let pool = pool(255);
    let device = attach("net_pcap", &format!(",rx_iface=lo,tx_pcap={}", path.display()));
    {
        let (_port, mut queues) = Port::start(eal(), &device, &PortConfig::default(), &pool).unwrap();
        let mut burst = frames(&mut queues[0], 5, 99);
        queues[0].tx_burst(&mut burst);
        assert!(burst.is_empty());
    }
    let device = attach("net_pcap", &format!(",rx_pcap={},tx_iface=lo", path.display()));
    let (_port, mut queues) = Port::start(eal(), &device, &PortConfig::default(), &pool).unwrap();
    let mut burst = Burst::new();
    queues[0].rx_burst(&mut burst);
    let read: Vec<_> = burst.iter().map(|frame| frame.data().to_vec()).collect();
    assert_eq!(read, (0..5).map(|n| vec![n; 99]).collect::<Vec<_>>());
    drop(burst);
    std::fs::remove_file(path).unwrap();
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_frame_spread_over_mbufs_is_dropped_and_counted() {
    // The capture holds a frame longer than an mbuf, and one that fits.
    let path = std::env::temp_dir().join(format!("dpdk-test-{}-{}.pcap", std::process::id(), unique()));
    std::fs::write(&path, capture(&[&[1; 3000], &[2; 60]])).unwrap();
    let pool = pool(255);
    let device = attach("net_pcap", &format!(",rx_pcap={}", path.display()));
    let (_port, mut queues) = Port::start(eal(), &device, &PortConfig::default(), &pool).unwrap();
    let mut burst = Burst::new();
    queues[0].rx_burst(&mut burst);
    assert_eq!(burst.iter().map(|frame| frame.data()).collect::<Vec<_>>(), [&[2; 60]]);
    assert_eq!(queues[0].rx().segmented(), 1);
    drop(burst);
    assert_eq!(pool.in_use(), 0);
    std::fs::remove_file(path).unwrap();
}

/// A capture file of Ethernet frames (the classic format of libpcap).
fn capture(frames: &[&[u8]]) -> Vec<u8> {
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
    let mut file = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1]);
    for frame in frames {
        let len = frame.len() as u32;
        file.extend(words(&[0, 0, len, len]));
        file.extend_from_slice(frame);
    }
    file
}
