//! [`SparseError`], the error of packed weights and their products.

/// The reason why a packed weight or a product was refused. Nothing has changed then.
///
/// ```
/// use prune::sparse::Packed;
///
/// let weight = Packed::from_array(&ndarray::arr2(&[[1.0_f32, 0.0], [0.0, 2.0]]));
/// let error = weight.matvec(ndarray::arr1(&[1.0, 2.0, 3.0]).view()).unwrap_err();
/// assert_eq!(error.to_string(), "the input has 3 columns, but the weight has 2");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SparseError {
    /// The vectors of an input do not have the length of a row of the weight.
    #[error("the input has {found} columns, but the weight has {expected}")]
    InputColumns {
        /// The columns of the weight.
        expected: usize,
        /// The columns of the input.
        found: usize,
    },
    /// The array for a product has another shape than the product.
    #[error("the output has shape {found:?}, but the product has shape {expected:?}")]
    OutputShape {
        /// The shape of the product.
        expected: [usize; 2],
        /// The shape of the array.
        found: [usize; 2],
    },
    /// A mask has another shape than its tensor.
    #[error("the mask has shape {found:?}, but the tensor has shape {expected:?}")]
    MaskShape {
        /// The shape of the tensor.
        expected: Vec<usize>,
        /// The shape of the mask.
        found: Vec<usize>,
    },
    /// A bias does not have one entry for each row of the weight.
    #[error("the bias has {found} entries, but the weight has {expected} rows")]
    BiasLength {
        /// The rows of the weight.
        expected: usize,
        /// The length of the bias.
        found: usize,
    },
    /// The weight of a convolution does not have four dimensions.
    #[error(
        "the weight of a convolution has shape {found:?}; expected 4 dimensions: output channels, input channels, height, width"
    )]
    KernelDimensions {
        /// The shape of the weight.
        found: Vec<usize>,
    },
    /// The channels of an input do not fit the weight.
    #[error("the input has {found} channels, but the weight takes {expected}")]
    InputChannels {
        /// The channels that the weight takes: its second axis times the groups.
        expected: usize,
        /// The channels of the input.
        found: usize,
    },
    /// The output channels cannot be divided among the groups.
    #[error("{channels} output channels cannot be divided into {groups} groups")]
    Groups {
        /// The output channels.
        channels: usize,
        /// The groups.
        groups: usize,
    },
    /// A stride or a dilation is 0.
    #[error("{what} of a convolution is 0")]
    ZeroStep {
        /// `stride` or `dilation`.
        what: &'static str,
    },
    /// An image, with its padding, is smaller than the kernel, or too large for any array.
    #[error("images of {height} x {width} do not fit the kernel, dilation and padding of the convolution")]
    ImageSize {
        /// The height of the image.
        height: usize,
        /// The width of the image.
        width: usize,
    },
}
