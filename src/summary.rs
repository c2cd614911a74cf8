//! The sparsity of a module, parameter by parameter.

use std::fmt;

use crate::element::Element;
use crate::mask::fraction;
use crate::module::Module;
use crate::parameter::Parameter;

/// The sparsity of a module: one entry for each parameter, and totals. Displays as a table.
///
/// ```
/// use ndarray::{arr1, arr2};
/// use prune::{ParameterStore, Summary};
///
/// let mut net = ParameterStore::from_iter([("weight", arr2(&[[1.0_f32, 2.0], [3.0, 4.0]]))]);
/// net.insert("bias", arr1(&[5.0, 6.0]));
/// prune::l1_unstructured(&mut net, "weight", 0.5)?;
///
/// let summary = Summary::of(&net);
/// assert_eq!(summary.parameters[0].pruned, 2);
/// assert_eq!((summary.entries(), summary.pruned(), summary.bytes()), (6, 2, 36 + 8));
/// let table = "\
/// parameter  shape   entries  pruned  sparsity  methods         bytes
/// weight     [2, 2]        4       2    50.0 %  L1Unstructured     36
/// bias       [2]           2       0     0.0 %                      8
/// total                    6       2    33.3 %                     44
/// ";
/// assert_eq!(summary.to_string(), table);
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The parameters, in the order of the module.
    pub parameters: Vec<ParameterSummary>,
}

/// The sparsity of one parameter.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ParameterSummary {
    /// The path in the module.
    pub name: String,
    /// The size of each axis.
    pub shape: Vec<usize>,
    /// The number of entries.
    pub entries: usize,
    /// The number of entries that the mask prunes.
    pub pruned: usize,
    /// The number of entries of the value that are zero, pruned or not.
    pub zeros: usize,
    /// The names in the history, oldest first.
    pub methods: Vec<String>,
    /// The memory that value, original and mask take now.
    pub bytes: usize,
}

impl Summary {
    /// Counts the entries of every parameter of a module.
    pub fn of<M: Module + ?Sized>(module: &M) -> Self {
        let parameters = module.named_parameters().into_iter();
        Self { parameters: parameters.map(|(name, parameter)| ParameterSummary::of(name, parameter)).collect() }
    }

    /// Returns the number of entries of all parameters.
    pub fn entries(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.entries).sum()
    }

    /// Returns the number of entries that the masks prune.
    pub fn pruned(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.pruned).sum()
    }

    /// Returns the number of entries that are zero, pruned or not.
    pub fn zeros(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.zeros).sum()
    }

    /// Returns the fraction of all entries that are zero, from 0.0 to 1.0; 0.0 if there are no entries.
    pub fn sparsity(&self) -> f64 {
        fraction(self.zeros(), self.entries())
    }

    /// Returns the memory that all values, originals and masks take now.
    pub fn bytes(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.bytes).sum()
    }
}

impl ParameterSummary {
    fn of<A: Element>(name: String, parameter: &Parameter<A>) -> Self {
        Self {
            name,
            shape: parameter.value().shape().to_vec(),
            entries: parameter.value().len(),
            pruned: parameter.pruned(),
            zeros: parameter.zeros(),
            methods: parameter.methods().iter().map(|record| record.name().to_owned()).collect(),
            bytes: parameter.bytes(),
        }
    }

    /// Returns the fraction of entries that are zero, from 0.0 to 1.0; 0.0 if there are no entries.
    pub fn sparsity(&self) -> f64 {
        fraction(self.zeros, self.entries)
    }

    /// The methods as a cell of the table: repeated ones once, with their number.
    fn methods_cell(&self) -> String {
        let runs = self.methods.chunk_by(|a, b| a == b);
        let cells = runs.map(|run| if run.len() > 1 { format!("{} x{}", run[0], run.len()) } else { run[0].clone() });
        cells.collect::<Vec<_>>().join(", ")
    }
}

/// A table with one line for each parameter, and one for the total.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |sparsity: f64| format!("{:.1} %", 100.0 * sparsity);
        let header = ["parameter", "shape", "entries", "pruned", "sparsity", "methods", "bytes"].map(str::to_owned);
        let lines = self.parameters.iter().map(|parameter| {
            [
                parameter.name.clone(),
                format!("{:?}", parameter.shape),
                parameter.entries.to_string(),
                parameter.pruned.to_string(),
                percent(parameter.sparsity()),
                parameter.methods_cell(),
                parameter.bytes.to_string(),
            ]
        });
        let total = [
            "total".to_owned(),
            String::new(),
            self.entries().to_string(),
            self.pruned().to_string(),
            percent(self.sparsity()),
            String::new(),
            self.bytes().to_string(),
        ];
        let lines: Vec<_> = std::iter::once(header).chain(lines).chain([total]).collect();
        let widths: [usize; 7] = std::array::from_fn(|column| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
        });
        for line in &lines {
            for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
                // Text is aligned to the left, numbers to the right.
                match column {
                    0 => write!(f, "{cell:width$}")?,
                    1 | 5 => write!(f, "  {cell:width$}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
