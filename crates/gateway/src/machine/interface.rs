//! A kernel interface under `AF_PACKET` or `AF_XDP`: there, up, and with room for the packets.

use super::{Finding, Machine};

/// `IFF_UP` in `/sys/class/net/<name>/flags`.
const UP: u32 = 1;

pub(super) fn check(machine: &Machine, field: &str, name: &str, mtu: u16) -> Vec<Finding> {
    let at = format!("sys/class/net/{name}");
    // A name that leads elsewhere is no interface's.
    if name.is_empty() || name.contains('/') || name == "." || name == ".." || !machine.exists(&at) {
        let there = machine.list("sys/class/net").join(", ");
        return vec![Finding::blocks(
            field,
            format!("there is no interface {name} in this network namespace (there are {there})"),
            "ip link show   # then name one of them, or create it",
        )];
    }
    let mut findings = Vec::new();
    let flags = machine.read(&format!("{at}/flags"));
    let flags = flags.and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    if flags.is_some_and(|flags| flags & UP == 0) {
        findings.push(Finding::blocks(field, format!("interface {name} is down"), format!("ip link set {name} up")));
    } else if machine.read(&format!("{at}/carrier")).as_deref() == Some("0") {
        findings.push(Finding::advice(
            field,
            format!("interface {name} is up, but nothing is at its other end (no carrier)"),
            format!("ip link show {name}   # check the cable, or set the veth's peer up"),
        ));
    }
    let its_mtu = machine.read(&format!("{at}/mtu")).and_then(|text| text.parse::<u32>().ok());
    if let Some(its_mtu) = its_mtu.filter(|its| *its < u32::from(mtu)) {
        let mtu_field = field.replace(".device", ".mtu");
        findings.push(Finding::advice(
            &mtu_field,
            format!("packets of {mtu} octets do not pass interface {name}, whose MTU is {its_mtu}"),
            format!("ip link set {name} mtu {mtu}"),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::testing::Fixture;
    use super::*;

    fn findings(fixture: &Fixture, name: &str) -> Vec<Finding> {
        check(fixture.machine(), "ports[0].device", name, 1500)
    }

    #[test]
    fn an_interface_that_is_up_is_fine() {
        assert_eq!(findings(&Fixture::complete(), "eth1"), []);
    }

    #[test]
    fn an_interface_that_is_not_there_is_told_with_those_that_are() {
        for name in ["eth9", "", "..", "../net/eth1"] {
            let findings = findings(&Fixture::complete(), name);
            assert!(findings[0].what.contains("(there are eth1, lo)"), "{name}: {}", findings[0].what);
        }
    }

    #[test]
    fn a_downed_interface_is_set_up_by_the_command() {
        let fixture = Fixture::complete();
        fixture.write("sys/class/net/eth1/flags", "0x1002");
        let findings = findings(&fixture, "eth1");
        assert_eq!((findings[0].severity, findings[0].mend.as_str()), (Severity::Blocks, "ip link set eth1 up"));
    }

    #[test]
    fn an_interface_without_carrier_is_an_advice() {
        let fixture = Fixture::complete();
        fixture.write("sys/class/net/eth1/carrier", "0");
        assert_eq!(findings(&fixture, "eth1")[0].severity, Severity::Advice);
    }

    #[test]
    fn a_smaller_mtu_is_told_at_the_mtu() {
        let fixture = Fixture::complete();
        fixture.write("sys/class/net/eth1/mtu", "1400");
        let findings = findings(&fixture, "eth1");
        assert_eq!(
            (findings[0].field.as_str(), findings[0].mend.as_str()),
            ("ports[0].mtu", "ip link set eth1 mtu 1500")
        );
    }
}
