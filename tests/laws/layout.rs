//! Arrays of the same contents in different memory.

use ndarray::{ArrayD, Axis, IxDyn, Slice};

/// The layout of an array in memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Layout {
    /// Row-major.
    C,
    /// Column-major.
    F,
    /// Every second element along every axis of a larger array, which begins elsewhere.
    Strided,
    /// Backwards along every axis.
    Reversed,
    /// The first axis is the innermost one, the others are row-major.
    Rotated,
}

impl Layout {
    pub const ALL: [Self; 5] = [Self::C, Self::F, Self::Strided, Self::Reversed, Self::Rotated];

    /// The same array, laid out so.
    pub fn of<T: Clone>(self, array: &ArrayD<T>) -> ArrayD<T> {
        let ndim = array.ndim();
        let laid_out = match self {
            Self::C => array.clone(),
            Self::F => array.t().as_standard_layout().into_owned().reversed_axes(),
            Self::Strided => strided(array),
            Self::Reversed => {
                let mut array = array.clone();
                (0..ndim).for_each(|axis| array.invert_axis(Axis(axis)));
                let mut array = array.as_standard_layout().into_owned();
                (0..ndim).for_each(|axis| array.invert_axis(Axis(axis)));
                array
            }
            Self::Rotated => {
                let stored: Vec<usize> = (1..ndim).chain((ndim > 0).then_some(0)).collect();
                let seen: Vec<usize> =
                    (ndim > 0).then(|| ndim - 1).into_iter().chain(0..ndim.saturating_sub(1)).collect();
                array.view().permuted_axes(stored).as_standard_layout().into_owned().permuted_axes(seen)
            }
        };
        assert_eq!(laid_out.shape(), array.shape());
        laid_out
    }
}

fn strided<T: Clone>(array: &ArrayD<T>) -> ArrayD<T> {
    let Some(filler) = array.first() else { return array.clone() };
    let shape: Vec<usize> = array.shape().iter().map(|length| 2 * length + 1).collect();
    let mut larger = ArrayD::from_elem(IxDyn(&shape), filler.clone());
    larger.slice_each_axis_inplace(|_| Slice::new(1, None, 2));
    larger.assign(array);
    larger
}

#[test]
fn layouts_hold_the_same_elements_elsewhere() {
    let array = ArrayD::from_shape_fn(IxDyn(&[2, 3, 4]), |index| index[0] * 12 + index[1] * 4 + index[2]);
    for layout in Layout::ALL {
        let other = layout.of(&array);
        assert_eq!(other, array, "{layout:?}");
        assert_eq!(other.strides() == array.strides(), layout == Layout::C, "{layout:?}");
    }
}
