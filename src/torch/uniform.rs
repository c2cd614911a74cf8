//! How PyTorch turns random words into numbers, dtype by dtype.

use half::{bf16, f16};
use rand_mt::Mt;

/// A dtype that PyTorch can draw uniformly; part of what makes a type an [`Element`](crate::Element).
#[doc(hidden)]
pub trait Uniform: Copy {
    /// PyTorch's `uniform_(low, high)`, one value at a call.
    ///
    /// The bounds are prepared once, so that constant bounds fold away: `between(0.0, 1.0)` costs no multiplication.
    fn between(low: f64, high: f64) -> impl Fn(&mut Mt) -> Self;
}

impl Uniform for f32 {
    #[inline]
    fn between(low: f64, high: f64) -> impl Fn(&mut Mt) -> Self {
        let (low, high) = (low as f32, high as f32);
        let width = high - low;
        move |words| {
            const BITS: u32 = f32::MANTISSA_DIGITS;
            let low_bits = words.next_u32() & ((1 << BITS) - 1);
            let unit = low_bits as f32 / (1 << BITS) as f32;
            half_open(unit.mul_add(width, low), low, high)
        }
    }
}

impl Uniform for f64 {
    #[inline]
    fn between(low: f64, high: f64) -> impl Fn(&mut Mt) -> Self {
        let width = high - low;
        move |words| {
            const BITS: u32 = f64::MANTISSA_DIGITS;
            // Two words, the first one as the high half.
            let low_bits = words.next_u64() & ((1 << BITS) - 1);
            let unit = low_bits as f64 / (1_u64 << BITS) as f64;
            half_open(unit.mul_add(width, low), low, high)
        }
    }
}

impl Uniform for f16 {
    #[inline]
    fn between(low: f64, high: f64) -> impl Fn(&mut Mt) -> Self {
        rounded(low, high, f16::from_f32)
    }
}

impl Uniform for bf16 {
    #[inline]
    fn between(low: f64, high: f64) -> impl Fn(&mut Mt) -> Self {
        rounded(low, high, bf16::from_f32)
    }
}

/// The halves are `f32` draws, with `f32` bounds, that are rounded at the end.
#[inline]
fn rounded<H: Copy + PartialEq>(low: f64, high: f64, round: fn(f32) -> H) -> impl Fn(&mut Mt) -> H {
    let draw = f32::between(low, high);
    let (low, high) = (round(low as f32), round(high as f32));
    move |words| half_open(round(draw(words)), low, high)
}

/// Rounding can carry a value up to `high`, which `[low, high)` excludes: PyTorch then takes `low`.
///
/// So a half drawn from `[0, 1)` is 0 more often than chance would have it. For `bf16` that is one draw in 512.
#[inline]
fn half_open<A: PartialEq>(value: A, low: A, high: A) -> A {
    if value == high { low } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One step apart, every value between the bounds rounds to one of them; the upper one must not be seen.
    #[test]
    fn the_upper_bound_is_never_drawn() {
        let mut words = Mt::new(0);
        let single = f32::between(1.0, f64::from(1.0_f32.next_up()));
        let double = f64::between(1.0, 1.0_f64.next_up());
        for _ in 0..100 {
            assert_eq!(single(&mut words), 1.0);
            assert_eq!(double(&mut words), 1.0);
        }
        let brain = bf16::between(0.0, 1.0);
        assert!((0..10_000).all(|_| brain(&mut words) < bf16::ONE));
    }
}
