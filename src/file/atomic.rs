//! Files that are replaced as a whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// How the names of temporary files begin, and those of all others that are not there to stay.
pub(crate) const PREFIX: &str = ".nn-prune-";
/// How the names of temporary files end.
const SUFFIX: &str = ".tmp";

/// A file that appears at its path, or replaces the one there, when it is complete.
///
/// It is written beside its destination and renamed. If it is dropped before [`commit`](Self::commit), the destination is
/// untouched and nothing is left behind.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    destination: PathBuf,
    out: BufWriter<NamedTempFile>,
}

impl AtomicFile {
    /// A file to be at this path. A symbolic link stays one, and what it points to is replaced.
    ///
    /// A file that is there already passes its mode on, and it must be a regular file that may be written to.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let destination = follow_links(path)?;
        let permissions = match fs::metadata(&destination) {
            Ok(existing) if existing.is_file() => {
                // The rename would replace a write-protected file too.
                OpenOptions::new().append(true).open(&destination)?;
                Some(existing.permissions())
            }
            Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is something that is not a file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let file = new_file_beside(&destination)?;
        if let Some(permissions) = permissions.filter(|wanted| has_other(&file, wanted)) {
            file.as_file().set_permissions(permissions)?;
        }
        Ok(Self { destination, out: BufWriter::new(file) })
    }

    /// The file, for writing at any place of it. What is written so must not be mixed with [`Write`].
    pub(crate) fn file(&self) -> &fs::File {
        self.out.get_ref().as_file()
    }

    /// Puts the file in its place, once it is safely on the disk.
    pub(crate) fn commit(mut self) -> io::Result<()> {
        self.out.flush()?;
        self.file().sync_all()?;
        self.commit_unsynced()
    }

    /// Puts the file in its place, and leaves it to the operating system when it gets onto the disk.
    ///
    /// To other processes it is complete, also if this one is killed; after a power failure it may not be.
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

/// Where a path leads to in the end, also when nothing is there yet.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    const MOST_LINKS: usize = 40; // as many as Linux follows
    let mut path = path.to_path_buf();
    for _ in 0..=MOST_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = folder_of(&path).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("there are too many symbolic links"))
}

/// Removes what processes that were killed have left of their files.
pub(crate) fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The folder that a path is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn new_file_beside(destination: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // What any new file has, less the umask; a temporary file would be its owner's alone.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder_of(destination))
}

/// Whether the mode has to be set at all, which some file systems do not let anybody do.
fn has_other(file: &NamedTempFile, wanted: &fs::Permissions) -> bool {
    file.as_file().metadata().map_or(true, |found| found.permissions() != *wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_commit_nothing_happens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for before in [None, Some("old")] {
            if let Some(before) = before {
                fs::write(&path, before).unwrap();
            }
            let mut file = AtomicFile::create(&path).unwrap();
            file.write_all(&[0; 100]).unwrap();
            assert_eq!(file.file().metadata().unwrap().len(), 0, "it waits for more");
            file.flush().unwrap();
            assert_eq!(file.file().metadata().unwrap().len(), 100);
            file.write_all(&[0; 100_000]).unwrap();
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), before);
            drop(file);
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), before);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), usize::from(before.is_some()));
        }
    }

    #[test]
    fn a_name_that_no_file_can_have_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        assert!(AtomicFile::create(&folder.path().join("x".repeat(300))).is_err());
    }

    #[test]
    fn only_leftovers_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let kept = [format!("{PREFIX}a"), format!("a{SUFFIX}"), format!("a{PREFIX}{SUFFIX}a"), "model".to_owned()];
        for name in kept.iter().map(String::as_str).chain([&*format!("{PREFIX}b{SUFFIX}")]) {
            fs::write(path(name), "").unwrap();
        }
        fs::create_dir(path(&format!("{PREFIX}folder{SUFFIX}"))).unwrap();
        remove_leftovers(folder.path()).unwrap();
        assert!(!path(&format!("{PREFIX}b{SUFFIX}")).exists());
        assert!(kept.iter().all(|name| path(name).exists()));
        assert!(path(&format!("{PREFIX}folder{SUFFIX}")).exists());
    }

    #[test]
    fn a_path_without_a_folder_is_in_the_current_one() {
        assert_eq!(folder_of(Path::new("file")), Path::new("."));
        assert_eq!(folder_of(Path::new("a/file")), Path::new("a"));
        assert_eq!(folder_of(Path::new("/file")), Path::new("/"));
    }
}
