//! Files of PyTorch in the format before 1.6.

/// A file of the old format with this pickle, and one storage `0` with these bytes.
pub fn file(pickle: &[u8], entries: u64, data: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
    let version = b"\x80\x02M\xe9\x03.";
    let system = b"\x80\x02}q\0X\x0d\0\0\0little_endian\x88s.";
    let keys = b"\x80\x02]X\x01\0\0\x000a.";
    [&magic[..], version, system, pickle, keys, &entries.to_le_bytes(), data].concat()
}
