//! The layout of an output that is its input with other values.

use crate::checkpoint::read::{Checkpoint, Tensor};
use crate::checkpoint::write::layout::Layout;
use crate::checkpoint::write::layout::file::{FileLayout, OutputSlots, Piece};
use crate::checkpoint::write::output::Format;

impl Layout {
    /// The files of the input, byte for byte, but for the values of the selected parameters.
    pub(super) fn in_place(checkpoint: &Checkpoint, selected: &[bool]) -> Self {
        let files = checkpoint.shards.iter().enumerate().map(|(number, shard)| {
            let copy = |from: u64, end: u64| Piece::Copy { shard: number, from, to: from, bytes: end - from };
            let (mut pieces, mut at) = (Vec::new(), 0);
            // Tensors are in the order of their data, and each is one parameter.
            for parameter in checkpoint.tensors_of(number).filter(|&tensor| selected[tensor]) {
                let Tensor { start, bytes, .. } = checkpoint.tensors[parameter];
                pieces.push(copy(at, start));
                pieces.push(Piece::Parameter(OutputSlots { parameter, value: Some(start), ..OutputSlots::default() }));
                at = start + bytes;
            }
            pieces.push(copy(at, shard.bytes()));
            FileLayout { name: shard.name().to_owned(), header: Vec::new(), pieces, bytes: shard.bytes() }
        });
        Self { files: files.collect(), index: None, format: Format::Weights, config: None }
    }
}
