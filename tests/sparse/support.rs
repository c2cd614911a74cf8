//! Weights without a pattern, and the exact products to compare with.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};
use num_traits::ToPrimitive;
use prune::Element;
use prune::sparse::{Form, Packed, Prepared, Scratch, Sum};

/// Numbers from -1 to 1 without a pattern.
pub fn noise(seed: usize) -> f64 {
    let mut x = (seed as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ x >> 31) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// Returns a weight of which about this fraction is kept: all of it for 1.0, and nothing for 0.0.
pub fn weight<A: Element>(rows: usize, columns: usize, density: f64, seed: usize) -> Array2<A> {
    weight_in_blocks(1, rows, columns, density, seed)
}

/// The same, kept and pruned in blocks of so many rows and one column.
pub fn weight_in_blocks<A: Element>(block: usize, rows: usize, columns: usize, density: f64, seed: usize) -> Array2<A> {
    Array2::from_shape_fn((rows, columns), |(i, j)| {
        let position = |row: usize| seed + row * columns + j;
        let x = num_traits::cast(noise(2 * position(i))).unwrap();
        if noise(2 * position(i / block) + 1).abs() < density { x } else { A::zero() }
    })
}

/// Returns inputs, one in each row.
pub fn inputs<A: Element>(batch: usize, columns: usize, seed: usize) -> Array2<Sum<A>> {
    Array2::from_shape_fn((batch, columns), |(i, j)| num_traits::cast(noise(seed + 7 * (i * columns + j))).unwrap())
}

/// Every way to compute `X W^T` with a packed weight.
pub fn products<A: Element>(packed: &Packed<A>, x: ArrayView2<'_, Sum<A>>) -> Vec<(String, Array2<Sum<A>>)> {
    let mut products = vec![("packed".to_owned(), packed.matmul(x).unwrap())];
    let chosen = packed.prepare(x.nrows());
    let forms = Form::ALL.into_iter().map(|form| packed.prepare_as(form)).chain([chosen]);
    let mut scratch = Scratch::default();
    for prepared in forms {
        products.push((prepared.form().to_string(), prepared.matmul(x).unwrap()));
        // Into columns in reverse, with what an earlier product has left in the scratch.
        let mut wide = Array2::from_elem((x.nrows(), 2 * packed.rows()), Sum::<A>::default());
        let (mut out, _) = wide.view_mut().split_at(ndarray::Axis(1), packed.rows());
        out.invert_axis(ndarray::Axis(1));
        prepared.matmul_into(x, out.view_mut(), &mut scratch).unwrap();
        products.push((format!("{} into a view", prepared.form()), out.to_owned()));
    }
    products
}

/// Asserts that a sum has the error that the documentation promises.
#[track_caller]
pub fn assert_close<A: Element>(name: &str, found: Sum<A>, weight: ArrayView1<'_, A>, x: ArrayView1<'_, Sum<A>>) {
    let pairs = || weight.iter().zip(x).filter(|(w, _)| !w.is_zero());
    let products = || pairs().map(|(w, x)| w.to_f64().unwrap() * x.to_f64().unwrap());
    let (exact, magnitude) = products().fold((0.0, 0.0), |(sum, size), product| (sum + product, size + product.abs()));
    let unit = if size_of::<Sum<A>>() == 8 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    let bound = products().count() as f64 * unit * magnitude;
    let found = found.to_f64().unwrap();
    assert!((found - exact).abs() <= bound, "{name}: {found}, expected {exact} within {bound:e}");
}

/// Asserts that all products are right.
#[track_caller]
pub fn assert_products<A: Element>(weight: &Array2<A>, packed: &Packed<A>, x: &Array2<Sum<A>>) {
    for (name, product) in products(packed, x.view()) {
        assert_eq!(product.dim(), (x.nrows(), weight.nrows()), "{name}");
        for ((input, row), &sum) in product.indexed_iter() {
            assert_close::<A>(&name, sum, weight.row(row), x.row(input));
        }
    }
    if let Some(x) = x.rows().into_iter().next() {
        let product: Array1<_> = packed.matvec(x).unwrap();
        product.iter().enumerate().for_each(|(row, &sum)| assert_close::<A>("matvec", sum, weight.row(row), x));
    }
}

/// All forms of a packed weight.
pub fn all_forms<A: Element>(packed: &Packed<A>) -> impl Iterator<Item = Prepared<A>> {
    Form::ALL.into_iter().map(|form| packed.prepare_as(form))
}
