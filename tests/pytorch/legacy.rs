//! Pickles of the old format, made here as they are written.

#[path = "../fuzz/legacy.rs"]
mod surroundings;

pub use surroundings::file;

/// A pickle of `{"w": tensor}`: a view of the storage `0`, of `entries` numbers in F32.
pub fn tensor(entries: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let body = [text("w"), view(entries, offset, shape, strides)].concat();
    [b"\x80\x02}", &body[..], b"s."].concat()
}

/// The instructions that make a view of the storage `0`.
pub fn view(entries: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let tuple =
        |values: &[i64]| [b"(".to_vec(), values.iter().flat_map(|&value| int(value)).collect(), b"t".to_vec()].concat();
    let storage = [&b"(X\x07\0\0\0storagectorch\nFloatStorage\n"[..], &text("0"), &text("cpu"), &int(entries), b"NtQ"];
    let arguments = [&b"("[..], &storage.concat(), &int(offset), &tuple(shape), &tuple(strides), b"\x89Nt"].concat();
    [b"ctorch._utils\n_rebuild_tensor_v2\n".as_slice(), &arguments, b"R"].concat()
}

pub fn text(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

pub fn int(value: i64) -> Vec<u8> {
    [b"\x8a\x08".as_slice(), &value.to_le_bytes()].concat()
}
