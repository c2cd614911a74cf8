//! The output of a run: its format, its path, and its files.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::read::contents::is_pytorch_name;
use crate::checkpoint::read::{Checkpoint, Shard};
use crate::checkpoint::report::Companions;
use crate::checkpoint::write::companions::CONFIG;
use crate::checkpoint::write::layout::Layout;
use crate::checkpoint::write::resume::{ResumeFile, RunIdentity, name_of};
use crate::checkpoint::write::writer::write_whole;
use crate::file::atomic;

/// The content of an output.
///
/// | input | `Weights` | `PyTorch` | `Masks` |
/// |---|---|---|---|
/// | `w`, selected | `w`: the pruned values | `w_orig`: unchanged; `w_mask`, in the dtype of `w` | the mask of `w` |
/// | `w_orig`, `w_mask`, selected | `w`: the pruned values | `w_orig`: unchanged; `w_mask`: the new mask | the new mask of `w` |
/// | anything else | unchanged | unchanged | nothing |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Format {
    /// The checkpoint with zeros for pruned entries (-0.0 for negative numbers, NaN for NaN and infinities, as in memory).
    /// Masks of selected tensors are made permanent.
    #[default]
    Weights,
    /// The checkpoint as the state dict of a pruned PyTorch module.
    PyTorch,
    /// The masks only, in the layout of [`save_masks`](crate::safetensors::save_masks): one file, even for several shards.
    Masks,
}

/// The path of an output, and the rules for files that exist there.
///
/// The kind of the output is what the path names. A path that ends in a separator, or at which there is a directory, is a
/// directory; any other path is a file, or for a sharded checkpoint a directory unless the name ends in `.safetensors` or
/// `.onnx`. Masks are one file. [`CheckpointError::OutputKind`] reports what does not fit.
///
/// In a directory, files and index have the names that they have in the input; shards without an index get one. What loaders
/// need beside the weights is copied from the directory of the input, as [`Companions`] describes.
///
/// Every file is written under a temporary name beside its path, and renamed when it is complete. Input files are never
/// written to.
///
/// A process that is killed leaves at most a file `.nn-prune-*.tmp` beside the output. The next run into the same file, or into
/// the same directory, removes it, unless another process still writes to it. Files in use are told apart by locks; where a file
/// system has none, the file stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub(crate) path: PathBuf,
    pub(crate) force: bool,
    pub(crate) resume: bool,
    pub(crate) durable: bool,
    pub(crate) weights_only: bool,
}

impl Output {
    /// Returns an output at the path of a file or of a directory, which is created if necessary.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), force: false, resume: false, durable: false, weights_only: false }
    }

    /// Sets whether existing files are replaced. By default they are an error.
    pub fn force(self, force: bool) -> Self {
        Self { force, ..self }
    }

    /// Sets whether the shards of an unfinished run are kept, so that only the others are written.
    ///
    /// A run into a directory keeps a run file there, `.nn-prune-run.json`, until it is finished. The run file holds the
    /// method and the other options, the names, sizes and modification times of the input files, and the names of the
    /// finished shards. Only a run with the same options and the same input is resumed; any other is an error. Without a run
    /// file in the directory, the run starts from the beginning. A run into a file cannot be resumed, which is an error.
    pub fn resume(self, resume: bool) -> Self {
        Self { resume, ..self }
    }

    /// Sets whether each file is flushed to disk before it is renamed.
    ///
    /// By default, files are not flushed, which is often several times faster: after a power failure, an output may be empty
    /// or truncated. In both cases, no other process sees an incomplete file, and a killed process leaves none.
    pub fn durable(self, durable: bool) -> Self {
        Self { durable, ..self }
    }

    /// Sets whether a directory gets the weights and their index only, without [companions](Companions).
    pub fn weights_only(self, weights_only: bool) -> Self {
        Self { weights_only, ..self }
    }

    /// Returns `true` if the output of a checkpoint in a format is a directory, and `false` if it is a file.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::OutputKind`] if the path names the other kind.
    pub fn is_directory(&self, checkpoint: &Checkpoint, format: Format) -> Result<bool, CheckpointError> {
        // Without a separator at its end, with which there would never be a file.
        let path: PathBuf = self.path.components().collect();
        let (exists, is_file) = fs::metadata(path).map_or((false, false), |found| (true, !found.is_dir()));
        let named_directory = exists && !is_file || ends_in_separator(&self.path);
        let named = |extension: &str| self.path.extension() == Some(OsStr::new(extension));
        let named_file = is_file || named("safetensors") || named("onnx");
        let wrong = |expected| Err(CheckpointError::OutputKind { path: self.path.clone(), expected });
        match format {
            Format::Masks if named_directory => wrong("a file"),
            Format::Masks => Ok(false),
            Format::Weights | Format::PyTorch
                if checkpoint.in_place().is_some() && named("safetensors") && !named_directory =>
            {
                wrong("an ONNX model")
            }
            Format::Weights | Format::PyTorch if checkpoint.is_sharded() => {
                if named_file && !named_directory {
                    wrong("a directory")
                } else {
                    Ok(true)
                }
            }
            Format::Weights | Format::PyTorch if is_file && named_directory => wrong("a directory"),
            Format::Weights | Format::PyTorch => Ok(named_directory),
        }
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl From<PathBuf> for Output {
    fn from(path: PathBuf) -> Self {
        Self::new(path)
    }
}

impl From<&Path> for Output {
    fn from(path: &Path) -> Self {
        Self::new(path)
    }
}

/// Returns `true` for a path that can only be that of a directory.
fn ends_in_separator(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.ends_with(std::path::is_separator) || path.file_name().is_none()
}

/// The files of an output.
pub(crate) struct OutputFiles {
    /// One path for each file of the layout.
    pub paths: Vec<PathBuf>,
    /// The companions of the output; none if it is a file, or is to hold weights only.
    pub companions: Companions,
    index: Option<PathBuf>,
    /// The configuration, if it is not that of the input.
    config: Option<PathBuf>,
    /// The run file, if the output is a directory.
    run: Option<ResumeFile>,
}

impl OutputFiles {
    /// The files. Those in a directory have a run file, which is neither read nor written yet.
    fn of(
        checkpoint: &Checkpoint,
        layout: &Layout,
        output: &Output,
        identity: RunIdentity,
        mask_file: Option<&Shard>,
    ) -> Result<Self, CheckpointError> {
        let is_directory = output.is_directory(checkpoint, layout.format)?;
        if !is_directory && checkpoint.shards.iter().any(Shard::is_converted) && is_pytorch_name(&output.path) {
            return Err(CheckpointError::OutputName { path: output.path.clone() });
        }
        let path = |name: &PathBuf| if is_directory { output.path.join(name) } else { output.path.clone() };
        let paths = layout.files.iter().map(|file| path(&file.name)).collect();
        let index = layout.index.as_ref().map(|(name, _)| output.path.join(name));
        let companions = match is_directory && !output.weights_only {
            true => Companions::beside(checkpoint)?,
            false => Companions::default(),
        };
        let config = layout.config.as_ref().map(|_| output.path.join(CONFIG));
        let inputs = checkpoint.shards.iter().chain(mask_file);
        let run = is_directory.then(|| ResumeFile::new(output.path.clone(), identity, inputs));
        let mut files = Self { paths, companions, index, config, run };
        if files.config.is_some() {
            files.companions.copied.retain(|name| name != Path::new(CONFIG));
        }
        Ok(files)
    }

    /// The files of a run that another process has prepared.
    pub fn join(
        checkpoint: &Checkpoint,
        layout: &Layout,
        output: &Output,
        identity: RunIdentity,
        mask_file: Option<&Shard>,
    ) -> Result<Self, CheckpointError> {
        let mut files = Self::of(checkpoint, layout, output, identity, mask_file)?;
        if let Some(run) = &mut files.run {
            run.join(output)?;
        }
        Ok(files)
    }

    /// Checks the output, and prepares it if it is a directory. `mask_file` is an input too.
    pub fn prepare(
        checkpoint: &Checkpoint,
        layout: &Layout,
        output: &Output,
        identity: RunIdentity,
        mask_file: Option<&Shard>,
    ) -> Result<Self, CheckpointError> {
        let mut files = Self::of(checkpoint, layout, output, identity, mask_file)?;
        let inputs = checkpoint.shards.iter().chain(mask_file);
        files.check_apart(
            inputs.clone().map(Shard::path).chain(checkpoint.index_path()),
            checkpoint.directory(),
            output,
        )?;
        let mut is_resumed = false;
        match &mut files.run {
            None if output.resume => return Err(CheckpointError::ResumedFile { path: output.path.clone() }),
            None => {}
            Some(run) => {
                check_names(inputs.map(Shard::name).chain(checkpoint.index_path()))?;
                is_resumed = run.load(output)?;
            }
        }
        if !output.force && !is_resumed {
            let mut paths = files.paths.iter().chain(&files.index).chain(&files.config);
            if let Some(path) = paths.find(|path| fs::symlink_metadata(path).is_ok()) {
                return Err(CheckpointError::OutputExists { path: path.clone() });
            }
            if let Some(path) = files.companions.in_the_way(checkpoint.directory(), &output.path) {
                return Err(CheckpointError::OutputExists { path });
            }
        }
        if let Some(run) = &mut files.run {
            // A file system that lost its last writes may have left a finished shard shorter than it should be.
            let whole = layout.files.iter().zip(&files.paths).filter(|(file, path)| {
                fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == file.bytes)
            });
            let whole: HashSet<_> = whole.map(|(file, _)| name_of(&file.name)).collect();
            run.retain_finished(|name| whole.contains(name));
            let companions = files.companions.copied.iter().map(|name| output.path.join(name));
            run.begin(files.paths.iter().cloned().chain(companions))?;
        } else {
            files.paths.iter().for_each(|path| atomic::remove_leftovers_of(path));
        }
        Ok(files)
    }

    /// Returns `true` if an earlier run has written the file of this name.
    pub fn is_finished(&self, name: &Path) -> bool {
        self.run.as_ref().is_some_and(|run| run.is_finished(name))
    }

    /// Returns `true` if the output is a directory, which keeps its finished files if a run ends early.
    pub fn is_directory(&self) -> bool {
        self.run.is_some()
    }

    /// Records that the file of this name is complete.
    pub fn finish(&mut self, name: &Path) -> Result<(), CheckpointError> {
        self.run.as_mut().map_or(Ok(()), |run| run.finish(name))
    }

    /// Ends the run: copies the companions, writes the index and removes the run file.
    pub fn close(self, checkpoint: &Checkpoint, output: &Output, layout: &Layout) -> Result<(), CheckpointError> {
        self.companions.copy(checkpoint.directory(), &output.path, output.durable)?;
        if let Some((path, bytes)) = self.config.as_ref().zip(layout.config.as_ref()) {
            write_whole(path, bytes)?;
        }
        if let Some((path, (_, bytes))) = self.index.as_ref().zip(layout.index.as_ref()) {
            write_whole(path, bytes)?;
        }
        self.run.map_or(Ok(()), ResumeFile::remove)
    }

    /// Returns `Ok` if no file of the output is an input file, by whatever path. Companions are inputs, from `directory`.
    fn check_apart<'i>(
        &self,
        inputs: impl Iterator<Item = &'i Path>,
        directory: &Path,
        output: &Output,
    ) -> Result<(), CheckpointError> {
        let below = |directory: &Path| -> Vec<PathBuf> {
            self.companions.copied.iter().map(|name| directory.join(name)).collect()
        };
        let (sources, copies) = (below(directory), below(&output.path));
        let written = self.paths.iter().chain(&self.index).chain(&self.config).chain(&copies);
        // All borrowed for as long as the sources are.
        let inputs = inputs.map(|path| -> &Path { path });
        check_apart(written.map(PathBuf::as_path), inputs.chain(sources.iter().map(PathBuf::as_path)))
    }
}

/// Checks that no file that will be written is one that is read, by whatever path. Files of either kind may not exist yet.
///
/// A run checks its output and its checkpoint itself. This is for programs that read or write other files beside them.
///
/// ```
/// use std::path::Path;
/// use prune::checkpoint::check_apart;
///
/// let read = ["model.safetensors", "statistics.safetensors"].map(Path::new);
/// assert!(check_apart([Path::new("pruned.safetensors")], read).is_ok());
/// let error = check_apart([Path::new("./statistics.safetensors")], read).unwrap_err();
/// assert_eq!(error.to_string(), "output `./statistics.safetensors` would overwrite the input");
/// ```
///
/// # Errors
///
/// [`CheckpointError::OutputIsInput`].
pub fn check_apart<'w, 'r>(
    written: impl IntoIterator<Item = &'w Path>,
    read: impl IntoIterator<Item = &'r Path>,
) -> Result<(), CheckpointError> {
    let read: HashSet<PathBuf> = read.into_iter().map(real_path).collect();
    match written.into_iter().find(|path| read.contains(&real_path(path))) {
        Some(path) => Err(CheckpointError::OutputIsInput { path: path.to_owned() }),
        None => Ok(()),
    }
}

/// Returns `Ok` if no input file has a reserved name: its output would be taken for a file of the run, and removed.
fn check_names<'n>(mut names: impl Iterator<Item = &'n Path>) -> Result<(), CheckpointError> {
    let is_reserved =
        |name: &&Path| name.file_name().is_some_and(|name| name.to_string_lossy().starts_with(atomic::PREFIX));
    match names.find(is_reserved) {
        Some(path) => Err(CheckpointError::ReservedName { path: path.to_owned() }),
        None => Ok(()),
    }
}

/// The path without links of a file that may not exist yet.
fn real_path(path: &Path) -> PathBuf {
    let in_directory = || Some(fs::canonicalize(atomic::directory_of(path)).ok()?.join(path.file_name()?));
    fs::canonicalize(path).ok().or_else(in_directory).unwrap_or_else(|| path.to_owned())
}
