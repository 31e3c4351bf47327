//! Constants of ITU-T G.729 Annex A and Annex B, by subject.
//!
//! `Qn` means value / 2^n.

pub(crate) mod gain;
pub(crate) mod high_pass;
pub(crate) mod lp;
pub(crate) mod lsp;
pub(crate) mod math;
pub(crate) mod pitch;
pub(crate) mod sid;
pub(crate) mod vad;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transmitted_gain_indices_lead_back_to_search_indices() {
        for (search, &sent) in gain::GAIN_TX1.iter().enumerate() {
            assert_eq!(usize::from(gain::GAIN_RX1[usize::from(sent)]), search);
        }
        for (search, &sent) in gain::GAIN_TX2.iter().enumerate() {
            assert_eq!(usize::from(gain::GAIN_RX2[usize::from(sent)]), search);
        }
    }

    /// What lets the composition of an LSF do without limits.
    #[test]
    fn coefficients_of_an_lsf_predictor_add_up_to_less_than_one() {
        for (ma, sum) in [(&lsp::LSP_MA, &lsp::LSP_MA_SUM), (&sid::SID_MA, &sid::SID_MA_SUM)] {
            for (ma, sum) in ma.iter().zip(sum) {
                for (j, &rest) in sum.iter().enumerate() {
                    let total = i32::from(rest) + ma.iter().map(|lag| i32::from(lag[j])).sum::<i32>();
                    assert!((32_700..=32_768).contains(&total), "coefficient {j}: {total}");
                }
            }
        }
    }
}
