//! Amounts, norms and axes.

use ndarray::{Array1, Array2, ArrayD, IxDyn, arr0};
use prune::torch::Generator;
use prune::{
    Amount, Element, Identity, L1Unstructured, LnStructured, Norm, Parameter, PruneError, PruningType,
    RandomStructured, RandomUnstructured, channel_norms, parameters_mut,
};

use super::methods::Fixed;
use super::{Outcome, Store, assert_says, fails, picture, store};

#[test]
fn a_fraction_outside_0_to_1() {
    for found in [-0.1, 1.0 + f64::EPSILON, 5.0, f64::INFINITY, -5e-324] {
        let expected = PruneError::InvalidFraction { found };
        let message = format!("amount {found:?} is not a fraction from 0.0 to 1.0");
        fails(|m| prune::l1_unstructured(m, "weight", found), expected.clone(), &message);
        fails(|m| prune::random_unstructured(m, "weight", found, 1), expected.clone(), &message);
        fails(|m| prune::random_structured(m, "weight", found, 0, 1), expected.clone(), &message);
        fails(|m| prune::ln_structured(m, "weight", found, 2, 0), expected.clone(), &message);
        assert_says(Amount::Fraction(found).count(9).unwrap_err(), expected, &message);
    }
}

#[test]
fn a_fraction_that_is_nan() {
    let before = picture(&store());
    let calls: [fn(&mut Store) -> Outcome; 4] = [
        |m| prune::l1_unstructured(m, "weight", f64::NAN),
        |m| prune::random_unstructured(m, "weight", f64::NAN, 1),
        |m| prune::random_structured(m, "weight", f64::NAN, 0, 1),
        |m| prune::ln_structured(m, "weight", f64::NAN, 2, 0),
    ];
    for call in calls {
        let mut store = store();
        let error = call(&mut store).unwrap_err();
        assert!(matches!(error, PruneError::InvalidFraction { found } if found.is_nan()));
        assert_eq!(error.to_string(), "amount NaN is not a fraction from 0.0 to 1.0");
        assert_eq!(picture(&store), before);
    }
    assert!(Amount::Fraction(f64::NAN).count(9).is_err());
}

#[test]
fn more_than_is_left() {
    let entries = |count| PruneError::AmountTooLarge { count, available: 4, unit: "entries" };
    let message = "amount 5 exceeds the number of remaining entries (4)";
    fails(|m| prune::l1_unstructured(m, "weight", 5), entries(5), message);
    fails(|m| prune::random_unstructured(m, "weight", 5, 1), entries(5), message);
    let most = format!("amount {} exceeds the number of remaining entries (4)", usize::MAX);
    fails(|m| prune::l1_unstructured(m, "weight", usize::MAX), entries(usize::MAX), &most);

    // The middle one of the three columns is pruned.
    let channels = PruneError::AmountTooLarge { count: 3, available: 2, unit: "channels" };
    let message = "amount 3 exceeds the number of remaining channels (2)";
    fails(|m| prune::ln_structured(m, "weight", 3, 2, 1), channels.clone(), message);
    fails(|m| prune::random_structured(m, "weight", 3, -1, 1), channels, message);

    // A global amount refers to the remaining entries of all targets.
    let all = PruneError::AmountTooLarge { count: 8, available: 7, unit: "entries" };
    let message = "amount 8 exceeds the number of remaining entries (7)";
    let global =
        |m: &mut Store| prune::global_unstructured(parameters_mut(m, &["weight", "bias"])?, L1Unstructured::new(8)?);
    fails(global, all, message);
    assert!(
        prune::l1_unstructured(&mut store(), "weight", 4).is_ok(),
        "the number of remaining entries is not too many"
    );
}

#[test]
fn an_order_of_a_norm_that_is_nan() {
    let tensor = Array2::<f32>::zeros((2, 2)).into_dyn();
    let mut store = store();
    let before = picture(&store);
    let refused = [
        LnStructured::new(0, f64::NAN, 0).map(drop),
        prune::ln_structured(&mut store, "weight", 1, f64::NAN, 0),
        channel_norms(tensor.view(), f64::NAN, 0).map(drop),
    ];
    for error in refused.map(Result::unwrap_err) {
        assert!(matches!(error, PruneError::InvalidNorm { found } if found.is_nan()));
        assert_eq!(error.to_string(), "norm order must be a number, not NaN");
    }
    assert_eq!(picture(&store), before);
}

#[test]
fn a_norm_of_nothing() {
    for (found, shown) in [(f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf"), (-1.0, "-1"), (-2.5, "-2.5")] {
        let expected = PruneError::EmptyChannels { found, shape: vec![3, 0] };
        let message = format!("norm of order {shown} is undefined for channels without entries (shape [3, 0])");
        for amount in [0, 1] {
            let mut empty = Parameter::new(Array2::<f64>::zeros((3, 0)));
            let error = empty.prune(LnStructured::new(amount, found, 0).unwrap()).unwrap_err();
            assert_says(error, expected.clone(), &message);
            assert!(!empty.is_pruned());
        }
    }
}

/// A shape that takes no memory, whose channels would take more than there is.
#[test]
fn channels_of_nothing_without_number() {
    let expected = PruneError::TooManyChannels { limit: 1 << 20, shape: vec![0, 1 << 60] };
    let message = "more than 1048576 channels without entries (shape [0, 1152921504606846976])";
    let mut store = Store::from_iter([("weight", Array2::<f32>::zeros((0, 1 << 60)))]);
    let before = picture(&store);
    let refused = [
        prune::ln_structured(&mut store, "weight", 0, 2, 1),
        prune::random_structured(&mut store, "weight", 0.5, -1, 42),
        prune::random_structured(&mut store, "weight", 1, 1, Generator::manual_seed(888)),
        channel_norms(store["weight"].value().view(), 2, 1).map(drop),
    ];
    for error in refused.map(Result::unwrap_err) {
        assert_says(error, expected.clone(), message);
    }
    assert_eq!(picture(&store), before);
    // As many as are looked at.
    let mut most = Parameter::new(Array2::<f32>::zeros((0, 1 << 20)));
    most.prune(LnStructured::new(1 << 20, 2, 1).unwrap()).unwrap();
    let mut more = Parameter::new(Array2::<f32>::zeros((0, (1 << 20) + 1)));
    more.prune(LnStructured::new(1, 2, 1).unwrap()).unwrap_err();
    // Along the other axis there are no channels, and of the entries there are none.
    prune::ln_structured(&mut store, "weight", 0.5, 2, 0).unwrap();
    prune::l1_unstructured(&mut store, "weight", 0.5).unwrap();
    prune::random_unstructured(&mut store, "weight", 0.5, 42).unwrap();
}

#[cfg(feature = "nuclear")]
#[test]
fn the_nuclear_norm_of_what_is_no_matrix() {
    use half::{bf16, f16};

    let dtypes = [("f16", nuclear::<f16> as fn(&[usize]) -> PruneError), ("bf16", nuclear::<bf16>)];
    for (dtype, error) in dtypes {
        let expected = PruneError::NuclearNorm { dtype, shape: vec![2, 2, 2] };
        let message = format!("nuclear norm needs a 3-dimensional f32 or f64 tensor, not {dtype} of shape [2, 2, 2]");
        assert_says(error(&[2, 2, 2]), expected, &message);
    }
    for shape in [&[2, 2][..], &[2, 2, 2, 2]] {
        let expected = PruneError::NuclearNorm { dtype: "f64", shape: shape.to_vec() };
        let message = format!("nuclear norm needs a 3-dimensional f32 or f64 tensor, not f64 of shape {shape:?}");
        assert_says(nuclear::<f64>(shape), expected, &message);
    }
}

#[cfg(not(feature = "nuclear"))]
#[test]
fn the_nuclear_norm_without_its_feature() {
    let expected = PruneError::FeatureDisabled { needed_by: "the nuclear norm", feature: "nuclear" };
    let message = "the nuclear norm needs the cargo feature `nuclear`, which this build lacks";
    assert_says(nuclear::<f64>(&[2, 2, 2]), expected, message);
}

/// Returns the error of the nuclear norm, which must be the same for any amount, even 0.
fn nuclear<A: Element>(shape: &[usize]) -> PruneError {
    let mut parameter = Parameter::new(ArrayD::<A>::zeros(IxDyn(shape)));
    let error = parameter.prune(LnStructured::new(1, Norm::Nuclear, 0).unwrap()).unwrap_err();
    assert_eq!(parameter.prune(LnStructured::new(0, Norm::Nuclear, 0).unwrap()), Err(error.clone()));
    assert!(!parameter.is_pruned());
    error
}

#[test]
fn an_axis_out_of_range() {
    for found in [2, -3, isize::MAX, isize::MIN] {
        let expected = PruneError::AxisOutOfRange { found, ndim: 2 };
        let message = format!("axis {found} is out of range for 2 dimensions (-2 to 1)");
        fails(|m| prune::ln_structured(m, "weight", 1, 2, found), expected.clone(), &message);
        fails(|m| prune::random_structured(m, "weight", 1, found, 1), expected.clone(), &message);
        let third_party =
            Fixed { kind: PruningType::Structured { dim: found }, mask: ArrayD::from_elem(IxDyn(&[2, 3]), true) };
        fails(|m| prune::apply(m, "weight", third_party), expected, &message);
    }
}

#[test]
fn a_scalar_has_no_axis() {
    let error = Parameter::new(arr0(1.0_f32)).prune(prune::NM::new(2, 4, -1).unwrap()).unwrap_err();
    assert_says(error, PruneError::AxisOutOfRange { found: -1, ndim: 0 }, "axis -1 is out of range for 0 dimensions");
}

#[test]
#[should_panic(expected = "no parameter named `wieght`")]
fn an_index_that_no_parameter_has() {
    let _ = &prune::ParameterStore::<f32>::new()["wieght"];
}

#[test]
fn structured_pruning_of_a_vector() {
    let expected = PruneError::TooFewDimensions { shape: vec![3] };
    let message = "channels and rows need at least 2 dimensions, not shape [3]";
    for dim in [0, -1, 5] {
        // Also as a second call, where PyTorch does something else.
        fails(|m| prune::ln_structured(m, "bias", 1, 2, dim), expected.clone(), message);
        fails(|m| prune::random_structured(m, "bias", 1, dim, 1), expected.clone(), message);
        let mut again = Parameter::new(Array1::<f32>::ones(3));
        again.prune(Identity).unwrap();
        assert_says(again.prune(LnStructured::new(1, 2, dim).unwrap()).unwrap_err(), expected.clone(), message);
        let third_party = Fixed { kind: PruningType::Structured { dim }, mask: ArrayD::from_elem(IxDyn(&[3]), true) };
        fails(|m| prune::apply(m, "bias", third_party), expected.clone(), message);
    }
    let mut scalar = Parameter::new(arr0(1.0_f32));
    let message = "channels and rows need at least 2 dimensions, not shape []";
    let error = scalar.prune(RandomStructured::new(1, 0, 1).unwrap()).unwrap_err();
    assert_says(error, PruneError::TooFewDimensions { shape: vec![] }, message);
}

/// As in PyTorch, an error comes before the numbers are drawn.
#[test]
fn an_error_draws_nothing() {
    let generator = Generator::manual_seed(888);
    fails(
        |m| prune::random_unstructured(m, "weight", 5, &generator),
        PruneError::AmountTooLarge { count: 5, available: 4, unit: "entries" },
        "amount 5 exceeds the number of remaining entries (4)",
    );
    let mut store = store();
    assert!(prune::random_structured(&mut store, "weight", 3, 0, &generator).is_err());
    assert!(prune::random_structured(&mut store, "weight", 1, 2, &generator).is_err());
    let unstructured = RandomUnstructured::new(8, &generator).unwrap();
    assert!(
        prune::global_unstructured(parameters_mut(&mut store, &["weight", "bias"]).unwrap(), unstructured).is_err()
    );
    assert_eq!(generator.rand::<f64>(3), Generator::manual_seed(888).rand::<f64>(3));
}
