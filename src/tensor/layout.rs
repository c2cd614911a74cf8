//! Standard layout: the entries of an array as one slice, in row-major order.

use ndarray::{ArrayBase, Data, DataMut, IxDyn};

/// Returns the entries of an array in row-major order.
pub(crate) fn flat<T, S: Data<Elem = T>>(array: &ArrayBase<S, IxDyn>) -> &[T] {
    array.as_slice().expect(STANDARD)
}

/// Returns the entries of an array in row-major order, mutably.
pub(crate) fn flat_mut<T, S: DataMut<Elem = T>>(array: &mut ArrayBase<S, IxDyn>) -> &mut [T] {
    array.as_slice_mut().expect(STANDARD)
}

/// The reason why [`flat`] cannot fail: parameters, masks and scores are converted where they enter the crate.
pub(crate) const STANDARD: &str = "arrays inside the crate are in standard layout";
