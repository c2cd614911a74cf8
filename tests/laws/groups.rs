//! Laws of patterns and blocks: every mask has the pattern, and what breaks it is found.

use ndarray::{Array2, arr2};
use proptest::prelude::*;
use prune::{Block, CustomFromMask, Describe, Mask, NM, Parameter, TieBreak, Units, Violation};

use super::dtype::{Dtype, for_each_dtype};
use super::group_oracle::{along, kept_in_tiles, tiles};
use super::inputs::{flags, shape, values};
use super::runner::check_law;

for_each_dtype!(a_pattern_keeps_what_it_says);

fn pattern() -> BoxedStrategy<(usize, usize, isize)> {
    (1_usize..7, 0_usize..7, -3_isize..3).prop_map(|(m, n, dim)| (n.min(m), m, dim)).boxed()
}

/// Every group keeps exactly `n` of its entries, or all of them if it has no more; no axis is an exception.
fn a_pattern_keeps_what_it_says<A: Dtype>() {
    check_law((shape(), values::<A>(), pattern()), |(shape, values, (n, m, dim))| {
        let Some(tile) = along(&shape, dim, m) else { return };
        let mut parameter = Parameter::new(values.array(&shape));
        let pattern = NM::new(n, m, dim).expect("n is at most m");
        parameter.prune(pattern).expect("the axis exists");
        let mask = parameter.mask().expect("it is pruned").clone();
        let kept: Vec<bool> = mask.iter().collect();
        for (kept, size) in kept_in_tiles(&kept, &shape, &tile) {
            assert_eq!(kept, n.min(size));
        }
        assert!(pattern.violations(&mask).expect("the axis exists").is_empty());
        parameter.prune(pattern).expect("the axis exists");
        assert_eq!(parameter.mask(), Some(&mask), "a pattern that holds prunes nothing");
    });
}

/// The index of an entry of a tensor.
fn index(mut entry: usize, shape: &[usize]) -> Vec<usize> {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|size| {
            let at = entry % size;
            entry /= size;
            at
        })
        .collect();
    index.reverse();
    index
}

#[test]
fn violations_are_the_groups_that_break_the_pattern() {
    check_law((shape(), flags(), pattern()), |(shape, flags, (n, m, dim))| {
        let Some(tile) = along(&shape, dim, m) else { return };
        let keep = flags.array(&shape);
        let (mask, kept): (_, Vec<bool>) = (Mask::from(keep.clone()), keep.iter().copied().collect());
        let counts = kept_in_tiles(&kept, &shape, &tile);
        let broken: Vec<Violation> = tiles(&shape, &tile)
            .iter()
            .zip(&counts)
            .filter(|(_, (kept, _))| *kept > n)
            .map(|(group, &(kept, _))| Violation { at: index(group[0], &shape), kept, allowed: n })
            .collect();
        let pattern = NM::new(n, m, dim).expect("n is at most m");
        let found = pattern.violations(&mask).expect("the axis exists");
        assert_eq!((found.count, found.groups), (broken.len(), counts.len()));
        assert_eq!(found.first, broken[..broken.len().min(16)]);
        let units = Units { all: counts.len(), left: broken.len() };
        assert_eq!(pattern.units(&shape, Some(&mask)).expect("the axis exists"), units);
    });
}

/// A mask is looked at in parts: groups of all of them are counted, and the first sixteen are listed.
#[test]
fn violations_are_found_in_every_part_of_a_mask() {
    let (rows, broken) = (30_000, [5, 4_999, 5_000].into_iter().chain(20_000..20_030).collect::<Vec<usize>>());
    let mask = Array2::from_shape_fn((rows, 4), |(row, column)| column < 2 || broken.contains(&row));
    let found = NM::new(2, 4, -1).expect("2 of 4").violations(&Mask::from(mask)).expect("the axis exists");
    assert_eq!((found.count, found.groups), (broken.len(), rows));
    let violation = |&row: &usize| Violation { at: vec![row, 0], kept: 4, allowed: 2 };
    assert_eq!(found.first, broken[..16].iter().map(violation).collect::<Vec<_>>());
}

#[test]
fn violations_are_the_blocks_that_are_pruned_in_part() {
    let inputs = (shape(), flags(), prop::collection::vec(1_usize..5, 0..4));
    check_law(inputs, |(shape, flags, block)| {
        let keep = flags.array(&shape);
        let mask = Mask::from(keep.clone());
        let method = Block::new(0.5, &block, 2).expect("no size is 0");
        if block.len() > shape.len() {
            assert!(method.violations(&mask).is_err() && method.units(&shape, Some(&mask)).is_err());
            return;
        }
        let tile: Vec<usize> = (0..shape.len()).map(|axis| block.get(axis).copied().unwrap_or(usize::MAX)).collect();
        let kept: Vec<bool> = keep.iter().copied().collect();
        let counts = kept_in_tiles(&kept, &shape, &tile);
        let broken: Vec<Violation> = tiles(&shape, &tile)
            .iter()
            .zip(&counts)
            .filter(|(_, (kept, size))| 0 < *kept && kept < size)
            .map(|(group, &(kept, _))| Violation { at: index(group[0], &shape), kept, allowed: 0 })
            .collect();
        let found = method.violations(&mask).expect("it has the axes");
        assert_eq!((found.count, found.groups), (broken.len(), counts.len()));
        assert_eq!(found.first, broken[..broken.len().min(16)]);
        let left = counts.iter().filter(|(kept, _)| *kept > 0).count();
        let units = Units { all: counts.len(), left };
        assert_eq!(method.units(&shape, Some(&mask)).expect("it has the axes"), units);
    });
}

/// A NaN ranks above infinity, wherever in a block it is.
#[test]
fn a_block_with_a_nan_is_pruned_last() {
    for norm in [1.0, 2.0, f64::INFINITY] {
        for row in [[f32::NAN, 1.0], [1.0, f32::NAN]] {
            let mut weight = Parameter::new(arr2(&[row, [5.0, f32::INFINITY]]));
            weight.prune(Block::new(1, &[1, 2], norm).expect("a norm of blocks")).expect("there are two");
            assert_eq!(weight.mask(), Some(&Mask::from(arr2(&[[true, true], [false, false]]))), "{norm} {row:?}");
        }
    }
}

/// Of equal blocks, those are pruned that would be pruned if the blocks without a remaining entry were not there.
#[test]
fn pruned_blocks_have_no_place_in_the_order_of_equals() {
    let inputs = (prop::collection::vec(any::<bool>(), 1..40), 0_usize..40, prop::bool::ANY);
    check_law(inputs, |(remain, count, pytorch)| {
        let left = remain.iter().filter(|&&remains| remains).count();
        let ties = if pytorch { TieBreak::PyTorch } else { TieBreak::LowestIndex };
        let method = Block::new(count.min(left), &[1, 2], 1.0).expect("a norm of blocks").tie_break(ties);
        let mut alone = Parameter::new(Array2::<f32>::ones((left, 2)));
        alone.prune(method.clone()).expect("there are as many");
        let mut weight = Parameter::new(Array2::<f32>::ones((remain.len(), 2)));
        let before = Array2::from_shape_fn((remain.len(), 2), |(row, _)| remain[row]);
        weight.prune(CustomFromMask::new(before.into_dyn())).expect("it fits");
        weight.prune(method).expect("there are as many");
        let rows: Vec<bool> = weight.mask().expect("it is pruned").iter().step_by(2).collect();
        let of_remaining: Vec<bool> =
            rows.iter().zip(&remain).filter(|(_, remains)| **remains).map(|(&kept, _)| kept).collect();
        assert_eq!(of_remaining, alone.mask().expect("it is pruned").iter().step_by(2).collect::<Vec<_>>());
    });
}
