//! PyTorch's conversion of random words to uniform numbers, for each dtype.

use half::{bf16, f16};
use rand_mt::Mt;

/// A dtype that PyTorch can draw uniformly; part of what makes a type an [`Element`](crate::Element).
#[doc(hidden)]
pub trait Uniform: Copy {
    /// Draws the next value of `[0, 1)`, like `torch.rand`.
    fn unit(words: &mut Mt) -> Self;

    /// Returns a closure that draws the next value of `[low, high)`, like `uniform_(low, high)`.
    ///
    /// With bounds of 0 and 1 the values are those of `unit`, but slower: most builds call a function for a fused multiply-add.
    fn between(low: f64, high: f64) -> impl Fn(&mut Mt) -> Self;
}

impl Uniform for f32 {
    #[inline]
    fn unit(words: &mut Mt) -> Self {
        const STEPS: u32 = 1 << f32::MANTISSA_DIGITS;
        (words.next_u32() % STEPS) as f32 / STEPS as f32
    }

    #[inline]
    fn between(low: f64, high: f64) -> impl Fn(&mut Mt) -> Self {
        let (low, high) = (low as f32, high as f32);
        let width = high - low;
        move |words| half_open(f32::unit(words).mul_add(width, low), low, high)
    }
}

impl Uniform for f64 {
    #[inline]
    fn unit(words: &mut Mt) -> Self {
        const STEPS: u64 = 1 << f64::MANTISSA_DIGITS;
        // Two words, the first one as the high half.
        (words.next_u64() % STEPS) as f64 / STEPS as f64
    }

    #[inline]
    fn between(low: f64, high: f64) -> impl Fn(&mut Mt) -> Self {
        let width = high - low;
        move |words| half_open(f64::unit(words).mul_add(width, low), low, high)
    }
}

/// Half-precision draws are `f32` draws with `f32` bounds, rounded at the end.
macro_rules! rounded {
    ($($half:ident),*) => {$(
        impl Uniform for $half {
            #[inline]
            fn unit(words: &mut Mt) -> Self {
                half_open($half::from_f32(f32::unit(words)), $half::ZERO, $half::ONE)
            }

            #[inline]
            fn between(low: f64, high: f64) -> impl Fn(&mut Mt) -> Self {
                let single = f32::between(low, high);
                let (low, high) = ($half::from_f32(low as f32), $half::from_f32(high as f32));
                move |words| half_open($half::from_f32(single(words)), low, high)
            }
        }
    )*};
}
rounded!(f16, bf16);

/// Replaces `high`, which `[low, high)` excludes, by `low`, as PyTorch does. Rounding can carry a value up to `high`.
///
/// A half-precision draw from `[0, 1)` is therefore 0 more often than it should be: for `bf16`, in one draw of 512.
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
        assert!((0..10_000).all(|_| bf16::unit(&mut words) < bf16::ONE));
    }

    #[test]
    fn the_unit_interval_is_an_interval() {
        fn check<A: Uniform + PartialEq + std::fmt::Debug>() {
            let (mut some, mut same) = (Mt::new(1), Mt::new(1));
            let between = A::between(0.0, 1.0);
            for _ in 0..10_000 {
                assert_eq!(A::unit(&mut some), between(&mut same));
            }
        }
        check::<f32>();
        check::<f64>();
        check::<f16>();
        check::<bf16>();
    }
}
