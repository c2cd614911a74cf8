//! The four element types, and what pruning needs to know of each.

use std::fmt::{Debug, Display};

use half::{bf16, f16};
use num_traits::Float;

use crate::torch::Uniform;

/// The element type of a tensor that can be pruned: [`f32`], [`f64`], [`half::f16`] or [`half::bf16`].
///
/// The trait is sealed. Generic code gets arithmetic through [`num_traits::Float`]:
///
/// ```
/// fn magnitude<A: prune::Element>(x: A) -> A {
///     x.abs()
/// }
/// assert_eq!(magnitude(half::bf16::from_f32(-2.0)), half::bf16::from_f32(2.0));
/// ```
pub trait Element: Float + Default + Debug + Display + Send + Sync + Unpin + 'static + Internals {}

impl Element for f32 {}
impl Element for f64 {}
impl Element for f16 {}
impl Element for bf16 {}

/// The part of [`Element`] that is not for users; it also seals the trait.
pub trait Internals: Copy + bytemuck::Pod + Uniform {
    /// Unsigned integers in the order of magnitudes.
    type Key: Key;
    /// What norms are accumulated in.
    type Accumulator: Float + Send + Sync;
    /// The name in messages.
    const DTYPE: &'static str;
    /// The name in files.
    #[cfg(feature = "safetensors")]
    const STORED: safetensors::Dtype;
    /// How PyTorch sums squares over contiguous memory; `None` where it does so one by one.
    const SQUARES: Option<SquareSum>;

    /// The rank of `|self|`. NaNs are all equal and the largest; 0.0 and -0.0 are equal.
    fn magnitude(self) -> Self::Key;
    /// `self * 1` or `self * 0`, by the rules of IEEE multiplication: a pruned -2 is -0, a pruned infinity is NaN.
    fn times(self, kept: bool) -> Self;
    /// Exact.
    fn widen(self) -> Self::Accumulator;
    /// Rounded half to even.
    fn narrow(accumulator: Self::Accumulator) -> Self;
}

/// An unsigned integer that ranks a magnitude.
pub trait Key: Copy + Ord + Debug + Send + Sync + 'static {
    /// Turns the order around: the lowest of the reversed keys are the highest.
    fn reversed(self) -> Self;
}

/// The blocks of a vectorised sum of squares.
#[derive(Debug, Clone, Copy)]
pub struct SquareSum {
    /// How many elements are taken at a time; what remains after the last full block is the tail.
    pub block: usize,
    /// The tail is added in groups of this many with separate rounding, and what then remains by fused multiply-add.
    pub tail_group: usize,
}

macro_rules! key {
    ($($key:ty),*) => {$(
        impl Key for $key {
            fn reversed(self) -> Self {
                !self
            }
        }
    )*};
}
key!(u16, u32, u64);

macro_rules! magnitude {
    ($float:ty, $key:ty) => {
        #[inline(always)]
        fn magnitude(self) -> $key {
            // Without the sign bit, the bits of floats are in the order of their values, with the NaNs above infinity.
            const SIGN: $key = 1 << (<$key>::BITS - 1);
            const NAN: $key = <$float>::INFINITY.to_bits() + 1;
            (self.to_bits() & !SIGN).min(NAN)
        }
    };
}

macro_rules! full_precision {
    ($float:ident, $stored:ident, $key:ty, $squares:expr) => {
        impl Internals for $float {
            type Key = $key;
            type Accumulator = $float;
            const DTYPE: &'static str = stringify!($float);
            #[cfg(feature = "safetensors")]
            const STORED: safetensors::Dtype = safetensors::Dtype::$stored;
            const SQUARES: Option<SquareSum> = Some($squares);

            magnitude!($float, $key);

            #[inline(always)]
            fn times(self, kept: bool) -> Self {
                $float::from(u8::from(kept)) * self
            }
            #[inline(always)]
            fn widen(self) -> Self {
                self
            }
            #[inline(always)]
            fn narrow(accumulator: Self) -> Self {
                accumulator
            }
        }
    };
}

macro_rules! half_precision {
    ($half:ident, $stored:ident, $squares:expr) => {
        impl Internals for $half {
            type Key = u16;
            type Accumulator = f32;
            const DTYPE: &'static str = stringify!($half);
            #[cfg(feature = "safetensors")]
            const STORED: safetensors::Dtype = safetensors::Dtype::$stored;
            const SQUARES: Option<SquareSum> = $squares;

            magnitude!($half, u16);

            // The product with 0 or 1 needs no arithmetic, and a round trip through f32 would cost more than the memory.
            #[inline(always)]
            fn times(self, kept: bool) -> Self {
                const SIGN: u16 = 1 << 15;
                let bits = self.to_bits();
                let finite = bits & !SIGN < $half::INFINITY.to_bits();
                let zero = if finite { bits & SIGN } else { $half::NAN.to_bits() };
                $half::from_bits(if kept { bits } else { zero })
            }
            #[inline(always)]
            fn widen(self) -> f32 {
                self.to_f32()
            }
            #[inline(always)]
            fn narrow(accumulator: f32) -> Self {
                $half::from_f32(accumulator)
            }
        }
    };
}

full_precision!(f32, F32, u32, SquareSum { block: 8, tail_group: 4 });
full_precision!(f64, F64, u64, SquareSum { block: 4, tail_group: usize::MAX });
half_precision!(f16, F16, None);
half_precision!(bf16, BF16, Some(SquareSum { block: 16, tail_group: 4 }));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_products_are_the_arithmetic_ones() {
        for bits in 0..=u16::MAX {
            for kept in [false, true] {
                let factor = f32::from(u8::from(kept));
                let (a, b) = (f16::from_bits(bits), bf16::from_bits(bits));
                let (x, y) = (a * f16::from_f32(factor), b * bf16::from_f32(factor));
                assert!(a.times(kept).to_bits() == x.to_bits() || x.is_nan() && a.times(kept).is_nan());
                assert!(b.times(kept).to_bits() == y.to_bits() || y.is_nan() && b.times(kept).is_nan());
            }
        }
    }

    #[test]
    fn magnitudes_order_like_absolute_values() {
        let sorted = [0.0, 1e-45_f32, 1e-30, 1.0, 2.0, f32::MAX, f32::INFINITY, f32::NAN];
        assert!(sorted.windows(2).all(|w| w[0].magnitude() < w[1].magnitude()));
        assert_eq!((-0.0_f32).magnitude(), 0.0_f32.magnitude());
        assert_eq!((-f32::NAN).magnitude(), f32::from_bits(0x7f80_0001).magnitude());
    }
}
