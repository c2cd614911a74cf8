//! Integer keys that rank entries: the bits of a magnitude are ordered like its value.

use std::fmt::Debug;
use std::ops::{Add, BitOr, Shl, Shr, Sub};

use half::{bf16, f16};

/// A type whose values have a rank: a number ranks by its magnitude, a key by itself.
pub trait Ranked: Copy + Send + Sync + 'static {
    /// The integer type of the ranks.
    type Key: Key;

    /// Returns the rank of `|self|`; lower is pruned first. All NaNs are equal and the highest; 0.0 and -0.0 are equal.
    fn key(self) -> Self::Key;
}

/// An unsigned integer that ranks entries: u16, u32 or u64.
///
/// [`Key::MAX`] is the rank of a pruned entry. No remaining entry has it, so that pruned entries come behind all remaining ones
/// and need no other treatment.
pub trait Key:
    Ranked<Key = Self>
    + Ord
    + Debug
    + From<bool>
    + bytemuck::Pod
    + BitOr<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Shl<u32, Output = Self>
    + Shr<u32, Output = Self>
{
    /// The lowest rank.
    const ZERO: Self;
    /// The distance between two neighbouring ranks.
    const ONE: Self;
    /// The rank of a pruned entry.
    const MAX: Self;

    /// Returns the difference, modulo the range of the type.
    fn wrapping_sub(self, other: Self) -> Self;
    /// Returns the number of bits that the key needs.
    fn bits(self) -> u32;
    /// Converts the key to an index or a count. The caller knows that it fits.
    fn to_usize(self) -> usize;

    /// Reverses the order of magnitudes: the lowest of the reversed keys are the highest keys.
    fn reversed(self) -> Self {
        // A magnitude has no sign bit, so the difference is neither negative nor the rank of a pruned entry.
        (Self::MAX >> 1) - self
    }
}

macro_rules! keys {
    ($($key:ty),*) => {$(
        impl Ranked for $key {
            type Key = $key;

            #[inline(always)]
            fn key(self) -> $key {
                self
            }
        }

        impl Key for $key {
            const ZERO: $key = 0;
            const ONE: $key = 1;
            const MAX: $key = <$key>::MAX;

            #[inline(always)]
            fn wrapping_sub(self, other: $key) -> $key {
                <$key>::wrapping_sub(self, other)
            }
            #[inline(always)]
            fn bits(self) -> u32 {
                <$key>::BITS - self.leading_zeros()
            }
            #[inline(always)]
            fn to_usize(self) -> usize {
                self as usize
            }
        }
    )*};
}
keys!(u16, u32, u64);

macro_rules! magnitudes {
    ($($float:ty => $key:ty),*) => {$(
        impl Ranked for $float {
            type Key = $key;

            #[inline(always)]
            fn key(self) -> $key {
                const NAN: $key = <$float>::INFINITY.to_bits() + 1;
                (self.to_bits() & (<$key>::MAX >> 1)).min(NAN)
            }
        }
    )*};
}
magnitudes!(f32 => u32, f64 => u64, f16 => u16, bf16 => u16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_like_magnitudes() {
        let sorted = [0.0, 1e-45_f32, 1e-30, 1.0, 2.0, f32::MAX, f32::INFINITY, f32::NAN];
        assert!(sorted.windows(2).all(|w| w[0].key() < w[1].key()));
        assert!(sorted.windows(2).all(|w| w[0].key().reversed() > w[1].key().reversed()));
        assert!(sorted.iter().all(|x| x.key().max(x.key().reversed()) < u32::MAX));
        assert_eq!((-0.0_f32).key(), 0.0_f32.key());
        assert_eq!((-f32::NAN).key(), f32::from_bits(0x7f80_0001).key());
    }
}
