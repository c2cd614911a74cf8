//! `--fold`: the constants of removed units are added to the biases of the next layer.

use super::{drop_layers, fixture, json_file, tensors};
use crate::Folder;

fn floats((_, data): &(Vec<usize>, Vec<u8>)) -> Vec<f64> {
    data.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()).into()).collect()
}

/// The biases of consumers after `--fold`, computed entry by entry.
#[test]
fn constants_are_folded() {
    use prune::compact::Activation;

    /// The constants of all positions of a consumer, of the biases of a layer.
    type Constants = fn(&dyn Fn(&str) -> Vec<f64>) -> Vec<f64>;
    let bert: Constants =
        |bias| bias("intermediate.dense.bias").into_iter().map(|x| Activation::Gelu.apply(x)).collect();
    let gpt2: Constants = |bias| bias("mlp.c_fc.bias").into_iter().map(|x| Activation::GeluTanh.apply(x)).collect();
    let gated: Constants = |bias| {
        let up = bias("mlp.up_proj.bias");
        bias("mlp.gate_proj.bias").into_iter().zip(up).map(|(gate, up)| Activation::Silu.apply(gate) * up).collect()
    };
    // Two query heads of two numbers share the values of a key/value head.
    let values: Constants = |bias| {
        let values = bias("self_attn.v_proj.bias");
        (0..16).map(|position| values[position / 4 * 2 + position % 2]).collect()
    };
    let heads: Constants = |bias| bias("attention.attention.value.bias");
    for (case, part, block, prefix, consumer, into, constants) in [
        ("bert-ffn", "ffn", 1, "encoder.layer.", "output.dense.weight", "output.dense.bias", bert),
        ("gpt2-ffn-layers", "ffn", 1, "transformer.h.", "mlp.c_proj.weight", "mlp.c_proj.bias", gpt2),
        ("llama-bias-all", "ffn", 1, "model.layers.", "mlp.down_proj.weight", "mlp.down_proj.bias", gated),
        ("llama-bias-all", "kv_groups", 4, "model.layers.", "self_attn.o_proj.weight", "self_attn.o_proj.bias", values),
        (
            "vit-heads",
            "heads",
            4,
            "encoder.layer.",
            "attention.output.dense.weight",
            "attention.output.dense.bias",
            heads,
        ),
    ] {
        let folder = Folder::new();
        let (dense, plan) = (fixture(case).join("dense"), fixture(case).join("case.json"));
        let recorded = json_file(&plan);
        let dropped = drop_layers(&recorded);
        let arguments =
            format!("compact {} -o out/ --fold --keep {} {dropped} --json", dense.display(), plan.display());
        assert_eq!(folder.run(&arguments).json()["equals"], "masked producers");
        let (before, after) =
            (tensors(&dense.join("model.safetensors")), tensors(&folder.path("out/model.safetensors")));
        let tensor = |name: &str| floats(&before[&format!("{prefix}0.{name}")]);
        let (weight, mut expected, constants) = (tensor(consumer), tensor(into), constants(&tensor));
        let kept = recorded["keep"][format!("0.{part}")].as_array().unwrap();
        let (outputs, positions) = (expected.len(), constants.len());
        for position in (0..positions).filter(|position| !kept.contains(&(position / block).into())) {
            for (output, bias) in expected.iter_mut().enumerate() {
                // GPT-2 stores its matrices as [in, out].
                let entry =
                    if case.starts_with("gpt2") { position * outputs + output } else { output * positions + position };
                *bias += weight[entry] * constants[position];
            }
        }
        let found = floats(&after[&format!("{prefix}0.{into}")]);
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{case}: {found:?} {expected:?}");
        assert!(found.iter().zip(tensor(into)).any(|(a, b)| (a - b).abs() > 1e-3), "{case}");
    }
    // Qwen2 has biases of values, but none to receive them.
    let qwen = fixture("qwen2-all").join("dense");
    Folder::new().run(&format!("compact {} -o out/ --fold --kv-groups 1", qwen.display())).fails(
        1,
        "error: cannot fold the constants of dimension `0.kv_groups`: the model has no `self_attn.o_proj.bias`",
    );
}
