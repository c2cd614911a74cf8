//! Masks of one bit per entry: entry `i` is bit `i % 8` of byte `i / 8`, and the remaining bits of the last byte are 0.

/// Returns the number of bytes that a number of entries takes.
pub(crate) fn packed_len(entries: usize) -> usize {
    entries.div_ceil(8)
}

/// Packs a mask in row-major order.
pub(crate) fn pack(mask: &[bool]) -> Vec<u8> {
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, &kept| byte << 1 | u8::from(kept));
    mask.chunks(8).map(byte).collect()
}

/// Unpacks a mask. Returns `None` unless there are as many bytes as the entries take, with padding of 0.
pub(crate) fn unpack(bits: &[u8], entries: usize) -> Option<Vec<bool>> {
    if bits.len() != packed_len(entries) {
        return None;
    }
    let mut mask: Vec<bool> = bits.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).collect();
    let padding = mask.split_off(entries);
    (!padding.contains(&true)).then_some(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_is_the_lowest_bit() {
        let mask = [true, true, false, false, false, false, false, true, false, true];
        assert_eq!(pack(&mask), [0b1000_0011, 0b10]);
        assert_eq!(unpack(&pack(&mask), 10).as_deref(), Some(&mask[..]));
    }

    #[test]
    fn masks_of_any_length_are_unpacked() {
        for entries in 0..40 {
            let mask: Vec<bool> = (0..entries).map(|i| i % 3 == 0).collect();
            assert_eq!(pack(&mask).len(), packed_len(entries));
            assert_eq!(unpack(&pack(&mask), entries), Some(mask));
        }
    }

    #[test]
    fn padding_and_other_lengths_are_refused() {
        assert_eq!(unpack(&[0b100], 2), None);
        assert_eq!(unpack(&[0b11], 2), Some(vec![true, true]));
        assert_eq!(unpack(&[0, 0], 8), None);
        assert_eq!(unpack(&[], 1), None);
        assert_eq!(unpack(&[], 0), Some(vec![]));
    }
}
