//! Folding: the constants that pruned units leave behind are added to the next layer.

use ndarray::{ArrayD, Axis};

use crate::compact::coupling::{Role, Use};
use crate::compact::error::CompactError;
use crate::compact::plan::Plan;
use crate::element::{ElementInternals, rounded};
use crate::module::Module;

/// A function of single numbers between two layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x` times the normal distribution function of `x`.
    Gelu,
    /// The approximation of GELU with tanh.
    GeluTanh,
    /// `x * sigmoid(x)`, also called swish.
    Silu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// Returns the function of `x`.
    ///
    /// ```
    /// use prune::compact::Activation;
    ///
    /// assert_eq!((Activation::Sigmoid.apply(0.0), Activation::Gelu.apply(0.0)), (0.5, 0.0));
    /// ```
    pub fn apply(self, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        match self {
            Self::Relu => x.max(0.0),
            Self::Gelu => x * 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
            Self::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
                0.5 * x * (1.0 + inner.tanh())
            }
            Self::Silu => x * sigmoid(x),
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => x.tanh(),
        }
    }
}

/// The way of a constant: from the producers of a dimension, which are masked, to the next layer, which receives it.
///
/// If only the producers of a unit are masked, as by [`ln_structured`](crate::ln_structured), the unit is not zero but the
/// constant that biases and activations make of zero. [`Plan::fold`] adds what the next layer makes of it to the bias of that
/// layer, so that the compacted model computes what the model with masked producers does. The way is declared step by step,
/// starting from zero.
///
/// Folding is for masks that were trained with their biases left. Without training it usually makes a model worse, since the
/// activations of a unit before pruning are not those of a zero input.
///
/// ```
/// use ndarray::{arr1, arr2};
/// use prune::compact::{Activation, Coupling, Fold, Use};
///
/// let mut net = prune::ParameterStore::from_iter([("fc1.weight", arr2(&[[1.0_f64], [2.0]]))]);
/// net.insert("fc1.bias", arr1(&[0.0, 0.5]));
/// net.insert("fc2.weight", arr2(&[[3.0, 4.0]]));
/// net.insert("fc2.bias", arr1(&[1.0]));
/// let hidden = [Use::out("fc1.weight", 0), Use::follow("fc1.bias", 0), Use::input("fc2.weight", 1)];
/// let coupling = Coupling::new().dimension("hidden", hidden).fixed("fc2.bias");
///
/// let plan = coupling.keep(&net, [("hidden", vec![0])])?;
/// let fold = Fold::new("hidden", "fc2.weight", "fc2.bias").bias("fc1.bias").activation(Activation::Relu);
/// plan.fold(&mut net, &[fold])?;
/// assert_eq!(net["fc2.bias"].value(), &arr1(&[3.0]).into_dyn()); // 1 + 4 * relu(0.5)
/// plan.compact(&mut net)?;
/// # Ok::<(), prune::compact::CompactError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Fold {
    dimension: String,
    consumer: String,
    into: String,
    subtracts: bool,
    is_unpadded: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// Adds a number of the given repetition of a parameter.
    Bias(String, usize),
    BatchNorm {
        prefix: String,
        eps: f64,
    },
    Activation(Activation),
}

impl Fold {
    /// Returns the way from the dimension through the parameter `consumer`, which reads it, to the vector `into` with a
    /// number for each output of the consumer. The constant is zero until there are steps.
    pub fn new(dimension: impl Into<String>, consumer: impl Into<String>, into: impl Into<String>) -> Self {
        let (dimension, consumer, into) = (dimension.into(), consumer.into(), into.into());
        Self { dimension, consumer, into, subtracts: false, is_unpadded: false, steps: Vec::new() }
    }

    /// Adds a bias of the units.
    pub fn bias(self, parameter: impl Into<String>) -> Self {
        self.bias_part(parameter, 0)
    }

    /// Adds one repetition of a vector in which the units are repeated: 2 is the bias of the values in a fused bias of
    /// queries, keys and values. Since the weights of attention sum to 1, that bias is a constant of the head.
    pub fn bias_part(mut self, parameter: impl Into<String>, part: usize) -> Self {
        self.steps.push(Step::Bias(parameter.into(), part));
        self
    }

    /// Adds a BatchNorm in evaluation mode: the parameters `prefix.weight`, `prefix.bias`, `prefix.running_mean` and
    /// `prefix.running_var`.
    pub fn batch_norm(mut self, prefix: impl Into<String>, eps: f64) -> Self {
        self.steps.push(Step::BatchNorm { prefix: prefix.into(), eps });
        self
    }

    /// Adds an activation.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.steps.push(Step::Activation(activation));
        self
    }

    /// Subtracts the constants instead of adding them: for a consumer without a bias, into the running mean of the BatchNorm
    /// that follows it.
    pub fn subtract(mut self) -> Self {
        self.subtracts = true;
        self
    }

    /// States that the consumer is a convolution without padding. With zero padding, the constant is zero outside of the
    /// image, and no number per output channel can repair that: a convolution is refused unless this is declared.
    pub fn unpadded(mut self) -> Self {
        self.is_unpadded = true;
        self
    }

    fn error(&self, reason: impl Into<String>) -> CompactError {
        let (dimension, into) = (self.dimension.clone(), self.into.clone());
        CompactError::Fold { dimension, into, reason: reason.into() }
    }
}

impl Plan {
    /// Adds the constants of the pruned units to the layers that read them. Call it before [`compact`](Self::compact); the
    /// module then computes what the model with masked producers does, once it is compacted or [masked](Self::mask). Folds
    /// are carried out in order, first layers first. On error, nothing changes.
    ///
    /// # Errors
    ///
    /// Those of [`compact`](Self::compact), and [`CompactError::Fold`] if the way does not fit the coupling, or if the
    /// consumer is a convolution that may be padded.
    pub fn fold<M: Module + ?Sized>(&self, module: &mut M, folds: &[Fold]) -> Result<(), CompactError> {
        self.check(module)?;
        let ways = folds.iter().map(|fold| Way::new(self, fold)).collect::<Result<Vec<_>, _>>()?;
        for way in ways {
            let constants = way.constants(module);
            let delta = way.delta(self, module, &constants);
            if let Some(into) = module.parameter_mut(&way.fold.into) {
                into.update(|mut into| into.iter_mut().zip(delta).for_each(|(x, delta)| *x = *x + rounded(delta)));
            }
        }
        Ok(())
    }
}

/// A fold that fits a plan.
struct Way<'f> {
    fold: &'f Fold,
    /// The axis of the consumer with the units, and the one with its outputs.
    axis: usize,
    outputs: usize,
    /// The positions of pruned units on the axis.
    pruned: Vec<usize>,
    /// The position of each of `pruned` in the vectors of each step.
    sources: Vec<Vec<usize>>,
}

impl<'f> Way<'f> {
    fn new(plan: &Plan, fold: &'f Fold) -> Result<Self, CompactError> {
        let layout = &plan.layout;
        let Some(d) = layout.dimensions.iter().position(|dimension| dimension.name == fold.dimension) else {
            let known = layout.names().collect();
            return Err(CompactError::UnknownDimension { found: fold.dimension.clone(), known });
        };
        let units = layout.units[d];
        let uses = &layout.dimensions[d].uses;
        let read = uses.iter().find(|use_| use_.role == Role::In && use_.parameter == fold.consumer);
        let read = read.ok_or_else(|| fold.error(format!("`{}` does not read it", fold.consumer)))?;
        let shape = &layout.shapes[&fold.consumer];
        let outputs = usize::from(read.axis == 0);
        let into = layout.shapes.get(&fold.into);
        if shape.len() < 2 || into.is_none_or(|into| into[..] != shape[outputs..=outputs]) {
            return Err(fold.error(format!("it is not a vector with a number for each output of `{}`", fold.consumer)));
        }
        if shape.len() > 2 && shape[2..].iter().any(|&size| size > 1) && !fold.is_unpadded {
            let reason = format!("`{}` may be padded with zeros, where the constant is missing", fold.consumer);
            return Err(fold.error(reason));
        }
        let kept = &plan.kept[d];
        let gone: Vec<usize> = (0..units).filter(|unit| kept.binary_search(unit).is_err()).collect();
        let pruned = gone.iter().flat_map(|&unit| read.positions(unit, units)).collect();
        let vector = |name: &str, part: usize| {
            let use_ = uses.iter().find(|use_| use_.parameter == name && layout.shapes[name].len() == 1);
            let use_ = use_.ok_or_else(|| fold.error(format!("`{name}` is not a vector of the dimension")))?;
            sources(use_, read, part, &gone, units).ok_or_else(|| {
                fold.error(format!("the units of `{name}` have other parts than those of `{}`", fold.consumer))
            })
        };
        let sources = fold.steps.iter().map(|step| match step {
            Step::Bias(name, part) => vector(name, *part),
            Step::BatchNorm { prefix, .. } => {
                ["bias", "running_mean", "running_var"]
                    .iter()
                    .try_for_each(|p| vector(&format!("{prefix}.{p}"), 0).map(drop))?;
                vector(&format!("{prefix}.weight"), 0)
            }
            Step::Activation(_) => Ok(Vec::new()),
        });
        let sources = sources.collect::<Result<_, _>>()?;
        Ok(Self { fold, axis: read.axis, outputs, pruned, sources })
    }

    /// The constant at each pruned position.
    fn constants<M: Module + ?Sized>(&self, module: &M) -> Vec<f64> {
        let mut constants = vec![0.0; self.pruned.len()];
        for (step, sources) in self.fold.steps.iter().zip(&self.sources) {
            match step {
                Step::Bias(name, _) => {
                    let bias = numbers(module, name);
                    constants.iter_mut().zip(sources).for_each(|(c, &source)| *c += bias[source]);
                }
                Step::BatchNorm { prefix, eps } => {
                    let [weight, bias, mean, variance] = ["weight", "bias", "running_mean", "running_var"]
                        .map(|part| numbers(module, &format!("{prefix}.{part}")));
                    for (c, &i) in constants.iter_mut().zip(sources) {
                        *c = (*c - mean[i]) / (variance[i] + eps).sqrt() * weight[i] + bias[i];
                    }
                }
                Step::Activation(activation) => constants.iter_mut().for_each(|c| *c = activation.apply(*c)),
            }
        }
        constants
    }

    /// The sums that the consumer makes of the constants, one for each of its outputs. Outputs whose producers are masked get nothing.
    fn delta<M: Module + ?Sized>(&self, plan: &Plan, module: &M, constants: &[f64]) -> Vec<f64> {
        let shape = &plan.layout.shapes[&self.fold.consumer];
        let mut weight = array(module, &self.fold.consumer);
        if let Some(mask) = plan.mask_of(&self.fold.consumer, shape, |role| role == Role::Out) {
            weight.zip_mut_with(&ArrayD::from(mask), |x, &kept| *x = if kept { *x } else { 0.0 });
        }
        let sign = if self.fold.subtracts { -1.0 } else { 1.0 };
        let output = |output: usize| {
            let weights = weight.index_axis(Axis(self.outputs), output);
            // The axis of the outputs is gone.
            let axis = Axis(self.axis - usize::from(self.outputs < self.axis));
            let product = |(&position, constant): (&usize, &f64)| weights.index_axis(axis, position).sum() * constant;
            sign * self.pruned.iter().zip(constants).map(product).sum::<f64>()
        };
        (0..shape[self.outputs]).map(output).collect()
    }
}

/// The positions in a vector that belong to the positions of pruned units on the axis of the consumer: the same ones of the
/// unit, or its only one for all of them.
fn sources(vector: &Use, read: &Use, part: usize, gone: &[usize], units: usize) -> Option<Vec<usize>> {
    if part >= vector.repeat {
        return None;
    }
    let per_read = read.repeat * read.block;
    // One repetition, or all of them if the consumer has as many.
    let (vector, per_vector) = if vector.repeat == read.repeat && part == 0 {
        (vector.clone(), vector.repeat * vector.block)
    } else {
        let offset = vector.offset + part * units * vector.block;
        (Use { offset, repeat: 1, ..vector.clone() }, vector.block)
    };
    let repeated = match per_vector {
        1 => per_read,
        _ if per_vector == per_read => 1,
        _ => return None,
    };
    let of_unit = |&unit: &usize| vector.positions(unit, units).flat_map(move |p| std::iter::repeat_n(p, repeated));
    Some(gone.iter().flat_map(of_unit).collect())
}

/// The value of a parameter in `f64`. The plan has checked that there is one.
fn array<M: Module + ?Sized>(module: &M, name: &str) -> ArrayD<f64> {
    let value = module.parameter(name).map(|parameter| parameter.value().mapv(|x| x.exact_f64()));
    value.unwrap_or_default()
}

fn numbers<M: Module + ?Sized>(module: &M, name: &str) -> Vec<f64> {
    array(module, name).into_iter().collect()
}
