//! `nn-prune inspect`.

use crate::{Folder, bytes_of, file_of, folder_with_model, write_shards};

#[test]
fn counts_by_tensor_and_by_dtype() {
    let folder = Folder::new();
    let mask = bytes_of(&[1.0, 0.0, 0.0, 1.0]);
    folder.write(
        "in",
        file_of(&[
            ("a.weight", "F32", &[2, 3], &bytes_of(&[1.0, 0.0, -0.0, 2.0, 0.0, 3.0])),
            ("b.weight_orig", "F32", &[2, 2], &bytes_of(&[1.0, 2.0, 3.0, 0.0])),
            ("b.weight_mask", "F32", &[2, 2], &mask),
            ("c.ids", "U8", &[4], &[0, 1, 2, 3]),
        ]),
    );
    let report = folder.run("inspect in --json").json();
    let tensors = report["tensors"].as_array().unwrap();
    let row = |number: usize| {
        let tensor = &tensors[number];
        (
            tensor["name"].as_str().unwrap(),
            tensor["zeros"].as_u64(),
            tensor["masked"].as_u64(),
            tensor["bytes"].as_u64(),
        )
    };
    assert_eq!(row(0), ("a.weight", Some(3), None, Some(24)));
    assert_eq!(row(1), ("b.weight", Some(3), Some(2), Some(32)));
    assert_eq!(row(2), ("c.ids", Some(1), None, Some(4)));
    // Bit mask: six bits in one byte, and three entries. CSR: three entries, three column indices and three offsets.
    assert_eq!(
        (&tensors[0]["dense"], &tensors[0]["bitmask"], &tensors[0]["csr"]),
        (&24.into(), &13.into(), &36.into())
    );
    assert_eq!((&tensors[1]["dense"], &tensors[1]["bitmask"], &tensors[1]["csr"]), (&16.into(), &5.into(), &20.into()));
    let total = &report["total"];
    assert_eq!((&total["weights"], &total["zeros"], &total["bytes"]), (&14.into(), &7.into(), &60.into()));
    let totals = |dtype: &str, [tensors, entries, zeros, bytes, dense, bitmask, csr, smallest]: [u64; 8]| {
        serde_json::json!({
            "dtype": dtype, "tensors": tensors, "weights": entries, "zeros": zeros, "bytes": bytes,
            "dense": dense, "bitmask": bitmask, "csr": csr, "smallest": smallest,
        })
    };
    // A vector is one row: three column indices, two offsets and three bytes.
    let (f32, u8) = ([2, 10, 6, 56, 40, 18, 56, 18], [1, 4, 1, 4, 4, 4, 23, 4]);
    let all = std::array::from_fn(|i| f32[i] + u8[i]);
    assert_eq!(report["by_dtype"], serde_json::json!([totals("F32", f32), totals("U8", u8)]));
    assert_eq!(*total, totals("all", all));
    assert_eq!(report["selected"], totals("selected", f32));
    let skipped = |number: usize| tensors[number]["skipped"].as_str();
    assert_eq!([skipped(0), skipped(1), skipped(2)], [None, None, Some("not F32, F64, F16 or BF16")]);

    let printed = folder.run("inspect in").ok();
    let lines: Vec<String> =
        printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines[2..5],
        [
            "a.weight F32 [2, 3] 6 3 50.00 % no mask",
            "b.weight F32 [2, 2] 4 3 75.00 % 2",
            "c.ids U8 [4] 4 1 25.00 % no mask",
        ]
    );
    assert_eq!(
        lines[8..12],
        [
            "F32 2 10 6 60.00 % 56 B 40 B 18 B 56 B 18 B",
            "U8 1 4 1 25.00 % 4 B 4 B 4 B 23 B 4 B",
            "all 3 14 7 50.00 % 60 B 44 B 22 B 79 B 22 B",
            "prunable 2 10 6 60.00 % 56 B 40 B 18 B 56 B 18 B",
        ]
    );
    assert!(printed.contains("8 bytes more per row") && !printed.contains("ratio"), "{printed}");
}

#[test]
fn shards_and_folders() {
    let folder = folder_with_model();
    write_shards(&folder.path("in"));
    let one = folder.run("inspect model.safetensors --json").json();
    for input in ["in", "in/model.safetensors.index.json"] {
        let many = folder.run(&format!("inspect {input} --json")).json();
        assert_eq!(many["shards"].as_array().unwrap().len(), 2);
        assert_eq!(many["total"], one["total"]);
    }
}

/// There is no table without rows.
#[test]
fn nothing_to_list() {
    let folder = folder_with_model();
    folder.write("empty", crate::file_of(&[]));
    assert!(folder.run("inspect empty").ok().starts_with("dtype "));
    assert!(folder.run("inspect model.safetensors --exclude *").ok().starts_with("not listed because "));
}

/// The patterns select what they select for `prune`. The other tensors are one row per reason, and JSON has them all.
#[test]
fn patterns() {
    let folder = folder_with_model();
    let include = "inspect model.safetensors --include *.conv.* --include encoder.1.*";
    let lines = |printed: String| -> Vec<String> {
        printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    let found = lines(folder.run(include).ok());
    let rows =
        ["encoder.0.conv.weight F32 [4, 3, 5] 60 0 0.00 % no mask", "encoder.1.weight F32 [7, 9] 63 0 0.00 % no mask"];
    assert_eq!(found[2..4], rows);
    assert_eq!(found[5], "not listed because tensors entries such as");
    assert_eq!(found[7..9], ["not included 4 150 embeddings.word_embeddings.weight", ""]);
    let totals = [
        "F32 6 273 0 0.00 % 1.07 KiB 1.07 KiB 1.10 KiB 2.29 KiB 1.07 KiB",
        "selected 2 123 0 0.00 % 492 B 492 B 508 B 1.01 KiB 492 B",
    ];
    assert_eq!(found[11..13], totals);
    let report = folder.run(&format!("{include} --json")).json();
    let tensors = report["tensors"].as_array().unwrap();
    assert_eq!((tensors.len(), &report["selected"]["tensors"], &report["total"]["tensors"]), (6, &2.into(), &6.into()));
    assert_eq!(tensors[0]["skipped"], "not included");

    let found = lines(folder.run("inspect model.safetensors --exclude *.conv.*").ok());
    for line in ["excluded by `*.conv.*` 1 60 encoder.0.conv.weight", "a vector 1 12 encoder.0.attention.bias"] {
        assert!(found.iter().any(|found| found == line), "{found:?}");
    }
    folder.run("inspect model.safetensors --include nobody").fails(1, "error: pattern `nobody` matches no");
    // The plot shows the same tensors.
    folder.run(&format!("{include} -q --plot out.svg")).ok();
    let picture = String::from_utf8(folder.read("out.svg")).unwrap();
    assert!(picture.contains("encoder.1.weight") && !picture.contains("encoder.0.attention.weight"));
}
