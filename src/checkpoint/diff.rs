use super::{Checkpoint, CheckpointError, Dtype, Observer};

/// How two checkpoints differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Tensors that only the first has.
    pub only_a: Vec<String>,
    /// Tensors that only the second has.
    pub only_b: Vec<String>,
    /// Tensors that both have, in the order of the first. A pruned tensor, which is two tensors in the file, is compared
    /// under its plain name, by its values after the mask.
    pub common: Vec<TensorDifference>,
}

/// How a tensor differs between two checkpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorDifference {
    /// Its name.
    pub name: String,
    /// Its dtype and shape in the first.
    pub a: (Dtype, Vec<usize>),
    /// Its dtype and shape in the second.
    pub b: (Dtype, Vec<usize>),
    /// How the entries compare; `None` if the shapes differ, or if the dtypes differ and are not both floating-point.
    pub entries: Option<EntryDifference>,
}

/// How the entries of a tensor differ.
///
/// The entries of floating-point tensors are compared by their bits, and by their values if the dtypes differ; those of
/// other tensors by their bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EntryDifference {
    /// The number of entries of either.
    pub entries: usize,
    /// How many differ in any way.
    pub differing: usize,
    /// How many are zero in the second only.
    pub became_zero: usize,
    /// How many are zero in the first only.
    pub became_nonzero: usize,
    /// How many are zero in both. (A change from 0 to -0 is among [`differing`](Self::differing) all the same.)
    pub zero_in_both: usize,
}

/// How the zeros of a tensor, taken as a mask, relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Containment {
    /// Both have the same zeros.
    Equal,
    /// The second has all zeros of the first and more: it was pruned further.
    AInB,
    /// The first has all zeros of the second and more.
    BInA,
    /// Each has zeros that the other does not have.
    Neither,
}

impl EntryDifference {
    /// How the zeros relate.
    pub fn containment(&self) -> Containment {
        match (self.became_zero, self.became_nonzero) {
            (0, 0) => Containment::Equal,
            (_, 0) => Containment::AInB,
            (0, _) => Containment::BInA,
            _ => Containment::Neither,
        }
    }
}

impl TensorDifference {
    /// Whether dtype, shape and all entries are the same.
    pub fn is_equal(&self) -> bool {
        self.a == self.b && self.entries.is_some_and(|entries| entries.differing == 0)
    }
}

impl Difference {
    /// Whether both have the same tensors with the same entries.
    pub fn is_equal(&self) -> bool {
        self.only_a.is_empty() && self.only_b.is_empty() && self.common.iter().all(TensorDifference::is_equal)
    }
}

/// Compares two checkpoints, tensor by tensor.
///
/// # Errors
///
/// [`CheckpointError::Read`], [`CheckpointError::Changed`], [`CheckpointError::MaskValue`], [`CheckpointError::Stopped`].
pub fn diff(a: &Checkpoint, b: &Checkpoint, observer: &dyn Observer) -> Result<Difference, CheckpointError> {
    todo!()
}
