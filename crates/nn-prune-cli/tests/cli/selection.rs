//! Selections and amounts of `prune`: patterns, amounts by layer, recipes, and their reports.

use crate::{Folder, WEIGHTS, bytes_of, file_of, folder_with_model, numbers};

fn pruned(report: &serde_json::Value) -> Vec<(&str, u64)> {
    let tensors = report["tensors"].as_array().unwrap().iter();
    tensors.filter_map(|tensor| Some((tensor["name"].as_str()?, tensor["pruned"].as_u64()?))).collect()
}

/// A folder with a file of `F32` tensors of these names and shapes, without zeros.
fn folder_of(tensors: &[(&str, &[usize])]) -> Folder {
    let folder = Folder::new();
    let bytes = |(number, (_, shape)): (usize, &(&str, &[usize]))| {
        let entries = numbers(shape.iter().product(), number as u64 + 1);
        bytes_of(&entries.iter().map(|x| if *x == 0.0 { 1.0 } else { *x }).collect::<Vec<_>>())
    };
    let data: Vec<Vec<u8>> = tensors.iter().enumerate().map(bytes).collect();
    let tensors = tensors.iter().zip(&data).map(|((name, shape), data)| (*name, "F32", *shape, &data[..]));
    folder.write("model.safetensors", file_of(&tensors.collect::<Vec<_>>()));
    folder
}

const L1: &str = "prune model.safetensors --dry-run --json --method l1";

#[test]
fn include_restricts_and_only_replaces() {
    let folder = folder_with_model();
    let names = |options: &str| {
        let report = folder.run(&format!("{L1} -q --amount 1 {options}")).json();
        pruned(&report).into_iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(""), WEIGHTS);
    assert_eq!(names("--include *"), WEIGHTS);
    assert_eq!(names("--include *.0.* --include emb*"), WEIGHTS[..2]);
    assert_eq!(names("--only emb*"), ["embeddings.word_embeddings.weight"]);
    assert_eq!(names("--only *.bias --only *.1.*"), ["encoder.0.attention.bias", "encoder.1.weight"]);
    assert_eq!(names("--all").len(), 6);
    assert_eq!(names("--all --exclude *.weight"), ["encoder.0.attention.bias"]);
    for options in ["--all --include x", "--all --only x", "--only x --include x"] {
        folder.run(&format!("{L1} --amount 1 {options}")).fails(2, "error: the argument ");
    }
    let run = folder.run(&format!("{L1} --amount 1 --include emb*"));
    let hint =
        "  hint: --only GLOB prunes tensors by name, whatever they are; --all prunes every floating-point tensor\n";
    assert!(
        run.err.starts_with("error: nothing to prune: 0 of 6 tensors selected (5: not included; 1: an embedding)\n")
    );
    assert!(run.err.ends_with(hint), "{}", run.err);
}

/// One command serves many models.
#[test]
fn an_exclusion_without_a_match_is_a_warning() {
    let folder = folder_with_model();
    let run = folder.run(&format!("{L1} --amount 1 --exclude decoder.* --exclude *.1.*"));
    assert_eq!((run.code, run.err.as_str()), (Some(0), "warning: --exclude `decoder.*` matches no tensor\n"));
    let report: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(report["unmatched"], serde_json::json!(["decoder.*"]));
    assert!(!folder.run(&format!("{L1} -q --amount 1 --exclude decoder.*")).ok().is_empty());
}

#[test]
fn reasons_are_codes_with_data() {
    let folder = folder_with_model();
    let report = folder.run(&format!("{L1} --amount 1 --exclude *.1.*")).json();
    let reasons: Vec<_> = report["tensors"].as_array().unwrap().iter().map(|tensor| &tensor["reason"]).collect();
    let reason = |code: &str, detail: Option<&str>| serde_json::json!({ "code": code, "detail": detail });
    assert_eq!(reasons[0], &reason("embedding", Some("embeddings")));
    assert!(reasons[1].is_null());
    assert_eq!(reasons[2], &reason("vector", None));
    assert_eq!(reasons[4], &reason("norm", Some("norm")));
    assert_eq!(reasons[5], &reason("excluded", Some("*.1.*")));
    // `inspect` says why `prune` would skip a tensor.
    let inspected = folder.run("inspect model.safetensors --json --exclude *.1.*").json();
    let tensors = inspected["tensors"].as_array().unwrap();
    assert_eq!(tensors.iter().map(|tensor| &tensor["reason"]).collect::<Vec<_>>(), reasons);
}

/// `50%`, `5e-1` and `0.5` are one amount; `50` is a count, and doubtful for many tensors.
#[test]
fn ways_to_write_an_amount() {
    let folder = folder_with_model();
    let half = folder.run(&format!("{L1} --amount 0.5")).json();
    for amount in ["50%", "5e-1", ".5"] {
        assert_eq!(folder.run(&format!("{L1} --amount {amount}")).json(), half, "{amount}");
    }
    folder
        .run(&format!("{L1} --amount 0,5"))
        .fails(2, "error: invalid value '0,5' for '--amount <[PATTERN=]AMOUNT>': write `0.5`, with a decimal point\n");
    let names: Vec<String> = (0..4).map(|number| format!("layers.{number}.weight")).collect();
    let tensors: Vec<(&str, &[usize])> = names.iter().map(|name| (name.as_str(), &[10, 10][..])).collect();
    let folder = folder_of(&tensors);
    let run = folder.run(&format!("{L1} --amount 50"));
    let warning = "warning: --amount 50 prunes 50 entries of each of 4 tensors; for a share write 0.5 or 50%\n";
    assert_eq!((run.code, run.err.as_str()), (Some(0), warning));
    for quiet in ["--amount 50 --scope global", "--amount 50 --include layers.[12].*", "--amount 0.5"] {
        folder.run(&format!("{L1} {quiet}")).ok();
    }
}

/// The first pattern that matches has the amount of a tensor.
#[test]
fn amounts_by_layer() {
    let folder = folder_of(&[("a.0.weight", &[10, 10]), ("a.1.weight", &[10, 10]), ("b.weight", &[10, 10])]);
    let report = folder.run(&format!("{L1} --amount a.1*=70% --amount a*=0.2 --amount 5")).json();
    assert_eq!(pruned(&report), [("a.0.weight", 20), ("a.1.weight", 70), ("b.weight", 5)]);
    let report = folder.run(&format!("{L1} --amount a.1*=70%")).json();
    assert_eq!(pruned(&report), [("a.1.weight", 70)]);
    assert_eq!(report["tensors"][2]["skipped"], "no amount for it");
    folder.run(&format!("{L1} --amount c*=0.5")).fails(1, "error: pattern `c*` matches no tensor\n");
    folder.run(&format!("{L1} --amount 0.5 --amount 0.6")).fails(2, "error: one amount for all tensors is enough");
    let global = format!("{L1} --amount 0.5 --amount a*=0.6 --scope global");
    folder.run(&global).fails(1, "error: amounts for single tensors do not apply to global scope\n  hint: ");
}

/// The sparsity in the end, zeros that are there included.
#[test]
fn a_sparsity_to_reach() {
    let folder = folder_of(&[("a.weight", &[10, 10])]);
    folder.run("prune model.safetensors -o half.safetensors -q --method l1 --amount 0.5").ok();
    folder.run("prune model.safetensors -o pair.safetensors -q --method l1 --amount 0.5 --format pytorch").ok();
    for input in ["half.safetensors", "pair.safetensors"] {
        for (sparsity, expected) in [("0.8", 80), ("80%", 80), ("0.5", 50)] {
            let report =
                folder.run(&format!("prune {input} --dry-run --json --method l1 --sparsity {sparsity}")).json();
            assert_eq!(
                (&report["pruned"], &report["pruned_before"]),
                (&expected.into(), &50.into()),
                "{input} {sparsity}"
            );
        }
    }
    let random = "prune model.safetensors --dry-run --method random --sparsity 0.5";
    folder.run(random).fails(2, "error: --sparsity does not apply to --method random");
}

#[test]
fn a_second_pruning_by_the_same_share() {
    let folder = folder_of(&[("a.weight", &[10, 10])]);
    folder.run("prune model.safetensors -o half.safetensors -q --method l1 --amount 0.5").ok();
    let again = folder.run("prune half.safetensors -o again.safetensors --method l1 --amount 0.5").ok();
    assert!(
        again.contains("(50.00 %), 50 of them zero before this run\n           Nothing new was pruned: "),
        "{again}"
    );
    assert!(again.contains("--format pytorch"));
    assert_eq!(folder.read("again.safetensors"), folder.read("half.safetensors"));
    // Without an amount, a larger one is no way on.
    folder.run("masks half.safetensors -o masks -q --zeros").ok();
    let same = folder.run("prune half.safetensors --dry-run --method mask --mask masks").ok();
    assert!(same.contains("Nothing new was pruned: these entries were zero already.\nskipped:"), "{same}");
    let more = folder.run("prune half.safetensors -o more.safetensors --method l1 --amount 0.6").ok();
    assert!(more.contains(", 50 of them zero before this run\n") && !more.contains("Nothing new"), "{more}");
}

/// A recipe holds the options that decide what is pruned, and gives the same bytes.
#[test]
fn recipes() {
    let folder = folder_with_model();
    let options = "--method l1 --amount *attention*=30% --amount 60% --exclude *.1.* --ties torch";
    for (name, number) in [("recipe.toml", 1), ("recipe.json", 2)] {
        folder.run(&format!("prune model.safetensors -o a{number} -q {options} --save-recipe {name}")).ok();
        folder.run(&format!("prune model.safetensors -o b{number} -q --recipe {name}")).ok();
        assert_eq!(folder.read(&format!("a{number}")), folder.read(&format!("b{number}")));
    }
    let toml = String::from_utf8(folder.read("recipe.toml")).unwrap();
    let expected =
        "method = \"l1\"\namount = [\"*attention*=30%\", \"60%\"]\nties = \"torch\"\nexclude = [\"*.1.*\"]\n";
    assert_eq!(toml, expected);

    folder.write("short.toml", "method = \"ln\"\namount = 2\nnorm = \"inf\"\ndim = 1");
    let report = folder.run("prune model.safetensors --dry-run --json --recipe short.toml").json();
    assert_eq!((&report["unit"], &report["asked"]), (&"channels".into(), &6.into()));
    for (text, cause) in [
        ("method = \"l1\"\namuont = 0.5", "unknown field `amuont`"),
        ("method = \"l7\"", "no method is named `l7`"),
        ("amount = 0.5", "it names no method"),
        ("method = \"l1\"\nsparsity = 2.5", "amount 2.5 is not a fraction"),
        ("method", ""),
    ] {
        folder.write("bad.toml", text);
        let message = format!("error: `bad.toml` is not a valid recipe\n  caused by: {cause}");
        folder.run("prune model.safetensors --dry-run --recipe bad.toml").fails(1, &message);
    }
    let both = "prune model.safetensors --dry-run --recipe recipe.toml";
    for option in [
        "--method l1",
        "--amount 1",
        "--sparsity 0.5",
        "--scope global",
        "--dim 0",
        "--norm 2",
        "--ties torch",
        "--seed 1",
        "--mask m",
        "--include *",
        "--exclude x",
        "--only *",
        "--all",
    ] {
        folder.run(&format!("{both} {option}")).fails(2, "error: the argument ");
    }
    folder.run("prune model.safetensors --dry-run --recipe none").fails(1, "error: cannot read recipe `none`\n");
}

/// PyTorch's choice among equals, as in memory.
#[test]
fn ties_as_pytorch_breaks_them() {
    let folder = Folder::new();
    let entries: Vec<f32> = (0..600).map(|i| [0.5, -0.25, 0.25, 1.0][i * 7 % 4]).collect();
    folder.write("model.safetensors", file_of(&[("a.weight", "F32", &[20, 30], &bytes_of(&entries))]));
    let array = ndarray::Array2::from_shape_vec((20, 30), entries).unwrap();
    let mut masks = Vec::new();
    for (flag, tie_break) in [("lowest-index", prune::TieBreak::LowestIndex), ("torch", prune::TieBreak::PyTorch)] {
        let mut parameter = prune::Parameter::new(array.clone());
        parameter.prune(prune::L1Unstructured::new(100).unwrap().tie_break(tie_break)).unwrap();
        let options = "-q --force --method l1 --amount 100 --format masks";
        folder.run(&format!("prune model.safetensors -o masks --ties {flag} {options}")).ok();
        let found = prune::safetensors::load_masks(folder.path("masks")).unwrap();
        assert_eq!(Some(&found[0].1), parameter.mask(), "{flag}");
        masks.push(found[0].1.clone());
    }
    assert_ne!(masks[0], masks[1]);
    let global = "prune model.safetensors --dry-run --method l1 --amount 100 --ties torch --scope global";
    folder.run(global).fails(1, "error: method L1Unstructured cannot prune files: global scope of TieBreak::PyTorch");
}

/// Without `--dim`, channels are those of each layer's output, and the last layer is left out.
#[test]
fn channels_of_each_layer() {
    let tensors: [(&str, &[usize]); 5] = [
        ("h.0.c_fc.weight", &[4, 8]),
        ("h.0.c_fc.bias", &[8]),
        ("h.0.q.weight", &[6, 4]),
        ("h.0.v.weight", &[6, 4]),
        ("head.weight", &[3, 4]),
    ];
    let folder = folder_of(&tensors);
    let run =
        |options: &str| folder.run(&format!("prune model.safetensors --dry-run --method ln --amount 2 {options}"));
    let report = run("--json").json();
    assert_eq!(pruned(&report), [("h.0.c_fc.weight", 8), ("h.0.q.weight", 8), ("h.0.v.weight", 8)]);
    assert_eq!((&report["tensors"][0]["axis"], &report["tensors"][2]["axis"]), (&1.into(), &0.into()));
    assert_eq!(report["tensors"][4]["reason"]["code"], "last_layer");
    let text = run("").ok();
    assert!(text.contains("channels:  1 tensor along axis 1: the bias has one entry per channel of it\n"), "{text}");
    assert!(text.contains("channels:  2 tensors along axis 0: output channels come first\n"), "{text}");
    let report = run("--json --dim 0").json();
    assert_eq!(pruned(&report)[0], ("h.0.c_fc.weight", 16));
    assert_eq!(pruned(&run("--json --include head*").json()), [("head.weight", 8)]);
}

#[test]
fn quantised_models_and_weight_norms() {
    let folder = Folder::new();
    let scale = bytes_of(&[1.0; 8]);
    let tensors: [(&str, &str, &[usize], &[u8]); 2] =
        [("a.weight", "F8_E4M3", &[4, 4], &[1; 16]), ("a.weight_scale", "F32", &[4, 2], &scale)];
    folder.write("fp8", file_of(&tensors));
    let run = folder.run("prune fp8 --dry-run --method l1 --amount 0.5");
    let expected = "error: nothing to prune: 0 of 2 tensors selected (1: not F32, F64, F16 or BF16; 1: part of a quantised weight)\n  \
                    hint: the model is quantised; prune it before it is quantised\n";
    assert_eq!((run.code, run.err.as_str()), (Some(1), expected));
    let run = folder.run("prune fp8 --dry-run --method l1 --amount 0.5 --include a.weight");
    assert!(run.err.starts_with("error: F8_E4M3 cannot be pruned: "), "{}", run.err);

    let folder = folder_of(&[("c.weight_g", &[8, 1, 1]), ("c.weight_v", &[8, 4, 3]), ("d.weight", &[8, 4])]);
    let run = folder.run("prune model.safetensors --dry-run --method ln --amount 1");
    assert!(run.err.starts_with("error: cannot prune channels of `c.weight_v`, the direction of a weight norm"));
    assert!(run.err.contains("  hint: remove the weight norm before saving"), "{}", run.err);
}
