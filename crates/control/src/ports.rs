//! What a port's driver counts, and whether it has a link, without knowing the driver.

use std::fmt;

/// The counters of one port at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortReading {
    /// The port's name in the configuration.
    pub port: String,
    /// The driver's counters, by its own names.
    pub counters: Vec<(String, u64)>,
}

/// How a port spreads what it receives over its queues, worker `w` having queue `w`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSpreading {
    /// The port's place in the configuration, from 0.
    pub port: usize,
    /// The key of the Toeplitz hash over addresses and ports.
    pub key: Vec<u8>,
    /// The queue by the hash's low bits.
    pub table: Vec<u16>,
}

/// Reads all ports.
pub struct PortReader {
    read: Box<dyn Fn() -> Vec<PortReading> + Send + Sync>,
    have_links: Box<dyn Fn() -> bool + Send + Sync>,
}

impl PortReader {
    /// `read` is called for each scrape, on the HTTP thread; `have_links` says whether every port has a link, some fifty times
    /// a second, on the cluster's.
    pub fn new(
        read: impl Fn() -> Vec<PortReading> + Send + Sync + 'static,
        have_links: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { read: Box::new(read), have_links: Box::new(have_links) }
    }

    pub(crate) fn read(&self) -> Vec<PortReading> {
        (self.read)()
    }

    pub(crate) fn have_links(&self) -> bool {
        (self.have_links)()
    }
}

impl fmt::Debug for PortReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PortReader")
    }
}
