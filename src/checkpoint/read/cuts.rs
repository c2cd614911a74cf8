//! Cutting a matrix into parts that are read at once: whole rows, or pieces of a row that is longer than a block.

use std::ops::Range;

use crate::checkpoint::read::blocks::block_entries;

/// The parts of a matrix. Parts begin at multiples of 8 columns, so that one bit per entry is cut at bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cuts {
    rows: usize,
    columns: usize,
    /// The rows of a part.
    part_rows: usize,
    /// The columns of a part: all of them, unless a part is a piece of one row.
    part_columns: usize,
}

/// Neighbouring entries: whole rows, or a piece of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

impl Cuts {
    /// Cuts a matrix of entries of `size` bytes.
    pub fn new(rows: usize, columns: usize, size: usize) -> Self {
        let block = block_entries(size);
        Self { rows, columns, part_rows: (block / columns.max(1)).max(1), part_columns: columns.min(block) }
    }

    /// The number of parts of a row.
    fn per_row(&self) -> usize {
        self.columns.div_ceil(self.part_columns.max(1))
    }

    /// Returns the number of parts.
    pub fn len(&self) -> usize {
        self.rows.div_ceil(self.part_rows) * self.per_row()
    }

    /// Returns a part, in row-major order.
    pub fn part(&self, number: usize) -> Part {
        let (row, piece) = (number / self.per_row() * self.part_rows, number % self.per_row());
        let column = piece * self.part_columns;
        Part {
            rows: row..self.rows.min(row + self.part_rows),
            columns: column..self.columns.min(column + self.part_columns),
        }
    }
}

impl Part {
    /// Returns the entries in row-major order, which are neighbours, of a matrix with this number of columns.
    pub fn entries(&self, columns: usize) -> Range<usize> {
        let start = self.rows.start * columns + self.columns.start;
        start..start + self.rows.len() * self.columns.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_a_matrix_in_order() {
        let block = block_entries(4);
        for (rows, columns) in
            [(0, 3), (3, 0), (1, 1), (7, 5), (300, 4096), (5, block), (3, block + 1), (2, 3 * block + 9)]
        {
            let cuts = Cuts::new(rows, columns, 4);
            let mut next = 0;
            for number in 0..cuts.len() {
                let part = cuts.part(number);
                let entries = part.entries(columns);
                assert_eq!(entries.start, next);
                assert!(!entries.is_empty() && entries.len() <= block && part.columns.start.is_multiple_of(8));
                assert!(part.columns.len() == columns || part.rows.len() == 1);
                next = entries.end;
            }
            assert_eq!(next, rows * columns);
        }
    }
}
