//! Products of every form, type, shape and batch, against sums in `f64`.

use half::{bf16, f16};
use ndarray::{Array2, Axis, Slice, arr1};
use proptest::prelude::*;
use prune::Element;
use prune::sparse::{Form, Packed, PackedLinear, Reason, Scratch, SparseError};

use super::support::{all_forms, assert_products, inputs, products, weight, weight_in_blocks};
use crate::laws::runner::check_law;

fn check<A: Element>(rows: usize, columns: usize, batch: usize, density: f64, seed: usize) {
    // Six rows are a block of four neighbours, and two that are not.
    let dense = weight_in_blocks::<A>([1, 4, 6][seed % 3], rows, columns, density, seed);
    assert_products(&dense, &Packed::from_array(&dense), &inputs::<A>(batch, columns, seed));
}

#[test]
fn products_are_within_the_bound() {
    let columns = prop_oneof![0_usize..70, 120_usize..140, 250_usize..265, 1020_usize..1030];
    let density = prop_oneof![Just(0.0), Just(1.0), 0.0..1.0];
    check_law((0_usize..10, columns, 0_usize..12, density, 0..1000_usize), |(rows, columns, batch, density, seed)| {
        match seed % 4 {
            0 => check::<f32>(rows, columns, batch, density, seed),
            1 => check::<f64>(rows, columns, batch, density, seed),
            2 => check::<f16>(rows, columns, batch, density, seed),
            _ => check::<bf16>(rows, columns, batch, density, seed),
        }
    });
}

/// Several blocks of rows, the last one with fewer; several panels; every width of a tile, and groups of tiles.
#[test]
fn blocks_panels_and_tiles() {
    for batch in [1, 2, 5, 9, 17, 31, 33, 64] {
        check::<f32>(131, 600, batch, 0.1, batch);
        check::<f64>(131, 300, batch, 0.1, batch);
    }
    check::<bf16>(300, 2100, 3, 0.05, 4);
    check::<f32>(3, 40, 600, 0.5, 5);
}

/// The values, a byte for the column of four, and two bytes for each four rows and each row of a panel.
#[test]
fn blocks_share_the_index_of_their_column() {
    let packed = Packed::from_array(&weight_in_blocks::<f32>(4, 130, 300, 0.5, 3));
    let (in_blocks, kept) =
        (Packed::from_array(&packed.to_dense().slice_axis(Axis(0), (..128).into())).kept(), packed.kept());
    let lens = 2 * 2 * (128 / 4 + 130);
    assert_eq!(packed.prepare_as(Form::Blocks).bytes(), 4 * kept + in_blocks / 4 + (kept - in_blocks) + lens);
}

/// Other layouts of the inputs: transposed, reversed, with gaps between rows, and between the entries of a row.
#[test]
fn inputs_of_any_layout() {
    let dense = weight::<f32>(20, 33, 0.4, 6);
    let packed = Packed::from_array(&dense);
    let standard = inputs::<f32>(6, 33, 7);
    let expected = products(&packed, standard.view());
    let transposed = standard.t().as_standard_layout().into_owned().reversed_axes();
    let mut reversed = standard.clone();
    reversed.invert_axis(Axis(0));
    let mut reversed = reversed.as_standard_layout().into_owned();
    reversed.invert_axis(Axis(0));
    let wide = ndarray::concatenate(Axis(1), &[standard.view(), standard.view()]).unwrap();
    let (gaps, _) = wide.view().split_at(Axis(1), 33);
    let spread = Array2::from_shape_fn((6, 66), |(i, j)| if j % 2 == 0 { standard[[i, j / 2]] } else { f32::NAN });
    let spread = spread.slice_axis(Axis(1), Slice::new(0, None, 2));
    for x in [transposed.view(), reversed.view(), gaps, spread] {
        for ((name, found), (_, expected)) in products(&packed, x).iter().zip(&expected) {
            if name.starts_with("dense") {
                assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{name}");
            } else {
                assert_eq!(found, expected, "{name}");
            }
        }
    }
}

#[cfg(feature = "rayon")]
#[test]
fn threads_do_not_change_the_results() {
    fn run<A: Element>(threads: usize, batch: usize) -> Vec<(String, Array2<prune::sparse::Sum<A>>)> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let packed = Packed::from_array(&weight::<A>(600, 500, 0.3, 8));
            products(&packed, inputs::<A>(batch, 500, 9).view())
        })
    }
    for batch in [1, 7, 33] {
        for threads in [2, 3] {
            assert_eq!(run::<f32>(threads, batch), run::<f32>(1, batch), "{threads} threads");
            assert_eq!(run::<bf16>(threads, batch), run::<bf16>(1, batch), "{threads} threads");
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let packed = Packed::from_array(&weight::<f32>(4, 6, 0.5, 0));
    let wrong = SparseError::InputColumns { expected: 6, found: 5 };
    assert_eq!(packed.matvec(arr1(&[1.0; 5]).view()), Err(wrong.clone()));
    assert_eq!(packed.matmul(Array2::zeros((2, 5)).view()), Err(wrong.clone()));
    for prepared in all_forms(&packed) {
        assert_eq!(prepared.matmul(Array2::zeros((2, 5)).view()), Err(wrong.clone()));
        let mut out = Array2::from_elem((2, 3), 7.0);
        let result = prepared.matmul_into(Array2::zeros((2, 6)).view(), out.view_mut(), &mut Scratch::default());
        assert_eq!(result, Err(SparseError::OutputShape { expected: [2, 4], found: [2, 3] }));
        assert!(out.iter().all(|&x| x == 7.0));
    }
}

#[test]
fn layers_add_their_bias() {
    let dense = weight::<f32>(5, 9, 0.5, 1);
    let x = inputs::<f32>(3, 9, 2);
    for prepared in all_forms(&Packed::from_array(&dense)) {
        let product = prepared.matmul(x.view()).unwrap();
        let bias = arr1(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let wrong = PackedLinear::new(prepared.clone(), Some(arr1(&[1.0]))).unwrap_err();
        assert_eq!(wrong, SparseError::BiasLength { expected: 5, found: 1 });
        let layer = PackedLinear::new(prepared.clone(), Some(bias.clone())).unwrap();
        assert_eq!(layer.forward(x.view()).unwrap(), &product + &bias);
        assert_eq!(layer.bytes(), prepared.bytes() + 20);
        let layer = PackedLinear::new(prepared, None).unwrap();
        assert_eq!(layer.forward(x.view()).unwrap(), product);
    }
}

/// Dense above the break-even, sparse below it, and the reason says so.
#[test]
fn the_form_follows_density_and_batch() {
    for batch in [0, 1, 4, 5, 16, 1000] {
        let full = Packed::from_array(&weight::<f32>(64, 64, 1.0, 0)).prepare(batch);
        assert_eq!(full.form(), Form::Dense);
        let sparse = Packed::from_array(&weight::<f32>(64, 64, 0.02, 0)).prepare(batch);
        assert_ne!(sparse.form(), Form::Dense);
        for choice in [full.choice(), sparse.choice()] {
            let Reason::Density { batch: asked, break_even } = choice.reason else { panic!("{choice:?}") };
            assert_eq!((asked, choice.density > break_even), (batch, choice.form == Form::Dense), "{choice}");
        }
    }
    // Blocks of four rows are found in whatever pattern consists of them, and in no other.
    for (block, form) in [(4, Form::Blocks), (16, Form::Blocks), (2, Form::Rows128), (1, Form::Rows128)] {
        let packed = Packed::from_array(&weight_in_blocks::<f32>(block, 64, 300, 0.5, 0));
        assert_eq!(packed.prepare(32).form(), form, "blocks of {block}");
    }
    // At the break-even of 0.3 itself, it is sparse.
    let three_of_ten = arr1(&[1.0_f32, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_ne!(Packed::from_array(&three_of_ten).prepare(1).form(), Form::Dense);
    let given = Packed::from_array(&weight::<f32>(64, 64, 1.0, 0)).prepare_as(Form::Bitmask);
    assert_eq!(given.choice().to_string(), "bit mask: as requested");
}
