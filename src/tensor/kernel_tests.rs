//! Every kernel against its definition, entry by entry and bit for bit.

use half::{bf16, f16};
use proptest::prelude::*;

use crate::element::Element;
use crate::key::Key;
use crate::tensor::kernels::{self, Cut};

/// Bits of numbers: of any kind, and of few kinds, so that there are equals, zeros, infinities and NaNs of several payloads.
fn bits() -> impl Strategy<Value = Vec<u64>> {
    let special: Vec<u64> =
        [0, 1, 0x3c00, 0x3f80, 0x7c00, 0x7c01, 0x7e00, 0x7f80, 0x7f81, 0x7fc0, 0x7fff, 0x7ff0, 0x7ff8]
            .into_iter()
            .flat_map(|upper: u64| [upper << 48, upper << 48 | 1, (upper | 0x8000) << 48])
            .collect();
    prop::collection::vec(prop_oneof![any::<u64>(), prop::sample::select(special)], 0..200)
}

fn same<A: Element>(a: A, b: A) -> bool {
    bytemuck::bytes_of(&a) == bytemuck::bytes_of(&b)
}

fn check<A: Element>(numbers: &[A], mask: &[bool], key: A::Key) {
    let mask = &mask[..numbers.len()];
    let cases = [
        (Cut::below::<A>(key), (|rank, key| rank < key) as fn(A::Key, A::Key) -> bool),
        (Cut::up_to::<A>(key), |rank, key| rank <= key),
    ];
    for (cut, is_pruned) in cases {
        let kept: Vec<bool> = numbers.iter().map(|x| !is_pruned(x.key(), key)).collect();

        let mut cleared = mask.to_vec();
        kernels::clear(cut, numbers, &mut cleared);
        assert!(cleared.iter().eq(mask.iter().zip(&kept).map(|(a, b)| a & b).collect::<Vec<_>>().iter()));

        let (mut new, mut value) = (vec![true; numbers.len()], vec![A::one(); numbers.len()]);
        let orig: Vec<A> = numbers.iter().rev().copied().collect();
        kernels::prune_first(cut, numbers, &orig, &mut new, &mut value);
        assert_eq!(new, kept);
        assert!(value.iter().zip(orig.iter().zip(&kept)).all(|(&value, (orig, &kept))| same(value, orig.masked(kept))));

        // The values are the product with the mask so far, and only the remaining ones are compared.
        let before: Vec<A> = numbers.iter().zip(mask).map(|(x, &kept)| x.masked(kept)).collect();
        let (mut new, mut value) = (mask.to_vec(), before.clone());
        kernels::prune_again(cut, &mut new, &mut value);
        for (i, &before) in before.iter().enumerate() {
            let expected = mask[i] && !is_pruned(before.key(), key);
            assert_eq!(new[i], expected);
            assert!(same(value[i], before.masked(expected)), "{before:?} {:?}", value[i]);
        }

        let mut value = vec![A::one(); numbers.len()];
        kernels::multiply(numbers, mask, &mut value);
        assert!(value.iter().zip(&before).all(|(&a, &b)| same(a, b)));
        let mut value = numbers.to_vec();
        kernels::multiply_in_place(mask, &mut value);
        assert!(value.iter().zip(&before).all(|(&a, &b)| same(a, b)));
    }

    for remaining in [None, Some(mask)] {
        let is_at = |&i: &usize| numbers[i].key() == key && remaining.is_none_or(|remaining| remaining[i]);
        let at: Vec<usize> = (0..numbers.len()).filter(is_at).collect();
        for n in 1..=at.len() + 1 {
            let expected = at.get(n - 1).copied().ok_or(at.len());
            assert_eq!(kernels::find_nth_at(numbers, remaining, key, n), expected);
        }
    }
}

fn check_at_each<A: Element>(numbers: Vec<A>, mask: &[bool]) {
    for &x in numbers.iter().take(5).chain(&[A::nan(), A::infinity(), A::zero()]) {
        check(&numbers, mask, x.key());
    }
    check(&numbers, mask, A::one().key() + A::Key::ONE);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn passes_are_as_defined(bits in bits(), mask in prop::collection::vec(any::<bool>(), 200)) {
        check_at_each(bits.iter().map(|&bits| f32::from_bits((bits >> 32) as u32)).collect(), &mask);
        check_at_each(bits.iter().map(|&bits| f64::from_bits(bits)).collect(), &mask);
        check_at_each(bits.iter().map(|&bits| f16::from_bits((bits >> 48) as u16)).collect(), &mask);
        check_at_each(bits.iter().map(|&bits| bf16::from_bits((bits >> 48) as u16)).collect(), &mask);
    }

    #[test]
    fn halves_are_counted(halves in prop::collection::vec(any::<i16>(), 0..100), repeat in 1_usize..600, limit: i16) {
        let many = halves.repeat(repeat);
        let expected = many.iter().filter(|&&half| half < limit).count();
        prop_assert_eq!(kernels::count_below(&many, limit), expected);
    }
}
