//! The scores of a selection: in memory, in a keystream, or in a file that may fail to be read.

use std::convert::Infallible;

use crate::key::Ranked;
use crate::tensor::chunk::{CHUNK, Chunk, Position};
use crate::tensor::parallel;

/// Scores in pieces, which are looked at one by one or all at once.
///
/// A piece consists of neighbouring entries of one tensor, enough to make fetching them worthwhile. The length of a piece is a
/// multiple of [`CHUNK`], except for the last piece of each tensor. No piece is empty.
pub(crate) trait Scores: Sync {
    type Score: Ranked;
    type Error: Send;

    /// The number of neighbours that one look of a sample takes in; more than one if a look is expensive.
    const RUN: usize;

    /// The number of entries of all pieces.
    fn entries(&self) -> usize;

    /// The number of pieces.
    fn pieces(&self) -> usize;

    /// The number of entries of a piece.
    fn len(&self, piece: usize) -> usize;

    /// Returns the first entry of a piece.
    fn start(&self, piece: usize) -> Position;

    /// Calls `look` with a piece and returns its result.
    fn with<R>(&self, piece: usize, look: impl FnOnce(&Chunk<'_, Self::Score>) -> R) -> Result<R, Self::Error>;

    /// Appends the keys of up to [`RUN`](Self::RUN) entries of a piece, starting with `entry`.
    fn peek(&self, piece: usize, entry: usize, keys: &mut Vec<<Self::Score as Ranked>::Key>)
    -> Result<(), Self::Error>;

    /// The number of keys that may be held in memory.
    fn room(&self) -> usize {
        self.entries() / 64 + 4 * CHUNK
    }

    /// Calls `look` with every piece and returns the results in the order of the pieces.
    fn map<R: Send>(&self, look: impl Fn(&Chunk<'_, Self::Score>) -> R + Send + Sync) -> Result<Vec<R>, Self::Error> {
        parallel::try_map(self.pieces(), self.entries(), |piece| self.with(piece, &look))
    }

    /// Adds all pieces to accumulators in no particular order, and merges these.
    fn fold<R: Send>(
        &self,
        zero: impl Fn() -> R + Send + Sync,
        add: impl Fn(R, &Chunk<'_, Self::Score>) -> R + Send + Sync,
        merge: impl Fn(R, R) -> R + Send + Sync,
    ) -> Result<R, Self::Error> {
        let add = |sum, piece| self.with(piece, |chunk| add(sum, chunk));
        parallel::try_fold(self.pieces(), self.entries(), zero, add, merge)
    }
}

/// Scores in memory. Each piece is a chunk.
impl<A: Ranked> Scores for [Chunk<'_, A>] {
    type Score = A;
    type Error = Infallible;
    const RUN: usize = 1;

    fn entries(&self) -> usize {
        self.iter().map(|chunk| chunk.scores.len()).sum()
    }
    fn pieces(&self) -> usize {
        <[Chunk<'_, A>]>::len(self)
    }
    fn len(&self, piece: usize) -> usize {
        self[piece].scores.len()
    }
    fn start(&self, piece: usize) -> Position {
        self[piece].start
    }
    fn with<R>(&self, piece: usize, look: impl FnOnce(&Chunk<'_, A>) -> R) -> Result<R, Infallible> {
        Ok(look(&self[piece]))
    }
    fn peek(&self, piece: usize, entry: usize, keys: &mut Vec<A::Key>) -> Result<(), Infallible> {
        keys.push(self[piece].key(entry));
        Ok(())
    }
    fn map<R: Send>(&self, look: impl Fn(&Chunk<'_, A>) -> R + Send + Sync) -> Result<Vec<R>, Infallible> {
        Ok(parallel::map(self, self.entries(), look))
    }
    fn fold<R: Send>(
        &self,
        zero: impl Fn() -> R + Send + Sync,
        add: impl Fn(R, &Chunk<'_, A>) -> R + Send + Sync,
        merge: impl Fn(R, R) -> R + Send + Sync,
    ) -> Result<R, Infallible> {
        Ok(parallel::fold(self, self.entries(), zero, add, merge))
    }
}

/// Returns the value of a result that cannot be an error.
pub(crate) fn infallible<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}
