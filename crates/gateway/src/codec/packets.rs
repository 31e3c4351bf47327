//! Encoded speech from and to files: bare payloads, ITU-T serial words, Opus in Ogg (RFC 7845).

use std::path::Path;

use tandem_codec::g729::bitstream::{
    Frame, SERIAL_FRAME_OCTETS, SID_OCTETS, SPEECH_OCTETS, SerialFrames, write_serial,
};

use super::error::CodecError;
use super::loss::LossMask;
use super::{CodecName, ogg_opus};

/// What an instant of the stream brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// A payload.
    Received(Vec<u8>),
    /// Nothing, though something was sent.
    Lost,
    /// Nothing, because nothing was sent.
    NotSent,
}

/// A file's packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) packets: Vec<Packet>,
    /// Milliseconds of each, but that the last may be shorter.
    pub(super) ptime_ms: usize,
}

/// How a file holds packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) codec: CodecName,
    /// ITU-T serial words instead of octets; G.729 only.
    pub(super) itu: bool,
}

impl Container {
    /// Reads a file and takes out what the mask says is lost.
    pub(super) fn read(self, path: &Path, ptime_ms: usize, loss: &LossMask) -> Result<Stream, CodecError> {
        let octets = std::fs::read(path).map_err(CodecError::io(path))?;
        let (mut packets, ptime_ms) = match (self.codec, self.itu) {
            (CodecName::Opus, _) => (ogg_opus::read(path, &octets)?, 20),
            (CodecName::G729, true) => (read_serial(path, &octets)?, 10),
            (CodecName::G729, false) => (read_g729(path, &octets, ptime_ms)?, ptime_ms),
            // One octet per tick of 125 µs.
            _ => (octets.chunks(8 * ptime_ms).map(|payload| Packet::Received(payload.to_vec())).collect(), ptime_ms),
        };
        for (i, packet) in packets.iter_mut().enumerate() {
            if loss.is_lost(i) && *packet != Packet::NotSent {
                *packet = Packet::Lost;
            }
        }
        Ok(Stream { packets, ptime_ms })
    }

    /// Writes a file. A lost packet leaves no trace but in serial words.
    pub(super) fn write(self, path: &Path, packets: &[Packet]) -> Result<(), CodecError> {
        let octets = match (self.codec, self.itu) {
            (CodecName::Opus, _) => ogg_opus::write(packets).map_err(CodecError::io(path))?,
            (CodecName::G729, true) => write_itu(packets),
            (CodecName::G729, false) => {
                let silent = |packet: &Packet| match packet {
                    Packet::Received(payload) => payload.len() % SPEECH_OCTETS == SID_OCTETS,
                    Packet::NotSent => true,
                    Packet::Lost => false,
                };
                if packets.iter().any(silent) {
                    return Err(CodecError::SilenceInRaw { path: path.to_owned() });
                }
                payloads(packets)
            }
            _ => payloads(packets),
        };
        std::fs::write(path, octets).map_err(CodecError::io(path))
    }
}

fn payloads(packets: &[Packet]) -> Vec<u8> {
    let received = packets.iter().filter_map(|packet| match packet {
        Packet::Received(payload) => Some(&payload[..]),
        _ => None,
    });
    received.flatten().copied().collect()
}

fn read_g729(path: &Path, octets: &[u8], ptime_ms: usize) -> Result<Vec<Packet>, CodecError> {
    let have = octets.len() % SPEECH_OCTETS;
    if have != 0 {
        let offset = octets.len() - have;
        let (unit, need) = ("G.729 frame", SPEECH_OCTETS);
        return Err(CodecError::Truncated { path: path.to_owned(), unit, offset, have, need });
    }
    let payloads = octets.chunks(SPEECH_OCTETS * (ptime_ms / 10));
    Ok(payloads.map(|payload| Packet::Received(payload.to_vec())).collect())
}

fn read_serial(path: &Path, octets: &[u8]) -> Result<Vec<Packet>, CodecError> {
    let frames = SerialFrames::new(octets).map(|frame| {
        frame.map(|frame| match frame {
            Frame::Speech(octets) => Packet::Received(octets.to_vec()),
            Frame::Sid(octets) => Packet::Received(octets.to_vec()),
            Frame::NotSent => Packet::NotSent,
            Frame::Erased => Packet::Lost,
        })
    });
    frames.collect::<Result<_, _>>().map_err(|source| CodecError::Serial { path: path.to_owned(), source })
}

fn write_itu(packets: &[Packet]) -> Vec<u8> {
    let mut octets = Vec::new();
    for packet in packets {
        for frame in g729_frames(packet) {
            let mut words = [0; SERIAL_FRAME_OCTETS];
            let count = write_serial(&frame, &mut words);
            octets.extend(&words[..count]);
        }
    }
    octets
}

/// The frames of a G.729 packet whose length is sound.
pub(super) fn g729_frames(packet: &Packet) -> Vec<Frame> {
    match packet {
        Packet::Received(payload) => {
            tandem_codec::g729::bitstream::split_payload(payload).into_iter().flatten().collect()
        }
        Packet::Lost => vec![Frame::Erased],
        Packet::NotSent => vec![Frame::NotSent],
    }
}
