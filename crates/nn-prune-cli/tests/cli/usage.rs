//! Invalid command lines, which fail before any file is opened: exit code 2.

use crate::{Folder, folder_with_model};

#[test]
fn options_that_do_not_belong_to_the_method() {
    let folder = folder_with_model();
    for (method, option, takes) in [
        ("l1", "--seed 1", "--allocation, --amount, --max-sparsity, --min-sparsity, --scope, --sparsity, --ties"),
        ("l1", "--dim 0", "--allocation, --amount, --max-sparsity, --min-sparsity, --scope, --sparsity, --ties"),
        ("l1", "--norm 2", "--allocation, --amount, --max-sparsity, --min-sparsity, --scope, --sparsity, --ties"),
        ("l1", "--mask m", "--allocation, --amount, --max-sparsity, --min-sparsity, --scope, --sparsity, --ties"),
        ("random", "--dim 0", "--allocation, --amount, --max-sparsity, --min-sparsity, --scope, --seed"),
        ("random", "--norm 2", "--allocation, --amount, --max-sparsity, --min-sparsity, --scope, --seed"),
        ("random", "--ties torch", "--allocation, --amount, --max-sparsity, --min-sparsity, --scope, --seed"),
        ("ln", "--scope global", "--amount, --dim, --norm, --sparsity, --ties"),
        ("ln", "--seed 1", "--amount, --dim, --norm, --sparsity, --ties"),
        ("random-structured", "--scope tensor", "--amount, --dim, --seed"),
        ("random-structured", "--norm 2", "--amount, --dim, --seed"),
        ("mask", "--seed 1", "--mask"),
    ] {
        let amount = if method == "mask" { "--mask m" } else { "--amount 0.5" };
        let run = folder.run(&format!("prune model.safetensors -o out --method {method} {amount} {option}"));
        let option = option.split(' ').next().unwrap();
        run.fails(2, &format!("error: {option} does not apply to --method {method}, which takes {takes}\n"));
    }
    let run = folder.run("prune model.safetensors -o out --method mask --mask m --amount 0.5");
    run.fails(2, "error: --amount does not apply to --method mask, which takes --mask\n");
    assert_eq!(folder.files(), ["model.safetensors"]);
}

#[test]
fn options_that_are_missing_or_wrong() {
    let folder = folder_with_model();
    for (arguments, message) in [
        ("", "Prune neural network checkpoints"),
        ("shrink", "error: unrecognized subcommand 'shrink'"),
        ("prune", "error: the following required arguments were not provided:"),
        ("prune model.safetensors --method l1 --amount 0.5", "error: the following required arguments"),
        ("prune model.safetensors -o out --amount 0.5", "error: the following required arguments"),
        ("prune model.safetensors -o out --method l1", "error: --method l1 needs --amount AMOUNT"),
        ("prune model.safetensors -o out --method mask", "error: --method mask needs --mask FILE"),
        ("prune model.safetensors -o out --method magnitude --amount 1", "error: invalid value 'magnitude' for"),
        ("prune model.safetensors -o out --method l1 --amount 1.5", "error: invalid value '1.5' for '--amount"),
        ("prune model.safetensors -o out --method l1 --amount -1", "error: invalid value '-1' for '--amount"),
        ("prune model.safetensors -o out --method l1 --amount nan", "error: invalid value 'nan' for '--amount"),
        ("prune model.safetensors -o out --method l1 --amount 150%", "error: invalid value '150%' for '--amount"),
        ("prune model.safetensors -o out --method ln --amount 1 --norm l2", "error: invalid value 'l2' for '--norm"),
        (
            "prune model.safetensors -o out --method random --amount 1 --seed -1",
            "error: invalid value '-1' for '--seed",
        ),
        (
            "prune model.safetensors -o out --method l1 --amount 1 --include [",
            "error: `[` is not a valid glob pattern\n",
        ),
        (
            "prune model.safetensors model.safetensors -o out --method l1 --amount 1",
            "error: shards `model.safetensors` and `model.safetensors` have the same file name\n",
        ),
        ("prune a.json b.json -o out --method l1 --amount 1", "error: index `a.json` must be the only input path\n"),
        (
            "inspect model.safetensors --plot x.png",
            "error: invalid value 'x.png' for '--plot <OUT.svg>': the plot is an",
        ),
        (
            "inspect model.safetensors --plot -",
            "error: invalid value '-' for '--plot <OUT.svg>': the plot is an SVG pict",
        ),
        (
            "inspect model.safetensors --plot svg",
            "error: invalid value 'svg' for '--plot <OUT.svg>': the plot is an SVG",
        ),
        ("inspect model.safetensors --summary --json", "error: the argument '--summary' cannot be used with '--json'"),
        ("inspect model.safetensors --full --json", "error: the argument '--full' cannot be used with '--json'"),
        ("inspect model.safetensors --full -q", "error: the argument '--full' cannot be used with '--quiet'"),
        ("diff a b --full --summary", "error: the argument '--full' cannot be used with '--summary'"),
        ("inspect model.safetensors --force", "error: the following required arguments"),
        ("masks model.safetensors -o out --include *", "error: --include, --exclude, --only and --all need --zeros"),
        ("diff model.safetensors", "error: the following required arguments"),
        ("completions tcsh", "error: invalid value 'tcsh'"),
    ] {
        folder.run(arguments).fails(2, message);
    }
    assert_eq!(folder.files(), ["model.safetensors"]);
}

#[test]
fn help_and_completions() {
    let folder = Folder::new();
    let help = folder.run("--help").ok();
    for word in ["prune", "inspect", "remove", "masks", "diff", "completions", "Examples:", "Exit codes:"] {
        assert!(help.contains(word), "{word}");
    }
    let help = folder.run("prune --help").ok();
    for word in ["a fraction (0.5, 50%)", "Pruned weights are stored as zeros", "--method ln --amount 10"] {
        assert!(help.contains(word), "{word}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(folder.run(&format!("completions {shell}")).ok().contains("nn-prune"), "{shell}");
    }
    assert!(folder.run("--version").ok().starts_with("nn-prune "));
}
