//! NaN and infinities, in weights and inputs.

use ndarray::{Array2, arr1, arr2};
use prune::sparse::{Form, Packed};

use super::support::products;

/// A pruned weight adds nothing, whatever its input is.
#[test]
fn a_pruned_weight_hides_its_input() {
    let weight = arr2(&[[0.0_f32, 2.0, 0.0], [0.0, 0.0, 0.0]]);
    let packed = Packed::from_array(&weight);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let x = Array2::from_shape_fn((5, 3), |(i, j)| if j == 1 { i as f32 } else { bad });
        for (name, product) in products(&packed, x.view()) {
            // The dense form multiplies all entries, as IEEE arithmetic says.
            if !name.starts_with("dense") {
                assert_eq!(
                    product,
                    Array2::from_shape_fn((5, 2), |(i, j)| if j == 0 { 2.0 * i as f32 } else { 0.0 }),
                    "{name}"
                );
            }
        }
    }
}

/// Three of four neighbours keep a column: the fourth is not multiplied with it.
#[test]
fn a_column_that_is_not_whole_is_not_shared() {
    let weight = Array2::from_shape_fn((6, 2), |(row, column)| if row == 2 && column == 0 { 0.0_f32 } else { 1.0 });
    let x = arr2(&[[f32::INFINITY, 1.0]]);
    let product = Packed::from_array(&weight).prepare_as(Form::Blocks).matmul(x.view()).unwrap();
    let inf = f32::INFINITY;
    assert_eq!(product, arr2(&[[inf, inf, 1.0, inf, inf, inf]]));
}

#[test]
fn kept_weights_follow_ieee_arithmetic() {
    let weight = arr2(&[[f32::INFINITY, 0.0], [f32::NAN, 0.0], [1.0, 1.0]]);
    let packed = Packed::from_array(&weight);
    let x = arr2(&[[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [f32::INFINITY, f32::NEG_INFINITY]]);
    for (name, product) in products(&packed, x.view()) {
        let row = |i: usize| product.row(i).to_vec();
        assert!(row(0)[0] == f32::INFINITY && row(1)[0] == f32::NEG_INFINITY, "{name}");
        assert!(row(2)[0].is_nan() && (0..4).all(|i| row(i)[1].is_nan()) && row(3)[2].is_nan(), "{name}");
        assert_eq!((row(0)[2], row(1)[2]), (1.0, -1.0), "{name}");
    }
}

/// One input does not reach the results of another, though they are multiplied side by side.
#[test]
fn inputs_do_not_mix() {
    let packed = Packed::from_array(&Array2::<f32>::ones((3, 70)));
    let mut x = Array2::<f32>::ones((7, 70));
    x[[3, 11]] = f32::NAN;
    for form in Form::ALL {
        let product = packed.prepare_as(form).matmul(x.view()).unwrap();
        for (i, row) in product.rows().into_iter().enumerate() {
            assert!(if i == 3 { row.iter().all(|x| x.is_nan()) } else { row == arr1(&[70.0; 3]) }, "{form}, input {i}");
        }
    }
}
