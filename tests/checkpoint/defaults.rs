//! The default selection: tensors of well-known models, and the reasons.

use std::collections::BTreeMap;

use prune::checkpoint::{AxisReason, Checkpoint, CheckpointError, Outcome, PruneReport, Pruner, Selection, SkipReason};
use prune::{AnyMethod, L1Unstructured, LnStructured};

use super::support::{Raw, l1_pruner, ln_pruner, weights, write};

/// A tensor of this dtype whose bytes are no zeros, and differ from those of the other tensors.
fn raw(name: &str, dtype: &'static str, shape: &[usize]) -> Raw {
    let size = match dtype {
        "F32" | "I32" => 4,
        "F16" | "BF16" => 2,
        "I64" => 8,
        _ => 1,
    };
    let seed = name.bytes().fold(7_u8, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte));
    let bytes = shape.iter().product::<usize>() * size;
    Raw::new(name, dtype, shape, (0..bytes).map(|i| (i as u8).wrapping_mul(13).wrapping_add(seed) % 59 + 1).collect())
}

fn dry(pruner: &Pruner, tensors: &[Raw]) -> Result<PruneReport, CheckpointError> {
    let folder = tempfile::tempdir().unwrap();
    let input = write(&folder.path().join("in.safetensors"), &[], tensors);
    pruner.dry_run(&Checkpoint::open([input]).unwrap(), &())
}

/// The names of the pruned tensors.
fn pruned(report: &PruneReport) -> Vec<&str> {
    let pruned = report.tensors.iter().filter(|tensor| matches!(tensor.outcome, Outcome::Pruned { .. }));
    pruned.map(|tensor| tensor.name.as_str()).collect()
}

fn reason<'r>(report: &'r PruneReport, name: &str) -> &'r SkipReason {
    match &report.tensors.iter().find(|tensor| tensor.name == name).unwrap().outcome {
        Outcome::Skipped(reason) => reason,
        outcome => panic!("{name}: {outcome:?}"),
    }
}

/// Every tensor of the list: each model is one file.
#[test]
fn tensors_of_well_known_models() {
    let mut models: BTreeMap<&str, Vec<(Raw, bool)>> = BTreeMap::new();
    for line in include_str!("names.tsv").lines().skip(1) {
        let [case, name, dtype, shape, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let shape: Vec<usize> = shape.split(',').filter_map(|size| size.parse().ok()).collect();
        let dtype = ["F32", "F16", "BF16", "I32", "I64", "I8", "U8", "F8_E4M3"].into_iter().find(|&it| it == dtype);
        models.entry(case).or_default().push((raw(name, dtype.unwrap(), &shape), expected == "prune"));
    }
    assert!(models.len() > 30);
    let mut wrong = Vec::new();
    for (case, mut tensors) in models {
        // A model of which nothing is pruned is an error, so each gets one more layer.
        tensors.push((raw("one_more_layer.in_proj_weight", "F32", &[3, 2]), true));
        let raws: Vec<Raw> = tensors.iter().map(|(tensor, _)| tensor.clone()).collect();
        let report = dry(&l1_pruner(0.5), &raws).unwrap();
        for (tensor, (raw, is_pruned)) in report.tensors.iter().zip(&tensors) {
            assert_eq!(tensor.name, raw.name);
            if matches!(tensor.outcome, Outcome::Pruned { .. }) != *is_pruned {
                wrong.push(format!("{case}: {}: {:?}", raw.name, tensor.outcome));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn reasons_with_their_data() {
    let tensors = [
        raw("model.embed_tokens.weight", "F32", &[9, 4]),
        raw("a.weight", "F32", &[4, 4]),
        raw("q.weight", "I8", &[4, 4]),
        raw("q.weight_scale", "F32", &[4, 2]),
        raw("v.weight_g", "F32", &[4, 1]),
        raw("norm.weight", "F32", &[4, 4]),
        raw("cls_token", "F32", &[2, 2]),
        raw("b.weight", "F32", &[4, 1, 1]),
        raw("lm_head.weight", "F32", &[9, 4]),
        raw("moe.router.weight", "F32", &[2, 4]),
        raw("optimizer.a.weight", "F32", &[4, 4]),
    ];
    let report = dry(&l1_pruner(0.5), &tensors).unwrap();
    assert_eq!(pruned(&report), ["a.weight"]);
    for (name, text, code, detail) in [
        ("model.embed_tokens.weight", "an embedding", "embedding", Some("embed")),
        ("q.weight", "not F32, F64, F16 or BF16", "dtype", None),
        ("q.weight_scale", "part of a quantised weight", "quantization", Some("q.weight")),
        ("v.weight_g", "the gain of a weight norm", "gain", None),
        ("norm.weight", "a norm", "norm", Some("norm")),
        ("cls_token", "not a layer's weight", "not_a_layer", Some("cls_token")),
        ("b.weight", "a vector", "vector", None),
        ("lm_head.weight", "an output layer over a vocabulary", "head", None),
        ("moe.router.weight", "a router of experts", "router", None),
        ("optimizer.a.weight", "optimizer state", "optimizer_state", None),
    ] {
        let reason = reason(&report, name);
        assert_eq!((reason.to_string().as_str(), reason.code(), reason.detail()), (text, code, detail), "{name}");
    }
}

/// A quantised model has nothing to prune, and the error says why.
#[test]
fn a_model_that_is_quantised_as_a_whole() {
    let tensors = [
        raw("a.qweight", "I32", &[4, 4]),
        raw("a.scales", "F16", &[4, 4]),
        raw("b.qweight", "I32", &[4, 4]),
        raw("norm.weight", "F16", &[4]),
    ];
    let error = dry(&l1_pruner(0.5), &tensors).unwrap_err();
    let expected = "nothing to prune: 0 of 4 tensors selected (2: not F32, F64, F16 or BF16; 1: part of a quantised weight; \
                    1: a norm)";
    assert_eq!(error.to_string(), expected);
}

/// A tensor that is stored twice is tied: pruning one of the two would untie them.
#[test]
fn tensors_that_equal_an_embedding() {
    let embedding = raw("embed.weight", "F32", &[300, 400]);
    let copy = Raw { name: "project.weight".into(), ..embedding.clone() };
    let mut almost = Raw { name: "almost.weight".into(), ..embedding.clone() };
    *almost.data.last_mut().unwrap() += 1;
    let report = dry(&l1_pruner(0.5), &[embedding, copy, almost]).unwrap();
    assert_eq!(pruned(&report), ["almost.weight"]);
    let tied = reason(&report, "project.weight");
    assert_eq!(*tied, SkipReason::Tied { embedding: "embed.weight".into() });
    assert_eq!((tied.to_string().as_str(), tied.code()), ("equal to an embedding (tied)", "tied"));
}

/// `include` restricts the default selection, `only` replaces it.
#[test]
fn include_and_only() {
    let tensors = [
        raw("embed.weight", "F32", &[9, 4]),
        raw("a.weight", "F32", &[4, 4]),
        raw("b.weight", "F32", &[4, 4]),
        raw("b.bias", "F32", &[4]),
        raw("f.weight", "F8_E4M3", &[4, 4]),
    ];
    let select = |selection| dry(&l1_pruner(0.5).selection(selection), &tensors);
    for (selection, expected) in [
        (Selection::new(), &["a.weight", "b.weight"][..]),
        (Selection::new().include("b.*"), &["b.weight"]),
        (Selection::new().include("b.*").include("embed*").include("a*"), &["a.weight", "b.weight"]),
        (Selection::new().only("b.*"), &["b.weight", "b.bias"]),
        (Selection::new().only("*"), &["embed.weight", "a.weight", "b.weight", "b.bias"]),
        (Selection::new().only("*").exclude("*.bias"), &["embed.weight", "a.weight", "b.weight"]),
        (Selection::new().only("*").include("b.*"), &["b.weight", "b.bias"]),
    ] {
        assert_eq!(pruned(&select(selection.clone()).unwrap()), expected, "{selection:?}");
    }
    let error = select(Selection::new().include("embed*")).unwrap_err().to_string();
    let reasons = "3: not included; 1: an embedding; 1: not F32, F64, F16 or BF16";
    assert_eq!(error, format!("nothing to prune: 0 of 5 tensors selected ({reasons})"));
    let error = select(Selection::new().only("f*")).unwrap_err().to_string();
    assert_eq!(error, "F8_E4M3 cannot be pruned: pattern `f*` matches only tensors such as `f.weight`");
}

/// One command serves many models: a pattern to exclude may match nothing, and the report says so.
#[test]
fn exclusions_without_a_match() {
    let tensors = [raw("a.weight", "F32", &[4, 4])];
    let selection = Selection::new().exclude("decoder.*").exclude("a.bias").exclude("b*");
    let report = dry(&l1_pruner(0.5).selection(selection), &tensors).unwrap();
    assert_eq!(report.unmatched, ["decoder.*", "a.bias", "b*"]);
}

/// Structured methods leave the outputs of the model alone.
#[test]
fn the_last_layer() {
    for (names, expected) in [
        (&["conv1.weight", "layer1.0.conv1.weight", "fc.weight"][..], Some("fc.weight")),
        (
            &["classifier.0.weight", "classifier.3.weight", "classifier.6.weight", "features.0.weight"],
            Some("classifier.6.weight"),
        ),
        (&["conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight"], Some("fc2.weight")),
        (&["net.0.weight", "net.2.weight", "net.10.weight"], Some("net.10.weight")),
        (&["vit.blocks.0.mlp.fc1.weight", "vit.blocks.0.mlp.fc2.weight", "vit.head.weight"], Some("vit.head.weight")),
        (&["encoder.layers.0.q_proj.weight", "encoder.layers.1.q_proj.weight"], None),
        (&["fc.weight"], None),
        (&["conv1.weight", "conv2.weight"], None),
    ] {
        let tensors: Vec<Raw> = names.iter().map(|name| raw(name, "F32", &[6, 4])).collect();
        let channels = dry(&ln_pruner(2, 2.0, 0), &tensors).unwrap();
        let skipped = channels.tensors.iter().find(|tensor| tensor.outcome == Outcome::Skipped(SkipReason::LastLayer));
        assert_eq!(skipped.map(|tensor| tensor.name.as_str()), expected, "{names:?}");
        assert_eq!(pruned(&dry(&l1_pruner(2), &tensors).unwrap()).len(), names.len());
    }
}

/// The last layer has one output, so that its weight is a vector: no other layer is the last.
#[test]
fn a_last_layer_with_one_output() {
    let of = |name: &str, shape: &[usize]| raw(name, "F32", shape);
    let tensors = [of("net.0.weight", &[6, 4]), of("net.2.weight", &[6, 6]), of("net.4.weight", &[1, 6])];
    let report = dry(&ln_pruner(2, 2.0, 0), &tensors).unwrap();
    assert_eq!(pruned(&report), ["net.0.weight", "net.2.weight"]);
    assert_eq!(*reason(&report, "net.4.weight"), SkipReason::Vector);
}

/// The axis of output channels: the first, or the one that the bias fits, or the name says.
#[test]
fn axes_of_output_channels() {
    let tensors = [
        raw("h.0.mlp.c_fc.weight", "F32", &[4, 16]),
        raw("h.0.mlp.c_fc.bias", "F32", &[16]),
        raw("h.0.attn.c_proj.weight", "F32", &[4, 4]),
        raw("h.0.attn.c_proj.bias", "F32", &[4]),
        raw("up.weight", "F32", &[8, 4, 2, 2]),
        raw("up.bias", "F32", &[4]),
        raw("deconv.weight", "F32", &[4, 4, 2, 2]),
        raw("linear.weight", "F32", &[6, 4]),
        raw("linear.bias", "F32", &[6]),
        raw("plain.weight", "F32", &[6, 4]),
    ];
    let axes = |pruner: &Pruner| {
        let report = dry(pruner, &tensors).unwrap();
        let axes = report.tensors.iter().filter_map(|tensor| tensor.axis);
        axes.map(|axis| (axis.axis, axis.reason)).collect::<Vec<_>>()
    };
    let pruner = ln_pruner(1, 2.0, 0);
    let expected = [
        (1, AxisReason::Bias),
        (1, AxisReason::Name),
        (1, AxisReason::Bias),
        (1, AxisReason::Name),
        (0, AxisReason::OutputFirst),
        (0, AxisReason::OutputFirst),
    ];
    assert_eq!(axes(&pruner.clone().output_axis(true)), expected);
    assert_eq!(axes(&pruner), [(0, AxisReason::Given); 6]);
    assert_eq!(axes(&ln_pruner(1, 2.0, -3).selection(Selection::new().include("up*"))), [(1, AxisReason::Given)]);
    assert_eq!(axes(&l1_pruner(1)), []);
}

/// The axis is the one along which channels are pruned.
#[test]
fn channels_along_the_output_axis() {
    let weight = weights::<f32>(&[4, 6], 3);
    let tensors = [Raw::of("c_fc.weight", &weight), raw("c_fc.bias", "F32", &[6])];
    let report = dry(&ln_pruner(2, 2.0, 0).output_axis(true), &tensors).unwrap();
    assert_eq!((report.asked, report.pruned_after()), (Some(2), 8));
    let report = dry(&ln_pruner(2, 2.0, 0), &tensors).unwrap();
    assert_eq!((report.asked, report.pruned_after()), (Some(2), 12));
}

/// v / ||v|| of a channel of zeros is NaN.
#[test]
fn directions_of_weight_norms() {
    let of = |gain: &str, direction: &str, shape: &[usize]| {
        vec![raw(gain, "F32", shape), raw(direction, "F32", &[8, 4, 3]), raw("a.weight", "F32", &[8, 4])]
    };
    let plain = of("conv.weight_g", "conv.weight_v", &[8, 1, 1]);
    let parametrized = of("parametrizations.weight.original0", "parametrizations.weight.original1", &[8, 1, 1]);
    for (tensors, name) in [(&plain, "conv.weight_v"), (&parametrized, "parametrizations.weight.original1")] {
        let error = dry(&ln_pruner(1, 2.0, 0), tensors).unwrap_err();
        assert!(matches!(&error, CheckpointError::WeightNorm { tensor } if tensor == name), "{error}");
        assert!(pruned(&dry(&l1_pruner(1), tensors).unwrap()).contains(&name));
        assert!(pruned(&dry(&ln_pruner(1, 2.0, 1), tensors).unwrap()).contains(&name));
    }
    // A gain per place of the kernel normalises along that axis.
    let last = of("conv.weight_g", "conv.weight_v", &[1, 1, 3]);
    assert!(dry(&ln_pruner(1, 2.0, 0), &last).is_ok());
    assert!(dry(&ln_pruner(1, 2.0, 2).selection(Selection::new().include("conv*")), &last).is_err());
}

/// The first pattern that matches has the method of a tensor.
#[test]
fn a_method_for_each_layer() {
    let tensors = ["a.0.weight", "a.1.weight", "b.weight"].map(|name| raw(name, "F32", &[5, 4]));
    let l1 = |amount: f64| AnyMethod::new(L1Unstructured::new(amount).unwrap());
    let counts = |report: &PruneReport| {
        let counts = report.tensors.iter().map(|tensor| match tensor.outcome {
            Outcome::Pruned { after, .. } => Some(after),
            _ => None,
        });
        counts.collect::<Vec<_>>()
    };
    let by_layer = Pruner::by_layer([("a.1*", l1(0.25)), ("a*", l1(0.5))]);
    let report = dry(&by_layer, &tensors).unwrap();
    assert_eq!((counts(&report), report.asked), (vec![Some(10), Some(5), None], Some(15)));
    assert_eq!(*reason(&report, "b.weight"), SkipReason::NoAmount);
    let all = l1_pruner(0.1).layer("a.1*", l1(0.25));
    assert_eq!(counts(&dry(&all, &tensors).unwrap()), [Some(2), Some(5), Some(2)]);

    let error = dry(&l1_pruner(0.1).layer("c*", l1(0.5)), &tensors).unwrap_err();
    assert_eq!(error.to_string(), "pattern `c*` matches no tensor");
    let global = l1_pruner(0.1).layer("a*", l1(0.5)).scope(prune::checkpoint::Scope::Global);
    assert!(matches!(dry(&global, &tensors), Err(CheckpointError::LayersWithGlobalScope)));
    let ln = AnyMethod::new(LnStructured::new(1, 2, 0).unwrap());
    assert!(matches!(dry(&l1_pruner(0.1).layer("a*", ln), &tensors), Err(CheckpointError::MixedUnits)));
}

/// The entries that are pruned and were zero before, by value or by a mask.
#[test]
fn zeros_that_were_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let numbers = weights::<f32>(&[10, 10], 1).mapv(|x| if x == 0.0 { 1.0 } else { x });
    let input = write(&path("in.safetensors"), &[], &[Raw::of("a.weight", &numbers)]);
    let run =
        |pruner: &Pruner, from: &std::path::Path, to: &str| super::support::run(pruner, [from], &path(to)).unwrap();
    let first = run(&l1_pruner(0.5), &input, "half.safetensors");
    assert_eq!((first.pruned_before(), first.pruned_after()), (0, 50));
    let half = path("half.safetensors");
    let dry = l1_pruner(0.5).dry_run(&Checkpoint::open([&half]).unwrap(), &()).unwrap();
    let again = run(&l1_pruner(0.5), &half, "again.safetensors");
    assert_eq!((again.pruned_before(), again.pruned_after()), (50, 50));
    assert_eq!(dry.tensors, again.tensors);
    let more = run(&l1_pruner(0.6), &half, "more.safetensors");
    assert_eq!((more.pruned_before(), more.pruned_after()), (50, 60));
    let fewer = run(&l1_pruner(0.2), &half, "fewer.safetensors");
    assert_eq!((fewer.pruned_before(), fewer.pruned_after()), (20, 20));
}
