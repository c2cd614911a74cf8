//! Safetensors files from the bytes of a fuzzer.

/// A file in one of two forms, chosen by the first byte.
///
/// If it is even, the rest is the file. If it is odd, the rest is the JSON of a header up to a zero byte, then the data, so
/// that mutations of the JSON need not correct its length.
pub fn of(bytes: &[u8]) -> Vec<u8> {
    let Some((form, rest)) = bytes.split_first() else { return Vec::new() };
    if form % 2 == 0 {
        return rest.to_vec();
    }
    let end = rest.iter().position(|&byte| byte == 0);
    let (json, data) = end.map_or((rest, &[][..]), |end| (&rest[..end], &rest[end + 1..]));
    [&(json.len() as u64).to_le_bytes(), json, data].concat()
}
