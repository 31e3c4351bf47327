use std::process::Command;

use dpdk::port::{Port, PortConfig};
use tandem_packet_io::{Burst, PacketBuf, PacketIo};

use crate::{attach, eal, frames, not_run, pool, unique};

/// A pair of kernel interfaces, removed when dropped.
struct Veth {
    ends: [String; 2],
}

impl Veth {
    /// `None` where interfaces cannot be made: no root, no `ip`.
    fn new() -> Option<Self> {
        let number = unique();
        let ends = ["a", "b"].map(|end| format!("td{}{end}{number}", std::process::id() % 1_000_000));
        ip(&["link", "add", &ends[0], "type", "veth", "peer", "name", &ends[1]]).then_some(())?;
        let veth = Self { ends };
        for end in &veth.ends {
            // Without IPv6 the kernel has nothing of its own to send.
            let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{end}/disable_ipv6"), "1");
            assert!(ip(&["link", "set", end, "up"]));
        }
        Some(veth)
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        ip(&["link", "del", &self.ends[0]]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}

/// EtherType for local experiments (IEEE 802).
const EXPERIMENTAL: [u8; 2] = [0x88, 0xb5];

#[test]
fn frames_cross_a_veth_through_af_packet() {
    let Some(veth) = Veth::new() else {
        return not_run("af_packet over a veth", "cannot add interfaces: not root, or no ip command");
    };
    let pool = pool(4095);
    let [a, b] = veth.ends.each_ref().map(|end| attach("net_af_packet", &format!(",iface={end}")));
    let (_port_a, mut a) = Port::start(eal(), &a, &PortConfig::default(), &pool).unwrap();
    let (port_b, mut b) = Port::start(eal(), &b, &PortConfig::default(), &pool).unwrap();
    let mac = port_b.capabilities().mac;
    let in_sysfs = std::fs::read_to_string(format!("/sys/class/net/{}/address", veth.ends[1])).unwrap();
    assert_eq!(mac.map(|octet| format!("{octet:02x}")).join(":"), in_sysfs.trim());

    let mut burst = frames(&mut a[0], 31, 214);
    for frame in &mut burst {
        frame.data_mut()[..6].copy_from_slice(&mac);
        frame.data_mut()[12..14].copy_from_slice(&EXPERIMENTAL);
    }
    a[0].tx_burst(&mut burst);
    assert!(burst.is_empty());

    let mut numbers = Vec::new();
    let mut received = Burst::new();
    for _ in 0..10_000 {
        b[0].rx_burst(&mut received);
        numbers
            .extend(received.drain(..).filter(|f| f.data()[12..14] == EXPERIMENTAL).map(|f| (f.data()[14], f.len())));
        if numbers.len() == 31 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(numbers.into_iter().eq((0..31).map(|n| (n, 214))));
    drop((a, b, _port_a, port_b));
    assert_eq!(pool.in_use(), 0);
}
