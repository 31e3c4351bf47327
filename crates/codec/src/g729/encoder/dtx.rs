//! Discontinuous transmission: when to describe the background noise, and as what (ITU-T G.729 Annex B clauses B.4.1
//! and B.4.2).

use super::lp_analysis::{Autocorrelation, LAGS, Prediction, Split, levinson};
use super::lsp_search::lsp_of;
use super::sid_quantiser::{self, SidCodes};
use super::state::CallLanes;
use crate::cn;
use crate::g729::cng::smooth_gain;
use crate::g729::comfort_noise;
use crate::g729::lsp::{Coefficients, ORDER};
use crate::g729::sid::quantise_gain;
use crate::g729::tables::sid::{CNG_LSP_INIT, SID_GAIN_FACTOR, SID_GAIN_MARGIN, SID_GAIN_TAB};
use crate::isa::{BasicOp, LaneMask, Lanes, always};

/// An autocorrelation of 11 lags on its own scale.
#[derive(Clone, Copy)]
pub(super) struct ScaledLags<L> {
    r: [L; ORDER + 1],
    shift: L,
}

impl<L: Lanes> ScaledLags<L> {
    #[inline(always)]
    fn none() -> Self {
        Self { r: [L::zero(); ORDER + 1], shift: L::splat(40) }
    }

    /// The sum on a common scale, normalised again.
    #[inline(always)]
    fn sum<const N: usize>(parts: &[Self; N]) -> Self {
        let least = parts.iter().fold(
            parts[0].shift,
            #[inline(always)]
            |least, part| least.min(part.shift),
        );
        let common = least.add_wrap(L::splat(14));
        let mut sums = [L::zero(); ORDER + 1];
        for part in parts {
            let places = common.sub_wrap(part.shift);
            for j in 0..=ORDER {
                sums[j] = sums[j].l_add(part.r[j].l_shl(places));
            }
        }
        let up = sums[0].norm_l();
        for sum in &mut sums {
            *sum = sum.l_shl(up).extract_h();
        }
        Self { r: sums, shift: common.add_wrap(up).sub_wrap(L::splat(16)) }
    }

    #[inline(always)]
    fn select(mask: L::Mask, a: &Self, b: &Self) -> Self {
        let mut chosen = *b;
        for j in 0..=ORDER {
            chosen.r[j] = L::select(mask, a.r[j], b.r[j]);
        }
        chosen.shift = L::select(mask, a.shift, b.shift);
        chosen
    }

    #[inline(always)]
    fn each_word(&mut self, mut visit: impl FnMut(&mut L)) {
        self.r.iter_mut().for_each(&mut visit);
        visit(&mut self.shift);
    }
}

/// What discontinuous transmission remembers of a call, a word each.
#[derive(Clone, Copy)]
pub(super) struct DtxState<L> {
    /// Autocorrelations of the last two frames, and sums over pairs of frames, the newest first.
    frames: [ScaledLags<L>; 2],
    sums: [ScaledLags<L>; 3],
    /// Residual energies of the last two inactive frames and their scales.
    energy: [L; 2],
    energy_shift: [L; 2],
    /// 0 or 1: a sum is formed in every second frame.
    phase: L,
    /// Whether the noise has changed since the last descriptor.
    changed: L,
    /// Frames since the last descriptor.
    since: L,
    /// Energies averaged.
    averaged: L,
    /// Level of the last descriptor, dB.
    level: L,
    /// Gain of the last descriptor and the gain in use, Q3.
    sid_gain: L,
    gain: L,
    /// Autocorrelation of the coefficients of the last descriptor's filter.
    reference: ScaledLags<L>,
    /// LSP of the last descriptor, Q15.
    lsp: Coefficients<L>,
    /// Seed of the comfort noise.
    pub(super) seed: L,
}

impl<L: Lanes> DtxState<L> {
    /// Before the first frame.
    #[inline(always)]
    pub(super) fn initial() -> Self {
        let zero = L::zero();
        let mut lsp = [zero; ORDER];
        for (lsp, initial) in lsp.iter_mut().zip(CNG_LSP_INIT) {
            *lsp = L::splat(initial.into());
        }
        Self {
            frames: [ScaledLags::none(); 2],
            sums: [ScaledLags::none(); 3],
            energy: [zero; 2],
            energy_shift: [L::splat(40); 2],
            phase: zero,
            changed: zero,
            since: zero,
            averaged: zero,
            level: zero,
            sid_gain: zero,
            gain: zero,
            reference: ScaledLags { r: [zero; ORDER + 1], shift: zero },
            lsp,
            seed: L::splat(crate::g729::cng::NOISE_SEED),
        }
    }

    /// Every word in the order in which they are stored.
    #[inline(always)]
    pub(super) fn each_word(&mut self, mut visit: impl FnMut(&mut L)) {
        for lags in self.frames.iter_mut().chain(&mut self.sums) {
            lags.each_word(&mut visit);
        }
        self.energy.iter_mut().for_each(&mut visit);
        self.energy_shift.iter_mut().for_each(&mut visit);
        visit(&mut self.phase);
        visit(&mut self.changed);
        visit(&mut self.since);
        visit(&mut self.averaged);
        visit(&mut self.level);
        visit(&mut self.sid_gain);
        visit(&mut self.gain);
        self.reference.each_word(&mut visit);
        self.lsp.iter_mut().for_each(&mut visit);
        visit(&mut self.seed);
    }

    /// Takes in the autocorrelation of a frame, before the lag window, and the decision on it.
    #[inline(always)]
    pub(super) fn take(&mut self, autocorrelation: &Autocorrelation<L>, voice: L::Mask) {
        self.frames[1] = self.frames[0];
        for j in 0..=ORDER {
            self.frames[0].r[j] = autocorrelation.r[j].0;
        }
        self.frames[0].shift = L::splat(-16).sub_wrap(autocorrelation.exponent);
        self.phase = self.phase.xor(L::splat(1));
        self.push(voice);
    }

    /// Forms the sum over the last two frames, in every second frame and in the lanes of the mask.
    #[inline(always)]
    fn push(&mut self, mask: L::Mask) {
        let due = self.phase.eq(L::zero()).and(mask);
        if !due.any() {
            return;
        }
        let newest = ScaledLags::sum(&self.frames);
        self.sums[2] = ScaledLags::select(due, &self.sums[1], &self.sums[2]);
        self.sums[1] = ScaledLags::select(due, &self.sums[0], &self.sums[1]);
        self.sums[0] = ScaledLags::select(due, &newest, &self.sums[0]);
    }

    /// Quantises the mean residual energy of as many frames as are averaged: index and level in dB.
    #[inline(always)]
    fn quantise_gain(&self) -> (L, L) {
        let two = self.averaged.ge(L::splat(2));
        let of_count = always!(|table: &[i16; 3]| L::select(two, L::splat(table[2].into()), L::splat(table[1].into())));
        let least = L::select(two, self.energy_shift[0].min(self.energy_shift[1]), self.energy_shift[0]);
        let common = least.add_wrap(L::splat(16)).sub_wrap(of_count(&SID_GAIN_MARGIN));
        let scaled = always!(|i: usize| self.energy[i].l_shl(common.sub_wrap(self.energy_shift[i])));
        let sum = scaled(0).l_add(L::select(two, scaled(1), L::zero()));
        let mean = L::mpy_32_16(sum.l_extract(), of_count(&SID_GAIN_FACTOR));
        quantise_gain(mean, common)
    }
}

/// Whether the filter of which `reference` is the autocorrelation leaves clearly more than `energy` of a signal with
/// the autocorrelation `r` (Itakura distance, clause B.4.1.3).
#[inline(always)]
fn differs<L: Lanes>(reference: &ScaledLags<L>, r: &[L; ORDER + 1], energy: L, threshold: i32) -> L::Mask {
    let one = L::splat(1);
    // Shifts of both sides, taken in turns until nothing is limited.
    let (mut shift_reference, mut shift_r) = (L::zero(), L::zero());
    let mut sum;
    loop {
        let mut limited = L::mask_from_bits(0);
        let mut watch = always!(|product: L| {
            limited = limited.or(product.eq(L::splat(1 << 30)));
            product.add_wrap(product)
        });
        let factors = always!(|j: usize| (reference.r[j].srav(shift_reference), r[j].srav(shift_r)));
        let (a, b) = factors(0);
        watch(a.mul16(b));
        sum = a.l_mult(b).sra::<1>();
        let mut exceeded = L::mask_from_bits(0);
        for j in 1..=ORDER {
            let (a, b) = factors(j);
            let exact = sum.add_wrap(watch(a.mul16(b)));
            sum = sum.l_mac(a, b);
            exceeded = exceeded.or(sum.eq(exact).not());
        }
        let again = limited.or(exceeded);
        if !again.any() {
            break;
        }
        let r_next = shift_r.eq(shift_reference);
        shift_r = L::select(again.and(r_next), shift_r.add_wrap(one), shift_r);
        shift_reference = L::select(again.and(r_next.not()), shift_reference.add_wrap(one), shift_reference);
    }
    let allowed = energy.mult_r(L::splat(threshold)).l_add(energy);
    let places = reference.shift.add_wrap(L::splat(9)).sub_wrap(shift_reference.add_wrap(shift_r));
    sum.l_sub(allowed.l_shl(places)).gt(L::zero())
}

/// The autocorrelation of a filter's coefficients, each but the first counting for both sides.
#[inline(always)]
fn of_filter<L: Lanes>(a: &[L; ORDER + 1]) -> ScaledLags<L> {
    let correlation = always!(|lag: usize| (0..=ORDER - lag).fold(
        L::zero(),
        #[inline(always)]
        |sum, j| sum.l_mac(a[j], a[j + lag])
    ));
    let energy = correlation(0);
    let places = energy.norm_l();
    let mut r = [L::zero(); ORDER + 1];
    for (lag, r) in r.iter_mut().enumerate() {
        *r = correlation(lag).l_shl(places).round();
    }
    ScaledLags { r, shift: places }
}

/// What an inactive frame is sent as.
pub(super) struct Description<L: Lanes> {
    /// The lanes that send a descriptor; the others send nothing.
    pub(super) sent: L::Mask,
    /// Its LSF.
    pub(super) lsf: SidCodes<L>,
    /// The index of its gain.
    pub(super) gain_index: L,
    /// LSP of the comfort noise, Q15.
    pub(super) lsp: Coefficients<L>,
    /// Gain of the comfort noise, Q3.
    pub(super) gain: L,
}

/// Levinson-Durbin on an autocorrelation of single precision; falls back to and renews the last stable filter, the
/// latter in the lanes of the mask.
#[inline(always)]
fn predict<L: Lanes>(r: &[L; ORDER + 1], call: &mut CallLanes<L>, mask: L::Mask) -> Prediction<L> {
    let mut split = [(L::zero(), L::zero()); ORDER + 1];
    for (split, r) in split.iter_mut().zip(r) {
        *split = (*r, L::zero());
    }
    let split: &[Split<L>] = &split;
    let prediction = levinson(split, (&call.stable_lp, call.stable_reflection));
    for j in 0..ORDER {
        call.stable_lp[j] = L::select(mask, prediction.a[j + 1], call.stable_lp[j]);
    }
    for i in 0..2 {
        call.stable_reflection[i] = L::select(mask, prediction.reflection[i], call.stable_reflection[i]);
    }
    prediction
}

/// Measures an inactive frame: the prediction of this frame and the one before, and their autocorrelation.
#[inline(always)]
fn measure<L: Lanes>(
    dtx: &mut DtxState<L>,
    call: &mut CallLanes<L>,
    after_voice: L::Mask,
) -> (Prediction<L>, ScaledLags<L>) {
    dtx.energy[1] = dtx.energy[0];
    dtx.energy_shift[1] = dtx.energy_shift[0];
    let present = ScaledLags::sum(&dtx.frames);
    let nothing = present.r[0].eq(L::zero());
    let current = predict(&present.r, call, nothing.not());
    dtx.energy_shift[0] = present.shift;
    let energy = L::select(current.unstable, dtx.energy[0], current.residual);
    dtx.energy[0] = L::select(nothing, L::zero(), energy);
    let one = L::splat(1);
    dtx.averaged = L::select(after_voice, one, dtx.averaged.add_wrap(one).min(L::splat(2)));
    (current, present)
}

/// The noise goes on, or changes to what the last descriptor says.
#[inline(always)]
fn go_on<L: Lanes>(dtx: &mut DtxState<L>, after_voice: L::Mask) {
    L::stage(
        #[inline(always)]
        || {
            dtx.gain = L::select(after_voice, dtx.sid_gain, smooth_gain(dtx.gain, dtx.sid_gain));
            dtx.push(L::mask_from_bits(u32::MAX));
        },
    );
}

/// Decides on an inactive frame. `after_voice` are the lanes in which it is the first one.
pub(super) fn describe<L: Lanes>(
    dtx: &mut DtxState<L>,
    call: &mut CallLanes<L>,
    after_voice: L::Mask,
) -> Description<L> {
    const THRESHOLD_CHANGE: i32 = 4855;
    const THRESHOLD_PAST: i32 = 3161;
    let (zero, one) = (L::zero(), L::splat(1));
    let (sent, current, present, gain_index, level) = L::stage(
        #[inline(always)]
        || {
            let (current, present) = measure(dtx, call, after_voice);
            let (gain_index, level) = dtx.quantise_gain();
            let other = differs(&dtx.reference, &present.r, dtx.energy[0], THRESHOLD_CHANGE);
            let louder = dtx.level.sub(level).abs_s().gt(L::splat(2));
            dtx.changed = L::select(other.or(louder).and(after_voice.not()), one, dtx.changed);
            dtx.since = L::select(after_voice, zero, dtx.since.add_wrap(one)).min(L::splat(3));
            let due = dtx.since.ge(L::splat(3)).and(dtx.changed.eq(one));
            (after_voice.or(due), current, present, gain_index, level)
        },
    );

    let mut lsf = SidCodes { mode: zero, stage1: zero, stage2: zero };
    if sent.any() {
        let filter = L::stage(
            #[inline(always)]
            || {
                dtx.since = L::select(sent, zero, dtx.since);
                dtx.changed = L::select(sent, zero, dtx.changed);
                let past = ScaledLags::sum(&dtx.sums);
                let nothing = past.r[0].eq(zero);
                let mut filter = predict(&past.r, call, sent.and(nothing.not())).a;
                for j in 1..=ORDER {
                    filter[j] = L::select(nothing, zero, filter[j]);
                }
                filter[0] = L::splat(4096);
                let mut reference = of_filter(&filter);
                // The filter of the past would not do: that of the present.
                let other = differs(&reference, &present.r, dtx.energy[0], THRESHOLD_PAST);
                for j in 1..=ORDER {
                    filter[j] = L::select(other, current.a[j], filter[j]);
                }
                if other.any() {
                    reference = of_filter(&filter);
                }
                dtx.reference = ScaledLags::select(sent, &reference, &dtx.reference);
                filter
            },
        );
        let lsp = lsp_of(&filter, &call.quantised_lsp);
        let (codes, quantised) = sid_quantiser::quantise(&lsp, sent, &mut call.lsf_memory);
        lsf = codes;
        for j in 0..ORDER {
            dtx.lsp[j] = L::select(sent, quantised[j], dtx.lsp[j]);
        }
        dtx.level = L::select(sent, level, dtx.level);
        let mut gains = [0; 32];
        for (wide, gain) in gains.iter_mut().zip(SID_GAIN_TAB) {
            *wide = gain.into();
        }
        dtx.sid_gain = L::stage(
            #[inline(always)]
            || L::select(sent, L::lookup(&gains, gain_index), dtx.sid_gain),
        );
    }
    go_on(dtx, after_voice);
    Description { sent, lsf, gain_index, lsp: dtx.lsp, gain: dtx.gain }
}

/// Describes an inactive frame as `noise`, or lets the noise be as before, whatever the frame's speech is. All lanes do the same.
pub(super) fn describe_as<L: Lanes>(
    noise: Option<&cn::Description>,
    dtx: &mut DtxState<L>,
    call: &mut CallLanes<L>,
    after_voice: L::Mask,
) -> Description<L> {
    let zero = L::zero();
    measure(dtx, call, after_voice);
    let mut description = Description {
        sent: L::mask_from_bits(0),
        lsf: SidCodes { mode: zero, stage1: zero, stage2: zero },
        gain_index: zero,
        lsp: dtx.lsp,
        gain: dtx.gain,
    };
    if let Some(noise) = noise {
        let mut r = [(zero, zero); LAGS + 1];
        for (split, r) in r.iter_mut().zip(comfort_noise::autocorrelation(noise)) {
            *split = L::splat(r).l_extract();
        }
        let r = Autocorrelation { r, exponent: zero }.lag_windowed();
        let filter = levinson(&r, (&call.stable_lp, call.stable_reflection)).a;
        let lsp = lsp_of(&filter, &call.quantised_lsp);
        let sent = L::mask_from_bits(u32::MAX);
        let (lsf, quantised) = sid_quantiser::quantise(&lsp, sent, &mut call.lsf_memory);
        let (gain_index, level) = comfort_noise::gain_index(noise, &quantised.map(|lsp| lsp.to_array()[0]));
        dtx.reference = of_filter(&filter);
        dtx.lsp = quantised;
        dtx.sid_gain = L::splat(SID_GAIN_TAB[gain_index].into());
        dtx.level = L::splat(level);
        dtx.since = zero;
        dtx.changed = zero;
        description = Description { sent, lsf, gain_index: L::splat(gain_index as i32), lsp: quantised, ..description };
    }
    go_on(dtx, after_voice);
    Description { gain: dtx.gain, ..description }
}
