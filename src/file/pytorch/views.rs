//! Tensors of a PyTorch file as the data of a safetensors file: in row-major order, one after the other.

use std::fs::File;
use std::io;
use std::ops::Range;

use crate::file::positional::read_at;
use crate::file::pytorch::gather::{Axis, Gather, boxes};

/// The tensors in the order of their data.
#[derive(Debug, Default)]
pub(crate) struct Views {
    views: Vec<View>,
    /// The number of bytes of all.
    bytes: u64,
}

/// A tensor in the file.
#[derive(Debug)]
struct View {
    /// The offset of its first byte in the data.
    start: u64,
    bytes: u64,
    /// The offset of its first entry in the file.
    offset: u64,
    /// The size of an entry in bytes.
    size: usize,
    /// Axes that cannot be joined; none for a single entry.
    axes: Vec<Axis>,
}

impl Views {
    /// Adds a tensor whose first entry is at an offset of the file. All entries lie in the file, and their sizes have a product.
    pub fn push(&mut self, offset: u64, size: u64, bytes: u64, shape: &[usize], strides: &[usize]) {
        let mut axes: Vec<Axis> = Vec::new();
        for (&len, &stride) in shape.iter().zip(strides).filter(|&(&len, _)| len != 1) {
            match axes.last_mut() {
                Some(outer) if Some(outer.stride) == len.checked_mul(stride) => {
                    *outer = Axis { len: outer.len * len, stride, out: 1 };
                }
                _ => axes.push(Axis { len, stride, out: 1 }),
            }
        }
        let start = self.bytes;
        self.bytes += bytes;
        if bytes > 0 {
            self.views.push(View { start, bytes, offset, size: size as usize, axes });
        }
    }

    /// The number of bytes of the data.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Fills `bytes` with those of the data that begin at `offset`.
    pub fn read(&self, file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
        let mut number = self.views.partition_point(|view| view.start + view.bytes <= offset);
        while !bytes.is_empty() {
            let view = self.views.get(number).ok_or(io::ErrorKind::UnexpectedEof)?;
            let within = offset - view.start;
            let len = bytes.len().min(usize::try_from(view.bytes - within).unwrap_or(usize::MAX));
            let (part, rest) = bytes.split_at_mut(len);
            view.read(file, part, within)?;
            (bytes, offset, number) = (rest, offset + len as u64, number + 1);
        }
        Ok(())
    }
}

impl View {
    fn read(&self, file: &File, bytes: &mut [u8], within: u64) -> io::Result<()> {
        if let [] | [Axis { stride: 1, .. }] = self.axes[..] {
            return read_at(file, bytes, self.offset + within);
        }
        // Pieces may begin and end within an entry.
        let (size, within) = (self.size, within as usize);
        let entries = within / size..(within + bytes.len()).div_ceil(size);
        if within % size == 0 && bytes.len() % size == 0 {
            return self.gather(file, entries, bytes);
        }
        let mut whole = vec![0; entries.len() * size];
        self.gather(file, entries.clone(), &mut whole)?;
        bytes.copy_from_slice(&whole[within - entries.start * size..][..bytes.len()]);
        Ok(())
    }

    /// Reads a range of entries.
    fn gather(&self, file: &File, entries: Range<usize>, out: &mut [u8]) -> io::Result<()> {
        let mut gather = Gather { file, offset: self.offset, size: self.size, window: Vec::new() };
        let mut done = 0;
        for part in boxes(&self.axes, entries) {
            let len = part.entries() * self.size;
            gather.read(part.start, &part.axes, &mut out[done..done + len])?;
            done += len;
        }
        Ok(())
    }
}
