use std::fmt;

use crate::file::escape::Quoted;

/// The outcome of loading, for every tensor of a file and every parameter of a module.
///
/// Each tensor of the file is in exactly one of [`applied`](Self::applied), [`unexpected`](Self::unexpected) and
/// [`skipped`](Self::skipped). Each parameter of the module was loaded, or is in [`missing`](Self::missing) and unchanged.
/// All names are those of a state dict, so a pruned `weight` is listed as `weight_orig` and `weight_mask`.
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
#[must_use = "it lists the tensors that were not loaded"]
pub struct LoadReport {
    /// The tensors of the file that were loaded.
    pub applied: Vec<String>,
    /// The tensors of the module that were not loaded, in its order.
    pub missing: Vec<String>,
    /// The tensors of the file that belong to no parameter of the module.
    pub unexpected: Vec<String>,
    /// The tensors of the file that cannot be parameters of this element type.
    pub skipped: Vec<Skipped>,
}

/// A tensor of a file that no module of the element type can load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its name in the file.
    pub tensor: String,
    /// The reason.
    pub reason: SkipReason,
}

/// The reason why a tensor was not loaded. Dtypes have the names of the file format: `F32`, `BF16`, `I64`, ...
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// Its dtype differs from that of the parameters, like that of integer buffers of a batch normalisation.
    Dtype {
        /// The dtype of the parameters.
        expected: String,
        /// The dtype of the tensor.
        found: String,
    },
    /// It is a mask of a dtype whose 0 and 1 this crate cannot read.
    MaskDtype {
        /// The dtype of the mask.
        found: String,
    },
    /// It is the original of a skipped mask, or the mask of a skipped original.
    Counterpart {
        /// The skipped tensor.
        tensor: String,
    },
}

impl LoadReport {
    /// Returns `true` if the whole file was loaded into the whole module, as `load_state_dict(strict=True)` requires.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.skipped.is_empty()
    }
}

/// Displays as one line, such as ``applied 2; missing `bias` ``.
impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "applied {}", self.applied.len())?;
        for (label, names) in [("missing", &self.missing), ("unexpected", &self.unexpected)] {
            list(f, label, names.iter().map(|name| Quoted(name)))?;
        }
        list(f, "skipped", &self.skipped)
    }
}

fn list(f: &mut fmt::Formatter<'_>, label: &str, items: impl IntoIterator<Item: fmt::Display>) -> fmt::Result {
    for (i, item) in items.into_iter().enumerate() {
        if i == 0 { write!(f, "; {label} {item}")? } else { write!(f, ", {item}")? }
    }
    Ok(())
}

/// Displays as a name and a reason, such as `` `steps`: dtype is I64, not F32 ``.
impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Quoted(&self.tensor), self.reason)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dtype { expected, found } => write!(f, "dtype is {found}, not {expected}"),
            Self::MaskDtype { found } => write!(f, "dtype {found} cannot hold a mask"),
            Self::Counterpart { tensor } => write!(f, "{} is skipped", Quoted(tensor)),
        }
    }
}
