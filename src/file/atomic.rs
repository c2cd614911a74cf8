//! Files that are replaced as a whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use fs4::{FileExt, TryLockError};
use tempfile::NamedTempFile;

use crate::file::escape::QuotedPath;
use crate::file::open;
use crate::hash::fnv1a;

/// The prefix of the names of temporary files, and of all others that are removed in the end.
pub(crate) const PREFIX: &str = ".nn-prune-";
/// The suffix of the names of temporary files.
const SUFFIX: &str = ".tmp";

/// A file that appears at its path, or replaces the one there, when it is complete.
///
/// It is written beside its destination and renamed. If it is dropped before [`commit`](Self::commit), the destination is
/// untouched and the temporary file removed.
///
/// A process that is killed leaves the temporary file. Its name carries a hash of the name of the destination, by which
/// [`remove_leftovers_of`] finds it, and it is locked while its process lives, by which files in use are told apart. Where a
/// file system has no locks, nothing is removed.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    destination: PathBuf,
    out: BufWriter<NamedTempFile>,
}

impl AtomicFile {
    /// Begins a file for this path. A symbolic link is kept, and its target replaced.
    ///
    /// An existing file passes its mode on. It must be a regular file with write permission.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let destination = follow_links(path)?;
        let permissions = match fs::metadata(&destination) {
            Ok(existing) if existing.is_file() => {
                // The rename would replace a write-protected file too.
                OpenOptions::new().append(true).open(&destination)?;
                Some(existing.permissions())
            }
            Ok(_) => return Err(open::not_regular()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let file = new_file_beside(&destination)?;
        if let Some(permissions) = permissions.filter(|wanted| differs_from(&file, wanted)) {
            file.as_file().set_permissions(permissions)?;
        }
        Ok(Self { destination, out: BufWriter::new(file) })
    }

    /// Returns the file, for writing at any offset. A caller uses either this or [`Write`], not both.
    pub(crate) fn file(&self) -> &fs::File {
        self.out.get_ref().as_file()
    }

    /// Flushes the file to disk and moves it to its path.
    pub(crate) fn commit(mut self) -> io::Result<()> {
        self.out.flush()?;
        self.file().sync_all()?;
        self.commit_unsynced()
    }

    /// Moves the file to its path without flushing it to disk.
    ///
    /// Other processes see a complete file, even if this one is killed. After a power failure it may be empty or truncated.
    pub(crate) fn commit_unsynced(self) -> io::Result<()> {
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.persist(&self.destination).map_err(|error| error.error)?;
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Returns the path that symbolic links lead to, even if no file is there yet.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    const MAX_LINKS: usize = 40; // the limit of Linux
    let mut path = path.to_path_buf();
    for _ in 0..=MAX_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = directory_of(&path).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Removes the temporary files in a directory that killed processes have left.
pub(crate) fn remove_leftovers(directory: &Path) -> io::Result<()> {
    remove_abandoned(directory, PREFIX)
}

/// Removes the temporary files that killed processes have left of a file at this path. They do no harm, so one that cannot be
/// removed stays.
pub(crate) fn remove_leftovers_of(path: &Path) {
    if let Ok(destination) = follow_links(path) {
        let _ = remove_abandoned(directory_of(&destination), &prefix_for(&destination));
    }
}

/// Removes the temporary files whose names begin with a prefix, unless they are in use.
fn remove_abandoned(directory: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with(prefix) || !name.ends_with(SUFFIX) || !entry.file_type()?.is_file() {
            continue;
        }
        let file = match OpenOptions::new().write(true).open(entry.path()) {
            Ok(file) => file,
            // Its process, or another one that removes leftovers, was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        // The lock is held until the file is gone. A process that was about to lock it then finds that it is.
        if FileExt::try_lock(&file).is_ok() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The beginning of the names of temporary files for a destination. Its own name could make them too long.
fn prefix_for(destination: &Path) -> String {
    let name = destination.file_name().unwrap_or_default();
    format!("{PREFIX}{:016x}-", fnv1a(name.as_encoded_bytes().iter().copied()))
}

/// Returns the directory that a path is in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates a temporary file beside its destination and locks it.
fn new_file_beside(destination: &Path) -> io::Result<NamedTempFile> {
    let prefix = prefix_for(destination);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(SUFFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The mode of new files, less the umask. That of temporary files would exclude all other users.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    loop {
        let directory = directory_of(destination);
        let file = builder.tempfile_in(directory).map_err(|error| match error.kind() {
            // The error of the system would name the temporary file.
            io::ErrorKind::NotFound if !directory.exists() => missing_directory(directory),
            _ => error,
        })?;
        match FileExt::try_lock(file.as_file()) {
            Ok(()) if file.path().exists() => return Ok(file),
            // Another process took the new file for a leftover.
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            // A file system without locks.
            Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
}

/// The error of a file in a directory that does not exist.
fn missing_directory(directory: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no directory {}", QuotedPath(directory)))
}

/// Returns `true` if the mode has to be set, which some file systems do not allow.
fn differs_from(file: &NamedTempFile, wanted: &fs::Permissions) -> bool {
    file.as_file().metadata().map_or(true, |found| found.permissions() != *wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_commit_nothing_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for before in [None, Some("old")] {
            if let Some(before) = before {
                fs::write(&path, before).unwrap();
            }
            let mut file = AtomicFile::create(&path).unwrap();
            file.write_all(&[0; 100]).unwrap();
            assert_eq!(file.file().metadata().unwrap().len(), 0, "small writes are buffered");
            file.flush().unwrap();
            assert_eq!(file.file().metadata().unwrap().len(), 100);
            file.write_all(&[0; 100_000]).unwrap();
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), before);
            drop(file);
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), before);
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), usize::from(before.is_some()));
        }
    }

    #[test]
    fn a_name_that_no_file_can_have_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        assert!(AtomicFile::create(&directory.path().join("x".repeat(300))).is_err());
    }

    #[test]
    fn only_leftovers_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let kept = [format!("{PREFIX}a"), format!("a{SUFFIX}"), format!("a{PREFIX}{SUFFIX}a"), "model".to_owned()];
        for name in kept.iter().map(String::as_str).chain([&*format!("{PREFIX}b{SUFFIX}")]) {
            fs::write(path(name), "").unwrap();
        }
        fs::create_dir(path(&format!("{PREFIX}directory{SUFFIX}"))).unwrap();
        remove_leftovers(directory.path()).unwrap();
        assert!(!path(&format!("{PREFIX}b{SUFFIX}")).exists());
        assert!(kept.iter().all(|name| path(name).exists()));
        assert!(path(&format!("{PREFIX}directory{SUFFIX}")).exists());
    }

    /// A killed process leaves a file without a lock.
    #[test]
    fn leftovers_of_a_file_are_removed_unless_they_are_in_use() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let left = |name: &str| {
            let file = AtomicFile::create(&path(name)).unwrap();
            let (file, path) = file.out.into_inner().unwrap().keep().unwrap();
            drop(file);
            path
        };
        let (one, another, other) = (left("a"), left("a"), left("b"));
        let in_use = AtomicFile::create(&path("a")).unwrap();
        remove_leftovers_of(&path("a"));
        assert!(!one.exists() && !another.exists() && other.exists());
        remove_leftovers(directory.path()).unwrap();
        assert!(!other.exists());
        in_use.commit().unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        // There is nothing to find, or no directory to look into.
        remove_leftovers_of(&path("none/a"));
    }

    #[test]
    fn a_path_without_a_directory_is_in_the_current_one() {
        assert_eq!(directory_of(Path::new("file")), Path::new("."));
        assert_eq!(directory_of(Path::new("a/file")), Path::new("a"));
        assert_eq!(directory_of(Path::new("/file")), Path::new("/"));
    }
}
