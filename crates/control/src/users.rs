//! The registrar between the switch and the store.

use serde::Serialize;
use tandem_call::Switch;
use tandem_config::{Config, DigestAlgorithm};
use tandem_contract::Nanos;
use tandem_registrar::RegistrarConfig;
use tandem_sip::digest::Algorithm;

use crate::clock::Clock;
use crate::database::{News, Wanted, binding_of, subscriber_of};

/// Nonces in use at most: some 100 octets each.
const MAX_NONCES: usize = 200_000;

/// What the registrar must know of a checked configuration, and which peer its users are; `None` where nobody registers.
pub(crate) fn registrar_config(config: &Config) -> Option<(RegistrarConfig, String)> {
    let section = &config.registrar;
    let registrar = RegistrarConfig {
        realm: section.realm.clone()?,
        domains: section.domains.clone(),
        algorithms: section.algorithms.iter().map(|algorithm| self::algorithm(*algorithm)).collect(),
        nonce_lifetime_s: section.nonce_lifetime_s,
        max_nonces: MAX_NONCES,
        min_expires_s: section.min_expires_s,
        default_expires_s: section.default_expires_s,
        max_expires_s: section.max_expires_s,
        max_contacts: section.max_contacts as usize,
        keep_alive_s: section.keep_alive_s,
    };
    Some((registrar, section.peer.clone()?))
}

const fn algorithm(name: DigestAlgorithm) -> Algorithm {
    match name {
        DigestAlgorithm::Md5 => Algorithm::Md5,
        DigestAlgorithm::Sha256 => Algorithm::Sha256,
        DigestAlgorithm::Sha512T256 => Algorithm::Sha512T256,
    }
}

/// The store that a configuration wants; `None` where it wants none.
pub(crate) fn store_wanted(config: &Config) -> Option<Wanted> {
    let records = config.records.store.then(|| (config.records.directory.clone(), config.node.name.clone()));
    let is_wanted = records.is_some() || config.registrar.realm.is_some();
    is_wanted.then(|| Wanted { url: config.store.url.clone(), records })
}

/// Takes what the store says.
pub(crate) fn take_news(switch: &mut Switch, clock: &Clock, news: News) {
    let now = clock.now();
    match news {
        News::Stored(ticket, is_stored) => switch.on_registrations_stored(now, ticket, is_stored),
        News::Subscribers(changes) => {
            for change in changes {
                let is_ours = |switch: &Switch| {
                    switch.registrar().is_some_and(|registrar| registrar.config().realm == change.row.realm)
                };
                if !is_ours(switch) {
                    continue;
                }
                if change.is_removed {
                    switch.remove_subscriber(&change.row.username);
                } else if let Some(registrar) = switch.registrar_mut() {
                    registrar.put_subscriber(&change.row.username, subscriber_of(&change.row));
                }
            }
        }
        News::Loaded(rows) => {
            let Some(registrar) = switch.registrar_mut() else { return };
            let count = rows.len();
            for row in rows {
                let user = row.username.clone();
                // Whoever registered while the store was away is known better.
                let is_known = registrar.location().contacts(instant(now), &user, None).is_empty();
                if let Some(binding) = binding_of(&clock.wall(), now, row).filter(|_| is_known) {
                    registrar.restore(instant(now), &user, binding);
                }
            }
            tracing::info!(subscribers = registrar.subscribers(), registrations = count, "registrations are loaded");
        }
    }
}

/// One registration, for people who look.
#[derive(Debug, Serialize)]
pub(crate) struct RegistrationView {
    subscriber: String,
    contact: String,
    sent_to: String,
    transport: &'static str,
    q: f64,
    expires_s: u64,
    path: Vec<String>,
    instance: String,
    reg_id: u32,
    user_agent: String,
}

/// Every registration, by subscriber.
pub(crate) fn registrations(switch: &Switch, now: Nanos) -> Vec<RegistrationView> {
    let Some(registrar) = switch.registrar() else { return Vec::new() };
    let mut views: Vec<_> = registrar
        .location()
        .iter()
        .flat_map(|(user, bindings)| bindings.iter().map(move |binding| (user, binding)))
        .map(|(user, binding)| RegistrationView {
            subscriber: user.to_owned(),
            contact: binding.contact.to_string(),
            sent_to: binding.target().to.remote.to_string(),
            transport: binding.flow.transport.as_str(),
            q: f64::from(binding.q) / 1_000.0,
            expires_s: binding.expires.saturating_since(instant(now)).as_secs(),
            path: binding.path.clone(),
            instance: binding.instance.clone(),
            reg_id: binding.reg_id,
            user_agent: binding.user_agent.clone(),
        })
        .collect();
    views.sort_by(|a, b| (&a.subscriber, &a.contact).cmp(&(&b.subscriber, &b.contact)));
    views
}

const fn instant(now: Nanos) -> tandem_sip::Instant {
    tandem_sip::Instant::from_us(now.0 / 1_000)
}
