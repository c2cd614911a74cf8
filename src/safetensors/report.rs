use std::fmt;

use crate::file::error::Quoted;

/// What became of every tensor of a file, and of every parameter of a module.
///
/// Each tensor of the file is in exactly one of [`applied`](Self::applied), [`unexpected`](Self::unexpected) and
/// [`skipped`](Self::skipped). Each parameter of the module was loaded, or else it is in [`missing`](Self::missing) and as
/// it was. All names are those of a state dict, so a pruned `weight` is `weight_orig` and `weight_mask`.
///
/// ```
/// use ndarray::arr1;
/// use prune::{ParameterStore, safetensors};
///
/// let file = ParameterStore::from_iter([("weight", arr1(&[1.0_f32, 2.0])), ("wieght", arr1(&[3.0]))]);
/// let mut layer = ParameterStore::from_iter([("weight", arr1(&[0.0_f32, 0.0])), ("bias", arr1(&[0.0]))]);
///
/// let report = safetensors::load_into(&mut layer, &safetensors::to_bytes(&file)?)?;
/// assert_eq!(report.applied, ["weight"]);
/// assert_eq!(report.missing, ["bias"]);
/// assert_eq!(report.unexpected, ["wieght"]);
/// assert!(!report.is_complete());
/// # Ok::<(), safetensors::StateDictError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "it says what was not loaded"]
pub struct LoadReport {
    /// The tensors of the file that were loaded.
    pub applied: Vec<String>,
    /// The tensors that the module has and that were not loaded, in its order.
    pub missing: Vec<String>,
    /// The tensors of the file that the module has no place for.
    pub unexpected: Vec<String>,
    /// The tensors of the file that cannot be parameters of this element type.
    pub skipped: Vec<Skipped>,
}

/// A tensor of a file that was not loaded, whatever the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its name in the file.
    pub tensor: String,
    /// Why it was not loaded.
    pub reason: SkipReason,
}

/// Why a tensor was not loaded. Dtypes have the names of the file format: `F32`, `BF16`, `I64`, ...
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// It has another dtype than the parameters, like the integer buffers of a batch normalisation.
    Dtype {
        /// The dtype of the parameters.
        expected: String,
        /// The dtype of the tensor.
        found: String,
    },
    /// It is a mask of a dtype that has no defined 0 and 1 here.
    MaskDtype {
        /// The dtype of the mask.
        found: String,
    },
    /// It is the original or the mask of a parameter whose other half is skipped.
    Counterpart {
        /// The other half.
        tensor: String,
    },
}

impl LoadReport {
    /// Whether the whole file was loaded into the whole module: what `load_state_dict(strict=True)` demands.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.skipped.is_empty()
    }
}

/// `2 applied; missing: "bias"; ...` on one line.
impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "applied {}", self.applied.len())?;
        for (what, names) in [("missing", &self.missing), ("unexpected", &self.unexpected)] {
            list(f, what, names.iter().map(|name| Quoted(name)))?;
        }
        list(f, "skipped", &self.skipped)
    }
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, items: impl IntoIterator<Item: fmt::Display>) -> fmt::Result {
    for (i, item) in items.into_iter().enumerate() {
        if i == 0 { write!(f, "; {what} {item}")? } else { write!(f, ", {item}")? }
    }
    Ok(())
}

/// `` `steps`: expected F32, found I64 ``.
impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Quoted(&self.tensor), self.reason)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dtype { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::MaskDtype { found } => write!(f, "expected a mask of booleans, integers or floats, found {found}"),
            Self::Counterpart { tensor } => write!(f, "expected {} to be loaded too, found it skipped", Quoted(tensor)),
        }
    }
}
