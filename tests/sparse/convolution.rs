//! Convolutions against sums over the definition, in `f64`.

use ndarray::{Array1, Array4, arr1};
use prune::Mask;
use prune::sparse::{Conv2dOptions, Packed, PackedConv2d, SparseError};

use super::support::noise;
use crate::laws::runner::check_law;

fn array(shape: (usize, usize, usize, usize), density: f64, seed: usize) -> Array4<f32> {
    let mut position = seed;
    Array4::from_shape_fn(shape, |_| {
        position += 2;
        if noise(position + 1).abs() < density { noise(position) as f32 } else { 0.0 }
    })
}

/// `torch.nn.functional.conv2d`, by its definition. Returns sums and the sums of magnitudes.
fn expected(x: &Array4<f32>, weight: &Array4<f32>, bias: &Array1<f32>, options: Conv2dOptions) -> Array4<[f64; 2]> {
    let Conv2dOptions { stride, padding, dilation, groups } = options;
    let (batch, _, height, width) = x.dim();
    let (outputs, inputs, kernel_height, kernel_width) = weight.dim();
    let size = |axis: usize, image: usize, kernel: usize| {
        (image + 2 * padding[axis] - dilation[axis] * (kernel - 1) - 1) / stride[axis] + 1
    };
    let shape = (batch, outputs, size(0, height, kernel_height), size(1, width, kernel_width));
    Array4::from_shape_fn(shape, |(n, o, i, j)| {
        let first = o / (outputs / groups) * inputs;
        let mut sums = [f64::from(bias[o]), f64::from(bias[o]).abs()];
        for ((c, y, x_), &w) in weight.index_axis(ndarray::Axis(0), o).indexed_iter() {
            let row = (i * stride[0] + y * dilation[0]).checked_sub(padding[0]);
            let column = (j * stride[1] + x_ * dilation[1]).checked_sub(padding[1]);
            let pixel = row.zip(column).and_then(|(row, column)| x.get((n, first + c, row, column)));
            let product = f64::from(w) * f64::from(*pixel.unwrap_or(&0.0));
            sums = [sums[0] + product, sums[1] + product.abs()];
        }
        sums
    })
}

#[track_caller]
fn check(x: &Array4<f32>, weight: &Array4<f32>, options: Conv2dOptions) {
    let bias = Array1::from_shape_fn(weight.dim().0, |i| i as f32 / 8.0);
    let layer = PackedConv2d::new(&Packed::from_array(weight), Some(bias.clone()), options).unwrap();
    let found = layer.forward(x.view()).unwrap();
    let expected = expected(x, weight, &bias, options);
    assert_eq!(found.shape(), expected.shape());
    let terms = weight.len() / weight.dim().0 + 1;
    for (found, [sum, magnitude]) in found.iter().zip(&expected) {
        let bound = terms as f64 * f64::from(f32::EPSILON) * magnitude;
        assert!((f64::from(*found) - sum).abs() <= bound, "{found}, expected {sum} within {bound:e}");
    }
}

#[test]
fn convolutions_are_those_of_the_definition() {
    let pair = |range: std::ops::Range<usize>| [range.clone(), range];
    let sizes = (1_usize..4, 1_usize..4, 1_usize..3, pair(1..4), 0_usize..1000);
    let steps = (pair(1..4), pair(0..3), pair(1..3), pair(0..12));
    check_law((sizes, steps), |((outputs, inputs, groups, kernel, seed), (stride, padding, dilation, extra))| {
        let options = Conv2dOptions { stride, padding, dilation, groups };
        let reach = |axis: usize| dilation[axis] * (kernel[axis] - 1) + 1;
        let [height, width] = [0, 1].map(|axis| reach(axis).saturating_sub(2 * padding[axis]).max(1) + extra[axis]);
        let density = [0.1, 0.5, 1.0][seed % 3];
        let weight = array((outputs * groups, inputs, kernel[0], kernel[1]), density, seed);
        check(&array((2, inputs * groups, height, width), 1.0, seed + 1), &weight, options);
    });
}

/// A zero that is kept is multiplied, with one group and with several: zero times infinity is NaN.
#[test]
fn kept_zeros_take_part() {
    let zeros = Array4::<f32>::zeros((2, 1, 1, 1));
    let weight = Packed::from_masked(&zeros, &Mask::from_elem([2, 1, 1, 1], true)).unwrap();
    let image = Array4::from_elem((1, 2, 1, 1), f32::INFINITY);
    let layer = PackedConv2d::new(&weight, None, Conv2dOptions { groups: 2, ..Conv2dOptions::default() }).unwrap();
    assert!(layer.forward(image.view()).unwrap().iter().all(|sum| sum.is_nan()));
}

/// Without unfolding, in images of any layout.
#[test]
fn kernels_of_one_pixel() {
    let (x, weight) = (array((2, 40, 9, 7), 1.0, 1), array((130, 40, 1, 1), 0.2, 2));
    check(&x, &weight, Conv2dOptions::default());
    let turned = x.clone().permuted_axes([0, 1, 3, 2]).as_standard_layout().into_owned().permuted_axes([0, 1, 3, 2]);
    check(&turned, &weight, Conv2dOptions::default());
    check(&array((1, 40, 9, 9), 1.0, 3), &weight, Conv2dOptions { stride: [2, 3], ..Conv2dOptions::default() });
    check(&array((1, 80, 30, 30), 1.0, 3), &weight, Conv2dOptions { groups: 2, ..Conv2dOptions::default() });
}

#[test]
fn mistakes_are_errors() {
    let weight = Packed::from_array(&array((4, 3, 3, 3), 0.5, 1));
    let options = Conv2dOptions::default();
    let new = |options| PackedConv2d::new(&weight, None, options).unwrap_err();
    assert_eq!(new(Conv2dOptions { groups: 3, ..options }), SparseError::Groups { channels: 4, groups: 3 });
    assert_eq!(new(Conv2dOptions { groups: 0, ..options }), SparseError::Groups { channels: 4, groups: 0 });
    assert_eq!(new(Conv2dOptions { stride: [1, 0], ..options }), SparseError::ZeroStep { what: "stride" });
    assert_eq!(new(Conv2dOptions { dilation: [0, 1], ..options }), SparseError::ZeroStep { what: "dilation" });
    let bias = PackedConv2d::new(&weight, Some(arr1(&[1.0; 3])), options).unwrap_err();
    assert_eq!(bias, SparseError::BiasLength { expected: 4, found: 3 });
    let matrix = PackedConv2d::new(&Packed::from_array(&arr1(&[1.0_f32])), None, options).unwrap_err();
    assert_eq!(matrix, SparseError::KernelDimensions { found: vec![1] });

    let layer = PackedConv2d::new(&weight, None, options).unwrap();
    let forward = |shape: (usize, usize, usize, usize)| layer.forward(Array4::zeros(shape).view());
    assert_eq!(forward((1, 2, 5, 5)), Err(SparseError::InputChannels { expected: 3, found: 2 }));
    assert_eq!(forward((1, 3, 2, 5)), Err(SparseError::ImageSize { height: 2, width: 5 }));
    assert_eq!(forward((0, 3, 5, 6)).unwrap().dim(), (0, 4, 3, 4));
    let huge = Conv2dOptions { padding: [usize::MAX / 2, 0], ..options };
    let layer = PackedConv2d::new(&weight, None, huge).unwrap();
    let found = layer.forward(Array4::zeros((1, 3, 5, 5)).view());
    assert_eq!(found, Err(SparseError::ImageSize { height: 5, width: 5 }));
}
