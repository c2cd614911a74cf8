//! [`PackedConv2d`]: a convolution for inference, as a product with unfolded images.

use ndarray::{Array1, Array4, ArrayView3, ArrayView4, ArrayViewMut3, Axis};

use crate::element::Element;
use crate::sparse::linear::check_bias;
use crate::sparse::packed::Packed;
use crate::sparse::prepared::Prepared;
use crate::sparse::product::{GROUP, Inputs, Scratch};
use crate::sparse::{SparseError, Sum};

/// The steps of a convolution, in pairs of height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// The distance of neighbouring outputs in the image. `[1, 1]` by default.
    pub stride: [usize; 2],
    /// The zeros on each side of the image. `[0, 0]` by default.
    pub padding: [usize; 2],
    /// The distance of neighbouring entries of the kernel in the image. `[1, 1]` by default.
    pub dilation: [usize; 2],
    /// The groups into which channels are divided; each output channel reads the input channels of its group. 1 by default.
    pub groups: usize,
}

impl Default for Conv2dOptions {
    fn default() -> Self {
        Self { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }
    }
}

/// A convolution with a packed weight, as `torch.nn.Conv2d` computes it.
///
/// Images are unfolded (im2col) into the tiles that a product reads, so there is no unfolded copy of a whole image; the outputs of
/// a 1 x 1 kernel of stride 1 are products with the image itself. Convolutions over one dimension are those of images of height 1.
///
/// ```
/// use ndarray::{Array4, arr1};
/// use prune::sparse::{Conv2dOptions, Packed, PackedConv2d};
///
/// let mut kernel = Array4::<f32>::zeros((2, 1, 3, 3)); // two output channels
/// kernel[[0, 0, 1, 1]] = 2.0; // twice the pixel
/// kernel[[1, 0, 0, 1]] = 1.0; // the pixel above
/// let options = Conv2dOptions { padding: [1, 1], ..Conv2dOptions::default() };
/// let layer = PackedConv2d::new(&Packed::from_array(&kernel), Some(arr1(&[0.0, 0.5])), options)?;
///
/// let image = Array4::from_shape_fn((1, 1, 2, 2), |(_, _, y, x)| (2 * y + x) as f32);
/// let output = layer.forward(image.view())?;
/// assert_eq!(output.into_raw_vec_and_offset().0, [0.0, 2.0, 4.0, 6.0, 0.5, 0.5, 0.5, 1.5]);
/// # Ok::<(), prune::sparse::SparseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PackedConv2d<A: Element> {
    /// The weight of each group.
    groups: Vec<Prepared<A>>,
    bias: Option<Array1<Sum<A>>>,
    /// Input channels of a group, height and width.
    kernel: [usize; 3],
    options: Conv2dOptions,
}

impl<A: Element> PackedConv2d<A> {
    /// Returns a layer with a weight of shape `[outputs, inputs / groups, height, width]`, and a bias of shape `[outputs]` or
    /// none.
    ///
    /// # Errors
    ///
    /// [`SparseError::KernelDimensions`] unless the weight has four axes; [`SparseError::BiasLength`];
    /// [`SparseError::Groups`] unless the groups divide the output channels; [`SparseError::ZeroStep`].
    pub fn new(weight: &Packed<A>, bias: Option<Array1<Sum<A>>>, options: Conv2dOptions) -> Result<Self, SparseError> {
        let &[channels, inputs, height, width] = weight.shape() else {
            return Err(SparseError::KernelDimensions { found: weight.shape().to_vec() });
        };
        check_bias(channels, bias.as_ref())?;
        if options.groups == 0 || channels % options.groups != 0 {
            return Err(SparseError::Groups { channels, groups: options.groups });
        }
        for (what, step) in [("stride", options.stride), ("dilation", options.dilation)] {
            if step.contains(&0) {
                return Err(SparseError::ZeroStep { what });
            }
        }
        // A product has as many inputs as an image has pixels, and these are many.
        let groups = if options.groups == 1 {
            vec![weight.prepare(GROUP)]
        } else {
            let dense = weight.to_dense();
            let parts = dense.axis_chunks_iter(Axis(0), (channels / options.groups).max(1));
            let mask = weight.mask();
            let masks = mask.view();
            let parts = parts.zip(masks.axis_chunks_iter(Axis(0), (channels / options.groups).max(1)));
            let parts = parts.map(|(part, mask)| Ok(Packed::from_masked(&part, &mask.into())?.prepare(GROUP)));
            parts.collect::<Result<_, SparseError>>()?
        };
        Ok(Self { groups, bias, kernel: [inputs, height, width], options })
    }

    /// Returns the memory that weight and bias take, in bytes.
    pub fn bytes(&self) -> usize {
        let bias = self.bias.as_ref().map_or(0, |bias| bias.len() * size_of::<Sum<A>>());
        self.groups.iter().map(Prepared::bytes).sum::<usize>() + bias
    }

    /// Returns the weights of the groups, prepared for many inputs.
    pub fn groups(&self) -> &[Prepared<A>] {
        &self.groups
    }

    /// Returns the outputs, of shape `[batch, outputs, height, width]`, for images of shape `[batch, inputs, height, width]`.
    ///
    /// # Errors
    ///
    /// [`SparseError::InputChannels`] unless the images have the channels of the weight, times the groups;
    /// [`SparseError::ImageSize`] if they are smaller than the kernel, or too large.
    pub fn forward(&self, images: ArrayView4<'_, Sum<A>>) -> Result<Array4<Sum<A>>, SparseError> {
        let (batch, channels, height, width) = images.dim();
        let expected = self.kernel[0] * self.options.groups;
        if channels != expected {
            return Err(SparseError::InputChannels { expected, found: channels });
        }
        let size = |image, axis| self.options.outputs(axis, image, self.kernel[1 + axis]);
        let (Some(out_height), Some(out_width)) = (size(height, 0), size(width, 1)) else {
            return Err(SparseError::ImageSize { height, width });
        };
        let rows: usize = self.groups.iter().map(Prepared::rows).sum();
        let sizes = [batch, rows, out_height, out_width, size_of::<Sum<A>>()];
        let bytes = sizes.into_iter().filter(|&size| size > 0).try_fold(1_usize, usize::checked_mul);
        if bytes.is_none_or(|bytes| bytes > isize::MAX as usize) {
            return Err(SparseError::ImageSize { height, width });
        }
        let mut out = Array4::zeros((batch, rows, out_height, out_width));
        let mut scratch = Scratch::default();
        for (image, mut out) in images.outer_iter().zip(out.outer_iter_mut()) {
            let groups = image.axis_chunks_iter(Axis(0), self.kernel[0].max(1));
            let outs = out.axis_chunks_iter_mut(Axis(0), (rows / self.options.groups).max(1));
            for ((weight, image), out) in self.groups.iter().zip(groups).zip(outs) {
                self.group(weight, image, out, &mut scratch);
            }
            for (mut out, &bias) in out.outer_iter_mut().zip(self.bias.iter().flatten()) {
                out.mapv_inplace(|sum| sum + bias);
            }
        }
        Ok(out)
    }

    /// Writes the outputs of one group for one image.
    fn group(
        &self,
        weight: &Prepared<A>,
        image: ArrayView3<'_, Sum<A>>,
        out: ArrayViewMut3<'_, Sum<A>>,
        scratch: &mut Scratch<Sum<A>>,
    ) {
        let (rows, height, width) = out.dim();
        let Ok(out) = out.into_shape_with_order((rows, height * width)) else {
            unreachable!("the outputs of an image are in standard layout")
        };
        let Conv2dOptions { stride, padding, .. } = self.options;
        let is_direct = self.kernel[1..] == [1, 1] && stride == [1, 1] && padding == [0, 0];
        match image.as_slice() {
            Some(pixels) if is_direct => {
                let Ok(pixels) = ndarray::ArrayView2::from_shape((image.dim().0, height * width), pixels) else {
                    unreachable!("the outputs have the size of the image")
                };
                weight.multiply_inputs(&pixels.t(), out.reversed_axes(), scratch);
            }
            Some(_) | None => {
                let unfolded = Unfolded { image, kernel: self.kernel, options: self.options, size: [height, width] };
                weight.multiply_inputs(&unfolded, out.reversed_axes(), scratch);
            }
        }
    }
}

impl Conv2dOptions {
    /// Returns the number of outputs along an axis; `None` if the kernel does not fit.
    fn outputs(&self, axis: usize, image: usize, kernel: usize) -> Option<usize> {
        let reach = kernel.checked_sub(1)?.checked_mul(self.dilation[axis])?.checked_add(1)?;
        let padded = self.padding[axis].checked_mul(2)?.checked_add(image)?;
        Some(padded.checked_sub(reach)? / self.stride[axis] + 1)
    }
}

/// The inputs of a convolution: for each output, the pixels that the kernel meets.
struct Unfolded<'i, T> {
    image: ArrayView3<'i, T>,
    kernel: [usize; 3],
    options: Conv2dOptions,
    /// Height and width of the output.
    size: [usize; 2],
}

impl<T: Copy + Default + Send + Sync> Inputs<T> for Unfolded<'_, T> {
    fn len(&self) -> usize {
        self.size[0] * self.size[1]
    }

    fn fill<const WIDTH: usize>(&self, first: usize, tile: &mut [[T; WIDTH]]) {
        let [channels, kernel_height, kernel_width] = self.kernel;
        let Conv2dOptions { stride, padding, dilation, .. } = self.options;
        let outputs = WIDTH.min(self.len() - first);
        // The pixel at the corner of the kernel for each output; below the padding, it lies outside.
        let mut corners = [[0; 2]; WIDTH];
        for (i, corner) in corners[..outputs].iter_mut().enumerate() {
            let output = first + i;
            *corner = [output / self.size[1] * stride[0], output % self.size[1] * stride[1]];
        }
        let mut columns = tile.iter_mut();
        for channel in 0..channels {
            let image = self.image.index_axis(Axis(0), channel);
            for (y, x) in (0..kernel_height).flat_map(|y| (0..kernel_width).map(move |x| (y, x))) {
                let Some(column) = columns.next() else { return };
                for (entry, [top, left]) in column.iter_mut().zip(&corners[..outputs]) {
                    let pixel = (top + y * dilation[0]).checked_sub(padding[0]);
                    let pixel = pixel.zip((left + x * dilation[1]).checked_sub(padding[1]));
                    *entry = pixel.and_then(|pixel| image.get(pixel)).copied().unwrap_or_default();
                }
            }
        }
    }
}
