//! How a fuzzer's bytes become a safetensors file.

/// A file, in one of two forms, by the first byte.
///
/// An even one is followed by the file as it is. An odd one is followed by the JSON of a header, up to a zero byte, and by
/// the data, so that a mutation of the JSON does not also have to get its length right.
pub fn of(bytes: &[u8]) -> Vec<u8> {
    let Some((form, rest)) = bytes.split_first() else { return Vec::new() };
    if form % 2 == 0 {
        return rest.to_vec();
    }
    let end = rest.iter().position(|&byte| byte == 0);
    let (json, data) = end.map_or((rest, &[][..]), |end| (&rest[..end], &rest[end + 1..]));
    [&(json.len() as u64).to_le_bytes(), json, data].concat()
}
