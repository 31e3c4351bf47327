//! `tandem check`: the configuration, then the machine.

use std::path::{Path, PathBuf};

use clap::Args;
use tandem_config::Config;

use crate::exit::Failure;
use crate::machine::{self, DeviceKind, Finding, HugePages, Severity, Wanted, WantedDevice};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "/etc/tandem/tandem.yaml")]
    config: PathBuf,
    /// Leave the machine out: only whether the file holds together.
    #[arg(long)]
    config_only: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = tandem_config::load(&arguments.config)?;
    println!(
        "{}: right: {} peers, {} routes, at most {} calls, {} worker(s)",
        arguments.config.display(),
        config.peers.len(),
        config.routes.len(),
        config.limits.max_calls,
        config.workers.cores.len()
    );
    if arguments.config_only {
        return Ok(());
    }
    let advice = machine_check(&config)?;
    advice.iter().for_each(|finding| println!("{finding}"));
    println!("this machine can run it");
    Ok(())
}

/// Compares the machine with the configuration; what could be better, where nothing stands in the way.
pub(crate) fn machine_check(config: &Config) -> Result<Vec<Finding>, Failure> {
    let findings = machine::check(Path::new("/"), &wanted(config)?);
    let (blocks, advice): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| finding.severity == Severity::Blocks);
    if blocks.is_empty() {
        return Ok(advice);
    }
    Err(Failure::Machine(blocks.iter().map(ToString::to_string).collect()))
}

fn wanted(config: &Config) -> Result<Wanted, Failure> {
    let devices = config.ports.iter().zip(0..).map(|(port, index)| {
        let kind = device_kind(&port.device)
            .map_err(|error| Failure::Machine(vec![format!("error: ports[{index}].device: {error}")]))?;
        Ok(WantedDevice { kind, mtu: port.mtu })
    });
    Ok(Wanted {
        huge_pages: match config.dpdk.huge_pages {
            tandem_config::HugePages::On => HugePages::Required,
            tandem_config::HugePages::Auto => HugePages::Preferred,
            tandem_config::HugePages::Off => HugePages::Unused,
        },
        memory_mib: config.dpdk.memory_mib,
        devices: devices.collect::<Result<_, Failure>>()?,
        cores: config.workers.cores.iter().map(|core| usize::from(*core)).collect(),
    })
}

/// As DPDK's own names of devices say, with every option checked.
#[cfg(feature = "dpdk")]
fn device_kind(text: &str) -> Result<DeviceKind, dpdk::device::DeviceError> {
    use dpdk::device::Device;

    Ok(match text.parse()? {
        Device::Pci { address, .. } => DeviceKind::Pci(address.to_string()),
        Device::AfPacket { interface, .. } => DeviceKind::AfPacket(interface),
        Device::AfXdp { interface, .. } => DeviceKind::AfXdp(interface),
        _ => DeviceKind::Virtual,
    })
}

/// Without DPDK a device's name says enough to look for it.
#[cfg(not(feature = "dpdk"))]
fn device_kind(text: &str) -> Result<DeviceKind, std::convert::Infallible> {
    let (name, options) = text.split_once(',').unwrap_or((text, ""));
    let interface = options.split(',').find_map(|option| option.strip_prefix("iface=")).unwrap_or_default().to_owned();
    Ok(if name.starts_with("net_af_packet") {
        DeviceKind::AfPacket(interface)
    } else if name.starts_with("net_af_xdp") {
        DeviceKind::AfXdp(interface)
    } else if name.starts_with("net_") {
        DeviceKind::Virtual
    } else if name.matches(':').count() == 1 {
        DeviceKind::Pci(format!("0000:{name}"))
    } else {
        DeviceKind::Pci(name.to_owned())
    })
}
