//! Channel norms, to the last bit.

use ndarray::{Array, Array2, ArrayD, IxDyn};
use proptest::prelude::*;
use prune::{Norm, channel_norms};

use super::dtype::{Dtype, assert_same, for_each_dtype};
use super::inputs::{dim, layout, norm, shape, values};
use super::oracle::{self, Tensor};
use super::runner::check_law;

for_each_dtype!(
    norms_are_summed_in_the_documented_order,
    long_channels_are_summed_in_lanes,
    norms_are_rounded_to_the_element_type,
    an_empty_channel_has_norm_zero_or_none,
);

#[track_caller]
fn assert_norms<A: Dtype>(tensor: &ArrayD<A>, norm: Norm, dim: isize) {
    let found = channel_norms(tensor.view(), norm, dim);
    let scores: Vec<A> = tensor.iter().copied().collect();
    match oracle::norms(Tensor { shape: tensor.shape(), scores: &scores, remaining: None }, norm, dim) {
        Some(expected) => assert_same(&found.expect("the norm is defined"), &expected, "norms"),
        None => assert!(found.is_err()),
    }
}

fn norms_are_summed_in_the_documented_order<A: Dtype>() {
    check_law((shape(), values::<A>(), layout(), norm(), dim()), |(shape, values, layout, norm, dim)| {
        assert_norms(&layout.of(&values.array(&shape)), norm, dim);
    });
}

/// Channels long enough for full blocks and every length of the tail, whose sums depend on the order.
fn long_channels_are_summed_in_lanes<A: Dtype>() {
    let numbers = prop::collection::vec((-1.0..1.0_f64).prop_map(A::of), 2 * 3 * 70);
    check_law((numbers, 1_usize..=70), |(numbers, length)| {
        for shape in [[1, 2, length], [2, length, 1], [2, 3, length]] {
            let numbers = numbers[..shape.iter().product()].to_vec();
            let tensor = Array::from_shape_vec(IxDyn(&shape), numbers).expect("the numbers fill the shape");
            for dim in 0..3 {
                assert_norms(&tensor, Norm::L(2.0), dim);
                assert_norms(&tensor, Norm::L(3.0), dim);
            }
        }
    });
}

/// The sum is rounded once, at the end: 257 ones are 256 in `bf16`, and two large halves overflow in `f16` alone.
fn norms_are_rounded_to_the_element_type<A: Dtype>() {
    let ones = Array2::from_elem((1, 257), A::one()).into_dyn();
    for n in [0.0, 1.0] {
        assert_eq!(channel_norms(ones.view(), n, 0).unwrap()[0], A::of(257.0));
    }
    let large = Array2::from_elem((1, 2), A::of(60_000.0)).into_dyn();
    let doubled = channel_norms(large.view(), 1, 0).unwrap()[0];
    assert_eq!(doubled, A::of(2.0) * A::of(60_000.0));
}

fn an_empty_channel_has_norm_zero_or_none<A: Dtype>() {
    let empty = ArrayD::<A>::zeros(IxDyn(&[3, 0, 2]));
    for n in [0.0, 0.5, 1.0, 2.0, 3.0] {
        assert_eq!(channel_norms(empty.view(), n, 0).unwrap().to_vec(), [A::zero(); 3]);
    }
    for n in [f64::INFINITY, f64::NEG_INFINITY, -1.0, -2.5] {
        assert!(channel_norms(empty.view(), n, 0).is_err());
        // No channels at all: they are empty only if the other axes say so.
        assert_eq!(channel_norms(empty.view(), n, 1).unwrap().len(), 0);
    }
}

#[cfg(feature = "nuclear")]
mod nuclear {
    use super::*;

    /// The singular values of a 2 x 2 matrix have a closed form: their squares add up to the square of the Frobenius norm,
    /// and their product is the determinant.
    #[test]
    fn is_the_sum_of_singular_values() {
        let numbers = prop::array::uniform4(prop_oneof![-9.0..9.0_f64, Just(0.0)]);
        check_law((numbers, layout()), |([a, b, c, d], layout)| {
            let expected = (a * a + b * b + c * c + d * d + 2.0 * (a * d - b * c).abs()).sqrt();
            let matrix = Array::from_shape_vec(IxDyn(&[2, 2]), vec![a, b, c, d]).expect("four numbers");
            for dim in 0..3 {
                // The second channel is the first one doubled.
                let parts = [matrix.view(), (&matrix * 2.0).view()].map(|m| m.to_owned());
                let parts = [parts[0].view(), parts[1].view()];
                let tensor = ndarray::stack(ndarray::Axis(dim), &parts).expect("they have one shape");
                let norms = channel_norms(layout.of(&tensor).view(), Norm::Nuclear, dim as isize).expect("3-D");
                approx::assert_relative_eq!(norms[0], expected, max_relative = 1e-12, epsilon = 1e-12);
                approx::assert_relative_eq!(norms[1], 2.0 * expected, max_relative = 1e-12, epsilon = 1e-12);
                let single = channel_norms(tensor.mapv(|x| x as f32).view(), Norm::Nuclear, dim as isize).expect("3-D");
                approx::assert_relative_eq!(f64::from(single[0]), expected, max_relative = 1e-5, epsilon = 1e-5);
            }
        });
    }

    /// The decomposition is an iteration: nothing must keep it from ending.
    #[test]
    fn of_what_is_not_finite_is_nan() {
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let tensor = Array::from_shape_vec(IxDyn(&[2, 1, 2]), vec![odd, 1.0, 3.0, 4.0]).expect("four numbers");
            let norms = channel_norms(tensor.view(), Norm::Nuclear, 0).expect("3-D");
            assert!(norms[0].is_nan());
            approx::assert_relative_eq!(norms[1], 5.0, max_relative = 1e-12);
        }
    }

    #[test]
    fn of_an_empty_matrix_is_zero() {
        let empty = ArrayD::<f32>::zeros(IxDyn(&[2, 0, 3]));
        assert_eq!(channel_norms(empty.view(), Norm::Nuclear, 0).unwrap().to_vec(), [0.0, 0.0]);
    }
}
