//! Products from the bits: the indices of a row in a panel are found while the product is computed.

use crate::element::Element;
use crate::sparse::bits::word;
use crate::sparse::kernel::{BLOCK_ROWS, Index, add_segment};
use crate::sparse::packed::Packed;
use crate::sparse::product::{Blocks, SumOf};

/// The columns of a panel: all that a `u8` can name.
const PANEL: usize = <u8 as Index>::WINDOW;

impl<A: Element> Blocks for Packed<A> {
    type Elem = A;

    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn kept(&self) -> usize {
        self.values.len()
    }

    #[inline(always)]
    fn add_block<const WIDTH: usize, const FUSED: bool>(
        &self,
        block: usize,
        tile: &[[SumOf<Self>; WIDTH]],
        sums: &mut [[SumOf<Self>; WIDTH]],
    ) {
        let first = block * BLOCK_ROWS;
        // The first value of each row that no panel has met yet.
        let mut next = [0; BLOCK_ROWS];
        next[..sums.len()].copy_from_slice(&self.starts[first..][..sums.len()]);
        for panel in 0..self.columns.div_ceil(PANEL) {
            let window = u8::window(&tile[panel * PANEL..]);
            for (row, (sum, next)) in sums.iter_mut().zip(&mut next).enumerate() {
                let bits = self.row_bits(first + row);
                let bits = &bits[panel * PANEL / 8..bits.len().min((panel + 1) * PANEL / 8)];
                let mut indices = [0; PANEL];
                let kept = indices_of(bits, &mut indices);
                let values = &self.values[*next..*next + kept];
                add_segment::<A, u8, WIDTH, FUSED>(&indices[..kept], values, window, sum);
                *next += kept;
            }
        }
    }
}

/// Writes the positions of the bits that are 1, and returns their number.
#[inline(always)]
fn indices_of(bits: &[u8], indices: &mut [u8; PANEL]) -> usize {
    let mut kept = 0;
    for (number, bits) in bits.chunks(8).enumerate() {
        let mut word = word(bits);
        while word != 0 {
            indices[kept] = (number * 64) as u8 + word.trailing_zeros() as u8;
            kept += 1;
            word &= word - 1;
        }
    }
    kept
}
