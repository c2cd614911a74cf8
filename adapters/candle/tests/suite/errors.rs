//! Errors: their messages, and that nothing has changed.

use std::error::Error as _;

use candle_core::{DType, Device, Tensor};
use ndarray::{arr1, arr2};
use prune::{L1Unstructured, LnStructured, Mask, PruneError};
use prune_candle::{Error, PrunedVars};

use crate::{array, snapshot, vars_of};

/// Runs calls that fail on variables of which one is pruned, and compares everything before and after.
#[test]
fn an_error_changes_nothing() {
    let l1 = |amount: usize| L1Unstructured::new(amount).unwrap();
    let short = Tensor::ones(2, DType::F32, &Device::Cpu).unwrap();
    let square = Tensor::ones((3, 3), DType::F32, &Device::Cpu).unwrap();
    type Call<'f> = &'f dyn Fn(&PrunedVars) -> Result<(), Error>;
    let too_many = PruneError::AmountTooLarge { count: 5, available: 4, unit: "entries" };
    // `a` has 9 entries, 2 of them pruned; `bias` has 4.
    let cases: [(Call, &str, Option<PruneError>); 9] = [
        (&|vars| vars.l1_unstructured("*", 5), "cannot prune `bias`", Some(too_many)),
        (
            &|vars| vars.l1_unstructured("a", -0.5),
            "cannot prune `a`",
            Some(PruneError::InvalidFraction { found: -0.5 }),
        ),
        (
            &|vars| vars.ln_structured("*", 1, 2, 0),
            "cannot prune `bias`",
            Some(PruneError::TooFewDimensions { shape: vec![4] }),
        ),
        (
            &|vars| vars.custom_from_mask("*", arr2(&[[0; 3]; 3])),
            "cannot prune `bias`",
            Some(PruneError::ShapeMismatch { argument: "mask".into(), expected: vec![4], found: vec![3, 3] }),
        ),
        (
            &|vars| vars.custom_from_mask("a", arr1(&[2])),
            "cannot prune `a`",
            Some(PruneError::MaskValue { index: vec![0], found: 2.0 }),
        ),
        (
            &|vars| vars.prune_with_scores("a", l1(1), &short),
            "cannot prune `a`",
            Some(PruneError::ShapeMismatch {
                argument: "importance_scores".into(),
                expected: vec![3, 3],
                found: vec![2],
            }),
        ),
        (
            &|vars| vars.global_unstructured(&["*"], l1(12)),
            "cannot prune globally",
            Some(PruneError::AmountTooLarge { count: 12, available: 11, unit: "entries" }),
        ),
        (&|vars| vars.global_unstructured(&[] as &[&str], l1(1)), "cannot prune globally", Some(PruneError::NoTargets)),
        (
            &|vars| vars.global_unstructured_with_scores(&[("a", &square), ("a", &square)], l1(1)),
            "`a` is listed twice",
            None,
        ),
    ];
    for with_originals in [false, true] {
        let map = vars_of(&[("a", &array::<f32>(1, &[3, 3])), ("bias", &array::<f32>(2, &[4]))]);
        let pruned = if with_originals { PrunedVars::with_originals(&map) } else { PrunedVars::new(&map) };
        pruned.l1_unstructured("a", 2).unwrap();
        let before = snapshot(&map, &pruned);
        for (call, message, cause) in &cases {
            let error = call(&pruned).unwrap_err();
            assert_eq!(error.to_string(), *message);
            let found = error.source().map(|cause| cause.downcast_ref::<PruneError>().unwrap());
            assert_eq!(found, cause.as_ref());
            assert_eq!(snapshot(&map, &pruned), before);
        }
    }
}

#[test]
fn a_structured_method_does_not_rank_globally() {
    let pruned = PrunedVars::new(&vars_of(&[("a", &array::<f32>(1, &[3, 3]))]));
    let error = pruned.global_unstructured(&["a"], LnStructured::new(1, 2, 0).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Global { source: PruneError::NotUnstructured { .. } }));
}

#[test]
fn masks_are_listed_once() {
    let map = vars_of(&[("a", &array::<f32>(1, &[3]))]);
    let pruned = PrunedVars::new(&map);
    let mask = || Mask::from_elem([3], true);
    assert!(matches!(pruned.apply_masks([("a", mask()), ("a", mask())]), Err(Error::Repeated { name }) if name == "a"));
    assert!(!pruned.is_pruned());
}

#[test]
fn an_error_becomes_one_of_candle_with_its_causes() {
    let pruned = PrunedVars::new(&vars_of(&[("a", &array::<f32>(1, &[3]))]));
    let error = candle_core::Error::from(pruned.l1_unstructured("a", 4).unwrap_err());
    let message = "cannot prune `a`: amount 4 exceeds the number of remaining entries (3)";
    assert!(error.to_string().starts_with(message), "{error}");
    let inner = candle_core::Error::Msg("as it is".into());
    assert_eq!(candle_core::Error::from(Error::from(inner)).to_string(), "as it is");
}

#[test]
fn a_panic_of_a_method_leaves_everything_usable() {
    let map = vars_of(&[("a", &array::<f32>(1, &[3]))]);
    let pruned = PrunedVars::new(&map);
    let before = snapshot(&map, &pruned);
    let call = || pruned.prune_each("a", |_| -> Result<L1Unstructured, PruneError> { panic!("on purpose") });
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).is_err());
    assert_eq!(snapshot(&map, &pruned), before);
    pruned.l1_unstructured("a", 1).unwrap();
    assert_eq!(format!("{pruned:?}"), r#"{"a": "1 of 3"}"#);
}

#[test]
fn everything_can_be_sent_to_other_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<PrunedVars>();
    check::<Error>();
    check::<prune_candle::PrunedOptimizer<candle_nn::AdamW>>();
}
