//! Steps that mix dtypes. The types of this crate rule them out, so they are done as its documentation says: converted first.
//!
//! The method runs on parameters of the dtype that ranks, which hold the same masks; the new masks then go to the real
//! parameters as custom ones. Conversions are to a wider type, so nothing is lost.

use ndarray::ArrayD;
use num_traits::NumCast;
use prune::{CustomFromMask, Mask, Parameter, ParameterStore, PruneError};
use safetensors::Dtype;

use super::fixture::Step;
use super::modules::{Modules, Outcome, global_unstructured, outcome};
use super::tensor::{Scalar, with_dtype};

pub fn operate(modules: &mut Modules<'_>, step: &Step) -> Outcome {
    let dtype = modules.score_dtypes(step).into_iter().reduce(promoted).unwrap();
    // Integers are ranked as the f64 that they are equal to.
    let dtype = if dtype == Dtype::I64 { Dtype::F64 } else { dtype };
    outcome(with_dtype!(dtype, S => operate_in::<S>(modules, step)))
}

/// The dtype that holds both, as in PyTorch.
fn promoted(a: Dtype, b: Dtype) -> Dtype {
    let halves = [Dtype::F16, Dtype::BF16];
    match (a, b) {
        _ if a == b => a,
        (Dtype::F64, _) | (_, Dtype::F64) => Dtype::F64,
        _ if halves.contains(&a) && halves.contains(&b) => Dtype::F32,
        _ => Dtype::F32,
    }
}

fn operate_in<S: Scalar>(modules: &mut Modules<'_>, step: &Step) -> Result<(), PruneError> {
    let method = modules.method::<S>(step)?;
    let names = step.names();
    let mut copies = ParameterStore::<S>::new();
    for name in names {
        let copy = with_dtype!(modules.dtypes[name], A => converted_parameter::<A, S>(&A::store(modules)[name])?);
        copies.insert(name, copy);
    }
    let scores =
        |name: &String| step.scores().or(step.scores_of(name)).map(|scores| converted_scores::<S>(modules, scores));
    let scores: Vec<_> = names.iter().map(scores).collect();
    if step.op == "global_unstructured" {
        global_unstructured(prune::parameters_mut(&mut copies, names)?, &scores, method)?;
    } else {
        prune::apply_with_scores(&mut copies, &names[0], method, scores[0].as_ref().unwrap().view())?;
    }
    for name in names {
        let mask = copies[name].mask().unwrap().clone();
        with_dtype!(modules.dtypes[name], A => prune::custom_from_mask(A::store(modules), name, mask)?);
    }
    Ok(())
}

fn converted_parameter<A: Scalar, S: Scalar>(parameter: &Parameter<A>) -> Result<Parameter<S>, PruneError> {
    let mut copy = Parameter::new(parameter.orig().map(|&x| <S as NumCast>::from(x).unwrap()));
    if let Some(mask) = parameter.mask() {
        copy.prune(CustomFromMask::new(Mask::clone(mask)))?;
    }
    Ok(copy)
}

fn converted_scores<S: Scalar>(modules: &Modules<'_>, scores: &str) -> ArrayD<S> {
    modules.mode.layout.of(modules.tensors[scores].numbers().map(|&x| <S as NumCast>::from(x).unwrap()))
}
