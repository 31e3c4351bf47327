//! Rows (the same word of many calls) from and to calls (many words of one), eight by eight.

use super::i16::Row;

/// Words of one call that are moved at a time, and calls.
pub(crate) const BLOCK: usize = 8;

type Block = [[i16; BLOCK]; BLOCK];

/// Element `j` of line `i` becomes element `i` of line `j`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn transposed(block: Block) -> Block {
    use core::arch::x86_64::*;
    use core::mem::transmute;

    // SAFETY: both types are 128 octets, any of which are valid.
    let a: [__m128i; BLOCK] = unsafe { transmute(block) };
    // SSE2 is part of every x86-64.
    macro_rules! interleaved {
        ($low:ident, $high:ident, $from:ident, $distance:literal) => {{
            let mut to = [$from[0]; BLOCK];
            let mut i = 0;
            let mut pair = 0;
            while pair < BLOCK / 2 {
                // The two lines of a pair are `distance` apart.
                let first = pair % $distance + pair / $distance * 2 * $distance;
                // SAFETY: SSE2 is part of every x86-64.
                to[i] = unsafe { $low($from[first], $from[first + $distance]) };
                // SAFETY: as above.
                to[i + 1] = unsafe { $high($from[first], $from[first + $distance]) };
                i += 2;
                pair += 1;
            }
            to
        }};
    }
    // Lines 0 4, 1 5, 2 6, 3 7; then what is four lines apart again, twice: each step doubles the run of words that stand right.
    let b = interleaved!(_mm_unpacklo_epi16, _mm_unpackhi_epi16, a, 4);
    let c = interleaved!(_mm_unpacklo_epi16, _mm_unpackhi_epi16, b, 4);
    let d = interleaved!(_mm_unpacklo_epi16, _mm_unpackhi_epi16, c, 4);
    // SAFETY: both types are 128 octets, any of which are valid.
    unsafe { transmute(d) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn transposed(block: Block) -> Block {
    core::array::from_fn(|j| core::array::from_fn(|i| block[i][j]))
}

/// Moves words of calls into rows: `read` gives the words of `call` that go to the rows from `row` on, as many as it is asked for.
#[inline(always)]
pub(crate) fn calls_to_rows(rows: &mut [Row], calls: usize, count: usize, read: impl Fn(usize, usize, &mut [i16])) {
    for call in (0..calls).step_by(BLOCK) {
        for row in (0..count).step_by(BLOCK) {
            let (wide, high) = (BLOCK.min(calls - call), BLOCK.min(count - row));
            let mut block = [[0; BLOCK]; BLOCK];
            for (i, words) in block.iter_mut().enumerate().take(wide) {
                // The usual length as a constant: it is a move, not a call.
                if high == BLOCK {
                    read(call + i, row, words);
                } else {
                    read(call + i, row, &mut words[..high]);
                }
            }
            for (row, words) in rows[row..row + high].iter_mut().zip(transposed(block)) {
                row.0[call..call + BLOCK].copy_from_slice(&words);
            }
        }
    }
}

/// Moves rows to words of calls: `write` takes the words of `call` that come from the rows from `row` on.
#[inline(always)]
pub(crate) fn rows_to_calls(rows: &[Row], calls: usize, count: usize, mut write: impl FnMut(usize, usize, &[i16])) {
    for call in (0..calls).step_by(BLOCK) {
        for row in (0..count).step_by(BLOCK) {
            let (wide, high) = (BLOCK.min(calls - call), BLOCK.min(count - row));
            let mut block = [[0; BLOCK]; BLOCK];
            for (words, row) in block.iter_mut().zip(&rows[row..row + high]) {
                words.copy_from_slice(&row.0[call..call + BLOCK]);
            }
            for (i, words) in transposed(block).iter().enumerate().take(wide) {
                if high == BLOCK {
                    write(call + i, row, words);
                } else {
                    write(call + i, row, &words[..high]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_is_turned_over() {
        let block: Block = core::array::from_fn(|i| core::array::from_fn(|j| (10 * i + j) as i16));
        for (j, words) in transposed(block).iter().enumerate() {
            for (i, word) in words.iter().enumerate() {
                assert_eq!(*word, (10 * i + j) as i16);
            }
        }
    }

    #[test]
    fn any_number_of_calls_and_words_goes_into_rows_and_back() {
        for calls in 1..=32 {
            for count in 1..=19 {
                let mut rows = [Row::ZERO; 19];
                calls_to_rows(&mut rows, calls, count, |call, row, words| {
                    words.iter_mut().zip(row..).for_each(|(word, row)| *word = (100 * call + row) as i16);
                });
                for (row, words) in rows.iter().enumerate().take(count) {
                    for (call, word) in words.0.iter().enumerate().take(calls) {
                        assert_eq!(*word, (100 * call + row) as i16);
                    }
                }
                let mut seen = 0;
                rows_to_calls(&rows, calls, count, |call, row, words| {
                    for (word, row) in words.iter().zip(row..) {
                        assert_eq!(*word, (100 * call + row) as i16);
                        seen += 1;
                    }
                });
                assert_eq!(seen, calls * count);
            }
        }
    }
}
