//! Opens regular files only.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

/// Opens a regular file, or the one that a link leads to, and returns its metadata too.
///
/// Everything else is refused: opening a named pipe waits for a writer, and a device may have no end.
pub(crate) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    // Checked before it is opened, which is when a pipe waits, and again, as another file may have taken its place.
    check(&fs::metadata(path)?)?;
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    check(&metadata)?;
    Ok((file, metadata))
}

/// Reads the whole of a regular file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let (mut file, metadata) = open(path)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(metadata.len()).unwrap_or(usize::MAX))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() { Ok(()) } else { Err(not_regular()) }
}

/// The error for a path that is not one of a regular file.
pub(crate) fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}
