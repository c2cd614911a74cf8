//! `nn-prune diff`: exit code 0 for equal checkpoints, 3 for different ones.

use crate::{Folder, bytes_of, file_of, folder_with_model, write_shards};

#[test]
fn the_same_model_in_other_files() {
    let folder = folder_with_model();
    write_shards(&folder.path("in"));
    let printed = folder.run("diff model.safetensors in").ok();
    assert_eq!(printed, "6 tensors equal, 0 different, 0 only in A, 0 only in B\n");
    let report = folder.run("diff model.safetensors in --json").json();
    assert_eq!((&report["equal"], &report["zeros"]), (&true.into(), &"equal".into()));
}

#[test]
fn what_became_zero() {
    let folder = folder_with_model();
    folder.run("prune model.safetensors -o half --method l1 --amount 0.5").ok();
    folder.run("prune model.safetensors -o most --method l1 --amount 0.8").ok();
    let diff = |a: &str, b: &str| {
        let run = folder.run(&format!("diff {a} {b} --json"));
        assert_eq!((run.code, run.err.as_str()), (Some(3), ""));
        serde_json::from_str::<serde_json::Value>(&run.out).unwrap()
    };
    let report = diff("model.safetensors", "half");
    let conv = report["common"].as_array().unwrap().iter().find(|tensor| tensor["name"] == "encoder.0.conv.weight");
    let entries = &conv.unwrap()["entries"];
    assert_eq!(entries["entries"], 60);
    assert!(entries["became_zero"].as_u64().unwrap() + entries["zero_in_both"].as_u64().unwrap() >= 30);
    assert_eq!(diff("half", "most")["zeros"], "a_in_b");
    assert_eq!(diff("most", "half")["zeros"], "b_in_a");

    let run = folder.run("diff half most");
    assert_eq!(run.code, Some(3));
    let last: Vec<&str> = run.out.lines().rev().take(2).collect();
    assert_eq!(last[1], "3 tensors equal, 3 different, 0 only in A, 0 only in B");
    assert_eq!(last[0], "zeros of all tensors: B includes A's");
}

/// The zeros of all tensors are compared if at least one side has any.
#[test]
fn zeros_on_one_side_only() {
    let folder = Folder::new();
    for (name, numbers) in [("none", [1.0, 2.0]), ("first", [0.0, 2.0]), ("second", [1.0, 0.0]), ("less", [3.0, 2.0])] {
        folder.write(name, file_of(&[("w", "F32", &[2], &bytes_of(&numbers))]));
    }
    folder.write("other", file_of(&[("w", "F32", &[2], &bytes_of(&[0.0, 5.0]))]));
    for (a, b, expected) in [
        ("none", "less", None),
        ("none", "first", Some("B includes A's")),
        ("first", "none", Some("A includes B's")),
        ("first", "other", Some("equal")),
        ("first", "second", Some("neither includes the other's")),
    ] {
        let run = folder.run(&format!("diff {a} {b}"));
        assert_eq!(run.code, Some(3));
        let last = run.out.lines().next_back().unwrap();
        assert_eq!(last.strip_prefix("zeros of all tensors: "), expected, "{a} and {b}");
        let json: serde_json::Value = serde_json::from_str(&folder.run(&format!("diff {a} {b} --json")).out).unwrap();
        let word = match expected {
            Some("B includes A's") => "a_in_b",
            Some("A includes B's") => "b_in_a",
            Some("neither includes the other's") => "neither",
            _ => "equal",
        };
        assert_eq!((&json["zeros"], &json["equal"]), (&word.into(), &false.into()));
    }
}

#[test]
fn other_tensors() {
    let folder = Folder::new();
    let two = bytes_of(&[0.0, 1.0]);
    folder.write("a", file_of(&[("both", "F32", &[2], &two), ("one", "F32", &[2], &two), ("w", "F32", &[2], &two)]));
    folder.write(
        "b",
        file_of(&[
            ("both", "F32", &[1, 2], &two),
            ("two", "F32", &[2], &two),
            ("w", "F32", &[2], &bytes_of(&[1.0, 0.0])),
        ]),
    );
    let run = folder.run("diff a b");
    assert_eq!(run.code, Some(3));
    let lines: Vec<String> =
        run.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines[2..],
        [
            "both F32 [2] F32 [1, 2] ? ? ? ?",
            "w F32 [2] F32 [2] 2 1 1 neither includes the other's",
            "",
            "only in A: one",
            "only in B: two",
            "0 tensors equal, 2 different, 1 only in A, 1 only in B",
            "zeros of all tensors: neither includes the other's",
        ]
    );
}
