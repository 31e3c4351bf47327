//! Concealment of lost frames after Appendix IV/G.722, in frames of 10 ms.
//!
//! Works between the sub-band decoders and the synthesis filter bank: the low band is continued by a pitch-repeated excitation through a linear
//! predictor, the high band by repetition; both fade by the class of the signal. With no loss the output is the plain decoder's.

mod analysis;
mod fixed;
mod lp;
mod pitch;

use analysis::{Class, Signal};
use arrayvec::ArrayVec;
use fixed::{product, product_rounded};

use super::bands::{decode_bands, synthesise};
use super::channel::Channel;
use super::decoder::{Lane, decode_lanes};
use super::sub_band::{Band, linear_step};
use super::{Decoder, MAX_LANES, Mode};
use crate::isa::i16::One;
use crate::level::Level;

/// Samples of each sub-band, and octets, in a frame: 10 ms.
pub const FRAME: usize = 80;

/// Low-band samples that are kept for the analysis.
const LOW_HISTORY: usize = 297;

/// High-band samples that are kept for repetition.
const HIGH_HISTORY: usize = 160;

/// Samples over which a received frame begins as the continuation of the concealment.
const HELD: usize = 20;

/// Sub-band samples for which the high-pass stays on after a loss: 4 s.
const HIGH_PASSED: u16 = 32000;

/// Samples after which the fading ends in silence.
const AUDIBLE: u16 = 320;

/// The high band's high-pass, which takes away the offset that a mismatch of the decoders leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct HighPass {
    pub(super) input: i16,
    pub(super) output: i16,
    /// Sub-band samples since the last loss, up to [`HIGH_PASSED`] and a frame; greater where there was none.
    since_loss: u16,
}

impl HighPass {
    /// Gain of the input, Q15.
    pub(super) const GAIN: i16 = 29212;
    /// Pole, Q15.
    pub(super) const POLE: i16 = 25656;

    fn apply(&mut self, sample: i16) -> i16 {
        let input = product_rounded(sample, Self::GAIN);
        let decayed = product_rounded(self.output, Self::POLE);
        self.output = input.saturating_add(decayed.saturating_sub(self.input));
        self.input = input;
        self.output
    }

    /// At a received frame of `count` samples: whether the filter is on for it.
    fn on_received(&mut self, count: usize) -> bool {
        self.since_loss = self.since_loss.min(HIGH_PASSED) + count as u16;
        self.since_loss <= HIGH_PASSED
    }

    fn on_lost(&mut self) {
        if self.since_loss >= HIGH_PASSED {
            (self.input, self.output) = (0, 0);
        }
        self.since_loss = 0;
    }
}

/// The fading of one signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
struct Fade {
    gain: i16,
    /// Samples faded, or more for a class that fades faster.
    count: u16,
}

impl Fade {
    const NONE: Self = Self { gain: i16::MAX, count: 0 };

    /// Fades by one slope per sample, as in the first lost frame.
    fn first(&mut self, samples: &mut [i16], slope: i16, increment: u16) {
        for sample in samples.iter_mut() {
            self.gain = self.gain.saturating_sub(slope);
            *sample = product_rounded(self.gain, *sample);
        }
        self.count += samples.len() as u16 * increment;
    }

    /// Fades on, ever faster.
    fn further(&mut self, samples: &mut [i16], slopes: [i16; 3], increment: u16) {
        for sample in samples {
            self.gain = self.gain.saturating_sub(slopes[0]);
            for (slope, from) in slopes[1..].iter().zip([80, 160]) {
                if self.count >= from {
                    self.gain = self.gain.saturating_sub(*slope);
                }
            }
            if self.count >= AUDIBLE {
                self.gain = 0;
            }
            if self.gain <= 0 {
                self.count = AUDIBLE;
            }
            *sample = product_rounded(self.gain, *sample);
            self.count += increment;
        }
    }
}

/// What the concealment remembers of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
struct Concealment {
    /// Decoded or concealed low band, newest last.
    low: [i16; LOW_HISTORY],
    /// Decoded or concealed high band, newest last.
    high: [i16; HIGH_HISTORY],
    high_pass: HighPass,
    /// What the analysis at the first lost frame found, and the synthesis since.
    signal: Signal,
    /// The low band's continuation into the frame after a lost one.
    look_ahead: [i16; FRAME],
    low_fade: Fade,
    high_fade: Fade,
    /// Whether the frame before was lost.
    lost: bool,
}

impl Concealment {
    const NEW: Self = Self {
        low: [0; LOW_HISTORY],
        high: [0; HIGH_HISTORY],
        high_pass: HighPass { input: 0, output: 0, since_loss: i16::MAX as u16 },
        signal: Signal::NONE,
        look_ahead: [0; FRAME],
        low_fade: Fade::NONE,
        high_fade: Fade::NONE,
        lost: false,
    };
}

/// A decoder that conceals lost frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ConcealingDecoder {
    decoder: Decoder,
    concealment: Concealment,
}

impl ConcealingDecoder {
    /// A decoder after reset.
    #[must_use]
    pub const fn new(mode: Mode) -> Self {
        Self { decoder: Decoder::new(mode), concealment: Concealment::NEW }
    }

    /// Decodes a received payload: one octet gives two 16 kHz samples of `pcm`. Works on as much as both sides have room for.
    pub fn receive(&mut self, octets: &[u8], pcm: &mut [i16]) {
        for (octets, pcm) in octets.chunks(FRAME).zip(pcm.chunks_mut(2 * FRAME)) {
            let count = octets.len().min(pcm.len() / 2);
            self.receive_frame(&octets[..count], &mut pcm[..2 * count]);
        }
    }

    /// Fills `pcm` with what is to be heard in place of a lost payload. Each 160 samples are a frame; of a last, shorter one the rest is dropped.
    pub fn conceal(&mut self, pcm: &mut [i16]) {
        for pcm in pcm.chunks_mut(2 * FRAME) {
            let mut frame = [0; 2 * FRAME];
            self.conceal_frame(&mut frame);
            pcm.copy_from_slice(&frame[..pcm.len()]);
        }
    }

    /// Decodes a received frame of up to [`FRAME`] octets to twice as many samples.
    fn receive_frame(&mut self, octets: &[u8], pcm: &mut [i16]) {
        let Self { decoder, concealment } = self;
        let (mode, count) = (decoder.mode(), octets.len());
        let (mut low, mut high) = ([0; FRAME], [0; FRAME]);
        let (low, high) = (&mut low[..count], &mut high[..count]);
        decode_bands(&mut decoder.channel, mode, octets, low, high);
        let high_passed = concealment.high_pass.on_received(count);
        if concealment.lost {
            concealment.lost = false;
            for (i, (sample, continued)) in low.iter_mut().zip(&concealment.look_ahead).enumerate() {
                let weight = (546 * (i + 1).saturating_sub(HELD)) as i16;
                *sample = if i < HELD {
                    product(*continued, i16::MAX)
                } else {
                    product(*sample, weight).saturating_add(product(*continued, i16::MAX - weight))
                };
            }
        }
        if high_passed {
            high.iter_mut().for_each(|sample| *sample = concealment.high_pass.apply(*sample));
        }
        append(&mut concealment.low, low);
        append(&mut concealment.high, high);
        synthesise(&mut decoder.channel, low, high, pcm);
    }

    /// What of a received payload a kernel that lays the bands open can decode in one run: as many of its first octets (up to two frames) as
    /// have the high-pass on or off alike. Nothing right after a loss. The histories have already moved on, the decoder has not.
    fn steady_run<'a>(&'a mut self, octets: &'a [u8], pcm: &'a mut [i16]) -> Lane<'a> {
        let Self { decoder, concealment } = self;
        let mut high_pass = concealment.high_pass;
        let filtered = high_pass.on_received(octets.len().min(FRAME));
        let mut count = octets.len().min(FRAME);
        concealment.high_pass = high_pass;
        let second = (octets.len() - count).min(FRAME);
        if high_pass.on_received(second) == filtered {
            count += second;
            concealment.high_pass = high_pass;
        }
        let Concealment { low, high, high_pass, .. } = concealment;
        low.copy_within(count.., 0);
        high.copy_within(count.., 0);
        let mode = decoder.mode();
        Lane {
            channel: &mut decoder.channel,
            mode,
            octets: &octets[..count],
            pcm: &mut pcm[..2 * count],
            low: &mut low[LOW_HISTORY - count..],
            high: &mut high[HIGH_HISTORY - count..],
            high_pass: filtered.then_some(high_pass),
        }
    }

    /// Gives what is to be heard in place of a lost frame: twice [`FRAME`] samples.
    fn conceal_frame(&mut self, pcm: &mut [i16]) {
        let Self { decoder, concealment } = self;
        let channel = &mut decoder.channel;
        let (mut low, mut high) = ([0; FRAME], [0; FRAME]);
        if concealment.lost {
            concealment.continue_concealment(&mut low, &mut high);
        } else {
            concealment.start(channel, &mut low, &mut high);
        }
        concealment.lost = true;
        append(&mut concealment.low, &low);
        append(&mut concealment.high, &high);

        concealment.high_pass.on_lost();
        let filtered = high.map(|sample| concealment.high_pass.apply(sample));
        synthesise(channel, &low, &filtered, pcm);
        concealment.resynchronise(channel);
    }
}

impl Default for ConcealingDecoder {
    fn default() -> Self {
        Self::new(Mode::Kbit64)
    }
}

/// One call's part of a batch.
#[derive(Debug)]
pub struct ConcealingJob<'a> {
    /// The call.
    pub state: &'a mut ConcealingDecoder,
    /// The payload, `None` if it was lost.
    pub octets: Option<&'a [u8]>,
    /// Where the 16 kHz samples go: two per octet; what is to be concealed if the payload was lost.
    pub pcm: &'a mut [i16],
}

/// Decodes or conceals any number of calls. What was received runs in lock-step, except for the first frame after a loss.
pub fn decode_or_conceal_batch(level: Level, jobs: &mut [ConcealingJob<'_>]) {
    for group in jobs.chunks_mut(MAX_LANES) {
        // Octets of each job that are done.
        let mut done = [0; MAX_LANES];
        for (job, done) in group.iter_mut().zip(&mut done) {
            let Some(octets) = job.octets else {
                job.state.conceal(job.pcm);
                continue;
            };
            if job.state.concealment.lost {
                *done = octets.len().min(job.pcm.len() / 2).min(FRAME);
                job.state.receive_frame(&octets[..*done], &mut job.pcm[..2 * *done]);
            }
        }
        loop {
            let mut lanes = ArrayVec::<Lane<'_>, MAX_LANES>::new();
            for (job, done) in group.iter_mut().zip(&mut done) {
                let Some(octets) = job.octets else { continue };
                let end = octets.len().min(job.pcm.len() / 2);
                if *done < end {
                    let lane = job.state.steady_run(&octets[*done..end], &mut job.pcm[2 * *done..]);
                    *done += lane.octets.len();
                    lanes.push(lane);
                }
            }
            if lanes.is_empty() {
                break;
            }
            decode_lanes::<true>(level, &mut lanes);
        }
    }
}

/// Appends new samples to a history, which forgets as many.
fn append(history: &mut [i16], new: &[i16]) {
    let kept = history.len() - new.len();
    history.copy_within(new.len().., 0);
    history[kept..].copy_from_slice(new);
}

impl Concealment {
    /// The first lost frame: looks at what was heard and begins to fade it.
    fn start(&mut self, channel: &Channel, low: &mut [i16; FRAME], high: &mut [i16; FRAME]) {
        (self.low_fade, self.high_fade) = (Fade::NONE, Fade::NONE);
        self.signal.analyse(&self.low, channel.high.log_step > channel.low.log_step);
        self.repeat_high(high);
        self.signal.synthesise(low);
        self.signal.synthesise(&mut self.look_ahead);

        let class = self.signal.class;
        let slope = class.slopes()[0];
        self.low_fade.first(low, slope, class.increment());
        if class == Class::Transient {
            self.low_fade.gain = 0;
        }
        self.low_fade.first(&mut self.look_ahead, class.look_ahead_slope(), class.increment());
        self.high_fade.first(high, slope, class.increment());
    }

    /// A further lost frame.
    fn continue_concealment(&mut self, low: &mut [i16; FRAME], high: &mut [i16; FRAME]) {
        let class = self.signal.class;
        *low = self.look_ahead;
        self.signal.synthesise(&mut self.look_ahead);
        self.low_fade.further(&mut self.look_ahead, class.slopes(), class.increment());
        self.repeat_high(high);
        self.high_fade.further(high, class.slopes(), class.increment());
    }

    /// The high band's last pitch period if the signal is voiced, its last 10 ms otherwise.
    fn repeat_high(&self, high: &mut [i16; FRAME]) {
        let period = if self.signal.class == Class::Voiced { self.signal.lag() } else { FRAME };
        for (sample, repeated) in high.iter_mut().zip(self.high[HIGH_HISTORY - period..].iter().cycle()) {
            *sample = *repeated;
        }
    }

    /// Brings the sub-band decoders, which did not see the lost frame, near to what was put out instead.
    fn resynchronise(&self, channel: &mut Channel) {
        let [.., before, last] = self.low;
        let low = &mut channel.low;
        low.differences = [0; 6];
        low.partials = [last >> 1, before >> 1];
        low.reconstructed = last.saturating_mul(2);
        low.predicted = self.look_ahead[0];
        low.zero_section = self.look_ahead[0] >> 1;
        let high = &mut channel.high;
        high.log_step >>= 1;
        high.step = linear_step(One(high.log_step), Band::High).0;
        if self.high_fade.count > 160 {
            (low.step, low.log_step) = (32, 0);
            (high.step, high.log_step) = (8, 0);
        }
    }
}
