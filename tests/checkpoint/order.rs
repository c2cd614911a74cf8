//! Masks do not depend on the order of dtypes in a file, nor on the sizes of tensors and masks.

use half::{bf16, f16};
use ndarray::{Array2, ArrayD};
use prune::checkpoint::{Scope, Selection, tensor_seed};
use prune::{CustomFromMask, L1Unstructured, LnStructured, Parameter, RandomStructured, RandomUnstructured};

use super::support::*;

/// All orders of four items.
fn orders() -> Vec<[usize; 4]> {
    let mut orders = Vec::new();
    for code in 0..256_usize {
        let order = [code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6];
        if (0..4).all(|item| order.contains(&item)) {
            orders.push(order);
        }
    }
    orders
}

/// One global threshold for four dtypes, in all orders of them. The threshold is a magnitude of each dtype once, and the
/// others do not have it: they are pruned up to the next one below.
#[test]
fn a_global_threshold_in_every_order_of_dtypes() {
    let folder = tempfile::tempdir().unwrap();
    let single = weights::<f32>(&[9, 40], 1);
    let double = weights::<f64>(&[9, 40], 2);
    let brain = weights::<bf16>(&[9, 40], 3);
    let half = weights::<f16>(&[9, 40], 4);
    let wide: [Vec<f64>; 4] = [
        single.iter().map(|&x| f64::from(x).abs()).collect(),
        double.iter().map(|x| x.abs()).collect(),
        brain.iter().map(|x| x.to_f64().abs()).collect(),
        half.iter().map(|x| x.to_f64().abs()).collect(),
    ];
    let raws = [Raw::of("f32", &single), Raw::of("f64", &double), Raw::of("bf16", &brain), Raw::of("f16", &half)];
    assert_eq!(orders().len(), 24);
    for (number, order) in orders().into_iter().enumerate() {
        let tensors = order.map(|tensor| raws[tensor].clone());
        let input = write(&folder.path().join(format!("{number}.safetensors")), &[], &tensors);
        let mut entries: Vec<(u64, usize, usize)> = Vec::new();
        for (place, &tensor) in order.iter().enumerate() {
            entries.extend(wide[tensor].iter().enumerate().map(|(entry, x)| (x.to_bits(), place, entry)));
        }
        entries.sort_unstable();
        // Thresholds that are magnitudes of each dtype.
        let last = |place| entries[200..1200].iter().rposition(|&(_, found, _)| found == place).unwrap() + 201;
        for count in [last(0), last(1), last(2), last(3), 1, 700] {
            let mut pruned = [(); 4].map(|()| vec![false; 360]);
            entries[..count].iter().for_each(|&(_, place, entry)| pruned[place][entry] = true);
            let output = folder.path().join(format!("{number}-{count}.safetensors"));
            let pruner = l1_pruner(count).scope(Scope::Global).selection(Selection::new().only("*"));
            drop(run(&pruner, [&input], &output).unwrap());
            for (place, (found, before)) in read(&output).iter().zip(&tensors).enumerate() {
                let size = before.data.len() / 360;
                for (entry, &pruned) in pruned[place].iter().enumerate() {
                    let bytes = entry * size..(entry + 1) * size;
                    let is_zero = found.data[bytes.clone()][..size - 1].iter().all(|&byte| byte == 0)
                        && found.data[bytes.end - 1] & 0x7f == 0;
                    let is_same = found.data[bytes.clone()] == before.data[bytes];
                    assert!(if pruned { is_zero } else { is_same }, "{order:?} {count} {place} {entry}");
                }
            }
        }
    }
}

/// More than what is read of a tensor at a time for norms, and more than what is held of it: masks count to the end.
#[test]
fn masks_of_large_tensors_count_to_their_ends() {
    let folder = tempfile::tempdir().unwrap();
    const ROWS: usize = 2600;
    const COLUMNS: usize = 2048; // 20.3 MiB
    let weight: ArrayD<f32> =
        Array2::from_shape_fn((ROWS, COLUMNS), |(i, j)| ((i * 31 + j * 17) % 1009 + 1) as f32 / 512.0).into_dyn();
    // Rows in the last 10 MiB are large by their pruned entries only.
    let kept = Array2::from_shape_fn((ROWS, COLUMNS), |(i, j)| i < 1300 || i % 3 > 0 || j < 16).into_dyn();
    let tensors = [Raw::of("t_orig", &weight), Raw::mask::<f32>("t_mask", &kept)];
    let input = write(&folder.path().join("in.safetensors"), &[], &tensors);
    let mut before = Parameter::new(weight);
    before.prune(CustomFromMask::new(kept)).unwrap();

    let ln = |dim| LnStructured::new(0.3, 2, dim).unwrap();
    let seed = tensor_seed(5, "t");
    let mut expected = [(); 6].map(|()| before.clone());
    expected[0].prune(ln(0)).unwrap();
    expected[1].prune(ln(1)).unwrap();
    expected[2].prune(RandomStructured::new(0.3, 0, seed).unwrap()).unwrap();
    expected[3].prune(L1Unstructured::new(0.3).unwrap()).unwrap();
    expected[4].prune(RandomUnstructured::new(0.3, seed).unwrap()).unwrap();
    expected[5].prune(L1Unstructured::new(0.3).unwrap()).unwrap();
    let pruners = [
        ln_pruner(0.3, 2.0, 0),
        ln_pruner(0.3, 2.0, 1),
        random_structured_pruner(0.3, 0, 5),
        l1_pruner(0.3),
        random_pruner(0.3, 5),
        l1_pruner(0.3).scope(Scope::Global),
    ];
    for (number, (pruner, expected)) in pruners.into_iter().zip(expected).enumerate() {
        let output = folder.path().join("out.safetensors");
        let report = run(&pruner.selection(Selection::new().only("t")), [&input], &output).unwrap();
        assert!(read(&output)[0].data == bits(expected.value()), "{number}");
        assert_eq!(Some(report.pruned_after()), expected.mask().map(|mask| mask.pruned()), "{number}");
        std::fs::remove_file(&output).unwrap();
    }
}
