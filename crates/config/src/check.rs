//! What the types alone cannot say: rules for single fields, and whether the sections agree with each other.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use garde::Validate;
use garde::error::Path;
use serde::Deserialize;

use crate::dataplane::Port;
use crate::document::Config;
use crate::routing::GroupMode;
use crate::stir::StirCheck;
use crate::transport::{ClientCertificates, Listener, Transport};
use crate::users::Registrar;
use crate::value::Cidr;

/// Longest name, in octets. DPDK's own names of pools and queues, which are made from these, end at 32.
const MAX_NAME_BYTES: usize = 20;
/// Addresses on all ports together.
const MAX_ADDRESSES: usize = 16;
/// MiB that DPDK needs beside the packet buffers.
const OTHER_MEMORY_MIB: u32 = 32;
/// The shortest MTU that a link for IPv6 may have (RFC 8200 §5).
const IPV6_LEAST_MTU: u16 = 1280;
/// Octets of one packet buffer: 2 KiB of data, headroom, and DPDK's own 128.
const PACKET_BUFFER_BYTES: u64 = 2304;

pub(crate) fn is_name(name: &str, _: &()) -> garde::Result {
    let fits = (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if fits {
        return Ok(());
    }
    Err(garde::Error::new(format_args!("`{name}`: a name has 1 to {MAX_NAME_BYTES} letters, digits, `-`, `_` or `.`")))
}

/// What keys of a store begin with.
pub(crate) fn is_prefix(prefix: &str, _: &()) -> garde::Result {
    let fits = (1..=64).contains(&prefix.len())
        && prefix.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'));
    if fits {
        return Ok(());
    }
    Err(garde::Error::new(format_args!("`{prefix}`: 1 to 64 letters, digits, `-`, `_`, `.` or `:` are wanted")))
}

/// The URL of a store. It is not repeated: it may hold a password.
pub(crate) fn is_store_url(url: &str, _: &()) -> garde::Result {
    let host = url.strip_prefix("redis://").or_else(|| url.strip_prefix("rediss://"));
    let host = host.map(|rest| rest.rsplit_once('@').map_or(rest, |(_, host)| host));
    if host.is_some_and(|host| !host.is_empty() && !host.starts_with(['/', ':']) && host.is_ascii()) {
        return Ok(());
    }
    Err(garde::Error::new("a URL as in redis://host:6379/ or, over TLS, rediss://user:password@host:6379/ is wanted"))
}

/// What the kernel takes for the name of an interface.
pub(crate) fn is_interface(name: &str, _: &()) -> garde::Result {
    let fits = (1..=15).contains(&name.len())
        && !name.starts_with(['-', '.'])
        && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    if fits {
        return Ok(());
    }
    Err(garde::Error::new(format_args!("`{name}`: the name of an interface has 1 to 15 characters, without `/`")))
}

/// What DPDK takes into the names of its files.
pub(crate) fn is_file_prefix(prefix: &str, _: &()) -> garde::Result {
    let fits = (1..=32).contains(&prefix.len())
        && prefix.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if fits {
        return Ok(());
    }
    Err(garde::Error::new(format_args!("`{prefix}`: 1 to 32 letters, digits, `-` or `_` are wanted")))
}

pub(crate) fn is_device(device: &str, _: &()) -> garde::Result {
    let name = device.split(',').next().unwrap_or_default();
    let known = name.starts_with("net_") || is_pci_address(name);
    if known && device.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(garde::Error::new(format_args!(
        "`{device}`: a device is a PCI address as in 0000:00:06.0, or a virtual device as in net_af_packet0,iface=eth1"
    )))
}

/// `domain:bus:device.function` or `bus:device.function`, in hexadecimal.
fn is_pci_address(text: &str) -> bool {
    let Some((path, function)) = text.rsplit_once('.') else { return false };
    let hex = |part: &str, len| part.len() == len && part.bytes().all(|b| b.is_ascii_hexdigit());
    let parts: Vec<&str> = path.split(':').collect();
    let place = match parts[..] {
        [domain, bus, device] => hex(domain, 4) && hex(bus, 2) && hex(device, 2),
        [bus, device] => hex(bus, 2) && hex(device, 2),
        _ => false,
    };
    place && matches!(function.as_bytes(), [b'0'..=b'7'])
}

/// What of a device only one port can have: the PCI address or the virtual device's name, and the kernel's interface.
fn what_is_taken_by(device: &str) -> Vec<String> {
    let mut parts = device.split(',');
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let domain = if is_pci_address(&name) && name.matches(':').count() == 1 { "0000:" } else { "" };
    let interfaces = parts.filter(|part| part.starts_with("iface="));
    std::iter::once(format!("{domain}{name}")).chain(interfaces.map(str::to_owned)).collect()
}

pub(crate) fn is_domain(domain: &str, _: &()) -> garde::Result {
    let fits = (1..=253).contains(&domain.len())
        && domain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'[' | b']' | b':'));
    if fits { Ok(()) } else { Err(garde::Error::new(format_args!("`{domain}`: a host name or IP address is wanted"))) }
}

pub(crate) fn is_database(url: &str, _: &()) -> garde::Result {
    let known = ["sqlite://", "postgres://", "postgresql://"]
        .iter()
        .any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
    if known && url.len() <= 1_024 && url.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(garde::Error::new("a URL as in sqlite:///var/lib/tandem/tandem.db or postgres://user@host/database is wanted"))
}

/// Characters of RFC 3261's `user` that need no escape.
pub(crate) fn is_user_part(text: &str, _: &()) -> garde::Result {
    let fits =
        text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/#".contains(&b));
    if fits {
        return Ok(());
    }
    Err(garde::Error::new(format_args!("`{text}`: at most 64 letters, digits and -_.!~*'()&=+$,;?/# are wanted")))
}

pub(crate) fn is_certificate_url(url: &str, _: &()) -> garde::Result {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if rest.is_some_and(|rest| !rest.is_empty())
        && url.len() <= 1_024
        && url.bytes().all(|b| b.is_ascii_graphic() && b != b'>')
    {
        return Ok(());
    }
    Err(garde::Error::new(format_args!("`{url}`: a URL as in https://certificates.example.net/shaken.pem is wanted")))
}

pub(crate) fn is_country_code(code: &str, _: &()) -> garde::Result {
    if (1..=3).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit()) && !code.starts_with('0') {
        return Ok(());
    }
    Err(garde::Error::new(format_args!("`{code}`: the code of a country, as in 1 or 49, is wanted")))
}

pub(crate) fn is_uuid(text: &str, _: &()) -> garde::Result {
    let groups = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = text.split('-').collect();
    let fits = parts.len() == groups.len()
        && parts.iter().zip(groups).all(|(part, len)| part.len() == len && part.bytes().all(|b| b.is_ascii_hexdigit()));
    if fits { Ok(()) } else { Err(garde::Error::new(format_args!("`{text}`: a UUID is wanted"))) }
}

pub(crate) fn is_pattern(pattern: &str, _: &()) -> garde::Result {
    let compiled = regex::RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(1 << 20).build();
    compiled.map(drop).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
        garde::Error::new(format_args!("`{pattern}`: no regular expression that can be used: {reason}"))
    })
}

pub(crate) fn is_session_interval(seconds: &u32, _: &()) -> garde::Result {
    if *seconds == 0 || (90..=86_400).contains(seconds) {
        return Ok(());
    }
    Err(garde::Error::new(format_args!("{seconds}: 0, or 90 to 86400 seconds are wanted")))
}

/// Headers that the gateway writes itself, or that speak of one hop.
const OWN_HEADERS: [&str; 30] = [
    "Accept",
    "Allow",
    "Authorization",
    "Call-ID",
    "Contact",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "CSeq",
    "From",
    "Max-Breadth",
    "Max-Forwards",
    "Min-SE",
    "P-Asserted-Identity",
    "Privacy",
    "Proxy-Authorization",
    "Proxy-Require",
    "RAck",
    "Record-Route",
    "Remote-Party-ID",
    "Replaces",
    "Require",
    "Route",
    "RSeq",
    "Session-Expires",
    "Supported",
    "To",
    "User-Agent",
    "Via",
];

pub(crate) fn is_foreign_header(name: &str, _: &()) -> garde::Result {
    let is_token =
        (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b));
    if !is_token || name.len() == 1 {
        return Err(garde::Error::new(format_args!("`{name}`: the name of a header is wanted, as in X-Account")));
    }
    if OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Err(garde::Error::new(format_args!("`{name}` is written by the gateway itself")));
    }
    Ok(())
}

pub(crate) fn is_foreign_header_line(line: &str, _: &()) -> garde::Result {
    match line.split_once(':') {
        Some((name, value)) if !value.trim().is_empty() && !line.contains(['\r', '\n']) => is_foreign_header(name, &()),
        _ => Err(garde::Error::new(format_args!("`{line}`: name and value are wanted, as in X-Gateway: tandem"))),
    }
}

pub(crate) fn is_time_of_day(text: &str, _: &()) -> garde::Result {
    match crate::routing::seconds_of_day(text) {
        Some(_) => Ok(()),
        None => Err(garde::Error::new(format_args!("`{text}`: a time as in 08:30 is wanted"))),
    }
}

pub(crate) fn is_time_zone(name: &str, _: &()) -> garde::Result {
    match jiff::tz::TimeZone::get(name) {
        Ok(_) => Ok(()),
        Err(_) => Err(garde::Error::new(format_args!("`{name}`: no time zone as in Europe/Berlin"))),
    }
}

/// The file as it is parsed: its sections, then how they fit together.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Document(pub(crate) Config);

impl Validate for Document {
    type Context = ();

    fn validate_into(&self, context: &(), parent: &mut dyn FnMut() -> Path, report: &mut garde::Report) {
        self.0.validate_into(context, parent, report);
        if report.is_empty() {
            Sections { config: &self.0, report }.check();
        }
    }
}

/// Whether the sections of one file agree.
struct Sections<'a> {
    config: &'a Config,
    report: &'a mut garde::Report,
}

/// A path into the file, as in `path!["routes", 1, "peer"]`.
macro_rules! path {
    ($first:expr $(, $rest:expr)*) => { Path::new($first)$(.join($rest))* };
}

impl Sections<'_> {
    fn check(&mut self) {
        self.check_memory();
        self.check_ports();
        self.check_cores();
        self.check_listeners();
        self.check_peers();
        self.check_groups();
        self.check_routes();
        self.check_registrar();
        self.check_port_range();
        self.check_recording();
        self.check_replication();
        self.check_http();
        self.check_stir();
        self.check_cluster();
        for (list, place, field, message) in self.config.aws_problems() {
            self.problem(path!["aws", list, place, field], message);
        }
        if self.config.moves_private_addresses()
            && let Some(place) =
                self.config.replication.addresses.iter().position(|floating| floating.address.address.is_ipv6())
        {
            let message = "with aws.enabled only IPv4 addresses move".to_owned();
            self.problem(path!["replication", "addresses", place, "address"], message);
        }
    }

    fn check_cluster(&mut self) {
        let (cluster, own) = (&self.config.cluster, &self.config.node.name);
        for (field, why) in cluster.discovery_problems(self.config.aws.enabled) {
            self.problem(path!["cluster", field], why.to_owned());
        }
        if let Some(store) = &cluster.store
            && !["redis://", "rediss://"].iter().any(|scheme| store.starts_with(scheme))
        {
            let message = "a URL is wanted, as in redis://10.0.2.5:6379/".to_owned();
            self.problem(path!["cluster", "store"], message);
        }
        let members = &cluster.members;
        if members.is_empty() {
            return;
        }
        if members.len() < 2 {
            self.problem(path!["cluster", "members"], "a cluster has 2 members at least, or none".to_owned());
        }
        if !members.iter().any(|member| member.name == *own) {
            let message = format!("this node, `{own}` (node.name), is not among them");
            self.problem(path!["cluster", "members"], message);
        }
        for (index, member) in members.iter().enumerate() {
            if members[..index].iter().any(|other| other.name == member.name) {
                let message = format!("another member is called `{}` too", member.name);
                self.problem(path!["cluster", "members", index, "name"], message);
            }
            if member.heartbeat.len() != members[0].heartbeat.len() {
                let message = "all members have one address for heartbeats, or all have two".to_owned();
                self.problem(path!["cluster", "members", index, "heartbeat"], message);
            }
        }
        if let Some(home) = &cluster.home
            && !members.iter().any(|member| member.name == *home && !member.witness)
        {
            let message = format!("no member that is not a witness is called `{home}`");
            self.problem(path!["cluster", "home"], message);
        }
        if members.iter().all(|member| member.witness) {
            self.problem(path!["cluster", "members"], "all are witnesses: nobody could have the addresses".to_owned());
        }
    }

    fn problem(&mut self, path: Path, message: String) {
        self.report.append(path, garde::Error::new(message));
    }

    fn check_memory(&mut self) {
        let dpdk = &self.config.dpdk;
        let buffers_mib = (u64::from(dpdk.packet_buffers) * PACKET_BUFFER_BYTES).div_ceil(1 << 20);
        let needed = buffers_mib + u64::from(OTHER_MEMORY_MIB);
        if u64::from(dpdk.memory_mib) < needed {
            let message = format!("{} packet buffers need {needed} MiB", dpdk.packet_buffers);
            self.problem(path!["dpdk", "memory_mib"], message);
        }
        let queues = self.config.workers.cores.len() as u64;
        let held = |port: &Port| queues * (u64::from(port.rx_descriptors) + u64::from(port.tx_descriptors));
        let in_queues: u64 = self.config.ports.iter().map(held).sum();
        if u64::from(dpdk.packet_buffers) <= in_queues {
            let message =
                format!("the ports' queues alone hold {in_queues}, for {queues} worker(s): more are needed for work");
            self.problem(path!["dpdk", "packet_buffers"], message);
        }
    }

    fn check_ports(&mut self) {
        let ports = &self.config.ports;
        self.names_are_distinct("ports", ports.iter().map(|port| port.name.as_str()));
        let count: usize = ports.iter().map(|port| port.addresses.len()).sum();
        if count > MAX_ADDRESSES {
            self.problem(path!["ports"], format!("{count} addresses in all, and {MAX_ADDRESSES} are possible"));
        }
        let mut devices = HashMap::new();
        let mut addresses: HashMap<IpAddr, &str> = HashMap::new();
        for (index, port) in ports.iter().enumerate() {
            for what in what_is_taken_by(&port.device) {
                if let Some(other) = devices.insert(what.clone(), port.name.as_str()) {
                    let message = format!("`{what}` is the device of port `{other}` too");
                    self.problem(path!["ports", index, "device"], message);
                    break;
                }
            }
            for (place, cidr) in port.addresses.iter().enumerate() {
                let address = cidr.address;
                if !cidr.is_usable() {
                    let message = format!("{address} is no address that a port can have");
                    self.problem(path!["ports", index, "addresses", place], message);
                } else if let Some(other) = addresses.insert(address, &port.name) {
                    let message = format!("{address} was given to port `{other}` already");
                    self.problem(path!["ports", index, "addresses", place], message);
                }
            }
            for other in &ports[..index] {
                let overlap = |a: &Cidr, b: &Cidr| a.contains(b.address) || b.contains(a.address);
                let place =
                    port.addresses.iter().position(|cidr| other.addresses.iter().any(|known| overlap(cidr, known)));
                if let Some(place) = place {
                    let message = format!("the subnet of {} is on port `{}` too", port.addresses[place], other.name);
                    self.problem(path!["ports", index, "addresses", place], message);
                }
            }
            if port.mtu < IPV6_LEAST_MTU && port.addresses.iter().any(|cidr| cidr.address.is_ipv6()) {
                let message = format!("{} is too short for IPv6, which needs {IPV6_LEAST_MTU}", port.mtu);
                self.problem(path!["ports", index, "mtu"], message);
            }
            self.check_gateway(index, "gateway", port.gateway.map(IpAddr::V4));
            self.check_gateway(index, "gateway_v6", port.gateway_v6.map(IpAddr::V6));
            for (field, value) in [("rx_descriptors", port.rx_descriptors), ("tx_descriptors", port.tx_descriptors)] {
                if !value.is_power_of_two() {
                    let message = format!("{value} is no power of two; {} is", value.next_power_of_two());
                    self.problem(path!["ports", index, field], message);
                }
            }
        }
    }

    fn check_gateway(&mut self, index: usize, field: &'static str, gateway: Option<IpAddr>) {
        let Some(gateway) = gateway else { return };
        let addresses = &self.config.ports[index].addresses;
        let is_link_local = matches!(gateway, IpAddr::V6(gateway) if gateway.is_unicast_link_local());
        let reaches = |cidr: &Cidr| cidr.contains(gateway) || (is_link_local && cidr.address.is_ipv6());
        if addresses.iter().any(|cidr| cidr.address == gateway) {
            self.problem(path!["ports", index, field], format!("{gateway} is the port's own address"));
        } else if !addresses.iter().any(reaches) {
            let message = format!("{gateway} lies in none of the port's subnets: {}", list(addresses));
            self.problem(path!["ports", index, field], message);
        }
    }

    fn check_cores(&mut self) {
        let mut seen = HashSet::new();
        for (index, core) in self.config.workers.cores.iter().enumerate() {
            if !seen.insert(core) {
                self.problem(path!["workers", "cores", index], format!("core {core} has a worker already"));
            }
        }
    }

    fn check_listeners(&mut self) {
        let listeners = &self.config.sip.listen;
        self.names_are_distinct_at(&path!["sip", "listen"], listeners.iter().map(|listener| listener.name.as_str()));
        let mut addresses = HashMap::new();
        for (index, listener) in listeners.iter().enumerate() {
            let socket = (listener.address, listener.transport.is_stream());
            if let Some(other) = addresses.insert(socket, listener.name.as_str()) {
                let message = format!("listener `{other}` is bound to {} already", listener.address);
                self.problem(path!["sip", "listen", index, "address"], message);
            }
            self.check_tls(index, listener);
            let advertised = listener.advertise.unwrap_or(listener.address);
            if advertised.0.ip().is_unspecified() {
                let message = format!("peers cannot reach {advertised}: say in `advertise` where they reach it");
                self.problem(path!["sip", "listen", index, "address"], message);
            }
        }
    }

    fn check_tls(&mut self, index: usize, listener: &Listener) {
        let transport = listener.transport.name();
        if !listener.proxies.is_empty() && !listener.transport.is_stream() {
            let message = format!("`{transport}` has no connections that a proxy could begin");
            self.problem(path!["sip", "listen", index, "proxies"], message);
        }
        match &listener.tls {
            None if listener.transport.is_secure() => {
                let message = format!("`{transport}` needs certificates: say `tls` with `certificate` and `key`");
                self.problem(path!["sip", "listen", index, "transport"], message);
            }
            Some(_) if !listener.transport.is_secure() => {
                let message = format!("`{transport}` has no certificates; `tls` and `wss` have");
                self.problem(path!["sip", "listen", index, "tls"], message);
            }
            Some(tls) if tls.client_certificates != ClientCertificates::Off && tls.client_ca.is_none() => {
                let message = "clients are asked for certificates: say in `client_ca` whose are accepted".to_owned();
                self.problem(path!["sip", "listen", index, "tls", "client_certificates"], message);
            }
            _ => {}
        }
    }

    fn check_peers(&mut self) {
        let config = self.config;
        self.names_are_distinct("peers", config.peers.iter().map(|peer| peer.name.as_str()));
        let listeners: Vec<&str> = config.sip.listen.iter().map(|listener| listener.name.as_str()).collect();
        let of_ports = config.ports.iter().flat_map(|port| &port.addresses).map(|cidr| cidr.address);
        let floating = config.replication.addresses.iter().filter(|floating| floating.interface.is_none());
        let ours: Vec<IpAddr> = of_ports.chain(floating.map(|floating| floating.address.address)).collect();
        let mut addresses = HashMap::new();
        let first = config.sip.listen.first();
        for (index, peer) in config.peers.iter().enumerate() {
            let is_users = config.registrar.peer.as_deref() == Some(peer.name.as_str());
            if peer.address.ip().is_some_and(|address| address.is_unspecified()) && !is_users {
                let message =
                    "where does its SIP go to? Only the peer that `registrar.peer` names needs none".to_owned();
                self.problem(path!["peers", index, "address"], message);
                continue;
            }
            let listener = config.sip.listen.iter().find(|listener| Some(&listener.name) == peer.listen.as_ref());
            if let Some(listener) = listener.or(first)
                && matches!(listener.transport, Transport::Ws | Transport::Wss)
            {
                let message = format!("listener `{}` accepts WebSocket connections and opens none", listener.name);
                self.problem(path!["peers", index, "listen"], message);
            }
            if let Some(other) = addresses.insert((&peer.address, &peer.listen), peer.name.as_str()) {
                let message = format!("peer `{other}` has the address {} already", peer.address);
                self.problem(path!["peers", index, "address"], message);
            }
            if let Some(listen) = &peer.listen
                && !listeners.contains(&listen.as_str())
            {
                let message = format!("no listener is called `{listen}`; the listeners are {}", list(&listeners));
                self.problem(path!["peers", index, "listen"], message);
            }
            let listener = match &peer.listen {
                Some(name) => config.sip.listen.iter().find(|listener| listener.name == *name),
                None => config.sip.listen.first(),
            };
            if let Some(listener) = listener
                && peer.address.ip().is_some_and(|address| address.is_ipv4() != listener.address.0.is_ipv4())
            {
                let message = format!(
                    "{} cannot be reached from listener `{}`, {}: IPv4 and IPv6 do not meet; name another in `listen`",
                    peer.address, listener.name, listener.address
                );
                self.problem(path!["peers", index, "address"], message);
            }
            for (place, codec) in peer.codecs.iter().enumerate() {
                if peer.codecs[..place].contains(codec) {
                    let message = "this codec stands further ahead already".to_owned();
                    self.problem(path!["peers", index, "codecs", place], message);
                }
            }
            for (place, suite) in peer.srtp_suites.iter().enumerate() {
                if peer.srtp_suites[..place].contains(suite) {
                    let message = "this suite stands further ahead already".to_owned();
                    self.problem(path!["peers", index, "srtp_suites", place], message);
                }
            }
            if peer.username.is_some() != peer.password.is_some() {
                let message = "`username` and `password` go together".to_owned();
                self.problem(path!["peers", index, "username"], message);
            }
            if peer.register_s.is_some() && peer.username.is_none() {
                let message = "a registration needs `username` and `password`".to_owned();
                self.problem(path!["peers", index, "register_s"], message);
            }
            if !matches!(peer.ptime_ms, 10 | 20 | 30 | 40 | 60) {
                let message = format!("{} ms are not possible; 10, 20, 30, 40 and 60 are", peer.ptime_ms);
                self.problem(path!["peers", index, "ptime_ms"], message);
            }
            if let Some(address) = peer.media_address
                && !ours.contains(&address)
            {
                let message = format!("{address} is no address of a port; the ports have {}", list(&ours));
                self.problem(path!["peers", index, "media_address"], message);
            }
        }
    }

    fn check_groups(&mut self) {
        let config = self.config;
        self.names_are_distinct("groups", config.groups.iter().map(|group| group.name.as_str()));
        let peers: Vec<&str> = config.peers.iter().map(|peer| peer.name.as_str()).collect();
        for (index, group) in config.groups.iter().enumerate() {
            if peers.contains(&group.name.as_str()) {
                self.problem(path!["groups", index, "name"], format!("a peer is called `{}` already", group.name));
            }
            let mut first_media = None;
            for (place, member) in group.members.iter().enumerate() {
                let at = path!["groups", index, "members", place, "peer"];
                let Some(peer) = config.peers.iter().find(|peer| peer.name == member.peer) else {
                    let message = format!("no peer is called `{}`; the peers are {}", member.peer, list(&peers));
                    self.problem(at, message);
                    continue;
                };
                if group.members[..place].iter().any(|other| other.peer == member.peer) {
                    self.problem(at, format!("`{}` is in this group already", member.peer));
                } else if group.mode == GroupMode::Parallel
                    && *first_media.get_or_insert(peer.media_address) != peer.media_address
                {
                    let message = format!(
                        "`{}` has another `media_address` than `{}`: those that are called at once need the same",
                        member.peer, group.members[0].peer
                    );
                    self.problem(at, message);
                }
            }
        }
    }

    fn check_registrar(&mut self) {
        let config = self.config;
        let registrar = &config.registrar;
        let peers: Vec<&str> = config.peers.iter().map(|peer| peer.name.as_str()).collect();
        match (&registrar.realm, &registrar.peer) {
            (None, Some(_)) => {
                let message = "telephones register only where it is given".to_owned();
                self.problem(path!["registrar", "realm"], message);
            }
            (Some(_), None) => {
                let message = format!("which peer are registered telephones? The peers are {}", list(&peers));
                self.problem(path!["registrar", "peer"], message);
            }
            (Some(_), Some(peer)) if !peers.contains(&peer.as_str()) => {
                let message = format!("no peer is called `{peer}`; the peers are {}", list(&peers));
                self.problem(path!["registrar", "peer"], message);
            }
            _ => {}
        }
        for (index, algorithm) in registrar.algorithms.iter().enumerate() {
            if registrar.algorithms[..index].contains(algorithm) {
                let message = "this algorithm stands further ahead already".to_owned();
                self.problem(path!["registrar", "algorithms", index], message);
            }
        }
        let Registrar { min_expires_s, default_expires_s, max_expires_s, .. } = *registrar;
        if min_expires_s > default_expires_s || default_expires_s > max_expires_s {
            let message = format!(
                "{default_expires_s} does not lie between min_expires_s, {min_expires_s}, and max_expires_s, {max_expires_s}"
            );
            self.problem(path!["registrar", "default_expires_s"], message);
        }
    }

    fn check_routes(&mut self) {
        let config = self.config;
        let peers: Vec<&str> = config.peers.iter().map(|peer| peer.name.as_str()).collect();
        let is_group = |name: &str| config.groups.iter().any(|group| group.name == name);
        let mut takes_all = None;
        for (index, route) in config.routes.iter().enumerate() {
            let named = [("from", route.from.as_deref()), ("peer", Some(route.peer.as_str()))];
            let named = named.into_iter().filter(|(field, name)| *field == "from" || !name.is_some_and(is_group));
            for (field, name) in named.filter_map(|(field, name)| Some((field, name?))) {
                if !peers.contains(&name) {
                    let message = format!("no peer is called `{name}`; the peers are {}", list(&peers));
                    self.problem(path!["routes", index, field], message);
                }
            }
            self.check_recorder(path!["routes", index, "recorder"], route.recorder.as_deref());
            if let Some(earlier) = takes_all {
                let message = format!("never reached: routes[{earlier}] takes every call");
                self.problem(path!["routes", index], message);
            } else if route.takes_every_call() {
                takes_all = Some(index);
            }
        }
    }

    /// Two legs of a call take a pair of ports each, on the address that their peers' media goes to.
    fn check_port_range(&mut self) {
        let config = self.config;
        let used: HashSet<IpAddr> = config.peers.iter().filter_map(|peer| config.media_address_of(peer)).collect();
        let legs = u64::from(config.media.port_range.pairs()) * used.len() as u64;
        let wanted = 2 * u64::from(config.limits.max_calls);
        if legs < wanted {
            let message = format!(
                "{} holds {legs} legs on {} address(es); {} calls (limits.max_calls) need {wanted}",
                config.media.port_range,
                used.len(),
                config.limits.max_calls,
            );
            self.problem(path!["media", "port_range"], message);
        }
    }

    fn check_recording(&mut self) {
        let formats = &self.config.recording.formats;
        if matches!(formats[..], [first, second] if first == second) {
            self.problem(path!["recording", "formats", 1], "this format is named already".to_owned());
        }
    }

    fn check_replication(&mut self) {
        let config = self.config;
        let replication = &config.replication;
        if replication.sentinel_master.is_some() && replication.store.is_empty() {
            let message = "Sentinels are asked for it: name them in `store`".to_owned();
            self.problem(path!["replication", "sentinel_master"], message);
        }
        if replication.store.len() > 1 && replication.sentinel_master.is_none() {
            let message = "several URLs are those of Sentinels: name the master in `sentinel_master`".to_owned();
            self.problem(path!["replication", "store"], message);
        }
        if config.node.name.contains('/') {
            let message = "replication needs a name without `/`".to_owned();
            self.problem(path!["node", "name"], message);
        }
        let ports: Vec<&str> = config.ports.iter().map(|port| port.name.as_str()).collect();
        let mut seen: HashSet<IpAddr> =
            config.ports.iter().flat_map(|port| &port.addresses).map(|cidr| cidr.address).collect();
        for (index, floating) in replication.addresses.iter().enumerate() {
            let address = floating.address.address;
            if !floating.address.is_usable() {
                let message = format!("{address} is no address that a node can have");
                self.problem(path!["replication", "addresses", index, "address"], message);
            } else if !seen.insert(address) {
                let message = format!("{address} is given to a port or stands further ahead already");
                self.problem(path!["replication", "addresses", index, "address"], message);
            }
            if let Some(port) = &floating.port {
                if floating.interface.is_some() {
                    let message = "an address is a media port's or the kernel's, not both".to_owned();
                    self.problem(path!["replication", "addresses", index, "interface"], message);
                } else if !ports.contains(&port.as_str()) {
                    let message = format!("no port is called `{port}`; the ports are {}", list(&ports));
                    self.problem(path!["replication", "addresses", index, "port"], message);
                }
            }
        }
    }

    fn check_stir(&mut self) {
        let (stir, peers) = (&self.config.stir, &self.config.peers);
        let believes = stir.authorities.is_some() && !stir.certificates.is_empty();
        if stir.authorities.is_none() && !stir.certificates.is_empty() {
            let message = "who vouches for `certificates`?".to_owned();
            self.problem(path!["stir", "authorities"], message);
        }
        for (index, peer) in peers.iter().enumerate() {
            self.check_recorder(path!["peers", index, "recorder"], peer.recorder.as_deref());
            if peer.stir.check != StirCheck::Off && !believes {
                let message = "nobody is believed: name `stir.authorities` and `stir.certificates`".to_owned();
                self.problem(path!["peers", index, "stir", "check"], message);
            }
            if peer.stir.sign && stir.signing.is_none() {
                let message = "there is no key to sign with: name one in `stir.signing`".to_owned();
                self.problem(path!["peers", index, "stir", "sign"], message);
            }
        }
    }

    fn check_recorder(&mut self, at: Path, recorder: Option<&str>) {
        let peers: Vec<&str> = self.config.peers.iter().map(|peer| peer.name.as_str()).collect();
        if let Some(recorder) = recorder.filter(|name| !peers.contains(name)) {
            self.problem(at, format!("no peer is called `{recorder}`; the peers are {}", list(&peers)));
        }
    }

    fn check_http(&mut self) {
        let http = &self.config.http;
        self.names_are_distinct_at(&path!["http", "tokens"], http.tokens.iter().map(|token| token.name.as_str()));
        for (index, token) in http.tokens.iter().enumerate() {
            if token.file.is_some() == token.environment.is_some() {
                let message = "where is it read? Say either `file` or `environment`".to_owned();
                self.problem(path!["http", "tokens", index, "name"], message);
            }
        }
        if let Some(tls) = &http.tls
            && tls.asks_clients()
            && tls.client_ca.is_none()
        {
            let message = "clients are asked for certificates: say in `client_ca` whose are accepted".to_owned();
            self.problem(path!["http", "tls", "client_certificates"], message);
        }
        if !http.listen.ip().is_loopback() && !http.asks_who() {
            let message = format!(
                "{} is reached from other machines, and whoever reaches it can end calls: use 127.0.0.1, or say who may in \
                 `http.tokens`, or ask for certificates with `http.tls.client_certificates` and `client_ca`",
                http.listen
            );
            self.problem(path!["http", "listen"], message);
        }
    }

    fn names_are_distinct<'n>(&mut self, section: &'static str, names: impl Iterator<Item = &'n str>) {
        self.names_are_distinct_at(&Path::new(section), names);
    }

    fn names_are_distinct_at<'n>(&mut self, at: &Path, names: impl Iterator<Item = &'n str>) {
        let mut seen = HashSet::new();
        for (index, name) in names.enumerate() {
            if !seen.insert(name) {
                self.problem(at.join(index).join("name"), format!("another one is called `{name}` already"));
            }
        }
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
