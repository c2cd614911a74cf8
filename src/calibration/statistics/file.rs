//! The layout of a statistics file, read and written.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use ::safetensors::Dtype;
use ::safetensors::tensor::TensorInfo;
use indexmap::IndexMap;
use ndarray::{Array1, ArrayD, IxDyn};

use crate::calibration::packed::packed_len;
use crate::calibration::statistics::stored::{StoredFile, StoredGram};
use crate::calibration::statistics::{GramPart, Input, Statistics, StatisticsError};
use crate::calibration::{GradientSquares, Moments};
use crate::file::atomic::{self, AtomicFile};
use crate::file::elements::encode;
use crate::file::escape::Quoted;
use crate::file::header::{Header, Metadata};

/// The value of the key `format` in the metadata.
const FORMAT: &str = "nn-prune-statistics 1";
/// The suffixes of the names of tensors.
const COUNT: &str = ".count";
const SUM_SQUARES: &str = ".sum_squares";
const GRAM: &str = ".gram";
const GRADIENT_SQUARES: &str = ".gradient_squares";
const GRADIENT_PUSHES: &str = ".gradient_pushes";

pub(super) fn open(path: &Path) -> Result<Statistics, StatisticsError> {
    let (file, header) = StoredFile::open(path)?;
    let metadata = header.metadata.unwrap_or_default();
    match metadata.get("format") {
        Some(format) if format == FORMAT => {}
        Some(format) => return Err(file.format(format!("its format is {}, not `{FORMAT}`", Quoted(format)))),
        None => return Err(file.format(format!("its metadata have no `format`, which is `{FORMAT}`"))),
    }
    let reader = Reader {
        tensors: header.tensors.iter().map(|(name, info)| (name.as_str(), info)).collect(),
        file: Arc::new(file),
    };
    let mut statistics = Statistics::new();
    for (name, info) in &header.tensors {
        if let Some(input) = name.strip_suffix(SUM_SQUARES) {
            statistics.inputs.insert(input.to_owned(), reader.input(input, info)?);
        } else if let Some(weight) = name.strip_suffix(GRADIENT_SQUARES) {
            statistics.gradients.insert(weight.to_owned(), reader.gradients(weight, info)?);
        } else {
            reader.check_companion(name)?;
        }
    }
    statistics.weights = reader.weights(&metadata, &statistics.inputs)?;
    Ok(statistics)
}

/// The tensors of a file by name.
struct Reader<'h> {
    tensors: HashMap<&'h str, &'h TensorInfo>,
    file: Arc<StoredFile>,
}

impl Reader<'_> {
    fn input(&self, name: &str, info: &TensorInfo) -> Result<Input, StatisticsError> {
        let count = self.count(&format!("{name}{COUNT}"))?;
        let full_name = format!("{name}{SUM_SQUARES}");
        let [channels] = info.shape[..] else {
            return Err(self.file.format(format!("{} has shape {:?}, not one axis", Quoted(&full_name), info.shape)));
        };
        let sum_squares = Array1::from(self.file.numbers(&full_name, info)?);
        if sum_squares.iter().any(|&sum| sum < 0.0) {
            return Err(self.file.format(format!("{} has a negative entry", Quoted(&full_name))));
        }
        let gram = format!("{name}{GRAM}");
        let gram = self.tensors.get(gram.as_str()).map(|info| StoredGram::new(&self.file, &gram, info, channels));
        let gram = gram.transpose()?.map(|gram| vec![GramPart::File(gram)]);
        Ok(Input { sums: Arc::new(Moments::of_parts(count, sum_squares, None)), gram })
    }

    fn gradients(&self, weight: &str, info: &TensorInfo) -> Result<GradientSquares, StatisticsError> {
        let pushes = self.count(&format!("{weight}{GRADIENT_PUSHES}"))?;
        let name = format!("{weight}{GRADIENT_SQUARES}");
        let sum = ArrayD::from_shape_vec(IxDyn(&info.shape), self.file.numbers(&name, info)?);
        let sum = sum.map_err(|_| self.file.format(format!("{} has an unsupported shape", Quoted(&name))))?;
        Ok(GradientSquares::of_parts(pushes, sum))
    }

    fn count(&self, name: &str) -> Result<u64, StatisticsError> {
        match self.tensors.get(name) {
            Some(info) => self.file.count(name, info),
            None => Err(self.file.format(format!("it has no tensor {}", Quoted(name)))),
        }
    }

    /// Rejects a tensor that belongs to no sums.
    fn check_companion(&self, name: &str) -> Result<(), StatisticsError> {
        let of = [(COUNT, SUM_SQUARES), (GRAM, SUM_SQUARES), (GRADIENT_PUSHES, GRADIENT_SQUARES)];
        let mut sums = of.iter().filter_map(|(suffix, sums)| Some(format!("{}{sums}", name.strip_suffix(suffix)?)));
        match sums.any(|sums| self.tensors.contains_key(sums.as_str())) {
            true => Ok(()),
            false => Err(self.file.format(format!("tensor {} belongs to no sums", Quoted(name)))),
        }
    }

    /// The inputs of weights, by the metadata.
    fn weights(
        &self,
        metadata: &Metadata,
        inputs: &IndexMap<String, Input>,
    ) -> Result<BTreeMap<String, String>, StatisticsError> {
        let Some(text) = metadata.get("weights") else {
            return Err(self.file.format("its metadata have no `weights`, an object with the input of each weight"));
        };
        let invalid = |error: serde_json::Error| {
            self.file.format(format!("`weights` is not an object of names: {}", Quoted(&error.to_string())))
        };
        let weights: BTreeMap<String, String> = serde_json::from_str(text).map_err(invalid)?;
        match weights.iter().find(|(_, input)| !inputs.contains_key(*input)) {
            Some((weight, input)) => {
                Err(self.file.format(format!("the input {} of {} is missing", Quoted(input), Quoted(weight))))
            }
            None => Ok(weights),
        }
    }
}

pub(super) fn save(statistics: &Statistics, path: &Path) -> Result<(), StatisticsError> {
    let header = header(statistics, path)?;
    let failed = |source: io::Error| StatisticsError::Write { path: path.to_owned(), source };
    atomic::remove_leftovers_of(path);
    let mut out = AtomicFile::create(path).map_err(failed)?;
    out.write_all(&header).map_err(failed)?;
    for input in statistics.inputs.values() {
        let sums = input.sums.sum_squares().to_vec();
        out.write_all(&encode(&sums)).map_err(failed)?;
        // A count of tokens is far below 2^63.
        out.write_all(&(input.sums.count() as i64).to_le_bytes()).map_err(failed)?;
        if let Some(gram) = input.gram()? {
            out.write_all(&encode(gram.lower())).map_err(failed)?;
        }
    }
    for gradients in statistics.gradients.values() {
        let sums: Vec<f64> = gradients.sum().iter().copied().collect();
        out.write_all(&encode(&sums)).map_err(failed)?;
        out.write_all(&(gradients.pushes() as i64).to_le_bytes()).map_err(failed)?;
    }
    out.commit().map_err(failed)
}

/// The header, with the tensors in the order in which they are written.
fn header(statistics: &Statistics, path: &Path) -> Result<Vec<u8>, StatisticsError> {
    let mut tensors: Vec<(String, Dtype, Vec<usize>)> = Vec::new();
    for (name, input) in &statistics.inputs {
        let channels = input.sums.channels();
        tensors.push((format!("{name}{SUM_SQUARES}"), Dtype::F64, vec![channels]));
        tensors.push((format!("{name}{COUNT}"), Dtype::I64, vec![1]));
        if input.gram.is_some() {
            tensors.push((format!("{name}{GRAM}"), Dtype::F64, vec![packed_len(channels)]));
        }
    }
    for (weight, gradients) in &statistics.gradients {
        tensors.push((format!("{weight}{GRADIENT_SQUARES}"), Dtype::F64, gradients.sum().shape().to_vec()));
        tensors.push((format!("{weight}{GRADIENT_PUSHES}"), Dtype::I64, vec![1]));
    }
    let weights: BTreeMap<&str, &str> =
        statistics.weights.iter().map(|(weight, input)| (weight.as_str(), input.as_str())).collect();
    // A map of texts is always JSON.
    let weights = serde_json::to_string(&weights).unwrap_or_default();
    let metadata = Metadata::from([("format".to_owned(), FORMAT.to_owned()), ("weights".to_owned(), weights)]);
    let tensors = tensors.iter().map(|(name, dtype, shape)| (name.as_str(), *dtype, shape));
    Header::encode_with(Some(&metadata), tensors)
        .map_err(|source| StatisticsError::Header { path: path.to_owned(), source })
}
