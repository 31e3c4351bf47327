//! Opus in Ogg (RFC 7845), mono, as a call has it.

use std::io::{self, Cursor};
use std::path::Path;

use ogg::{PacketReader, PacketWriteEndInfo, PacketWriter};
use tandem_opus::{CLOCK_HZ, TICKS_PER_PACKET};

use super::error::CodecError;
use super::packets::Packet;

const HEAD_MAGIC: &[u8] = b"OpusHead";
const TAGS_MAGIC: &[u8] = b"OpusTags";
/// Samples at 48 kHz that a player drops at the start: the encoder's look-ahead for speech (RFC 7845 section 4.2 wants at least that).
const PRE_SKIP: u16 = 312;
const SERIAL: u32 = 1;

/// The audio packets of a file.
pub(super) fn read(path: &Path, octets: &[u8]) -> Result<Vec<Packet>, CodecError> {
    let mut reader = PacketReader::new(Cursor::new(octets));
    let mut next = || reader.read_packet().map_err(|source| CodecError::Ogg { path: path.to_owned(), source });
    let not_opus = |reason| CodecError::NotOpus { path: path.to_owned(), reason };
    let head = next()?.ok_or(not_opus("it is empty"))?.data;
    if !head.starts_with(HEAD_MAGIC) || head.len() < 19 {
        return Err(not_opus("it does not begin with an identification header"));
    }
    if head[9] != 1 {
        return Err(not_opus("it has more than one channel"));
    }
    let tags = next()?.ok_or(not_opus("it ends after the first header"))?.data;
    if !tags.starts_with(TAGS_MAGIC) {
        return Err(not_opus("its second packet is not a comment header"));
    }
    let mut packets = Vec::new();
    while let Some(packet) = next()? {
        packets.push(Packet::Received(packet.data));
    }
    Ok(packets)
}

/// A whole file. A packet that was not sent or is lost leaves a gap in the positions, as it does in the timestamps of RTP.
pub(super) fn write(packets: &[Packet]) -> io::Result<Vec<u8>> {
    let mut writer = PacketWriter::new(Vec::new());
    let mut head = HEAD_MAGIC.to_vec();
    head.extend([1, 1]);
    head.extend(PRE_SKIP.to_le_bytes());
    head.extend(CLOCK_HZ.to_le_bytes());
    head.extend([0, 0, 0]);
    let vendor = concat!("tandem ", env!("CARGO_PKG_VERSION")).as_bytes();
    let mut tags = TAGS_MAGIC.to_vec();
    tags.extend((vendor.len() as u32).to_le_bytes());
    tags.extend(vendor);
    tags.extend(0_u32.to_le_bytes());
    writer.write_packet(head, SERIAL, PacketWriteEndInfo::EndPage, 0)?;
    writer.write_packet(tags, SERIAL, PacketWriteEndInfo::EndPage, 0)?;
    let mut position = 0;
    for (i, packet) in packets.iter().enumerate() {
        position += u64::from(TICKS_PER_PACKET);
        let Packet::Received(payload) = packet else { continue };
        let last = i + 1 == packets.len();
        // A page per second: small enough to seek, large enough to cost little.
        let end = match i % 50 {
            _ if last => PacketWriteEndInfo::EndStream,
            49 => PacketWriteEndInfo::EndPage,
            _ => PacketWriteEndInfo::NormalPacket,
        };
        writer.write_packet(payload.clone(), SERIAL, end, position)?;
    }
    Ok(writer.into_inner())
}
