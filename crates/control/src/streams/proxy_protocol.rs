//! PROXY protocol, version 2: what a load balancer says before the first octet of a connection that it passes on.
//!
//! The specification is HAProxy's `proxy-protocol.txt`. A header is a fixed start of [`START_BYTES`], which says how long
//! the rest is, and the rest: addresses, then extensions that are passed over.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Octets of the fixed start.
pub(super) const START_BYTES: usize = 16;
/// The longest rest that is read. Load balancers' extensions take some ten octets.
const MAX_REST_BYTES: usize = 1024;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The fixed start of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    is_proxied: bool,
    family: u8,
    rest_bytes: usize,
}

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProxyHeaderError {
    /// Something else begins so.
    #[error("no PROXY protocol header of version 2")]
    Signature,
    /// A command other than LOCAL and PROXY.
    #[error("unknown command {0} in a PROXY protocol header")]
    Command(u8),
    /// More than [`MAX_REST_BYTES`].
    #[error("a PROXY protocol header of {0} octets")]
    TooLong(usize),
    /// Fewer octets than the addresses take.
    #[error("a PROXY protocol header ends within its addresses")]
    Truncated,
}

impl Start {
    /// Reads the fixed start.
    ///
    /// # Errors
    /// It is none, or announces what is not read here.
    pub(super) fn parse(bytes: &[u8; START_BYTES]) -> Result<Self, ProxyHeaderError> {
        if bytes[..12] != SIGNATURE || bytes[12] >> 4 != 2 {
            return Err(ProxyHeaderError::Signature);
        }
        let is_proxied = match bytes[12] & 0x0f {
            0 => false,
            1 => true,
            other => return Err(ProxyHeaderError::Command(other)),
        };
        let rest_bytes = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
        if rest_bytes > MAX_REST_BYTES {
            return Err(ProxyHeaderError::TooLong(rest_bytes));
        }
        Ok(Self { is_proxied, family: bytes[13], rest_bytes })
    }

    /// Octets that follow and belong to the header.
    pub(super) const fn rest_bytes(&self) -> usize {
        self.rest_bytes
    }

    /// Who connected, from the rest; `None` where the load balancer speaks for itself, as in a health check, or for
    /// somebody without an IP address.
    ///
    /// # Errors
    /// The rest is too short.
    pub(super) fn source(&self, rest: &[u8]) -> Result<Option<SocketAddr>, ProxyHeaderError> {
        if !self.is_proxied {
            return Ok(None);
        }
        // The upper half says the family, the lower stream or datagram.
        match self.family >> 4 {
            1 => {
                let [a, b, c, d, _, _, _, _, high, low, _, _] = *first::<12>(rest)?;
                let port = u16::from_be_bytes([high, low]);
                Ok(Some((Ipv4Addr::new(a, b, c, d), port).into()))
            }
            2 => {
                let addresses = first::<36>(rest)?;
                let source: [u8; 16] = *first::<16>(addresses)?;
                let port = u16::from_be_bytes([addresses[32], addresses[33]]);
                Ok(Some((Ipv6Addr::from(source), port).into()))
            }
            _ => Ok(None),
        }
    }
}

/// Takes a header, and nothing behind it, off the front of a connection.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut bytes = [0; START_BYTES];
    stream.read_exact(&mut bytes).await?;
    let start = Start::parse(&bytes).map_err(io::Error::other)?;
    let mut rest = vec![0; start.rest_bytes()];
    stream.read_exact(&mut rest).await?;
    start.source(&rest).map_err(io::Error::other)
}

fn first<const N: usize>(bytes: &[u8]) -> Result<&[u8; N], ProxyHeaderError> {
    bytes.first_chunk().ok_or(ProxyHeaderError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(version_command: u8, family: u8, rest: u16) -> [u8; START_BYTES] {
        let mut bytes = [0; START_BYTES];
        bytes[..12].copy_from_slice(&SIGNATURE);
        bytes[12] = version_command;
        bytes[13] = family;
        bytes[14..].copy_from_slice(&rest.to_be_bytes());
        bytes
    }

    #[test]
    fn the_source_of_a_proxied_connection_is_told() {
        let four = Start::parse(&start(0x21, 0x11, 12)).unwrap();
        let rest = [192, 0, 2, 1, 198, 51, 100, 2, 0x9c, 0x41, 0x13, 0xc5];
        assert_eq!(four.source(&rest), Ok(Some("192.0.2.1:40001".parse().unwrap())));
        let six = Start::parse(&start(0x21, 0x21, 40)).unwrap();
        let mut rest = [0; 40];
        rest[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        rest[15] = 1;
        rest[32..34].copy_from_slice(&5061_u16.to_be_bytes());
        assert_eq!(six.source(&rest), Ok(Some("[2001:db8::1]:5061".parse().unwrap())));
        assert_eq!(six.rest_bytes(), 40);
    }

    #[test]
    fn a_health_check_has_no_source() {
        assert_eq!(Start::parse(&start(0x20, 0, 0)).unwrap().source(&[]), Ok(None));
        assert_eq!(Start::parse(&start(0x21, 0x00, 0)).unwrap().source(&[]), Ok(None), "an unspecified family");
        assert_eq!(Start::parse(&start(0x21, 0x31, 216)).unwrap().source(&[0; 216]), Ok(None), "a Unix socket");
    }

    #[test]
    fn what_is_no_header_is_refused() {
        assert_eq!(Start::parse(b"OPTIONS sip:a SI"), Err(ProxyHeaderError::Signature));
        assert_eq!(Start::parse(&start(0x11, 0x11, 12)), Err(ProxyHeaderError::Signature), "version 1 in binary");
        assert_eq!(Start::parse(&start(0x22, 0x11, 12)), Err(ProxyHeaderError::Command(2)));
        assert_eq!(Start::parse(&start(0x21, 0x11, 1025)), Err(ProxyHeaderError::TooLong(1025)));
        let short = Start::parse(&start(0x21, 0x11, 11)).unwrap();
        assert_eq!(short.source(&[0; 11]), Err(ProxyHeaderError::Truncated));
    }
}
