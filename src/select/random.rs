//! Pruning k of n entries at random: every set of k equally likely, the same for a seed on every machine and any number of threads,
//! with nothing of length n in memory.
//!
//! Living entry i draws byte i of a ChaCha8 keystream, and the k lowest go. Entries that drew the byte at the boundary are told apart
//! by a second draw: the j-th of them, in order, draws word j of a second keystream, and the cut among them is found as for any other
//! scores. Since a keystream can be entered anywhere, nothing drawn is kept: each chunk makes its own bytes, once to count and once to
//! write.

use std::convert::Infallible;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::select::scores::{Scores, infallible};
use crate::select::{Threshold, lowest_of};
use crate::tensor::chunk::{CHUNK, Chunk, Position, Segment, chunks, count_true, running_sum};
use crate::tensor::parallel;

/// Bytes whose numbers of entries are counted at once: the boundary's is nearly always among three neighbours.
const WINDOW: usize = 3;
/// Entries whose count fits in a byte, so that counts share the vector lanes of the bytes counted.
const SHORT: usize = 128;

/// Who goes, found for all entries.
#[derive(Debug)]
pub struct RandomSubset {
    bytes: ChaCha8Rng,
    /// Entries that drew less go, those that drew more stay.
    boundary: u8,
    /// Second draws of those at the boundary.
    words: Keystream,
    cut: Threshold<u32>,
    starts: Vec<Start>,
}

/// What comes before a chunk.
#[derive(Clone, Copy, Debug)]
struct Start {
    /// Living entries.
    living: usize,
    /// Of those, how many drew the byte at the boundary.
    ties: usize,
}

impl RandomSubset {
    /// Draws for the living entries of all segments, of which `k` are to go. What the scores are plays no role.
    ///
    /// `k` is at most the number of living entries.
    pub fn new<A: Sync>(seed: u64, segments: &[Segment<'_, A>], k: usize) -> Self {
        let chunks = chunks(segments);
        let entries = chunks.iter().map(|chunk| chunk.scores.len()).sum();
        let living = parallel::map(&chunks, entries, |chunk| chunk.remaining.map_or(chunk.scores.len(), count_true));
        Self::of(seed, &living, entries, k)
    }

    /// [`new`](Self::new) for chunks of which only the numbers of living entries are known, and of all entries together.
    pub fn of(seed: u64, living: &[usize], entries: usize, k: usize) -> Self {
        let bytes = ChaCha8Rng::seed_from_u64(seed);
        let total = living.iter().sum::<usize>();
        let spans: Vec<_> = running_sum(living).zip(living.iter().copied()).collect();

        // The boundary is close to k's share of 256; if it is not in the window there, the window moves.
        let mut first = (k.saturating_mul(256) / total.max(1)).saturating_sub(WINDOW / 2).min(256 - WINDOW);
        let (boundary, below, ties) = loop {
            let counts = parallel::map(&spans, entries, |&(start, len)| count(&bytes, start, len, first as u8));
            let totals: [usize; WINDOW + 1] = std::array::from_fn(|i| counts.iter().map(|count| count[i]).sum());
            // How many drew less than `first`, than the next byte, ...
            let below: [usize; WINDOW + 1] = std::array::from_fn(|i| totals[..=i].iter().sum());
            match below.partition_point(|&below| below < k) {
                0 if first > 0 => first = first.saturating_sub(WINDOW),
                i if i > WINDOW => first = (first + WINDOW).min(256 - WINDOW),
                i => {
                    // It is 0 here only if k is: nobody at the boundary goes.
                    let i = i.max(1);
                    break (
                        (first + i - 1) as u8,
                        below[i - 1],
                        counts.iter().map(|count| count[i]).collect::<Vec<_>>(),
                    );
                }
            }
        };
        let starts = running_sum(living).zip(running_sum(&ties)).map(|(living, ties)| Start { living, ties }).collect();
        let mut stream = bytes.clone();
        stream.set_stream(1);
        let words = Keystream::new(stream, ties.iter().sum());
        let cut = infallible(lowest_of(&words, k - below));
        Self { bytes, boundary, words, cut, starts }
    }

    /// Which `k` of so many go.
    pub fn among(seed: u64, count: usize, k: usize) -> Vec<bool> {
        // What is drawn for has no values, and takes no memory.
        let nothing = vec![(); count];
        let draw = Self::new(seed, &[Segment { scores: &nothing, remaining: None }], k);
        let mut kept = vec![true; count];
        for (index, kept) in kept.chunks_mut(CHUNK).enumerate() {
            draw.clear(index, kept);
        }
        kept.into_iter().map(|kept| !kept).collect()
    }

    /// Clears what is pruned in the chunk of this number of a mask, which comes as it was when the draw was made.
    pub fn clear(&self, index: usize, mask: &mut [bool]) {
        let mut buffer = [0; CHUNK + 4];
        let Start { living, ties } = self.starts[index];
        let mut ties = self
            .words
            .starting_at(ties)
            .enumerate()
            .map(|(i, word)| !self.cut.prunes(word, Position { segment: 0, offset: ties + i }));
        // There is a word for every tie.
        let mut keeps_tie = || ties.next().unwrap_or_default();
        let count = count_true(mask);
        let bytes = keystream(&self.bytes, living, count, &mut buffer);
        if count == mask.len() {
            for (mask, bytes) in mask.chunks_mut(32).zip(bytes.chunks(32)) {
                mask.iter_mut().zip(bytes).for_each(|(mask, &byte)| *mask = byte > self.boundary);
                if bytes.iter().fold(false, |tie, &byte| tie | (byte == self.boundary)) {
                    for (mask, _) in mask.iter_mut().zip(bytes).filter(|&(_, &byte)| byte == self.boundary) {
                        *mask = keeps_tie();
                    }
                }
            }
        } else {
            let living = mask.iter_mut().filter(|mask| **mask);
            for (mask, &byte) in living.zip(bytes) {
                *mask = byte > self.boundary;
                if byte == self.boundary {
                    *mask = keeps_tie();
                }
            }
        }
    }
}

/// The first words of a keystream: up to a chunk of them is kept, more are made when they are looked at.
#[derive(Debug)]
struct Keystream {
    stream: ChaCha8Rng,
    count: usize,
    kept: Vec<u32>,
}

impl Keystream {
    fn new(stream: ChaCha8Rng, count: usize) -> Self {
        let mut words = Self { stream, count, kept: Vec::new() };
        if count <= CHUNK {
            words.kept = words.made(0).collect();
        }
        words
    }

    /// The words from one on, in order.
    fn starting_at(&self, first: usize) -> impl Iterator<Item = u32> {
        let kept = self.kept.get(first..).unwrap_or_default();
        let made = self.kept.is_empty().then(|| self.made(first));
        kept.iter().copied().chain(made.into_iter().flatten())
    }

    fn made(&self, first: usize) -> impl Iterator<Item = u32> + use<> {
        let mut stream = self.stream.clone();
        stream.set_word_pos(first as u128);
        // The largest key is not for living entries.
        (first..self.count).map(move |_| stream.next_u32().min(u32::MAX - 1))
    }
}

impl Scores for Keystream {
    type Score = u32;
    type Error = Infallible;
    // As many as the generator makes at once.
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
        let scores = if self.kept.is_empty() {
            made = self.made(offset).take(CHUNK).collect();
            &made
        } else {
            &self.kept
        };
        Ok(look(&Chunk { start: Position { segment: 0, offset }, scores, remaining: None }))
    }
    fn peek(&self, piece: usize, entry: usize, keys: &mut Vec<u32>) -> Result<(), Infallible> {
        keys.extend(self.starting_at(piece * CHUNK + entry).take(Self::RUN.min(self.len(piece) - entry)));
        Ok(())
    }
}

/// Bytes `start..start + len` of a keystream, in `buffer`.
fn keystream<'a>(stream: &ChaCha8Rng, start: usize, len: usize, buffer: &'a mut [u8; CHUNK + 4]) -> &'a [u8] {
    // A keystream is entered at a word.
    let mut stream = stream.clone();
    stream.set_word_pos((start / 4) as u128);
    stream.fill_bytes(&mut buffer[..start % 4 + len]);
    &buffer[start % 4..start % 4 + len]
}

/// Of the bytes `start..start + len`, how many are below `first`, and how many are it and each that follows in the window.
fn count(stream: &ChaCha8Rng, start: usize, len: usize, first: u8) -> [usize; WINDOW + 1] {
    let mut buffer = [0; CHUNK + 4];
    let mut totals = [0; WINDOW + 1];
    for part in keystream(stream, start, len, &mut buffer).chunks(SHORT) {
        let mut counts = [0_u8; WINDOW + 1];
        for &byte in part {
            counts[0] += u8::from(byte < first);
            (1..=WINDOW).for_each(|i| counts[i] += u8::from(byte == first + (i - 1) as u8));
        }
        totals.iter_mut().zip(counts).for_each(|(total, count)| *total += usize::from(count));
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(888)
    }

    /// Kept or made anew, in one chunk or in many, the words are those of the stream, and the lowest of them go.
    #[test]
    fn words_are_the_same_wherever_they_are_entered() {
        for count in [0, 1, 63, 64, 65, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            let mut plain = stream();
            let all: Vec<u32> = (0..count).map(|_| plain.next_u32()).collect();
            let words = Keystream::new(stream(), count);
            assert_eq!(words.entries(), count);
            assert_eq!(words.kept.is_empty(), count == 0 || count > CHUNK);
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
                let cut = infallible(lowest_of(&words, k));
                let mut pruned = order[..k].to_vec();
                pruned.sort_unstable();
                let cut = |&i: &usize| cut.prunes(all[i], Position { segment: 0, offset: i });
                assert!((0..count).filter(cut).eq(pruned), "{k} of {count}");
            }
        }
    }

    /// The largest key is that of pruned entries. This word of the stream was searched for.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn no_word_is_the_largest_key() {
        const PLACE: usize = 5_018_689_932;
        let mut plain = stream();
        plain.set_word_pos(PLACE as u128);
        assert_eq!(plain.next_u32(), u32::MAX);
        assert_eq!(Keystream::new(stream(), PLACE + 1).starting_at(PLACE).next(), Some(u32::MAX - 1));
    }

    /// With few entries the boundary may be far from where it is looked for first, up to either end.
    #[test]
    fn the_lowest_go_whatever_was_drawn() {
        for seed in 0..400 {
            let mut stream = ChaCha8Rng::seed_from_u64(seed);
            let count = 1 + seed as usize % 90;
            let mut bytes = vec![0; count];
            stream.clone().fill_bytes(&mut bytes);
            stream.set_stream(1);
            for k in 0..=count {
                let mut order: Vec<usize> = (0..count).collect();
                order.sort_by_key(|&i| bytes[i]);
                let boundary = bytes[order[k.saturating_sub(1)]];
                // Those at the boundary draw again, in their order.
                let mut again = stream.clone();
                let words: Vec<u32> =
                    bytes.iter().map(|&byte| if byte == boundary { again.next_u32() } else { 0 }).collect();
                order.sort_by_key(|&i| (bytes[i], words[i]));
                let mut expected = vec![false; count];
                order[..k].iter().for_each(|&i| expected[i] = true);
                assert_eq!(RandomSubset::among(seed, count, k), expected, "seed {seed}, {k} of {count}");
            }
        }
    }

    #[test]
    fn nobody_goes_or_everybody() {
        for count in [0, 1, 1000, CHUNK + 1] {
            assert_eq!(RandomSubset::among(888, count, 0), vec![false; count]);
            assert_eq!(RandomSubset::among(888, count, count), vec![true; count]);
        }
    }

    /// Two draws of one word are rare; who goes is then decided by the order of the entries.
    #[test]
    fn equal_words_at_the_cut_are_told_apart_by_their_order() {
        let (count, k) = (CHUNK + 3000, CHUNK / 2);
        let nothing = vec![(); count];
        let mut draw = RandomSubset::new(888, &[Segment { scores: &nothing, remaining: None }], k);
        let bytes = keystream_of(count);
        let ties: Vec<usize> = (0..count).filter(|&i| bytes[i] == draw.boundary).collect();
        for last in [0, 1, ties.len() - 1] {
            let word = draw.words.starting_at(last).next().unwrap();
            for (end, pruned) in [(last, false), (last + 1, true)] {
                draw.cut = Threshold { key: word, end: Position { segment: 0, offset: end }, tie: true };
                let mut kept = vec![true; count];
                kept.chunks_mut(CHUNK).enumerate().for_each(|(index, kept)| draw.clear(index, kept));
                assert_eq!(kept[ties[last]], !pruned, "tie {last}, cut before {end}");
            }
        }
    }

    fn keystream_of(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        stream().fill_bytes(&mut bytes);
        bytes
    }

    #[test]
    fn a_keystream_is_entered_anywhere() {
        let bytes = keystream_of(CHUNK + 100);
        for start in [0, 1, 2, 3, 4, 5, 63, 64, 97] {
            for len in [0, 1, 3, 4, CHUNK] {
                assert_eq!(keystream(&stream(), start, len, &mut [0; CHUNK + 4]), &bytes[start..start + len]);
            }
        }
    }
}
