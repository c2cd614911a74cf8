//! Where the files of a plan go, and how far an earlier run has come.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::checkpoint::CheckpointError;
use crate::checkpoint::read::{Checkpoint, Shard};
use crate::checkpoint::write::layout::Plan;
use crate::checkpoint::write::writer::write_whole;
use crate::file::{atomic, open};

/// The description that an unfinished run keeps in the output folder.
const RUN_FILE: &str = ".nn-prune-run.json";
/// The version of the description: a new one whenever the same options give other bytes.
const VERSION: u32 = 1;

/// What is written.
///
/// | input | `Weights` | `PyTorch` | `Masks` |
/// |---|---|---|---|
/// | `w`, selected | `w`: the pruned values | `w_orig`: as it was; `w_mask` in its dtype | the mask of `w` |
/// | `w_orig`, `w_mask`, selected | `w`: the pruned values | `w_orig`: as it was; `w_mask`: what is left of it | the mask of `w`: what is left of it |
/// | anything else | as it was | as it was | nothing |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// The checkpoint with zeros where entries were pruned (-0.0 for negative ones, NaN for NaN and infinite ones, as
    /// everywhere). Tensors that were pruned already and are selected are baked into one.
    #[default]
    Weights,
    /// The checkpoint as the state dict of a pruned PyTorch module.
    PyTorch,
    /// Only the masks, in the layout of [`save_masks`](crate::safetensors::save_masks): one file, also for many shards.
    Masks,
}

/// Where a run writes to, and what it does about what is there.
///
/// A checkpoint in one file is written to a file, one in shards to a folder, where the shards and the index have the names
/// that they have in the input. Everything is written beside its place and renamed when it is complete. No file of the
/// input is ever written to. A process that is killed half-way leaves at most a file `.nn-prune-*.tmp` beside the output;
/// in a folder, the next run into it clears that away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub(crate) path: PathBuf,
    pub(crate) force: bool,
    pub(crate) resume: bool,
    pub(crate) durable: bool,
}

impl Output {
    /// A file, or for a checkpoint in shards a folder, which is made if it is not there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), force: false, resume: false, durable: false }
    }

    /// Whether files that exist may be replaced. Without it they are an error.
    pub fn force(self, force: bool) -> Self {
        Self { force, ..self }
    }

    /// Whether shards that an interrupted run has finished are kept, so that only the others are written.
    ///
    /// A run into a folder keeps a description of itself there, `.nn-prune-run.json`, until it is finished: options, names,
    /// sizes and times of the input files, and which shards are finished. Only the same run on the same input is resumed,
    /// any other is an error. Without such a description in the folder, the run starts from the beginning.
    pub fn resume(self, resume: bool) -> Self {
        Self { resume, ..self }
    }

    /// Whether each file is safely on the disk before it appears at its path.
    ///
    /// Without it, the operating system writes the files when it likes, as after `cp`, which is often several times as
    /// fast. No process, killed or not, leaves or sees an incomplete file either way; a power failure may.
    pub fn durable(self, durable: bool) -> Self {
        Self { durable, ..self }
    }

    /// The path it was made of.
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

/// Where the files of a plan go.
pub(crate) struct Destination {
    /// One for each file of the plan.
    pub paths: Vec<PathBuf>,
    index: Option<PathBuf>,
    /// For a folder.
    run: Option<Run>,
}

/// A run into a folder.
struct Run {
    folder: PathBuf,
    description: Value,
    /// The names of the shards that are in their place.
    finished: BTreeSet<String>,
}

impl Destination {
    /// Checks the output, and prepares the folder if it is one.
    ///
    /// `options` is all that decides about the output beside the input; `masks` is the mask file, which is input too.
    pub fn prepare(
        checkpoint: &Checkpoint,
        plan: &Plan,
        output: &Output,
        options: &str,
        masks: Option<&Shard>,
    ) -> Result<Self, CheckpointError> {
        let names = plan.files.iter().map(|file| file.name.as_ref());
        let paths = names.map(|name| name.map_or(output.path.clone(), |name| output.path.join(name))).collect();
        let index = plan.index.as_ref().map(|(name, _)| output.path.join(name));
        let is_folder = plan.files.iter().any(|file| file.name.is_some());
        let mut destination = Self { paths, index, run: None };

        let kind = |expected| CheckpointError::OutputKind { path: output.path.clone(), expected };
        match fs::metadata(&output.path) {
            Ok(found) if found.is_dir() && !is_folder => return Err(kind("a file")),
            Ok(found) if !found.is_dir() && is_folder => return Err(kind("a folder for shards")),
            _ => {}
        }
        let inputs = checkpoint.shards.iter().chain(masks);
        destination.check_apart(inputs.clone().map(Shard::path).chain(checkpoint.index()))?;
        let mut resumed = false;
        if is_folder {
            check_names(inputs.clone().map(Shard::name).chain(checkpoint.index()))?;
            let input = inputs.map(described).collect::<Vec<_>>();
            let description = json!({ "version": VERSION, "options": options, "input": input });
            let mut run = Run { folder: output.path.clone(), description, finished: BTreeSet::new() };
            resumed = run.continues(output)?;
            destination.run = Some(run);
        }
        if !output.force && !resumed {
            let mut paths = destination.paths.iter().chain(&destination.index);
            if let Some(path) = paths.find(|path| fs::symlink_metadata(path).is_ok()) {
                return Err(CheckpointError::OutputExists { path: path.clone() });
            }
        }
        if let Some(run) = &mut destination.run {
            // What is finished is as long as the plan says; a file system that lost its last writes may have left less.
            let whole = plan.files.iter().zip(&destination.paths).filter(|(file, path)| {
                fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == file.bytes)
            });
            let whole: HashSet<_> = whole.filter_map(|(file, _)| file.name.as_deref()).map(name_of).collect();
            run.finished.retain(|name| whole.contains(name));
            run.begin(&destination.paths)?;
        }
        Ok(destination)
    }

    /// Whether an earlier run has written a file.
    pub fn is_finished(&self, name: Option<&Path>) -> bool {
        let finished = self.run.as_ref().zip(name).map(|(run, name)| run.finished.contains(&name_of(name)));
        finished == Some(true)
    }

    /// Remembers that a file is in its place.
    pub fn finished(&mut self, name: Option<&Path>) -> Result<(), CheckpointError> {
        let Some((run, name)) = self.run.as_mut().zip(name) else { return Ok(()) };
        run.finished.insert(name_of(name));
        run.save()
    }

    /// The end: the index, and nothing that tells of a run.
    pub fn close(self, index: Option<&[u8]>) -> Result<(), CheckpointError> {
        if let Some((path, bytes)) = self.index.as_ref().zip(index) {
            write_whole(path, bytes)?;
        }
        match self.run {
            Some(run) => {
                let path = run.folder.join(RUN_FILE);
                fs::remove_file(&path).map_err(|source| CheckpointError::Write { path, source })
            }
            None => Ok(()),
        }
    }

    /// `Ok` when no file of the output is one of the input, by whatever path.
    fn check_apart<'i>(&self, inputs: impl Iterator<Item = &'i Path>) -> Result<(), CheckpointError> {
        let inputs: HashSet<PathBuf> = inputs.filter_map(|path| fs::canonicalize(path).ok()).collect();
        let is_input = |path: &&PathBuf| real_path(path).is_some_and(|path| inputs.contains(&path));
        match self.paths.iter().chain(&self.index).find(is_input) {
            Some(path) => Err(CheckpointError::OutputIsInput { path: path.clone() }),
            None => Ok(()),
        }
    }
}

/// `Ok` when none of these files goes by a name of those that a run keeps in its folder: it would be taken for one of them.
fn check_names<'n>(mut names: impl Iterator<Item = &'n Path>) -> Result<(), CheckpointError> {
    let reserved =
        |name: &&Path| name.file_name().is_some_and(|name| name.to_string_lossy().starts_with(atomic::PREFIX));
    match names.find(reserved) {
        Some(path) => Err(CheckpointError::ReservedName { path: path.to_owned() }),
        None => Ok(()),
    }
}

/// The path without links, of a file that may not be there yet.
fn real_path(path: &Path) -> Option<PathBuf> {
    let in_folder = || Some(fs::canonicalize(atomic::directory_of(path)).ok()?.join(path.file_name()?));
    fs::canonicalize(path).ok().or_else(in_folder)
}

/// What tells one input file from another.
fn described(shard: &Shard) -> Value {
    // As text, since JSON has no such numbers.
    let modified = shard.modified().map(|nanoseconds| nanoseconds.to_string());
    json!({ "name": name_of(shard.name()), "bytes": shard.bytes(), "modified": modified })
}

/// A name as text. Two names that are not text do not become one.
fn name_of(path: &Path) -> String {
    path.to_str().map_or_else(|| format!("{path:?}"), str::to_owned)
}

impl Run {
    /// Whether this continues the run whose description is in the folder, if there is one.
    fn continues(&mut self, output: &Output) -> Result<bool, CheckpointError> {
        let path = self.folder.join(RUN_FILE);
        let found = match open::read(&path) {
            // A run that was killed before its first shard.
            Ok(found) if found.is_empty() => return Ok(false),
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(CheckpointError::Read { path, source }),
        };
        if !output.resume {
            return match output.force {
                true => Ok(false),
                false => Err(CheckpointError::UnfinishedRun { path: self.folder.clone() }),
            };
        }
        let mut found: Value = serde_json::from_slice(&found).unwrap_or_default();
        let finished = found.as_object_mut().and_then(|found| found.remove("finished"));
        let other = |difference| Err(CheckpointError::OtherRun { path: self.folder.clone(), difference });
        if found.get("input").is_some_and(|input| *input != self.description["input"]) {
            return other("input");
        }
        if found != self.description {
            return other("options");
        }
        if let Some(Value::Array(finished)) = finished {
            self.finished = finished.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
        }
        Ok(true)
    }

    /// Makes the folders, clears away what a killed run has left half-written, and leaves a description.
    fn begin(&self, paths: &[PathBuf]) -> Result<(), CheckpointError> {
        let folders: BTreeSet<&Path> =
            paths.iter().map(|path| atomic::directory_of(path)).chain([&*self.folder]).collect();
        let description = self.folder.join(RUN_FILE);
        for folder in folders {
            let failed = |source| CheckpointError::Write { path: folder.to_owned(), source };
            fs::create_dir_all(folder).map_err(failed)?;
            if description.exists() {
                atomic::remove_leftovers(folder).map_err(failed)?;
            }
        }
        // Empty, so that whatever a run leaves half-written from now on lies beside a description.
        let create = OpenOptions::new().create(true).append(true).open(&description);
        create.map_err(|source| CheckpointError::Write { path: description, source })?;
        self.save()
    }

    fn save(&self) -> Result<(), CheckpointError> {
        let mut description = self.description.clone();
        description["finished"] = self.finished.iter().cloned().collect();
        write_whole(&self.folder.join(RUN_FILE), format!("{description:#}\n").as_bytes())
    }
}
