//! The state of a call, and the same state spread over lanes.

use core::cell::Cell;

use arrayvec::ArrayVec;

use super::dtx::DtxState;
use super::open_loop::{WEIGHTED_HISTORY, WEIGHTED_PAIRS};
use super::taming::TAMING_ONE;
use super::vad::VadState;
use crate::g729::adaptive_codebook::PAST_EXCITATION;
use crate::g729::filter::MEMORY_PAIRS;
use crate::g729::gain::{GainMemory, SHARPENING_MIN};
use crate::g729::lsp::{Coefficients, LsfMemory, ORDER};
use crate::g729::tables::lsp::{LSF_MEM_INIT, LSP_INIT};
use crate::g729::{FRAME_PAIRS, FRAME_SAMPLES};
use crate::isa::{Lanes, WithLanes, always, with_lanes};
use crate::level::Level;

/// Samples of the LP analysis window: 120 past, 80 present, 40 ahead.
pub(super) const WINDOW: usize = 240;
/// Pairs of it.
pub(super) const WINDOW_PAIRS: usize = WINDOW / 2;

/// Pairs of the block that is spread over lanes.
const BLOCK_PAIRS: usize = 61;

/// Words of Annex B's own block.
const SILENCE_WORDS: usize = 136;

/// A G.729 encoder: the state of one call in one direction.
///
/// A plain block without pointers: it may be copied, and any encoders can share a batch.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoder {
    /// Everything of a few words, in the order of [`CallLanes::each_pair`].
    block: [i16; 2 * BLOCK_PAIRS],
    /// The window of the LP analysis. Between frames only its past is kept, at the front.
    speech: [i16; WINDOW],
    /// Past weighted speech.
    weighted: [i16; WEIGHTED_HISTORY],
    /// Excitation: the past, then the current frame.
    pub(in crate::g729) excitation: [i16; PAST_EXCITATION + FRAME_SAMPLES],
    /// Whether frames without voice are sent as descriptors or not at all.
    pub(super) annex_b: i16,
    /// What only Annex B remembers, in the order of [`SilenceLanes::each_word`].
    silence: [i16; 2 * SILENCE_WORDS],
}

/// The state of as many calls as there are lanes, but for the excitation, which is wanted call by call.
#[derive(Clone, Copy)]
pub(super) struct CallLanes<L> {
    /// The LP analysis window; room for the newest frame at the end.
    pub(super) speech: [L; WINDOW_PAIRS],
    /// Weighted speech; room for the current frame at the end.
    pub(super) weighted: [L; WEIGHTED_PAIRS],
    /// Last outputs of the open-loop weighting filter.
    pub(super) weighting: [L; MEMORY_PAIRS],
    /// Memory of the filter that forms the target.
    pub(super) target: [L; MEMORY_PAIRS],
    /// Last unquantised LSP, Q15.
    pub(super) lsp: Coefficients<L>,
    /// LSP of the newest window, Q15.
    pub(super) new_lsp: Coefficients<L>,
    /// Last quantised LSP, Q15.
    pub(super) quantised_lsp: Coefficients<L>,
    /// Memory of the LSF predictor, Q13.
    pub(super) lsf_memory: LsfMemory<L>,
    /// Last stable A(z) without its leading one, Q12.
    pub(super) stable_lp: Coefficients<L>,
    /// Its first two reflection coefficients, Q15.
    pub(super) stable_reflection: [L; 2],
    /// Innovation energies, Q10 dB.
    pub(super) gain_memory: GainMemory<L>,
    /// Sharpening of the code vector, Q14.
    pub(super) sharpening: L,
    /// Bound of the accumulated excitation error by zone of 40 samples, Q14, 32 bits.
    pub(super) taming: [L; 4],
    /// Last two inputs of the high-pass, a pair.
    pub(super) high_pass_in: L,
    /// Last two outputs of the high-pass in 32 bits, the most recent first.
    pub(super) high_pass_out: [L; 2],
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder before its first frame, without Annex B: every frame is sent as speech.
    #[must_use]
    pub fn new() -> Self {
        let mut encoder = Self {
            block: [0; 2 * BLOCK_PAIRS],
            speech: [0; WINDOW],
            weighted: [0; WEIGHTED_HISTORY],
            excitation: [0; PAST_EXCITATION + FRAME_SAMPLES],
            annex_b: 0,
            silence: [0; 2 * SILENCE_WORDS],
        };
        with_lanes(Level::Scalar, Initialise(&mut encoder));
        encoder
    }

    /// An encoder before its first frame, with Annex B: frames without voice are described now and then, or not sent.
    #[must_use]
    pub fn with_annex_b() -> Self {
        Self { annex_b: 1, ..Self::new() }
    }

    /// The frame that was encoded becomes the past.
    pub(super) fn advance(&mut self) {
        self.excitation.copy_within(FRAME_SAMPLES.., 0);
    }
}

/// Writes the block of a call before its first frame.
struct Initialise<'a>(&'a mut Encoder);

impl WithLanes for Initialise<'_> {
    type Output = ();
    fn run<L: Lanes>(self) {
        let words = always!(|values: &[i16; ORDER]| values.map(|value| L::splat(value.into())));
        let mut lanes = CallLanes {
            lsp: words(&LSP_INIT),
            quantised_lsp: words(&LSP_INIT),
            lsf_memory: [words(&LSF_MEM_INIT); 4],
            gain_memory: [L::splat(-14336); 4],
            sharpening: L::splat(SHARPENING_MIN),
            taming: [L::splat(TAMING_ONE); 4],
            ..CallLanes::zero()
        };
        lanes.store(&mut [self.0], 0);
        let mut silence = SilenceLanes { vad: VadState::<L>::initial(), dtx: DtxState::initial() };
        silence.store(&mut [self.0]);
    }
}

/// Rows of a part of the calls' states; the first call also fills the lanes without one.
#[inline(always)]
fn rows<'a>(calls: &[&'a Encoder], part: fn(&'a Encoder) -> &'a [i16]) -> [&'a [i16]; 16] {
    let mut rows: [&[i16]; 16] = [part(calls[0]); 16];
    for (row, call) in rows.iter_mut().zip(calls) {
        *row = part(call);
    }
    rows
}

/// Stores pairs into a part of the calls' states.
#[inline(always)]
fn put<L: Lanes>(values: &[L], calls: &mut [&mut Encoder], part: fn(&mut Encoder) -> &mut [i16]) {
    let mut rows: ArrayVec<&mut [i16], 16> = ArrayVec::new();
    for call in calls {
        rows.push(part(call));
    }
    L::store_pairs(values, &mut rows);
}

/// What only Annex B remembers, of as many calls as there are lanes.
pub(super) struct SilenceLanes<L> {
    pub(super) vad: VadState<L>,
    pub(super) dtx: DtxState<L>,
}

impl<L: Lanes> SilenceLanes<L> {
    #[inline(always)]
    fn each_word(&mut self, mut visit: impl FnMut(&mut L)) {
        self.vad.each_word(&mut visit);
        self.dtx.each_word(&mut visit);
    }

    /// Spreads up to as many calls as there are lanes.
    #[inline(always)]
    pub(super) fn load(calls: &[&Encoder]) -> Self {
        let mut words = [L::zero(); SILENCE_WORDS];
        L::load_pairs(
            &rows(
                calls,
                #[inline(always)]
                |call| &call.silence,
            ),
            &mut words,
        );
        let mut lanes = Self { vad: VadState::initial(), dtx: DtxState::initial() };
        let mut count = 0;
        lanes.each_word(
            #[inline(always)]
            |word| {
                *word = words[count];
                count += 1;
            },
        );
        lanes
    }

    /// Puts the calls back.
    #[inline(always)]
    pub(super) fn store(&mut self, calls: &mut [&mut Encoder]) {
        let mut words = [L::zero(); SILENCE_WORDS];
        let mut count = 0;
        self.each_word(
            #[inline(always)]
            |word| {
                words[count] = *word;
                count += 1;
            },
        );
        put(
            &words,
            calls,
            #[inline(always)]
            |call| &mut call.silence,
        );
    }
}

impl<L: Lanes> CallLanes<L> {
    /// Room for calls.
    #[inline(always)]
    pub(super) fn zero() -> Self {
        let zero = L::zero();
        Self {
            speech: [zero; WINDOW_PAIRS],
            weighted: [zero; WEIGHTED_PAIRS],
            weighting: [zero; MEMORY_PAIRS],
            target: [zero; MEMORY_PAIRS],
            lsp: [zero; ORDER],
            new_lsp: [zero; ORDER],
            quantised_lsp: [zero; ORDER],
            lsf_memory: [[zero; ORDER]; 4],
            stable_lp: [zero; ORDER],
            stable_reflection: [zero; 2],
            gain_memory: [zero; 4],
            sharpening: zero,
            taming: [zero; 4],
            high_pass_in: zero,
            high_pass_out: [zero; 2],
        }
    }

    /// Everything of the block: what is 16 bits wide two by two, then what takes a word of its own.
    #[inline(always)]
    fn each_pair(&mut self, mut two: impl FnMut(&mut [L]), mut one: impl FnMut(&mut L)) {
        two(&mut self.lsp);
        two(&mut self.new_lsp);
        two(&mut self.quantised_lsp);
        two(self.lsf_memory.as_flattened_mut());
        two(&mut self.stable_lp);
        two(&mut self.stable_reflection);
        two(&mut self.gain_memory);
        self.weighting.iter_mut().for_each(&mut one);
        self.target.iter_mut().for_each(&mut one);
        one(&mut self.sharpening);
        self.taming.iter_mut().for_each(&mut one);
        one(&mut self.high_pass_in);
        self.high_pass_out.iter_mut().for_each(&mut one);
    }

    /// Spreads up to as many calls as there are lanes; the first one also fills the lanes without a call. `newest` are
    /// the pairs of the newest frame that the window has already taken in.
    #[inline(always)]
    pub(super) fn load(&mut self, calls: &[&Encoder], newest: usize) {
        let lanes = self;
        let kept = WINDOW_PAIRS - FRAME_PAIRS + newest;
        L::load_pairs(
            &rows(
                calls,
                #[inline(always)]
                |call| &call.speech,
            ),
            &mut lanes.speech[..kept],
        );
        L::load_pairs(
            &rows(
                calls,
                #[inline(always)]
                |call| &call.weighted,
            ),
            &mut lanes.weighted[..WEIGHTED_PAIRS - FRAME_PAIRS],
        );
        let mut pairs = [L::zero(); BLOCK_PAIRS];
        L::load_pairs(
            &rows(
                calls,
                #[inline(always)]
                |call| &call.block,
            ),
            &mut pairs,
        );
        let next = Cell::new(0);
        let take = always!(|| {
            next.set(next.get() + 1);
            pairs[next.get() - 1]
        });
        lanes.each_pair(
            #[inline(always)]
            |words| {
                for words in words.as_chunks_mut::<2>().0 {
                    let pair = take();
                    *words = [pair.low(), pair.high()];
                }
            },
            #[inline(always)]
            |word| *word = take(),
        );
    }

    /// Puts the calls back, the inverse of [`CallLanes::load`].
    #[inline(always)]
    pub(super) fn store(&mut self, calls: &mut [&mut Encoder], newest: usize) {
        let pairs = [const { Cell::new(None) }; BLOCK_PAIRS];
        let next = Cell::new(0);
        let give = always!(|pair: L| {
            pairs[next.get()].set(Some(pair));
            next.set(next.get() + 1);
        });
        self.each_pair(
            #[inline(always)]
            |words| {
                for words in words.as_chunks::<2>().0 {
                    give(L::pair(words[0], words[1]));
                }
            },
            #[inline(always)]
            |word| give(*word),
        );
        let mut block = [L::zero(); BLOCK_PAIRS];
        for (block, pair) in block.iter_mut().zip(&pairs) {
            *block = pair.get().unwrap_or(L::zero());
        }
        put(
            &block,
            calls,
            #[inline(always)]
            |call| &mut call.block,
        );
        put(
            &self.speech[..WINDOW_PAIRS - FRAME_PAIRS + newest],
            calls,
            #[inline(always)]
            |call| &mut call.speech,
        );
        put(
            &self.weighted[..WEIGHTED_PAIRS - FRAME_PAIRS],
            calls,
            #[inline(always)]
            |call| &mut call.weighted,
        );
    }

    /// The frame that was encoded becomes the past.
    #[inline(always)]
    pub(super) fn advance(&mut self) {
        self.speech.copy_within(FRAME_PAIRS.., 0);
        self.weighted.copy_within(FRAME_PAIRS.., 0);
    }
}
