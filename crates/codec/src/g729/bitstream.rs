//! The bits of a frame: parameters, the octets of RTP, and the serial words of the ITU-T test files.
//!
//! A speech frame is 80 bits in the order of ITU-T G.729 Table 8, most significant bit first; a silence insertion
//! descriptor (SID) is 15 bits and one zero (Annex B clause B.4.3). RFC 3551 section 4.5.6 puts them into octets.

mod payload;
mod serial;

pub use payload::{PayloadError, PayloadFrames, split_payload};
pub use serial::{SERIAL_FRAME_OCTETS, SerialError, SerialFrames, write_serial};

/// Octets of a speech frame.
pub const SPEECH_OCTETS: usize = 10;

/// Octets of a silence insertion descriptor.
pub const SID_OCTETS: usize = 2;

/// What 10 ms of a call bring from the encoder to the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A speech frame (80 bits).
    Speech([u8; SPEECH_OCTETS]),
    /// A silence insertion descriptor: the background noise has changed (Annex B).
    Sid([u8; SID_OCTETS]),
    /// Nothing was sent because there was nothing new to say: comfort noise goes on (Annex B).
    NotSent,
    /// Something was sent and lost. An encoder never produces this.
    Erased,
}

/// Parameters of one 5 ms subframe as transmitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubframeParameters {
    /// Adaptive codebook index: P1 (8 bits) in the first subframe, P2 (5 bits) in the second.
    pub pitch: u8,
    /// Fixed codebook positions C (13 bits).
    pub positions: u16,
    /// Fixed codebook signs S (4 bits): bit k set when pulse k is positive.
    pub signs: u8,
    /// First stage of the gain codebook GA (3 bits).
    pub gain_a: u8,
    /// Second stage of the gain codebook GB (4 bits).
    pub gain_b: u8,
}

/// Parameters of a speech frame as transmitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpeechParameters {
    /// LSF predictor L0 (1 bit).
    pub lsf_mode: u8,
    /// LSF first stage L1 (7 bits).
    pub lsf_stage1: u8,
    /// LSF second stage, lower half, L2 (5 bits).
    pub lsf_low: u8,
    /// LSF second stage, upper half, L3 (5 bits).
    pub lsf_high: u8,
    /// Parity P0 of the six upper bits of P1 (1 bit).
    pub parity: u8,
    /// The two subframes.
    pub subframes: [SubframeParameters; 2],
}

impl SpeechParameters {
    /// The parameters in the ten octets of a speech frame.
    pub fn from_octets(octets: &[u8; SPEECH_OCTETS]) -> Self {
        let [o0, o1, rest @ ..] = *octets;
        let tail = u64::from_be_bytes(rest);
        let field = |lowest: u32, width: u32| (tail >> lowest) & ((1 << width) - 1);
        // The 18 LSF bits end two bits into the third octet; the other 62 bits are the low bits of `tail`.
        let lsf = u32::from_be_bytes([0, o0, o1, rest[0]]) >> 6;
        Self {
            lsf_mode: (lsf >> 17) as u8,
            lsf_stage1: (lsf >> 10 & 0x7f) as u8,
            lsf_low: (lsf >> 5 & 0x1f) as u8,
            lsf_high: (lsf & 0x1f) as u8,
            parity: field(53, 1) as u8,
            subframes: [
                SubframeParameters {
                    pitch: field(54, 8) as u8,
                    positions: field(40, 13) as u16,
                    signs: field(36, 4) as u8,
                    gain_a: field(33, 3) as u8,
                    gain_b: field(29, 4) as u8,
                },
                SubframeParameters {
                    pitch: field(24, 5) as u8,
                    positions: field(11, 13) as u16,
                    signs: field(7, 4) as u8,
                    gain_a: field(4, 3) as u8,
                    gain_b: field(0, 4) as u8,
                },
            ],
        }
    }

    /// The ten octets of a speech frame. Bits of a field above its width are dropped.
    pub fn to_octets(&self) -> [u8; SPEECH_OCTETS] {
        let [first, second] = &self.subframes;
        let fields = [
            (u16::from(self.lsf_mode), 1),
            (u16::from(self.lsf_stage1), 7),
            (u16::from(self.lsf_low), 5),
            (u16::from(self.lsf_high), 5),
            (u16::from(first.pitch), 8),
            (u16::from(self.parity), 1),
            (first.positions, 13),
            (u16::from(first.signs), 4),
            (u16::from(first.gain_a), 3),
            (u16::from(first.gain_b), 4),
            (u16::from(second.pitch), 5),
            (second.positions, 13),
            (u16::from(second.signs), 4),
            (u16::from(second.gain_a), 3),
            (u16::from(second.gain_b), 4),
        ];
        let bits =
            fields.iter().fold(0_u128, |bits, &(value, width)| bits << width | u128::from(value & ((1 << width) - 1)));
        let mut octets = [0; SPEECH_OCTETS];
        octets.copy_from_slice(&bits.to_be_bytes()[16 - SPEECH_OCTETS..]);
        octets
    }

    /// Whether P0 agrees with the six upper bits of P1 (clause 4.1.2): together with a constant one, the ones are even.
    pub fn parity_holds(&self) -> bool {
        let covered = self.subframes[0].pitch >> 2;
        (covered.count_ones() + u32::from(self.parity & 1)) % 2 == 1
    }
}

/// Parameters of a silence insertion descriptor as transmitted (Annex B clause B.4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SidParameters {
    /// LSF predictor (1 bit).
    pub lsf_mode: u8,
    /// LSF first stage (5 bits).
    pub lsf_stage1: u8,
    /// LSF second stage (4 bits).
    pub lsf_stage2: u8,
    /// Gain (5 bits).
    pub gain: u8,
}

impl SidParameters {
    /// The parameters in the two octets of a descriptor. The last bit is not looked at.
    pub fn from_octets(octets: [u8; SID_OCTETS]) -> Self {
        let bits = u16::from_be_bytes(octets);
        Self {
            lsf_mode: (bits >> 15) as u8,
            lsf_stage1: (bits >> 10 & 0x1f) as u8,
            lsf_stage2: (bits >> 6 & 0xf) as u8,
            gain: (bits >> 1 & 0x1f) as u8,
        }
    }

    /// The two octets of a descriptor. Bits of a field above its width are dropped.
    pub fn to_octets(&self) -> [u8; SID_OCTETS] {
        let bits = u16::from(self.lsf_mode & 1) << 15
            | u16::from(self.lsf_stage1 & 0x1f) << 10
            | u16::from(self.lsf_stage2 & 0xf) << 6
            | u16::from(self.gain & 0x1f) << 1;
        bits.to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_speech_frame_stand_in_the_order_of_table_8() {
        // One bit at a time through the frame: each belongs to exactly one field, and each survives the way back.
        let widths = [1, 7, 5, 5, 8, 1, 13, 4, 3, 4, 5, 13, 4, 3, 4];
        let mut bit = 0;
        for (field, width) in widths.into_iter().enumerate() {
            for in_field in 0..width {
                let mut octets = [0; SPEECH_OCTETS];
                octets[bit / 8] = 0x80 >> (bit % 8);
                let p = SpeechParameters::from_octets(&octets);
                let [a, b] = p.subframes;
                let values = [
                    u16::from(p.lsf_mode),
                    u16::from(p.lsf_stage1),
                    u16::from(p.lsf_low),
                    u16::from(p.lsf_high),
                    u16::from(a.pitch),
                    u16::from(p.parity),
                    a.positions,
                    u16::from(a.signs),
                    u16::from(a.gain_a),
                    u16::from(a.gain_b),
                    u16::from(b.pitch),
                    b.positions,
                    u16::from(b.signs),
                    u16::from(b.gain_a),
                    u16::from(b.gain_b),
                ];
                for (other, value) in values.into_iter().enumerate() {
                    let expected = if other == field { 1 << (width - 1 - in_field) } else { 0 };
                    assert_eq!(value, expected, "bit {bit}, field {other}");
                }
                assert_eq!(p.to_octets(), octets);
                bit += 1;
            }
        }
        assert_eq!(bit, 80);
    }

    #[test]
    fn bits_above_the_width_of_a_field_do_not_spill() {
        let p = SpeechParameters {
            lsf_mode: 0xff,
            lsf_stage1: 0xff,
            lsf_low: 0xff,
            lsf_high: 0xff,
            parity: 0xff,
            subframes: [SubframeParameters { pitch: 0xff, positions: 0xffff, signs: 0xff, gain_a: 0xff, gain_b: 0xff };
                2],
        };
        assert_eq!(p.to_octets(), [0xff; SPEECH_OCTETS]);
        let sid = SidParameters { lsf_mode: 0xff, lsf_stage1: 0xff, lsf_stage2: 0xff, gain: 0xff };
        assert_eq!(sid.to_octets(), [0xff, 0xfe]);
    }

    #[test]
    fn every_descriptor_survives_the_way_through_its_parameters_but_for_the_last_bit() {
        for bits in 0..=u16::MAX {
            let octets = bits.to_be_bytes();
            assert_eq!(SidParameters::from_octets(octets).to_octets(), (bits & 0xfffe).to_be_bytes());
        }
    }

    #[test]
    fn parity_covers_the_six_upper_bits_of_the_pitch_index_only() {
        let mut p = SpeechParameters::default();
        for pitch in 0..=255 {
            p.subframes[0].pitch = pitch;
            let expected = 1 ^ ((pitch >> 2).count_ones() as u8 & 1);
            p.parity = expected;
            assert!(p.parity_holds());
            p.parity = expected ^ 1;
            assert!(!p.parity_holds());
        }
    }
}
