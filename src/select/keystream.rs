//! A ChaCha8 keystream, entered anywhere: its bytes and its words.

use std::convert::Infallible;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use crate::select::scores::Scores;
use crate::tensor::chunk::{CHUNK, Chunk, Position};

/// The first words of a keystream, as scores. Up to [`CHUNK`] words are stored, more are made when they are looked at.
#[derive(Debug)]
pub(super) struct Keystream {
    stream: ChaCha8Rng,
    count: usize,
    /// All words, or none if they are more than a chunk.
    stored: Vec<u32>,
}

impl Keystream {
    /// Takes the first `count` words of a stream.
    pub fn new(stream: ChaCha8Rng, count: usize) -> Self {
        let mut words = Self { stream, count, stored: Vec::new() };
        if count <= CHUNK {
            words.stored = words.made(0).collect();
        }
        words
    }

    /// Returns the words from word `first` on, in order.
    pub fn starting_at(&self, first: usize) -> impl Iterator<Item = u32> {
        let stored = self.stored.get(first..).unwrap_or_default();
        let made = self.stored.is_empty().then(|| self.made(first));
        stored.iter().copied().chain(made.into_iter().flatten())
    }

    /// Makes the words from word `first` on.
    fn made(&self, first: usize) -> impl Iterator<Item = u32> + use<> {
        let mut stream = self.stream.clone();
        stream.set_word_pos(first as u128);
        // The largest key is that of pruned entries.
        (first..self.count).map(move |_| stream.next_u32().min(u32::MAX - 1))
    }
}

impl Scores for Keystream {
    type Score = u32;
    type Error = Infallible;
    // The number of words that the generator makes at once.
    const RUN: usize = 64;

    fn entries(&self) -> usize {
        self.count
    }
    fn pieces(&self) -> usize {
        self.count.div_ceil(CHUNK)
    }
    fn len(&self, piece: usize) -> usize {
        CHUNK.min(self.count - piece * CHUNK)
    }
    fn start(&self, piece: usize) -> Position {
        Position { segment: 0, offset: piece * CHUNK }
    }
    fn with<R>(&self, piece: usize, look: impl FnOnce(&Chunk<'_, u32>) -> R) -> Result<R, Infallible> {
        let offset = piece * CHUNK;
        let made: Vec<_>;
        let scores = if self.stored.is_empty() {
            made = self.made(offset).take(CHUNK).collect();
            &made
        } else {
            &self.stored
        };
        Ok(look(&Chunk { start: Position { segment: 0, offset }, scores, remaining: None }))
    }
    fn peek(&self, piece: usize, entry: usize, keys: &mut Vec<u32>) -> Result<(), Infallible> {
        keys.extend(self.starting_at(piece * CHUNK + entry).take(Self::RUN.min(self.len(piece) - entry)));
        Ok(())
    }
}

/// Writes bytes `start..start + len` of a keystream to `buffer` and returns them.
pub(super) fn bytes_of<'a>(stream: &ChaCha8Rng, start: usize, len: usize, buffer: &'a mut [u8; CHUNK + 4]) -> &'a [u8] {
    // A keystream is entered at a word.
    let mut stream = stream.clone();
    stream.set_word_pos((start / 4) as u128);
    stream.fill_bytes(&mut buffer[..start % 4 + len]);
    &buffer[start % 4..start % 4 + len]
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::select::lowest_of;
    use crate::select::scores::infallible;

    fn stream() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(888)
    }

    /// Stored or made again, in one chunk or in many, the words are those of the stream, and the lowest are pruned.
    #[test]
    fn words_are_the_same_wherever_they_are_entered() {
        for count in [0, 1, 63, 64, 65, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            let mut plain = stream();
            let all: Vec<u32> = (0..count).map(|_| plain.next_u32()).collect();
            let words = Keystream::new(stream(), count);
            assert_eq!(words.entries(), count);
            assert_eq!(words.stored.is_empty(), count == 0 || count > CHUNK);
            for first in
                [0, 1, 16, 17, CHUNK - 1, CHUNK, 2 * CHUNK + 5, count].into_iter().filter(|&first| first <= count)
            {
                assert!(words.starting_at(first).eq(all[first..].iter().copied()), "{count} words from {first} on");
            }
            assert_eq!((0..words.pieces()).map(|piece| words.len(piece)).sum::<usize>(), count);
            for piece in 0..words.pieces() {
                let expected = &all[piece * CHUNK..][..words.len(piece)];
                assert!(infallible(words.with(piece, |chunk| chunk.scores == expected)));
                for entry in [0, 1, words.len(piece) - 1] {
                    let mut keys = Vec::new();
                    infallible(words.peek(piece, entry, &mut keys));
                    assert_eq!(keys, expected[entry..][..Keystream::RUN.min(expected.len() - entry)]);
                }
            }
            let mut order: Vec<usize> = (0..count).collect();
            order.sort_by_key(|&i| all[i]);
            for k in [1, count / 3, count].into_iter().filter(|&k| 0 < k && k <= count) {
                let threshold = infallible(lowest_of(&words, k));
                let mut pruned = order[..k].to_vec();
                pruned.sort_unstable();
                let prunes = |&i: &usize| threshold.prunes(all[i], Position { segment: 0, offset: i });
                assert!((0..count).filter(prunes).eq(pruned), "{k} of {count}");
            }
        }
    }

    /// The largest key is that of pruned entries. This word of the stream was searched for.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn no_word_is_the_largest_key() {
        const INDEX: usize = 5_018_689_932;
        let mut plain = stream();
        plain.set_word_pos(INDEX as u128);
        assert_eq!(plain.next_u32(), u32::MAX);
        assert_eq!(Keystream::new(stream(), INDEX + 1).starting_at(INDEX).next(), Some(u32::MAX - 1));
    }

    #[test]
    fn a_keystream_is_entered_anywhere() {
        let mut bytes = vec![0; CHUNK + 100];
        stream().fill_bytes(&mut bytes);
        for start in [0, 1, 2, 3, 4, 5, 63, 64, 97] {
            for len in [0, 1, 3, 4, CHUNK] {
                assert_eq!(bytes_of(&stream(), start, len, &mut [0; CHUNK + 4]), &bytes[start..start + len]);
            }
        }
    }
}
