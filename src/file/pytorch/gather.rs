//! Reads entries that are not neighbours in a file.

use std::fs::File;
use std::io;
use std::ops::Range;

use crate::file::positional::read_at;

/// A part of a file that is read at once has at most this many times the bytes that are needed of it.
const MAX_EXCESS: usize = 4;
/// The size in bytes of a part that is read at once, however little of it is needed.
const SMALL: usize = 4096;

/// An axis of a box of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Axis {
    pub len: usize,
    /// The distance of neighbours in the file, in entries.
    pub stride: usize,
    /// The distance of neighbours in the output, in entries.
    pub out: usize,
}

/// Entries that follow each other in row-major order: the part of a tensor within ranges of its axes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The first entry in the file.
    pub start: usize,
    pub axes: Vec<Axis>,
}

impl Part {
    /// The number of entries.
    pub fn entries(&self) -> usize {
        self.axes.iter().map(|axis| axis.len).product()
    }
}

/// Divides a range of the entries of a tensor into boxes, in order: at most two for each axis.
pub(crate) fn boxes(axes: &[Axis], range: Range<usize>) -> Vec<Part> {
    let mut boxes = Vec::new();
    add_boxes(axes, 0, range, &mut boxes);
    boxes
}

fn add_boxes(axes: &[Axis], start: usize, range: Range<usize>, boxes: &mut Vec<Part>) {
    if range.is_empty() {
        return;
    }
    let Some((outer, inner)) = axes.split_first() else {
        return boxes.push(Part { start, axes: Vec::new() });
    };
    let row: usize = inner.iter().map(|axis| axis.len).product();
    let (first, last) = (range.start / row, (range.end - 1) / row);
    let at = |index: usize| start + index * outer.stride;
    if row > 1 && first == last {
        return add_boxes(inner, at(first), range.start - first * row..range.end - first * row, boxes);
    }
    let (whole_start, whole_end) = (range.start.div_ceil(row), range.end / row);
    if range.start % row > 0 {
        add_boxes(inner, at(first), range.start - first * row..row, boxes);
    }
    if whole_start < whole_end {
        let outer = Axis { len: whole_end - whole_start, ..*outer };
        let mut axes: Vec<Axis> = [outer].into_iter().chain(inner.iter().copied()).collect();
        let mut out = 1;
        for axis in axes.iter_mut().rev() {
            axis.out = out;
            out *= axis.len;
        }
        boxes.push(Part { start: at(whole_start), axes });
    }
    if range.end % row > 0 {
        add_boxes(inner, at(last), 0..range.end - last * row, boxes);
    }
}

/// Reads boxes of a tensor.
pub(crate) struct Gather<'f> {
    pub file: &'f File,
    /// The offset of the tensor in the file.
    pub offset: u64,
    /// The size of an entry in bytes.
    pub size: usize,
    /// The part of the file that was read last.
    pub window: Vec<u8>,
}

impl Gather<'_> {
    /// Reads the entries of a box, which begins at entry `start` of the file.
    pub fn read(&mut self, start: usize, axes: &[Axis], out: &mut [u8]) -> io::Result<()> {
        let needed = axes.iter().map(|axis| axis.len).product::<usize>() * self.size;
        let reach = 1 + axes.iter().map(|axis| (axis.len - 1) * axis.stride).sum::<usize>();
        let window = reach * self.size;
        let widest = axes.iter().enumerate().max_by_key(|(_, axis)| axis.stride);
        match widest {
            Some((widest, &Axis { len, stride, out: step })) if window > SMALL.max(MAX_EXCESS * needed) => {
                let mut inner = axes.to_vec();
                inner.remove(widest);
                (0..len).try_for_each(|i| self.read(start + i * stride, &inner, &mut out[i * step * self.size..]))
            }
            _ => {
                self.window.resize(window, 0);
                read_at(self.file, &mut self.window, self.offset + (start * self.size) as u64)?;
                match self.size {
                    1 => scatter::<1>(&self.window, axes, out),
                    2 => scatter::<2>(&self.window, axes, out),
                    4 => scatter::<4>(&self.window, axes, out),
                    _ => scatter::<8>(&self.window, axes, out),
                }
                Ok(())
            }
        }
    }
}

/// Copies the entries of a box, of `N` bytes each.
fn scatter<const N: usize>(window: &[u8], axes: &[Axis], out: &mut [u8]) {
    let (window, _) = window.as_chunks::<N>();
    let (out, _) = out.as_chunks_mut::<N>();
    copy(window, axes, out);
}

fn copy<const N: usize>(window: &[[u8; N]], axes: &[Axis], out: &mut [[u8; N]]) {
    match axes {
        [] => out[0] = window[0],
        [Axis { len, stride, out: step }] => {
            (0..*len).for_each(|i| out[i * step] = window[i * stride]);
        }
        [Axis { len, stride, out: step }, inner @ ..] => {
            (0..*len).for_each(|i| copy(&window[i * stride..], inner, &mut out[i * step..]));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Every range of tensors with strides of all kinds, from a file in which each entry is its own number.
    #[test]
    fn any_range_of_any_strides() {
        let mut file = tempfile::tempfile().unwrap();
        let numbers: Vec<u16> = (0..3000).collect();
        file.write_all(bytemuck::cast_slice(&numbers)).unwrap();
        for axes in [
            vec![(6, 1), (5, 6)],                   // a transposed matrix
            vec![(4, 7)],                           // every seventh
            vec![(3, 0), (4, 1)],                   // repeated
            vec![(2, 1), (3, 700), (2, 20)],        // far apart
            vec![(2, 60), (3, 1), (4, 15), (5, 3)], // channels last
        ] {
            let axes: Vec<Axis> = axes.into_iter().map(|(len, stride)| Axis { len, stride, out: 1 }).collect();
            let mut expected = vec![10_u16];
            for axis in &axes {
                let step = |i| move |&entry: &u16| entry + (i * axis.stride) as u16;
                expected = expected.iter().flat_map(|entry| (0..axis.len).map(move |i| step(i)(entry))).collect();
            }
            for start in 0..=expected.len() {
                for end in start..=expected.len() {
                    let mut found = vec![0_u16; end - start];
                    let mut gather = Gather { file: &file, offset: 20, size: 2, window: Vec::new() };
                    let (mut done, parts) = (0, boxes(&axes, start..end));
                    assert!(parts.len() <= 2 * axes.len(), "{parts:?}");
                    for part in parts {
                        let entries = part.entries();
                        let out = bytemuck::cast_slice_mut(&mut found[done..done + entries]);
                        gather.read(part.start, &part.axes, out).unwrap();
                        done += entries;
                    }
                    assert_eq!(found, expected[start..end], "{axes:?} {start}..{end}");
                }
            }
        }
    }
}
