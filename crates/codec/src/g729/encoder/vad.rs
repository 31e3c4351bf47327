//! Voice activity detection (ITU-T G.729 Annex B clause B.3).

use super::lp_analysis::{LAGS, Split};
use super::lsf_quantiser::last_cell;
use super::state::WINDOW_PAIRS;
use crate::g729::filter::half;
use crate::g729::functions::log2;
use crate::g729::lsp::{Coefficients, ORDER};
use crate::g729::tables::vad::{
    ACOS_SLOPE65, COS_TAB65, VAD_LOWBAND_CORR, VAD_MEAN_FACTOR, VAD_MEAN_SHIFT, VAD_UPDATE_SCHEDULE,
};
use crate::isa::{BasicOp, LaneMask, Lanes, always};

/// Frames in which the background is learnt.
const START_FRAMES: i32 = 32;
/// Frames from which on the minimum is tracked over a sliding window.
const SLIDING_FROM: i32 = 129;
/// Full-band energy below which there is no voice, Q11.
const QUIET: i32 = 3072;
/// Margin of the energy in smoothing and update, Q11.
const MARGIN: i32 = 614;

/// What the detector remembers of a call, a word each.
#[derive(Clone, Copy)]
pub(super) struct VadState<L> {
    /// Number of the frame: from 1 on, and from 256 on again after 32767.
    pub(super) frame: L,
    /// Decisions on the last frame and the one before.
    pub(super) last: L,
    pub(super) last_but_one: L,
    /// Background means: LSF, full-band energy and two derived from it, zero crossings.
    pub(super) mean_lsf: Coefficients<L>,
    pub(super) mean_energy: L,
    pub(super) mean_background: L,
    pub(super) mean_low_band: L,
    pub(super) mean_crossings: L,
    /// Minima of the energy over the last 16 times 8 frames.
    pub(super) minima: [L; 16],
    /// Their least, the next to come, and the running minimum.
    pub(super) least: L,
    pub(super) next_minimum: L,
    pub(super) minimum: L,
    pub(super) last_energy: L,
    /// Counters: frames of silence, updates, extended frames, frames too quiet to learn from.
    pub(super) silent: L,
    pub(super) updates: L,
    pub(super) extended: L,
    pub(super) skipped: L,
    /// Whether a stretch of voice may be extended.
    pub(super) may_extend: L,
}

impl<L: Lanes> VadState<L> {
    /// Before the first frame.
    #[inline(always)]
    pub(super) fn initial() -> Self {
        let zero = L::zero();
        let one = L::splat(1);
        Self {
            frame: zero,
            last: one,
            last_but_one: one,
            mean_lsf: [zero; ORDER],
            mean_energy: zero,
            mean_background: zero,
            mean_low_band: zero,
            mean_crossings: zero,
            minima: [zero; 16],
            least: L::splat(0x7fff),
            next_minimum: L::splat(0x7fff),
            minimum: L::splat(0x7fff),
            last_energy: zero,
            silent: zero,
            updates: zero,
            extended: zero,
            skipped: zero,
            may_extend: one,
        }
    }

    /// Every word in the order in which they are stored.
    #[inline(always)]
    pub(super) fn each_word(&mut self, mut visit: impl FnMut(&mut L)) {
        visit(&mut self.frame);
        visit(&mut self.last);
        visit(&mut self.last_but_one);
        self.mean_lsf.iter_mut().for_each(&mut visit);
        visit(&mut self.mean_energy);
        visit(&mut self.mean_background);
        visit(&mut self.mean_low_band);
        visit(&mut self.mean_crossings);
        self.minima.iter_mut().for_each(&mut visit);
        visit(&mut self.least);
        visit(&mut self.next_minimum);
        visit(&mut self.minimum);
        visit(&mut self.last_energy);
        visit(&mut self.silent);
        visit(&mut self.updates);
        visit(&mut self.extended);
        visit(&mut self.skipped);
        visit(&mut self.may_extend);
    }
}

/// What the detector measures in a frame (clause B.3.1).
struct Features<L> {
    /// Normalised LSF, Q15.
    lsf: Coefficients<L>,
    /// Full-band and low-band energy, Q11.
    energy: L,
    low_band: L,
    /// Zero crossings of the last 80 samples but 40, Q15.
    crossings: L,
}

/// Entry `i` is the pair (cosine at cell `i`, slope of its inverse there).
static ARC_COSINE: [i32; 64] = {
    let mut pairs = [0; 64];
    let mut i = 0;
    while i < 64 {
        pairs[i] = (ACOS_SLOPE65[i] as i32) << 16 | (COS_TAB65[i] as i32 & 0xffff);
        i += 1;
    }
    pairs
};

impl<L: Lanes> Features<L> {
    #[inline(always)]
    fn new(lsp: &Coefficients<L>, r: &[Split<L>; LAGS + 1], exponent: L, speech: &[L; WINDOW_PAIRS]) -> Self {
        let mut lsf = [L::zero(); ORDER];
        let mut cell = L::splat(63);
        for i in (0..ORDER).rev() {
            cell = cell.min(last_cell(&ARC_COSINE, lsp[i]));
            let entry = L::lookup(&ARC_COSINE, cell);
            let offset = lsp[i].sub(entry.low()).l_mult(entry.high()).l_shl_n::<3>().round();
            lsf[i] = offset.add(cell.sll::<8>());
        }

        let decibel = always!(|energy: L| {
            const PER_OCTAVE: i32 = 9864;
            let level = L::mpy_32_16(log2(energy), L::splat(PER_OCTAVE));
            let level = level.l_mac(L::splat(PER_OCTAVE), exponent.sub_wrap(L::splat(2)));
            level.l_shl_n::<11>().extract_h().sub(L::splat(4875))
        });
        let mut low_band = L::zero();
        for i in 1..=LAGS {
            low_band = low_band.l_mac_coef(r[i].0, L::splat(VAD_LOWBAND_CORR[i].into()));
        }
        let low_band = low_band.l_shl_n::<1>().l_mac_coef(r[0].0, L::splat(VAD_LOWBAND_CORR[0].into()));

        let mut crossings = L::zero();
        for n in 121..201 {
            let product = half(speech, n - 1).mul16(half(speech, n));
            crossings = crossings.sub_wrap(product.sra::<31>());
        }
        Self {
            lsf,
            energy: decibel(L::l_comp(r[0])),
            low_band: decibel(low_band),
            crossings: crossings.mul16(L::splat(410)).saturate(),
        }
    }
}

/// Where the mask is set, a new value.
#[inline(always)]
fn put<L: Lanes>(mask: L::Mask, value: L, place: &mut L) {
    *place = L::select(mask, value, *place);
}

/// Decides on a frame: the lanes with voice. `reflection` is the second reflection coefficient.
#[inline(always)]
pub(super) fn detect<L: Lanes>(
    state: &mut VadState<L>,
    lsp: &Coefficients<L>,
    r: &[Split<L>; LAGS + 1],
    exponent: L,
    reflection: L,
    speech: &[L; WINDOW_PAIRS],
) -> L::Mask {
    let one = L::splat(1);
    let frame = L::select(state.frame.eq(L::splat(0x7fff)), L::splat(256), state.frame.add_wrap(one));
    state.frame = frame;
    let features = Features::new(lsp, r, exponent, speech);
    let mut distance = L::zero();
    for i in 0..ORDER {
        let difference = features.lsf[i].sub(state.mean_lsf[i]);
        distance = distance.l_mac(difference, difference);
    }
    let distance = distance.extract_h();

    track_minimum(state, features.energy);
    let quiet = features.energy.lt(L::splat(QUIET));
    let started = frame.ge(L::splat(START_FRAMES));
    let mut voice = quiet.not();
    learn(state, &features, quiet);
    let decided = decide(state, &features, distance, quiet);
    let smoothed = smooth(state, &features, decided, reflection, started);
    voice = voice.and(started.not()).or(smoothed.and(started));
    update(state, &features, distance, reflection, started);
    state.last_energy = features.energy;
    voice
}

/// Minimum of the energy over the last 128 frames (clause B.3.3).
#[inline(always)]
fn track_minimum<L: Lanes>(state: &mut VadState<L>, energy: L) {
    let frame = state.frame;
    let most = L::splat(0x7fff);
    let in_eight = frame.and(L::splat(7));
    let eighth = in_eight.eq(L::zero());
    let sliding = frame.ge(L::splat(SLIDING_FROM));

    let lower = energy.lt(state.minimum).and(sliding.not());
    put::<L>(lower, energy, &mut state.minimum);
    put::<L>(lower, energy, &mut state.least);
    let filled = eighth.and(sliding.not());
    let place = frame.sra::<3>().sub_wrap(L::splat(1));
    for (i, minimum) in state.minima.iter_mut().enumerate() {
        put::<L>(filled.and(place.eq(L::splat(i as i32))), state.minimum, minimum);
    }
    put::<L>(filled, most, &mut state.minimum);
    let least = always!(|minima: &[L; 16]| minima.iter().fold(
        most,
        #[inline(always)]
        |least, minimum| least.min(*minimum)
    ));
    put::<L>(eighth, least(&state.minima), &mut state.least);

    let first = sliding.and(in_eight.eq(L::splat(1)));
    put::<L>(first, state.least, &mut state.minimum);
    put::<L>(first, most, &mut state.next_minimum);
    put::<L>(sliding, state.minimum.min(energy), &mut state.minimum);
    put::<L>(sliding, state.next_minimum.min(energy), &mut state.next_minimum);
    let slides = sliding.and(eighth);
    for i in 0..16 {
        let next = if i < 15 { state.minima[i + 1] } else { state.next_minimum };
        put::<L>(slides, next, &mut state.minima[i]);
    }
    put::<L>(slides, least(&state.minima), &mut state.least);
}

/// Means over the first 32 frames that are not quiet (clause B.3.2).
#[inline(always)]
fn learn<L: Lanes>(state: &mut VadState<L>, features: &Features<L>, quiet: L::Mask) {
    let starting = state.frame.le(L::splat(START_FRAMES));
    if !starting.any() {
        return;
    }
    let skips = starting.and(quiet);
    put::<L>(skips, state.skipped.add_wrap(L::splat(1)), &mut state.skipped);
    let learns = starting.and(quiet.not());
    let weight = L::splat(1024);
    let ends = state.frame.eq(L::splat(START_FRAMES));
    let table = always!(|table: &[i16; 33]| {
        let mut wide = [0; 33];
        for i in 0..33 {
            wide[i] = table[i].into();
        }
        L::lookup(&wide, state.skipped)
    });
    let (factor, shift) = (table(&VAD_MEAN_FACTOR), table(&VAD_MEAN_SHIFT));
    let learn = always!(|mean: &mut L, value: L| {
        put::<L>(learns, mean.l_deposit_h().l_mac_coef(value, weight).extract_h(), mean);
        put::<L>(ends, mean.l_mult(factor).l_shl(shift).extract_h(), mean);
    });
    learn(&mut state.mean_energy, features.energy);
    learn(&mut state.mean_crossings, features.crossings);
    for i in 0..ORDER {
        learn(&mut state.mean_lsf[i], features.lsf[i]);
    }
    put::<L>(ends, state.mean_energy.sub(L::splat(2048)), &mut state.mean_background);
    put::<L>(ends, state.mean_energy.sub(L::splat(2458)), &mut state.mean_low_band);
}

/// The multi-boundary decision: voice where any boundary is crossed (clause B.3.5).
#[inline(always)]
fn decide<L: Lanes>(state: &VadState<L>, features: &Features<L>, distance: L, quiet: L::Mask) -> L::Mask {
    let full = state.mean_background.sub(features.energy);
    let low = state.mean_low_band.sub(features.low_band);
    let crossings = state.mean_crossings.sub(features.crossings);
    let line = always!(|x: L, slope: i32, scale: i32, offset: i32| x
        .l_mult(L::splat(slope))
        .l_mac(L::splat(scale), L::splat(offset)));
    let plus = always!(|sum: L, y: L| sum.l_add(y.l_deposit_h()));
    let zero = L::zero();
    let boundaries = [
        zero.lt(plus(line(crossings, -14680, 8192, -28521).sra::<8>(), distance)),
        zero.lt(plus(line(crossings, 19065, 8192, -19446).sra::<7>(), distance)),
        zero.gt(plus(line(crossings, 20480, 8192, 16384).sra::<2>(), full)),
        zero.gt(plus(line(crossings, -16384, 8192, 19660).sra::<2>(), full)),
        zero.gt(line(full, 32767, 1024, 30802)),
        zero.gt(line(distance, -28160, 64, 19988).l_mac(full, L::splat(512))),
        zero.lt(line(distance, 32767, 32, -30199)),
        zero.gt(plus(line(crossings, -20480, 8192, 22938).sra::<2>(), full)),
        zero.gt(plus(line(crossings, 23831, 4096, 31576).sra::<2>(), full)),
        zero.gt(line(full, 32767, 2048, 17367)),
        zero.gt(line(distance, -22400, 32, 25395).l_mac(low, L::splat(256))),
        zero.lt(plus(line(full, -30427, 256, -29959), low)),
        zero.gt(plus(line(full, -23406, 512, 28087), low)),
        zero.gt(line(full, 24576, 1024, 29491).l_mac(low, L::splat(16384))),
    ];
    let mut voice = boundaries[0];
    for boundary in boundaries {
        voice = voice.or(boundary);
    }
    voice.and(quiet.not())
}

/// Smooths the decision over time, in the lanes that have `started` (clause B.3.6).
#[inline(always)]
fn smooth<L: Lanes>(
    state: &mut VadState<L>,
    features: &Features<L>,
    decided: L::Mask,
    reflection: L,
    started: L::Mask,
) -> L::Mask {
    let zero = L::zero();
    let one = L::splat(1);
    let margin = L::splat(MARGIN);
    let energy = features.energy;
    let was_voice = state.last.eq(one);
    let mut voice = decided;

    // Voice does not end while the energy is above that of the background.
    let above = state.mean_background.sub(energy).add(L::splat(410)).lt(zero);
    let kept = started.and(was_voice).and(voice.not()).and(above).and(energy.gt(L::splat(QUIET)));
    voice = voice.or(kept);

    // Nor within four frames while the energy hardly changes.
    let may = state.may_extend.eq(one);
    let steady = state.last_energy.sub(energy).abs_s().le(margin);
    let extends = started.and(may).and(was_voice).and(state.last_but_one.eq(one)).and(voice.not()).and(steady);
    let count = state.extended.add_wrap(one);
    let exhausted = count.gt(L::splat(4));
    put::<L>(extends, L::select(exhausted, zero, count), &mut state.extended);
    put::<L>(started.and(may.not()), one, &mut state.may_extend);
    put::<L>(extends.and(exhausted), zero, &mut state.may_extend);
    voice = voice.or(extends);
    let prolonged = kept.or(extends);

    // After ten frames of silence voice begins with a rise of the energy.
    put::<L>(started.and(voice.not()), state.silent.add_wrap(one), &mut state.silent);
    let flat = energy.sub(state.last_energy).le(margin);
    let false_start = started.and(voice).and(state.silent.gt(L::splat(10))).and(flat);
    voice = voice.and(false_start.not());
    put::<L>(false_start.or(started.and(voice)), zero, &mut state.silent);

    let low = energy.sub(margin).lt(state.mean_background);
    let learnt = state.frame.gt(L::splat(128));
    voice.and(low.and(learnt).and(prolonged.not()).and(reflection.lt(L::splat(19661))).not())
}

/// Lets the means follow the background, in the lanes that have `started` (clause B.3.7).
#[inline(always)]
fn update<L: Lanes>(state: &mut VadState<L>, features: &Features<L>, distance: L, reflection: L, started: L::Mask) {
    let alike = distance.lt(L::splat(83));
    let low = features.energy.sub(L::splat(MARGIN)).lt(state.mean_background);
    let updates = started.and(low).and(alike).and(reflection.lt(L::splat(24576)));
    let count = state.updates.add_wrap(L::splat(1)).min(L::splat(0x7ffe));
    put::<L>(updates, count, &mut state.updates);
    // The first row that the count has not reached.
    let mut weights = [L::zero(); 6];
    for row in VAD_UPDATE_SCHEDULE.iter().rev() {
        let below = count.lt(L::splat(row[0].into()));
        for (weight, value) in weights.iter_mut().zip(&row[1..]) {
            *weight = L::select(below, L::splat((*value).into()), *weight);
        }
    }
    let follow = always!(|mean: &mut L, value: L, which: usize| {
        let sum = mean.l_mult(weights[which]).l_mac(value, weights[which + 1]);
        put::<L>(updates, sum.extract_h(), mean);
    });
    follow(&mut state.mean_background, features.energy, 0);
    follow(&mut state.mean_low_band, features.low_band, 0);
    follow(&mut state.mean_crossings, features.crossings, 2);
    for i in 0..ORDER {
        follow(&mut state.mean_lsf[i], features.lsf[i], 4);
    }

    let learnt = started.and(state.frame.gt(L::splat(128)));
    let below = state.mean_background.lt(state.minimum).and(alike);
    let beyond = state.mean_background.sub(state.minimum).gt(L::splat(2048));
    let resets = learnt.and(below.or(beyond));
    put::<L>(resets, state.minimum, &mut state.mean_background);
    put::<L>(resets, L::zero(), &mut state.updates);
}
