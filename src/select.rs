//! The `k` lowest of many scores: the one ranking that every method uses.
//!
//! The order is that of magnitudes (NaN highest), and among equals the lowest index comes first. Both are promises.

use crate::Element;
use crate::candidates::{Candidates, Segment};
use crate::element::Key;

/// Where the pruned scores end: below a key, and among the scores equal to it before a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut<K> {
    pub key: K,
    /// Scores equal to `key` are pruned up to here.
    pub end: Position,
    /// Whether equal scores lie on both sides of the cut, so that their order decides.
    pub tie: bool,
}

/// A place among the candidates: a tensor, and the row-major offset in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub segment: usize,
    pub offset: usize,
}

impl<K: Key> Cut<K> {
    /// Whether a candidate with this key at this position is pruned.
    pub fn prunes(&self, key: K, position: Position) -> bool {
        key < self.key || (key == self.key && position < self.end)
    }
}

/// The cut below which `count` > 0 candidates lie.
pub(crate) fn lowest_magnitudes<A: Element>(candidates: &Candidates<'_, A>, count: usize) -> Cut<A::Key> {
    let mut keys: Vec<A::Key> = candidates.living().map(A::magnitude).collect();
    let (below, &mut key, _) = keys.select_nth_unstable(count - 1);
    let equal_wanted = count - below.iter().filter(|&&k| k < key).count();
    let mut equal = candidates.segments.iter().enumerate().flat_map(|(segment, part)| {
        let equals = move |&offset: &usize| is_candidate(part, offset) && part.flat()[offset].magnitude() == key;
        (0..part.scores.len()).filter(equals).map(move |offset| Position { segment, offset })
    });
    let last = equal.nth(equal_wanted - 1).unwrap_or(Position { segment: usize::MAX, offset: 0 });
    Cut { key, end: Position { offset: last.offset + 1, ..last }, tie: equal.next().is_some() }
}

fn is_candidate<A: Element>(segment: &Segment<'_, A>, offset: usize) -> bool {
    segment.alive().is_none_or(|alive| alive[offset])
}

/// Which of the keys are the `count` lowest, and whether a tie decided.
pub(crate) fn lowest_keys<K: Key>(keys: &[K], count: usize) -> (Vec<bool>, bool) {
    if count == 0 {
        return (vec![false; keys.len()], false);
    }
    let mut ranked = keys.to_vec();
    let (below, &mut cut, _) = ranked.select_nth_unstable(count - 1);
    let mut equal_wanted = count - below.iter().filter(|&&key| key < cut).count();
    let mut tie = false;
    let lowest = keys
        .iter()
        .map(|&key| {
            let equal = key == cut;
            let taken = key < cut || (equal && equal_wanted > 0);
            equal_wanted -= usize::from(equal && taken);
            tie |= equal && !taken;
            taken
        })
        .collect();
    (lowest, tie)
}
