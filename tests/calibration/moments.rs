//! Sums: independent of batches, and nothing that is not finite.

use ndarray::{Array2, Array3, Axis, arr2};
use prune::PruneError;
use prune::calibration::{GradientSquares, Moments};

use super::layer::Layer;

/// The largest difference, relative to the largest entry.
fn apart(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    let most = |matrix: &Array2<f64>| matrix.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    most(&(a - b)) / most(b)
}

#[test]
fn batches_make_no_difference() {
    for layer in Layer::all() {
        for batch in [1, 7, 50, 1000] {
            let mut moments = Moments::with_gram(layer.inputs.ncols());
            for tokens in layer.inputs.axis_chunks_iter(Axis(0), batch) {
                moments.push(tokens).unwrap();
            }
            assert_eq!(moments.count(), layer.moments.count());
            // Token by token, so to the last bit.
            assert_eq!(moments.sum_squares(), layer.moments.sum_squares());
            assert!(apart(&moments.gram().unwrap(), &layer.moments.gram().unwrap()) < 1e-12, "{} {batch}", layer.name);
        }
    }
}

#[test]
fn gram_matrices_are_products() {
    // More tokens and channels than are taken at a time.
    let inputs = Array2::from_shape_fn((1100, 300), |(i, j)| ((i * 31 + j * 17) % 101) as f32 / 50.0 - 1.0);
    let mut moments = Moments::with_gram(300);
    moments.push(inputs.view()).unwrap();
    let exact = inputs.mapv(f64::from);
    let expected = exact.t().dot(&exact);
    let found = moments.gram().unwrap();
    assert!(apart(&found, &expected) < 1e-13);
    assert_eq!(found, found.t());
}

#[test]
fn all_axes_but_the_last_are_tokens() {
    let inputs = Array3::from_shape_fn((2, 3, 4), |(i, j, k)| (i * 12 + j * 4 + k) as f32);
    let mut batched = Moments::with_gram(4);
    batched.push(inputs.view()).unwrap();
    let mut flat = Moments::with_gram(4);
    flat.push(inputs.to_shape((6, 4)).unwrap().view()).unwrap();
    assert_eq!(batched, flat);
    // A view in another layout, too.
    let columns = inputs.to_shape((6, 4)).unwrap().t().as_standard_layout().into_owned();
    let mut strided = Moments::with_gram(4);
    strided.push(columns.t()).unwrap();
    assert_eq!(strided, flat);
}

#[test]
fn what_is_not_finite_is_named_and_nothing_is_added() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut moments = Moments::with_gram(3);
        moments.push(arr2(&[[1.0_f32, 2.0, 3.0]]).view()).unwrap();
        let before = moments.clone();
        let error = moments.push(arr2(&[[0.0, 1.0, 2.0], [0.0, 1.0, bad]]).view()).unwrap_err();
        assert_eq!(error, PruneError::NotFinite { channel: 2, token: 1 });
        assert_eq!(error.to_string(), "channel 2 is NaN or infinite at token 1");
        assert_eq!(moments, before);
    }
    let mut gradients = GradientSquares::new(&[2]);
    assert!(gradients.push(ndarray::arr1(&[1.0, f64::NAN]).view()).is_err());
    assert_eq!(gradients, GradientSquares::new(&[2]));
}

#[test]
fn shapes_must_fit() {
    let mut moments = Moments::new(3);
    let error = moments.push(arr2(&[[1.0_f32, 2.0]]).view()).unwrap_err();
    assert_eq!(error.to_string(), "inputs has shape [2], but should have shape [3]");
    assert!(moments.merge(&Moments::new(2)).is_err());
    assert_eq!(moments, Moments::new(3));
}

#[test]
fn merging_adds() {
    let layer = Layer::load("small_f32");
    let (first, second) = layer.inputs.view().split_at(Axis(0), 111);
    let of = |inputs: ndarray::ArrayView2<'_, f32>| {
        let mut moments = Moments::with_gram(inputs.ncols());
        moments.push(inputs).unwrap();
        moments
    };
    let mut merged = of(first);
    merged.merge(&of(second)).unwrap();
    assert_eq!(merged.count(), layer.moments.count());
    assert!(apart(&merged.gram().unwrap(), &layer.moments.gram().unwrap()) < 1e-12);
    // Without a Gram matrix on one side, there is none in the end.
    merged.merge(&Moments::new(64)).unwrap();
    assert!(!merged.has_gram());
}

/// The type of the inputs makes no difference where it holds them exactly.
#[test]
fn element_types() {
    let layer = Layer::load("small_bf16");
    let mut half = Moments::with_gram(64);
    half.push(layer.inputs.mapv(half::bf16::from_f32).view()).unwrap();
    let mut double = Moments::with_gram(64);
    double.push(layer.inputs.mapv(f64::from).view()).unwrap();
    assert_eq!(half, *layer.moments);
    assert_eq!(double, *layer.moments);
}
