//! Laws of allocations: sums are exact, bounds hold, and a global ranking is the one of all entries.

use ndarray::{ArrayD, ArrayViewD};
use proptest::prelude::*;
use proptest::sample::select;
use prune::training::{Allocation, Bounds};
use prune::{Amount, L1Unstructured, Parameter, PruneError};

use super::dtype::{Dtype, for_each_dtype};
use super::inputs::{shape, values};
use super::runner::check_law;

for_each_dtype!(
    counts_are_exact_and_within_bounds,
    without_bounds_global_is_one_ranking,
    lamp_is_a_ranking_of_its_scores
);

const ALL: [Allocation; 5] =
    [Allocation::Uniform, Allocation::ErdosRenyi, Allocation::Erk, Allocation::Global, Allocation::Lamp];

fn tensors<A: Dtype>() -> BoxedStrategy<Vec<ArrayD<A>>> {
    let tensor = (shape(), values::<A>()).prop_map(|(shape, values)| values.array(&shape));
    prop::collection::vec(tensor, 0..5).boxed()
}

fn fraction() -> BoxedStrategy<f64> {
    prop_oneof![4 => 0.0..=1.0, 1 => select(vec![0.0, 0.5, 0.9, 1.0])].boxed()
}

fn views<A>(tensors: &[ArrayD<A>]) -> Vec<ArrayViewD<'_, A>> {
    tensors.iter().map(|tensor| tensor.view()).collect()
}

fn counts_are_exact_and_within_bounds<A: Dtype>() {
    let inputs = (tensors::<A>(), fraction(), fraction(), fraction(), select(ALL.to_vec()));
    check_law(inputs, |(tensors, sparsity, a, b, allocation)| {
        let bounds = Bounds { min: a.min(b), max: a.max(b) };
        let sizes: Vec<usize> = tensors.iter().map(ArrayD::len).collect();
        let shapes: Vec<&[usize]> = tensors.iter().map(ArrayD::shape).collect();
        let low = |&size: &usize| (bounds.min * size as f64).ceil() as usize;
        let high = |&size: &usize| (bounds.max * size as f64).floor() as usize;
        let total = Amount::Sparsity(sparsity).count(sizes.iter().sum()).expect("it is a fraction");
        // If no integer is between the bounds, the lower one gives way.
        let range = sizes.iter().map(|size| low(size).min(high(size))).sum()..=sizes.iter().map(high).sum::<usize>();
        let found = allocation.counts_of(&views(&tensors), sparsity, bounds);
        if !range.contains(&total) {
            assert!(matches!(found, Err(PruneError::Infeasible { .. })), "{found:?}");
            return;
        }
        let found = found.expect("the bounds allow it");
        assert_eq!(found.iter().sum::<usize>(), total);
        for (&count, size) in found.iter().zip(&sizes) {
            assert!(low(size).min(high(size)) <= count && count <= high(size), "{found:?} of {sizes:?}");
        }
        match allocation.counts(&shapes, sparsity, bounds) {
            Ok(counts) => assert_eq!(counts, found),
            Err(error) => assert_eq!(error, PruneError::AllocationNeedsValues { found: allocation.to_string() }),
        }
    });
}

fn without_bounds_global_is_one_ranking<A: Dtype>() {
    check_law((tensors::<A>(), fraction()), |(tensors, sparsity)| {
        if tensors.is_empty() {
            return;
        }
        let found = Allocation::Global.counts_of(&views(&tensors), sparsity, Bounds::default());
        let mut parameters: Vec<_> = tensors.into_iter().map(Parameter::new).collect();
        prune::global_unstructured(&mut parameters, L1Unstructured::new(sparsity).expect("it is a fraction"))
            .expect("there are parameters");
        let pruned: Vec<usize> = parameters.iter().map(Parameter::pruned).collect();
        assert_eq!(found, Ok(pruned));
    });
}

fn lamp_is_a_ranking_of_its_scores<A: Dtype>() {
    check_law((tensors::<A>(), fraction()), |(tensors, sparsity)| {
        // The scores of finite numbers, in `f64`.
        let wide = |x: &A| num_traits::cast::<A, f64>(*x).filter(|x| x.is_finite()).unwrap_or(0.5);
        let tensors: Vec<ArrayD<f64>> = tensors.iter().map(|tensor| tensor.map(wide)).collect();
        let mut scores: Vec<(f64, usize)> = Vec::new();
        for (number, tensor) in tensors.iter().enumerate() {
            // Squares that overflow are NaN as scores, of either sign.
            let score = |&score: &f64| (if score.is_nan() { f64::NAN } else { score }, number);
            scores.extend(prune::score::lamp(tensor.view()).iter().map(score));
        }
        scores.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total = Amount::Sparsity(sparsity).count(scores.len()).expect("it is a fraction");
        let mut expected = vec![0; tensors.len()];
        scores[..total].iter().for_each(|&(_, number)| expected[number] += 1);
        assert_eq!(Allocation::Lamp.counts_of(&views(&tensors), sparsity, Bounds::default()), Ok(expected));
    });
}

/// The densities of the papers, until a layer would be more than dense.
#[test]
fn densities_are_those_of_the_papers() {
    let shapes: [&[usize]; 3] = [&[64, 32, 3, 3], &[128, 64, 3, 3], &[256, 512]];
    let density = |allocation: Allocation| -> Vec<f64> {
        let counts = allocation.counts(&shapes, 0.9, Bounds::default()).unwrap();
        let size = |shape: &[usize]| shape.iter().product::<usize>() as f64;
        shapes.iter().zip(counts).map(|(shape, zeros)| 1.0 - zeros as f64 / size(shape)).collect()
    };
    let close = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-3, "{found} {expected}");
    let (uniform, er, erk) = (density(Allocation::Uniform), density(Allocation::ErdosRenyi), density(Allocation::Erk));
    uniform.iter().for_each(|&density| close(density, 0.1));
    let channels = |out: f64, into: f64| (out + into) / (out * into);
    close(er[0] / er[1], channels(64.0, 32.0) / channels(128.0, 64.0));
    close(er[1] / er[2], channels(128.0, 64.0) / channels(256.0, 512.0));
    let kernels = |sum: f64, product: f64| sum / product;
    close(erk[0] / erk[1], kernels(102.0, 64.0 * 32.0 * 9.0) / kernels(198.0, 128.0 * 64.0 * 9.0));
    close(erk[1] / erk[2], kernels(198.0, 128.0 * 64.0 * 9.0) / kernels(768.0, 256.0 * 512.0));
}

/// Every parameter keeps its share at one scale, or as much as its bounds allow. The scale is found here by halving.
#[test]
fn what_bounds_refuse_goes_to_the_others_in_proportion() {
    let shapes = prop::collection::vec(prop::collection::vec(1_usize..30, 1..=3), 1..6);
    let rule = select(vec![Allocation::Uniform, Allocation::ErdosRenyi, Allocation::Erk]);
    check_law((shapes, fraction(), fraction(), fraction(), rule), |(shapes, sparsity, a, b, allocation)| {
        let bounds = Bounds { min: a.min(b), max: a.max(b) };
        let views: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        let Ok(counts) = allocation.counts(&views, sparsity, bounds) else { return };
        let share = |shape: &[usize]| match (allocation, shape) {
            (Allocation::Erk, [_, _, ..]) => shape.iter().sum::<usize>(),
            (Allocation::ErdosRenyi, [a, b, kernel @ ..]) => (a + b) * kernel.iter().product::<usize>(),
            _ => shape.iter().product(),
        };
        let kept_at = |scale: f64, shape: &[usize]| {
            let size = shape.iter().product::<usize>() as f64;
            let most = (bounds.max * size).floor();
            (scale * share(shape) as f64).clamp(size - most, size - (bounds.min * size).ceil().min(most))
        };
        let kept = views.iter().zip(&counts).map(|(shape, count)| shape.iter().product::<usize>() - count);
        let kept: Vec<f64> = kept.map(|kept| kept as f64).collect();
        let (mut low, mut high) = (0.0, 30_f64.powi(3));
        for _ in 0..100 {
            let middle = (low + high) / 2.0;
            let sum: f64 = views.iter().map(|shape| kept_at(middle, shape)).sum();
            if sum <= kept.iter().sum() { low = middle } else { high = middle }
        }
        for (shape, kept) in views.iter().zip(&kept) {
            let exact = kept_at(low, shape);
            assert!((kept - exact).abs() < 1.0 + 1e-6, "{counts:?} of {shapes:?}: {kept} and not {exact}");
        }
    });
}

/// The remainder goes to the largest fractions, and of equal ones to the first.
#[test]
fn remainders_go_to_the_largest_fractions() {
    let counts = |shapes: &[&[usize]], sparsity| Allocation::Uniform.counts(shapes, sparsity, Bounds::default());
    assert_eq!(counts(&[&[10], &[7], &[3]], 0.25), Ok(vec![2, 2, 1])); // of 2.5, 1.75 and 0.75
    assert_eq!(counts(&[&[2], &[2], &[2]], 0.25), Ok(vec![1, 1, 0])); // of 0.5 each, two in total
}

#[test]
fn bounds_that_are_wrong() {
    let counts = |sparsity, min, max| Allocation::Erk.counts(&[&[4, 4], &[]], sparsity, Bounds { min, max });
    assert_eq!(counts(0.5, 0.6, 0.4), Err(PruneError::InvalidBounds { min: 0.6, max: 0.4 }));
    let error = PruneError::InvalidBounds { min: 0.6, max: 0.4 };
    assert_eq!(error.to_string(), "the lowest sparsity 0.6 is above the highest 0.4");
    assert_eq!(counts(0.5, -0.1, 1.0), Err(PruneError::InvalidFraction { found: -0.1 }));
    assert!(matches!(counts(f64::NAN, 0.0, 1.0), Err(PruneError::InvalidFraction { .. })));
    let error = Allocation::Lamp.counts(&[&[4]], 0.5, Bounds::default()).unwrap_err();
    assert_eq!(error.to_string(), "allocation lamp ranks the values of parameters, not their shapes");
    // A single number is a parameter too.
    assert_eq!(counts(1.0, 0.0, 1.0), Ok(vec![16, 1]));
    assert_eq!(Allocation::Uniform.counts(&[], 0.5, Bounds::default()), Ok(vec![]));
}

#[test]
fn names_are_parsed() {
    for allocation in ALL {
        assert_eq!(allocation.to_string().parse(), Ok(allocation));
    }
    let error = "er".parse::<Allocation>().unwrap_err().to_string();
    assert_eq!(error, "no allocation named `er`; the allocations are uniform, erdos-renyi, erk, global and lamp");
}
