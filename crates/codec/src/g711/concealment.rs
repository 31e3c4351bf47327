//! Concealment of lost frames after Appendix I/G.711: repeats the pitch period before the loss, fading after the first 10 ms.
//!
//! In double precision and in the Appendix's order of operations, which makes it exact to its vectors. Between frames samples alone are kept:
//! what the Appendix keeps in double precision is only ever read as a sample.

/// Samples of a frame: 10 ms.
pub const FRAME: usize = 80;

/// Samples by which the output lags behind the input: 3.75 ms, the time over which the start of a concealment is faded in.
pub const DELAY: usize = 30;

const MIN_LAG: usize = 40;
const MAX_LAG: usize = 120;
/// History: three of the longest pitch periods and the longest overlap.
const HISTORY: usize = 3 * MAX_LAG + DELAY;
/// Samples that are correlated to find the pitch.
const CORRELATED: usize = 160;
const LAGS: usize = MAX_LAG - MIN_LAG + 1;
/// Least energy that a correlation is scaled by.
const MIN_ENERGY: f64 = 250.0;
/// Loss of gain per frame of concealment, from the second on.
const FADE_PER_FRAME: f64 = 0.2;
/// Concealed frames after which there is silence.
const AUDIBLE_FRAMES: u16 = 6;
/// Samples by which the overlap at the end of a concealment grows for each further lost frame: 4 ms.
const OVERLAP_GROWTH: usize = 32;

/// What the concealment remembers of one stream.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Concealment {
    /// The last samples put out or about to be, newest last.
    history: [i16; HISTORY],
    /// Consecutive frames lost.
    lost: u16,
    /// Pitch period found at the first loss.
    lag: u16,
    /// Where the next sample is read, from the start of the repeated stretch.
    offset: u16,
    /// Samples of the repeated stretch: one to three periods.
    repeated: u16,
    /// The history as it was at the first loss, its end overlapped so that it can be repeated.
    pitch: [i16; HISTORY],
    /// The last quarter period before the first loss.
    last_quarter: [i16; DELAY],
}

const _: () = assert!(size_of::<Concealment>() <= 1664, "it is the most of a G.711 stream that is decoded");

impl Concealment {
    /// A stream of which nothing has been heard.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            history: [0; HISTORY],
            lost: 0,
            lag: 0,
            offset: 0,
            repeated: 0,
            pitch: [0; HISTORY],
            last_quarter: [0; DELAY],
        }
    }

    /// A received frame, in place: gives what is to be heard, [`DELAY`] samples late. Frames are of [`FRAME`] samples; of a longer slice each
    /// 80 are one, and what is left over is taken as a short one.
    pub fn receive(&mut self, pcm: &mut [i16]) {
        for frame in pcm.chunks_mut(FRAME) {
            if self.lost > 0 {
                self.fade_back(frame);
            }
            self.save(frame);
        }
    }

    /// A lost frame: gives what is to be heard in its place, [`DELAY`] samples late. Slices are cut up as for [`Self::receive`].
    pub fn conceal(&mut self, pcm: &mut [i16]) {
        for frame in pcm.chunks_mut(FRAME) {
            match self.lost {
                0 => {
                    self.start();
                    self.read(frame);
                }
                1 | 2 => {
                    self.lengthen(frame);
                    self.fade(frame);
                }
                3..AUDIBLE_FRAMES => {
                    self.read(frame);
                    self.fade(frame);
                }
                _ => frame.fill(0),
            }
            self.lost = self.lost.saturating_add(1);
            self.save(frame);
        }
    }

    fn overlap(&self) -> usize {
        usize::from(self.lag >> 2)
    }

    /// Appends the frame to the history and replaces it by what is [`DELAY`] samples older.
    fn save(&mut self, frame: &mut [i16]) {
        let count = frame.len();
        self.history.copy_within(count.., 0);
        self.history[HISTORY - count..].copy_from_slice(frame);
        frame.copy_from_slice(&self.history[HISTORY - DELAY - count..HISTORY - DELAY]);
    }

    /// At the first loss: finds the pitch and makes its last period ready for repetition.
    fn start(&mut self) {
        self.pitch = self.history;
        self.lag = find_lag(&self.pitch.map(f64::from)) as u16;
        let overlap = self.overlap();
        self.last_quarter[..overlap].copy_from_slice(&self.pitch[HISTORY - overlap..]);
        self.offset = 0;
        self.repeated = self.lag;
        self.overlap_end();
        self.history[HISTORY - overlap..].copy_from_slice(&self.pitch[HISTORY - overlap..]);
    }

    /// Lets the end of the pitch buffer run into the start of the repeated stretch.
    fn overlap_end(&mut self) {
        let overlap = self.overlap();
        let start = HISTORY - usize::from(self.repeated);
        let (before, end) = self.pitch.split_at_mut(HISTORY - overlap);
        cross_fade(&self.last_quarter[..overlap], &before[start - overlap..start], |i, value| end[i] = value);
    }

    /// At the second and third loss: repeats one period more, with a fade from the old stretch to the new one.
    fn lengthen(&mut self, frame: &mut [i16]) {
        let overlap = self.overlap().min(frame.len());
        let offset = self.offset;
        let mut old = [0; DELAY];
        self.read(&mut old[..overlap]);
        self.offset = offset;
        while self.offset > self.lag {
            self.offset -= self.lag;
        }
        self.repeated += self.lag;
        self.overlap_end();
        self.read(frame);
        let mut new = [0; DELAY];
        new[..overlap].copy_from_slice(&frame[..overlap]);
        cross_fade(&old[..overlap], &new[..overlap], |i, value| frame[i] = value);
    }

    /// Attenuates a concealed frame from the second on.
    fn fade(&self, frame: &mut [i16]) {
        let mut gain = 1.0 - f64::from(self.lost - 1) * FADE_PER_FRAME;
        for sample in frame {
            *sample = (f64::from(*sample) * gain) as i16;
            gain -= FADE_PER_FRAME / FRAME as f64;
        }
    }

    /// Fades from the continued concealment into the first frame received after a loss.
    fn fade_back(&mut self, frame: &mut [i16]) {
        let losses = usize::from(self.lost - 1);
        let overlap = (self.overlap() + losses * OVERLAP_GROWTH).min(frame.len());
        let mut continued = [0; FRAME];
        self.read(&mut continued[..overlap]);
        let gain = (1.0 - losses as f64 * FADE_PER_FRAME).max(0.0);
        let step = 1.0 / overlap as f64;
        let (mut left, mut right) = ((1.0 - step) * gain, step);
        for (sample, continued) in frame.iter_mut().zip(&continued[..overlap]) {
            *sample = clipped(left * f64::from(*continued) + right * f64::from(*sample)) as i16;
            left -= step * gain;
            right += step;
        }
        self.lost = 0;
    }

    /// Reads on around the repeated stretch.
    fn read(&mut self, samples: &mut [i16]) {
        let start = HISTORY - usize::from(self.repeated);
        for sample in samples {
            *sample = self.pitch[start + usize::from(self.offset)];
            self.offset += 1;
            if self.offset == self.repeated {
                self.offset = 0;
            }
        }
    }
}

impl Default for Concealment {
    fn default() -> Self {
        Self::new()
    }
}

fn clipped(value: f64) -> f64 {
    value.clamp(f64::from(i16::MIN), f64::from(i16::MAX))
}

/// Fades from `left` to `right`. The weights are summed up step by step, as the Appendix does.
fn cross_fade(left: &[i16], right: &[i16], mut each: impl FnMut(usize, i16)) {
    if left.is_empty() {
        return;
    }
    let step = 1.0 / left.len() as f64;
    let (mut left_weight, mut right_weight) = (1.0 - step, step);
    for (i, (left, right)) in left.iter().zip(right).enumerate() {
        each(i, clipped(left_weight * f64::from(*left) + right_weight * f64::from(*right)) as i16);
        left_weight -= step;
        right_weight += step;
    }
}

/// The pitch period at the end of the buffer: the normalised correlation's greatest value, first on every second sample and lag, then around it.
fn find_lag(pitch: &[f64; HISTORY]) -> usize {
    let newest = &pitch[HISTORY - CORRELATED..];
    // Candidate `j` stands for the lag `MAX_LAG - j`.
    let candidates = &pitch[HISTORY - CORRELATED - MAX_LAG..];

    // Each sum runs in ascending order of samples; side by side for all candidates, that is a vector loop.
    let mut correlations = [0.0; LAGS];
    for i in (0..CORRELATED).step_by(2) {
        for (j, correlation) in correlations.iter_mut().enumerate() {
            *correlation += candidates[j + i] * newest[i];
        }
    }
    let mut energy = 0.0;
    for i in (0..CORRELATED).step_by(2) {
        energy += candidates[i] * candidates[i];
    }
    let score = |correlation: f64, energy: f64| correlation / libm::sqrt(energy.max(MIN_ENERGY));
    let mut coarse = 0;
    let mut best = score(correlations[0], energy);
    for j in (2..LAGS).step_by(2) {
        energy -= candidates[j - 2] * candidates[j - 2];
        energy += candidates[j - 2 + CORRELATED] * candidates[j - 2 + CORRELATED];
        let score = score(correlations[j], energy);
        if score >= best {
            (coarse, best) = (j, score);
        }
    }

    let first = coarse.saturating_sub(1);
    let last = (coarse + 1).min(LAGS - 1);
    let mut energy = 0.0;
    for sample in &candidates[first..first + CORRELATED] {
        energy += sample * sample;
    }
    let mut fine = first;
    let mut best = f64::NEG_INFINITY;
    for j in first..=last {
        if j > first {
            energy -= candidates[j - 1] * candidates[j - 1];
            energy += candidates[j - 1 + CORRELATED] * candidates[j - 1 + CORRELATED];
        }
        let mut correlation = 0.0;
        for (candidate, sample) in candidates[j..].iter().zip(newest) {
            correlation += candidate * sample;
        }
        let score = score(correlation, energy);
        if score > best {
            (fine, best) = (j, score);
        }
    }
    MAX_LAG - fine
}
