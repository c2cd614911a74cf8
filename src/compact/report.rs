//! The report of a compaction.

use std::fmt;

/// The parts that a compaction removed: one entry for each dimension and each parameter. Displays as a table.
///
/// ```
/// use prune::compact::{Coupling, Use};
///
/// let ones = |shape: (usize, usize)| ndarray::Array2::<f32>::ones(shape);
/// let mut net = prune::ParameterStore::from_iter([("fc1", ones((4, 3))), ("fc2", ones((2, 4)))]);
/// let coupling = Coupling::new().dimension("hidden", [Use::out("fc1", 0), Use::input("fc2", 1)]);
/// let report = coupling.keep(&net, [("hidden", vec![0, 2, 3])])?.compact(&mut net)?;
/// assert_eq!((report.entries_before(), report.entries_after(), report.bytes_after()), (20, 15, 60));
/// let table = "\
/// dimension  units  kept
/// hidden         4     3
///
/// parameter  before  after   entries  bytes
/// fc1        [4, 3]  [3, 3]        9     36
/// fc2        [2, 4]  [2, 3]        6     24
/// total          20      15       15     60
/// ";
/// assert_eq!(report.to_string(), table);
/// # Ok::<(), prune::compact::CompactError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    /// The dimensions, in the order of the coupling.
    pub dimensions: Vec<CompactedDimension>,
    /// All parameters, in the order of the module.
    pub parameters: Vec<CompactedParameter>,
}

/// The units of one dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactedDimension {
    /// The name.
    pub name: String,
    /// The number of units before.
    pub units: usize,
    /// The number of units after.
    pub kept: usize,
}

/// The shapes of one parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactedParameter {
    /// The path in the module.
    pub name: String,
    /// The shape before.
    pub before: Vec<usize>,
    /// The shape after.
    pub after: Vec<usize>,
    /// The memory that value, original and mask took before, in bytes.
    pub bytes_before: usize,
    /// The memory that they take after, in bytes.
    pub bytes_after: usize,
}

impl Compacted {
    /// Returns the number of entries of all parameters before.
    pub fn entries_before(&self) -> usize {
        self.parameters.iter().map(CompactedParameter::entries_before).sum()
    }

    /// Returns the number of entries of all parameters after.
    pub fn entries_after(&self) -> usize {
        self.parameters.iter().map(CompactedParameter::entries_after).sum()
    }

    /// Returns the memory that all parameters took before, in bytes.
    pub fn bytes_before(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.bytes_before).sum()
    }

    /// Returns the memory that all parameters take after, in bytes.
    pub fn bytes_after(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.bytes_after).sum()
    }
}

impl CompactedParameter {
    /// Returns the number of entries before.
    pub fn entries_before(&self) -> usize {
        self.before.iter().product()
    }

    /// Returns the number of entries after.
    pub fn entries_after(&self) -> usize {
        self.after.iter().product()
    }
}

/// A table of the dimensions, an empty line, and a table of the parameters with a line for the total.
impl fmt::Display for Compacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["dimension", "units", "kept"].map(str::to_owned);
        let dimensions = self.dimensions.iter();
        let lines = dimensions.map(|d| [d.name.clone(), d.units.to_string(), d.kept.to_string()]);
        table(f, std::iter::once(header).chain(lines), 1)?;
        writeln!(f)?;
        let header = ["parameter", "before", "after", "entries", "bytes"].map(str::to_owned);
        let lines = self.parameters.iter().map(|parameter| {
            let (entries, bytes) = (parameter.entries_after().to_string(), parameter.bytes_after.to_string());
            [
                parameter.name.clone(),
                format!("{:?}", parameter.before),
                format!("{:?}", parameter.after),
                entries,
                bytes,
            ]
        });
        let total = [
            "total".to_owned(),
            self.entries_before().to_string(),
            self.entries_after().to_string(),
            self.entries_after().to_string(),
            self.bytes_after().to_string(),
        ];
        table(f, std::iter::once(header).chain(lines).chain([total]), 3)
    }
}

/// Writes lines of cells. The first `text` columns are aligned to the left unless they are numbers, the others to the right.
fn table<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    lines: impl Iterator<Item = [String; N]>,
    text: usize,
) -> fmt::Result {
    let lines: Vec<_> = lines.collect();
    let widths: [usize; N] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default());
    for line in &lines {
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            if column < text && !cell.starts_with(|c: char| c.is_ascii_digit()) {
                write!(f, "{gap}{cell:width$}")?;
            } else {
                write!(f, "{gap}{cell:>width$}")?;
            }
        }
        writeln!(f)?;
    }
    Ok(())
}
