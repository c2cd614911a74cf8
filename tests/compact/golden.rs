//! The recorded cases: tensors, masks, importance, choices and outputs.

use std::collections::{BTreeMap, HashMap};

use approx::assert_relative_eq;
use ndarray::{ArrayD, Axis, AxisDescription, Slice};
use prune::compact::{
    Activation, Choice, CompactError, Coupling, Dimension, Fold, Normalize, Plan, Rank, Reduce, Scope, Scores, Sizes,
    Use, WidthNorm,
};
use prune::{Amount, Module, Norm, ParameterStore};
use serde::Deserialize;

use super::case::{Case, Tensor, json};
use super::program::run;

const CASES: [&str; 21] = [
    "attention_fused_qkv",
    "bert_layer",
    "bn_constant_padding0",
    "bn_constant_padding1",
    "concat",
    "conv_bn_relu_chain",
    "conv_flatten_linear",
    "depthwise",
    "fused_gate_up",
    "gpt2_block",
    "gqa_query_heads",
    "gqa_swiglu",
    "grouped_conv_groups",
    "grouped_conv_inside",
    "ln_hidden",
    "ln_mlp_gelu",
    "residual",
    "rms_hidden_scaled",
    "rms_hidden_unscaled",
    "sigmoid_constant",
    "vocabulary",
];

fn plan(case: &Case, model: &ParameterStore<f32>) -> Plan {
    case.coupling().keep(model, case.kept()).unwrap()
}

#[test]
fn compacted_tensors_are_bitwise_the_recorded_ones() {
    for name in CASES {
        let case = Case::read(name);
        let mut model = case.model("dense/");
        let plan = plan(&case, &model);
        let report = plan.compact(&mut model).unwrap();
        let expected: Vec<_> = case.under("compact/").collect();
        assert_eq!(model.len(), expected.len(), "{name}");
        for (parameter, expected) in expected {
            let (found, expected) = (model[parameter].value(), expected.floats());
            assert_eq!(found.shape(), expected.shape(), "{name}: {parameter}");
            assert_eq!(plan.shape(parameter).as_deref(), Some(expected.shape()));
            assert!(found.iter().zip(expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{name}: {parameter}");
            assert!(!model[parameter].is_pruned());
        }
        let entries: usize = model.iter().map(|(_, parameter)| parameter.value().len()).sum();
        assert_eq!(report.entries_after(), entries);
    }
}

#[test]
fn coupled_masks_are_the_recorded_ones() {
    for name in CASES {
        let case = Case::read(name);
        let mut model = case.model("dense/");
        plan(&case, &model).mask(&mut model).unwrap();
        let masks: BTreeMap<_, _> = case.under("mask/").collect();
        for (parameter, found) in model.iter() {
            match (found.mask(), masks.get(parameter)) {
                (None, None) => {}
                (Some(mask), Some(Tensor::Bools(expected))) => assert_eq!(mask, expected, "{name}: {parameter}"),
                other => panic!("{name}: {parameter}: {other:?}"),
            }
        }
    }
}

#[test]
fn importance_is_the_recorded_one() {
    for name in CASES {
        let case = Case::read(name);
        let model = case.model("dense/");
        for (key, expected) in &case.importance {
            let (order, reduce) = key.split_once('_').unwrap();
            let norm = Norm::L(order[1..].parse().unwrap());
            let reduce = match reduce {
                "sum" => Reduce::Sum,
                "mean" => Reduce::Mean,
                "max" => Reduce::Max,
                "joint" => Reduce::Joint,
                other => panic!("{other}"),
            };
            let rank = Rank { norm, reduce, ..Rank::default() };
            let scores = case.coupling().importance(&model, &rank).unwrap();
            for (dimension, expected) in expected {
                assert_eq!(scores[dimension].len(), expected.len());
                for (&found, &expected) in scores[dimension].iter().zip(expected) {
                    assert_relative_eq!(found, expected, max_relative = 1e-12);
                }
            }
        }
    }
}

#[test]
fn kept_units_are_the_recorded_ones() {
    for name in CASES.into_iter().filter(|&name| name != "vocabulary") {
        let case = Case::read(name);
        let amount = if name.contains("hidden") { 0.25 } else { 0.5 };
        let rank = Rank { reduce: Reduce::Sum, ..Rank::default() };
        let plan = case.coupling().choose(&case.model("dense/"), &Choice { rank, ..Choice::new(amount) }).unwrap();
        for (dimension, kept) in &case.keep {
            assert_eq!(plan.kept(dimension), kept, "{name}: {dimension}");
        }
    }
}

/// The output of a model: the parameters in `f64`, the attributes by the sizes of the dimensions.
fn output(case: &Case, model: &ParameterStore<f64>, sizes: &Sizes) -> ArrayD<f64> {
    let inputs: HashMap<String, ArrayD<f64>> = case
        .under("input/")
        .map(|(name, tensor)| match tensor {
            Tensor::Floats(array) => (name.to_owned(), array.mapv(f64::from)),
            Tensor::Integers(array) => (name.to_owned(), array.mapv(|x| x as f64)),
            Tensor::Bools(_) => panic!("{name}"),
        })
        .collect();
    let attribute = |name: &str| {
        let binding = &case.attributes[name].binding;
        let Some(number) = binding.get("dim") else { return binding.as_f64().unwrap() };
        let field = |key: &str| binding[key].as_f64().unwrap();
        field("fixed") + field("per") * sizes.of(number.as_str().unwrap()) as f64
    };
    run(&case.program, |name| model[name].value().clone(), inputs, attribute)
}

fn widened(model: &ParameterStore<f32>) -> ParameterStore<f64> {
    model.iter().map(|(name, parameter)| (name, parameter.value().mapv(f64::from))).collect()
}

/// The output as it was recorded, in `f32` by PyTorch.
fn recorded(case: &Case, kind: &str) -> ArrayD<f64> {
    case.tensors[&format!("output/{kind}")].floats().mapv(f64::from)
}

fn difference(a: &ArrayD<f64>, b: &ArrayD<f64>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn tolerance(output: &ArrayD<f64>) -> f64 {
    2e-5 * output.iter().fold(1.0, |max: f64, x| max.max(x.abs()))
}

/// The interpreter computes what PyTorch computed, for the whole, the masked and the compacted model.
#[test]
fn outputs_are_the_recorded_ones() {
    for name in CASES {
        let case = Case::read(name);
        let model = case.model("dense/");
        let plan = plan(&case, &model);
        let all = case.coupling().check(&model).unwrap();
        let (mut masked, mut compacted) = (model.clone(), model.clone());
        plan.mask(&mut masked).unwrap();
        plan.compact(&mut compacted).unwrap();
        for (kind, model, sizes) in
            [("dense", model, all.clone()), ("masked", masked, all), ("compact", compacted, plan.sizes())]
        {
            let expected = recorded(&case, kind);
            let found = output(&case, &widened(&model), &sizes);
            assert!(difference(&found, &expected) < tolerance(&expected), "{name}: {kind}");
        }
    }
}

/// In `f64`, the masked and the compacted model differ by rounding only, except where a norm mixes the units.
#[test]
fn masked_and_compacted_outputs_are_equal() {
    for name in CASES {
        let case = Case::read(name);
        let model = widened(&case.model("dense/"));
        let plan = case.coupling().keep(&model, case.kept()).unwrap();
        let found = plan.verify(&model, |model, sizes| {
            let output = output(&case, model, sizes);
            match &case.output_axis {
                // The vocabulary: the logits of the kept tokens.
                Some(_) if sizes.of("tokens") == 20 => output.select(Axis(output.ndim() - 1), &case.keep["tokens"]),
                Some(_) | None => output,
            }
        });
        let found = found.unwrap();
        match case.expect.as_str() {
            // The epsilon of the norm is not scaled there.
            "equal" if name == "rms_hidden_scaled" => assert!(found < 1e-6, "{name}: {found}"),
            "equal" => assert!(found < 1e-13, "{name}: {found}"),
            "differs" => assert!(found > 0.1, "{name}: {found}"),
            other => panic!("{other}"),
        }
    }
}

/// A dimension that a layer norm runs over is refused if it is declared truthfully.
#[test]
fn a_layer_norm_over_the_units_is_refused() {
    let case = Case::read("ln_hidden");
    let stored = &case.dimensions[0];
    let uses = stored.uses.iter().map(|stored| match stored.tensor.as_str() {
        "n1.weight" | "n2.weight" => stored.get().norm(WidthNorm::Layer),
        _ => stored.get(),
    });
    let coupling = Coupling::new().with(Dimension::new("hidden", uses));
    let error = coupling.check(&case.model("dense/")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "dimension `hidden` cannot be cut: `n1.weight` is the weight of a layer norm over it"
    );
}

#[derive(Deserialize)]
struct StoredFold {
    dim: String,
    weight: String,
    into: String,
    sign: Option<f64>,
    path: Vec<StoredStep>,
}

#[derive(Deserialize)]
struct StoredStep {
    op: String,
    tensor: Option<String>,
    offset: Option<usize>,
    weight: Option<String>,
    eps: Option<f64>,
}

fn fold(stored: StoredFold) -> Fold {
    let mut fold = Fold::new(stored.dim, stored.weight, stored.into);
    if stored.sign == Some(-1.0) {
        fold = fold.subtract();
    }
    for step in stored.path {
        fold = match step.op.as_str() {
            // In the fused biases, the values come after queries and keys.
            "bias" => fold.bias_part(step.tensor.unwrap(), if step.offset.is_some() { 2 } else { 0 }),
            "batch_norm" => fold.batch_norm(step.weight.unwrap().strip_suffix(".weight").unwrap(), step.eps.unwrap()),
            "relu" => fold.activation(Activation::Relu),
            "gelu" => fold.activation(Activation::Gelu),
            "gelu_tanh" => fold.activation(Activation::GeluTanh),
            "sigmoid" => fold.activation(Activation::Sigmoid),
            other => panic!("{other}"),
        };
    }
    fold
}

#[test]
fn folded_constants_are_the_recorded_ones() {
    let mut folded = 0;
    for name in CASES {
        let mut case = Case::read(name);
        let folds: Vec<Fold> =
            case.fold.drain(..).map(|stored| fold(serde_json::from_value(stored).unwrap())).collect();
        if folds.is_empty() {
            continue;
        }
        let mut model = case.model("dense/");
        let plan = plan(&case, &model);
        if name.starts_with("bn_constant") {
            let refused = plan.fold(&mut model, &folds).unwrap_err();
            assert_eq!(
                refused.to_string(),
                "cannot fold dimension `c1` into `bn2.running_mean`: `conv2.weight` may be padded with zeros, where the \
                 constant is missing"
            );
        }
        let folds: Vec<Fold> = folds.into_iter().map(Fold::unpadded).collect();
        plan.fold(&mut model, &folds).unwrap();
        plan.compact(&mut model).unwrap();
        for (parameter, expected) in case.under("folded/") {
            for (&found, &expected) in model[parameter].value().iter().zip(expected.floats()) {
                assert_relative_eq!(found, expected, epsilon = 1e-6, max_relative = 1e-6);
            }
            folded += 1;
        }
        let found = output(&case, &widened(&model), &plan.sizes());
        let expected = recorded(&case, "masked_out");
        if name == "bn_constant_padding1" {
            assert!(difference(&found, &expected) > 0.1);
            let interior = |output: &ArrayD<f64>| {
                let inside = |axis: AxisDescription| match axis.axis.index() {
                    0 | 1 => Slice::from(..),
                    _ => Slice::new(2, Some(-2), 1),
                };
                output.slice_each_axis(inside).to_owned()
            };
            assert!(difference(&interior(&found), &interior(&expected)) < tolerance(&expected));
        } else {
            assert!(difference(&found, &expected) < tolerance(&expected), "{name}");
        }
    }
    assert_eq!(folded, 9);
}

#[derive(Deserialize)]
struct Choices {
    scores: BTreeMap<String, Vec<f64>>,
    choices: Vec<StoredChoice>,
}

#[derive(Deserialize)]
struct StoredChoice {
    share: f64,
    scope: String,
    multiple: usize,
    minimum: usize,
    normalize: String,
    keep: BTreeMap<String, Vec<usize>>,
}

#[test]
fn choices_are_the_recorded_ones() {
    let Choices { scores, choices } = json("choices");
    let mut model = ParameterStore::<f32>::new();
    let mut coupling = Coupling::new();
    for (name, scores) in &scores {
        model.insert(name.as_str(), ArrayD::zeros(vec![scores.len(), 1]));
        coupling = coupling.with(Dimension::new(name, [Use::out(name, 0)]).open());
    }
    let scores: Scores = scores.into_iter().collect();
    assert_eq!(choices.len(), 72);
    for stored in choices {
        let choice = Choice {
            amount: Amount::Fraction(stored.share),
            scope: if stored.scope == "each" { Scope::Dimension } else { Scope::Global },
            multiple: stored.multiple,
            minimum: stored.minimum,
            rank: Rank {
                normalize: match stored.normalize.as_str() {
                    "none" => Normalize::None,
                    "mean" => Normalize::Mean,
                    "max" => Normalize::Max,
                    other => panic!("{other}"),
                },
                ..Rank::default()
            },
        };
        let plan = coupling.choose_by(&model, &scores, &choice).unwrap();
        for (dimension, kept) in &stored.keep {
            assert_eq!(plan.kept(dimension), kept, "{choice:?}");
        }
    }
}

#[test]
fn a_compacted_model_is_refused_by_its_plan() {
    let case = Case::read("conv_flatten_linear");
    let mut model = case.model("dense/");
    let plan = plan(&case, &model);
    plan.compact(&mut model).unwrap();
    let names: Vec<String> = model.named_parameters().into_iter().map(|(name, _)| name).collect();
    let before = model.clone();
    let expected = CompactError::OtherShape { parameter: "conv.bias".into(), expected: vec![6], found: vec![3] };
    assert_eq!(plan.compact(&mut model), Err(expected.clone()));
    assert_eq!(plan.mask(&mut model), Err(expected));
    for name in names {
        assert_eq!(model[&*name].value(), before[&*name].value());
    }
}
