//! The inputs of a layer, in which a method finds its moments.

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "safetensors")]
use crate::calibration::Statistics;
use crate::calibration::{Moments, hessian::Gram};
use crate::error::PruneError;

/// The inputs of a layer, as a method takes them: [`Moments`], or with the feature `safetensors` the `Statistics` of a model, of
/// which a pruning of a checkpoint takes those of each tensor by its name.
#[derive(Clone)]
pub struct Inputs(Source);

#[derive(Clone)]
enum Source {
    Moments(Arc<Moments>),
    #[cfg(feature = "safetensors")]
    Statistics(Arc<Statistics>, Option<String>),
    /// The hash of inputs that a history keeps: only enough to tell them from others.
    Dropped(u64),
}

impl From<Moments> for Inputs {
    fn from(moments: Moments) -> Self {
        Arc::new(moments).into()
    }
}

impl From<Arc<Moments>> for Inputs {
    fn from(moments: Arc<Moments>) -> Self {
        Self(Source::Moments(moments))
    }
}

#[cfg(feature = "safetensors")]
impl From<Arc<Statistics>> for Inputs {
    fn from(statistics: Arc<Statistics>) -> Self {
        Self(Source::Statistics(statistics, None))
    }
}

impl Inputs {
    /// The moments without a Gram matrix, of a tensor with this name if it has one.
    pub(crate) fn sums(&self, method: &str, name: Option<&str>) -> Result<Arc<Moments>, PruneError> {
        let _ = name;
        let moments = match &self.0 {
            Source::Moments(moments) => Arc::clone(moments),
            #[cfg(feature = "safetensors")]
            Source::Statistics(statistics, own) => {
                let weight = own.as_deref().or(name).ok_or_else(|| PruneError::method(method, NO_NAME))?;
                statistics.without_gram(weight).ok_or_else(|| PruneError::method(method, NO_MOMENTS))?
            }
            Source::Dropped(_) => return Err(PruneError::method(method, DROPPED)),
        };
        if moments.count() == 0 {
            return Err(PruneError::method(method, "no input of this layer was pushed"));
        }
        Ok(moments)
    }

    /// Returns the Gram matrix, or an error if it is not that of a weight with this number of columns.
    pub(crate) fn gram(&self, method: &str, columns: usize) -> Result<Gram, PruneError> {
        let sums = self.sums(method, None)?;
        PruneError::check_shape("moments", &[columns], &[sums.channels()])?;
        let no_gram = || PruneError::method(method, "the moments have no Gram matrix");
        let matrix = match &self.0 {
            Source::Moments(moments) => moments.gram().ok_or_else(no_gram)?,
            #[cfg(feature = "safetensors")]
            Source::Statistics(statistics, name) => {
                let moments = statistics.moments(name.as_deref().unwrap_or_default());
                let moments = moments.map_err(|error| PruneError::method(method, chain(&error)))?;
                moments.and_then(|moments| moments.gram()).ok_or_else(no_gram)?
            }
            Source::Dropped(_) => return Err(PruneError::method(method, DROPPED)),
        };
        Ok(Gram { matrix, count: sums.count() })
    }

    /// The inputs of one tensor of a checkpoint, whose columns are all entries of a row. `None` if they are of one layer already.
    pub(crate) fn for_tensor(
        &self,
        method: &str,
        name: &str,
        shape: &[usize],
        gram: bool,
    ) -> Result<Option<Self>, PruneError> {
        let sums = self.sums(method, Some(name))?;
        PruneError::check_shape("moments", &[columns(shape)], &[sums.channels()])?;
        match &self.0 {
            Source::Moments(_) | Source::Dropped(_) => {
                // Only the statistics of a model can lack one.
                let _ = gram;
                Ok(None)
            }
            #[cfg(feature = "safetensors")]
            Source::Statistics(statistics, _) => {
                if gram && !statistics.has_gram(name) {
                    return Err(PruneError::method(method, "the statistics have no Gram matrix of this weight"));
                }
                Ok(Some(Self(Source::Statistics(Arc::clone(statistics), Some(name.to_owned())))))
            }
        }
    }

    /// The same for a history, which keeps no data.
    pub(crate) fn dropped(&self) -> Self {
        Self(Source::Dropped(self.fingerprint()))
    }

    /// A hash of the sums, by which inputs can be told apart.
    pub(crate) fn fingerprint(&self) -> u64 {
        match &self.0 {
            Source::Moments(moments) => moments.fingerprint(),
            #[cfg(feature = "safetensors")]
            Source::Statistics(statistics, _) => statistics.fingerprint(),
            Source::Dropped(fingerprint) => *fingerprint,
        }
    }
}

#[cfg(feature = "safetensors")]
const NO_NAME: &str = "statistics of a model need the name of a tensor; in memory, take the moments of the layer";
#[cfg(feature = "safetensors")]
const NO_MOMENTS: &str = "the statistics have no moments of this weight";
const DROPPED: &str = "a history keeps no moments, so the mask cannot be computed again";

/// The number of entries of a row: of all axes but the first.
pub(crate) fn columns(shape: &[usize]) -> usize {
    shape.iter().skip(1).product()
}

/// An error with its causes, in one line.
#[cfg(feature = "safetensors")]
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// `statistics=` and a hash of the sums.
impl fmt::Display for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statistics={:016x}", self.fingerprint())
    }
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inputs({self})")
    }
}

impl PartialEq for Inputs {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}
