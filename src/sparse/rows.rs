//! [`Rows`]: compressed rows in panels of columns, in the order in which a product reads them.

use crate::element::Element;
use crate::sparse::kernel::{BLOCK_ROWS, Index, Panel, add_panel};
use crate::sparse::packed::Packed;
use crate::sparse::product::{Blocks, SumOf};
use crate::tensor::parallel;

/// Compressed rows: an index within the panel for each kept value. `I` is `u8` or `u16`.
#[derive(Clone)]
pub(super) struct Rows<A, I> {
    rows: usize,
    columns: usize,
    /// The columns of a panel.
    panel: usize,
    blocks: Vec<RowBlock<A, I>>,
}

/// Some neighbouring rows: panel by panel, row by row.
#[derive(Clone)]
struct RowBlock<A, I> {
    /// The number of kept values of each row in each panel.
    lens: Vec<u16>,
    indices: Vec<I>,
    values: Vec<A>,
}

impl<A: Element, I: Index> Rows<A, I> {
    pub(super) fn new(packed: &Packed<A>, panel: usize) -> Self {
        let (rows, columns) = (packed.rows, packed.columns);
        debug_assert!(panel <= I::WINDOW && panel.is_multiple_of(64));
        // Without columns there is nothing to store, and rows may be many.
        let firsts: Vec<usize> = if columns == 0 { Vec::new() } else { (0..rows).step_by(BLOCK_ROWS).collect() };
        let block = |&first: &usize| RowBlock::new(packed, first..rows.min(first + BLOCK_ROWS), panel);
        Self { rows, columns, panel, blocks: parallel::map(&firsts, packed.entries(), block) }
    }

    /// The memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let of = |block: &RowBlock<A, I>| {
            size_of_val(&block.lens[..]) + size_of_val(&block.indices[..]) + size_of_val(&block.values[..])
        };
        self.blocks.iter().map(of).sum()
    }
}

impl<A: Element, I: Index> RowBlock<A, I> {
    fn new(packed: &Packed<A>, rows: std::ops::Range<usize>, panel: usize) -> Self {
        let kept = packed.starts[rows.end] - packed.starts[rows.start];
        let mut block = Self {
            lens: Vec::with_capacity(rows.len() * packed.columns.div_ceil(panel)),
            indices: Vec::with_capacity(kept),
            values: Vec::with_capacity(kept),
        };
        let mut rest: Vec<&[A]> = rows.clone().map(|row| packed.row_values(row)).collect();
        for first in (0..packed.columns).step_by(panel) {
            for (row, rest) in rows.clone().zip(&mut rest) {
                let bits = packed.row_bits(row);
                let bits = &bits[first / 8..bits.len().min((first + panel) / 8)];
                let before = block.indices.len();
                for (number, bits) in bits.chunks(8).enumerate() {
                    let mut word = super::bits::word(bits);
                    while word != 0 {
                        block.indices.push(I::new(number * 64 + word.trailing_zeros() as usize));
                        word &= word - 1;
                    }
                }
                let (here, after) = rest.split_at(block.indices.len() - before);
                block.values.extend_from_slice(here);
                block.lens.push(here.len() as u16);
                *rest = after;
            }
        }
        block
    }
}

impl<A: Element, I: Index> Blocks for Rows<A, I> {
    type Elem = A;

    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn kept(&self) -> usize {
        self.blocks.iter().map(|block| block.values.len()).sum()
    }

    #[inline(always)]
    fn add_block<const WIDTH: usize, const FUSED: bool>(
        &self,
        block: usize,
        tile: &[[SumOf<Self>; WIDTH]],
        sums: &mut [[SumOf<Self>; WIDTH]],
    ) {
        let RowBlock { lens, indices, values } = &self.blocks[block];
        let (mut indices, mut values) = (&indices[..], &values[..]);
        for (number, lens) in lens.chunks(sums.len()).enumerate() {
            let kept = lens.iter().map(|&len| usize::from(len)).sum();
            let (here, after) = indices.split_at(kept);
            let (values_here, values_after) = values.split_at(kept);
            let panel = Panel { lens, indices: here, values: values_here };
            add_panel::<A, I, WIDTH, FUSED>(panel, &tile[number * self.panel..], sums);
            (indices, values) = (after, values_after);
        }
    }
}
