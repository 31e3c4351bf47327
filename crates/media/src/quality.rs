//! How a stream sounds: bursts and gaps of loss (RFC 3611 §4.7.2), and the E-model (ITU-T G.107) with the codecs' impairments
//! (G.113 Appendix I).

use tandem_contract::Codec;

/// Fewest packets between two losses that belong to no burst (RFC 3611 §4.7.6).
pub(crate) const GMIN: u8 = 16;

/// Losses by what lies between them: the transitions of RFC 3611 §A.2, with a loss taken note of when the packet behind it comes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bursts {
    /// Losses so far in the present burst; 0 before the first.
    in_burst: u32,
    /// Packets lost, and runs of them that nothing interrupts.
    lost: u32,
    runs: u32,
    /// Received between losses that are far apart, lost alone, bursts begun.
    c11: u32,
    c14: u32,
    c13: u32,
    /// Received within bursts, losses behind those, losses behind losses.
    c22: u32,
    c23: u32,
    c33: u32,
}

/// What the transitions come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Distribution {
    /// Parts lost within bursts and between them, in 256ths.
    pub(crate) burst_density: u8,
    pub(crate) gap_density: u8,
    /// Mean lengths.
    pub(crate) burst_ms: u16,
    pub(crate) gap_ms: u16,
}

impl Bursts {
    /// `lost` packets in a row are missing behind `received` that came in a row.
    pub(crate) fn on_loss(&mut self, received: u32, lost: u32) {
        self.lost = self.lost.saturating_add(lost);
        self.runs = self.runs.saturating_add(1);
        if received >= GMIN.into() {
            let transition = if self.in_burst == 1 { &mut self.c14 } else { &mut self.c13 };
            *transition = transition.saturating_add(1);
            self.in_burst = 1;
            self.c11 = self.c11.saturating_add(received);
        } else {
            self.in_burst = self.in_burst.saturating_add(1);
            if received == 0 {
                self.c33 = self.c33.saturating_add(1);
            } else {
                self.c23 = self.c23.saturating_add(1);
                self.c22 = self.c22.saturating_add(received - 1);
            }
        }
        let more = lost.saturating_sub(1);
        self.in_burst = self.in_burst.saturating_add(more);
        self.c33 = self.c33.saturating_add(more);
    }

    /// Densities and durations, with packets of so many milliseconds, `received` of which came since the last loss.
    pub(crate) fn distribution(&self, received: u64, packet_ms: u32) -> Distribution {
        let [c11, c13, c14, c22, c23, c33] =
            [self.c11, self.c13, self.c14, self.c22, self.c23, self.c33].map(|count| count as f32);
        let c11 = c11 + received as f32;
        let ms = |packets: f32| (packets * packet_ms as f32) as u16;
        let density = |part: f32| (256.0 * part).clamp(0.0, 255.0) as u8;
        // As many bursts end as begin.
        let leaves = c23 + c13 + c33;
        if self.c13 == 0 || leaves == 0.0 {
            let gap_density = density(c14 / (c11 + c14).max(1.0));
            return Distribution { gap_density, gap_ms: ms(c11 + c14), ..Distribution::default() };
        }
        let p32 = c23 / leaves;
        let p23 = if c22 + c23 < 1.0 { 1.0 } else { 1.0 - c22 / (c22 + c23) };
        let all = c11 + c14 + c13 + c22 + c23 + c13 + c23 + c33;
        let gap = (c11 + c14 + c13) / c13;
        Distribution {
            burst_density: density(p23 / (p23 + p32)),
            gap_density: density(c14 / (c11 + c14).max(1.0)),
            burst_ms: ms((all / c13 - gap).max(0.0)),
            gap_ms: ms(gap),
        }
    }

    /// How much longer losses are than they were if they came at random (G.107 §7.4).
    fn ratio(&self, loss: f32) -> f32 {
        let mean_run = self.lost as f32 / self.runs.max(1) as f32;
        (mean_run * (1.0 - loss)).clamp(1.0, 8.0)
    }
}

/// What the E-model is told of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) codec: Codec,
    /// Part of the packets lost, 0 to 1.
    pub(crate) loss: f32,
    /// Burst ratio, at least 1.
    pub(crate) burst_ratio: f32,
    /// From mouth to ear, as far as it is known.
    pub(crate) delay_ms: f32,
}

impl Heard {
    pub(crate) fn new(codec: Codec, lost: u64, received: u64, bursts: &Bursts, delay_ms: f32) -> Self {
        let loss = lost as f32 / (lost + received).max(1) as f32;
        Self { codec, loss, burst_ratio: bursts.ratio(loss), delay_ms }
    }

    /// Rating of the listening quality, without the delay.
    pub(crate) fn listening(&self) -> Rating {
        let (ie, bpl) = impairment(self.codec);
        let lost = self.loss * 100.0;
        Rating((BASIC - (ie + (95.0 - ie) * lost / (lost / self.burst_ratio + bpl))).clamp(0.0, 100.0))
    }

    /// Rating of the conversational quality, with it.
    pub(crate) fn conversational(&self) -> Rating {
        Rating((self.listening().0 - delay_impairment(self.delay_ms)).max(0.0))
    }
}

/// R of a connection with every parameter at its default (G.107 Table 2), without coding, loss and delay.
const BASIC: f32 = 93.2;

/// Equipment impairment and robustness against loss (G.113 Appendix I, Tables I.1 and I.4). The narrow-band model has no values for
/// G.722 and Opus, which sound no worse than G.711: they are taken for that.
const fn impairment(codec: Codec) -> (f32, f32) {
    match codec {
        Codec::G729 => (11.0, 19.0),
        Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Opus => (0.0, 25.1),
    }
}

/// Idd (G.107 §7.3): none up to 100 ms.
fn delay_impairment(delay_ms: f32) -> f32 {
    if delay_ms <= 100.0 {
        return 0.0;
    }
    let x = (delay_ms / 100.0).log2();
    25.0 * ((1.0 + x.powi(6)).powf(1.0 / 6.0) - 3.0 * (1.0 + (x / 3.0).powi(6)).powf(1.0 / 6.0) + 2.0)
}

/// The E-model's R.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rating(f32);

impl Rating {
    /// R, rounded.
    pub(crate) fn r_factor(self) -> u8 {
        self.0.round() as u8
    }

    /// The mean opinion score it stands for (G.107 Annex B), in hundredths.
    pub(crate) fn mos_hundredths(self) -> u16 {
        let r = self.0;
        let mos = 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6;
        (mos.clamp(1.0, 4.5) * 100.0).round() as u16
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(codec: Codec, loss: f32, delay_ms: f32) -> Heard {
        Heard { codec, loss, burst_ratio: 1.0, delay_ms }
    }

    #[test]
    fn ratings_are_those_of_g107_and_g113() {
        for (heard, r, mos) in [
            (heard(Codec::Pcmu, 0.0, 50.0), 93, 441),
            (heard(Codec::G729, 0.0, 50.0), 82, 410),
            (heard(Codec::Pcma, 0.02, 50.0), 86, 424),
            (heard(Codec::G729, 0.05, 50.0), 65, 335),
            // Table of G.107: 93.2 falls by about 16 at 300 ms.
            (heard(Codec::Pcmu, 0.0, 300.0), 77, 393),
        ] {
            let rating = heard.conversational();
            assert!(rating.r_factor().abs_diff(r) <= 2, "{heard:?}: R {}", rating.r_factor());
            assert!(rating.mos_hundredths().abs_diff(mos) <= 12, "{heard:?}: {}", rating.mos_hundredths());
        }
    }

    #[test]
    fn losses_far_apart_are_a_gap_and_close_together_a_burst() {
        let mut bursts = Bursts::default();
        for _ in 0..10 {
            bursts.on_loss(99, 1);
        }
        let distribution = bursts.distribution(99, 20);
        assert!(distribution.gap_density <= 3 && distribution.burst_ms <= 40, "{distribution:?}");
        let mut bursts = Bursts::default();
        for _ in 0..10 {
            bursts.on_loss(500, 1);
            (0..20).for_each(|_| bursts.on_loss(1, 1));
        }
        let distribution = bursts.distribution(0, 20);
        assert!((120..=140).contains(&distribution.burst_density), "{distribution:?}");
        assert!((700..=1000).contains(&distribution.burst_ms), "{distribution:?}");
        assert!((9_000..=11_000).contains(&distribution.gap_ms) && distribution.gap_density == 0, "{distribution:?}");
    }

    proptest! {
        #[test]
        fn scores_are_scores_whatever_is_lost(
            losses in proptest::collection::vec((any::<u16>(), any::<u16>()), 0..50),
            received in any::<u32>(), delay_ms in 0_f32..1e6,
        ) {
            let mut bursts = Bursts::default();
            losses.iter().for_each(|(received, lost)| bursts.on_loss(u32::from(*received), u32::from(*lost)));
            let lost = losses.iter().map(|(_, lost)| u64::from(*lost)).sum();
            bursts.distribution(received.into(), 20);
            for codec in Codec::ALL {
                let heard = Heard::new(codec, lost, received.into(), &bursts, delay_ms);
                prop_assert!((100..=450).contains(&heard.conversational().mos_hundredths()));
                prop_assert!(heard.conversational().r_factor() <= heard.listening().r_factor());
            }
        }
    }
}
