//! [`Dense`]: the product of all entries, for weights that are not sparse enough.

use ndarray::linalg::{general_mat_mul, general_mat_vec_mul};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};

use crate::element::Element;
use crate::sparse::Sum;
use crate::sparse::packed::Packed;
use crate::sparse::product::{Inputs, Scratch};
use crate::tensor::parallel;

/// The rows of a block. The results do not depend on it, and a product packs its inputs for each block.
const BLOCK_ROWS: usize = 512;
/// The rows of half precision that are widened at a time.
const WIDE_ROWS: usize = 32;

/// All entries of a weight.
#[derive(Clone)]
pub(super) struct Dense<A> {
    pub(super) weight: Array2<A>,
}

impl<A: Element> Dense<A> {
    pub(super) fn new(packed: &Packed<A>) -> Self {
        let mut weight = Array2::from_elem((packed.rows, packed.columns), A::zero());
        if packed.columns > 0 {
            for (row, mut entries) in weight.rows_mut().into_iter().enumerate() {
                packed.unpack_row(row, entries.as_slice_mut().unwrap_or_default());
            }
        }
        Self { weight }
    }

    pub(super) fn bytes(&self) -> usize {
        self.weight.len() * size_of::<A>()
    }

    /// Writes the products with inputs that are made when they are needed.
    pub(super) fn multiply_inputs(
        &self,
        inputs: &impl Inputs<Sum<A>>,
        mut out: ArrayViewMut2<'_, Sum<A>>,
        scratch: &mut Scratch<Sum<A>>,
    ) {
        const WIDTH: usize = 32;
        let columns = self.weight.ncols();
        let (tile, _) = scratch.tiles(columns * WIDTH).as_chunks_mut::<WIDTH>();
        for (number, out) in out.axis_chunks_iter_mut(Axis(0), WIDTH).enumerate() {
            inputs.fill(number * WIDTH, tile);
            let Ok(x) = ArrayView2::from_shape((columns, WIDTH), tile.as_flattened()) else {
                unreachable!("a tile has a column for each of the weight")
            };
            self.multiply(&x.t().split_at(Axis(0), out.nrows()).0, out);
        }
    }

    /// Writes `X W^T`.
    pub(super) fn multiply(&self, x: &ArrayView2<'_, Sum<A>>, mut out: ArrayViewMut2<'_, Sum<A>>) {
        let work = self.weight.len().saturating_mul(x.nrows());
        let blocks = self.weight.axis_chunks_iter(Axis(0), BLOCK_ROWS);
        let jobs = blocks.zip(out.axis_chunks_iter_mut(Axis(1), BLOCK_ROWS)).collect();
        parallel::for_each(jobs, work, |(weight, mut out): (ArrayView2<'_, A>, ArrayViewMut2<'_, Sum<A>>)| {
            if size_of::<A>() == size_of::<Sum<A>>() {
                return multiply_block(weight, x, out);
            }
            let parts = weight.axis_chunks_iter(Axis(0), WIDE_ROWS);
            for (weight, out) in parts.zip(out.axis_chunks_iter_mut(Axis(1), WIDE_ROWS)) {
                multiply_block(weight, x, out);
            }
        });
    }
}

fn multiply_block<A: Element>(
    weight: ArrayView2<'_, A>,
    x: &ArrayView2<'_, Sum<A>>,
    mut out: ArrayViewMut2<'_, Sum<A>>,
) {
    let (zero, one) = (num_traits::zero(), num_traits::one());
    let mut buffer = Vec::new();
    if size_of::<A>() != size_of::<Sum<A>>() {
        buffer.resize(weight.len(), zero);
    }
    let wide = A::widen_all(weight.to_slice().unwrap_or_default(), &mut buffer);
    let Ok(wide) = ArrayView2::from_shape(weight.dim(), wide) else {
        unreachable!("a block has the rows and columns of its part of the weight")
    };
    if x.nrows() == 1 {
        // The product of matrices would copy the weight first.
        general_mat_vec_mul(one, &wide, &x.row(0), zero, &mut out.row_mut(0));
    } else {
        general_mat_mul(one, x, &wide.t(), zero, &mut out);
    }
}
