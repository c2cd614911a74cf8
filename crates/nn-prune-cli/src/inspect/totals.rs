//! The totals of a checkpoint: by dtype, of all tensors, and of those that can be pruned.

use std::io::{self, Write};

use prune::checkpoint::TensorInspection;
use serde::Serialize;

use super::Inspected;
use crate::format;
use crate::table::{self, Column, wrap};

const LEGEND: &str = "\
dense: all entries, without masks. bit mask: one bit per entry, and the nonzero entries. CSR: the nonzero entries, a
column index of 4 bytes for each, and an offset per row. smallest: for each tensor the smallest of the three.
`nn-prune pack` writes the bit mask, with 8 bytes more per row.";
/// The width of the legend, if there is room.
const LEGEND_WIDTH: usize = 120;

/// Writes a row for each dtype, for all if there are several, and for the tensors that `prune` would select.
pub fn write(out: &mut dyn Write, width: usize, selected: &str, tensors: &[Inspected]) -> io::Result<()> {
    let columns = [
        Column::text("dtype"),
        Column::number("tensors"),
        Column::number("entries"),
        Column::number("zeros"),
        Column::number("sparsity"),
        Column::number("stored").dropped(4),
        Column::number("dense").dropped(0),
        Column::number("bit mask").dropped(2),
        Column::number("CSR").dropped(1),
        Column::number("smallest").dropped(3),
    ];
    let mut totals = Totals::of_dtypes(tensors);
    if totals.len() != 1 {
        totals.push(Totals::of_all(tensors));
    }
    totals.push(Totals::of_selected(selected, tensors));
    table::write(out, width, &columns, &totals, Totals::row)
}

/// Explains the columns.
pub fn legend(width: usize) -> String {
    wrap(LEGEND, width.min(LEGEND_WIDTH))
}

/// The sums over some tensors.
#[derive(Debug, Default, Serialize)]
pub struct Totals {
    /// The dtype, or what else the tensors have in common.
    pub dtype: String,
    pub tensors: usize,
    #[serde(rename = "weights")]
    pub entries: usize,
    pub zeros: usize,
    bytes: u64,
    dense: u64,
    bitmask: u64,
    csr: u64,
    smallest: u64,
}

impl Totals {
    /// Returns one for each dtype, in the order of appearance.
    pub fn of_dtypes(tensors: &[Inspected]) -> Vec<Self> {
        let mut totals: Vec<Self> = Vec::new();
        for Inspected { tensor, .. } in tensors {
            let dtype = tensor.dtype.to_string();
            let index = totals.iter().position(|total| total.dtype == dtype).unwrap_or_else(|| {
                totals.push(Self { dtype, ..Self::default() });
                totals.len() - 1
            });
            totals[index].add(tensor);
        }
        totals
    }

    pub fn of_all(tensors: &[Inspected]) -> Self {
        Self::of("all", tensors.iter())
    }

    /// Returns the sums over the tensors that `prune` would select.
    pub fn of_selected(title: &str, tensors: &[Inspected]) -> Self {
        Self::of(title, tensors.iter().filter(|tensor| tensor.is_selected()))
    }

    fn of<'a>(title: &str, tensors: impl Iterator<Item = &'a Inspected<'a>>) -> Self {
        let mut total = Self { dtype: title.into(), ..Self::default() };
        tensors.for_each(|inspected| total.add(inspected.tensor));
        total
    }

    /// Adds a tensor. If its zeros are unknown, the stored size stands for each packed size.
    fn add(&mut self, tensor: &TensorInspection) {
        let (dense, bitmask, csr) =
            tensor.packed.map_or([tensor.bytes; 3].into(), |packed| (packed.dense, packed.bitmask, packed.csr));
        self.tensors += 1;
        self.entries += tensor.entries;
        self.zeros += tensor.zeros.unwrap_or(0);
        self.bytes += tensor.bytes;
        self.dense += dense;
        self.bitmask += bitmask;
        // A tensor without entries may have up to 2^64 rows, so this sum can overflow. The others count bytes of files.
        self.csr = self.csr.saturating_add(csr);
        self.smallest += dense.min(bitmask).min(csr);
    }

    fn row(&self) -> [String; 10] {
        [
            self.dtype.clone(),
            format::count(self.tensors),
            format::count(self.entries),
            format::count(self.zeros),
            format::percent(self.zeros, self.entries),
            format::bytes(self.bytes),
            format::bytes(self.dense),
            format::bytes(self.bitmask),
            format::bytes(self.csr),
            format::bytes(self.smallest),
        ]
    }
}
