//! Errors: what they say, and that nothing has changed.

use std::sync::Arc;

use ndarray::{Array1, Array2, Array4, arr2};
use prune::calibration::{Admm, LeastSquares, Moments, Outliers, Pattern, Ria, SparseGpt, Swaps, Wanda, owl};
use prune::{Parameter, ParameterStore, PruneError, PruningMethod, Reconstruct};

fn moments(columns: usize, tokens: usize) -> Arc<Moments> {
    let mut moments = Moments::with_gram(columns);
    let inputs = Array2::from_shape_fn((tokens, columns), |(i, j)| ((i * 7 + j * 3 + i * j) % 11) as f32 - 5.0);
    moments.push(inputs.view()).unwrap();
    Arc::new(moments)
}

fn weight() -> Parameter<f32> {
    Parameter::new(Array2::from_shape_fn((3, 4), |(i, j)| (i * 4 + j) as f32 - 5.5))
}

/// The message of a failed pruning, after which nothing has changed.
fn prune(method: impl PruningMethod<f32> + 'static) -> String {
    let (mut parameter, before) = (weight(), weight());
    let error = parameter.prune(method).unwrap_err();
    assert_eq!(parameter.value(), before.value());
    assert!(!parameter.is_pruned());
    error.to_string()
}

fn reconstruct(method: impl Reconstruct<f32> + 'static) -> String {
    let (mut parameter, before) = (weight(), weight());
    let error = parameter.reconstruct(method).unwrap_err();
    assert_eq!(parameter.value(), before.value());
    assert!(!parameter.is_pruned());
    error.to_string()
}

#[test]
fn moments_of_another_layer() {
    let of_five = "moments has shape [5], but should have shape [4]";
    assert_eq!(prune(Wanda::new(0.5, moments(5, 9)).unwrap()), of_five);
    assert_eq!(prune(Ria::new(0.5, moments(5, 9)).unwrap()), of_five);
    assert_eq!(prune(Swaps::new(Wanda::new(0.5, moments(4, 9)).unwrap(), moments(5, 9))), of_five);
    assert_eq!(reconstruct(SparseGpt::new(0.5, moments(5, 9)).unwrap()), of_five);
    assert_eq!(reconstruct(Admm::new(0.5, moments(5, 9)).unwrap()), of_five);
    assert_eq!(reconstruct(LeastSquares::new(moments(5, 9))), of_five);
}

#[test]
fn moments_without_inputs_or_gram_matrix() {
    let empty = || Arc::new(Moments::with_gram(4));
    assert_eq!(prune(Wanda::new(0.5, empty()).unwrap()), "Wanda: no input of this layer was pushed");
    assert_eq!(reconstruct(Admm::new(0.5, empty()).unwrap()), "Admm: no input of this layer was pushed");
    let mut plain = Moments::new(4);
    plain.push(arr2(&[[1.0_f32, 2.0, 3.0, 4.0]]).view()).unwrap();
    assert_eq!(reconstruct(SparseGpt::new(0.5, plain).unwrap()), "SparseGpt: the moments have no Gram matrix");
}

#[test]
fn patterns() {
    for text in ["2", "2:", ":4", "a:b", "5:4", "0:0", "-1:4"] {
        assert!(text.parse::<Pattern>().is_err(), "{text}");
    }
    assert!(matches!(Wanda::new(1.5, moments(4, 9)), Err(PruneError::InvalidFraction { .. })));
    assert!(prune(Wanda::new(5, moments(4, 9)).unwrap()).starts_with("amount 5 exceeds"));
    let sparse_gpt = SparseGpt::new("2:4".parse::<Pattern>().unwrap(), moments(4, 9)).unwrap().block(6);
    assert_eq!(reconstruct(sparse_gpt), "SparseGpt: a block of 6 columns is not a multiple of 4");
}

#[test]
fn vectors_have_no_rows() {
    for inputs in [1, 4] {
        let mut line = Parameter::new(Array1::from_elem(4, 1.0_f32));
        let vector = Err(PruneError::TooFewDimensions { shape: vec![4] });
        assert_eq!(line.prune(Wanda::new(0.5, moments(inputs, 9)).unwrap()), vector);
        assert_eq!(line.prune(Ria::new(0.5, moments(inputs, 9)).unwrap()), vector);
        assert_eq!(line.prune(SparseGpt::new(0.5, moments(inputs, 9)).unwrap()), vector);
        assert_eq!(line.prune(Admm::new(0.5, moments(inputs, 9)).unwrap()), vector);
        assert_eq!(line.reconstruct(LeastSquares::new(moments(inputs, 9))).map(drop), vector);
        assert!(!line.is_pruned());
    }
}

/// Even if there are as many channels as entries along the last axis.
#[test]
fn moments_of_the_input_channels_of_a_convolution() {
    let mut kernel = Parameter::new(Array4::<f32>::ones((4, 3, 3, 3)));
    let expected = Err(PruneError::ShapeMismatch { argument: "moments".into(), expected: vec![27], found: vec![3] });
    assert_eq!(kernel.prune(Wanda::new(9, moments(3, 9)).unwrap()), expected);
    assert_eq!(kernel.prune(Ria::new(9, moments(3, 9)).unwrap()), expected);
    assert!(!kernel.is_pruned());
}

/// The rows of a convolution are all entries of an output channel.
#[test]
fn convolutions() {
    let kernel = Array4::from_shape_fn((3, 2, 2, 2), |(i, j, k, l)| ((i * 5 + j * 3 + k * 2 + l * 7) % 9) as f32 - 4.0);
    let flat = kernel.to_shape((3, 8)).unwrap().to_owned();
    for share in [0.25, 0.5] {
        let method = Swaps::new(Wanda::new(share, moments(8, 30)).unwrap(), moments(8, 30));
        let (mut four, mut two) = (Parameter::new(kernel.clone()), Parameter::new(flat.clone()));
        four.reconstruct(LeastSquares::after(method.clone(), moments(8, 30))).unwrap();
        two.reconstruct(LeastSquares::after(method, moments(8, 30))).unwrap();
        assert_eq!(four.value().iter().collect::<Vec<_>>(), two.value().iter().collect::<Vec<_>>());
    }
}

#[test]
fn dampening() {
    for share in [-1.0, f64::NAN, f64::INFINITY] {
        let message = format!("dampening {share:?} is not a number of at least 0");
        let sparse_gpt = SparseGpt::new(0.5, moments(4, 9)).unwrap().dampening(share);
        assert_eq!(reconstruct(sparse_gpt), format!("SparseGpt: {message}"));
        assert_eq!(reconstruct(LeastSquares::new(moments(4, 9)).dampening(share)), format!("LeastSquares: {message}"));
        assert_eq!(reconstruct(Admm::new(0.5, moments(4, 9)).unwrap().dampening(share)), format!("Admm: {message}"));
    }
}

/// Two tokens for four inputs: the error says the rank and a dampening that is enough.
#[test]
fn too_few_tokens_without_dampening() {
    let mut store = ParameterStore::from_iter([("fc.weight", weight().value().clone())]);
    let sparse_gpt = |share| SparseGpt::new(0.5, moments(4, 2)).unwrap().dampening(share);
    let error = prune::reconstruct(&mut store, "fc.weight", sparse_gpt(0.0)).unwrap_err();
    let PruneError::NotPositiveDefinite { tensor, channels: 4, rank: 2, dampening: 0.0, works: Some(works) } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(tensor.as_deref(), Some("fc.weight"));
    assert_eq!(
        error.to_string(),
        format!(
            "the Hessian of `fc.weight` has rank 2 for 4 inputs and cannot be factored with dampening 0.0; dampening {works:?} is enough"
        )
    );
    assert!(!store["fc.weight"].is_pruned());
    prune::reconstruct(&mut store, "fc.weight", sparse_gpt(*works)).unwrap();
    assert!(prune::reconstruct(&mut store, "fc.bias", sparse_gpt(*works)).is_err());
}

#[test]
fn weights_that_are_not_finite() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut parameter = Parameter::new(arr2(&[[1.0, 2.0, bad, 3.0]]));
        let error = parameter.reconstruct(SparseGpt::new(0.5, moments(4, 9)).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "SparseGpt: a weight is NaN or infinite");
        assert!(!parameter.is_pruned());
    }
}

#[test]
fn allocations() {
    let layer = |share, entries| Outliers { share, entries };
    assert_eq!(owl(&[layer(0.1, 5), layer(0.1, 9)], 0.6, 0.08).unwrap(), [0.6, 0.6]);
    assert_eq!(owl(&[], 0.6, 0.08).unwrap(), Vec::<f64>::new());
    assert!(owl(&[], 1.1, 0.08).is_err() && owl(&[], 0.5, f64::NAN).is_err() && owl(&[], 0.5, -0.1).is_err());
    assert!(owl(&[layer(f64::NAN, 5), layer(0.1, 9)], 0.6, 0.08).is_err());
    let found = owl(&[layer(0.0, 10), layer(0.5, 10), layer(1.0, 20)], 0.5, 0.1).unwrap();
    let expected = [0.625, 0.525, 0.425];
    assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12), "{found:?}");
    // Outliers are counted by weight and input.
    let mut inputs = Moments::new(2);
    inputs.push(arr2(&[[1.0_f32, 10.0]]).view()).unwrap();
    let weight = arr2(&[[1.0_f32, 1.0], [1.0, 0.1]]);
    assert_eq!(Outliers::of(weight.view(), &inputs, 3.0).unwrap(), layer(0.25, 4));
    assert!(Outliers::of(weight.view(), &Moments::new(3), 3.0).is_err());
}
