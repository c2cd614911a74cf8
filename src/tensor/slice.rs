//! The part of a tensor that remains if positions along its axes are removed.

use std::ops::Range;

use ndarray::ArrayD;

/// The kept part of a row-major tensor: some positions of each axis.
///
/// It consists of *runs*: ranges of neighbouring entries, in ascending order. A *row* is the runs that share their indices
/// on all axes before the last one that loses positions. The tensor itself is not needed, so a file is cut as memory is.
#[derive(Debug, Clone)]
pub struct Slice {
    /// The size of each axis afterwards.
    shape: Vec<usize>,
    /// The axes before the last one that loses positions: the kept positions, and the distance between two positions.
    outer: Vec<(Axis, usize)>,
    /// The runs of one row, from its start.
    row: Vec<Range<usize>>,
}

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
    /// The part of a tensor of this shape at the given positions of each axis, in ascending order; `None` for all of them.
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
        Self { shape: own_shape, outer, row }
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
        self.runs(Cursor::default()).for_each(|run| kept.extend_from_slice(&entries[run]));
        kept
    }

    /// The kept entries as an array.
    pub fn array<T: Clone>(&self, entries: &[T]) -> ArrayD<T> {
        ArrayD::from_shape_vec(self.shape.clone(), self.gather(entries))
            .expect("there are as many as the shape asks for")
    }

    /// The runs after a place, in ascending order. None is empty.
    pub fn runs(&self, from: Cursor) -> impl Iterator<Item = Range<usize>> {
        let rows = self.outer.iter().map(|(axis, _)| axis.len()).product();
        let all = (from.row..rows).flat_map(move |row| {
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
        let mut pieces: Vec<SlicePiece> = Vec::new();
        let (mut row, mut run, mut kept) = (0, 0, 0);
        for entries in self.runs(Cursor::default()) {
            let mut skipped = 0;
            while skipped < entries.len() {
                let start = entries.start + skipped;
                let fits = |piece: &&mut SlicePiece| start < piece.entries.start + span;
                let piece = match pieces.last_mut().filter(fits) {
                    Some(piece) => piece,
                    None => {
                        let from = Cursor { row, run, skipped };
                        pieces.push(SlicePiece { entries: start..start, kept: kept..kept, from });
                        continue;
                    }
                };
                let end = entries.end.min(piece.entries.start + span);
                piece.entries.end = end;
                piece.kept.end += end - start;
                kept += end - start;
                skipped += end - start;
            }
            run += 1;
            if run == self.row.len() {
                (row, run) = (row + 1, 0);
            }
        }
        pieces
    }

    /// The kept entries of a tensor with these bytes, `size` of them for each.
    #[cfg(feature = "safetensors")]
    pub fn gather_bytes(&self, bytes: &[u8], size: usize) -> Vec<u8> {
        self.runs(Cursor::default()).flat_map(|run| &bytes[run.start * size..run.end * size]).copied().collect()
    }

    /// Copies the entries of a piece, of which `entries` are those of its range, to `kept`. Each has `size` bytes.
    #[cfg(feature = "safetensors")]
    pub fn gather_piece(&self, piece: &SlicePiece, size: usize, entries: &[u8], kept: &mut [u8]) {
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

    /// The first entry of a row.
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
    /// The entries of the tensor from the first run to the last.
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
            let kept = proptest::option::of(proptest::sample::subsequence((0..len).collect::<Vec<_>>(), 0..=len));
            (Just(len), kept)
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
        fn pieces_are_parts_of_the_slice((shape, kept) in slices(), span in 1_usize..40) {
            let entries: Vec<u8> = (0..shape.iter().product::<usize>() as u8).collect();
            let slice = Slice::new(&shape, kept);
            let mut found = Vec::new();
            for piece in slice.pieces(span) {
                prop_assert!(piece.entries.len() <= span && piece.kept.start == found.len());
                let mut kept = vec![0; piece.kept.len()];
                slice.gather_piece(&piece, 1, &entries[piece.entries.clone()], &mut kept);
                found.extend(kept);
            }
            prop_assert_eq!(&found, &slice.gather(&entries));
        }
    }
}
