//! Rankings of every granularity on files against the slow oracle of those in memory.

use half::{bf16, f16};
use ndarray::ArrayD;
use proptest::prelude::*;

use crate::amount::Amount;
use crate::checkpoint::prune::{Pruner, Scope};
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::write::{Format, Output};
use crate::element::Element;
use crate::functional::granularity_tests::{
    Case, Probe, Tensor, factors, long_cases, mask, oracle, quota, shape_and_granularity, values,
};
use crate::mask::Mask;
use crate::method::CustomFromMask;
use crate::method::request::Quota;
use crate::parameter::Parameter;
use crate::safetensors::{load_file, load_masks, save_file};
use crate::store::ParameterStore;

/// Prunes tensors in one file with each format and compares the masks.
fn check<A: Element>(tensors: &[Tensor<A>], case: &Case) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut model = ParameterStore::<A>::new();
    for (number, tensor) in tensors.iter().enumerate() {
        let mut parameter = Parameter::new(tensor.values.clone());
        if let Some(mask) = &tensor.mask {
            parameter.prune(CustomFromMask::new(mask.clone())).unwrap();
        }
        model.insert(format!("w{number}.weight"), parameter);
    }
    save_file(&model, path("in")).unwrap();
    let checkpoint = Checkpoint::open([path("in")]).unwrap();
    let scope = if case.within.is_some() { Scope::Tensor } else { Scope::Global };
    let selection = crate::checkpoint::Selection::new().only("*");
    let pruner = Pruner::new(Probe(case.clone())).scope(scope).selection(selection);
    let expected: Vec<Mask> = oracle(case, tensors).into_iter().map(Mask::from).collect();
    let pruned: usize = expected.iter().map(Mask::pruned).sum();
    assert_eq!(pruner.dry_run(&checkpoint, &()).unwrap().pruned_after(), pruned);

    let masks = Output::new(path("masks"));
    let report = pruner.clone().format(Format::Masks).run(&checkpoint, &masks, &()).unwrap();
    assert_eq!(report.pruned_after(), pruned);
    let found: Vec<Mask> = load_masks(path("masks")).unwrap().into_iter().map(|(_, mask)| mask).collect();
    assert_eq!(found, expected, "{case:?}");

    let _ = pruner.format(Format::PyTorch).run(&checkpoint, &Output::new(path("pytorch")), &()).unwrap();
    let (written, _) = load_file::<A>(path("pytorch")).unwrap();
    for ((_, parameter), expected) in written.iter().zip(&expected) {
        assert_eq!(parameter.mask(), Some(expected), "{case:?}");
    }
}

fn tensor<A: Element>(shape: &[usize], seed: u64, is_pruned: bool) -> Tensor<A> {
    let mask: Option<ArrayD<bool>> = is_pruned.then(|| mask(shape, seed));
    Tensor { values: values(shape, seed), mask }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn groups_are_ranked_as_defined((shape, within) in shape_and_granularity(), quota in quota(), seed: u64,
                                    is_pruned: bool, scaled: bool, dtype in 0..4) {
        let factors = (scaled && shape.len() > 1).then(|| vec![factors(&shape)]);
        let case = Case { within: Some(within), quota, factors };
        match dtype {
            0 => check(&[tensor::<f32>(&shape, seed, is_pruned)], &case),
            1 => check(&[tensor::<f64>(&shape, seed, is_pruned)], &case),
            2 => check(&[tensor::<f16>(&shape, seed, is_pruned)], &case),
            _ => check(&[tensor::<bf16>(&shape, seed, is_pruned)], &case),
        }
    }

    #[test]
    fn tensors_are_ranked_as_defined(shapes in prop::collection::vec(prop::collection::vec(1_usize..10, 1..=3), 1..4),
                                     fraction in 0.0..=1.0, seed in 0_u64..1 << 60, scaled: bool) {
        let tensors: Vec<_> = shapes.iter().enumerate().map(|(number, shape)| {
            tensor::<bf16>(shape, seed + number as u64, number % 2 == 1)
        }).collect();
        let scaled = scaled && shapes.iter().all(|shape| shape.len() > 1);
        let factors = scaled.then(|| shapes.iter().map(|shape| factors(shape)).collect());
        check(&tensors, &Case { within: None, quota: Quota::Amount(Amount::Fraction(fraction)), factors });
    }
}

/// Stretches longer than a block of a file: such groups get a threshold each, or the tensor is loaded.
#[test]
fn long_groups_are_ranked_as_defined() {
    for (shape, within) in long_cases() {
        for (quota, scaled, is_pruned) in
            [(Quota::Amount(Amount::Fraction(0.4)), false, true), (Quota::Keep(3), true, false)]
        {
            let case = Case { within: Some(within.clone()), quota, factors: scaled.then(|| vec![factors(&shape)]) };
            check(&[tensor::<f32>(&shape, 7, is_pruned)], &case);
        }
    }
}
