//! The inner loops of products: rows of kept values times a tile of inputs.
//!
//! A *tile* holds up to 32 inputs side by side: `tile[column][input]`. A kept value is one broadcast, and is multiplied with the
//! neighbouring entries of its column. The columns are cut into *panels*, so that the part of the tile that a panel meets stays
//! in the first-level cache of a core.

use crate::element::Element;
use crate::element::accumulator::Accumulator;
use crate::sparse::Sum;

/// The rows of a block, the unit of work of a thread: few enough that their sums stay in the cache.
pub(super) const BLOCK_ROWS: usize = 128;

/// The neighbouring rows whose values of a column are stored together if all of them keep it.
pub(super) const COLUMN_ROWS: usize = 4;

/// The largest panel, in columns.
pub(super) const MAX_PANEL: usize = 1024;

/// The index of a column within its panel.
pub(super) trait Index: Copy + Send + Sync + 'static {
    /// The columns that an index can name.
    const WINDOW: usize;
    /// As many columns of a tile.
    type Window<T: 'static>: ?Sized;

    /// Returns the window that begins with the first of these columns, of which there are at least `WINDOW`.
    fn window<T>(columns: &[T]) -> &Self::Window<T>;
    /// Returns a column. No bounds are checked, because no index is outside.
    fn of<T>(self, window: &Self::Window<T>) -> &T;
    /// Returns the index of a column, which is below `WINDOW`.
    fn new(column: usize) -> Self;
}

macro_rules! index {
    ($index:ident, $window:expr) => {
        impl Index for $index {
            const WINDOW: usize = $window;
            type Window<T: 'static> = [T; $window];

            #[inline(always)]
            fn window<T>(columns: &[T]) -> &[T; $window] {
                columns.first_chunk().expect("a tile is padded to whole windows")
            }
            #[inline(always)]
            fn of<T>(self, window: &[T; $window]) -> &T {
                &window[usize::from(self) % $window]
            }
            #[inline(always)]
            fn new(column: usize) -> Self {
                column as $index
            }
        }
    };
}
index!(u8, 256);
index!(u16, MAX_PANEL);

/// Adds the product of some whole columns of four neighbouring rows. Each entry of the tile is loaded once for all four.
#[inline(always)]
pub(super) fn add_columns<A: Element, I: Index, const WIDTH: usize, const FUSED: bool>(
    indices: &[I],
    values: &[[A; COLUMN_ROWS]],
    window: &I::Window<[Sum<A>; WIDTH]>,
    sums: &mut [[Sum<A>; WIDTH]; COLUMN_ROWS],
) {
    // About eight vectors of sums hide the latency of an addition, and leave registers for the rest.
    match WIDTH {
        1 => unrolled_columns::<A, I, WIDTH, WIDTH, 8, FUSED>(indices, values, window, 0, sums),
        4 | 8 => unrolled_columns::<A, I, WIDTH, WIDTH, 2, FUSED>(indices, values, window, 0, sums),
        16 | 24 => unrolled_columns::<A, I, WIDTH, WIDTH, 1, FUSED>(indices, values, window, 0, sums),
        _ => {
            for first in (0..WIDTH).step_by(16) {
                unrolled_columns::<A, I, WIDTH, 16, 1, FUSED>(indices, values, window, first, sums);
            }
        }
    }
}

/// Adds to `LANES` of the sums of each row, those from `first` on.
#[inline(always)]
#[allow(
    clippy::needless_range_loop,
    reason = "loops over numbers of a known count become vector instructions for certain"
)]
fn unrolled_columns<
    A: Element,
    I: Index,
    const WIDTH: usize,
    const LANES: usize,
    const SUMS: usize,
    const FUSED: bool,
>(
    indices: &[I],
    values: &[[A; COLUMN_ROWS]],
    window: &I::Window<[Sum<A>; WIDTH]>,
    first: usize,
    sums: &mut [[Sum<A>; WIDTH]; COLUMN_ROWS],
) {
    let lanes = |entries: &[Sum<A>; WIDTH]| *entries[first..].first_chunk::<LANES>().expect("lanes are within a tile");
    let mut parts = [[[Sum::<A>::default(); LANES]; COLUMN_ROWS]; SUMS];
    parts[0] = std::array::from_fn(|row| lanes(&sums[row]));
    let ((indices, last_indices), (values, last_values)) = (indices.as_chunks::<SUMS>(), values.as_chunks::<SUMS>());
    for (indices, values) in indices.iter().zip(values) {
        for i in 0..SUMS {
            add_column::<A, LANES, FUSED>(&values[i], lanes(indices[i].of(window)), &mut parts[i]);
        }
    }
    for (index, values) in last_indices.iter().zip(last_values) {
        add_column::<A, LANES, FUSED>(values, lanes(index.of(window)), &mut parts[0]);
    }
    for row in 0..COLUMN_ROWS {
        for j in 0..LANES {
            sums[row][first + j] = parts[1..].iter().fold(parts[0][row][j], |sum, part| sum + part[row][j]);
        }
    }
}

/// Adds the product of one column of four rows.
#[inline(always)]
#[allow(
    clippy::needless_range_loop,
    reason = "loops over numbers of a known count become vector instructions for certain"
)]
fn add_column<A: Element, const LANES: usize, const FUSED: bool>(
    values: &[A; COLUMN_ROWS],
    column: [Sum<A>; LANES],
    sums: &mut [[Sum<A>; LANES]; COLUMN_ROWS],
) {
    let mut buffer = [Sum::<A>::default(); COLUMN_ROWS];
    let values = A::widen_all(values, &mut buffer);
    for row in 0..COLUMN_ROWS {
        for j in 0..LANES {
            sums[row][j] = sums[row][j].add_product::<FUSED>(values[row], column[j]);
        }
    }
}

/// Adds the product of the kept values of one row in one panel.
#[inline(always)]
pub(super) fn add_segment<A: Element, I: Index, const WIDTH: usize, const FUSED: bool>(
    indices: &[I],
    values: &[A],
    window: &I::Window<[Sum<A>; WIDTH]>,
    sum: &mut [Sum<A>; WIDTH],
) {
    // As many independent sums as hide the latency of an addition. Each is of a few vector registers.
    match WIDTH {
        1 | 4 | 8 => unrolled::<A, I, WIDTH, 8, FUSED>(indices, values, window, sum),
        16 | 24 => unrolled::<A, I, WIDTH, 4, FUSED>(indices, values, window, sum),
        _ => unrolled::<A, I, WIDTH, 2, FUSED>(indices, values, window, sum),
    }
}

#[inline(always)]
#[allow(
    clippy::needless_range_loop,
    reason = "loops over numbers of a known count become vector instructions for certain"
)]
fn unrolled<A: Element, I: Index, const WIDTH: usize, const SUMS: usize, const FUSED: bool>(
    indices: &[I],
    values: &[A],
    window: &I::Window<[Sum<A>; WIDTH]>,
    sum: &mut [Sum<A>; WIDTH],
) {
    let mut sums = [[Sum::<A>::default(); WIDTH]; SUMS];
    sums[0] = *sum;
    let ((indices, last_indices), (values, last_values)) = (indices.as_chunks::<SUMS>(), values.as_chunks::<SUMS>());
    for (indices, values) in indices.iter().zip(values) {
        let mut buffer = [Sum::<A>::default(); SUMS];
        let values = A::widen_all(values, &mut buffer);
        for i in 0..SUMS {
            let column = indices[i].of(window);
            for j in 0..WIDTH {
                sums[i][j] = sums[i][j].add_product::<FUSED>(values[i], column[j]);
            }
        }
    }
    let mut buffer = [Sum::<A>::default(); SUMS];
    let last_values = A::widen_all(last_values, &mut buffer);
    for (index, &value) in last_indices.iter().zip(last_values) {
        let column = index.of(window);
        for j in 0..WIDTH {
            sums[0][j] = sums[0][j].add_product::<FUSED>(value, column[j]);
        }
    }
    let (total, others) = sums.split_first_mut().expect("there is at least one sum");
    for other in others {
        for j in 0..WIDTH {
            total[j] = total[j] + other[j];
        }
    }
    *sum = *total;
}
