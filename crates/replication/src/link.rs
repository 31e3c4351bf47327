//! The way to the store: one server, or the master that Sentinels name.

use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{AsyncConnectionConfig, Client, RedisConnectionInfo, TlsMode};
use thiserror::Error;
use tokio::time::timeout;

/// How long the store may take to answer. Until then a standby may be behind by so much.
const ANSWER: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where the store is.
#[derive(Clone)]
pub struct StoreConfig {
    /// `redis://` or, over TLS, `rediss://`: user, password, host, port and number of the database. Several, where the first
    /// that answers as a Sentinel names the master.
    pub urls: Vec<String>,
    /// The name of the master, where the URLs are those of Sentinels.
    pub sentinel_master: Option<String>,
    /// What every key begins with.
    pub prefix: String,
}

impl std::fmt::Debug for StoreConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // URLs have passwords.
        formatter.debug_struct("StoreConfig").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// The store cannot be reached, or is not one.
#[derive(Debug, Error)]
pub enum LinkError {
    /// What the server or the network said. No password is in it.
    #[error("{0}")]
    Store(#[from] redis::RedisError),
    /// It does not answer.
    #[error("no answer within {} ms", ANSWER.as_millis())]
    Silent,
    /// No URL.
    #[error("no URL of a store")]
    NoUrl,
}

/// A way to the store that can be taken again and again.
pub(crate) struct Link {
    way: Way,
}

enum Way {
    Server(Box<Client>),
    Sentinels(Box<SentinelClient>),
}

impl Link {
    pub(crate) fn new(config: &StoreConfig) -> Result<Self, LinkError> {
        // Another part of the process may have chosen already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let first = config.urls.first().ok_or(LinkError::NoUrl)?;
        let client = Client::open(first.as_str())?;
        let Some(master) = &config.sentinel_master else { return Ok(Self { way: Way::Server(Box::new(client)) }) };
        // The master is spoken to as the Sentinels are: what the first URL says of user, password and TLS.
        let info = client.get_connection_info();
        let mut own = RedisConnectionInfo::default().set_db(info.redis_settings().db());
        if let Some(username) = info.redis_settings().username() {
            own = own.set_username(username);
        }
        if let Some(password) = info.redis_settings().password() {
            own = own.set_password(password);
        }
        let mut node = SentinelNodeConnectionInfo::default().set_redis_connection_info(own);
        if first.starts_with("rediss://") {
            node = node.set_tls_mode(TlsMode::Secure);
        }
        let urls: Vec<&str> = config.urls.iter().map(String::as_str).collect();
        let sentinels = SentinelClient::build(urls, master, Some(node), SentinelServerType::Master)?;
        Ok(Self { way: Way::Sentinels(Box::new(sentinels)) })
    }

    async fn client(&mut self) -> Result<Client, LinkError> {
        match &mut self.way {
            Way::Server(client) => Ok((**client).clone()),
            Way::Sentinels(sentinels) => {
                timeout(ANSWER, sentinels.async_get_client()).await.map_err(|_| LinkError::Silent)?.map_err(Into::into)
            }
        }
    }

    /// A connection for commands. Each has to be answered within a second.
    pub(crate) async fn connect(&mut self) -> Result<MultiplexedConnection, LinkError> {
        let client = self.client().await?;
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(ANSWER)).set_response_timeout(Some(ANSWER));
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// A connection for publications.
    pub(crate) async fn subscribe(&mut self, pattern: &str) -> Result<PubSub, LinkError> {
        let client = self.client().await?;
        let subscribed = async {
            let mut publications = client.get_async_pubsub().await?;
            publications.psubscribe(pattern).await?;
            Ok::<_, LinkError>(publications)
        };
        timeout(ANSWER, subscribed).await.map_err(|_| LinkError::Silent)?
    }
}

/// How long to wait before the next attempt: longer each time, and never quite as long as somebody else.
pub(crate) struct Pause(Duration);

impl Pause {
    pub(crate) const fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.0.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}
