//! Files that a command writes: they are none of those that it reads, and appear when they are complete.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use prune::checkpoint::{Checkpoint, CheckpointError, Format, Output, check_apart};

use crate::error::CliError;
use crate::text::visible_path;

/// Returns an error if a file beside the output, such as a plot, must not be written to `path`. `hint` goes with one that exists.
pub fn check_beside<'p>(
    kind: &str,
    path: &Path,
    force: bool,
    hint: Option<&'static str>,
    read: impl IntoIterator<Item = &'p Path>,
) -> Result<(), CliError> {
    let (problem, hint) = if path.is_dir() {
        ("is a directory", None)
    } else if check_apart([path], read).is_err() {
        ("would overwrite the input", None)
    } else if path.exists() && !path.is_file() {
        ("is not a regular file", None)
    } else if path.symlink_metadata().is_ok() && !force {
        ("already exists", hint)
    } else {
        return Ok(());
    };
    Err(CliError::Other { message: format!("{kind} `{}` {problem}", visible_path(path)), source: None, hint })
}

/// Returns the files of a checkpoint.
pub fn files_of(checkpoint: &Checkpoint) -> impl Iterator<Item = &Path> {
    checkpoint.shards().iter().map(|shard| shard.path()).chain(checkpoint.index())
}

/// Returns the files of weights or masks that an output has, or will have.
pub fn files_of_output(
    checkpoint: &Checkpoint,
    output: &Output,
    format: Format,
) -> Result<Vec<PathBuf>, CheckpointError> {
    let path = output.path();
    Ok(match output.is_directory(checkpoint, format)? {
        true => checkpoint.shards().iter().map(|shard| path.join(shard.output_name())).collect(),
        false => vec![path.to_owned()],
    })
}

/// Returns the files of weights or masks that an output has or will have, or an error if one of them is among those in `read`.
pub fn check_output<'p>(
    checkpoint: &Checkpoint,
    output: &Output,
    format: Format,
    read: impl IntoIterator<Item = &'p Path>,
) -> Result<Vec<PathBuf>, CheckpointError> {
    let written = files_of_output(checkpoint, output, format)?;
    check_apart(written.iter().map(PathBuf::as_path), read)?;
    Ok(written)
}

/// Writes a temporary file and renames it to `path`. Other links to the old file keep its content.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".nn-prune-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666)); // less the umask
    }
    let directory = directory_of(path);
    // The error of the system would name the temporary file.
    let file = builder.tempfile_in(directory).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if !directory.exists() => no_directory(directory),
        _ => error,
    })?;
    fs::write(file.path(), text)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The error of a file in a directory that does not exist.
pub fn no_directory(directory: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no directory `{}`", visible_path(directory)))
}

pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
