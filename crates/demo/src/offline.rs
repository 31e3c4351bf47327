//! The transcode that the gateway should have made, made here from the payloads alone: one call at a time, on the scalar
//! reference, where the gateway runs many calls per instruction.

use anyhow::{Result, bail};
use tandem_codec::Level;
use tandem_codec::transcode::{Codec, Input, Transcoder};

/// Octets that any 60 ms payload fits in.
const ROOM: usize = 1_024;

/// The payloads that come of `payloads` in the same order. Codecs are named as in SDP.
pub(crate) fn transcode<'a>(from: &str, to: &str, payloads: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>> {
    let mut transcoder = Transcoder::new(codec(from)?, codec(to)?);
    let mut room = [0; ROOM];
    payloads
        .map(|payload| {
            let len = transcoder.transcode(Level::Scalar, Input::Payload(payload), &mut room)?.octets();
            Ok(room[..len].to_vec())
        })
        .collect()
}

fn codec(name: &str) -> Result<Codec> {
    Ok(match name {
        "PCMU" => Codec::Pcmu,
        "PCMA" => Codec::Pcma,
        "G722" => Codec::G722,
        "G729" => Codec::G729,
        _ => bail!("the audit has no offline transcode for {name}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_in_mu_law_is_silence_in_a_law() {
        let made = transcode("PCMU", "PCMA", [[0xff; 160].as_slice()].into_iter()).unwrap();
        assert_eq!(made, [[0xd5; 160].to_vec()]);
    }

    #[test]
    fn a_codec_without_offline_transcode_is_named() {
        let error = transcode("opus", "PCMA", std::iter::empty()).unwrap_err();
        assert!(error.to_string().contains("opus"));
    }
}
