//! Packing and unpacking.

use half::{bf16, f16};
use ndarray::{Array2, ArrayD, Axis, arr0, arr1, arr2};
use proptest::prelude::*;
use prune::sparse::{Form, Packed, SparseError};
use prune::{CustomFromMask, Element, L1Unstructured, Mask, Parameter};

use super::support::weight;
use crate::laws::runner::check_law;

fn returns<A: Element>(rows: usize, columns: usize, density: f64, seed: usize) {
    let dense = weight::<A>(rows, columns, density, seed);
    let packed = Packed::from_array(&dense);
    let kept = dense.iter().filter(|x| !x.is_zero()).count();
    assert_eq!((packed.rows(), packed.columns(), packed.kept()), (rows, columns, kept));
    assert_eq!(packed.to_dense(), dense.clone().into_dyn());
    assert_eq!(packed.mask(), dense.mapv(|x| !x.is_zero()));
    let offsets = if dense.is_empty() { 1 } else { rows + 1 };
    let bits = if dense.is_empty() { 0 } else { rows * columns.div_ceil(8) };
    assert_eq!(packed.bytes(), kept * size_of::<A>() + bits + offsets * size_of::<usize>());
}

#[test]
fn every_shape_and_type_comes_back() {
    check_law((0_usize..9, 0_usize..200, 0.0..1.0, 0..1000_usize), |(rows, columns, density, seed)| {
        returns::<f32>(rows, columns, density, seed);
        returns::<f64>(rows, columns, density, seed);
        returns::<f16>(rows, columns, density, seed);
        returns::<bf16>(rows, columns, density, seed);
    });
    for density in [0.0, 1.0] {
        returns::<f32>(5, 129, density, 3);
    }
}

/// Large enough for several threads, with rows that are shared among them.
#[test]
fn large_weights_come_back() {
    for (rows, columns) in [(700, 1003), (3, 300_001), (200_000, 3)] {
        returns::<f32>(rows, columns, 0.3, 5);
    }
}

/// The mask of an entry is found by its position, in every part of a large weight.
#[test]
fn large_weights_are_packed_by_their_masks() {
    let dense = Array2::from_shape_fn((300, 701), |(i, j)| (i * 701 + j + 1) as f32);
    let mask = weight::<f32>(300, 701, 0.3, 9).mapv(|x| x != 0.0);
    let packed = Packed::from_masked(&dense, &Mask::from(mask.clone())).unwrap();
    assert_eq!(packed.mask(), mask);
    assert_eq!(packed.to_dense(), (&dense * &mask.mapv(|kept| f32::from(u8::from(kept)))).into_dyn());
}

#[test]
fn any_dimensions_and_layouts() {
    let packed = Packed::from_array(&arr0(2.5_f64));
    assert_eq!((packed.rows(), packed.columns(), packed.to_dense()), (1, 1, arr0(2.5).into_dyn()));
    let packed = Packed::from_array(&arr1(&[0.0_f32, 1.0, 0.0]));
    assert_eq!((packed.rows(), packed.columns(), packed.kept()), (1, 3, 1));
    let kernel = ArrayD::<f32>::from_shape_fn(vec![4, 3, 2, 5], |i| (i[0] + i[3]) as f32);
    let packed = Packed::from_array(&kernel);
    assert_eq!((packed.rows(), packed.columns(), packed.shape()), (4, 30, &[4, 3, 2, 5][..]));
    assert_eq!(packed.to_dense(), kernel);

    let dense = weight::<f32>(13, 70, 0.4, 1);
    assert_eq!(Packed::from_array(&dense.t()).to_dense(), dense.t().to_owned().into_dyn());
    let mut reversed = dense.view();
    reversed.invert_axis(Axis(1));
    assert_eq!(Packed::from_array(&reversed).to_dense(), reversed.to_owned().into_dyn());
    let rows = dense.slice_axis(Axis(0), (2..).into());
    assert_eq!(Packed::from_array(&rows).to_dense(), rows.to_owned().into_dyn());
}

/// A parameter is packed by its mask: kept zeros stay, and whatever is pruned goes.
#[test]
fn parameters_are_packed_by_their_masks() {
    let tensor = arr2(&[[0.0_f32, -2.0, f32::INFINITY], [f32::NAN, 4.0, -0.0]]);
    let mask = arr2(&[[true, false, false], [true, true, false]]);
    let mut parameter = Parameter::new(tensor.clone());
    assert_eq!(Packed::new(&parameter).kept(), 4);
    parameter.prune(CustomFromMask::new(mask.clone())).unwrap();
    let packed = Packed::new(&parameter);
    assert_eq!(packed.mask(), mask);
    let dense = packed.to_dense();
    assert!(dense[[1, 0]].is_nan());
    let zeros = [[0, 1], [0, 2], [1, 2]].map(|index| dense[index].to_bits());
    assert_eq!((zeros, dense[[1, 1]]), ([0; 3], 4.0));
    assert_eq!(Packed::from_masked(&tensor, &Mask::from(mask)).unwrap().mask(), packed.mask());

    let error = Packed::from_masked(&tensor, &Mask::from_elem([3, 2], true)).unwrap_err();
    assert_eq!(error, SparseError::MaskShape { expected: vec![2, 3], found: vec![3, 2] });
}

/// Bit for bit: signs of zeros, and NaN where an infinity was pruned.
#[test]
fn exact_packing_keeps_every_bit() {
    let mut parameter = Parameter::new(arr2(&[[-1.0_f32, 2.0, f32::INFINITY, -0.0], [0.0, -3.0, f32::NAN, 1.0]]));
    parameter.prune(L1Unstructured::new(0.75).unwrap()).unwrap();
    let bits = |array: &ArrayD<f32>| array.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for array in [parameter.value().clone(), parameter.orig().clone()] {
        assert_eq!(bits(&Packed::exact(&array).to_dense()), bits(&array));
    }
    check_law(proptest::collection::vec(any::<u32>(), 0..300), |numbers| {
        let array = arr1(&numbers).mapv(|x| f32::from_bits(if x % 3 == 0 { x << 31 } else { x })).into_dyn();
        assert_eq!(bits(&Packed::exact(&array).to_dense()), bits(&array));
    });
    // Without a -0.0, no signs are stored.
    let plain = Array2::<f32>::eye(9);
    assert_eq!(Packed::exact(&plain).bytes(), Packed::from_array(&plain).bytes());
}

#[test]
fn sizes_are_those_of_the_documentation() {
    let weight = Parameter::new(weight::<f32>(512, 4096, 1.0, 0));
    for (sparsity, percent) in [(0.5, 53), (0.8, 23), (0.9, 13)] {
        let mut weight = weight.clone();
        weight.prune(L1Unstructured::new(sparsity).unwrap()).unwrap();
        let packed = Packed::new(&weight);
        assert!((packed.density() - (1.0 - sparsity)).abs() < 1e-6);
        assert_eq!((100.0 * packed.bytes() as f64 / packed.dense_bytes() as f64).round() as u32, percent);
    }
}

#[test]
fn what_is_empty_is_packed() {
    for shape in [[0, 5], [5, 0], [0, 0]] {
        let packed = Packed::from_array(&Array2::<f32>::zeros(shape));
        assert_eq!((packed.kept(), packed.density(), packed.to_dense().shape()), (0, 0.0, &shape[..]));
        assert_eq!(format!("{packed:?}"), format!("Packed (0 of 0 kept, shape {shape:?}, 8 bytes)"));
    }
}

/// A form of them is made at once.
#[test]
fn rows_without_columns_may_be_many() {
    let packed = Packed::from_array(&Array2::<f32>::zeros((1 << 60, 0)));
    for batch in [1, 8, 32] {
        let prepared = packed.prepare(batch);
        assert_eq!((prepared.rows(), prepared.columns()), (1 << 60, 0));
    }
    for form in Form::ALL {
        assert_eq!(packed.prepare_as(form).rows(), 1 << 60, "{form}");
    }
}
