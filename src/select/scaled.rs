//! Scores times a factor for each place along the last axis.

use crate::element::Element;
use crate::key::{Key, Ranked};
use crate::select::scores::Scores;
use crate::tensor::chunk::{Chunk, Position};

/// Magnitudes times factors, in `f64`: one list of factors for each tensor, as long as its last axis.
///
/// The products are exact for `f32`, `f16` and `bf16`, so they rank alike wherever the magnitudes come from.
pub(crate) struct ScaledScores<'s, S: ?Sized, F> {
    scores: &'s S,
    factors: &'s [F],
}

impl<'s, S: ?Sized, F> ScaledScores<'s, S, F> {
    pub fn new(scores: &'s S, factors: &'s [F]) -> Self {
        Self { scores, factors }
    }
}

/// The score of an entry.
pub(crate) fn scaled<A: Element>(entry: A, factor: f32) -> f64 {
    // A cast between floats cannot fail.
    num_traits::cast::<_, f64>(entry.widen_abs()).unwrap_or(f64::NAN) * f64::from(factor)
}

/// The factors of neighbouring entries, from an offset on.
pub(crate) fn factors_from(factors: &[f32], offset: usize) -> impl Iterator<Item = f32> {
    let start = offset.checked_rem(factors.len()).unwrap_or_default();
    factors.iter().copied().cycle().skip(start)
}

impl<A: Element, S: Scores<Score = A> + ?Sized, F: AsRef<[f32]> + Sync> Scores for ScaledScores<'_, S, F> {
    type Score = f64;
    type Error = S::Error;
    const RUN: usize = S::RUN;

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
    fn with<R>(&self, piece: usize, look: impl FnOnce(&Chunk<'_, f64>) -> R) -> Result<R, S::Error> {
        self.scores.with(piece, |chunk| {
            let factors = factors_from(self.factors[chunk.start.segment].as_ref(), chunk.start.offset);
            let scores: Vec<f64> = chunk.scores.iter().zip(factors).map(|(&x, factor)| scaled(x, factor)).collect();
            look(&Chunk { start: chunk.start, scores: &scores, remaining: chunk.remaining })
        })
    }
    fn peek(&self, piece: usize, entry: usize, keys: &mut Vec<u64>) -> Result<(), S::Error> {
        let mut magnitudes = Vec::new();
        self.scores.peek(piece, entry, &mut magnitudes)?;
        let Position { segment, offset } = self.scores.start(piece);
        let factors = factors_from(self.factors[segment].as_ref(), offset + entry);
        keys.extend(magnitudes.into_iter().zip(factors).map(|(key, factor)| {
            if key == A::Key::MAX { u64::MAX } else { scaled::<A>(bytemuck::cast(key), factor).key() }
        }));
        Ok(())
    }
    fn room(&self) -> usize {
        self.scores.room() / 2
    }
}
