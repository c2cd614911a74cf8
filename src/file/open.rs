//! Opening files that are files.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

/// Opens a regular file, or what a link to one leads to, and nothing else: a named pipe would wait for somebody to write
/// to it, and a device may have no end.
pub(crate) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    // Looked at before it is opened, which is when a pipe waits, and again: something else may be there by then.
    check(&fs::metadata(path)?)?;
    let file = File::open(path)?;
    let found = file.metadata()?;
    check(&found)?;
    Ok((file, found))
}

/// All of a regular file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let (mut file, found) = open(path)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(found.len()).unwrap_or(usize::MAX))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check(found: &Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "there is something that is not a file"))
}
