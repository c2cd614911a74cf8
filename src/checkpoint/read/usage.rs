//! The use of tensors, as their file states it. Safetensors files say nothing: there, names and shapes decide.

use crate::checkpoint::report::SkipReason;

/// The use of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(not(feature = "onnx"), allow(dead_code, reason = "other files say nothing"))]
pub(crate) enum Usage {
    /// The file does not say it.
    #[default]
    Unknown,
    /// It is the weight of a layer.
    Weight(LayerWeight),
    /// It is no weight of a layer, for this reason, but can be pruned if it is named.
    Other(SkipReason),
    /// It cannot be pruned in its file, whatever selects it.
    Fixed {
        reason: SkipReason,
        /// Its entries lie in the file as they do in memory.
        is_readable: bool,
    },
}

/// The weight of a layer, as the operator says that takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "onnx"), allow(dead_code, reason = "as above"))]
pub(crate) struct LayerWeight {
    pub operator: &'static str,
    /// The axis of the output channels.
    pub outputs: usize,
    /// It belongs to the last layer.
    pub is_last: bool,
}

impl Usage {
    /// Returns `false` if the entries cannot be read.
    pub fn is_readable(&self) -> bool {
        match self {
            Self::Unknown | Self::Weight(_) | Self::Other(_) => true,
            Self::Fixed { is_readable, .. } => *is_readable,
        }
    }

    /// Returns the weight of a layer.
    pub fn weight(&self) -> Option<LayerWeight> {
        match self {
            Self::Weight(weight) => Some(*weight),
            Self::Unknown | Self::Other(_) | Self::Fixed { .. } => None,
        }
    }
}
