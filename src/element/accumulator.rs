//! The wider types, in which sums are formed.

use std::fmt::{Debug, Display};

use num_traits::Float;

use crate::key::Ranked;

/// A type of sums: `f32`, or `f64` for the sums of `f64`. Cannot be named outside.
pub trait Accumulator:
    Float + Ranked + Into<f64> + bytemuck::Pod + Default + Debug + Display + Send + Sync + 'static
{
    /// Returns `self + a * b`, with one rounding if `FUSED`, which is slow unless the processor has such an instruction.
    fn add_product<const FUSED: bool>(self, a: Self, b: Self) -> Self;
}

macro_rules! accumulator {
    ($float:ident) => {
        impl Accumulator for $float {
            #[inline(always)]
            fn add_product<const FUSED: bool>(self, a: Self, b: Self) -> Self {
                if FUSED { a.mul_add(b, self) } else { self + a * b }
            }
        }
    };
}
accumulator!(f32);
accumulator!(f64);
