//! One bit per entry and the kept entries: the inner loops of packing and unpacking, for memory and files.
//!
//! Entry `i` of a row is bit `i % 8` of byte `i / 8`. A row begins with a byte, and the remaining bits of its last byte are 0.

/// The number of entries that are packed at a time.
const WORD: usize = 64;

/// Returns the bytes that a row of so many entries takes.
pub(crate) fn row_bytes(columns: usize) -> usize {
    columns.div_ceil(8)
}

/// Packs neighbouring entries of one row, which begin at a multiple of 8. Returns the number of kept entries, which are the
/// beginning of `values`.
#[inline]
pub(crate) fn pack<A: Copy + Default>(
    entries: &[A],
    kept: impl Fn(usize) -> bool,
    bits: &mut [u8],
    values: &mut [A],
) -> usize {
    let mut count = 0;
    for (number, (part, bits)) in entries.chunks(WORD).zip(bits.chunks_mut(WORD / 8)).enumerate() {
        // Every entry is stored and only the kept ones are stepped over: a branch would be mispredicted half of the time.
        let mut stage = [A::default(); WORD];
        let (mut word, mut kept_here) = (0_u64, 0);
        for (i, &entry) in part.iter().enumerate() {
            let kept = kept(number * WORD + i);
            stage[kept_here % WORD] = entry;
            word |= u64::from(kept) << i;
            kept_here += usize::from(kept);
        }
        bits.copy_from_slice(&word.to_le_bytes()[..bits.len()]);
        values[count..count + kept_here].copy_from_slice(&stage[..kept_here]);
        count += kept_here;
    }
    count
}

/// Unpacks neighbouring entries of one row, the first of which is the first bit. Returns the number of values that were taken;
/// if there are too few, the last ones are repeated.
#[inline]
pub(crate) fn unpack<A: Copy + Default>(bits: &[u8], values: &[A], entries: &mut [A]) -> usize {
    let mut count = 0;
    for (bits, part) in bits.chunks(WORD / 8).zip(entries.chunks_mut(WORD)) {
        let mut stage = [A::default(); WORD];
        let rest = values.get(count..).unwrap_or_default();
        let values = match rest.first_chunk::<WORD>() {
            Some(values) => values,
            None => {
                stage[..rest.len()].copy_from_slice(rest);
                &stage
            }
        };
        let word = word(bits);
        let mut taken = 0;
        for (i, entry) in part.iter_mut().enumerate() {
            let kept = word >> i & 1 == 1;
            let value = values[taken % WORD];
            *entry = if kept { value } else { A::default() };
            taken += usize::from(kept);
        }
        count += taken;
    }
    count
}

/// Returns up to 8 bytes as a word.
#[inline(always)]
pub(crate) fn word(bits: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes[..bits.len()].copy_from_slice(bits);
    u64::from_le_bytes(bytes)
}

/// Returns the number of bits that are 1.
#[cfg(any(test, feature = "safetensors"))]
pub(crate) fn count(bits: &[u8]) -> usize {
    bits.chunks(8).map(|bits| word(bits).count_ones() as usize).sum()
}

/// Returns `true` if the bits of a row after its last entry are 0. `bits` are its last bytes.
#[cfg(any(test, feature = "safetensors"))]
pub(crate) fn is_padded(bits: &[u8], columns: usize) -> bool {
    columns % 8 == 0 || bits.last().is_none_or(|last| last >> (columns % 8) == 0)
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
                assert_eq!(pack(&entries, |i| keep(entries[i]), &mut bits, &mut values), expected.len());
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
