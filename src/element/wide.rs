//! Magnitudes of all types in one order: by their keys as `f64`, which holds the values of every type exactly.

use crate::element::Element;
use crate::key::{Key, Ranked};

/// The key of the same magnitude in `f64`, in whose keys magnitudes of all types are comparable.
pub(crate) fn widen_key<A: Element>(key: A::Key) -> u64 {
    // A key has the bits of its magnitude.
    let magnitude: A = bytemuck::cast(key);
    magnitude.exact_f64().key()
}

/// The lowest key of `A` whose magnitude is not below that of an `f64` key, and `true` if the magnitudes are equal.
///
/// No key is above that of NaN, in any type.
pub(crate) fn narrow_key<A: Element>(wide: u64) -> (A::Key, bool) {
    let (mut low, mut high) = (A::Key::ZERO, A::nan().key());
    while low < high {
        let middle = low + ((high - low) >> 1);
        if widen_key::<A>(middle) < wide { low = middle + A::Key::ONE } else { high = middle }
    }
    (low, widen_key::<A>(low) == wide)
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    fn round_trip<A: Element>(keys: impl IntoIterator<Item = A::Key>) {
        for key in keys {
            assert_eq!(narrow_key::<A>(widen_key::<A>(key)), (key, true));
        }
    }

    #[test]
    fn keys_survive_widening() {
        round_trip::<f16>(0..=f16::NAN.key());
        round_trip::<bf16>(0..=bf16::NAN.key());
        round_trip::<f32>((0..=f32::NAN.key()).step_by(99_991).chain([f32::INFINITY.key(), f32::NAN.key()]));
        round_trip::<f64>([0, 1, 1_f64.key(), f64::MAX.key(), f64::INFINITY.key(), f64::NAN.key()]);
    }

    #[test]
    fn magnitudes_between_two_of_a_narrow_type_go_up() {
        let next = f16::from_bits(f16::ONE.to_bits() + 1);
        assert_eq!(narrow_key::<f16>(1.000_01_f64.key()), (next.key(), false));
        assert_eq!(narrow_key::<f16>(1e30_f64.key()), (f16::INFINITY.key(), false));
        assert_eq!(narrow_key::<bf16>(1e-300_f64.key()), (1, false));
    }
}
