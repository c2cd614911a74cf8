//! Masks, pinned: they are the same on every platform, for any number of threads, in every build, and change only with a
//! major version.
//!
//! Every number of the masks of seeds was also computed by a ChaCha8 written from its description alone; those of the
//! methods that rank, by sorting. A change that makes these tests fail breaks the promise; it belongs under "Value-breaking"
//! in the changelog.

#[path = "laws/random_oracle.rs"]
mod random_oracle;

use half::{bf16, f16};
use ndarray::{Array, Array1, ArrayD, Axis, IntoDimension, IxDyn};
use prune::{
    Element, L1Unstructured, LnStructured, Mask, Parameter, PruningMethod, RandomStructured, RandomUnstructured,
    global_unstructured,
};

use random_oracle::pruned_at_random;

/// A parameter of ones: its content does not matter.
fn parameter<A: Element, Sh: IntoDimension>(shape: Sh) -> Parameter<A> {
    Parameter::new(Array::<A, Sh::Dim>::from_elem(shape.into_dimension(), A::one()))
}

/// `#` for what is kept, `.` for what is pruned, in the order of the tensor.
fn picture(mask: Option<&Mask>) -> String {
    mask.into_iter().flat_map(Mask::iter).map(|kept| if kept { '#' } else { '.' }).collect()
}

/// FNV-1a, 64 bits, over one byte an entry: 1 for what is kept.
fn hash(mask: Option<&Mask>) -> u64 {
    let byte = |hash: u64, kept: bool| (hash ^ u64::from(kept)).wrapping_mul(0x0000_0100_0000_01b3);
    mask.into_iter().flat_map(Mask::iter).fold(0xcbf2_9ce4_8422_2325, byte)
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
        let mut mask = Array1::from_elem(n, true);
        pruned.iter().for_each(|&i| mask[i] = false);
        mask
    };
    for n in [1, 2, 3, 63, 64, 65, 300, 16_384, 16_387, 140_000] {
        for count in [0, 1, n / 256, n / 3, n / 2, n - 1, n] {
            for seed in [0, 42, 1 << 40, u64::MAX] {
                let expected = masked(n, &pruned_at_random(seed, n, count));
                let mut entries = parameter::<f32, _>(n);
                entries.prune(RandomUnstructured::new(count, seed).unwrap()).unwrap();
                assert!(*entries.mask().expect("it is pruned") == expected, "{count} of {n} entries, seed {seed}");

                let mut channels = parameter::<bf16, _>((n, 1));
                channels.prune(RandomStructured::new(count, 0, seed).unwrap()).unwrap();
                let mask = channels.mask().expect("it is pruned");
                assert!(*mask == expected.insert_axis(Axis(1)), "{count} of {n} channels, seed {seed}");
            }
        }
    }
}

/// Called without a parameter, over several chunks, the methods give the same masks.
#[test]
fn masks_of_direct_calls() {
    let (n, all) = (50_002, ArrayD::from_elem(IxDyn(&[50_002]), true));
    let mut scores = ranked::<f32>(&[n]);
    let direct = |method: &dyn PruningMethod<f32>, scores: &Parameter<f32>| {
        method.compute_mask(scores.value().view(), all.view()).expect("a half is there")
    };
    let random = RandomUnstructured::new(0.5, 42).unwrap();
    let expected = direct(&random, &scores);
    assert_eq!(pruned_at_random(42, n, n / 2).into_iter().filter(|&place| expected[place]).count(), 0);
    assert_eq!(expected.iter().filter(|kept| !**kept).count(), n / 2);
    let l1 = L1Unstructured::new(0.5).unwrap();
    let by_magnitude = direct(&l1, &scores);
    scores.prune(l1).unwrap();
    assert!(*scores.mask().expect("it is pruned") == by_magnitude);
}

/// Few candidates can all draw high or low, far from where the search for the boundary begins.
#[test]
fn masks_follow_the_rule_wherever_the_boundary_is() {
    for seed in 0..3000 {
        for (n, count) in [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2)] {
            let mut entries = parameter::<f32, _>(n);
            entries.prune(RandomUnstructured::new(count, seed).unwrap()).unwrap();
            let pruned = pruned_at_random(seed, n, count);
            let expected = (0..n).map(|i| !pruned.contains(&i));
            assert!(entries.mask().into_iter().flat_map(Mask::iter).eq(expected), "{count} of {n}, seed {seed}");
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
        let part = whole.mask().expect("it is pruned").to_array().slice_axis(Axis(0), range.into()).to_owned();
        let mut parameter = parameter::<f32, _>(part.len());
        parameter.prune(prune::CustomFromMask::new(part)).unwrap();
        parameter
    });
    let remaining: Vec<usize> =
        whole.mask().into_iter().flat_map(Mask::iter).enumerate().filter(|(_, kept)| *kept).map(|(i, _)| i).collect();
    let mut expected: ArrayD<bool> = whole.mask().expect("it is pruned").to_array();
    pruned_at_random(seed, remaining.len(), 10_000).into_iter().for_each(|place| expected[remaining[place]] = false);

    whole.prune(RandomUnstructured::new(10_000, seed).unwrap()).unwrap();
    assert!(*whole.mask().expect("it is pruned") == expected);
    global_unstructured(&mut parts, RandomUnstructured::new(10_000, seed).unwrap()).unwrap();
    assert!(parts.iter().flat_map(|part| part.mask().into_iter().flat_map(Mask::iter)).eq(expected));
}

/// Numbers of both signs, of which hardly any two have one magnitude in `f64`, and many do in the halves.
fn numbers<A: Element>(n: usize) -> Vec<A> {
    let number = |i: usize| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / (1 << 22) as f64 - 2.0;
    (0..n).map(|i| A::from(number(i)).expect("a finite number")).collect()
}

fn ranked<A: Element>(shape: &[usize]) -> Parameter<A> {
    Parameter::new(ArrayD::from_shape_vec(IxDyn(shape), numbers(shape.iter().product())).expect("as many"))
}

/// The masks of L1, few and many entries, first and again, and of three tensors together.
fn by_magnitude<A: Element>() -> [u64; 5] {
    let mut few = ranked::<A>(&[5, 7]);
    few.prune(L1Unstructured::new(0.4).unwrap()).unwrap();
    let mut many = ranked::<A>(&[601, 503]);
    many.prune(L1Unstructured::new(0.3).unwrap()).unwrap();
    let first = hash(many.mask());
    many.prune(L1Unstructured::new(0.5).unwrap()).unwrap();
    let again = hash(many.mask());
    let mut other = ranked::<A>(&[70_001]);
    global_unstructured([&mut few, &mut many, &mut other], L1Unstructured::new(0.6).unwrap()).unwrap();
    [first, again, hash(few.mask()), hash(many.mask()), hash(other.mask())]
}

/// The masks of Ln, along either axis, of sums, squares, maxima and powers.
fn by_norm<A: Element>() -> [u64; 4] {
    let mask = |n: f64, dim| {
        let mut weight = ranked::<A>(&[400, 3, 250]);
        weight.prune(LnStructured::new(0.3, n, dim).unwrap()).unwrap();
        weight.prune(LnStructured::new(0.5, n, dim).unwrap()).unwrap();
        hash(weight.mask())
    };
    [mask(1.0, 0), mask(2.0, -1), mask(f64::INFINITY, 0), mask(2.0, 0)]
}

#[test]
fn masks_by_magnitude() {
    // Of f32, every one of these numbers is exact, and so of f64.
    let exact = [
        0xfaa2_3c82_bdb9_e8fd,
        0xc23e_d02e_542b_b13b,
        0xc75a_a999_cd85_f687,
        0x1a71_52ed_ef5a_9efc,
        0x6cbc_33a0_c0e7_3367,
    ];
    assert_eq!([by_magnitude::<f32>(), by_magnitude::<f64>()], [exact; 2]);
    let halves = [
        0xa7f0_9e01_a9c4_ca19,
        0x0733_985d_86fe_5469,
        0xc75a_a999_cd85_f687,
        0x9de8_296f_3257_f223,
        0x0a4b_095a_2e59_b22e,
    ];
    assert_eq!(by_magnitude::<f16>(), halves);
    let halves = [
        0xa80b_9241_06a5_136b,
        0xb6bd_3a89_5d3f_b5bd,
        0xc75a_a999_cd85_f687,
        0x46ce_868f_0518_1cd0,
        0xf831_8cda_e992_ec0d,
    ];
    assert_eq!(by_magnitude::<bf16>(), halves);
}

#[test]
fn masks_by_norm() {
    let wide = [0x9d67_98b6_a1e3_806d, 0xb13c_d6d5_0030_4ee5, 0x8355_04fa_f77a_c49d, 0x9d67_98b6_a1e3_806d];
    assert_eq!([by_norm::<f32>(), by_norm::<f64>()], [wide; 2]);
    let halves = [0xc2e4_76ce_3b1b_88bd, 0xc7f9_3234_d381_6265, 0xc274_f0cc_16d5_fd0d, 0x7554_3554_bc1c_f52d];
    assert_eq!(by_norm::<f16>(), halves);
    let halves = [0x55d7_6a07_9596_a38d, 0x8789_5f08_ecc2_01e5, 0xc0c8_e01d_afeb_484d, 0xc0c8_e01d_afeb_484d];
    assert_eq!(by_norm::<bf16>(), halves);
}
