//! The radix search: exact and linear for all data, but slower than the scan.

use crate::key::Key;
use crate::select::scores::Scores;
use crate::select::{KeyOf, KeyRank};
use crate::tensor::chunk::Chunk;

/// The number of key bits that one pass settles.
const RADIX_BITS: u32 = 11;

/// Finds the k-th lowest key in the interval from `lo` to `hi`, which contains it. `below` entries are below `lo`.
pub(super) fn radix<S: Scores + ?Sized>(
    scores: &S,
    mut lo: KeyOf<S>,
    mut hi: KeyOf<S>,
    mut below: usize,
    k: usize,
) -> Result<KeyRank<KeyOf<S>>, S::Error> {
    const BINS: usize = 1 << RADIX_BITS;
    let one = KeyOf::<S>::ONE;
    loop {
        // The interval is cut into up to 2048 bins of 2^shift keys each. One more bin takes the entries outside.
        let width = hi - lo;
        let shift = width.bits().saturating_sub(RADIX_BITS);
        let bin = |key: KeyOf<S>| {
            let distance = key.wrapping_sub(lo);
            if distance <= width { (distance >> shift).to_usize() } else { BINS }
        };
        let add = |mut totals: Vec<usize>, piece: &Chunk<'_, S::Score>| {
            for chunk in piece.parts() {
                // Neighbours count in four tables, since equal ones would wait for each other's addition.
                let mut counts = [[0_u16; BINS + 1]; 4];
                chunk.keys().enumerate().for_each(|(i, key)| counts[i % 4][bin(key)] += 1);
                for (i, total) in totals.iter_mut().enumerate() {
                    *total += counts.iter().map(|counts| usize::from(counts[i])).sum::<usize>();
                }
            }
            totals
        };
        let merge = |a: Vec<usize>, b: Vec<usize>| a.iter().zip(b).map(|(a, b)| a + b).collect();
        let totals = scores.fold(|| vec![0; BINS + 1], add, merge)?;

        let mut first = lo;
        let mut at = totals[0];
        for &next in &totals[1..] {
            if k <= below + at {
                break;
            }
            below += at;
            first = first + (one << shift);
            at = next;
        }
        lo = first;
        hi = hi.min(lo + ((one << shift) - one));
        if shift == 0 {
            return Ok(KeyRank { key: lo, below, at });
        }
    }
}
