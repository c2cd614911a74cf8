//! The moments of a model by the names of its weights, and the file that has them.

mod error;
mod file;
mod stored;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub use error::StatisticsError;
use indexmap::IndexMap;

use crate::calibration::packed::Packed;
use crate::calibration::{GradientSquares, Moments};
use crate::hash::fnv1a;
use stored::StoredGram;

/// The statistics of a model: [`Moments`] by the names of weights, of which several may share one input, and
/// [`GradientSquares`].
///
/// A file has them as safetensors; [`docs/STATISTICS.md`](https://github.com/nn-prune/nn-prune/blob/main/docs/STATISTICS.md) describes it,
/// with a script in Python that writes one. A file may be larger than memory: [`open`](Self::open) reads all but the Gram matrices, of
/// which pruning and saving read one at a time.
///
/// ```
/// use ndarray::arr2;
/// use prune::calibration::{Moments, Statistics};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("statistics.safetensors");
/// let mut moments = Moments::with_gram(2);
/// moments.push(arr2(&[[1.0_f32, 2.0]]).view())?;
/// let mut statistics = Statistics::new();
/// statistics.input("attention", &["query.weight", "key.weight"], moments.clone()); // one input, two weights
/// statistics.save(&path)?;
///
/// let statistics = Statistics::open(&path)?;
/// assert_eq!(statistics.moments("key.weight")?, Some(moments));
/// assert_eq!(statistics.moments("value.weight")?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Statistics {
    inputs: IndexMap<String, Input>,
    /// The name of the input of each weight.
    weights: BTreeMap<String, String>,
    gradients: IndexMap<String, GradientSquares>,
}

/// One input: its sums, and the parts whose sum is its Gram matrix.
#[derive(Debug, Clone)]
struct Input {
    sums: Arc<Moments>,
    gram: Option<Vec<GramPart>>,
}

/// A Gram matrix, or a part of one, in memory or in a file.
#[derive(Debug, Clone)]
enum GramPart {
    Memory(Arc<Packed>),
    File(StoredGram),
}

impl GramPart {
    fn read(&self) -> Result<Packed, StatisticsError> {
        match self {
            Self::Memory(gram) => Ok((**gram).clone()),
            Self::File(stored) => stored.read(),
        }
    }
}

impl Input {
    /// The Gram matrix, whose parts are added in the order in which they were merged.
    fn gram(&self) -> Result<Option<Packed>, StatisticsError> {
        let Some((first, others)) = self.gram.as_ref().and_then(|parts| parts.split_first()) else { return Ok(None) };
        let mut sum = first.read()?;
        for part in others {
            sum.add(&part.read()?);
        }
        Ok(Some(sum))
    }

    fn moments(&self) -> Result<Moments, StatisticsError> {
        Ok(Moments::of_parts(self.sums.count(), self.sums.sum_squares().to_owned(), self.gram()?))
    }
}

impl Statistics {
    /// Returns statistics of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an input with the weights that take it, such as `layer.0.weight`. Replaces an earlier input of the same name.
    pub fn input(&mut self, name: &str, weights: &[&str], moments: Moments) {
        let sums = Moments::of_parts(moments.count(), moments.sum_squares().to_owned(), None);
        let gram = moments.into_packed().map(|gram| vec![GramPart::Memory(Arc::new(gram))]);
        self.inputs.insert(name.to_owned(), Input { sums: Arc::new(sums), gram });
        self.weights.extend(weights.iter().map(|weight| ((*weight).to_owned(), name.to_owned())));
    }

    /// Adds the squared gradients of a weight. Replaces earlier ones of the same weight.
    pub fn gradients(&mut self, weight: &str, gradients: GradientSquares) {
        self.gradients.insert(weight.to_owned(), gradients);
    }

    /// Returns the names of the weights that have an input, in alphabetical order.
    pub fn weights(&self) -> impl ExactSizeIterator<Item = &str> {
        self.weights.keys().map(String::as_str)
    }

    /// Returns the inputs by name, without their Gram matrices.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = (&str, &Moments)> {
        self.inputs.iter().map(|(name, input)| (name.as_str(), &*input.sums))
    }

    /// Returns the name of the input of a weight.
    pub fn input_of(&self, weight: &str) -> Option<&str> {
        self.weights.get(weight).map(String::as_str)
    }

    /// Returns the moments of a weight's input, or `None` if it has none. Reads the Gram matrix, if there is one.
    ///
    /// # Errors
    ///
    /// [`StatisticsError::Read`], [`StatisticsError::Changed`] or [`StatisticsError::Format`] if the file cannot be read, has changed since
    /// it was opened or has an entry that is not finite.
    pub fn moments(&self, weight: &str) -> Result<Option<Moments>, StatisticsError> {
        self.found(weight).map(Input::moments).transpose()
    }

    /// Returns the moments of a weight's input without a Gram matrix, which are in memory.
    pub fn without_gram(&self, weight: &str) -> Option<Arc<Moments>> {
        self.found(weight).map(|input| Arc::clone(&input.sums))
    }

    /// Returns `true` if the input of a weight has a Gram matrix.
    pub fn has_gram(&self, weight: &str) -> bool {
        self.found(weight).is_some_and(|input| input.gram.is_some())
    }

    /// Returns the squared gradients of a weight.
    pub fn gradient_squares(&self, weight: &str) -> Option<&GradientSquares> {
        self.gradients.get(weight)
    }

    fn found(&self, weight: &str) -> Option<&Input> {
        self.inputs.get(self.weights.get(weight)?)
    }

    /// Adds the sums of other data for the same model. Inputs that only one side has are kept. An input has a Gram matrix in the end if
    /// it has one on both sides.
    ///
    /// Gram matrices are added when they are read or saved, one at a time, in the order of the merges: with the same files in the same
    /// order, the result is the same to the last bit.
    ///
    /// # Errors
    ///
    /// [`StatisticsError::Merge`] if an input or gradient has another shape, or a weight another input; nothing is added then.
    pub fn merge(&mut self, other: Self) -> Result<(), StatisticsError> {
        let mut merged = self.clone();
        for (weight, name) in other.weights {
            match merged.weights.get(&weight) {
                Some(own) if *own != name => {
                    return Err(StatisticsError::OtherInput { weight, first: own.clone(), second: name });
                }
                Some(_) => {}
                None => drop(merged.weights.insert(weight, name)),
            }
        }
        for (name, input) in other.inputs {
            let Some(own) = merged.inputs.get_mut(&name) else {
                merged.inputs.insert(name, input);
                continue;
            };
            let mut sums = (*own.sums).clone();
            sums.merge(&input.sums).map_err(|source| StatisticsError::Merge { name, source })?;
            own.sums = Arc::new(sums);
            own.gram = own.gram.take().zip(input.gram).map(|(own, other)| [own, other].concat());
        }
        for (weight, gradients) in other.gradients {
            match merged.gradients.get_mut(&weight) {
                Some(own) => {
                    own.merge(&gradients).map_err(|source| StatisticsError::Merge { name: weight, source })?;
                }
                None => drop(merged.gradients.insert(weight, gradients)),
            }
        }
        *self = merged;
        Ok(())
    }

    /// Writes a file, which appears or replaces another one when it is complete.
    ///
    /// # Errors
    ///
    /// [`StatisticsError::Write`] if the file cannot be written; [`StatisticsError::Header`] if two tensors would have one name; the
    /// errors of [`moments`](Self::moments).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), StatisticsError> {
        file::save(self, path.as_ref())
    }

    /// Opens a file: reads all but the Gram matrices, which are read when they are needed.
    ///
    /// # Errors
    ///
    /// [`StatisticsError::Read`] if the file cannot be read; [`StatisticsError::Header`] if it is no safetensors file;
    /// [`StatisticsError::Format`] if it does not have the layout of statistics.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StatisticsError> {
        file::open(path.as_ref())
    }

    /// Reads a whole file into memory.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) and of [`moments`](Self::moments).
    pub fn load(path: impl AsRef<Path>) -> Result<Self, StatisticsError> {
        let mut statistics = Self::open(path)?;
        for input in statistics.inputs.values_mut() {
            input.gram = input.gram()?.map(|gram| vec![GramPart::Memory(Arc::new(gram))]);
        }
        Ok(statistics)
    }

    /// A hash of names and sums, by which statistics can be told apart.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut inputs: Vec<_> = self.inputs.iter().collect();
        inputs.sort_by_key(|(name, _)| *name);
        let inputs = inputs.into_iter().flat_map(|(name, input)| {
            name.bytes().chain(input.sums.fingerprint().to_le_bytes()).chain([u8::from(input.gram.is_some())])
        });
        let weights = self.weights.iter().flat_map(|(weight, name)| weight.bytes().chain([0]).chain(name.bytes()));
        fnv1a(inputs.chain(weights))
    }
}

/// Statistics of the same inputs and weights with the same sums.
impl PartialEq for Statistics {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint() && self.gradients == other.gradients
    }
}
