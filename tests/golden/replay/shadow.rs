//! Steps that mix dtypes. The types of this crate rule them out, so they are done as its documentation says: converted first.
//!
//! The method runs on parameters of the dtype that ranks, which hold the same masks; the new masks then go to the real
//! parameters as custom ones. Conversions are to a wider type, so nothing is lost.

use ndarray::ArrayD;
use num_traits::NumCast;
use prune::{CustomFromMask, Mask, Parameter, ParameterStore, PruneError};
use safetensors::Dtype;

use super::fixture::Step;
use super::tensor::{Scalar, with_dtype};
use super::world::{Outcome, World, global_unstructured, outcome};

pub fn operate(world: &mut World<'_>, step: &Step) -> Outcome {
    let dtype = world.score_dtypes(step).into_iter().reduce(promoted).unwrap();
    // Integers are ranked as the f64 that they are equal to.
    let dtype = if dtype == Dtype::I64 { Dtype::F64 } else { dtype };
    outcome(with_dtype!(dtype, S => operate_in::<S>(world, step)))
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

fn operate_in<S: Scalar>(world: &mut World<'_>, step: &Step) -> Result<(), PruneError> {
    let method = world.method::<S>(step)?;
    let names = step.names();
    let mut shadows = ParameterStore::<S>::new();
    for name in names {
        let shadow = with_dtype!(world.dtypes[name], A => shadow::<A, S>(&A::store(world)[name])?);
        shadows.insert(name, shadow);
    }
    let scores = |name: &String| step.scores().or(step.scores_of(name)).map(|scores| converted::<S>(world, scores));
    let scores: Vec<_> = names.iter().map(scores).collect();
    if step.op == "global_unstructured" {
        global_unstructured(prune::parameters_mut(&mut shadows, names)?, &scores, method)?;
    } else {
        prune::apply_with_scores(&mut shadows, &names[0], method, scores[0].as_ref().unwrap().view())?;
    }
    for name in names {
        let mask = shadows[name].mask().unwrap().clone();
        with_dtype!(world.dtypes[name], A => prune::custom_from_mask(A::store(world), name, mask)?);
    }
    Ok(())
}

fn shadow<A: Scalar, S: Scalar>(parameter: &Parameter<A>) -> Result<Parameter<S>, PruneError> {
    let mut shadow = Parameter::new(parameter.orig().map(|&x| <S as NumCast>::from(x).unwrap()));
    if let Some(mask) = parameter.mask() {
        shadow.prune(CustomFromMask::new(Mask::clone(mask)))?;
    }
    Ok(shadow)
}

fn converted<S: Scalar>(world: &World<'_>, scores: &str) -> ArrayD<S> {
    world.mode.layout.of(world.tensors[scores].numbers().map(|&x| <S as NumCast>::from(x).unwrap()))
}
