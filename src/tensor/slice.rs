//! The part of a tensor that remains if positions along its axes are removed or reordered.

use std::ops::Range;

use ndarray::ArrayD;

/// The kept part of a row-major tensor: some positions of each axis, or all of them in another order.
///
/// It consists of *runs*: ranges of neighbouring entries, in the order in which they are kept. A *row* is the runs that share
/// their indices on all axes before the last one that is cut. The tensor itself is not needed, so a file is cut as memory is.
#[derive(Debug, Clone)]
pub struct Slice {
    /// The size of each axis afterwards.
    shape: Vec<usize>,
    /// The axes before the last one that is cut: the kept positions, and the distance between two positions.
    outer: Vec<(Axis, usize)>,
    /// The runs of one row, from its start.
    row: Vec<Range<usize>>,
    /// The entries from the lowest one of a row to its highest one, from the start of the row.
    reach: Range<usize>,
    /// The entries of one row, from its lowest, if its runs are so short that copying entry by entry is faster.
    positions: Option<Vec<u32>>,
}

/// Runs shorter than this on average are copied entry by entry: a call and an unpredictable length for each would take longer.
const SHORT: usize = 8;
/// The most entries of a row whose positions are kept.
const MOST_POSITIONS: usize = 1 << 20;

/// The kept positions of an axis.
#[derive(Debug, Clone)]
enum Axis {
    All(usize),
    Some(Vec<usize>),
}

/// A place between two entries of the kept part.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cursor {
    row: usize,
    run: usize,
    /// The number of entries of the run before the place.
    skipped: usize,
}

impl Slice {
    /// The part of a tensor of this shape at the given positions of each axis, in this order; `None` for all of them. No
    /// position is given twice.
    pub fn new(shape: &[usize], kept: Vec<Option<Vec<usize>>>) -> Self {
        let cut = kept.iter().rposition(Option::is_some);
        let mut own_shape = shape.to_vec();
        let mut distance = 1;
        let mut outer = Vec::new();
        let mut row = Vec::new();
        if cut.is_none() {
            row.push(0..shape.iter().product());
        }
        for (axis, kept) in kept.into_iter().enumerate().rev() {
            if let Some(kept) = &kept {
                own_shape[axis] = kept.len();
            }
            match cut {
                Some(cut) if axis == cut => row = runs(kept.as_deref().unwrap_or_default(), distance),
                Some(cut) if axis < cut => outer.push((kept.map_or(Axis::All(shape[axis]), Axis::Some), distance)),
                Some(_) | None => {}
            }
            distance *= shape[axis];
        }
        let low = row.iter().map(|run| run.start).min().unwrap_or(0);
        let high = row.iter().map(|run| run.end).max().unwrap_or(0);
        let positions = positions(&row, low);
        Self { shape: own_shape, outer, row, reach: low..high, positions }
    }

    /// The size of each axis afterwards.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of kept entries.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The kept entries of the tensor with these entries.
    pub fn gather<T: Clone>(&self, entries: &[T]) -> Vec<T> {
        let mut kept = Vec::with_capacity(self.len());
        match &self.positions {
            Some(positions) => (0..self.rows()).for_each(|row| {
                let row = &entries[self.reach(row).start..];
                kept.extend(positions.iter().map(|&position| row[position as usize].clone()));
            }),
            None => self.runs(Cursor::default()).for_each(|run| kept.extend_from_slice(&entries[run])),
        }
        kept
    }

    /// The kept entries as an array.
    pub fn array<T: Clone>(&self, entries: &[T]) -> ArrayD<T> {
        ArrayD::from_shape_vec(self.shape.clone(), self.gather(entries))
            .expect("there are as many as the shape asks for")
    }

    /// The runs after a place. None is empty.
    pub fn runs(&self, from: Cursor) -> impl Iterator<Item = Range<usize>> {
        let all = (from.row..self.rows()).flat_map(move |row| {
            let start = self.start(row);
            let first = if row == from.row { from.run } else { 0 };
            self.row.get(first..).into_iter().flatten().map(move |run| start + run.start..start + run.end)
        });
        let skipped = std::iter::once(from.skipped).chain(std::iter::repeat(0));
        all.zip(skipped).map(|(run, skipped)| run.start + skipped..run.end).filter(|run| !run.is_empty())
    }

    /// Cuts the kept part into pieces. The runs of each lie within `span` neighbouring entries of the tensor.
    #[cfg(feature = "safetensors")]
    pub fn pieces(&self, span: usize) -> Vec<SlicePiece> {
        let (mut pieces, mut kept) = (Vec::new(), 0);
        if self.row.is_empty() {
            return pieces;
        }
        let row_len: usize = self.row.iter().map(ExactSizeIterator::len).sum();
        let mut row = 0;
        while row < self.rows() {
            let mut entries = self.reach(row);
            if entries.len() > span {
                self.cut_row(row, span, &mut kept, &mut pieces);
                row += 1;
                continue;
            }
            // Whole rows, as many as fit.
            let mut rows = 1;
            while row + rows < self.rows() {
                let next = self.reach(row + rows);
                let both = entries.start.min(next.start)..entries.end.max(next.end);
                if both.len() > span {
                    break;
                }
                (entries, rows) = (both, rows + 1);
            }
            let len = rows * row_len;
            pieces.push(SlicePiece { entries, kept: kept..kept + len, from: Cursor { row, ..Cursor::default() } });
            (row, kept) = (row + rows, kept + len);
        }
        pieces
    }

    /// Cuts a row that is longer than `span`.
    #[cfg(feature = "safetensors")]
    fn cut_row(&self, row: usize, span: usize, kept: &mut usize, pieces: &mut Vec<SlicePiece>) {
        let before = pieces.len();
        for (run, range) in self.row.iter().enumerate() {
            let (start, mut skipped) = (self.start(row) + range.start, 0);
            while skipped < range.len() {
                let at = start + skipped;
                let fits = |piece: &&mut SlicePiece| (piece.entries.start..piece.entries.start + span).contains(&at);
                let Some(piece) = pieces[before..].last_mut().filter(fits) else {
                    let from = Cursor { row, run, skipped };
                    pieces.push(SlicePiece { entries: at..at, kept: *kept..*kept, from });
                    continue;
                };
                let end = (start + range.len()).min(piece.entries.start + span);
                piece.entries.end = piece.entries.end.max(end);
                piece.kept.end += end - at;
                *kept += end - at;
                skipped += end - at;
            }
        }
    }

    /// The kept entries of a tensor with these bytes, `size` of them for each.
    #[cfg(feature = "safetensors")]
    pub fn gather_bytes(&self, bytes: &[u8], size: usize) -> Vec<u8> {
        self.runs(Cursor::default()).flat_map(|run| &bytes[run.start * size..run.end * size]).copied().collect()
    }

    /// Copies the entries of a piece, of which `entries` are those of its range, to `kept`. Each has `size` bytes.
    #[cfg(feature = "safetensors")]
    pub fn gather_piece(&self, piece: &SlicePiece, size: usize, entries: &[u8], kept: &mut [u8]) {
        let Cursor { run, skipped, .. } = piece.from;
        let positions = self.positions.as_deref().filter(|_| run == 0 && skipped == 0);
        match positions.filter(|positions| piece.kept.len().is_multiple_of(positions.len())) {
            Some(positions) if size == 1 => self.gather_rows::<1>(piece, positions, entries, kept),
            Some(positions) if size == 2 => self.gather_rows::<2>(piece, positions, entries, kept),
            Some(positions) if size == 4 => self.gather_rows::<4>(piece, positions, entries, kept),
            Some(positions) if size == 8 => self.gather_rows::<8>(piece, positions, entries, kept),
            Some(_) | None => self.gather_runs(piece, size, entries, kept),
        }
    }

    /// Copies a piece of whole rows entry by entry.
    #[cfg(feature = "safetensors")]
    fn gather_rows<const SIZE: usize>(&self, piece: &SlicePiece, positions: &[u32], entries: &[u8], kept: &mut [u8]) {
        let (entries, kept) = (entries.as_chunks::<SIZE>().0, kept.as_chunks_mut::<SIZE>().0);
        for (row, kept) in (piece.from.row..).zip(kept.chunks_exact_mut(positions.len())) {
            let row = &entries[self.reach(row).start - piece.entries.start..];
            kept.iter_mut().zip(positions).for_each(|(kept, &position)| *kept = row[position as usize]);
        }
    }

    /// Copies a piece run by run.
    #[cfg(feature = "safetensors")]
    fn gather_runs(&self, piece: &SlicePiece, size: usize, entries: &[u8], kept: &mut [u8]) {
        let mut rest = kept;
        for run in self.runs(piece.from) {
            let run =
                (run.start - piece.entries.start) * size..(run.end.min(piece.entries.end) - piece.entries.start) * size;
            let (part, others) = rest.split_at_mut(run.len());
            part.copy_from_slice(&entries[run]);
            rest = others;
            if rest.is_empty() {
                break;
            }
        }
    }

    /// The number of rows.
    fn rows(&self) -> usize {
        self.outer.iter().map(|(axis, _)| axis.len()).product()
    }

    /// The entries from the lowest kept one of a row to the highest one.
    fn reach(&self, row: usize) -> Range<usize> {
        let start = self.start(row);
        start + self.reach.start..start + self.reach.end
    }

    /// The start of a row.
    fn start(&self, row: usize) -> usize {
        // The axes are in reverse order, so the first one is the one that changes fastest.
        let mut rest = row;
        let mut start = 0;
        for (axis, distance) in &self.outer {
            start += axis.position(rest % axis.len()) * distance;
            rest /= axis.len();
        }
        start
    }
}

/// Neighbouring runs of a [`Slice`].
#[cfg(feature = "safetensors")]
#[derive(Debug, Clone)]
pub struct SlicePiece {
    /// The entries of the tensor from the lowest one of the runs to the highest one.
    pub entries: Range<usize>,
    /// The entries of the kept part that they become.
    pub kept: Range<usize>,
    from: Cursor,
}

impl Axis {
    fn len(&self) -> usize {
        match self {
            Self::All(len) => *len,
            Self::Some(kept) => kept.len(),
        }
    }

    fn position(&self, index: usize) -> usize {
        match self {
            Self::All(_) => index,
            Self::Some(kept) => kept[index],
        }
    }
}

/// The entries of a row from its lowest, if there are many short runs.
fn positions(row: &[Range<usize>], low: usize) -> Option<Vec<u32>> {
    let row_len: usize = row.iter().map(ExactSizeIterator::len).sum();
    if row_len == 0 || row_len >= row.len().saturating_mul(SHORT) || row_len > MOST_POSITIONS {
        return None;
    }
    row.iter().flat_map(|run| run.clone()).map(|entry| u32::try_from(entry - low).ok()).collect()
}

/// The ranges of neighbouring positions, each of which is `width` entries.
fn runs(kept: &[usize], width: usize) -> Vec<Range<usize>> {
    let neighbours = kept.chunk_by(|a, b| a + 1 == *b);
    neighbours.map(|run| run[0] * width..(run[run.len() - 1] + 1) * width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Axis as NdAxis;
    use proptest::prelude::*;

    fn slices() -> impl Strategy<Value = (Vec<usize>, Vec<Option<Vec<usize>>>)> {
        let axis = (1_usize..6).prop_flat_map(|len| {
            let kept = proptest::sample::subsequence((0..len).collect::<Vec<_>>(), 0..=len);
            let kept = (kept.clone(), kept.prop_shuffle()).prop_flat_map(|(a, b)| proptest::sample::select(vec![a, b]));
            (Just(len), proptest::option::of(kept))
        });
        proptest::collection::vec(axis, 0..4).prop_map(|axes| axes.into_iter().unzip())
    }

    proptest! {
        /// The oracle: ndarray's `select`, axis by axis.
        #[test]
        fn a_slice_is_a_selection_along_each_axis((shape, kept) in slices()) {
            let count: usize = shape.iter().product();
            let whole = ArrayD::from_shape_vec(shape.clone(), (0..count as u8).collect()).unwrap();
            let mut expected = whole.clone();
            for (axis, kept) in kept.iter().enumerate().filter_map(|(axis, kept)| Some((axis, kept.as_ref()?))) {
                expected = expected.select(NdAxis(axis), kept);
            }
            let slice = Slice::new(&shape, kept);
            prop_assert_eq!(slice.shape(), expected.shape());
            let expected: Vec<u8> = expected.iter().copied().collect();
            prop_assert_eq!(&slice.gather(whole.as_slice().unwrap()), &expected);
        }

        #[cfg(feature = "safetensors")]
        #[test]
        fn pieces_are_parts_of_the_slice((shape, kept) in slices(), span in 1_usize..40, size in 1_usize..9) {
            let bytes: Vec<u8> = (0..shape.iter().product::<usize>() * size).map(|byte| byte as u8).collect();
            let entries: Vec<&[u8]> = bytes.chunks(size).collect();
            let slice = Slice::new(&shape, kept);
            let mut found = Vec::new();
            for piece in slice.pieces(span) {
                prop_assert!(piece.entries.len() <= span && piece.kept.start * size == found.len());
                let mut kept = vec![0; piece.kept.len() * size];
                slice.gather_piece(&piece, size, &entries[piece.entries.clone()].concat(), &mut kept);
                found.extend(kept);
            }
            prop_assert_eq!(&found, &slice.gather(&entries).concat());
        }
    }
}
