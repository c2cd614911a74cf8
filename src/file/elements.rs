//! Elements as bytes: little-endian, at any alignment.

use std::borrow::Cow;

use bytemuck::{AnyBitPattern, NoUninit};

/// Decodes elements. Bytes after the last whole element are ignored.
pub(crate) fn decode<T: AnyBitPattern>(bytes: &[u8]) -> impl ExactSizeIterator<Item = T> {
    // Files do not align their tensors, so elements are read one by one; the compiler turns this into one copy.
    bytes.chunks_exact(size_of::<T>()).map(|element| {
        if cfg!(target_endian = "big") {
            bytemuck::pod_read_unaligned(&element.iter().rev().copied().collect::<Vec<_>>())
        } else {
            bytemuck::pod_read_unaligned(element)
        }
    })
}

/// Encodes elements, without a copy if this machine is little-endian.
pub(crate) fn encode<T: NoUninit>(elements: &[T]) -> Cow<'_, [u8]> {
    let bytes = bytemuck::cast_slice(elements);
    if cfg!(target_endian = "big") {
        bytes.chunks_exact(size_of::<T>()).flat_map(|element| element.iter().rev().copied()).collect()
    } else {
        Cow::Borrowed(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_little_endian_at_any_alignment() {
        let bytes = encode(&[1.0_f32, -2.5]).into_owned();
        assert_eq!(bytes, [0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0]);
        for offset in 0..8 {
            let shifted = [vec![0xff; offset], bytes.clone()].concat();
            assert!(decode::<f32>(&shifted[offset..]).eq([1.0, -2.5]), "offset {offset}");
        }
        assert_eq!(decode::<f64>(&[]).len(), 0);
    }
}
