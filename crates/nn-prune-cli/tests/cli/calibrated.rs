//! Pruning with statistics: the same masks and weights as in memory, errors, recipes, and `nn-prune statistics`.

use std::sync::Arc;

use prune::calibration::{Admm, LeastSquares, Moments, Pattern, Ria, SparseGpt, Statistics, Swaps, Wanda};
use prune::{AnyMethod, Parameter, ParameterStore, Reconstruct};
use serde_json::Value;

use crate::{Folder, Run, WEIGHTS, folder_with_model, model, program, tensor};

/// The number of inputs of each weight of the model.
const CHANNELS: [usize; 3] = [6, 15, 9];

fn moments(channels: usize, seed: u64) -> Moments {
    let mut moments = Moments::with_gram(channels);
    moments.push(tensor(&[40, channels], seed).view()).unwrap();
    moments
}

fn statistics(seed: u64) -> Statistics {
    let mut statistics = Statistics::new();
    for (weight, channels) in WEIGHTS.into_iter().zip(CHANNELS) {
        statistics.input(weight.trim_end_matches(".weight"), &[weight], moments(channels, seed));
    }
    statistics
}

/// A directory with the model, statistics `s` and statistics of other data `other`.
pub fn folder() -> Folder {
    let folder = folder_with_model();
    statistics(7).save(folder.path("s")).unwrap();
    statistics(8).save(folder.path("other")).unwrap();
    folder
}

fn load(folder: &Folder, name: &str) -> ParameterStore<f32> {
    prune::safetensors::load_file(folder.path(name)).unwrap().0
}

/// Runs a pruning and compares what it writes with the same in memory.
fn check<M>(options: &str, make: impl Fn(Arc<Moments>) -> M, prune: impl Fn(&mut Parameter<f32>, M))
where
    M: Clone,
{
    let folder = folder();
    folder.run(&format!("prune model.safetensors -o out.safetensors --statistics s {options}")).ok();
    folder.run(&format!("prune model.safetensors -o pt.safetensors --format pytorch --statistics s {options}")).ok();
    let (out, pytorch) = (load(&folder, "out.safetensors"), load(&folder, "pt.safetensors"));
    for (name, parameter) in model().iter() {
        let mut expected = parameter.clone();
        if let Some(number) = WEIGHTS.iter().position(|weight| weight == &name) {
            let method = make(Arc::new(moments(CHANNELS[number], 7)));
            prune(&mut expected, method);
            assert_eq!(pytorch[name].mask(), expected.mask(), "{options} {name}");
        }
        assert_eq!(out[name].value(), expected.value(), "{options} {name}");
        assert_eq!(pytorch[name].value(), expected.value(), "{options} {name}");
        assert_eq!(pytorch[name].orig(), expected.orig(), "{options} {name}");
    }
}

fn masks(options: &str, make: impl Fn(Arc<Moments>) -> AnyMethod) {
    check(options, make, |parameter, method| parameter.prune(method).unwrap());
}

fn weights<M: Reconstruct<f32> + Clone + 'static>(options: &str, make: impl Fn(Arc<Moments>) -> M) {
    check(options, make, |parameter, method| drop(parameter.reconstruct(method).unwrap()));
}

#[test]
fn files_are_pruned_as_memory_is() {
    let wanda = |moments: &Arc<Moments>| Wanda::new(0.5, moments.clone()).unwrap();
    masks("--method wanda --amount 0.5", |moments| AnyMethod::new(wanda(&moments)));
    masks("--method ria --amount 0.5", |moments| AnyMethod::new(Ria::new(0.5, moments).unwrap()));
    masks("--method wanda --amount 0.5 --refine swaps:3", |moments| {
        AnyMethod::new(Swaps::new(wanda(&moments), moments).steps(3))
    });
    weights("--method wanda --amount 0.5 --refine swaps --update least-squares", |moments| {
        LeastSquares::after(Swaps::new(wanda(&moments), moments.clone()), moments)
    });
    weights("--method l1 --amount 0.5 --update least-squares --dampening 0.1", |moments| {
        LeastSquares::after(prune::L1Unstructured::new(0.5).unwrap(), moments).dampening(0.1)
    });
    weights("--method sparsegpt --amount 0.5 --block 4 --dampening 0.05 --dampening-of live", |moments| {
        let of = prune::calibration::DampeningOf::Live;
        SparseGpt::new(0.5, moments).unwrap().block(4).dampening(0.05).dampening_of(of)
    });
    weights("--method admm --sparsity 0.5", |moments| Admm::new(prune::Amount::sparsity(0.5), moments).unwrap());
}

#[test]
fn patterns() {
    let folder = folder();
    let only = "--only encoder.1.weight --only encoder.0.attention.weight";
    for method in ["wanda", "ria", "sparsegpt", "admm", "wanda --refine swaps"] {
        let options = format!("--statistics s --pattern 2:4 {only} --json");
        let report = folder.run(&format!("prune model.safetensors --dry-run --method {method} {options}")).json();
        // Of 6 and 9 columns: two of the first four are pruned, one of the two that are left, none of the one that is left.
        assert_eq!(report["pruned"], 12 * 3 + 7 * 4, "{method}");
    }
    let pattern: Pattern = "2:4".parse().unwrap();
    let mut expected = model()["encoder.1.weight"].clone();
    expected.prune(Wanda::new(pattern, moments(9, 7)).unwrap()).unwrap();
    folder.run(&format!("prune model.safetensors -o out --method wanda --statistics s --pattern 2:4 {only}")).ok();
    assert_eq!(load(&folder, "out")["encoder.1.weight"].value(), expected.value());
}

#[test]
fn errors_of_outputs_are_reported() {
    let folder = folder();
    let options = "--statistics s --check other --json";
    let report = |method: &str| -> Value {
        folder.run(&format!("prune model.safetensors --dry-run --method {method} --amount 0.5 {options}")).json()
    };
    for (method, dampens) in [("wanda", false), ("sparsegpt", true), ("l1", false)] {
        let report = report(method);
        let tensors = report["tensors"].as_array().unwrap();
        for tensor in tensors.iter().filter(|tensor| !tensor["pruned"].is_null()) {
            let error = |key: &str| tensor[key].as_f64().unwrap();
            assert!(error("error") > 0.0 && error("error") < 1.0, "{tensor}");
            assert!(error("error_check") > 0.0 && error("error_check") != error("error"), "{tensor}");
            assert_eq!((tensor["dead"].as_u64(), tensor["dampening"].is_f64()), (Some(0), dampens), "{tensor}");
        }
    }
    // The reported errors are those of the output.
    folder.run("prune model.safetensors -o out --method wanda --amount 0.5 --statistics s").ok();
    let (before, after) = (model(), load(&folder, "out"));
    let name = "encoder.1.weight";
    let error = prune::calibration::reconstruction_error(
        before[name].value().view(),
        after[name].value().view(),
        &moments(9, 8),
    );
    let wanda = report("wanda");
    let reported = wanda["tensors"].as_array().unwrap().iter().find(|tensor| tensor["name"] == name).unwrap();
    assert!((reported["error_check"].as_f64().unwrap() - error.unwrap()).abs() < 1e-12);
    let table =
        folder.run("prune model.safetensors --dry-run --method wanda --amount 0.5 --statistics s --check other").ok();
    assert!(table.lines().next().unwrap().contains("error_check"), "{table}");
}

#[test]
fn missing_statistics_are_listed() {
    let folder = folder_with_model();
    let mut some = Statistics::new();
    some.input("one", &[WEIGHTS[2]], moments(9, 7));
    some.input("two", &[WEIGHTS[1]], Moments::with_gram(15));
    some.save(folder.path("s")).unwrap();
    let message = "error: no statistics of `encoder.0.attention.weight`, `encoder.0.conv.weight`; there are some of `encoder.1.weight`\n";
    for method in ["wanda", "sparsegpt", "l1 --update least-squares"] {
        folder
            .run(&format!("prune model.safetensors -o out --method {method} --amount 0.5 --statistics s"))
            .fails(1, message);
    }
    assert!(!folder.path("out").exists());
    let excluded = "--exclude encoder.0.*";
    folder.run(&format!("prune model.safetensors -o out --method wanda --amount 0.5 --statistics s {excluded}")).ok();
    // The other data must be of all selected tensors, too.
    let check = "error: no statistics of";
    folder.run("prune model.safetensors --dry-run --method l1 --amount 0.5 --check s").fails(1, check);
}

#[test]
fn what_does_not_apply_is_refused() {
    let folder = folder();
    let prune = |options: &str| folder.run(&format!("prune model.safetensors -o out {options}"));
    let all = "--amount 0.5 --statistics s";
    prune("--method wanda --amount 0.5").fails(2, "error: --method wanda needs --statistics FILE");
    prune("--method wanda --statistics s").fails(2, "error: --method wanda needs --amount AMOUNT or --pattern N:M");
    prune(&format!("--method wanda {all} --scope global")).fails(2, "error: --scope does not apply to --method wanda");
    prune(&format!("--method wanda {all} --pattern 2:4")).fails(2, "error: --pattern says how much is pruned");
    prune(&format!("--method wanda {all} --dampening 0.1"))
        .fails(2, "error: --dampening does not apply to --method wanda");
    prune(&format!("--method ln {all} --update least-squares"))
        .fails(2, "error: --statistics does not apply to --method ln");
    prune("--method l1 --amount 0.5 --refine swaps").fails(2, "error: --refine needs --statistics FILE");
    prune(&format!("--method l1 {all} --scope global --update least-squares"))
        .fails(2, "error: --update is for tensors one by one");
    let masks = "--format masks --method sparsegpt";
    prune(&format!("{masks} {all}")).fails(1, "error: SparseGpt changes weights, which a file of masks cannot hold");
    prune("--method wanda --amount 0.5 --statistics none")
        .fails(1, "error: cannot use the statistics `none`\n  caused by: cannot read `none`");
    prune("--method wanda --amount 0.5 --statistics model.safetensors").fails(
        1,
        "error: cannot use the statistics `model.safetensors`\n  caused by: `model.safetensors` is not a valid statistics file",
    );
    prune(&format!("--method l1 {all}")).fails(2, "error: --statistics has no effect here: --refine and --update");
    prune("--method sparsegpt --amount 0.5 --statistics s --dampening -1").fails(
        1,
        "error: cannot prune tensor `encoder.0.attention.weight`\n  caused by: SparseGpt: dampening -1.0 is not",
    );
    for bad in ["--pattern 5:4", "--pattern 2", "--refine swap", "--block 0", "--block 4x"] {
        assert_eq!(prune(&format!("--method sparsegpt --statistics s {bad}")).code, Some(2), "{bad}");
    }
    assert_eq!(folder.files(), ["model.safetensors", "other", "s"]);
}

/// Two tokens for nine inputs, without dampening: the error names the tensor and a dampening that is enough.
#[test]
fn a_factorisation_that_fails_names_the_tensor() {
    let folder = folder_with_model();
    let mut few = Statistics::new();
    let mut moments = Moments::with_gram(9);
    moments.push(tensor(&[2, 9], 7).view()).unwrap();
    few.input("one", &[WEIGHTS[2]], moments);
    few.save(folder.path("s")).unwrap();
    let only = "--amount 0.5 --statistics s --only encoder.1.weight";
    let run = folder.run(&format!("prune model.safetensors -o out --method sparsegpt {only} --dampening 0"));
    assert_eq!(run.code, Some(1));
    let expected = "the Hessian of `encoder.1.weight` has rank 2 for 9 inputs and cannot be factored with dampening 0.0; dampening ";
    assert!(run.err.contains(expected), "{}", run.err);
    assert!(!folder.path("out").exists());
    folder.run(&format!("prune model.safetensors -o out --method sparsegpt {only}")).ok();
}

#[test]
fn recipes_have_the_statistics() {
    let folder = folder();
    let options = "--method wanda --pattern 2:4 --statistics s --refine swaps:9 --update least-squares --dampening 0.02 --only encoder.1.weight";
    for recipe in ["r.toml", "r.json"] {
        folder.run(&format!("prune model.safetensors -o a --force {options} --save-recipe {recipe}")).ok();
        folder.run(&format!("prune model.safetensors -o b --force --recipe {recipe}")).ok();
        assert_eq!(folder.read("a"), folder.read("b"));
    }
    let text = String::from_utf8(folder.read("r.toml")).unwrap();
    assert!(text.contains("statistics = \"s\"") && text.contains("refine = \"swaps:9\""), "{text}");
}

#[test]
fn statistics_are_inspected_and_merged() {
    let folder = folder();
    let table = folder.run("statistics inspect s --rank").ok();
    assert!(table.contains("encoder.0.conv") && table.ends_with("3 inputs of 3 weights\n"), "{table}");
    let report = folder.run("statistics inspect s --json --rank").json();
    let first = &report[0];
    assert_eq!(
        (first["channels"].as_u64(), first["tokens"].as_u64(), first["rank"].as_u64()),
        (Some(6), Some(40), Some(6))
    );
    assert_eq!((first["gram"].as_bool(), first["dead"].as_u64()), (Some(true), Some(0)));
    assert_eq!(first["weights"][0], WEIGHTS[0]);

    let table = folder.run("statistics inspect s --condition").ok();
    let condition = moments(6, 7).condition(0.01).unwrap().unwrap();
    assert!(table.contains("condition") && !table.contains("inf"), "{table}");
    let report = folder.run("statistics inspect s --condition --dampening 0.5 --json").json();
    let damped = report[0]["condition"].as_f64().unwrap();
    assert!(damped > 1.0 && damped < condition, "{damped} {condition}");
    folder.run("statistics inspect s --condition --dampening nan").fails(
        1,
        "error: cannot compute a condition\n  caused by: condition: dampening NaN is not a number of at least 0",
    );
    folder
        .run("statistics inspect s --dampening 0.5")
        .fails(2, "error: the following required arguments were not provided");

    let written = folder.run("statistics merge s other -o both").ok();
    assert_eq!(written, "wrote 3 inputs to both\n");
    let mut expected = moments(9, 7);
    expected.merge(&moments(9, 8)).unwrap();
    assert_eq!(Statistics::open(folder.path("both")).unwrap().moments(WEIGHTS[2]).unwrap(), Some(expected));
    folder.run("statistics merge s other -o both").fails(1, "error: output `both` exists\n  hint: --force replaces it");
    folder.run("statistics merge s other -o both --force").ok();
    folder.run("statistics merge s other -o s --force").fails(1, "error: output `s` would overwrite the input");
    folder
        .run("statistics merge s model.safetensors -o new")
        .fails(1, "error: cannot use the statistics `model.safetensors`");
    assert!(!folder.path("new").exists());
}

/// The share of all tensors together is that of the amount, and tensors with more outliers keep more.
#[test]
fn owl_gives_each_tensor_a_sparsity() {
    let folder = folder();
    let prune =
        |options: &str| folder.run(&format!("prune model.safetensors --dry-run --json --statistics s {options}"));
    let report = prune("--method wanda --amount 0.5 --allocation owl:2,0.1").json();
    let tensors = report["tensors"].as_array().unwrap();
    let pruned = tensors.iter().filter(|tensor| !tensor["pruned"].is_null());
    let shares: Vec<f64> =
        pruned.map(|tensor| tensor["pruned"].as_f64().unwrap() / tensor["entries"].as_f64().unwrap()).collect();
    assert!(shares.iter().any(|share| (share - shares[0]).abs() > 0.01), "{shares:?}");
    let share = report["pruned"].as_f64().unwrap() / (72.0 + 60.0 + 63.0);
    assert!((share - 0.5).abs() < 0.06, "{share}"); // rows of a few entries are rounded
    let same = prune("--method wanda --amount 0.5 --allocation owl:2,0").json();
    assert_eq!(same["pruned"], prune("--method wanda --amount 0.5").json()["pruned"]);
    for bad in ["--pattern 2:4", "--amount 3", "--amount encoder.*=0.5"] {
        let run = prune(&format!("--method wanda {bad} --allocation owl"));
        run.fails(2, "error: --allocation divides one share");
    }
    assert_eq!(prune("--method wanda --amount 0.5 --allocation owls").code, Some(2));
    assert_eq!(prune("--method wanda --amount 0.5 --allocation erk").code, Some(1));
    prune("--method wanda --amount 0.5 --allocation owl --max-sparsity 0.9")
        .fails(2, "error: --max-sparsity does not apply");
}

/// Files and errors are the same for any number of threads, for a tensor that is large enough for several.
#[test]
fn threads_change_nothing() {
    let folder = Folder::new();
    let layer = ParameterStore::from_iter([("fc.weight", tensor(&[300, 520], 1))]);
    prune::safetensors::save_file(&layer, folder.path("in")).unwrap();
    let mut moments = Moments::with_gram(520);
    moments.push(tensor(&[700, 520], 2).view()).unwrap();
    let mut statistics = Statistics::new();
    statistics.input("fc", &["fc.weight"], moments);
    statistics.save(folder.path("s")).unwrap();
    for method in ["sparsegpt", "admm", "ria --refine swaps:5", "wanda --update least-squares"] {
        let run = |threads: &str| {
            let command =
                format!("prune in -o out --force --json --method {method} --amount 0.5 --statistics s --check s");
            let mut program = program();
            program.env("RAYON_NUM_THREADS", threads).current_dir(folder.0.path());
            (Run::of(program.args(command.split_whitespace())).ok(), folder.read("out"))
        };
        assert!(run("1") == run("3"), "{method}");
    }
}
