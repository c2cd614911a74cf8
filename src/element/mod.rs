//! The four element types, with the arithmetic that pruning needs of each.

pub(crate) mod accumulator;
mod uniform;
pub(crate) mod wide;

use std::fmt::{Debug, Display};

use half::{bf16, f16};
use num_traits::Float;
pub(crate) use uniform::Uniform;

use crate::element::accumulator::Accumulator;
use crate::key::Ranked;

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
pub trait Element: Float + Default + Debug + Display + Send + Sync + Unpin + 'static + ElementInternals {}

impl Element for f32 {}
impl Element for f64 {}
impl Element for f16 {}
impl Element for bf16 {}

/// The part of [`Element`] that is not for users; it also seals the trait.
pub trait ElementInternals: Ranked + bytemuck::Pod + Uniform {
    /// The type in which norms and products are accumulated.
    type Accumulator: Accumulator;
    /// The name of the type in messages.
    const DTYPE: &'static str;
    /// The name of the type in files.
    #[cfg(feature = "safetensors")]
    const STORED: safetensors::Dtype;
    /// PyTorch's way to sum squares over contiguous memory; `None` if it adds them one by one.
    const SQUARES: Option<SquareSum>;

    /// Multiplies by 1 or 0 as IEEE arithmetic does: a pruned -2 is -0, a pruned infinity is NaN.
    fn masked(self, kept: bool) -> Self;
    /// Returns `|self|`, exactly.
    fn widen_abs(self) -> Self::Accumulator;
    /// Returns the number, exactly. Unlike the conversions of `half` and `num_traits`, a loop of it vectorises.
    fn widen(self) -> Self::Accumulator;
    /// Returns the number as `f64`, exactly.
    #[inline(always)]
    fn exact_f64(self) -> f64 {
        self.widen().into()
    }
    /// Returns the product of `|self|` and a factor, rounded to `f32`.
    fn scaled_and_rounded(self, factor: f32) -> f32;
    /// Returns the same numbers in the wider type; `buffer` is used if that is another type, and is then at least as long.
    fn widen_all<'s>(values: &'s [Self], buffer: &'s mut [Self::Accumulator]) -> &'s [Self::Accumulator];
    /// Rounds half to even.
    fn narrow(accumulator: Self::Accumulator) -> Self;
}

/// A vector sum of squares: in lanes over the full blocks, then the rest one by one.
#[derive(Debug, Clone, Copy)]
pub struct SquareSum {
    /// The number of sums that run side by side: 4 or 8.
    pub lanes: usize,
    /// The number of entries in a block, a multiple of the lanes.
    pub block: usize,
}

macro_rules! full_precision {
    ($float:ident, $stored:ident, $squares:expr) => {
        impl ElementInternals for $float {
            type Accumulator = $float;
            const DTYPE: &'static str = stringify!($float);
            #[cfg(feature = "safetensors")]
            const STORED: safetensors::Dtype = safetensors::Dtype::$stored;
            const SQUARES: Option<SquareSum> = Some($squares);

            #[inline(always)]
            fn masked(self, kept: bool) -> Self {
                // A choice between two constants is a bit mask, unlike a conversion.
                self * if kept { 1.0 } else { 0.0 }
            }
            #[inline(always)]
            fn widen_abs(self) -> Self {
                self.abs()
            }
            #[inline(always)]
            fn widen(self) -> Self {
                self
            }
            #[inline(always)]
            fn scaled_and_rounded(self, factor: f32) -> f32 {
                (self.abs() * $float::from(factor)) as f32
            }
            #[inline(always)]
            fn widen_all<'s>(values: &'s [Self], _: &'s mut [Self]) -> &'s [Self] {
                values
            }
            #[inline(always)]
            fn narrow(accumulator: Self) -> Self {
                accumulator
            }
        }
    };
}

macro_rules! half_precision {
    ($half:ident, $stored:ident, $squares:expr, $widen_abs:expr) => {
        impl ElementInternals for $half {
            type Accumulator = f32;
            const DTYPE: &'static str = stringify!($half);
            #[cfg(feature = "safetensors")]
            const STORED: safetensors::Dtype = safetensors::Dtype::$stored;
            const SQUARES: Option<SquareSum> = $squares;

            // The product with 0 or 1 needs no arithmetic, and a round trip through f32 would cost more than the memory.
            #[inline(always)]
            fn masked(self, kept: bool) -> Self {
                const SIGN: u16 = 1 << 15;
                let bits = self.to_bits();
                let finite = bits & !SIGN < $half::INFINITY.to_bits();
                let zero = if finite { bits & SIGN } else { $half::NAN.to_bits() };
                $half::from_bits(if kept { bits } else { zero })
            }
            #[inline(always)]
            fn widen_abs(self) -> f32 {
                $widen_abs(self)
            }
            #[inline(always)]
            fn widen(self) -> f32 {
                let sign = u32::from(self.to_bits() >> 15) << 31;
                f32::from_bits($widen_abs(self).to_bits() | sign)
            }
            #[inline(always)]
            fn scaled_and_rounded(self, factor: f32) -> f32 {
                self.widen_abs() * factor
            }
            #[inline(always)]
            fn widen_all<'s>(values: &'s [Self], buffer: &'s mut [f32]) -> &'s [f32] {
                let wide = &mut buffer[..values.len()];
                for (wide, &x) in wide.iter_mut().zip(values) {
                    *wide = x.widen();
                }
                wide
            }
            #[inline(always)]
            fn narrow(accumulator: f32) -> Self {
                $half::from_f32(accumulator)
            }
        }
    };
}

full_precision!(f32, F32, SquareSum { lanes: 8, block: 8 });
full_precision!(f64, F64, SquareSum { lanes: 4, block: 4 });
half_precision!(f16, F16, None, f16_widen_abs);
half_precision!(bf16, BF16, Some(SquareSum { lanes: 8, block: 16 }), |x: bf16| {
    f32::from_bits(u32::from(x.to_bits() & 0x7fff) << 16)
});

/// Rounds a number to an element type, as `num_traits` does: to a half by way of `f32`.
#[inline]
pub(crate) fn rounded<A: Element>(x: f64) -> A {
    num_traits::cast(x).unwrap_or_else(|| unreachable!("floats of any size are rounded"))
}

/// Returns |x| in a form that vectorises: the bits moved into place are |x| / 2^112, unless x is infinite or NaN.
#[inline(always)]
fn f16_widen_abs(x: f16) -> f32 {
    const SCALE: f32 = f32::from_bits((127 + 112) << 23);
    let bits = u32::from(x.to_bits() & 0x7fff) << 13;
    let scaled = f32::from_bits(bits) * SCALE;
    if scaled < 65536.0 { scaled } else { f32::from_bits(bits | f32::INFINITY.to_bits()) }
}

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
                assert!(a.masked(kept).to_bits() == x.to_bits() || x.is_nan() && a.masked(kept).is_nan());
                assert!(b.masked(kept).to_bits() == y.to_bits() || y.is_nan() && b.masked(kept).is_nan());
            }
        }
    }

    #[test]
    fn halves_are_widened_exactly() {
        let all: Vec<u16> = (0..=u16::MAX).collect();
        let mut buffer = vec![0.0_f32; all.len()];
        let (a, b): (Vec<f16>, Vec<bf16>) = all.iter().map(|&x| (f16::from_bits(x), bf16::from_bits(x))).unzip();
        let same = |wide: f32, x: f32| wide.to_bits() == x.to_bits() || wide.is_nan() && x.is_nan();
        assert!(f16::widen_all(&a, &mut buffer).iter().zip(&a).all(|(&wide, x)| same(wide, x.to_f32())));
        assert!(bf16::widen_all(&b, &mut buffer).iter().zip(&b).all(|(&wide, x)| same(wide, x.to_f32())));
    }

    #[test]
    fn half_magnitudes_are_exact() {
        for bits in 0..=u16::MAX {
            let (a, b) = (f16::from_bits(bits), bf16::from_bits(bits));
            assert!(a.widen_abs() == a.to_f32().abs() || a.is_nan() && a.widen_abs().is_nan());
            assert!(b.widen_abs() == b.to_f32().abs() || b.is_nan() && b.widen_abs().is_nan());
            assert!(a.widen().to_bits() == a.to_f32().to_bits() || a.is_nan() && a.widen().is_nan());
            assert!(b.widen().to_bits() == b.to_f32().to_bits() || b.is_nan() && b.widen().is_nan());
        }
    }
}
