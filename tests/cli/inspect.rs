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
    // Six bits in one byte and three numbers; three columns, three offsets and three numbers.
    assert_eq!(
        (&tensors[0]["dense"], &tensors[0]["bitmask"], &tensors[0]["csr"]),
        (&24.into(), &13.into(), &36.into())
    );
    assert_eq!((&tensors[1]["dense"], &tensors[1]["bitmask"], &tensors[1]["csr"]), (&16.into(), &5.into(), &20.into()));
    let total = &report["total"];
    assert_eq!((&total["weights"], &total["zeros"], &total["bytes"]), (&14.into(), &7.into(), &60.into()));
    assert_eq!(report["by_dtype"].as_array().unwrap().len(), 2);

    let printed = folder.run("inspect in").ok();
    let lines: Vec<String> =
        printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines[2..5],
        [
            "a.weight F32 [2, 3] 6 3 50.00 % no mask",
            "b.weight F32 [2, 2] 4 3 75.00 % 2 by its mask",
            "c.ids U8 [4] 4 1 25.00 % no mask",
        ]
    );
    assert!(printed.contains("zeros do not shrink a file") && !printed.contains("ratio"), "{printed}");
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

#[test]
fn a_picture() {
    let folder = folder_with_model();
    folder.run("prune model.safetensors -o half --method l1 --amount 0.5").ok();
    folder.run("inspect half -q --plot half.svg").ok();
    let svg = String::from_utf8(folder.read("half.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for text in ["encoder.0.conv.weight", "50.00 %", "50.79 %", "thresholds: ", "3 layers with 1 % of zeros"] {
        assert!(svg.contains(text), "{text}");
    }
    let message = "error: plot: expected nothing to be there, found `half.svg`";
    folder.run("inspect half --plot half.svg").fails(1, message);
    let message = "error: plot: expected a path that is not part of the input, found `half`";
    folder.run("inspect half --plot half --force").fails(1, message);
    folder.run("inspect model.safetensors -q --plot half.svg --force").ok();
    let svg = String::from_utf8(folder.read("half.svg")).unwrap();
    assert!(!svg.contains("threshold"));
    assert_eq!(folder.files(), ["half", "half.svg", "model.safetensors"]);
}

#[test]
fn a_picture_of_nothing() {
    let folder = Folder::new();
    folder.write("in", file_of(&[]));
    folder.run("inspect in --plot out.svg").ok();
    folder.write("in", file_of(&[("w", "F32", &[1, 2], &[0; 8]), ("v", "F32", &[0, 2], &[])]));
    folder.run("inspect in --plot out.svg --force").ok();
    let strange = [f32::NAN, f32::INFINITY, f32::MAX, f32::from_bits(1), -0.0, 0.0];
    folder.write("in", file_of(&[("<&\">\u{1b}", "F32", &[2, 3], &bytes_of(&strange))]));
    folder.run("inspect in --plot out.svg --force").ok();
    let svg = String::from_utf8(folder.read("out.svg")).unwrap();
    assert!(svg.contains("&lt;&amp;") && !svg.contains('\u{1b}'));
}
