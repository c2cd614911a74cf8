//! One bit per entry and the kept entries: the inner loops of packing and unpacking, for memory and files.
//!
//! Entry `i` of a row is bit `i % 8` of byte `i / 8`. A row begins with a byte, and the remaining bits of its last byte are 0.

/// The number of entries that are packed at a time.
const WORD: usize = 64;

/// Returns the bytes that a row of `columns` entries takes.
pub(crate) fn row_bytes(columns: usize) -> usize {
    columns.div_ceil(8)
}

/// Packs neighbouring entries of one row, which begin at a multiple of 8. `kept` is given the position of an entry among them,
/// and the entry. Returns the number of kept entries, which are the beginning of `values`.
#[inline]
pub(crate) fn pack<A: Copy>(
    entries: &[A],
    kept: impl Fn(usize, A) -> bool,
    bits: &mut [u8],
    values: &mut [A],
) -> usize {
    let mut count = 0;
    for (number, (part, bits)) in entries.chunks(WORD).zip(bits.chunks_mut(WORD / 8)).enumerate() {
        let kept = |i: usize, entry: A| kept(number * WORD + i, entry);
        // Of a known length, the loop is unrolled.
        let mut word = match part.first_chunk::<WORD>() {
            Some(part) => word_of(part, kept),
            None => word_of(part, kept),
        };
        match bits.first_chunk_mut() {
            Some(bits) => *bits = word.to_le_bytes(),
            None => bits.copy_from_slice(&word.to_le_bytes()[..bits.len()]),
        }
        while word != 0 {
            values[count] = part[word.trailing_zeros() as usize];
            word &= word - 1;
            count += 1;
        }
    }
    count
}

/// Returns the bits of up to 64 entries.
#[inline(always)]
fn word_of<A: Copy>(part: &[A], kept: impl Fn(usize, A) -> bool) -> u64 {
    part.iter().enumerate().fold(0, |word, (i, &entry)| word | u64::from(kept(i, entry)) << i)
}

/// Unpacks neighbouring entries of one row, the first of which is the first bit. Returns the number of bits that are 1. If there
/// are fewer values, the last of these entries are zero.
#[inline]
pub(crate) fn unpack<A: Copy + Default>(bits: &[u8], values: &[A], entries: &mut [A]) -> usize {
    let (mut values, mut count) = (values.iter(), 0);
    for (bits, part) in bits.chunks(WORD / 8).zip(entries.chunks_mut(WORD)) {
        part.fill(A::default());
        let mut word = word(bits);
        count += word.count_ones() as usize;
        while word != 0 {
            // Bits after the last entry are zero, as was checked.
            let Some(entry) = part.get_mut(word.trailing_zeros() as usize) else { break };
            *entry = values.next().copied().unwrap_or_default();
            word &= word - 1;
        }
    }
    count
}

/// Returns up to 8 bytes as a word.
#[inline(always)]
pub(crate) fn word(bits: &[u8]) -> u64 {
    match bits.first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => bits.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

/// Returns the numbers of the bits that are 1, in order.
#[inline(always)]
pub(crate) fn ones(mut word: u64) -> impl Iterator<Item = u32> + Clone {
    std::iter::from_fn(move || {
        let first = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (first < u64::BITS).then_some(first)
    })
}

/// Returns the number of bits that are 1.
#[cfg(any(test, feature = "safetensors"))]
pub(crate) fn count(bits: &[u8]) -> usize {
    bits.chunks(8).map(|bits| word(bits).count_ones() as usize).sum()
}

/// Returns `true` if the bits of a row after its last entry are 0. `bits` are its last bytes.
#[cfg(any(test, feature = "safetensors"))]
pub(crate) fn is_padded(bits: &[u8], columns: usize) -> bool {
    columns.is_multiple_of(8) || bits.last().is_none_or(|last| last >> (columns % 8) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_length_are_packed_and_unpacked() {
        for columns in 0..200 {
            let entries: Vec<u32> = (0..columns as u32).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
            for keep in [|_: u32| true, |_| false, |x: u32| x >> 31 == 1] {
                let mut bits = vec![0xff; row_bytes(columns)];
                let expected: Vec<u32> = entries.iter().copied().filter(|&x| keep(x)).collect();
                let mut values = vec![0; expected.len()];
                assert_eq!(pack(&entries, |_, entry| keep(entry), &mut bits, &mut values), expected.len());
                assert_eq!((values, count(&bits)), (expected.clone(), expected.len()));
                assert!(is_padded(&bits, columns));
                for (i, &entry) in entries.iter().enumerate() {
                    assert_eq!(bits[i / 8] >> (i % 8) & 1 == 1, keep(entry));
                }
                let mut unpacked = vec![7; columns];
                assert_eq!(unpack(&bits, &expected, &mut unpacked), expected.len());
                let dense: Vec<u32> = entries.iter().map(|&x| if keep(x) { x } else { 0 }).collect();
                assert_eq!(unpacked, dense);
            }
        }
    }

    #[test]
    fn padding_is_zero() {
        assert!(is_padded(&[0b11], 2) && !is_padded(&[0b100], 2) && is_padded(&[0xff], 8) && is_padded(&[], 0));
    }
}
