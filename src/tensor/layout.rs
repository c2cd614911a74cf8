//! Standard layout: the entries of an array as one slice, in row-major order.

use ndarray::{ArrayBase, ArrayD, Data, DataMut, Dimension, IxDyn};

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

/// An array of memory that is not touched yet: its pages come in where it is first written to, on any thread.
pub(crate) fn zeroed<T: bytemuck::Zeroable>(shape: IxDyn) -> ArrayD<T> {
    let elements = bytemuck::zeroed_vec(shape.size());
    ArrayD::from_shape_vec(shape, elements).expect("there are as many elements as the shape asks for")
}
