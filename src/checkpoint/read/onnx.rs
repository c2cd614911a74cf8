//! An ONNX model as a checkpoint. Its file is the first shard, and each file of external data is one more.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::CheckpointError;
use crate::checkpoint::read::index::is_below_directory;
use crate::checkpoint::read::open_files::OpenFiles;
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::read::usage::{LayerWeight, Usage};
use crate::checkpoint::read::{Checkpoint, Shard, Tensor};
use crate::checkpoint::report::SkipReason;
use crate::file::onnx::{Failure, Model, OnnxError, Place, Role};

impl Checkpoint {
    /// Opens an ONNX model.
    pub(super) fn of_onnx(path: &Path) -> Result<Self, CheckpointError> {
        let invalid = |source| CheckpointError::Onnx { path: path.to_owned(), source };
        let mut files = DataFiles::of_model(path)?;
        let Model { tensors, last_layer } =
            Model::read(&*files.shards[0].file()?, files.shards[0].bytes()).map_err(|failure| match failure {
                Failure::Invalid(source) => invalid(source),
                // The file was long enough when it was opened.
                Failure::Read(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    CheckpointError::Changed { path: path.to_owned() }
                }
                Failure::Read(source) => CheckpointError::Read { path: path.to_owned(), source },
            })?;

        let mut found = Vec::with_capacity(tensors.len());
        let mut with_checksum = HashSet::new();
        for (number, (tensor, role)) in tensors.into_iter().enumerate() {
            let (shard, start, bytes, encoded) = match tensor.place {
                Place::Inside { start, bytes } => (0, start, bytes, None),
                Place::Encoded { start, bytes, field } => (0, start, bytes, Some(field)),
                Place::Outside { location, start, bytes, has_checksum } => {
                    let shard = files.shard(&tensor.name, &location, start, bytes)?;
                    with_checksum.extend(has_checksum.then_some(shard));
                    (shard, start, bytes, None)
                }
            };
            let usage = usage(role, encoded, last_layer == Some(number));
            found.push(Tensor {
                name: tensor.name,
                dtype: tensor.dtype,
                shape: tensor.shape,
                shard,
                bytes,
                start,
                usage,
            });
        }
        found.sort_by_key(|tensor| (tensor.shard, tensor.start));
        for tensor in found.iter_mut().filter(|tensor| with_checksum.contains(&tensor.shard)) {
            tensor.usage = Usage::Fixed { reason: SkipReason::Encoded { field: "checksum" }, is_readable: true };
        }
        check_apart(&found, &files.shards).map_err(invalid)?;
        let parameters = found.iter().enumerate().map(|(number, tensor)| {
            // Operators say what is a mask here, not names.
            ParameterEntry::of(&tensor.name, number, tensor, None)
        });
        let parameters = parameters.collect();
        Ok(Self { shards: files.shards, tensors: found, parameters, index: None, ignored_index: None })
    }
}

/// The file of a model and those of its external data.
struct DataFiles<'p> {
    model: &'p Path,
    shards: Vec<Shard>,
    /// The numbers of the shards by their paths below the directory of the model.
    numbers: HashMap<PathBuf, usize>,
    open: Arc<OpenFiles>,
}

impl<'p> DataFiles<'p> {
    fn of_model(model: &'p Path) -> Result<Self, CheckpointError> {
        let (name, open) = (PathBuf::from(model.file_name().unwrap_or(model.as_os_str())), Arc::default());
        let shard = Shard::plain(model.to_owned(), name, 0, &open)?;
        Ok(Self { model, shards: vec![shard], numbers: HashMap::new(), open })
    }

    /// Returns the shard with the data of a tensor, which must lie in it.
    fn shard(&mut self, tensor: &str, location: &str, start: u64, bytes: u64) -> Result<usize, CheckpointError> {
        let model = self.model;
        let invalid = |source| CheckpointError::Onnx { path: model.to_owned(), source };
        let [tensor, location] = [tensor, location].map(str::to_owned);
        // Some tools write the current directory before the name.
        let path = location.trim_start_matches("./");
        // One path for each file, however it is written.
        let name: PathBuf = Path::new(path).components().collect();
        if !is_below_directory(path) || name == self.shards[0].name() {
            return Err(invalid(OnnxError::Location { tensor, location }));
        }
        let number = match self.numbers.get(&name) {
            Some(&number) => number,
            None => {
                let directory = model.parent().unwrap_or(Path::new(""));
                for part in name.ancestors().filter(|part| *part != Path::new("")) {
                    let path = directory.join(part);
                    match fs::symlink_metadata(&path) {
                        Ok(found) if found.is_symlink() => {
                            return Err(invalid(OnnxError::Link { tensor, location }));
                        }
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {
                            return Err(invalid(OnnxError::MissingData { tensor, location }));
                        }
                        Err(source) => return Err(CheckpointError::Read { path, source }),
                    }
                }
                let number = self.shards.len();
                self.shards.push(Shard::plain(directory.join(&name), name.clone(), number, &self.open)?);
                self.numbers.insert(name, number);
                number
            }
        };
        let found = self.shards[number].bytes();
        match start.checked_add(bytes) {
            Some(end) if end <= found => Ok(number),
            end => {
                let end = end.unwrap_or(u64::MAX);
                Err(invalid(OnnxError::BeyondFile { tensor, location, end, found }))
            }
        }
    }
}

/// Returns an error if two tensors have a byte in common. They are in the order of their data.
fn check_apart(tensors: &[Tensor], shards: &[Shard]) -> Result<(), OnnxError> {
    let mut tensors = tensors.iter().filter(|tensor| tensor.bytes > 0);
    let Some(mut last) = tensors.next() else { return Ok(()) };
    for tensor in tensors {
        if tensor.shard == last.shard && tensor.start < last.start + last.bytes {
            let location = shards[tensor.shard].name().to_string_lossy().into_owned();
            return Err(OnnxError::Overlap { first: last.name.clone(), second: tensor.name.clone(), location });
        }
        last = tensor;
    }
    Ok(())
}

/// The use of a tensor that operators take like this.
fn usage(role: Role, encoded: Option<&'static str>, is_last: bool) -> Usage {
    let other = |name: &str| Usage::Other(SkipReason::NotALayer { name: name.to_owned() });
    match (role, encoded) {
        (Role::InSubgraph, _) => Usage::Fixed { reason: SkipReason::Subgraph, is_readable: encoded.is_none() },
        (_, Some(field)) => Usage::Fixed { reason: SkipReason::Encoded { field }, is_readable: false },
        (Role::Weight(weight), None) => {
            Usage::Weight(LayerWeight { operator: weight.operator, outputs: weight.outputs, is_last })
        }
        (Role::Other(operator), None) => other(&operator),
        (Role::Unused, None) => other("unused"),
        (Role::Table(word), None) => Usage::Other(SkipReason::Embedding { word }),
        (Role::Quantized(weight), None) => Usage::Other(SkipReason::Quantization { weight }),
    }
}
