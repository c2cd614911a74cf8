//! The four floating-point types that can be pruned, chosen at run time.

use candle_core::{DType, WithDType};
use half::{bf16, f16};
use prune::{Element, PruningMethod};

/// A pruning method for all four element types. Every method of `nn-prune` is one, and so is every custom method that
/// implements [`PruningMethod<A>`] for any [`Element`].
///
/// There is nothing to implement: a variable of candle has its dtype at run time only, so a method has to know all of them.
pub trait Method: PruningMethod<f32> + PruningMethod<f64> + PruningMethod<f16> + PruningMethod<bf16> {}

impl<M: PruningMethod<f32> + PruningMethod<f64> + PruningMethod<f16> + PruningMethod<bf16>> Method for M {}

/// An element type of both libraries.
pub(crate) trait Float: Element + WithDType {
    /// The method for this type.
    fn method(method: &dyn Method) -> &dyn PruningMethod<Self>;
}

macro_rules! float {
    ($($float:ty),*) => {$(
        impl Float for $float {
            fn method(method: &dyn Method) -> &dyn PruningMethod<Self> {
                method
            }
        }
    )*};
}
float!(f32, f64, f16, bf16);

/// A dtype that can be pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FloatType {
    F32,
    F64,
    F16,
    BF16,
}

impl FloatType {
    /// Returns the type, or `None` for integers and for floats of fewer than 16 bits.
    pub(crate) fn of(dtype: DType) -> Option<Self> {
        match dtype {
            DType::F32 => Some(Self::F32),
            DType::F64 => Some(Self::F64),
            DType::F16 => Some(Self::F16),
            DType::BF16 => Some(Self::BF16),
            // The others cannot be pruned, nor can a dtype of a later version of candle.
            _ => None,
        }
    }

    /// Returns the smallest type that holds all values of both.
    pub(crate) fn common(self, other: Self) -> Self {
        match (self, other) {
            (Self::F64, _) | (_, Self::F64) => Self::F64,
            (Self::F16, Self::F16) => Self::F16,
            (Self::BF16, Self::BF16) => Self::BF16,
            (Self::F32, _) | (_, Self::F32) | (Self::F16, Self::BF16) | (Self::BF16, Self::F16) => Self::F32,
        }
    }

    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F64 => DType::F64,
            Self::F16 => DType::F16,
            Self::BF16 => DType::BF16,
        }
    }
}

/// Evaluates an expression with the element type of a [`FloatType`].
macro_rules! with_float {
    ($float:expr, $A:ident => $body:expr) => {
        match $float {
            $crate::float::FloatType::F32 => {
                type $A = f32;
                $body
            }
            $crate::float::FloatType::F64 => {
                type $A = f64;
                $body
            }
            $crate::float::FloatType::F16 => {
                type $A = half::f16;
                $body
            }
            $crate::float::FloatType::BF16 => {
                type $A = half::bf16;
                $body
            }
        }
    };
}
pub(crate) use with_float;
