//! Parts of matrices. The macro `s!` of `ndarray` cannot be used in a crate that forbids unsafe code.

use std::ops::Range;

use ndarray::{ArrayView1, ArrayView2, ArrayViewMut2, Axis};

/// The entries of these rows and columns.
pub(crate) fn part<T>(matrix: ArrayView2<'_, T>, rows: Range<usize>, columns: Range<usize>) -> ArrayView2<'_, T> {
    let matrix = matrix.split_at(Axis(0), rows.end).0.split_at(Axis(0), rows.start).1;
    matrix.split_at(Axis(1), columns.end).0.split_at(Axis(1), columns.start).1
}

/// The entries of these rows and columns, mutably.
pub(crate) fn part_mut<T>(
    matrix: ArrayViewMut2<'_, T>,
    rows: Range<usize>,
    columns: Range<usize>,
) -> ArrayViewMut2<'_, T> {
    let matrix = matrix.split_at(Axis(0), rows.end).0.split_at(Axis(0), rows.start).1;
    matrix.split_at(Axis(1), columns.end).0.split_at(Axis(1), columns.start).1
}

/// The entries from an index on.
pub(crate) fn from<T>(line: ArrayView1<'_, T>, start: usize) -> ArrayView1<'_, T> {
    line.split_at(Axis(0), start).1
}
