//! The run file: the record of an unfinished run in an output directory, by which it is resumed.
//!
//! Its first line is a JSON object with the identity of the run. Each following line is the name of a finished shard as a JSON
//! string, so that a shard adds a line instead of writing the file again.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::read::Shard;
use crate::checkpoint::write::output::Output;
use crate::checkpoint::write::writer::write_whole;
use crate::file::{atomic, open};

/// The name of the run file.
const RUN_FILE: &str = ".nn-prune-run.json";
/// The version of the run file. It changes with the keys, and whenever the same options give other bytes: shards that were
/// written by different versions must not be mixed.
const VERSION: u32 = 3;

/// The identity of a run: the options that decide the bytes of its output, each with its key in the run file. Runs with equal
/// identities and equal inputs write equal files.
///
/// [`CheckpointError::OtherRun`] reports the key of the first part that differs.
pub(crate) type RunIdentity = Vec<(&'static str, Value)>;

/// The run file of a run into a directory.
pub(crate) struct ResumeFile {
    directory: PathBuf,
    /// The identity, together with the version and the input.
    identity: RunIdentity,
    /// The names of the shards that are complete.
    finished: BTreeSet<String>,
    /// The run file, open for further lines, once the run has begun.
    lines: Option<File>,
}

impl ResumeFile {
    /// The record of a run that has not begun. Nothing is written before [`begin`](Self::begin).
    pub fn new<'i>(directory: PathBuf, identity: RunIdentity, inputs: impl Iterator<Item = &'i Shard>) -> Self {
        let input = inputs.map(input_file).collect();
        let identity = [("version", VERSION.into())].into_iter().chain(identity).chain([("input", input)]);
        Self { directory, identity: identity.collect(), finished: BTreeSet::new(), lines: None }
    }

    /// Loads the finished shards of the unfinished run in the directory, if there is one. Returns `true` if it is resumed.
    pub fn load(&mut self, output: &Output) -> Result<bool, CheckpointError> {
        let path = self.path();
        let found = match open::read(&path) {
            // An empty file is left by a run that was killed before it wrote its identity.
            Ok(found) if found.is_empty() => return Ok(false),
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(CheckpointError::Read { path, source }),
        };
        if !output.resume {
            return match output.force {
                true => Ok(false),
                false => Err(CheckpointError::UnfinishedRun { path: self.directory.clone() }),
            };
        }
        let mut lines = found.split(|&byte| byte == b'\n');
        // A line that is not JSON has no version, and so is one of another version.
        let found: Value = serde_json::from_slice(lines.next().unwrap_or_default()).unwrap_or_default();
        if let Some((difference, _)) = self.identity.iter().find(|(key, value)| found.get(key) != Some(value)) {
            return Err(CheckpointError::OtherRun { path: self.directory.clone(), difference });
        }
        // The last line may be incomplete. Its shard is then written again.
        self.finished = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        Ok(true)
    }

    /// Creates the directories of the output, removes the temporary files of a killed run, and writes the run file.
    pub fn begin(&mut self, paths: impl Iterator<Item = PathBuf>) -> Result<(), CheckpointError> {
        let mut directories: BTreeSet<PathBuf> = paths.map(|path| atomic::directory_of(&path).to_owned()).collect();
        directories.insert(self.directory.clone());
        let run_file = self.path();
        for directory in &directories {
            let failed = |source| CheckpointError::Write { path: directory.to_owned(), source };
            fs::create_dir_all(directory).map_err(failed)?;
            if run_file.exists() {
                atomic::remove_leftovers(directory).map_err(failed)?;
            }
        }
        // Create the run file first, so that temporary files are always found next to one.
        let create = OpenOptions::new().create(true).append(true).open(&run_file);
        create.map_err(|source| CheckpointError::Write { path: run_file.clone(), source })?;
        self.save()?;
        self.open_lines()
    }

    /// Takes part in a run that another process has begun.
    pub fn join(&mut self, output: &Output) -> Result<(), CheckpointError> {
        self.load(&output.clone().resume(true))?;
        self.open_lines()
    }

    fn open_lines(&mut self) -> Result<(), CheckpointError> {
        let path = self.path();
        let lines = OpenOptions::new().append(true).open(&path);
        self.lines = Some(lines.map_err(|source| CheckpointError::Write { path, source })?);
        Ok(())
    }

    /// Returns `true` if the shard of this name is complete.
    pub fn is_finished(&self, name: &Path) -> bool {
        self.finished.contains(&name_of(name))
    }

    /// Records that the shard of this name is complete. The line is not flushed to disk: without it, the shard is written again.
    pub fn finish(&mut self, name: &Path) -> Result<(), CheckpointError> {
        let name = name_of(name);
        let written = self.lines.as_mut().map_or(Ok(()), |lines| lines.write_all(line(&name).as_bytes()));
        written.map_err(|source| CheckpointError::Write { path: self.path(), source })?;
        self.finished.insert(name);
        Ok(())
    }

    /// Keeps only those finished shards for which `is_whole` returns `true`.
    pub fn retain_finished(&mut self, is_whole: impl Fn(&String) -> bool) {
        self.finished.retain(is_whole);
    }

    /// Removes the run file at the end of the run.
    pub fn remove(self) -> Result<(), CheckpointError> {
        let path = self.path();
        fs::remove_file(&path).map_err(|source| CheckpointError::Write { path, source })
    }

    fn save(&self) -> Result<(), CheckpointError> {
        let identity = self.identity.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let mut text = format!("{}\n", Value::Object(identity.collect()));
        text.extend(self.finished.iter().map(|name| line(name)));
        write_whole(&self.path(), text.as_bytes())
    }

    fn path(&self) -> PathBuf {
        self.directory.join(RUN_FILE)
    }
}

/// The line of a finished shard.
fn line(name: &str) -> String {
    format!("{}\n", Value::from(name))
}

/// The name, the size and the modification time of an input file.
fn input_file(shard: &Shard) -> Value {
    // Text, because nanoseconds since 1970 are beyond the numbers of JSON.
    let modified = shard.modified().map(|nanoseconds| nanoseconds.to_string());
    json!({ "name": name_of(shard.name()), "bytes": shard.bytes(), "modified": modified })
}

/// A name as text. Names that are not UTF-8 stay distinct.
pub(crate) fn name_of(path: &Path) -> String {
    path.to_str().map_or_else(|| format!("{path:?}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys are read by later versions: renaming one needs another version.
    #[test]
    fn the_run_file_names_every_part_of_the_identity() {
        let directory = tempfile::tempdir().unwrap();
        let identity = vec![("method", "L1".into()), ("scope", "tensor".into())];
        let mut file = ResumeFile::new(directory.path().to_owned(), identity, std::iter::empty());
        file.begin(std::iter::empty()).unwrap();
        file.finish(Path::new("a")).unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        assert_eq!(text, "{\"input\":[],\"method\":\"L1\",\"scope\":\"tensor\",\"version\":3}\n\"a\"\n");
        assert!(file.is_finished(Path::new("a")) && !file.is_finished(Path::new("b")));
        // A line that was cut off is no finished shard.
        fs::write(file.path(), text + "\"b").unwrap();
        let identity = vec![("method", "L1".into()), ("scope", "tensor".into())];
        let mut again = ResumeFile::new(directory.path().to_owned(), identity, std::iter::empty());
        assert!(again.load(&Output::new(directory.path()).resume(true)).unwrap());
        assert!(again.is_finished(Path::new("a")) && !again.is_finished(Path::new("b")));
        again.begin(std::iter::empty()).unwrap();
        again.finish(Path::new("b")).unwrap();
        assert!(fs::read_to_string(file.path()).unwrap().ends_with("}\n\"a\"\n\"b\"\n"));
        file.remove().unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
