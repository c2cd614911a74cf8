//! The masks of seeds, pinned: they are the same on every platform, for any number of threads, in every build, and change
//! only with a major version.
//!
//! Every number here was also computed by a ChaCha8 written from its description alone. A change that makes these tests fail
//! breaks the promise; it belongs under "Value-breaking" in the changelog.

#[path = "laws/drawn.rs"]
mod drawn;

use half::{bf16, f16};
use ndarray::{Array, ArrayD, Axis, IntoDimension, IxDyn};
use prune::{Element, Mask, Parameter, RandomStructured, RandomUnstructured, global_unstructured};

use drawn::drawn;

/// What is in it plays no role.
fn parameter<A: Element, Sh: IntoDimension>(shape: Sh) -> Parameter<A> {
    Parameter::new(Array::<A, Sh::Dim>::from_elem(shape.into_dimension(), A::one()))
}

/// `#` for what is kept, `.` for what is pruned, in the order of the tensor.
fn picture(mask: Option<&Mask>) -> String {
    mask.into_iter().flatten().map(|&kept| if kept { '#' } else { '.' }).collect()
}

/// FNV-1a, 64 bits, over one byte an entry: 1 for what is kept.
fn hash(mask: Option<&Mask>) -> u64 {
    let byte = |hash: u64, &kept: &bool| (hash ^ u64::from(kept)).wrapping_mul(0x0000_0100_0000_01b3);
    mask.into_iter().flatten().fold(0xcbf2_9ce4_8422_2325, byte)
}

/// Calls the generic test for each element type: a seed does not care which it is.
macro_rules! for_each_dtype {
    ($test:ident) => {{
        $test::<f32>();
        $test::<f64>();
        $test::<f16>();
        $test::<bf16>();
    }};
}

#[test]
fn random_unstructured() {
    fn check<A: Element>() {
        let mut weight = parameter::<A, _>((4, 8));
        weight.prune(RandomUnstructured::new(0.5, 42).unwrap()).unwrap();
        assert_eq!(picture(weight.mask()), "#...####.#..#..##.##.#......####");
        weight.prune(RandomUnstructured::new(0.5, 7).unwrap()).unwrap();
        assert_eq!(picture(weight.mask()), "#...##...#..#......#........##..");
        weight.prune(RandomUnstructured::new(1, u64::MAX).unwrap()).unwrap();
        assert_eq!(picture(weight.mask()), "#...##...#..#......#.........#..");
    }
    for_each_dtype!(check);
}

#[test]
fn random_structured() {
    fn check<A: Element>() {
        let mut weight = parameter::<A, _>((12, 2));
        weight.prune(RandomStructured::new(0.5, 0, 42).unwrap()).unwrap();
        assert_eq!(picture(weight.mask()), "##......########..##....");
        weight.prune(RandomStructured::new(2, 0, 7).unwrap()).unwrap();
        assert_eq!(picture(weight.mask()), "##......####......##....");
        weight.prune(RandomStructured::new(1, -1, 0).unwrap()).unwrap();
        assert_eq!(picture(weight.mask()), "#.......#.#.......#.....");
    }
    for_each_dtype!(check);
}

#[test]
fn global_random_unstructured() {
    fn check<A: Element>() {
        let mut parts = [parameter::<A, _>(5), parameter(0), parameter(16), parameter(3)];
        parts[2].prune(RandomUnstructured::new(8, 42).unwrap()).unwrap();
        global_unstructured(&mut parts, RandomUnstructured::new(0.5, 42).unwrap()).unwrap();
        let pictures = parts.each_ref().map(|part| picture(part.mask()));
        assert_eq!(pictures, ["#...#", "", "#...##.#.......#", "..#"]);
    }
    for_each_dtype!(check);
}

/// More entries than one thread takes at a time, with sizes that no block divides.
#[test]
fn large_masks() {
    fn check<A: Element>() {
        let mut weight = parameter::<A, _>((601, 503));
        weight.prune(RandomUnstructured::new(0.3, 42).unwrap()).unwrap();
        assert_eq!(hash(weight.mask()), 0x745f_bc12_3cd0_77a9);
        weight.prune(RandomUnstructured::new(0.9, 42).unwrap()).unwrap();
        assert_eq!(hash(weight.mask()), 0x6203_6e14_4f33_f59c);

        let mut rows = parameter::<A, _>((150_001, 2));
        rows.prune(RandomStructured::new(0.7, 0, 888).unwrap()).unwrap();
        assert_eq!(hash(rows.mask()), 0x0702_0c83_73b7_108d);
        rows.prune(RandomStructured::new(0.1, 0, 888).unwrap()).unwrap();
        assert_eq!(hash(rows.mask()), 0x4bd1_199b_9921_1185);

        global_unstructured([&mut rows, &mut weight], RandomUnstructured::new(0.5, 1).unwrap()).unwrap();
        assert_eq!([hash(rows.mask()), hash(weight.mask())], [0x1acf_6b82_bf20_af84, 0x3068_0b45_6b35_add5]);
    }
    for_each_dtype!(check);
}

/// The same from the rule, for counts at which few, many, and hardly any candidates share the byte at the boundary.
#[test]
fn masks_follow_the_documented_rule() {
    let masked = |n: usize, pruned: &[usize]| {
        let mut mask = Mask::from_elem(IxDyn(&[n]), true);
        pruned.iter().for_each(|&i| mask[i] = false);
        mask
    };
    for n in [1, 2, 3, 63, 64, 65, 300, 16_384, 16_387, 140_000] {
        for count in [0, 1, n / 256, n / 3, n / 2, n - 1, n] {
            for seed in [0, 42, 1 << 40, u64::MAX] {
                let expected = masked(n, &drawn(seed, n, count));
                let mut entries = parameter::<f32, _>(n);
                entries.prune(RandomUnstructured::new(count, seed).unwrap()).unwrap();
                assert!(entries.mask() == Some(&expected), "{count} of {n} entries, seed {seed}");

                let mut channels = parameter::<bf16, _>((n, 1));
                channels.prune(RandomStructured::new(count, 0, seed).unwrap()).unwrap();
                let mask = channels.mask().map(|mask| mask.index_axis(Axis(1), 0));
                assert!(mask == Some(expected.view()), "{count} of {n} channels, seed {seed}");
            }
        }
    }
}

/// A later call draws for what is left, a global one for what is left of all targets in their order.
#[test]
fn only_what_is_left_draws() {
    let (n, seed) = (100_000, 5);
    let mut whole = parameter::<f32, _>(n);
    whole.prune(RandomUnstructured::new(0.6, 1).unwrap()).unwrap();
    let mut parts = [0..30_000, 30_000..30_001, 30_001..n].map(|range| {
        let part = whole.mask().expect("it is pruned").slice_axis(Axis(0), range.into()).to_owned();
        let mut parameter = parameter::<f32, _>(part.len());
        parameter.prune(prune::CustomFromMask::new(part)).unwrap();
        parameter
    });
    let living: Vec<usize> =
        whole.mask().into_iter().flatten().enumerate().filter(|(_, kept)| **kept).map(|(i, _)| i).collect();
    let mut expected: ArrayD<bool> = whole.mask().cloned().expect("it is pruned");
    drawn(seed, living.len(), 10_000).into_iter().for_each(|place| expected[living[place]] = false);

    whole.prune(RandomUnstructured::new(10_000, seed).unwrap()).unwrap();
    assert!(whole.mask() == Some(&expected));
    global_unstructured(&mut parts, RandomUnstructured::new(10_000, seed).unwrap()).unwrap();
    assert!(parts.iter().flat_map(|part| part.mask().into_iter().flatten()).eq(&expected));
}
