//! The factor of an inverse: `H = R Rᵀ` with `R` upper triangular, and `U = R⁻¹`, so that `H⁻¹ = Uᵀ U`.
//!
//! `U` is the upper Cholesky factor of the inverse, which SparseGPT needs. Eliminating from the last column to the first gives it
//! without inverting first, in one buffer. Almost all of the work is matrix products, one for each strip of rows, so the result
//! does not depend on threads.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis};

use crate::calibration::part::{from, part, part_mut};
use crate::tensor::parallel;

/// The columns that are factored at a time.
const BLOCK: usize = 64;
/// The rows that are one job.
pub(crate) const STRIP: usize = 128;

/// A matrix that is not positive definite to the precision of `f64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotPositiveDefinite;

/// Replaces a symmetric matrix, of which the upper triangle is read, by `U`. Below the diagonal are zeros then.
pub(crate) fn invert_factor(h: &mut Array2<f64>) -> Result<(), NotPositiveDefinite> {
    factor(h)?;
    invert(h);
    Ok(())
}

/// Replaces a symmetric matrix, of which the upper triangle is read, by its inverse.
pub(crate) fn invert_symmetric(h: &mut Array2<f64>) -> Result<(), NotPositiveDefinite> {
    invert_factor(h)?;
    let size = h.nrows();
    // Row `i` of `Uᵀ` ends at the diagonal, so a strip needs no row of `U` below it, and the last one is replaced first.
    for start in (0..size).step_by(STRIP).rev() {
        let end = (start + STRIP).min(size);
        let left = part(h.view(), 0..end, start..end).to_owned();
        let mut strip = Array2::zeros((size - start, end - start));
        let work = strip.len() * end;
        for_strips(strip.view_mut(), work, |row, strip| {
            let columns = start + row..start + row + strip.nrows();
            multiply(1.0, part(h.view(), 0..end, columns).t(), left.view(), strip);
        });
        part_mut(h.view_mut(), start..size, start..end).assign(&strip);
        part_mut(h.view_mut(), start..end, start..size).assign(&strip.t());
    }
    Ok(())
}

/// Replaces `b` by the solution of `h x = b`, and `h`, a symmetric matrix of which the upper triangle is read, by `R`.
pub(crate) fn solve(h: &mut Array2<f64>, b: &mut Array1<f64>) -> Result<(), NotPositiveDefinite> {
    factor(h)?;
    for i in (0..b.len()).rev() {
        let rest = from(h.row(i), i + 1).dot(&from(b.view(), i + 1));
        b[i] = (b[i] - rest) / h[[i, i]];
    }
    for i in 0..b.len() {
        let x = b[i] / h[[i, i]];
        b[i] = x;
        b.view_mut().split_at(Axis(0), i + 1).1.scaled_add(-x, &from(h.row(i), i + 1));
    }
    Ok(())
}

/// Replaces the upper triangle by `R`, and all entries below it by zeros.
fn factor(h: &mut Array2<f64>) -> Result<(), NotPositiveDefinite> {
    let size = h.nrows();
    let smallest: Array1<f64> = h.diag().mapv(|entry| entry * f64::EPSILON * size as f64);
    for start in (0..size).step_by(BLOCK).rev() {
        let end = (start + BLOCK).min(size);
        let mut corner = part(h.view(), start..end, start..end).to_owned();
        factor_corner(&mut corner, &smallest.as_slice().unwrap_or_default()[start..end])?;
        part_mut(h.view_mut(), start..end, start..end).assign(&corner);
        part_mut(h.view_mut(), start..end, 0..start).fill(0.0);
        invert_corner(&mut corner);
        // The columns above the corner, times the inverse of the transposed corner.
        let above = part(h.view(), 0..start, start..end).dot(&corner.t());
        part_mut(h.view_mut(), 0..start, start..end).assign(&above);
        for_strips(part_mut(h.view_mut(), 0..start, 0..start), start * start * BLOCK, |row, strip| {
            let rows = part(above.view(), row..row + strip.nrows(), 0..above.ncols());
            let columns = part(above.view(), row..start, 0..above.ncols());
            multiply(-1.0, rows, columns.t(), strip.split_at(Axis(1), row).1);
        });
    }
    Ok(())
}

/// The factor of a small matrix.
fn factor_corner(h: &mut Array2<f64>, smallest: &[f64]) -> Result<(), NotPositiveDefinite> {
    for j in (0..h.nrows()).rev() {
        let column = from(h.row(j), j + 1).to_owned();
        let pivot = h[[j, j]] - column.dot(&column);
        if pivot <= smallest[j] || !pivot.is_finite() {
            return Err(NotPositiveDefinite);
        }
        let root = pivot.sqrt();
        h[[j, j]] = root;
        for i in 0..j {
            h[[i, j]] = (h[[i, j]] - from(h.row(i), j + 1).dot(&column)) / root;
            h[[j, i]] = 0.0;
        }
    }
    Ok(())
}

/// Replaces a small upper triangular matrix by its inverse.
fn invert_corner(r: &mut Array2<f64>) {
    for j in 0..r.nrows() {
        let pivot = 1.0 / r[[j, j]];
        let column = part(r.view(), 0..j, j..j + 1).column(0).to_owned();
        let above = part(r.view(), 0..j, 0..j).dot(&column) * -pivot;
        part_mut(r.view_mut(), 0..j, j..j + 1).column_mut(0).assign(&above);
        r[[j, j]] = pivot;
    }
}

/// Replaces an upper triangular matrix, with zeros below, by its inverse.
fn invert(r: &mut Array2<f64>) {
    let size = r.nrows();
    for start in (0..size).step_by(BLOCK) {
        let end = (start + BLOCK).min(size);
        let mut corner = part(r.view(), start..end, start..end).to_owned();
        invert_corner(&mut corner);
        let right = part(r.view(), 0..start, start..end).dot(&corner);
        part_mut(r.view_mut(), start..end, start..end).assign(&corner);
        let (done, rest) = part_mut(r.view_mut(), 0..start, 0..size).split_at(Axis(1), start);
        let column = rest.split_at(Axis(1), end - start).0;
        for_strips(column, start * start * BLOCK / 2, |row, mut strip| {
            // A row of what is inverted already begins at the diagonal.
            let rows = part(done.view(), row..row + strip.nrows(), row..start);
            strip.fill(0.0);
            multiply(-1.0, rows, part(right.view(), row..start, 0..right.ncols()), strip);
        });
    }
}

/// Calls `f` with the first row and the rows of every strip of a matrix.
pub(crate) fn for_strips(
    matrix: ArrayViewMut2<'_, f64>,
    work: usize,
    f: impl Fn(usize, ArrayViewMut2<'_, f64>) + Send + Sync,
) {
    let mut matrix = matrix;
    let strips = matrix.axis_chunks_iter_mut(Axis(0), STRIP).enumerate();
    let strips: Vec<_> = strips.map(|(number, strip)| (number * STRIP, strip)).collect();
    parallel::for_each(strips, work, |(start, strip)| f(start, strip));
}

/// Adds a product: `c += alpha * a b`.
pub(crate) fn multiply(alpha: f64, a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>, mut c: ArrayViewMut2<'_, f64>) {
    general_mat_mul(alpha, &a, &b, 1.0, &mut c);
}

/// Returns `a b`, one product for each strip of rows of `a`.
pub(crate) fn product(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Array2<f64> {
    let mut c = Array2::zeros((a.nrows(), b.ncols()));
    for_strips(c.view_mut(), a.len() * b.ncols(), |start, strip| {
        let rows = part(a, start..start + strip.nrows(), 0..a.ncols());
        multiply(1.0, rows, b, strip);
    });
    c
}

/// The rank of a symmetric matrix, by a Cholesky factorisation that takes the largest remaining pivot first.
pub(crate) fn rank(h: &Array2<f64>) -> usize {
    let size = h.nrows();
    let mut diagonal = h.diag().to_owned();
    let highest = diagonal.iter().copied().fold(0.0, f64::max);
    let mut factors: Array2<f64> = Array2::zeros((size, size));
    for step in 0..size {
        let Some((pivot, &value)) = diagonal.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)) else { return step };
        if value <= highest * f64::EPSILON * size as f64 {
            return step;
        }
        let mut row = h.row(pivot).to_owned();
        let done = part(factors.view(), 0..step, 0..size);
        let coefficients = done.column(pivot);
        row -= &coefficients.dot(&done);
        row /= value.sqrt();
        diagonal.zip_mut_with(&row, |rest, x| *rest -= x * x);
        diagonal[pivot] = f64::NEG_INFINITY;
        factors.row_mut(step).assign(&row);
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A positive definite matrix, of a size that is no multiple of a block or strip.
    fn gram(size: usize, rank: usize) -> Array2<f64> {
        let mut state = 1_u64;
        let x = Array2::from_shape_simple_fn((rank, size), || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
        });
        x.t().dot(&x)
    }

    #[test]
    fn the_factor_is_that_of_the_inverse() {
        for size in [0, 1, 2, 63, 64, 65, 130, 300] {
            let h = gram(size, 2 * size);
            let mut upper = h.clone();
            invert_factor(&mut upper).unwrap();
            for ((i, j), &entry) in upper.indexed_iter() {
                assert!(i <= j || entry == 0.0, "{size}: {i} {j}");
            }
            let identity = upper.t().dot(&upper).dot(&h);
            let worst = (&identity - &Array2::<f64>::eye(size)).iter().fold(0.0, |worst: f64, x| worst.max(x.abs()));
            assert!(worst < 1e-9, "{size}: {worst}");
            let x = Array1::from_iter((0..size).map(|i| (i % 7) as f64 - 3.0));
            let mut solved = h.dot(&x);
            solve(&mut h.clone(), &mut solved).unwrap();
            assert!((&solved - &x).iter().all(|difference| difference.abs() < 1e-8), "{size}");
            let mut inverse = h.clone();
            invert_symmetric(&mut inverse).unwrap();
            let worst =
                (&inverse.dot(&h) - &Array2::<f64>::eye(size)).iter().fold(0.0, |worst: f64, x| worst.max(x.abs()));
            assert!(worst < 1e-9, "{size}: {worst}");
        }
    }

    #[test]
    fn deficient_matrices_are_refused_and_their_rank_is_found() {
        for (size, of) in [(10, 3), (100, 70), (200, 199)] {
            let h = gram(size, of);
            assert_eq!(invert_factor(&mut h.clone()), Err(NotPositiveDefinite), "{size} {of}");
            assert_eq!(rank(&h), of, "{size} {of}");
        }
        let mut nan = gram(5, 9);
        nan[[2, 3]] = f64::NAN;
        assert_eq!(invert_factor(&mut nan), Err(NotPositiveDefinite));
    }
}
