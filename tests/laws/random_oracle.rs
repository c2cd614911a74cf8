//! The documented rule by which a seed chooses, in its plainest form.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Returns the `count` of `n` candidates that a seed prunes.
///
/// Candidate `i` draws byte `i` of ChaCha8's stream 0, and the lowest are pruned. The `j`-th candidate that drew the byte at the
/// boundary then draws word `j` of stream 1, and the lowest of those are pruned; among equal words, the first ones.
pub fn pruned_at_random(seed: u64, n: usize, count: usize) -> Vec<usize> {
    let mut bytes = vec![0_u8; n];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    let mut words = ChaCha8Rng::seed_from_u64(seed);
    words.set_stream(1);

    let mut sorted = bytes.clone();
    sorted.sort_unstable();
    let Some(&boundary) = count.checked_sub(1).and_then(|last| sorted.get(last)) else { return Vec::new() };
    let mut word = |byte| if byte == boundary { words.next_u32() } else { 0 };
    let keys: Vec<(u8, u32)> = bytes.into_iter().map(|byte| (byte, word(byte))).collect();
    let mut places: Vec<usize> = (0..n).collect();
    places.sort_by_key(|&place| keys[place]);
    places.truncate(count);
    places
}
