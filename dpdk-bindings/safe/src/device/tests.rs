use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Device {
    text.parse().unwrap()
}

fn refusal(text: &str) -> String {
    text.parse::<Device>().unwrap_err().to_string()
}

#[test]
fn devices_print_as_dpdk_takes_them() {
    for text in [
        "0000:00:06.0",
        "0000:00:06.0,enable_llq=1",
        "net_af_packet0,iface=eth1",
        "net_af_packet3,iface=eth1,qpairs=2",
        "net_af_xdp0,iface=ens6,start_queue=0,queue_count=1",
        "net_memif0,role=server,socket=/run/x.sock,socket-abstract=no,rsize=12",
        "net_memif1,role=client,socket=/run/x.sock",
        "net_ring0",
        "net_null0,size=172",
        "net_pcap0,rx_pcap=a.pcap,rx_pcap=b.pcap,tx_pcap=c.pcap",
    ] {
        assert_eq!(parse(text).to_string(), text);
    }
}

#[test]
fn a_short_pci_address_is_completed() {
    assert_eq!(parse("00:06.0").name(), "0000:00:06.0");
    assert_eq!(parse("10000:E1:00.1").name(), "10000:e1:00.1");
}

#[test]
fn a_pci_address_outside_the_bus_is_refused() {
    for text in ["00:20.0", "00:06.8", "000:06.0", "0:6", "0000:00:06", "0000:00:06.", ":00:06.0", "+0:06.0"] {
        assert_eq!(text.parse::<PciAddress>(), Err(NotAPciAddress), "{text}");
    }
}

#[test]
fn interface_underneath_is_known() {
    assert_eq!(parse("net_af_packet0,iface=eth1").interface(), Some("eth1"));
    assert_eq!(parse("net_ring0").interface(), None);
}

#[test]
fn only_a_memif_server_on_a_file_creates_a_socket() {
    let file = "net_memif0,role=server,socket=/run/x.sock,socket-abstract=no";
    assert_eq!(parse(file).listening_socket(), Some(Path::new("/run/x.sock")));
    assert_eq!(parse("net_memif0,role=client,socket=/run/x.sock,socket-abstract=no").listening_socket(), None);
    assert_eq!(parse("net_memif0,role=server,socket=/run/x.sock").listening_socket(), None);
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    assert!(refusal("eth0").starts_with("`eth0` names no device"));
    assert!(refusal("net_af_packetX,iface=a").starts_with("`net_af_packetX` names no device"));
    assert_eq!(
        refusal("net_af_packet,iface=a"),
        "`net_af_packet` needs a number from 0 to 65535: write net_af_packet0, or net_af_packet1 for a second one"
    );
    assert_eq!(refusal("net_af_packet0"), "net_af_packet needs the option iface: net_af_packet0,iface=...");
    assert_eq!(refusal("net_memif0,role=master"), "role=master is not allowed: server or client");
    assert_eq!(
        refusal("net_memif0,role=client,socket-abstract=maybe"),
        "socket-abstract=maybe is not allowed: yes or no"
    );
    assert_eq!(refusal("net_null0,sise=64"), "net_null has no option `sise`: it knows size, copy, no-rx");
    assert_eq!(refusal("net_null0,size=64,size=65"), "option `size` is given twice");
    assert_eq!(refusal("net_null0,size"), "`size` is no option: write key=value");
    assert_eq!(
        refusal("net_ring99999"),
        "`net_ring99999` needs a number from 0 to 65535: write net_ring0, or net_ring1 for a second one"
    );
}

proptest! {
    #[test]
    fn any_text_is_refused_or_prints_back_to_itself(text in "\\PC{0,40}") {
        if let Ok(device) = text.parse::<Device>() {
            prop_assert_eq!(device.to_string().parse::<Device>().unwrap(), device);
        }
    }

    #[test]
    fn every_pci_address_reads_back(domain in 0u32..=0x1_ffff, bus: u8, device in 0u8..32, function in 0u8..8) {
        let address = PciAddress { domain, bus, device, function };
        prop_assert_eq!(address.to_string().parse::<PciAddress>().unwrap(), address);
    }
}
