//! The modules of one case in this crate, and the operations on them.

use std::collections::{BTreeMap, BTreeSet};

use half::{bf16, f16};
use ndarray::ArrayD;
use prune::torch::Generator;
use prune::{
    Amount, CustomFromMask, Identity, IntoMask, L1Unstructured, LnStructured, Mask, Parameter, ParameterStore,
    PruneError, PruningMethod, RandomStructured, RandomUnstructured, Target, TieBreak,
};
use safetensors::Dtype;

use super::converted;
use super::fixture::{self, Case, Step};
use super::tensor::{Layout, Scalar, Tensor, Tensors, with_dtype};

/// The way in which a case is replayed. It must not matter, except for ties.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    pub layout: Layout,
    pub tie_break: TieBreak,
}

/// The outcome of an operation.
#[derive(Debug)]
pub enum Outcome {
    Done(Option<Tensor>),
    Failed(PruneError),
    /// The call cannot be written down: its types rule it out.
    Inexpressible,
}

/// The visible state of a parameter.
#[derive(Debug)]
pub struct Snapshot {
    pub value: Tensor,
    pub orig: Tensor,
    pub mask: Option<Mask>,
    pub methods: Vec<String>,
}

/// The modules of a case as one store per dtype, since a module has one element type here.
pub struct Modules<'t> {
    pub f32: ParameterStore<f32>,
    pub f64: ParameterStore<f64>,
    pub f16: ParameterStore<f16>,
    pub bf16: ParameterStore<bf16>,
    pub dtypes: BTreeMap<String, Dtype>,
    pub tensors: &'t Tensors,
    pub mode: Mode,
    generator: Option<Generator>,
}

impl<'t> Modules<'t> {
    pub fn new(case: &Case, tensors: &'t Tensors, mode: Mode) -> Self {
        let mut modules = Self {
            f32: ParameterStore::new(),
            f64: ParameterStore::new(),
            f16: ParameterStore::new(),
            bf16: ParameterStore::new(),
            dtypes: BTreeMap::new(),
            tensors,
            mode,
            generator: None,
        };
        for (module, parameters) in &case.modules {
            for (parameter, tensor) in parameters {
                let name = format!("{module}.{parameter}");
                with_dtype!(tensors[tensor].dtype, A => modules.insert::<A>(&name, tensor));
                modules.dtypes.insert(name, tensors[tensor].dtype);
            }
        }
        modules
    }

    fn insert<A: Scalar>(&mut self, name: &str, tensor: &str) {
        let array = self.array::<A>(tensor);
        A::store(self).insert(name, array);
    }

    /// A recorded tensor in the layout of this replay.
    pub fn array<A: Scalar>(&self, tensor: &str) -> ArrayD<A> {
        self.mode.layout.of(self.tensors[tensor].array())
    }

    pub fn snapshot(&mut self, name: &str) -> Snapshot {
        fn of<A: Scalar>(parameter: &Parameter<A>) -> Snapshot {
            Snapshot {
                value: Tensor::of(parameter.value()),
                orig: Tensor::of(parameter.orig()),
                mask: parameter.mask().cloned(),
                methods: parameter.methods().iter().map(|method| method.name().to_owned()).collect(),
            }
        }
        with_dtype!(self.dtypes[name], A => of(&A::store(self)[name]))
    }

    /// Returns `true` if the step mixes dtypes, so that something has to be converted before this crate can do it.
    pub fn mixes_dtypes(&self, step: &Step) -> bool {
        let parameters = step.names().iter().map(|name| &self.dtypes[name]);
        parameters.chain(&self.score_dtypes(step)).collect::<BTreeSet<_>>().len() > 1
    }

    /// The dtype of what ranks each target.
    pub fn score_dtypes(&self, step: &Step) -> Vec<Dtype> {
        let scores = |name: &String| step.scores().or(step.scores_of(name)).map(|scores| self.tensors[scores].dtype);
        step.names().iter().map(|name| scores(name).unwrap_or(self.dtypes[name])).collect()
    }

    pub fn operate(&mut self, step: &Step) -> Outcome {
        if let Some(seed) = step.seed {
            self.generator = Some(Generator::manual_seed(seed));
        }
        // Nothing is ever stale here, so a forward is nothing to do.
        if let "forward" | "draw" | "manual_seed" = step.op.as_str() {
            return Outcome::Done(None);
        }
        if let Some(fixture::Amount::Int(..0)) = step.amount {
            return Outcome::Inexpressible;
        }
        if self.mixes_dtypes(step) {
            return converted::operate(self, step);
        }
        if step.op == "global_unstructured" {
            let Some(first) = step.names().first() else {
                return outcome(prune::global_unstructured([] as [&mut Parameter<f32>; 0], Identity));
            };
            return with_dtype!(self.dtypes[first], A => self.global::<A>(step));
        }
        with_dtype!(self.dtypes[step.target.as_ref().unwrap()], A => self.local::<A>(step))
    }

    fn local<A: Scalar>(&mut self, step: &Step) -> Outcome {
        let name = step.target.as_ref().unwrap();
        match step.op.as_str() {
            "remove" => outcome(prune::remove(A::store(self), name)),
            "update_orig" => {
                let value = self.array::<A>(step.value.as_ref().unwrap());
                A::store(self)[name].update(|mut orig| orig.assign(&value));
                Outcome::Done(None)
            }
            "backward" => {
                let mut gradient = self.array::<A>(step.upstream.as_ref().unwrap());
                match A::store(self)[name].mask_gradient(gradient.view_mut()) {
                    Ok(()) => Outcome::Done(Some(Tensor::of(&gradient))),
                    Err(error) => Outcome::Failed(error),
                }
            }
            "custom_from_mask" => outcome(self.custom_from_mask::<A>(step, name)),
            _ => outcome(self.apply::<A>(step, name)),
        }
    }

    fn custom_from_mask<A: Scalar>(&mut self, step: &Step, name: &str) -> Result<(), PruneError> {
        let (layout, mask) = (self.mode.layout, &self.tensors[step.mask.as_ref().unwrap()]);
        let numbers = layout.of(mask.numbers());
        let store = A::store(self);
        match mask.dtype {
            Dtype::BOOL => prune::custom_from_mask(store, name, layout.of(numbers.map(|&x| x == 1.0))),
            Dtype::U8 => prune::custom_from_mask(store, name, numbers.map(|&x| x as u8)),
            Dtype::I32 => prune::custom_from_mask(store, name, numbers.map(|&x| x as i32)),
            Dtype::I64 => prune::custom_from_mask(store, name, numbers.map(|&x| x as i64).view()),
            Dtype::F64 => prune::custom_from_mask(store, name, numbers.view()),
            Dtype::F32 => prune::custom_from_mask(store, name, layout.of(mask.array::<f32>())),
            Dtype::F16 => prune::custom_from_mask(store, name, layout.of(mask.array::<f16>())),
            Dtype::BF16 => prune::custom_from_mask(store, name, layout.of(mask.array::<bf16>())),
            other => panic!("no recorded mask is of dtype {other:?}"),
        }
    }

    fn apply<A: Scalar>(&mut self, step: &Step, name: &str) -> Result<(), PruneError> {
        let method = self.method::<A>(step)?;
        match step.scores() {
            Some(scores) => {
                let scores = self.array::<A>(scores);
                prune::apply_with_scores(A::store(self), name, method, scores.view())
            }
            None => prune::apply(A::store(self), name, method),
        }
    }

    /// The method of a step, for the element type of what it ranks.
    pub fn method<A: Scalar>(&self, step: &Step) -> Result<Box<dyn PruningMethod<A>>, PruneError> {
        let source = || self.generator.clone().unwrap();
        let op = step.method.as_deref().unwrap_or(&step.op);
        // The only method without an amount is `Identity`; the recorder calls global with a method of its own arguments.
        let amount = step.amount.map_or(Amount::Count(0), amount);
        let tie_break = self.mode.tie_break;
        Ok(match op {
            "identity" | "Identity" => Box::new(Identity),
            "l1_unstructured" | "L1Unstructured" => Box::new(L1Unstructured::new(amount)?.tie_break(tie_break)),
            "random_unstructured" | "RandomUnstructured" => Box::new(RandomUnstructured::new(amount, source())?),
            "random_structured" => Box::new(RandomStructured::new(amount, step.dim.unwrap(), source())?),
            "RandomStructured" => Box::new(RandomStructured::new(amount, -1, 0)?),
            "ln_structured" => {
                let n = step.n.as_ref().unwrap().norm();
                Box::new(LnStructured::new(amount, n, step.dim.unwrap())?.tie_break(tie_break))
            }
            "LnStructured" => Box::new(LnStructured::new(amount, 2, 0)?),
            "CustomFromMask" => Box::new(CustomFromMask::new(ndarray::arr1(&[1]).into_mask()?)),
            other => panic!("unknown method {other}"),
        })
    }

    fn global<A: Scalar>(&mut self, step: &Step) -> Outcome {
        let names = step.names();
        if step.scores_by_target().is_some_and(|scores| scores.keys().any(|name| !names.contains(name))) {
            return Outcome::Inexpressible;
        }
        let method = match self.method::<A>(step) {
            Ok(method) => method,
            Err(error) => return Outcome::Failed(error),
        };
        let scores: Vec<_> = names.iter().map(|name| step.scores_of(name).map(|s| self.array::<A>(s))).collect();
        let parameters = match prune::parameters_mut(A::store(self), names) {
            Ok(parameters) => parameters,
            Err(error) => return Outcome::Failed(error),
        };
        outcome(global_unstructured(parameters, &scores, method))
    }

    /// The position of the stream after a step, as its next 24-bit value.
    pub fn next_word(&self, step: &Step) -> u32 {
        match (step.op.as_str(), step.seed) {
            ("manual_seed", Some(seed)) => next_word(&Generator::manual_seed(seed)),
            _ => next_word(self.generator.as_ref().unwrap()),
        }
    }
}

pub fn next_word(generator: &Generator) -> u32 {
    (generator.rand::<f32>(1)[0] * (1 << 24) as f32) as u32
}

pub fn amount(amount: fixture::Amount) -> Amount {
    match amount {
        fixture::Amount::Int(count) => Amount::Count(count.try_into().unwrap()),
        fixture::Amount::Float(fraction) => Amount::Fraction(fraction.0),
    }
}

pub fn outcome(result: Result<(), PruneError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done(None),
        Err(error) => Outcome::Failed(error),
    }
}

/// A global pruning with scores for some of the targets.
pub fn global_unstructured<A: Scalar>(
    parameters: Vec<&mut Parameter<A>>,
    scores: &[Option<ArrayD<A>>],
    method: Box<dyn PruningMethod<A>>,
) -> Result<(), PruneError> {
    let targets = parameters.into_iter().zip(scores).map(|(parameter, scores)| match scores {
        Some(scores) => Target::from((parameter, scores.view())),
        None => Target::from(parameter),
    });
    prune::global_unstructured(targets, method)
}
