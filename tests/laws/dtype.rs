//! The four element types, with what a naive model needs to know of each.

use std::fmt::Debug;

use half::{bf16, f16};
use num_traits::Float;
use prune::Element;

/// An element type that is seen through its bits, so that NaNs and signed zeros can be told apart.
pub trait Dtype: Element {
    /// The type in which norms are accumulated.
    type Wide: Float + Debug;
    /// The number of entries that PyTorch squares and sums at a time over contiguous memory; `None` if it takes one by one.
    const BLOCK: Option<usize>;

    fn bits(self) -> u64;
    /// The type's own low bits of a word: every pattern can come up.
    fn of_bits(word: u64) -> Self;
    fn of(x: f64) -> Self;
    fn wide(self) -> Self::Wide;
    fn rounded(wide: Self::Wide) -> Self;
}

macro_rules! dtype {
    ($float:ident, $bits:ident, $wide:ident, $block:expr, $of:expr, $wider:expr, $rounded:expr) => {
        impl Dtype for $float {
            type Wide = $wide;
            const BLOCK: Option<usize> = $block;

            fn bits(self) -> u64 {
                self.to_bits().into()
            }
            fn of_bits(word: u64) -> Self {
                Self::from_bits(word as $bits)
            }
            fn of(x: f64) -> Self {
                $of(x)
            }
            fn wide(self) -> $wide {
                $wider(self)
            }
            fn rounded(wide: $wide) -> Self {
                $rounded(wide)
            }
        }
    };
}

dtype!(f32, u32, f32, Some(8), |x| x as f32, |x| x, |x| x);
dtype!(f64, u64, f64, Some(4), |x| x, |x| x, |x| x);
dtype!(f16, u16, f32, None, f16::from_f64, f16::to_f32, f16::from_f32);
dtype!(bf16, u16, f32, Some(16), bf16::from_f64, bf16::to_f32, bf16::from_f32);

/// Equal bits, or both NaN: which NaN a product gives is the processor's business.
pub fn same<A: Dtype>(a: A, b: A) -> bool {
    a.bits() == b.bits() || a.is_nan() && b.is_nan()
}

#[track_caller]
pub fn assert_same<'a, A: Dtype>(found: impl IntoIterator<Item = &'a A>, expected: &[A], what: &str) {
    let found: Vec<A> = found.into_iter().copied().collect();
    let equal = found.len() == expected.len() && found.iter().zip(expected).all(|(&a, &b)| same(a, b));
    assert!(equal, "{what}: expected {expected:?}, found {found:?}");
}

/// Makes four tests of a generic one.
macro_rules! for_each_dtype {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            #[test]
            fn f32() {
                super::$test::<f32>();
            }
            #[test]
            fn f64() {
                super::$test::<f64>();
            }
            #[test]
            fn f16() {
                super::$test::<half::f16>();
            }
            #[test]
            fn bf16() {
                super::$test::<half::bf16>();
            }
        }
    )*};
}
pub(crate) use for_each_dtype;
