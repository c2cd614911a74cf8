//! The candidates of a method in files: the scores of parameters, read block by block in the type in which they are ranked.

use std::ops::Range;

use ndarray::ArrayViewD;
use num_traits::{NumCast, Zero};

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::ProgressCounter;
use crate::checkpoint::prune::loaded::{LoadedTensor, view};
use crate::checkpoint::prune::remaining::RemainingEntries;
use crate::checkpoint::read::blocks::{Buffer, Pool, Scratch, block_entries, blocks};
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::read::{Checkpoint, Dtype};
use crate::element::Element;
use crate::element::wide::{narrow_key, widen_key};
use crate::file::dtype::with_dtype;
use crate::key::Ranked;
use crate::method::candidates::{Candidates, GroupScores};
use crate::method::decision::Decision;
use crate::score::group::GroupScore;
use crate::score::{Norm, norm};
use crate::select::Threshold;
use crate::select::scores::Scores;
use crate::tensor::channels::Channels;
use crate::tensor::chunk::{CHUNK, Chunk, Position};
use crate::tensor::numbered::NumberedGroups;
use crate::tensor::parallel;

/// The most bytes of keys that a selection holds in memory.
const MAX_KEY_BYTES: usize = 32 << 20;
/// The bytes of the rows that are read at a time, at least one row.
const ROW_GROUP_BYTES: usize = 8 << 20;

/// The scores of parameters, ranked as `W`: their own dtype, or one that holds the values of all their dtypes.
pub(crate) struct FileScores<'c, 'o, W> {
    checkpoint: &'c Checkpoint,
    pieces: Vec<Piece<'c>>,
    entries: usize,
    pool: &'c Pool,
    progress: &'c ProgressCounter<'o>,
    ranked_as: std::marker::PhantomData<W>,
}

/// A block of a parameter.
struct Piece<'c> {
    parameter: &'c ParameterEntry,
    /// The number of the parameter among those that are ranked together.
    segment: usize,
    range: Range<usize>,
}

impl<'c, 'o, W: Element> FileScores<'c, 'o, W> {
    pub fn new(
        checkpoint: &'c Checkpoint,
        parameters: impl Iterator<Item = &'c ParameterEntry>,
        pool: &'c Pool,
        progress: &'c ProgressCounter<'o>,
    ) -> Self {
        let ranges = parameters.enumerate().map(|(segment, parameter)| (segment, parameter, 0..parameter.entries));
        Self::of_ranges(checkpoint, ranges, pool, progress)
    }

    /// The scores of one range of each parameter, which has a number among those that are ranked together.
    fn of_ranges(
        checkpoint: &'c Checkpoint,
        ranges: impl Iterator<Item = (usize, &'c ParameterEntry, Range<usize>)>,
        pool: &'c Pool,
        progress: &'c ProgressCounter<'o>,
    ) -> Self {
        // Blocks are small enough for the wider type too.
        let block = block_entries(size_of::<W>());
        let pieces = ranges.flat_map(|(segment, parameter, range)| {
            blocks(range.len(), block).map(move |part| {
                let range = range.start + part.start..range.start + part.end;
                Piece { parameter, segment, range }
            })
        });
        let pieces: Vec<_> = pieces.collect();
        let entries = pieces.iter().map(|piece| piece.range.len()).sum();
        Self { checkpoint, pieces, entries, pool, progress, ranked_as: std::marker::PhantomData }
    }

    /// Reads a range of a parameter and calls `f` with its scores.
    fn read<R>(
        &self,
        piece: &Piece<'_>,
        range: Range<usize>,
        f: impl FnOnce(&Chunk<'_, W>) -> R,
    ) -> Result<R, CheckpointError> {
        self.pool.with(|scratch| Ok(f(&self.load(piece, range, scratch)?)))
    }

    fn load<'s>(
        &self,
        piece: &Piece<'_>,
        range: Range<usize>,
        scratch: &'s mut Scratch,
    ) -> Result<Chunk<'s, W>, CheckpointError> {
        let Scratch { weights, mask, wide, remaining, .. } = scratch;
        let remaining = self.checkpoint.remaining(piece.parameter, range.clone(), mask, remaining)?;
        let start = Position { segment: piece.segment, offset: range.start };
        let scores = if piece.parameter.dtype == Dtype(W::STORED) {
            let tensor = &self.checkpoint.tensors[piece.parameter.weights];
            self.checkpoint.entries::<W>(tensor, range, weights)?
        } else {
            let scores = wide.take::<W>(range.len());
            let (checkpoint, parameter) = (self.checkpoint, piece.parameter);
            with_dtype!(
                parameter.dtype,
                A: Element => read_widened::<A, W>(checkpoint, parameter, range, weights, scores)?,
                else => parameter.dtype.cannot_be_pruned(),
            );
            scores
        };
        Ok(Chunk { start, scores, remaining })
    }
}

/// Reads magnitudes of a dtype in a wider type.
fn read_widened<A: Element, W: Element>(
    checkpoint: &Checkpoint,
    parameter: &ParameterEntry,
    range: Range<usize>,
    weights: &mut Buffer,
    scores: &mut [W],
) -> Result<(), CheckpointError> {
    let entries = checkpoint.entries::<A>(&checkpoint.tensors[parameter.weights], range, weights)?;
    for (score, entry) in scores.iter_mut().zip(entries) {
        // The cast cannot fail: `W` holds the values of every narrower float.
        *score = <W as NumCast>::from(entry.widen_abs()).unwrap_or_else(W::nan);
    }
    Ok(())
}

impl<W: Element> Scores for FileScores<'_, '_, W> {
    type Score = W;
    type Error = CheckpointError;
    // Reading one entry takes as long as reading a few hundred.
    const RUN: usize = 64;

    fn entries(&self) -> usize {
        self.entries
    }
    fn pieces(&self) -> usize {
        self.pieces.len()
    }
    fn len(&self, piece: usize) -> usize {
        self.pieces[piece].range.len()
    }
    fn start(&self, piece: usize) -> Position {
        let Piece { segment, range, .. } = &self.pieces[piece];
        Position { segment: *segment, offset: range.start }
    }
    fn with<R>(&self, piece: usize, look: impl FnOnce(&Chunk<'_, W>) -> R) -> Result<R, CheckpointError> {
        let piece = &self.pieces[piece];
        self.progress.add((piece.range.len() * piece.parameter.dtype.bits() / 8) as u64)?;
        self.read(piece, piece.range.clone(), look)
    }
    fn peek(&self, piece: usize, entry: usize, keys: &mut Vec<<W as Ranked>::Key>) -> Result<(), CheckpointError> {
        let piece = &self.pieces[piece];
        let start = piece.range.start + entry;
        let range = start..(start + Self::RUN).min(piece.range.end);
        self.read(piece, range, |chunk| keys.extend(chunk.keys()))
    }
    fn room(&self) -> usize {
        (self.entries / 64 + CHUNK).min(MAX_KEY_BYTES / size_of::<<W as Ranked>::Key>())
    }
}

/// The entries of parameters in files that a method selects from.
pub(crate) struct FileCandidates<'c, 'o, 's, W> {
    scores: FileScores<'c, 'o, W>,
    /// The parameters, at least one.
    remaining: &'s [RemainingEntries<'c>],
}

impl<'c, 'o, 's, W: Element> FileCandidates<'c, 'o, 's, W> {
    pub fn new(
        checkpoint: &'c Checkpoint,
        remaining: &'s [RemainingEntries<'c>],
        pool: &'c Pool,
        progress: &'c ProgressCounter<'o>,
    ) -> Self {
        let parameters = remaining.iter().map(|remaining| remaining.parameter);
        Self { scores: FileScores::new(checkpoint, parameters, pool, progress), remaining }
    }
}

impl<'c, 'o, W: Element> Candidates<W> for FileCandidates<'c, 'o, '_, W> {
    type Error = CheckpointError;
    type Scores = FileScores<'c, 'o, W>;

    fn scores(&self) -> &Self::Scores {
        &self.scores
    }
    fn remaining_in_chunks(&self) -> Result<Vec<usize>, CheckpointError> {
        Ok(self.remaining.iter().flat_map(RemainingEntries::in_chunks).collect())
    }
    /// Rows are contiguous, and read in groups. Along any other axis, the whole tensor is read.
    fn norms(&self, channels: &Channels, remaining: &[usize], norm: Norm) -> Result<Vec<W>, CheckpointError> {
        let FileScores { checkpoint, progress, .. } = self.scores;
        let parameter = self.remaining[0].parameter;
        let row = channels.size();
        let group = if channels.axis == 0 {
            (ROW_GROUP_BYTES / (row * size_of::<W>()).max(1)).clamp(1, channels.len.max(1))
        } else {
            channels.len
        };
        let mut norms = Vec::with_capacity(channels.len);
        let mut scratch = Scratch::default();
        for rows in blocks(channels.len, group) {
            let range = rows.start * row..rows.end * row;
            progress.add((range.len() * size_of::<W>()) as u64)?;
            let values = checkpoint.values::<W>(parameter, range, &mut scratch)?;
            let mut shape = parameter.shape.clone();
            shape[channels.axis] = rows.len();
            let (part, all): (_, Vec<_>) = (Channels { len: rows.len(), ..*channels }, (0..rows.len()).collect());
            norms.extend(norm::norms(view(parameter, &shape, values)?, &part, &all, norm));
        }
        Ok(remaining.iter().map(|&channel| norms[channel]).collect())
    }
    /// Reads parts that are whole groups.
    fn group_scores(
        &self,
        groups: &NumberedGroups,
        by: GroupScore,
        keep: usize,
    ) -> Result<GroupScores<W::Accumulator>, CheckpointError> {
        let FileScores { checkpoint, pool, progress, .. } = self.scores;
        let parameter = self.remaining[0].parameter;
        let parts: Vec<_> = groups.parts(block_entries(size_of::<W>())).collect();
        let all_open = parameter.mask.is_none() && groups.are_all_open(keep);
        let all = parallel::try_map(parts.len(), parameter.entries, |number| {
            let part = parts[number].clone();
            progress.add((part.len() * size_of::<W>()) as u64)?;
            pool.with(|Scratch { weights, mask, remaining, .. }| {
                let remaining = checkpoint.remaining(parameter, part.clone(), mask, remaining)?;
                let tensor = &checkpoint.tensors[parameter.weights];
                let entries = checkpoint.entries::<W>(tensor, part.clone(), weights)?;
                let mut scores = vec![W::Accumulator::zero(); groups.numbers(part.clone()).len()];
                by.score(groups, part.clone(), entries, remaining, &mut scores);
                Ok((scores, (!all_open).then(|| groups.open(part, remaining, keep))))
            })
        })?;
        let (scores, open): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        let open: Option<Vec<_>> = open.into_iter().collect();
        Ok(GroupScores { scores: scores.concat(), open: open.map(|open| open.concat()) })
    }
    fn with_range<R>(
        &self,
        range: Range<usize>,
        f: impl FnOnce(&Self::Scores) -> Result<R, CheckpointError>,
    ) -> Result<R, CheckpointError> {
        let FileScores { checkpoint, pool, progress, .. } = self.scores;
        let range = (0, self.remaining[0].parameter, range);
        f(&FileScores::of_ranges(checkpoint, std::iter::once(range), pool, progress))
    }
    fn with_tensor<R>(&self, f: impl FnOnce(ArrayViewD<'_, W>, Option<&[bool]>) -> R) -> Result<R, CheckpointError> {
        let FileScores { checkpoint, pool, progress, .. } = self.scores;
        let (parameter, mut buffer) = (self.remaining[0].parameter, Buffer::default());
        let loaded = LoadedTensor::load(checkpoint, parameter, pool, progress, &mut buffer)?;
        Ok(f(view(parameter, &parameter.shape, loaded.weights)?, loaded.remaining.as_deref()))
    }
}

/// The same decision for thresholds in `f64`, the widest type.
pub(crate) fn widened<A: Element>(decision: Decision<A>) -> Decision<f64> {
    decision.map_key(|Threshold { key, end, tie }| Threshold { key: widen_key::<A>(key), end, tie })
}

/// The same decision for thresholds in the type of a parameter.
pub(crate) fn narrowed<A: Element>(decision: &Decision<f64>) -> Decision<A> {
    decision.clone().map_key(|Threshold { key, end, tie }| {
        let (key, exact) = narrow_key::<A>(key);
        // If the type has no such threshold, every entry below it is pruned, and there is no tie.
        Threshold { key, end: if exact { end } else { Position::START }, tie }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::progress::Phase;

    /// A sample reads a run of neighbours, up to the end of the piece, with the same keys as the whole piece.
    #[test]
    fn a_look_is_at_a_run_of_neighbours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.safetensors");
        let numbers: ndarray::Array1<f32> = (0..300_000).map(|i| i as f32).collect();
        let tensors = [("a", ndarray::arr1(&[1.0, -2.0])), ("b", numbers)];
        crate::safetensors::save_file(&crate::store::ParameterStore::from_iter(tensors), &path).unwrap();
        let checkpoint = Checkpoint::open([&path]).unwrap();
        let parameters = || checkpoint.parameters.iter();
        let (pool, progress) = (Pool::default(), ProgressCounter::new(&(), Phase::Ranking, 0));
        let narrow = FileScores::<f32>::new(&checkpoint, parameters(), &pool, &progress);
        let wide = FileScores::<f64>::new(&checkpoint, parameters(), &pool, &progress);

        assert_eq!((narrow.entries(), wide.entries()), (300_002, 300_002));
        let lengths = |pieces: usize, len: &dyn Fn(usize) -> usize| (0..pieces).map(len).collect::<Vec<_>>();
        let block = 1 << 18;
        assert_eq!(lengths(narrow.pieces(), &|piece| narrow.len(piece)), [2, block, 300_000 - block]);
        let half = block / 2;
        assert_eq!(lengths(wide.pieces(), &|piece| wide.len(piece)), [2, half, half, 300_000 - block]);

        let last = 300_000 - block;
        for (piece, entry, expected) in [
            (0, 0, vec![1, 2]),
            (0, 1, vec![2]),
            (1, 0, (0..64).collect()),
            (1, 1000, (1000..1064).collect()),
            (1, block - 3, (block - 3..block).collect()),
            (2, 5, (block + 5..block + 69).collect()),
            (2, last - 1, vec![299_999]),
        ] {
            let mut keys = vec![7];
            narrow.peek(piece, entry, &mut keys).unwrap();
            let expected = expected.into_iter().map(|x: usize| (x as f32).key());
            assert_eq!(keys, [7].into_iter().chain(expected).collect::<Vec<_>>(), "{piece} {entry}");
        }
    }

    /// The limit is a 64th of the entries and one chunk, at most 32 MiB.
    #[test]
    fn keys_that_are_held() {
        let checkpoint =
            Checkpoint { shards: vec![], tensors: vec![], parameters: vec![], index: None, ignored_index: None };
        let (pool, progress) = (Pool::default(), ProgressCounter::new(&(), Phase::Ranking, 0));
        let room = |entries: usize| {
            let dtype = Dtype(::safetensors::Dtype::F32);
            let parameter =
                ParameterEntry { name: String::new(), dtype, shape: vec![entries], entries, weights: 0, mask: None };
            let parameter = std::iter::once(&parameter);
            let narrow = FileScores::<f32>::new(&checkpoint, parameter.clone(), &pool, &progress).room();
            let wide = FileScores::<f64>::new(&checkpoint, parameter, &pool, &progress).room();
            (narrow, wide)
        };
        assert_eq!(room(0), (CHUNK, CHUNK));
        assert_eq!(room(64_000), (CHUNK + 1000, CHUNK + 1000));
        assert_eq!(room(1 << 31), (8 << 20, 4 << 20));
    }
}
