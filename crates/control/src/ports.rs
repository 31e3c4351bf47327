//! What a port's driver counts, without knowing the driver.

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

/// Reads all ports; called for each scrape, on the HTTP thread.
pub struct PortReader(Box<dyn Fn() -> Vec<PortReading> + Send + Sync>);

impl PortReader {
    /// Reads through `read`.
    pub fn new(read: impl Fn() -> Vec<PortReading> + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }

    pub(crate) fn read(&self) -> Vec<PortReading> {
        (self.0)()
    }
}

impl fmt::Debug for PortReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PortReader")
    }
}
