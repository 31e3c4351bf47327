//! Every operator at every level against plain 64-bit arithmetic.

use super::{BasicOp, LaneMask, Lanes, WithLanes, with_lanes};
use crate::level::Level;

fn sat16(x: i64) -> i64 {
    x.clamp(-0x8000, 0x7fff)
}
fn sat32(x: i64) -> i64 {
    x.clamp(i64::from(i32::MIN), i64::from(i32::MAX))
}
fn shift(x: i64, left: i64) -> i64 {
    if left >= 0 { (i128::from(x) << left.min(64)).clamp(-(1 << 62), 1 << 62) as i64 } else { x >> (-left).min(63) }
}
fn low16(x: i64) -> i64 {
    i64::from(x as i16)
}
fn product(a: i64, b: i64) -> i64 {
    sat32(2 * a * b)
}
fn norm(x: i64, bits: i64) -> i64 {
    if x == 0 {
        0
    } else {
        (0..bits).rev().find(|n| (-(1 << (bits - 1))..1 << (bits - 1)).contains(&(x << n))).unwrap_or(0)
    }
}
fn mult(a: i64, b: i64) -> i64 {
    sat16((a * b) >> 15)
}
fn div(a: i64, b: i64) -> i64 {
    if a >= 0 && a < b { (a << 15) / b } else { 0x7fff }
}
fn shr_r(x: i64, n: i64) -> i64 {
    match n {
        32.. => 0,
        1..=31 => (x >> n) + ((x >> (n - 1)) & 1),
        _ => sat32(shift(x, -n)),
    }
}
fn extract(x: i64) -> (i64, i64) {
    (x >> 16, (x & 0xffff) >> 1)
}
fn mpy_32_16((h, l): (i64, i64), n: i64) -> i64 {
    sat32(product(h, n) + product(mult(l, n), 1))
}
fn mpy_32((h1, l1): (i64, i64), (h2, l2): (i64, i64)) -> i64 {
    sat32(sat32(product(h1, h2) + product(mult(h1, l2), 1)) + product(mult(l1, h2), 1))
}
fn div_32(num: i64, d: (i64, i64)) -> i64 {
    let approx = div(0x3fff, d.0);
    let error = extract(sat32(i64::from(i32::MAX) - mpy_32_16(d, approx)));
    let inverse = extract(mpy_32_16(error, approx));
    sat32(mpy_32(extract(num), inverse) << 2)
}
fn halves(x: i64) -> (i64, i64) {
    (low16(x), low16(x >> 16))
}
fn join(low: i64, high: i64) -> i64 {
    i64::from(((high as i32) << 16) | (low as i32 & 0xffff))
}
fn wrap(x: i64) -> i64 {
    i64::from(x as i32)
}
fn each(a: i64, b: i64, f: impl Fn(i64, i64) -> i64) -> i64 {
    let ((al, ah), (bl, bh)) = (halves(a), halves(b));
    join(f(al, bl), f(ah, bh))
}

/// Three 32-bit operands per lane; the operators under test take from them what they need.
#[derive(Clone, Copy)]
struct Operands([[i32; 16]; 3]);

impl WithLanes for Operands {
    type Output = usize;

    fn run<L: Lanes>(self) -> usize {
        let [x, y, z] = self.0;
        let (xv, yv, zv) = (L::from_array(&x), L::from_array(&y), L::from_array(&z));
        let (av, bv, count) = (xv.extract_l(), yv.extract_l(), zv.saturate());
        let mut checked = 0;
        let mut check = |name: &str, lanes: L, expected: &dyn Fn(i64, i64, i64) -> i64| {
            let lanes = lanes.to_array();
            for l in 0..L::N {
                let (x, y, z) = (i64::from(x[l]), i64::from(y[l]), i64::from(z[l]));
                let expected = expected(x, y, z);
                assert_eq!(i64::from(lanes[l]), expected, "{name}({x:#x}, {y:#x}, {z:#x}), lane {l} of {}", L::N);
            }
            checked += 1;
        };
        let (a, b) = (low16, low16);
        check("add", av.add(bv), &|x, y, _| sat16(a(x) + b(y)));
        check("sub", av.sub(bv), &|x, y, _| sat16(a(x) - b(y)));
        check("negate", av.negate(), &|x, _, _| sat16(-a(x)));
        check("abs_s", av.abs_s(), &|x, _, _| sat16(a(x).abs()));
        check("shl", av.shl(count), &|x, _, z| sat16(shift(a(x), sat16(z))));
        check("shr", av.shr(count), &|x, _, z| sat16(shift(a(x), -sat16(z))));
        check("shl_n", av.shl_n::<3>(), &|x, _, _| sat16(a(x) << 3));
        check("mult", av.mult(bv), &|x, y, _| mult(a(x), b(y)));
        check("mult_r", av.mult_r(bv), &|x, y, _| sat16((a(x) * b(y) + 0x4000) >> 15));
        check("l_mult", av.l_mult(bv), &|x, y, _| product(a(x), b(y)));
        check("l_mac", xv.l_mac(bv, av), &|x, y, _| sat32(x + product(a(x), b(y))));
        let coef = bv.max(L::splat(-0x7fff));
        check("l_mac_coef", xv.l_mac_coef(av, coef), &|x, y, _| sat32(x + product(a(x), b(y).max(-0x7fff))));
        check("l_msu_coef", xv.l_msu_coef(av, coef), &|x, y, _| sat32(x - product(a(x), b(y).max(-0x7fff))));
        check("l_add", xv.l_add(yv), &|x, y, _| sat32(x + y));
        check("l_sub", xv.l_sub(yv), &|x, y, _| sat32(x - y));
        check("l_negate", xv.l_negate(), &|x, _, _| sat32(-x));
        check("l_abs", xv.l_abs(), &|x, _, _| sat32(x.abs()));
        check("l_shl", xv.l_shl(count), &|x, _, z| sat32(shift(x, sat16(z))));
        check("l_shr", xv.l_shr(count), &|x, _, z| sat32(shift(x, -sat16(z))));
        check("l_shr_r", xv.l_shr_r(count), &|x, _, z| shr_r(x, sat16(z)));
        check("l_shl_n", xv.l_shl_n::<4>(), &|x, _, _| sat32(x << 4));
        check("extract_h", xv.extract_h(), &|x, _, _| x >> 16);
        check("extract_l", xv.extract_l(), &|x, _, _| a(x));
        check("l_deposit_h", av.l_deposit_h(), &|x, _, _| a(x) << 16);
        check("round", xv.round(), &|x, _, _| sat32(x + 0x8000) >> 16);
        check("norm_s", av.norm_s(), &|x, _, _| norm(a(x), 16));
        check("norm_l", xv.norm_l(), &|x, _, _| norm(x, 32));
        check("div_s", av.div_s(bv), &|x, y, _| div(a(x), b(y)));
        check("l_extract high", xv.l_extract().0, &|x, _, _| extract(x).0);
        check("l_extract low", xv.l_extract().1, &|x, _, _| extract(x).1);
        check("l_comp", L::l_comp(xv.l_extract()), &|x, _, _| x & !1);
        check("mpy_32", L::mpy_32(xv.l_extract(), yv.l_extract()), &|x, y, _| mpy_32(extract(x), extract(y)));
        check("mpy_32_16", L::mpy_32_16(xv.l_extract(), bv), &|x, y, _| mpy_32_16(extract(x), b(y)));
        let positive = |x: i64| x & 0x7fff_ffff;
        let normalised = |y: i64| (y & 0x7fff_ffff) | 0x4000_0000;
        let quotient =
            L::div_32(xv.and(L::splat(i32::MAX)), yv.and(L::splat(i32::MAX)).or(L::splat(1 << 30)).l_extract());
        check("div_32", quotient, &|x, y, _| div_32(positive(x), extract(normalised(y))));

        check("pair", L::pair(xv, yv), &|x, y, _| join(x, y));
        check("pair_between", L::pair_between(xv, yv), &|x, y, _| join(x >> 16, y));
        check("low", xv.low(), &|x, _, _| a(x));
        check("high", xv.high(), &|x, _, _| x >> 16);
        check("dot2", zv.dot2(xv, yv), &|x, y, z| {
            let ((xl, xh), (yl, yh)) = (halves(x), halves(y));
            wrap(z + xl * yl + xh * yh)
        });
        check("products", xv.products(yv), &|x, y, _| {
            let ((xl, xh), (yl, yh)) = (halves(x), halves(y));
            wrap(xl * yl + xh * yh)
        });
        let low = yv.and(L::splat(0xffff));
        check("mac_low", zv.mac_low(xv, low), &|x, y, z| wrap(z + a(x) * b(y)));
        check("mul_low", xv.mul_low(low), &|x, y, _| a(x) * b(y));
        let squares = yv.and(L::splat(i32::MAX)).dot2_squares(xv);
        check("dot2_squares", squares, &|x, y, _| {
            let (low, high) = halves(x);
            sat32(positive(y) + low * low + high * high)
        });
        check("narrow", L::widen(xv.narrow()), &|x, _, _| sat16(x));
        let either = L::select_narrow(
            xv.gt(yv).and(yv.gt(zv).not()).or(xv.gt(yv).not().and(yv.gt(zv))),
            xv.narrow(),
            yv.narrow(),
        );
        check("select_narrow", L::widen(either), &|x, y, z| sat16(if (x > y) != (y > z) { x } else { y }));
        check("pick", L::pick(&[xv, yv, zv], zv), &|x, y, z| [x, y, z][(z as u32 as usize).min(2)]);
        check("add_x2", xv.add_x2(yv), &|x, y, _| each(x, y, |a, b| sat16(a + b)));
        check("sub_x2", xv.sub_x2(yv), &|x, y, _| each(x, y, |a, b| sat16(a - b)));
        check("mul_high_x2", xv.mul_high_x2(yv), &|x, y, _| each(x, y, |a, b| (a * b) >> 16));
        check("mul_low_x2", xv.mul_low_x2(yv), &|x, y, _| each(x, y, |a, b| a * b));
        let coef = yv.max_x2(L::splat_x2(-0x7fff));
        check("mult_r_coef_x2", xv.mult_r_coef_x2(coef), &|x, y, _| {
            each(x, y, |a, b| (a * b.max(-0x7fff) + 0x4000) >> 15)
        });
        check("sra_x2", xv.sra_x2::<5>(), &|x, _, _| each(x, 0, |a, _| a >> 5));
        check("sll_x2", xv.sll_x2::<3>(), &|x, _, _| each(x, 0, |a, _| a << 3));
        check("min_x2", xv.min_x2(yv), &|x, y, _| each(x, y, i64::min));
        check("max_x2", xv.max_x2(yv), &|x, y, _| each(x, y, i64::max));
        check("select", L::select(xv.gt(yv).or(xv.eq(zv)), av, bv), &|x, y, z| {
            if x > y || x == z { a(x) } else { b(y) }
        });
        check("ge le", L::select(xv.ge(yv).and(yv.le(zv)).not(), av, bv), &|x, y, z| {
            if x >= y && y <= z { b(y) } else { a(x) }
        });
        check("dot", zv.dot(&[xv, yv, xv], &[yv, yv, zv]), &|x, y, z| {
            let products = |a: i64, b: i64| {
                let ((al, ah), (bl, bh)) = (halves(a), halves(b));
                al * bl + ah * bh
            };
            wrap(z + products(x, y) + products(y, y) + products(x, z))
        });
        let taps = [[3, -32768], [32767, -1], [0, 5]];
        check("dot_taps", zv.dot_taps(&[xv, yv, zv], &taps), &|x, y, z| {
            let tapped = |x: i64, taps: [i16; 2]| halves(x).0 * i64::from(taps[0]) + halves(x).1 * i64::from(taps[1]);
            wrap(z + tapped(x, taps[0]) + tapped(y, taps[1]) + tapped(z, taps[2]))
        });
        let row = [[3, -32768], [32767, -1], [0, 5], [100, -100], [-7000, 20000]];
        check("square_distance", L::square_distance(&[xv, yv, zv, xv, yv], &row), &|x, y, z| {
            let sum: i64 = [x, y, z, x, y]
                .into_iter()
                .zip(row)
                .flat_map(|(x, [low, high])| [halves(x).0 - i64::from(low), halves(x).1 - i64::from(high)])
                .map(|difference| sat16(difference) * sat16(difference))
                .sum();
            sat32(sum)
        });
        check_table::<L, 5>(zv, z);
        check_table::<L, 16>(zv, z);
        check_table::<L, 31>(zv, z);
        check_table::<L, 37>(zv, z);
        check_table::<L, 51>(zv, z);
        check_table::<L, 64>(zv, z);
        check_table::<L, 100>(zv, z);

        let bits = xv.gt(yv).bits();
        for l in 0..L::N {
            assert_eq!(bits >> l & 1 != 0, x[l] > y[l]);
        }
        assert_eq!(bits >> L::N, 0);
        assert_eq!(L::mask_from_bits(bits).bits(), bits);
        assert_eq!(xv.gt(yv).any(), bits != 0);
        checked
    }
}

fn check_table<L: Lanes, const M: usize>(index: L, indices: [i32; 16]) {
    let table: [i32; M] = core::array::from_fn(|i| (i as i32).wrapping_mul(0x1234_5677));
    // Both as they are, mostly far too large, and all inside.
    for shift in [0, 25] {
        let found = L::lookup(&table, index.and(L::splat(i32::MAX)).srav(L::splat(shift))).to_array();
        for l in 0..L::N {
            let index = (indices[l] & i32::MAX) >> shift;
            assert_eq!(found[l], table[(index as usize).min(M - 1)], "table of {M} at {index}");
        }
    }
}

/// Values at which 16- and 32-bit arithmetic has its corners, and shift counts of all kinds.
const CORNERS: [i32; 32] = [
    0,
    1,
    -1,
    2,
    -2,
    14,
    15,
    16,
    -15,
    -16,
    30,
    31,
    32,
    33,
    -31,
    -32,
    0x3fff,
    0x4000,
    0x7fff,
    -0x7fff,
    -0x8000,
    0x8000,
    0xffff,
    0x7fff_7fff,
    0x7fff_8000,
    i32::MAX,
    i32::MIN,
    i32::MIN + 1,
    -0x7fff_8000,
    1 << 30,
    -(1 << 30),
    0x4000_8000,
];

#[test]
fn every_operator_equals_plain_arithmetic_at_its_corners() {
    for level in Level::available() {
        for x in CORNERS {
            for y in CORNERS {
                for half in [0, 16] {
                    let z = core::array::from_fn(|l| CORNERS[l + half]);
                    assert!(with_lanes(level, Operands([[x; 16], [y; 16], z])) > 50);
                }
            }
        }
    }
}

/// A small generator of its own, so that failures repeat.
struct Random(u64);

impl Random {
    fn next(&mut self) -> i32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Magnitudes of all sizes.
        ((self.0 >> 32) as i32) >> ((self.0 >> 20) & 31)
    }
}

#[test]
fn every_operator_equals_plain_arithmetic_on_random_values() {
    let mut random = Random(1);
    for _ in 0..4000 {
        let operands = core::array::from_fn(|_| core::array::from_fn(|_| random.next()));
        for level in Level::available() {
            with_lanes(level, Operands(operands));
        }
    }
}

struct Transposition(usize);

impl WithLanes for Transposition {
    type Output = ();

    fn run<L: Lanes>(self) {
        const WORDS: usize = 61;
        let calls: [[i16; 2 * WORDS]; 16] = core::array::from_fn(|l| core::array::from_fn(|i| (l * 1000 + i) as i16));
        let rows: [&[i16]; 16] = core::array::from_fn(|l| &calls[l][..]);
        let words = &mut [L::zero(); WORDS][..self.0];
        L::load_pairs(&rows[..L::N], words);
        for (k, word) in words.iter().enumerate() {
            let (low, high) = (word.low().to_array(), word.high().to_array());
            for l in 0..L::N {
                assert_eq!((low[l], high[l]), (i32::from(calls[l][2 * k]), i32::from(calls[l][2 * k + 1])));
            }
        }
        for filled in [L::N, L::N.div_ceil(2)] {
            let mut back = [[-1i16; 2 * WORDS]; 16];
            let mut rows = back.each_mut().map(|row| &mut row[..]);
            L::store_pairs(words, &mut rows[..filled]);
            for l in 0..16 {
                let written = if l < filled { 2 * self.0 } else { 0 };
                assert_eq!(back[l][..written], calls[l][..written]);
                assert!(back[l][written..].iter().all(|x| *x == -1));
            }
        }
    }
}

#[test]
fn calls_are_transposed_into_lanes_and_back_at_every_length() {
    for level in Level::available() {
        for words in 0..=61 {
            with_lanes(level, Transposition(words));
        }
    }
}
