//! Products: inputs are copied into tiles, and blocks of rows are multiplied with them on all cores.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, Slice};

use crate::element::Element;
use crate::sparse::kernel::{BLOCK_ROWS, MAX_PANEL};
use crate::sparse::{SparseError, Sum};
use crate::tensor::parallel;
use crate::tensor::simd::{self, Loop};

/// The bytes of a column of the widest tile: 32 inputs of `f32`, 16 of `f64`.
const WIDEST: usize = 128;

/// The bytes of a cache line.
const CACHE_LINE: usize = 64;

/// Inputs that are multiplied at once; more are done in groups, so that the tiles stay in a cache.
pub(super) const GROUP: usize = 512;

/// The columns of a tile that are filled at a time: at most 16 KB.
const FILLED: usize = 128;

/// Memory for products. It grows to the largest product, and is reused.
///
/// The type of a scratch is that of the sums: `f32`, or `f64` for weights of `f64`.
#[derive(Debug, Clone, Default)]
pub struct Scratch<T> {
    memory: Vec<T>,
}

impl<T: Copy + Default> Scratch<T> {
    /// Returns memory for tiles, with entries of any value. It begins with a cache line, because a vector that lies in two takes two
    /// loads: products with 32 inputs take a fifth less time than from memory as the allocator aligns it.
    pub(super) fn tiles(&mut self, len: usize) -> &mut [T] {
        let line = CACHE_LINE / size_of::<T>();
        if self.memory.len() < len + line {
            self.memory.resize(len + line, T::default());
        }
        let start = self.memory.as_ptr().align_offset(CACHE_LINE).min(line);
        &mut self.memory[start..][..len]
    }
}

/// A weight whose rows can be multiplied with tiles.
pub(super) trait Blocks: Sync {
    type Elem: Element;

    fn rows(&self) -> usize;
    fn columns(&self) -> usize;
    fn kept(&self) -> usize;
    /// Adds the products of a block of up to [`BLOCK_ROWS`] rows with a tile, which has at least [`MAX_PANEL`] columns more than
    /// the weight. Must be `#[inline(always)]`.
    fn add_block<const WIDTH: usize, const FUSED: bool>(
        &self,
        block: usize,
        tile: &[[SumOf<Self>; WIDTH]],
        sums: &mut [[SumOf<Self>; WIDTH]],
    );
}

/// The type of the sums of a weight.
pub(super) type SumOf<W> = Sum<<W as Blocks>::Elem>;

/// Inputs, whatever their layout.
pub(super) trait Inputs<T>: Sync {
    /// The number of inputs.
    fn len(&self) -> usize;
    /// Copies the inputs from `first` on into a tile. Positions that are not written are zero, or an earlier input.
    fn fill<const WIDTH: usize>(&self, first: usize, tile: &mut [[T; WIDTH]]);
}

/// Returns `W x`.
pub(super) fn matvec<W: Blocks>(weight: &W, x: ArrayView1<'_, SumOf<W>>) -> Result<Array1<SumOf<W>>, SparseError> {
    let product = matmul(weight, x.insert_axis(Axis(0)), &mut Scratch::default())?;
    Ok(product.index_axis_move(Axis(0), 0))
}

/// Returns `X W^T`.
pub(super) fn matmul<W: Blocks>(
    weight: &W,
    x: ArrayView2<'_, SumOf<W>>,
    scratch: &mut Scratch<SumOf<W>>,
) -> Result<Array2<SumOf<W>>, SparseError> {
    let mut product = Array2::zeros((x.nrows(), weight.rows()));
    matmul_into(weight, x, product.view_mut(), scratch)?;
    Ok(product)
}

/// Writes `X W^T`.
pub(super) fn matmul_into<W: Blocks>(
    weight: &W,
    x: ArrayView2<'_, SumOf<W>>,
    out: ArrayViewMut2<'_, SumOf<W>>,
    scratch: &mut Scratch<SumOf<W>>,
) -> Result<(), SparseError> {
    check(weight.rows(), weight.columns(), &x, &out)?;
    multiply(weight, &x, out, scratch);
    Ok(())
}

/// Returns an error unless the shapes fit a weight.
pub(super) fn check<T>(
    rows: usize,
    columns: usize,
    x: &ArrayView2<'_, T>,
    out: &ArrayViewMut2<'_, T>,
) -> Result<(), SparseError> {
    if x.ncols() != columns {
        return Err(SparseError::InputColumns { expected: columns, found: x.ncols() });
    }
    let (expected, found) = ([x.nrows(), rows], [out.nrows(), out.ncols()]);
    if expected == found { Ok(()) } else { Err(SparseError::OutputShape { expected, found }) }
}

/// Writes the products of a weight and some inputs: a row for each input.
pub(super) fn multiply<W: Blocks>(
    weight: &W,
    inputs: &impl Inputs<SumOf<W>>,
    mut out: ArrayViewMut2<'_, SumOf<W>>,
    scratch: &mut Scratch<SumOf<W>>,
) {
    if weight.columns() == 0 {
        out.fill(SumOf::<W>::default());
        return;
    }
    let mut first = 0;
    while first < inputs.len() {
        let group = (inputs.len() - first).min(GROUP);
        let widths = Widths::of(group, WIDEST / size_of::<SumOf<W>>());
        // The widest tiles of a group come first, and at most one narrower one follows.
        for (width, part) in [(widths.widest, widths.whole), (widths.last, widths.rest)] {
            if part == 0 {
                continue;
            }
            let out = out.slice_axis_mut(Axis(0), Slice::from(first..first + part));
            match width {
                1 => tiled::<W, 1>(weight, inputs, first, out, scratch),
                4 => tiled::<W, 4>(weight, inputs, first, out, scratch),
                8 => tiled::<W, 8>(weight, inputs, first, out, scratch),
                16 => tiled::<W, 16>(weight, inputs, first, out, scratch),
                24 => tiled::<W, 24>(weight, inputs, first, out, scratch),
                _ => tiled::<W, 32>(weight, inputs, first, out, scratch),
            }
            first += part;
        }
    }
}

/// The division of a group of inputs into tiles.
struct Widths {
    widest: usize,
    /// The inputs in tiles of the widest kind.
    whole: usize,
    /// The width of the last tile.
    last: usize,
    /// The inputs in it.
    rest: usize,
}

impl Widths {
    fn of(inputs: usize, widest: usize) -> Self {
        let narrow = |inputs| [1, 4, 8, 16, 24, 32].into_iter().find(|&width| inputs <= width).unwrap_or(widest);
        let rest = inputs % widest;
        // A tile that is nearly full is not slower for its empty places.
        match narrow(rest) {
            last if rest == 0 || last >= widest => Self { widest, whole: inputs, last, rest: 0 },
            last => Self { widest, whole: inputs - rest, last, rest },
        }
    }
}

/// Multiplies blocks of rows with tiles of one width, each block on one thread.
fn tiled<W: Blocks, const WIDTH: usize>(
    weight: &W,
    inputs: &impl Inputs<SumOf<W>>,
    first: usize,
    mut out: ArrayViewMut2<'_, SumOf<W>>,
    scratch: &mut Scratch<SumOf<W>>,
) {
    let columns = weight.columns() + MAX_PANEL;
    let tiles = out.nrows().div_ceil(WIDTH);
    let work = weight.kept().saturating_mul(out.nrows());
    let tiles = scratch.tiles(tiles * columns * WIDTH);
    let (tile_columns, _) = tiles.as_chunks_mut::<WIDTH>();
    let jobs = tile_columns.chunks_mut(columns).enumerate().collect();
    parallel::for_each(jobs, work, |(number, tile): (usize, &mut [[SumOf<W>; WIDTH]])| {
        inputs.fill(first + number * WIDTH, &mut tile[..weight.columns()]);
    });

    let (tile_columns, _) = tiles.as_chunks::<WIDTH>();
    let jobs = out.axis_chunks_iter_mut(Axis(1), BLOCK_ROWS).enumerate().collect();
    parallel::for_each(jobs, work, |(block, mut out): (usize, ArrayViewMut2<'_, SumOf<W>>)| {
        let rows = out.ncols();
        for (tile, mut out) in tile_columns.chunks(columns).zip(out.axis_chunks_iter_mut(Axis(0), WIDTH)) {
            let mut sums = [[SumOf::<W>::default(); WIDTH]; BLOCK_ROWS];
            simd::run(AddBlock { weight, block, tile, sums: &mut sums[..rows] });
            scatter(&sums[..rows], &mut out);
        }
    });
}

/// The loop over the panels of a block.
struct AddBlock<'p, W: Blocks, const WIDTH: usize> {
    weight: &'p W,
    block: usize,
    tile: &'p [[SumOf<W>; WIDTH]],
    sums: &'p mut [[SumOf<W>; WIDTH]],
}

impl<W: Blocks, const WIDTH: usize> Loop for AddBlock<'_, W, WIDTH> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        self.weight.add_block::<WIDTH, FUSED>(self.block, self.tile, self.sums);
    }
}

/// Writes the sums of a block, one row for each input of the tile.
fn scatter<T: Copy, const WIDTH: usize>(sums: &[[T; WIDTH]], out: &mut ArrayViewMut2<'_, T>) {
    if out.strides()[0] == 1 {
        for (mut out, sums) in out.columns_mut().into_iter().zip(sums) {
            out.iter_mut().zip(sums).for_each(|(out, &sum)| *out = sum);
        }
        return;
    }
    for (input, mut out) in out.rows_mut().into_iter().enumerate() {
        match out.as_slice_mut() {
            Some(out) => out.iter_mut().zip(sums).for_each(|(out, sums)| *out = sums[input]),
            None => out.iter_mut().zip(sums).for_each(|(out, sums)| *out = sums[input]),
        }
    }
}

impl<T: Copy + Send + Sync> Inputs<T> for ArrayView2<'_, T> {
    fn len(&self) -> usize {
        self.nrows()
    }

    fn fill<const WIDTH: usize>(&self, first: usize, tile: &mut [[T; WIDTH]]) {
        let inputs = WIDTH.min(self.nrows() - first);
        let inputs = self.slice_axis(Axis(0), Slice::from(first..first + inputs));
        if inputs.strides()[0] == 1 {
            for (column, tile) in inputs.columns().into_iter().zip(tile) {
                tile.iter_mut().zip(column).for_each(|(tile, &x)| *tile = x);
            }
            return;
        }
        // Some columns at a time, so that their part of the tile stays in the first-level cache.
        for (tile, inputs) in tile.chunks_mut(FILLED).zip(inputs.axis_chunks_iter(Axis(1), FILLED)) {
            for (input, row) in inputs.rows().into_iter().enumerate() {
                match row.as_slice() {
                    Some(row) => tile.iter_mut().zip(row).for_each(|(tile, &x)| tile[input] = x),
                    None => tile.iter_mut().zip(row).for_each(|(tile, &x)| tile[input] = x),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_begin_with_a_cache_line() {
        let (mut singles, mut doubles) = (Scratch::<f32>::default(), Scratch::<f64>::default());
        for len in [0, 1, 32, 1000, 5, 40_000] {
            let (single, double) = (singles.tiles(len), doubles.tiles(len));
            assert_eq!((single.len(), double.len()), (len, len));
            assert!(
                single.as_ptr().addr().is_multiple_of(CACHE_LINE) && double.as_ptr().addr().is_multiple_of(CACHE_LINE)
            );
        }
    }
}
