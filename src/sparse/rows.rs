//! [`Rows`]: compressed rows in panels of columns, in the order in which a product reads them.

use std::ops::Range;

use crate::element::Element;
use crate::mask::fraction;
use crate::sparse::bits;
use crate::sparse::kernel::{BLOCK_ROWS, COLUMN_ROWS, Index, add_columns, add_segment};
use crate::sparse::packed::Packed;
use crate::sparse::product::{Blocks, SumOf};
use crate::sparse::segments::Segments;
use crate::tensor::parallel;

/// Compressed rows: an index within the panel for each kept value. `I` is `u8` or `u16`.
///
/// With `BLOCKS`, four neighbouring rows share the index of a column that all of them keep.
#[derive(Clone)]
pub(super) struct Rows<A, I, const BLOCKS: bool> {
    rows: usize,
    columns: usize,
    /// The columns of a panel.
    panel: usize,
    blocks: Vec<RowBlock<A, I>>,
}

/// Some neighbouring rows: panel by panel, row by row.
#[derive(Clone)]
struct RowBlock<A, I> {
    /// A segment for each row.
    rows: Segments<A, I>,
    /// A segment for each four rows: the columns that all of them keep, whose values are not among those of the rows.
    columns: Segments<[A; COLUMN_ROWS], I>,
}

impl<A: Element, I: Index, const BLOCKS: bool> Rows<A, I, BLOCKS> {
    pub(super) fn new(packed: &Packed<A>, panel: usize) -> Self {
        let (rows, columns) = (packed.rows, packed.columns);
        debug_assert!(panel <= I::WINDOW && panel.is_multiple_of(64));
        // Without columns there is nothing to store, and rows may be many.
        let firsts: Vec<usize> = if columns == 0 { Vec::new() } else { (0..rows).step_by(BLOCK_ROWS).collect() };
        let block = |&first: &usize| RowBlock::new(packed, first..rows.min(first + BLOCK_ROWS), panel, BLOCKS);
        Self { rows, columns, panel, blocks: parallel::map(&firsts, packed.entries(), block) }
    }

    /// The memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.rows.bytes() + block.columns.bytes()).sum()
    }
}

impl<A: Element, I: Index> RowBlock<A, I> {
    fn new(packed: &Packed<A>, rows: Range<usize>, panel: usize, with_columns: bool) -> Self {
        let kept = packed.starts[rows.end] - packed.starts[rows.start];
        let (in_rows, in_columns) = if with_columns { (0, kept / COLUMN_ROWS) } else { (kept, 0) };
        let mut block = Self { rows: Segments::with_capacity(in_rows), columns: Segments::with_capacity(in_columns) };
        let mut rest: Vec<&[A]> = rows.clone().map(|row| packed.row_values(row)).collect();
        for first in (0..packed.columns).step_by(panel) {
            let words = first / 64..(first + panel).min(packed.columns).div_ceil(64);
            for (start, rest) in rows.clone().step_by(COLUMN_ROWS).zip(rest.chunks_mut(COLUMN_ROWS)) {
                block.push(packed, start, words.clone(), rest, with_columns);
            }
        }
        block
    }

    /// Adds up to four rows of a panel, which is some words of their bits. `rest` has the values that are not added yet.
    fn push(&mut self, packed: &Packed<A>, start: usize, words: Range<usize>, rest: &mut [&[A]], with_columns: bool) {
        let has_columns = with_columns && rest.len() == COLUMN_ROWS;
        let shared: Vec<u64> = match has_columns {
            true => words.clone().map(|at| shared_word(packed, start, at)).collect(),
            false => vec![0; words.len()],
        };
        let index = |number: usize, bit: u32| I::new(number * 64 + bit as usize);
        let before = self.columns.values.len();
        for (number, &shared) in shared.iter().enumerate() {
            self.columns.indices.extend(bits::ones(shared).map(|bit| index(number, bit)));
        }
        self.columns.values.resize(self.columns.indices.len(), [A::default(); COLUMN_ROWS]);
        if has_columns {
            self.columns.end(before);
        }
        for (row, rest) in rest.iter_mut().enumerate() {
            let (before_row, mut columns) = (self.rows.values.len(), self.columns.values[before..].iter_mut());
            for ((number, &shared), at) in shared.iter().enumerate().zip(words.clone()) {
                let bits = bits::ones(word(packed, start + row, at));
                let (here, after) = rest.split_at(bits.clone().count());
                *rest = after;
                for (bit, &value) in bits.zip(here) {
                    if shared >> bit & 1 == 1 {
                        columns.next().into_iter().for_each(|column| column[row] = value);
                    } else {
                        self.rows.indices.push(index(number, bit));
                        self.rows.values.push(value);
                    }
                }
            }
            self.rows.end(before_row);
        }
    }
}

/// Returns the fraction of kept entries that lie in columns of four neighbouring rows which keep them all.
pub(super) fn fraction_in_columns<A: Element>(packed: &Packed<A>) -> f64 {
    // Without columns, rows may be many.
    if packed.kept() == 0 {
        return 0.0;
    }
    let words = packed.columns.div_ceil(64);
    let starts = (0..packed.rows / COLUMN_ROWS).map(|number| number * COLUMN_ROWS);
    let shared =
        starts.flat_map(|start| (0..words).map(move |at| shared_word(packed, start, at).count_ones() as usize));
    fraction(shared.sum::<usize>() * COLUMN_ROWS, packed.kept())
}

/// Returns 64 bits of a row, or those that are left at its end.
fn word<A: Element>(packed: &Packed<A>, row: usize, number: usize) -> u64 {
    bits::word(&packed.row_bits(row)[number * 8..])
}

/// Returns the bits that four rows share.
fn shared_word<A: Element>(packed: &Packed<A>, start: usize, number: usize) -> u64 {
    (start..start + COLUMN_ROWS).fold(u64::MAX, |all, row| all & word(packed, row, number))
}

impl<A: Element, I: Index, const BLOCKS: bool> Blocks for Rows<A, I, BLOCKS> {
    type Elem = A;

    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn kept(&self) -> usize {
        self.blocks.iter().map(|block| block.rows.values.len() + block.columns.values.len() * COLUMN_ROWS).sum()
    }

    #[inline(always)]
    fn add_block<const WIDTH: usize, const FUSED: bool>(
        &self,
        block: usize,
        tile: &[[SumOf<Self>; WIDTH]],
        sums: &mut [[SumOf<Self>; WIDTH]],
    ) {
        let block = &self.blocks[block];
        let (mut rows, mut columns) = (block.rows.walk(), block.columns.walk());
        for tile in (0..self.columns).step_by(self.panel).map(|first| &tile[first..]) {
            let window = I::window(tile);
            if BLOCKS {
                for (sums, (indices, values)) in sums.as_chunks_mut().0.iter_mut().zip(&mut columns) {
                    add_columns::<A, I, WIDTH, FUSED>(indices, values, window, sums);
                }
            }
            for (sum, (indices, values)) in sums.iter_mut().zip(&mut rows) {
                add_segment::<A, I, WIDTH, FUSED>(indices, values, window, sum);
            }
        }
    }
}
