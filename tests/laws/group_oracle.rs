//! Blocks and N:M groups by their definition: the group of each entry follows from its index alone.

use std::collections::BTreeMap;

use ndarray::IxDyn;
use num_traits::{Float, Zero};
use prune::{Amount, Norm};

use super::dtype::Dtype;
use super::oracle::{Tensor, lowest, magnitudes, units};

/// The flat indices of the entries of each tile, in row-major order of the first entries.
pub fn tiles(shape: &[usize], tile: &[usize]) -> Vec<Vec<usize>> {
    let mut tiles = BTreeMap::<Vec<usize>, Vec<usize>>::new();
    for (entry, index) in ndarray::indices(IxDyn(shape)).into_iter().enumerate() {
        let corner = ndarray::Dimension::slice(&index).iter().zip(tile).map(|(at, size)| at / size).collect();
        tiles.entry(corner).or_default().push(entry);
    }
    tiles.into_values().collect()
}

/// The sizes of a group along each axis: `m` along one of them.
pub fn along(shape: &[usize], dim: isize, m: usize) -> Option<Vec<usize>> {
    let ndim = shape.len() as i128;
    let axis = i128::from(dim as i64) + if dim < 0 { ndim } else { 0 };
    (0..ndim).contains(&axis).then(|| (0..ndim).map(|at| if at == axis { m } else { 1 }).collect())
}

/// The entries that an N:M pattern prunes: in all groups that have more than `n` remaining entries, or in an amount of them.
pub fn n_m<A: Dtype>(
    (n, m, dim): (usize, usize, isize),
    amount: Option<Amount>,
    tensor: Tensor<'_, A>,
) -> Option<Vec<usize>> {
    if n > m {
        return None;
    }
    let groups = tiles(tensor.shape, &along(tensor.shape, dim, m)?);
    let remains = |entry: &usize| tensor.remaining.is_none_or(|remaining| remaining[*entry]);
    let open: Vec<&Vec<usize>> =
        groups.iter().filter(|group| group.iter().filter(|entry| remains(entry)).count() > n).collect();
    let chosen: Vec<&Vec<usize>> = match amount {
        None => open,
        Some(amount) => {
            let means = means(tensor, open.iter().copied(), Norm::L(2.0));
            lowest(&means, f64::total_cmp, units(amount, open.len())?).into_iter().map(|at| open[at]).collect()
        }
    };
    let pruned = |group: &Vec<usize>| {
        let remaining: Vec<usize> = group.iter().copied().filter(remains).collect();
        let keys = magnitudes(remaining.iter().map(|&entry| &tensor.scores[entry]));
        let count = remaining.len() - n;
        lowest(&keys, f64::total_cmp, count).into_iter().map(|at| remaining[at]).collect::<Vec<_>>()
    };
    Some(chosen.into_iter().flat_map(pruned).collect())
}

/// The entries of the blocks with the lowest means.
pub fn blocks<A: Dtype>(block: &[usize], norm: Norm, amount: Amount, tensor: Tensor<'_, A>) -> Option<Vec<usize>> {
    if block.len() > tensor.shape.len() || block.contains(&0) {
        return None;
    }
    // Axes without a size are whole; a size of at least 1 can be divided by.
    let tile: Vec<usize> = (0..tensor.shape.len()).map(|axis| block.get(axis).copied().unwrap_or(usize::MAX)).collect();
    let remains = |entry: &usize| tensor.remaining.is_none_or(|remaining| remaining[*entry]);
    let open: Vec<Vec<usize>> =
        tiles(tensor.shape, &tile).into_iter().filter(|group| group.iter().any(remains)).collect();
    let means = means(tensor, open.iter(), norm);
    let count = units(amount, open.len())?;
    Some(lowest(&means, f64::total_cmp, count).into_iter().flat_map(|at| open[at].clone()).collect())
}

/// The mean of each group, added in row-major order; NaN is one and positive. Every accumulator is exact in `f64`.
fn means<'g, A: Dtype>(tensor: Tensor<'_, A>, groups: impl Iterator<Item = &'g Vec<usize>>, norm: Norm) -> Vec<f64> {
    let mean = |group: &Vec<usize>| {
        let magnitude = |&entry: &usize| match tensor.remaining {
            Some(remaining) if !remaining[entry] => A::Wide::zero(),
            Some(_) | None => tensor.scores[entry].wide().abs(),
        };
        let all: Vec<A::Wide> = group.iter().map(magnitude).collect();
        let size: A::Wide = num_traits::cast(group.len()).expect("floats have a nearest float");
        let mean = match norm {
            Norm::L(1.0) => all.iter().fold(A::Wide::zero(), |sum, &x| sum + x) / size,
            Norm::L(f64::INFINITY) if all.iter().any(|x| x.is_nan()) => A::Wide::nan(),
            Norm::L(f64::INFINITY) => all.iter().copied().fold(A::Wide::zero(), A::Wide::max),
            _ => all.iter().fold(A::Wide::zero(), |sum, &x| sum + x * x) / size,
        };
        let mean: f64 = num_traits::cast(mean).expect("f64 holds them");
        if mean.is_nan() { f64::NAN } else { mean }
    };
    groups.map(mean).collect()
}

/// The number of kept entries of each tile, and its size.
pub fn kept_in_tiles(mask: &[bool], shape: &[usize], tile: &[usize]) -> Vec<(usize, usize)> {
    let count = |group: Vec<usize>| (group.iter().filter(|&&entry| mask[entry]).count(), group.len());
    tiles(shape, tile).into_iter().map(count).collect()
}
