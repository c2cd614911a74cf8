use super::{Checkpoint, CheckpointError, Dtype, Observer};

/// What is in a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// The tensors in the order of the shards, and of their data within each. A pruned tensor, which is two tensors in the
    /// file, is one here, under its plain name.
    pub tensors: Vec<TensorInspection>,
}

/// What is in a tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInspection {
    /// Its name.
    pub name: String,
    /// Its dtype.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The shard that it is in, an index into [`Checkpoint::shards`]. Of a pruned tensor, its original.
    pub shard: usize,
    /// The number of its entries.
    pub entries: usize,
    /// How many of its entries are 0 or -0, of a pruned tensor after its mask; `None` for a dtype that this crate cannot
    /// read, such as F4.
    pub zeros: Option<usize>,
    /// Of a pruned tensor, that is one with `_orig` and `_mask`, how many entries the mask prunes.
    pub masked: Option<usize>,
    /// What it takes in the file; of a pruned tensor, original and mask together.
    pub bytes: u64,
    /// What its values would take if the zeros were left out; `None` where [`zeros`](Self::zeros) is.
    pub packed: Option<Packed>,
    /// The magnitudes of its nonzero entries; `None` if they were not asked for, and for other dtypes than F32, F64, F16
    /// and BF16.
    pub magnitudes: Option<Magnitudes>,
}

/// What a tensor would take in bytes, its entries in their own dtype.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// As it is, without a mask.
    pub dense: u64,
    /// One bit for each entry, and the nonzero ones.
    pub bitmask: u64,
    /// As a compressed sparse row matrix whose rows are the first dimension: the nonzero entries, a column index of 4 bytes
    /// for each (of 8 beyond 2^31 columns), and an offset for each row and one more, of 4 bytes (of 8 beyond 2^31 nonzero
    /// entries).
    pub csr: u64,
}

/// The distribution of the magnitudes of a tensor's nonzero entries.
#[derive(Debug, Clone, PartialEq)]
pub struct Magnitudes {
    /// The smallest, if there is one. In a tensor pruned by magnitude, no magnitude below it was kept.
    pub smallest: Option<f64>,
    /// The largest that is not NaN, if there is one.
    pub largest: Option<f64>,
    /// Pairs of an exponent e and how many entries have a magnitude from 2^e to below 2^(e + 1), in ascending order;
    /// exponents without entries are left out.
    pub log2: Vec<(i32, u64)>,
    /// How many entries are infinite.
    pub infinite: u64,
    /// How many are NaN.
    pub nan: u64,
}

/// Reads a checkpoint and counts its zeros; with `magnitudes`, also the distribution of what is not zero.
///
/// # Errors
///
/// [`CheckpointError::Read`], [`CheckpointError::Changed`], [`CheckpointError::MaskValue`], [`CheckpointError::Stopped`].
pub fn inspect(
    checkpoint: &Checkpoint,
    magnitudes: bool,
    observer: &dyn Observer,
) -> Result<Inspection, CheckpointError> {
    todo!()
}
