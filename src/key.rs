//! Integer keys that rank entries: the bits of a magnitude are ordered like its value.

use std::fmt::Debug;
use std::ops::{Add, BitOr, Shl, Shr, Sub};

use half::{bf16, f16};

/// A type whose values have a rank: a number ranks by its magnitude, a key by itself.
pub trait Ranked: Copy + Send + Sync + 'static {
    /// The integer type of the ranks.
    type Key: Key;

    /// The highest rank that [`is_below`](Self::is_below) and [`is_up_to`](Self::is_up_to) compare with: that of infinity.
    const COMPARABLE: Self::Key;

    /// Returns the rank of `|self|`; lower is pruned first. All NaNs are equal and the highest; 0.0 and -0.0 are equal.
    fn key(self) -> Self::Key;

    /// `self.key() < limit`, for limits up to [`COMPARABLE`](Self::COMPARABLE): one compare in any vector unit, whatever the
    /// payload of a NaN, since all of them are above infinity.
    fn is_below(self, limit: Self::Key) -> bool;

    /// `self.key() <= limit`, for limits up to [`COMPARABLE`](Self::COMPARABLE).
    fn is_up_to(self, limit: Self::Key) -> bool;

    /// The rank in the order of [`Key::is_below_flipped`], in which vector units compare.
    fn signed_rank(self) -> Self::Key;

    /// Returns the entry if it remains, otherwise one above all limits: a NaN, or the key of a pruned entry.
    fn if_remaining(self, remaining: bool) -> Self;

    /// The upper 16 bits of the rank, as a signed number of the same order.
    fn upper_half(self) -> i16;
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
    /// Returns the sum, modulo the range of the type.
    fn wrapping_add(self, other: Self) -> Self;
    /// Returns the key with its upper bit flipped, in the order of [`is_below_flipped`](Self::is_below_flipped).
    fn flipped(self) -> Self;
    /// Compares flipped keys: as signed numbers, which vector units compare.
    fn is_below_flipped(self, other: Self) -> bool;
    /// Returns the number of bits that the key needs.
    fn bits(self) -> u32;
    /// Converts the key to an index or a count. The caller knows that it fits.
    fn to_usize(self) -> usize;
    /// 16 bits of the key, from bit `shift` on, as a signed number of the same order.
    fn half(self, shift: u32) -> i16;

    /// Reverses the order of magnitudes: the lowest of the reversed keys are the highest keys.
    fn reversed(self) -> Self {
        // A magnitude has no sign bit, so the difference is neither negative nor the rank of a pruned entry.
        (Self::MAX >> 1) - self
    }
}

macro_rules! keys {
    ($($key:ty, $signed:ty;)*) => {$(
        impl Ranked for $key {
            type Key = $key;
            const COMPARABLE: $key = <$key>::MAX;

            #[inline(always)]
            fn key(self) -> $key {
                self
            }
            #[inline(always)]
            fn is_below(self, limit: $key) -> bool {
                self < limit
            }
            #[inline(always)]
            fn is_up_to(self, limit: $key) -> bool {
                self <= limit
            }
            #[inline(always)]
            fn signed_rank(self) -> $key {
                self.flipped()
            }
            #[inline(always)]
            fn if_remaining(self, remaining: bool) -> $key {
                self | <$key>::from(remaining).wrapping_sub(1)
            }
            #[inline(always)]
            fn upper_half(self) -> i16 {
                self.half(<$key>::BITS - 16)
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
            fn wrapping_add(self, other: $key) -> $key {
                <$key>::wrapping_add(self, other)
            }
            #[inline(always)]
            fn flipped(self) -> $key {
                self ^ (1 << (<$key>::BITS - 1))
            }
            #[inline(always)]
            fn is_below_flipped(self, other: $key) -> bool {
                (self as $signed) < other as $signed
            }
            #[inline(always)]
            fn bits(self) -> u32 {
                <$key>::BITS - self.leading_zeros()
            }
            #[inline(always)]
            fn to_usize(self) -> usize {
                self as usize
            }
            #[inline(always)]
            fn half(self, shift: u32) -> i16 {
                ((self >> shift) as u16 ^ (1 << 15)) as i16
            }
        }
    )*};
}
keys!(u16, i16; u32, i32; u64, i64;);

macro_rules! magnitudes {
    ($($float:ident => $key:ident, $signed:ident, |$x:ident, $limit:ident| $below:expr, $up_to:expr;)*) => {$(
        impl Ranked for $float {
            type Key = $key;
            const COMPARABLE: $key = <$float>::INFINITY.to_bits();

            #[inline(always)]
            fn key(self) -> $key {
                (self.to_bits() & (<$key>::MAX >> 1)).min(Self::COMPARABLE + 1)
            }
            #[inline(always)]
            fn is_below(self, $limit: $key) -> bool {
                let $x = self;
                $below
            }
            #[inline(always)]
            fn is_up_to(self, $limit: $key) -> bool {
                let $x = self;
                $up_to
            }
            #[inline(always)]
            fn signed_rank(self) -> $key {
                // A magnitude has no sign bit, so it is its own rank, and the minimum is one of signed numbers.
                const NAN: $signed = (<$float>::INFINITY.to_bits() + 1) as $signed;
                ((self.to_bits() & (<$key>::MAX >> 1)) as $signed).min(NAN) as $key
            }
            #[inline(always)]
            fn if_remaining(self, remaining: bool) -> Self {
                // All ones are a NaN.
                Self::from_bits(self.to_bits() | <$key>::from(remaining).wrapping_sub(1))
            }
            #[inline(always)]
            fn upper_half(self) -> i16 {
                const SHIFT: u32 = <$key>::BITS - 16;
                // All bits below the sign, so that the number is not negative; the minimum of 16 signed bits is an instruction.
                const NAN: i16 = ((<$float>::INFINITY.to_bits() + 1) >> SHIFT) as i16;
                (((self.to_bits() & (<$key>::MAX >> 1)) >> SHIFT) as i16).min(NAN)
            }
        }
    )*};
}
// Vector units of every age compare signed integers and floats, but neither unsigned integers nor, some of them, 64 bits.
// A pass of f32 that clears and multiplies takes 0.15 ns an entry with signed compares and 0.27 with unsigned ones; of f64 0.38
// with floats and 0.83 with signed integers.
magnitudes! {
    f32 => u32, i32, |x, limit| ((x.to_bits() & 0x7fff_ffff) as i32) < limit as i32, (x.to_bits() & 0x7fff_ffff) as i32 <= limit as i32;
    f64 => u64, i64, |x, limit| x.abs() < f64::from_bits(limit), x.abs() <= f64::from_bits(limit);
    f16 => u16, i16, |x, limit| ((x.to_bits() & 0x7fff) as i16) < limit as i16, (x.to_bits() & 0x7fff) as i16 <= limit as i16;
    bf16 => u16, i16, |x, limit| ((x.to_bits() & 0x7fff) as i16) < limit as i16, (x.to_bits() & 0x7fff) as i16 <= limit as i16;
}

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

    /// Compares and halves agree with the keys, for numbers of every exponent, both signs and all payloads of NaN.
    fn agrees<A: Ranked + std::fmt::Debug>(numbers: &[A], size: u32) {
        let limits = || numbers.iter().map(|x| x.key()).filter(|&limit| limit <= A::COMPARABLE);
        for &x in numbers {
            for limit in limits() {
                assert_eq!(x.is_below(limit), x.key() < limit, "{x:?} {limit:?}");
                assert_eq!(x.is_up_to(limit), x.key() <= limit, "{x:?} {limit:?}");
                let gone = x.if_remaining(false);
                assert!(!gone.is_below(limit) && (!gone.is_up_to(limit) || limit == A::Key::MAX));
            }
            assert_eq!(x.if_remaining(true).key(), x.key());
            let is_below = |&y: &A| x.signed_rank().is_below_flipped(y.signed_rank());
            assert!(numbers.iter().all(|y| is_below(y) == (x.key() < y.key())));
            // The order is that of the upper bits of the keys.
            for &y in numbers {
                let upper = |x: A| x.key() >> (size - 16);
                assert_eq!(x.upper_half().cmp(&y.upper_half()), upper(x).cmp(&upper(y)), "{x:?} {y:?}");
            }
        }
        assert!(numbers.iter().any(|x| x.key() > A::COMPARABLE) || A::COMPARABLE == A::Key::MAX);
    }

    #[test]
    fn compares_agree_with_keys() {
        let bits =
            || (0..=u16::MAX).step_by(97).chain([0, 1 << 15, 0x7f80, 0x7f81, 0xff80, 0x7c00, 0x7c01, 0x7fff, u16::MAX]);
        agrees(&bits().map(bf16::from_bits).collect::<Vec<_>>(), 16);
        agrees(&bits().map(f16::from_bits).collect::<Vec<_>>(), 16);
        agrees(&bits().collect::<Vec<u16>>(), 16);
        let bits = || bits().flat_map(|bits| [0, 1, u32::from(u16::MAX)].map(|low| u32::from(bits) << 16 | low));
        agrees(&bits().map(f32::from_bits).collect::<Vec<_>>(), 32);
        agrees(&bits().collect::<Vec<u32>>(), 32);
        let wide =
            [f64::INFINITY, f64::NAN, -f64::INFINITY, f64::MAX, 0.0, -0.0, f64::from_bits(0x7ff0_0000_0000_0001)];
        let wide = || bits().map(|bits| f64::from(f32::from_bits(bits))).chain(wide);
        agrees(&wide().collect::<Vec<_>>(), 64);
        agrees(&wide().map(f64::to_bits).collect::<Vec<u64>>(), 64);
    }
}
