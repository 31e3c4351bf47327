//! The state of a call, and the same state spread over lanes.

use super::super::FRAME_SAMPLES;
use super::super::adaptive_codebook::PAST_EXCITATION;
use super::super::cng::NOISE_SEED;
use super::super::comfort_noise;
use super::super::filter::MEMORY_PAIRS;
use super::super::gain::{GainMemory, SHARPENING_MIN};
use super::super::lsp::{Coefficients, LsfMemory, ORDER};
use super::super::rows;
use super::super::tables::lsp::{LSF_MEM_INIT, LSP_INIT};
use super::super::tables::sid::{CNG_LSP_INIT, SID_GAIN_TAB};
use crate::Level;
use crate::cn;
use crate::isa::{Lanes, WithLanes, with_lanes};

/// Past residual of the long-term post-filter: the longest lag, made even.
pub(super) const PAST_RESIDUAL: usize = 144;

/// Words of the block that is spread over lanes.
const BLOCK_WORDS: usize = 94;

/// Samples of both filter memories, which stay pairs in the lanes.
const MEMORY_SAMPLES: usize = 2 * ORDER;

/// A G.729 decoder: the state of one call in one direction.
///
/// A plain block without pointers: it may be copied, and any decoders can share a batch.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoder {
    /// Both filter memories, then everything of a few words in the order of [`CallLanes::each_word`].
    block: [i16; MEMORY_SAMPLES + BLOCK_WORDS],
    /// Excitation: the past, then the current frame.
    pub(in crate::g729) excitation: [i16; PAST_EXCITATION + FRAME_SAMPLES],
    /// Residual of the post-filter: the past, then the current frame.
    pub(super) residual: [i16; PAST_RESIDUAL + FRAME_SAMPLES],
    /// Whether the last frame was decoded as speech; it decides what a lost one is taken for.
    pub(super) after_speech: i16,
}

/// The block of as many calls as there are lanes.
#[derive(Clone, Copy)]
pub(super) struct CallLanes<L> {
    /// Memory of the synthesis filter.
    pub(super) synthesis: [L; MEMORY_PAIRS],
    /// Memory of the post-filter's synthesis.
    pub(super) post_synthesis: [L; MEMORY_PAIRS],
    /// LSP of the previous frame, Q15.
    pub(super) lsp: Coefficients<L>,
    /// Memory of the LSF predictor, Q13.
    pub(super) lsf_memory: LsfMemory<L>,
    /// LSF of the last good speech frame, Q13.
    pub(super) lsf: Coefficients<L>,
    /// Predictor L0 of the last good speech frame.
    pub(super) lsf_mode: L,
    /// LSP of the last SID, Q15.
    pub(super) sid_lsp: Coefficients<L>,
    /// Innovation energies.
    pub(super) gain_memory: GainMemory<L>,
    /// Sharpening of the code vector, Q14.
    pub(super) sharpening: L,
    /// Lag for concealment.
    pub(super) lag: L,
    /// Last pitch gain, Q14.
    pub(super) pitch_gain: L,
    /// Last code gain, Q1.
    pub(super) code_gain: L,
    /// Random generator of the concealment.
    pub(super) erasure_seed: L,
    /// Random generator of the comfort noise.
    pub(super) noise_seed: L,
    /// Gain of the last SID, Q3.
    pub(super) sid_gain: L,
    /// Smoothed gain of the comfort noise, Q3.
    pub(super) noise_gain: L,
    /// Excitation energy of the last good frame, for a SID that never came: mantissa and shift.
    pub(super) energy: [L; 2],
    /// Last input of the tilt filter.
    pub(super) tilt: L,
    /// Adaptive gain of the post-filter, Q12.
    pub(super) agc_gain: L,
    /// Last two inputs of the output high-pass, `[0]` the most recent.
    pub(super) high_pass_in: [L; 2],
    /// Last two outputs of the output high-pass in double precision, `[0]` the most recent.
    pub(super) high_pass_out: [(L, L); 2],
}

const _: () = assert!(size_of::<Decoder>() <= 2048, "a decoder should fit in 2 KiB");

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder before its first frame.
    #[must_use]
    pub fn new() -> Self {
        let mut decoder = Self {
            block: [0; MEMORY_SAMPLES + BLOCK_WORDS],
            excitation: [0; PAST_EXCITATION + FRAME_SAMPLES],
            residual: [0; PAST_RESIDUAL + FRAME_SAMPLES],
            after_speech: 1,
        };
        with_lanes(Level::Scalar, Initialise(&mut decoder.block));
        decoder
    }

    /// The comfort noise of the last descriptor, as RFC 3389 describes it; after speech without a descriptor it is what stood before. See [`cn`].
    #[must_use]
    pub fn comfort_noise(&self) -> cn::Description {
        let (lsp, gain) = with_lanes(Level::Scalar, LastDescriptor(self.block));
        comfort_noise::description(&lsp, gain)
    }

    /// Whether the last frame was speech, or taken for it: what is lost next is then taken for speech too.
    #[must_use]
    pub const fn is_after_speech(&self) -> bool {
        self.after_speech != 0
    }

    /// The part that is spread over lanes.
    pub(super) fn block_mut(&mut self) -> &mut [i16] {
        &mut self.block
    }

    /// The frame that was decoded becomes the past.
    #[inline(always)]
    pub(super) fn advance(&mut self, was_speech: bool) {
        self.excitation.copy_within(FRAME_SAMPLES.., 0);
        self.residual.copy_within(FRAME_SAMPLES.., 0);
        self.after_speech = was_speech.into();
    }
}

/// Reads LSP and gain of the last descriptor from a block.
struct LastDescriptor([i16; MEMORY_SAMPLES + BLOCK_WORDS]);

impl WithLanes for LastDescriptor {
    type Output = ([i32; ORDER], i32);
    fn run<L: Lanes>(mut self) -> ([i32; ORDER], i32) {
        let lanes = CallLanes::<L>::load(&[&mut self.0]);
        (lanes.sid_lsp.map(|lsp| lsp.to_array()[0]), lanes.sid_gain.to_array()[0])
    }
}

/// Writes the block of a call before its first frame.
struct Initialise<'a>(&'a mut [i16]);

impl WithLanes for Initialise<'_> {
    type Output = ();
    fn run<L: Lanes>(self) {
        let words = |values: &[i16; ORDER]| values.map(|value| L::splat(value.into()));
        let mut lanes = CallLanes {
            lsp: words(&LSP_INIT),
            lsf_memory: [words(&LSF_MEM_INIT); 4],
            lsf: words(&LSF_MEM_INIT),
            sid_lsp: words(&CNG_LSP_INIT),
            gain_memory: [L::splat(-14336); 4],
            sharpening: L::splat(SHARPENING_MIN),
            lag: L::splat(60),
            erasure_seed: L::splat(21845),
            noise_seed: L::splat(NOISE_SEED),
            sid_gain: L::splat(SID_GAIN_TAB[0].into()),
            energy: [L::zero(), L::splat(1)],
            agc_gain: L::splat(4096),
            ..CallLanes::zero()
        };
        lanes.store(&mut [self.0]);
    }
}

impl<L: Lanes> CallLanes<L> {
    #[inline(always)]
    fn zero() -> Self {
        let zero = L::zero();
        Self {
            synthesis: [zero; MEMORY_PAIRS],
            post_synthesis: [zero; MEMORY_PAIRS],
            lsp: [zero; ORDER],
            lsf_memory: [[zero; ORDER]; 4],
            lsf: [zero; ORDER],
            lsf_mode: zero,
            sid_lsp: [zero; ORDER],
            gain_memory: [zero; 4],
            sharpening: zero,
            lag: zero,
            pitch_gain: zero,
            code_gain: zero,
            erasure_seed: zero,
            noise_seed: zero,
            sid_gain: zero,
            noise_gain: zero,
            energy: [zero; 2],
            tilt: zero,
            agc_gain: zero,
            high_pass_in: [zero; 2],
            high_pass_out: [(zero, zero); 2],
        }
    }

    /// Every word, in the order of the block.
    #[inline(always)]
    fn each_word(&mut self, mut visit: impl FnMut(&mut L)) {
        self.lsp.iter_mut().for_each(&mut visit);
        self.lsf_memory.as_flattened_mut().iter_mut().for_each(&mut visit);
        self.lsf.iter_mut().for_each(&mut visit);
        visit(&mut self.lsf_mode);
        self.sid_lsp.iter_mut().for_each(&mut visit);
        self.gain_memory.iter_mut().for_each(&mut visit);
        visit(&mut self.sharpening);
        visit(&mut self.lag);
        visit(&mut self.pitch_gain);
        visit(&mut self.code_gain);
        visit(&mut self.erasure_seed);
        visit(&mut self.noise_seed);
        visit(&mut self.sid_gain);
        visit(&mut self.noise_gain);
        self.energy.iter_mut().for_each(&mut visit);
        visit(&mut self.tilt);
        visit(&mut self.agc_gain);
        self.high_pass_in.iter_mut().for_each(&mut visit);
        for (high, low) in &mut self.high_pass_out {
            visit(high);
            visit(low);
        }
    }

    /// Spreads the blocks of up to as many calls as there are lanes; lanes without a call are zero.
    #[inline(always)]
    pub(super) fn load(blocks: &[&mut [i16]]) -> Self {
        let mut pairs = [L::zero(); (MEMORY_SAMPLES + BLOCK_WORDS) / 2];
        rows::load(blocks, |_| 0, &mut pairs);
        let mut lanes = Self::zero();
        lanes.synthesis.copy_from_slice(&pairs[..MEMORY_PAIRS]);
        lanes.post_synthesis.copy_from_slice(&pairs[MEMORY_PAIRS..2 * MEMORY_PAIRS]);
        let mut words = [L::zero(); BLOCK_WORDS];
        for (words, pair) in words.as_chunks_mut::<2>().0.iter_mut().zip(&pairs[2 * MEMORY_PAIRS..]) {
            *words = [pair.low(), pair.high()];
        }
        let mut words = words.into_iter();
        lanes.each_word(|word| *word = words.next().unwrap_or(L::zero()));
        lanes
    }

    /// Puts the blocks back, the inverse of [`CallLanes::load`].
    #[inline(always)]
    pub(super) fn store(&mut self, blocks: &mut [&mut [i16]]) {
        let mut pairs = [L::zero(); (MEMORY_SAMPLES + BLOCK_WORDS) / 2];
        pairs[..MEMORY_PAIRS].copy_from_slice(&self.synthesis);
        pairs[MEMORY_PAIRS..2 * MEMORY_PAIRS].copy_from_slice(&self.post_synthesis);
        let mut words = [L::zero(); BLOCK_WORDS];
        let mut count = 0;
        self.each_word(|word| {
            words[count] = *word;
            count += 1;
        });
        for (pair, words) in pairs[2 * MEMORY_PAIRS..].iter_mut().zip(words.as_chunks::<2>().0) {
            *pair = L::pair(words[0], words[1]);
        }
        L::store_pairs(&pairs, blocks);
    }
}
