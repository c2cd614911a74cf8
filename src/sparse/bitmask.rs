//! Products from the bits: the indices of a row in a panel are found while the product is computed.

use crate::element::Element;
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
        let mut indices = [0; PANEL + 8];
        for panel in 0..self.columns.div_ceil(PANEL) {
            let window = u8::window(&tile[panel * PANEL..]);
            for (row, (sum, next)) in sums.iter_mut().zip(&mut next).enumerate() {
                let bits = self.row_bits(first + row);
                let bits = &bits[panel * PANEL / 8..bits.len().min((panel + 1) * PANEL / 8)];
                let kept = indices_of(bits, &mut indices);
                let values = &self.values[*next..*next + kept];
                add_segment::<A, u8, WIDTH, FUSED>(&indices[..kept], values, window, sum);
                *next += kept;
            }
        }
    }
}

/// For each byte, the positions of its bits that are 1, one in each byte of a word, and zeros after them.
static POSITIONS: [u64; 256] = positions();

const fn positions() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let (mut kept, mut position) = (0, 0);
        while position < 8 {
            if byte >> position & 1 == 1 {
                table[byte] |= position << (8 * kept);
                kept += 1;
            }
            position += 1;
        }
        byte += 1;
    }
    table
}

/// Writes the positions of the bits that are 1, and returns their number. What follows them is overwritten, too.
#[inline(always)]
fn indices_of(bits: &[u8], indices: &mut [u8; PANEL + 8]) -> usize {
    let mut kept = 0;
    for (number, &byte) in bits.iter().enumerate() {
        // Adding to all bytes of a word carries nothing: no position is above 255.
        let first = 0x0101_0101_0101_0101 * (8 * number as u64);
        let positions = POSITIONS[usize::from(byte)] + first;
        indices[kept..kept + 8].copy_from_slice(&positions.to_le_bytes());
        kept += byte.count_ones() as usize;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_that_is_one_has_its_index() {
        let bits: Vec<u8> = (0..32_u8).map(|i| i.wrapping_mul(0x9d) ^ 0x5c).collect();
        for bits in [&bits[..], &bits[..1], &[], &[0xff; 32], &[0; 32], &[0, 0x80, 1]] {
            let expected: Vec<u8> =
                (0..8 * bits.len()).filter(|i| bits[i / 8] >> (i % 8) & 1 == 1).map(|i| i as u8).collect();
            let mut indices = [7; PANEL + 8];
            let kept = indices_of(bits, &mut indices);
            assert_eq!(&indices[..kept], expected);
        }
    }
}
