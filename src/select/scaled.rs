//! Scores times a factor for each place along the last axis.

use crate::element::Element;
use crate::key::{Key, Ranked};
use crate::select::scores::Scores;
use crate::tensor::chunk::{Chunk, Position};

/// The neighbours that a sample reads together: as many as in a file, since it is not known here that they are in memory.
const RUN: usize = 64;

/// Magnitudes times factors, in `f64`: one list of factors for each tensor, as long as a row of its first axis.
///
/// The products are exact for `f32`, `f16` and `bf16`, so they rank alike wherever the magnitudes come from. The type of the
/// magnitudes is erased, so that the selection is compiled once for scaled scores and not once for each element type.
pub(crate) struct ScaledScores<'s, E> {
    magnitudes: &'s dyn Magnitudes<E>,
    room: usize,
}

/// Scores of any element type, and their factors.
pub(crate) struct Factored<'s, S: ?Sized, F> {
    pub scores: &'s S,
    pub factors: &'s [F],
}

/// [`Scores`] without the type of the score.
trait Magnitudes<E>: Sync {
    fn entries(&self) -> usize;
    fn pieces(&self) -> usize;
    fn len(&self, piece: usize) -> usize;
    fn start(&self, piece: usize) -> Position;
    fn with(&self, piece: usize, look: &mut dyn FnMut(&Chunk<'_, f64>)) -> Result<(), E>;
    fn peek(&self, piece: usize, entry: usize, keys: &mut Vec<u64>) -> Result<(), E>;
}

/// The score of an entry.
pub(crate) fn scaled<A: Element>(entry: A, factor: f32) -> f64 {
    let magnitude: f64 = entry.widen_abs().into();
    magnitude * f64::from(factor)
}

/// The factors of neighbouring entries, from an offset on.
pub(crate) fn factors_from(factors: &[f32], offset: usize) -> impl Iterator<Item = f32> {
    let start = offset.checked_rem(factors.len()).unwrap_or_default();
    factors.iter().copied().cycle().skip(start)
}

impl<A: Element, S: Scores<Score = A> + ?Sized, F: AsRef<[f32]> + Sync> Magnitudes<S::Error> for Factored<'_, S, F> {
    fn entries(&self) -> usize {
        self.scores.entries()
    }
    fn pieces(&self) -> usize {
        self.scores.pieces()
    }
    fn len(&self, piece: usize) -> usize {
        self.scores.len(piece)
    }
    fn start(&self, piece: usize) -> Position {
        self.scores.start(piece)
    }
    fn with(&self, piece: usize, look: &mut dyn FnMut(&Chunk<'_, f64>)) -> Result<(), S::Error> {
        self.scores.with(piece, |chunk| {
            let factors = factors_from(self.factors[chunk.start.segment].as_ref(), chunk.start.offset);
            let scores: Vec<f64> = chunk.scores.iter().zip(factors).map(|(&x, factor)| scaled(x, factor)).collect();
            look(&Chunk { start: chunk.start, scores: &scores, remaining: chunk.remaining });
        })
    }
    fn peek(&self, piece: usize, entry: usize, keys: &mut Vec<u64>) -> Result<(), S::Error> {
        let mut magnitudes = Vec::new();
        let end = (entry + RUN).min(self.scores.len(piece));
        for at in (entry..end).step_by(S::RUN) {
            self.scores.peek(piece, at, &mut magnitudes)?;
        }
        magnitudes.truncate(end - entry);
        let Position { segment, offset } = self.scores.start(piece);
        let factors = factors_from(self.factors[segment].as_ref(), offset + entry);
        keys.extend(magnitudes.into_iter().zip(factors).map(|(key, factor)| {
            if key == A::Key::MAX { u64::MAX } else { scaled::<A>(bytemuck::cast(key), factor).key() }
        }));
        Ok(())
    }
}

impl<'s, E> ScaledScores<'s, E> {
    /// Multiplies the scores by their factors.
    pub fn new<A, S, F>(factored: &'s Factored<'s, S, F>) -> Self
    where
        A: Element,
        S: Scores<Score = A, Error = E> + ?Sized,
        F: AsRef<[f32]> + Sync,
    {
        // Keys of `f64` take up to four times the memory of the element's own.
        Self { magnitudes: factored, room: factored.scores.room() / 2 }
    }
}

impl<E: Send> Scores for ScaledScores<'_, E> {
    type Score = f64;
    type Error = E;
    const RUN: usize = RUN;

    fn entries(&self) -> usize {
        self.magnitudes.entries()
    }
    fn pieces(&self) -> usize {
        self.magnitudes.pieces()
    }
    fn len(&self, piece: usize) -> usize {
        self.magnitudes.len(piece)
    }
    fn start(&self, piece: usize) -> Position {
        self.magnitudes.start(piece)
    }
    fn with<R>(&self, piece: usize, look: impl FnOnce(&Chunk<'_, f64>) -> R) -> Result<R, E> {
        let (mut look, mut result) = (Some(look), None);
        self.magnitudes.with(piece, &mut |chunk| result = look.take().map(|look| look(chunk)))?;
        Ok(result.expect("a piece that can be read is looked at once"))
    }
    fn peek(&self, piece: usize, entry: usize, keys: &mut Vec<u64>) -> Result<(), E> {
        self.magnitudes.peek(piece, entry, keys)
    }
    fn room(&self) -> usize {
        self.room
    }
}
