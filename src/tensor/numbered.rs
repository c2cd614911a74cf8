//! Groups with numbers, for methods that choose whole groups: blocks, or the groups that a pattern is applied to.

use std::ops::Range;

use crate::tensor::chunk::{CHUNK, count_true};
use crate::tensor::groups::{Extent, Groups};

/// The groups of a tensor, numbered in row-major order of their first entries.
///
/// Entries are walked along lines. A line runs along the last of the axes, once neighbouring axes are joined that need not be
/// told apart: groups of neighbouring entries are cut from one line, the tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedGroups {
    /// The axes before that of the lines.
    outer: Vec<Extent>,
    line: Extent,
    /// The shortest run of neighbouring entries that consists of whole groups.
    stretch: usize,
}

/// Groups of which some are chosen.
#[derive(Debug, Clone)]
pub struct ChosenGroups {
    pub groups: NumberedGroups,
    /// `true` for the number of a group that is not chosen.
    pub spared: Vec<bool>,
}

/// Calls a loop with the runs of a length. It is compiled for the commonest lengths too: several runs of 2, 4 or 8 entries become
/// vectors, and those of 16 are unrolled.
macro_rules! with_length {
    ($size:expr, $entries:ident.$any:ident or $known:ident, |$runs:ident| $loop:expr) => {
        match $size {
            2 => with_length!(@known $entries.$known::<2>(), $runs, $loop),
            4 => with_length!(@known $entries.$known::<4>(), $runs, $loop),
            8 => with_length!(@known $entries.$known::<8>(), $runs, $loop),
            16 => with_length!(@known $entries.$known::<16>(), $runs, $loop),
            size => {
                let $runs = $entries.$any(size);
                $loop
            }
        }
    };
    (@known $chunks:expr, $runs:ident, $loop:expr) => {{
        let ($runs, _) = $chunks;
        $loop
    }};
}

impl NumberedGroups {
    pub fn new(groups: &Groups) -> Self {
        let mut axes: Vec<Extent> = Vec::new();
        for next in groups.extents() {
            match axes.last_mut() {
                // Groups take in this axis as a whole, so their entries go on behind its end.
                Some(last) if next.tile == next.len => {
                    *last = Extent { len: last.len * next.len, tile: last.tile * next.len };
                }
                // No group lies on both sides of the end of this axis.
                Some(last) if last.tile == 1 && next.len.is_multiple_of(next.tile) => {
                    *last = Extent { len: last.len * next.len, tile: next.tile };
                }
                Some(_) | None => axes.push(next),
            }
        }
        let line = axes.pop().unwrap_or(Extent { len: 1, tile: 1 });
        Self { outer: axes, line, stretch: groups.stretch() }
    }

    /// The number of groups.
    pub fn count(&self) -> usize {
        self.axes().map(|axis| axis.tiles()).product()
    }

    /// The number of entries.
    fn entries(&self) -> usize {
        self.axes().map(|axis| axis.len).product()
    }

    fn axes(&self) -> impl DoubleEndedIterator<Item = Extent> {
        self.outer.iter().copied().chain([self.line])
    }

    /// The number of entries of every group, if all have the same.
    pub fn equal_size(&self) -> Option<usize> {
        let are_equal = self.axes().all(|axis| axis.len.is_multiple_of(axis.tile));
        are_equal.then(|| self.axes().map(|axis| axis.tile).product())
    }

    /// The number of entries of each group of a range of numbers.
    pub fn sizes(&self, numbers: Range<usize>) -> Vec<usize> {
        if let Some(size) = self.equal_size() {
            return vec![size; numbers.len()];
        }
        let size = |number: usize| self.corner(number).map(|(axis, at)| axis.tile.min(axis.len - at)).product();
        numbers.map(size).collect()
    }

    /// The index of the first entry of a group, in row-major order.
    pub fn first_entry(&self, number: usize) -> usize {
        let mut stride = 1;
        let distance = |(axis, at): (Extent, usize)| {
            let distance = at * stride;
            stride *= axis.len;
            distance
        };
        self.corner(number).map(distance).sum()
    }

    /// The place of a group's first entry along each axis, the last axis first.
    fn corner(&self, mut number: usize) -> impl Iterator<Item = (Extent, usize)> {
        self.axes().rev().map(move |axis| {
            let at = number % axis.tiles() * axis.tile;
            number /= axis.tiles();
            (axis, at)
        })
    }

    /// Divides the tensor into parts that are whole groups, each of at least `entries` entries but for the last one.
    pub fn parts(&self, entries: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
        let (all, part) = (self.entries(), entries.max(1).next_multiple_of(self.stretch));
        (0..all.div_ceil(part)).map(move |number| number * part..((number + 1) * part).min(all))
    }

    /// [`parts`](Self::parts) for tensors in memory.
    pub fn chunks(&self) -> Vec<Range<usize>> {
        self.parts(CHUNK).collect()
    }

    /// The numbers of the groups of a [part](Self::parts).
    pub fn numbers(&self, part: Range<usize>) -> Range<usize> {
        let before = |offset: usize| {
            if offset == self.entries() { self.count() } else { self.number(offset) }
        };
        before(part.start)..before(part.end)
    }

    /// The number of the group of an entry.
    fn number(&self, offset: usize) -> usize {
        self.line_start(offset / self.line.len) + offset % self.line.len / self.line.tile
    }

    /// The number of the group of the first entry of a line.
    fn line_start(&self, mut line: usize) -> usize {
        let (mut number, mut step) = (0, self.line.tiles());
        for axis in self.outer.iter().rev() {
            number += line % axis.len / axis.tile * step;
            step *= axis.tiles();
            line /= axis.len;
        }
        number
    }

    /// Calls `f` with every line of `len` entries from `offset` on: its range among them, the number of the group of the
    /// line's first entry, and the place of the range in the line.
    fn for_each_line(&self, offset: usize, len: usize, mut f: impl FnMut(Range<usize>, usize, usize)) {
        let mut start = 0;
        while start < len {
            let (line, place) = ((offset + start) / self.line.len, (offset + start) % self.line.len);
            let end = (start + self.line.len - place).min(len);
            f(start..end, self.line_start(line), place);
            start = end;
        }
    }

    /// Calls `f` with the runs of neighbours of one group among `len` entries from `offset` on, all that are neighbours and of
    /// one length at once: the number of the first group, the length of a run, and the range of all runs.
    #[inline(always)]
    fn for_each_runs(&self, offset: usize, len: usize, mut f: impl FnMut(usize, usize, Range<usize>)) {
        let tile = self.line.tile;
        self.for_each_line(offset, len, |line, first, place| {
            // The rest of a group that begins before the line, whole groups, and the beginning of one.
            let head = ((tile - place % tile) % tile).min(line.len());
            let whole = (line.len() - head) / tile * tile;
            let tail = line.len() - head - whole;
            let (mut number, mut start) = (first + place / tile, line.start);
            for (size, len) in [(head, head), (tile, whole), (tail, tail)].into_iter().filter(|&(_, len)| len > 0) {
                f(number, size, start..start + len);
                (number, start) = (number + len / size, start + len);
            }
        });
    }

    /// Joins the entries of each group of a [part](Self::parts) of the tensor, in row-major order, to what is there: `results`
    /// has one for each group of the part.
    #[inline(always)]
    pub fn fold<T: Copy, R: Copy>(
        &self,
        part: Range<usize>,
        entries: &[T],
        results: &mut [R],
        step: impl Fn(R, T) -> R,
    ) {
        let numbers = self.numbers(part.clone());
        if self.line.tile == 1 {
            // The neighbours in a line belong to neighbouring groups.
            self.for_each_line(part.start, part.len(), |line, first, place| {
                let results = &mut results[first + place - numbers.start..];
                results.iter_mut().zip(&entries[line]).for_each(|(result, &entry)| *result = step(*result, entry));
            });
        } else {
            self.for_each_runs(part.start, part.len(), |number, size, runs| {
                let (entries, results) = (&entries[runs], &mut results[number - numbers.start..]);
                with_length!(size, entries.chunks_exact or as_chunks, |runs| {
                    for (result, run) in results.iter_mut().zip(runs) {
                        *result = run.iter().fold(*result, |result, &entry| step(result, entry));
                    }
                });
            });
        }
    }

    /// Returns whether each group of a [part](Self::parts) has more than `keep` remaining entries.
    pub fn open(&self, part: Range<usize>, remaining: Option<&[bool]>, keep: usize) -> Vec<bool> {
        self.remaining(part, remaining).into_iter().map(|remaining| remaining > keep).collect()
    }

    /// The number of groups of a [part](Self::parts) with more than `keep` remaining entries.
    pub fn count_open(&self, part: Range<usize>, remaining: Option<&[bool]>, keep: usize) -> usize {
        if remaining.is_none() && self.are_all_open(keep) {
            return self.numbers(part).len();
        }
        count_true(&self.open(part, remaining, keep))
    }

    /// Returns `true` if every group of a tensor with nothing pruned has more than `keep` entries.
    pub fn are_all_open(&self, keep: usize) -> bool {
        // No group is empty.
        keep == 0 || self.equal_size().is_some_and(|size| size > keep)
    }

    /// The number of remaining entries of each group of a [part](Self::parts) of the tensor.
    pub fn remaining(&self, part: Range<usize>, remaining: Option<&[bool]>) -> Vec<usize> {
        match remaining {
            None => self.sizes(self.numbers(part)),
            Some(remaining) => {
                let numbers = self.numbers(part.clone());
                let mut counts = vec![0; numbers.len()];
                if self.line.tile < 8 {
                    self.fold(part, remaining, &mut counts, |sum, remaining| sum + usize::from(remaining));
                    return counts;
                }
                self.for_each_runs(part.start, part.len(), |number, size, runs| {
                    let counts = &mut counts[number - numbers.start..];
                    counts.iter_mut().zip(remaining[runs].chunks(size)).for_each(|(sum, run)| *sum += count_true(run));
                });
                counts
            }
        }
    }
}

impl ChosenGroups {
    /// Clears the entries of the chosen groups in a part of a mask that begins at `offset`, anywhere.
    pub fn clear(&self, offset: usize, mask: &mut [bool]) {
        let Self { groups, spared } = self;
        if groups.line.tile == 1 {
            groups.for_each_line(offset, mask.len(), |line, first, place| {
                mask[line].iter_mut().zip(&spared[first + place..]).for_each(|(kept, spared)| *kept &= spared);
            });
        } else {
            groups.for_each_runs(offset, mask.len(), |number, size, runs| {
                let (mask, spared) = (&mut mask[runs], &spared[number..]);
                with_length!(size, mask.chunks_exact_mut or as_chunks_mut, |runs| {
                    for (&spared, run) in spared.iter().zip(runs) {
                        run.iter_mut().for_each(|kept| *kept &= spared);
                    }
                });
            });
        }
    }

    /// Puts the groups that are not chosen back to what they were before, in a part of a mask that begins at `offset`.
    pub fn restore_others(&self, offset: usize, before: &[bool], mask: &mut [bool]) {
        self.groups.for_each_runs(offset, mask.len(), |number, size, runs| {
            let runs = mask[runs.clone()].chunks_mut(size).zip(before[runs].chunks(size));
            let spared = runs.zip(&self.spared[number..]).filter(|&(_, &spared)| spared);
            spared.for_each(|((run, before), _)| run.copy_from_slice(before));
        });
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Dimension, IxDyn};

    use super::*;
    use crate::tensor::groups::Granularity;

    /// The groups by the definition: the corners of the tile of each entry, in the order of their first appearance.
    fn definition(shape: &[usize], tile: &[usize]) -> Vec<usize> {
        let corner =
            |index: IxDyn| -> Vec<usize> { index.slice().iter().zip(tile).map(|(at, tile)| at / tile).collect() };
        let corners: Vec<_> = ndarray::indices(shape).into_iter().map(corner).collect();
        let mut seen = corners.clone();
        seen.sort();
        seen.dedup();
        corners.iter().map(|corner| seen.binary_search(corner).unwrap()).collect()
    }

    #[test]
    fn numbers_sizes_and_first_entries() {
        for shape in [vec![6], vec![4, 6], vec![5, 7], vec![3, 4, 6], vec![2, 6, 3, 3], vec![3, 1, 5, 2], vec![1, 9]] {
            let mixed: Vec<usize> =
                shape.iter().enumerate().map(|(axis, &len)| [2, len, 1][axis % 3].min(len)).collect();
            let along =
                |axis: usize| (0..shape.len()).map(|at| if at == axis { 4.min(shape[at]) } else { 1 }).collect();
            let cubes = [1, 2, 3, 4, 5, 8, 9].map(|size: usize| shape.iter().map(|&len| size.min(len)).collect());
            for tile in cubes.into_iter().chain([mixed]).chain((0..shape.len()).map(along)) {
                let expected = definition(&shape, &tile);
                let groups = NumberedGroups::new(&Granularity::Blocks(tile.clone()).groups(&shape).unwrap());
                let count = expected.iter().max().unwrap() + 1;
                assert_eq!(groups.count(), count, "{shape:?} {tile:?}");
                let size = |number: usize| expected.iter().filter(|&&group| group == number).count();
                assert_eq!(groups.sizes(0..count), (0..count).map(size).collect::<Vec<_>>(), "{shape:?} {tile:?}");
                for number in 0..count {
                    let first = expected.iter().position(|&group| group == number);
                    assert_eq!(Some(groups.first_entry(number)), first, "{shape:?} {tile:?}");
                }
                check_parts(&groups, &expected);
            }
        }
    }

    /// Parts are whole groups, and what is done in parts is what is done in one.
    fn check_parts(groups: &NumberedGroups, expected: &[usize]) {
        let entries: Vec<usize> = (0..expected.len()).collect();
        let kept: Vec<bool> = entries.iter().map(|entry| entry % 3 > 0).collect();
        let members = |number: usize| entries.iter().copied().filter(move |&entry| expected[entry] == number);
        let (mut lists, mut counts) = (Vec::new(), Vec::new());
        for part in groups.parts(3) {
            let step = |hash: usize, entry: usize| hash.wrapping_mul(31).wrapping_add(entry + 1);
            let mut hashes = vec![0; groups.numbers(part.clone()).len()];
            groups.fold(part.clone(), &entries[part.clone()], &mut hashes, step);
            lists.extend(hashes);
            counts.extend(groups.remaining(part.clone(), Some(&kept[part])));
        }
        let hash = |number| members(number).fold(0, |hash: usize, entry| hash.wrapping_mul(31).wrapping_add(entry + 1));
        assert_eq!(lists, (0..groups.count()).map(hash).collect::<Vec<_>>());
        let count = |number| members(number).filter(|&entry| kept[entry]).count();
        assert_eq!(counts, (0..groups.count()).map(count).collect::<Vec<_>>());

        let spared: Vec<bool> = (0..groups.count()).map(|number| number % 2 > 0).collect();
        let some = ChosenGroups { groups: groups.clone(), spared: spared.clone() };
        for (offset, len) in [(0, expected.len()), (1, expected.len() - 1), (expected.len() / 2, 2)] {
            let (mut mask, mut restored) = (vec![true; len], vec![true; len]);
            some.clear(offset, &mut mask);
            some.restore_others(offset, &vec![false; len], &mut restored);
            for i in 0..len {
                assert_eq!((mask[i], restored[i]), (spared[expected[offset + i]], !spared[expected[offset + i]]));
            }
        }
    }
}
