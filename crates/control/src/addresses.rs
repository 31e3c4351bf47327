//! The media ports' addresses, which come and go while calls are up: a floating address moves from node to node.

use std::net::IpAddr;

use serde::Serialize;
use tandem_config::{Cidr, Config, Port};
use tandem_contract::{Command, Event, LocalAddress, Refusal};
use tokio::sync::oneshot;

/// Why an address was not added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    /// A worker has no place for it.
    #[error("the port has {most} addresses already, counting those removed that calls still use", most = LocalAddress::MOST)]
    Exhausted,
    /// There is no such address.
    #[error("the port has no such address")]
    Unknown,
    /// The subnet is another port's.
    #[error("the subnet is another port's too, so that it would not be clear by which a packet leaves")]
    SubnetTaken,
    /// There is no such port.
    #[error("there is no port of that name")]
    UnknownPort,
    /// Unspecified, multicast, loopback or link-local.
    #[error("no address that a port can have")]
    Unusable,
}

/// Who asked for a change waits here.
pub(crate) type AddressAnswer = oneshot::Sender<Result<(), AddressError>>;

/// What is to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressChange {
    Add(u8, LocalAddress),
    Remove(IpAddr),
}

/// An address, for people who look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct AddressView {
    port: String,
    address: IpAddr,
    prefix_len: u8,
    gateway: Option<IpAddr>,
}

/// The addresses that the workers have confirmed, and changes that wait for them.
pub(crate) struct Addresses {
    /// Name of each port, and its gateways over IPv4 and IPv6.
    ports: Vec<(String, [Option<IpAddr>; 2])>,
    /// Each with the number of its port.
    ours: Vec<(u8, LocalAddress)>,
    waiting: Vec<Waiting>,
    requests: u32,
}

struct Waiting {
    request: u32,
    change: AddressChange,
    /// Workers that have not answered.
    missing: usize,
    refused: Option<Refusal>,
    answer: Option<AddressAnswer>,
}

impl Addresses {
    pub(crate) fn new(config: &Config) -> Self {
        let gateways = |port: &Port| [port.gateway.map(IpAddr::V4), port.gateway_v6.map(IpAddr::V6)];
        let ports = config.ports.iter().map(|port| (port.name.clone(), gateways(port))).collect();
        let mut addresses = Self { ports, ours: Vec::new(), waiting: Vec::new(), requests: 0 };
        addresses.ours = all(config).map(|(port, cidr)| (port, addresses.local(port, cidr, None))).collect();
        addresses
    }

    /// An address with its link: `gateway`, or the port's where that is of the same family.
    pub(crate) fn local(&self, port: u8, cidr: Cidr, gateway: Option<IpAddr>) -> LocalAddress {
        let same_family = |gateway: &IpAddr| gateway.is_ipv4() == cidr.address.is_ipv4();
        let of_port = self.ports[usize::from(port)].1.into_iter().flatten().find(same_family);
        let gateway = gateway.filter(same_family).or(of_port);
        LocalAddress { address: cidr.address, prefix_len: cidr.prefix_len, gateway }
    }

    /// The number of the port called `name`; the first where none is named.
    pub(crate) fn port(&self, name: Option<&str>) -> Option<u8> {
        let place = name.map_or(Some(0), |name| self.ports.iter().position(|(known, _)| known == name));
        place.and_then(|place| place.try_into().ok())
    }

    pub(crate) fn list(&self) -> Vec<AddressView> {
        let view = |(port, local): &(u8, LocalAddress)| AddressView {
            port: self.ports[usize::from(*port)].0.clone(),
            address: local.address,
            prefix_len: local.prefix_len,
            gateway: local.gateway,
        };
        self.ours.iter().map(view).collect()
    }

    /// What a file that was read again changes: what went, then what came.
    pub(crate) fn differences(&self, before: &Config, after: &Config) -> Vec<AddressChange> {
        let went = all(before).filter(|(_, cidr)| all(after).all(|(_, other)| other.address != cidr.address));
        let came = all(after).filter(|(port, cidr)| all(before).all(|known| known != (*port, *cidr)));
        let went = went.map(|(_, cidr)| AddressChange::Remove(cidr.address));
        went.chain(came.map(|(port, cidr)| AddressChange::Add(port, self.local(port, cidr, None)))).collect()
    }

    /// Begins a change; the command is for every one of the `workers`. `None` where it is refused at once.
    pub(crate) fn begin(
        &mut self,
        change: AddressChange,
        workers: usize,
        answer: Option<AddressAnswer>,
    ) -> Option<Command> {
        if let AddressChange::Add(_, LocalAddress { address, prefix_len, .. }) = change
            && !(Cidr { address, prefix_len }).is_usable()
        {
            tell(answer, change, Err(AddressError::Unusable));
            return None;
        }
        if let AddressChange::Add(port, local) = change
            && self.is_elsewhere(port, local)
        {
            tell(answer, change, Err(AddressError::SubnetTaken));
            return None;
        }
        self.requests = self.requests.wrapping_add(1);
        let request = self.requests;
        self.waiting.push(Waiting { request, change, missing: workers, refused: None, answer });
        Some(match change {
            AddressChange::Add(port, local) => Command::AddAddress { request, port, local },
            AddressChange::Remove(address) => Command::RemoveAddress { request, address },
        })
    }

    /// The command, for every worker, that tells the link who has an address.
    pub(crate) fn announce(&mut self, address: IpAddr) -> Command {
        self.requests = self.requests.wrapping_add(1);
        Command::AnnounceAddress { request: self.requests, address }
    }

    /// Whether another port has, or is about to have, an address of a subnet that overlaps this one.
    fn is_elsewhere(&self, port: u8, local: LocalAddress) -> bool {
        let coming = self.waiting.iter().filter_map(|waiting| match waiting.change {
            AddressChange::Add(port, local) => Some((port, local)),
            AddressChange::Remove(_) => None,
        });
        let overlap = |other: LocalAddress| other.is_on_link(local.address) || local.is_on_link(other.address);
        self.ours.iter().copied().chain(coming).any(|(of, other)| of != port && overlap(other))
    }

    /// A worker answered. Where one has no place for an address that others took, the command takes it from them again.
    pub(crate) fn on_event(&mut self, workers: usize, event: &Event) -> Option<Command> {
        let (request, refusal) = match *event {
            Event::AddressAdded { request } | Event::AddressRemoved { request } => (request, None),
            Event::AddressRefused { request, reason } => (request, Some(reason)),
            _ => return None,
        };
        let place = self.waiting.iter().position(|waiting| waiting.request == request)?;
        let waiting = &mut self.waiting[place];
        waiting.missing = waiting.missing.saturating_sub(1);
        waiting.refused = waiting.refused.or(refusal);
        if waiting.missing > 0 {
            return None;
        }
        let Waiting { change, refused, answer, .. } = self.waiting.swap_remove(place);
        let outcome = match (change, refused) {
            (AddressChange::Add(port, local), None) => {
                self.ours.retain(|(_, other)| other.address != local.address);
                self.ours.push((port, local));
                Ok(())
            }
            (AddressChange::Remove(address), refused) => {
                self.ours.retain(|(_, other)| other.address != address);
                refused.map_or(Ok(()), |_| Err(AddressError::Unknown))
            }
            (AddressChange::Add(..), Some(_)) => Err(AddressError::Exhausted),
        };
        tell(answer, change, outcome);
        match change {
            AddressChange::Add(_, local) if outcome.is_err() => {
                self.begin(AddressChange::Remove(local.address), workers, None)
            }
            _ => None,
        }
    }
}

/// Every address of a configuration with the number of its port.
fn all(config: &Config) -> impl Iterator<Item = (u8, Cidr)> + Clone {
    config.ports.iter().zip(0..).flat_map(|(port, number)| port.addresses.iter().map(move |cidr| (number, *cidr)))
}

fn tell(answer: Option<AddressAnswer>, change: AddressChange, outcome: Result<(), AddressError>) {
    match (change, outcome) {
        (AddressChange::Add(_, local), Ok(())) => {
            tracing::info!(address = %local.address, prefix_len = local.prefix_len, "address added");
        }
        (AddressChange::Remove(address), Ok(())) => tracing::info!(%address, "address removed"),
        (AddressChange::Add(_, LocalAddress { address, .. }) | AddressChange::Remove(address), Err(error)) => {
            tracing::warn!(%address, %error, "address not changed");
        }
    }
    if let Some(answer) = answer {
        // Whoever asked may have gone.
        let _ = answer.send(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
ports: [{name: media, device: net_null0, addresses: [10.0.0.10/24, 10.0.0.11/24], gateway: 10.0.0.1}]
sip: {listen: [{address: 10.0.1.10}]}
peers: [{name: left, address: 10.0.1.20}, {name: right, address: 10.0.1.30}]
routes: [{from: left, peer: right}]
";

    fn config(addresses: &str) -> Config {
        tandem_config::parse("t.yaml", &FILE.replace("10.0.0.10/24, 10.0.0.11/24", addresses)).unwrap()
    }

    fn told(addresses: &Addresses) -> Vec<String> {
        addresses.list().iter().map(|view| view.address.to_string()).collect()
    }

    #[test]
    fn an_address_is_ours_when_every_worker_has_it() {
        let mut addresses = Addresses::new(&config("10.0.0.10/24"));
        let local = addresses.local(0, "10.0.0.20/24".parse().unwrap(), None);
        assert_eq!(local.gateway, Some("10.0.0.1".parse().unwrap()));
        let (answer, mut answered) = oneshot::channel();
        let command = addresses.begin(AddressChange::Add(0, local), 2, Some(answer));
        assert_eq!(command, Some(Command::AddAddress { request: 1, port: 0, local }));
        assert_eq!(addresses.on_event(2, &Event::AddressAdded { request: 1 }), None);
        assert_eq!(told(&addresses), ["10.0.0.10"]);
        assert_eq!(addresses.on_event(2, &Event::AddressAdded { request: 1 }), None);
        assert_eq!(told(&addresses), ["10.0.0.10", "10.0.0.20"]);
        assert_eq!(answered.try_recv(), Ok(Ok(())));
    }

    #[test]
    fn what_one_worker_has_no_place_for_is_taken_from_the_others_again() {
        let mut addresses = Addresses::new(&config("10.0.0.10/24"));
        let local = addresses.local(0, "10.0.0.20/24".parse().unwrap(), None);
        let (answer, mut answered) = oneshot::channel();
        addresses.begin(AddressChange::Add(0, local), 2, Some(answer));
        addresses.on_event(2, &Event::AddressAdded { request: 1 });
        let refused = Event::AddressRefused { request: 1, reason: Refusal::AddressesExhausted };
        let back = Command::RemoveAddress { request: 2, address: local.address };
        assert_eq!(addresses.on_event(2, &refused), Some(back));
        assert_eq!(answered.try_recv(), Ok(Err(AddressError::Exhausted)));
        assert_eq!(told(&addresses), ["10.0.0.10"]);
    }

    #[test]
    fn nobody_is_asked_for_an_address_that_no_port_can_have() {
        let mut addresses = Addresses::new(&config("10.0.0.10/24"));
        let local = addresses.local(0, "224.0.0.1/4".parse().unwrap(), None);
        let (answer, mut answered) = oneshot::channel();
        assert_eq!(addresses.begin(AddressChange::Add(0, local), 2, Some(answer)), None);
        assert_eq!(answered.try_recv(), Ok(Err(AddressError::Unusable)));
    }

    #[test]
    fn a_subnet_of_another_port_is_refused() {
        let two = FILE.replace("ports: [", "ports: [{name: other, device: net_null1, addresses: [10.9.0.10/16]}, ");
        let mut addresses = Addresses::new(&tandem_config::parse("t.yaml", &two).unwrap());
        for (text, refused) in [("10.9.7.1/24", true), ("10.8.0.1/8", true), ("10.1.0.1/24", false)] {
            let local = addresses.local(1, text.parse().unwrap(), None);
            let (answer, mut answered) = oneshot::channel();
            let command = addresses.begin(AddressChange::Add(1, local), 1, Some(answer));
            assert_eq!(command.is_none(), refused, "{text}");
            assert_eq!(answered.try_recv() == Ok(Err(AddressError::SubnetTaken)), refused, "{text}");
        }
        // What waits for the workers counts, too.
        let local = addresses.local(0, "10.1.0.2/24".parse().unwrap(), None);
        assert_eq!(addresses.begin(AddressChange::Add(0, local), 1, None), None);
        // A node that takes an address over has it on the port where it belongs.
        let local = addresses.local(0, "10.9.0.11/16".parse().unwrap(), None);
        assert!(addresses.begin(AddressChange::Add(0, local), 1, None).is_some());
    }

    #[test]
    fn a_file_read_again_tells_what_went_and_what_came() {
        let before = config("10.0.0.10/24, 10.0.0.11/24");
        let addresses = Addresses::new(&before);
        let changes = addresses.differences(&before, &config("10.0.0.10/24, 10.0.0.12/24"));
        let came = addresses.local(0, "10.0.0.12/24".parse().unwrap(), None);
        assert_eq!(changes, [AddressChange::Remove("10.0.0.11".parse().unwrap()), AddressChange::Add(0, came)]);
        assert_eq!(addresses.differences(&before, &before), []);
    }
}
