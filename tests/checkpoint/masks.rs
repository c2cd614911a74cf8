//! Masks of files equal those of the same methods in memory, bit for bit.

use half::{bf16, f16};
use ndarray::ArrayD;
use prune::checkpoint::{Checkpoint, Format, Output, Progress, Pruner, Scope, Selection, Unit, tensor_seed};
use prune::{
    CustomFromMask, L1Unstructured, LnStructured, Norm, Parameter, ParameterStore, RandomStructured,
    RandomUnstructured, safetensors,
};

use super::support::*;

/// Shapes with one chunk and a rest, with several blocks of a file, with more than is held in memory, and without entries.
const SHAPES: &[&[usize]] = &[&[3, 5], &[129, 128], &[540, 1024], &[0, 4]];

fn all() -> Selection {
    Selection::new().only("*")
}

pub fn prune_all(pruner: Pruner, scope: Scope) -> Pruner {
    pruner.scope(scope).selection(all())
}

fn store<A: Stored>() -> ParameterStore<A> {
    let tensors = SHAPES.iter().enumerate();
    ParameterStore::from_iter(tensors.map(|(i, shape)| (format!("t{i}"), weights::<A>(shape, i as u64))))
}

fn written<A: Stored>(store: &ParameterStore<A>, folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join("in.safetensors");
    safetensors::save_file(store, &path).unwrap();
    path
}

/// Runs a job on the file of a store, and compares its three formats with a store that was pruned in memory.
fn compare<A: Stored>(store: &ParameterStore<A>, expected: &ParameterStore<A>, prune: &Pruner) {
    let folder = tempfile::tempdir().unwrap();
    let input = written(store, folder.path());

    let output = folder.path().join("weights.safetensors");
    let report = run(prune, [&input], &output).unwrap();
    for tensor in read(&output) {
        let value = expected[&*tensor.name].value();
        assert!(tensor.data == bits(value), "{} {} {prune:?}", A::NAME, tensor.name);
    }
    for (name, parameter) in expected.iter() {
        let pruned = parameter.mask().map_or(0, |mask| mask.iter().filter(|kept| !kept).count());
        assert_eq!(after(&report, name), pruned, "{name} {prune:?}");
    }
    assert_eq!(prune.dry_run(&Checkpoint::open([&input]).unwrap(), &()).unwrap(), report);

    let output = folder.path().join("masks.safetensors");
    assert_eq!(run(&prune.clone().format(Format::Masks), [&input], &output).unwrap(), report);
    assert!(std::fs::read(&output).unwrap() == safetensors::masks_to_bytes(expected).unwrap(), "{prune:?}");

    let output = folder.path().join("pytorch.safetensors");
    assert_eq!(run(&prune.clone().format(Format::PyTorch), [&input], &output).unwrap(), report);
    let (loaded, _) = safetensors::load_file::<A>(&output).unwrap();
    for (name, parameter) in expected.iter() {
        let found = &loaded[name];
        assert_eq!(found.mask(), parameter.mask(), "{name} {prune:?}");
        assert!(bits(found.orig()) == bits(parameter.orig()) && bits(found.value()) == bits(parameter.value()));
    }
}

/// The same twice: the second time on tensors that are pruned already.
pub fn twice<A: Stored>(prune: &Pruner, mut in_memory: impl FnMut(&mut ParameterStore<A>)) {
    let mut before = store::<A>();
    let mut after = before.clone();
    in_memory(&mut after);
    compare(&before, &after, prune);
    before = after.clone();
    in_memory(&mut after);
    compare(&before, &after, prune);
}

pub fn each<A: Stored>(store: &mut ParameterStore<A>, mut f: impl FnMut(&str, &mut Parameter<A>)) {
    let names: Vec<_> = store.iter().map(|(name, _)| name.to_owned()).collect();
    names.iter().for_each(|name| f(name, &mut store[&**name]));
}

fn unstructured<A: Stored>() {
    for amount in [0.0, 0.4, 1.0] {
        let l1 = l1_pruner(amount);
        twice::<A>(&prune_all(l1.clone(), Scope::Tensor), |store| {
            each(store, |_, parameter| parameter.prune(L1Unstructured::new(amount).unwrap()).unwrap());
        });
        twice::<A>(&prune_all(l1, Scope::Global), |store| {
            let targets = store.iter_mut().map(|(_, parameter)| parameter);
            prune::global_unstructured(targets, L1Unstructured::new(amount).unwrap()).unwrap();
        });
        let random = random_pruner(amount, 7);
        twice::<A>(&prune_all(random.clone(), Scope::Tensor), |store| {
            each(store, |name, parameter| {
                parameter.prune(RandomUnstructured::new(amount, tensor_seed(7, name)).unwrap()).unwrap();
            });
        });
        twice::<A>(&prune_all(random, Scope::Global), |store| {
            let targets = store.iter_mut().map(|(_, parameter)| parameter);
            prune::global_unstructured(targets, RandomUnstructured::new(amount, 7).unwrap()).unwrap();
        });
    }
}

#[test]
fn unstructured_f32() {
    unstructured::<f32>();
}

#[test]
fn unstructured_f64() {
    unstructured::<f64>();
}

#[test]
fn unstructured_bf16() {
    unstructured::<bf16>();
}

#[test]
fn unstructured_f16() {
    unstructured::<f16>();
}

fn structured<A: Stored>() {
    for dim in [0, 1, -1] {
        for norm in [Norm::L(2.0), Norm::L(1.0), Norm::L(0.0), Norm::L(3.0), Norm::Frobenius] {
            twice::<A>(&prune_all(ln_pruner(0.3, norm, dim), Scope::Tensor), |store| {
                each(store, |_, parameter| parameter.prune(LnStructured::new(0.3, norm, dim).unwrap()).unwrap());
            });
        }
        let random = random_structured_pruner(0.3, dim, 5);
        twice::<A>(&prune_all(random, Scope::Tensor), |store| {
            each(store, |name, parameter| {
                parameter.prune(RandomStructured::new(0.3, dim, tensor_seed(5, name)).unwrap()).unwrap();
            });
        });
    }
}

#[test]
fn structured_f32() {
    structured::<f32>();
}

#[test]
fn structured_bf16() {
    structured::<bf16>();
}

#[test]
fn channels_of_tensors_that_are_partly_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = ParameterStore::from_iter([("t", weights::<f32>(&[6, 4, 5], 1))]);
    store["t"].prune(L1Unstructured::new(0.6).unwrap()).unwrap();
    let input = written(&store, folder.path());
    for (dim, norm) in [(0, 1), (1, 2), (2, 2), (-3, 2)] {
        let mut expected = store.clone();
        expected["t"].prune(LnStructured::new(1, norm, dim).unwrap()).unwrap();
        let output = folder.path().join(format!("{dim}.safetensors"));
        let pruner = ln_pruner(1, norm, dim);
        let report = run(&prune_all(pruner, Scope::Tensor), [&input], &output).unwrap();
        assert!(read(&output)[0].data == bits(expected["t"].value()));
        let mask = expected["t"].mask().unwrap();
        assert_eq!(after(&report, "t"), mask.iter().filter(|kept| !kept).count());
    }
}

/// A tensor of more than a block, as it is and pruned before.
fn some_blocks(pruner: Pruner, in_memory: impl Fn(&mut Parameter<f32>)) {
    let mut store = ParameterStore::from_iter([("t", weights::<f32>(&[700, 500], 1))]);
    for _ in 0..2 {
        let before = store.clone();
        in_memory(&mut store["t"]);
        compare(&before, &store, &prune_all(pruner.clone(), Scope::Tensor));
    }
}

#[test]
fn some_blocks_by_magnitude() {
    some_blocks(l1_pruner(0.4), |parameter| {
        parameter.prune(L1Unstructured::new(0.4).unwrap()).unwrap();
    });
}

#[test]
fn some_blocks_at_random() {
    some_blocks(random_pruner(0.4, 7), |parameter| {
        parameter.prune(RandomUnstructured::new(0.4, tensor_seed(7, "t")).unwrap()).unwrap();
    });
}

#[test]
fn some_blocks_by_channel() {
    for dim in [0, 1] {
        some_blocks(ln_pruner(0.4, Norm::L(2.0), dim), |parameter| {
            parameter.prune(LnStructured::new(0.4, 2, dim).unwrap()).unwrap();
        });
    }
}

/// Channels with an entry that the mask keeps, in any block, count; the others are pruned already.
#[test]
fn channels_that_are_left() {
    let folder = tempfile::tempdir().unwrap();
    let weight = weights::<f32>(&[4, 300, 500], 1);
    let is_kept = |i, channel| match i {
        0 => channel < 100,
        3 => (50..100).contains(&channel) || channel >= 200,
        _ => false,
    };
    let alive = ndarray::Array3::from_shape_fn((4, 300, 500), |(i, j, _)| is_kept(i, j)).into_dyn();
    let tensors = [Raw::of("t_orig", &weight), Raw::mask::<f32>("t_mask", &alive)];
    let checkpoint = Checkpoint::open([write(&folder.path().join("in.safetensors"), &[], &tensors)]).unwrap();
    // The first reader waits, so that other threads take part if there are any.
    let slow = |_: Progress| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        std::ops::ControlFlow::Continue(())
    };
    let mut before = Parameter::new(weight);
    before.prune(CustomFromMask::new(alive)).unwrap();
    let mut by_norm = before.clone();
    by_norm.prune(LnStructured::new(0.5, 1, 1).unwrap()).unwrap();
    let mut at_random = before.clone();
    at_random.prune(RandomStructured::new(0.5, 1, tensor_seed(3, "t")).unwrap()).unwrap();
    for (pruner, expected) in
        [(ln_pruner(0.5, Norm::L(1.0), 1), by_norm), (random_structured_pruner(0.5, 1, 3), at_random)]
    {
        let output = Output::new(folder.path().join("out.safetensors")).force(true);
        let report = prune_all(pruner, Scope::Tensor).run(&checkpoint, &output, &slow).unwrap();
        assert_eq!((report.unit, report.asked), (Unit::Channels, Some(100)));
        assert!(read(output.path())[0].data == bits(expected.value()));
    }
}

/// A tensor that is too large to be held in memory is read twice and sampled.
#[test]
fn a_tensor_of_many_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let store = ParameterStore::from_iter([("t", weights::<f64>(&[2500, 1024], 3))]);
    let input = written(&store, folder.path());
    for amount in [0.01, 0.5] {
        let mut expected = store.clone();
        expected["t"].prune(L1Unstructured::new(amount).unwrap()).unwrap();
        for scope in [Scope::Tensor, Scope::Global] {
            let output = folder.path().join(format!("{amount}{scope:?}.safetensors"));
            drop(run(&prune_all(l1_pruner(amount), scope), [&input], &output).unwrap());
            assert!(read(&output)[0].data == bits(expected["t"].value()));
        }
    }
}

/// Mixed dtypes in two shards, one of them pruned before: the lowest by exact value, by position among equals.
#[test]
fn global_across_dtypes() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (weights::<f32>(&[300, 70], 1), weights::<bf16>(&[40, 900], 2));
    let (c, d) = (weights::<f16>(&[7, 1500], 3), weights::<f64>(&[111, 111], 4));
    let with_odd = |mut array: ArrayD<f32>| {
        array[[0, 0]] = f32::NAN;
        array[[0, 1]] = f32::NEG_INFINITY;
        array[[0, 2]] = -0.0;
        array
    };
    let a = with_odd(a);
    let alive = ndarray::Array2::from_shape_fn((40, 900), |(i, j)| (i * 7 + j) % 3 > 0).into_dyn();
    let first = [Raw::of("a", &a), Raw::new("ids", "I64", &[2], vec![9; 16])];
    let pair = [Raw::of("b_orig", &b), Raw::mask::<f32>("b_mask", &alive)];
    let rest = [Raw::of("c", &c), Raw::of("d", &d)];

    for with_f64 in [false, true] {
        let shards: [&[Raw]; 2] = [&first, &[&pair[..], &rest[..1 + usize::from(with_f64)]].concat()];
        let index = write_sharded(folder.path(), &shards);

        // An oracle that sorts all magnitudes.
        let wide = |array: Vec<f64>| {
            array.into_iter().map(|x| if x.is_nan() { f64::INFINITY.to_bits() + 1 } else { x.abs().to_bits() })
        };
        let mut entries: Vec<(u64, usize, usize)> = Vec::new();
        let mut add = |tensor: usize, array: Vec<f64>, alive: Option<&ArrayD<bool>>| {
            let alive: Option<Vec<bool>> = alive.map(|alive| alive.iter().copied().collect());
            let keys = wide(array).enumerate().filter(|(i, _)| alive.as_ref().is_none_or(|alive| alive[*i]));
            entries.extend(keys.map(|(i, key)| (key, tensor, i)));
        };
        add(0, a.iter().map(|&x| x.into()).collect(), None);
        add(1, b.iter().map(|x| x.to_f64()).collect(), Some(&alive));
        add(2, c.iter().map(|x| x.to_f64()).collect(), None);
        if with_f64 {
            add(3, d.iter().copied().collect(), None);
        }
        entries.sort_unstable();
        for count in [1, 1500, 20_000, entries.len() - 1, entries.len()] {
            let output = folder.path().join(format!("out{with_f64}{count}"));
            let pruner = l1_pruner(count);
            let report = run(&prune_all(pruner, Scope::Global), [&index], &output).unwrap();
            assert_eq!(report.asked, Some(count));
            let threshold = report.threshold.unwrap();
            assert!(threshold.to_bits() == entries[count - 1].0 || threshold.is_nan());

            let mut kept =
                [vec![true; a.len()], alive.iter().copied().collect(), vec![true; c.len()], vec![true; d.len()]];
            entries[..count].iter().for_each(|&(_, tensor, i)| kept[tensor][i] = false);
            let one = read(&output.join("model-00001-of-00002.safetensors"));
            let two = read(&output.join("model-00002-of-00002.safetensors"));
            assert_eq!(named(&one, "ids"), &first[1]);
            check(&named(&one, "a").array::<f32>(), &a, &kept[0]);
            check(&named(&two, "b").array::<bf16>(), &b, &kept[1]);
            check(&named(&two, "c").array::<f16>(), &c, &kept[2]);
            if with_f64 {
                check(&named(&two, "d").array::<f64>(), &d, &kept[3]);
            }
        }
    }
}

fn check<A: Stored>(found: &ArrayD<A>, orig: &ArrayD<A>, kept: &[bool]) {
    for ((found, &orig), &kept) in found.iter().zip(orig).zip(kept) {
        let expected = orig * if kept { A::one() } else { A::zero() };
        assert!(found.bytes() == expected.bytes() || found.is_nan() && expected.is_nan(), "{found} {expected}");
    }
}

#[test]
fn tensors_of_one_shape_do_not_share_a_pattern() {
    let folder = tempfile::tempdir().unwrap();
    let ones = ArrayD::<f32>::ones(ndarray::IxDyn(&[8, 8]));
    let input = write(&folder.path().join("in.safetensors"), &[], &[Raw::of("a", &ones), Raw::of("b", &ones)]);
    let output = folder.path().join("out.safetensors");
    let pruner = random_pruner(0.5, 1);
    drop(run(&prune_all(pruner, Scope::Tensor), [&input], &output).unwrap());
    let tensors = read(&output);
    assert_ne!(tensors[0].data, tensors[1].data);
    // Pinned: masks of a seed do not change within a major version.
    assert_eq!(tensor_seed(42, "layer.weight"), TENSOR_SEED);
}

const TENSOR_SEED: u64 = 5_862_704_670_764_150_328;

#[test]
fn masks_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (teacher, student) = (store::<f32>(), weights::<bf16>(SHAPES[1], 9));
    let mut teacher = ParameterStore::from_iter([("t1", teacher["t1"].value().clone())]);
    teacher["t1"].prune(L1Unstructured::new(0.4).unwrap()).unwrap();
    let masks = folder.path().join("masks.safetensors");
    safetensors::save_masks(&teacher, &masks).unwrap();

    let bias = weights::<f32>(&[5], 2);
    let tensors = [Raw::of("t1", &student), Raw::of("bias", &bias)];
    let input = write(&folder.path().join("in.safetensors"), &[], &tensors);
    let output = folder.path().join("out.safetensors");
    let prune = Pruner::masks(masks);
    let report = run(&prune, [&input], &output).unwrap();
    assert_eq!((report.asked, after(&report, "t1")), (None, 6605));
    assert_eq!(report.tensors[1].outcome, prune::checkpoint::Outcome::Skipped(prune::checkpoint::SkipReason::NoMask));
    let found = read(&output);
    assert_eq!(found[1], tensors[1]);
    let mut expected = Parameter::new(student);
    expected.prune(prune::CustomFromMask::new(teacher["t1"].mask().unwrap().clone())).unwrap();
    assert!(found[0].data == bits(expected.value()));
    assert_eq!(prune.dry_run(&Checkpoint::open([&input]).unwrap(), &()).unwrap(), report);
}

#[test]
fn masks_from_a_file_of_some_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = ParameterStore::from_iter([("t", weights::<f32>(&[700, 501], 1))]);
    let input = written(&store, folder.path());
    store["t"].prune(L1Unstructured::new(0.4).unwrap()).unwrap();
    let masks = folder.path().join("masks.safetensors");
    safetensors::save_masks(&store, &masks).unwrap();
    let output = folder.path().join("out.safetensors");
    let report = run(&Pruner::masks(masks), [&input], &output).unwrap();
    assert_eq!((report.unit, after(&report, "t")), (Unit::Entries, 140_280));
    assert!(read(&output)[0].data == bits(store["t"].value()));
}

/// In the narrower dtype, two of these magnitudes would be equal.
#[test]
fn magnitudes_that_only_the_wider_dtype_tells_apart() {
    let folder = tempfile::tempdir().unwrap();
    let near = 1.0 + f64::EPSILON;
    for (narrow, wide) in [
        (
            Raw::of("a", &ndarray::arr1(&[1.0_f32, 2.0]).into_dyn()),
            Raw::of("b", &ndarray::arr1(&[near, 0.5]).into_dyn()),
        ),
        (
            Raw::of("b", &ndarray::arr1(&[near, 0.5]).into_dyn()),
            Raw::of("a", &ndarray::arr1(&[1.0_f32, 2.0]).into_dyn()),
        ),
    ] {
        let input = write(&folder.path().join("in.safetensors"), &[], &[narrow, wide]);
        let checkpoint = Checkpoint::open([&input]).unwrap();
        let report = |count: usize| {
            let prune = prune_all(l1_pruner(count), Scope::Global);
            let report = prune.dry_run(&checkpoint, &()).unwrap();
            (report.threshold, after(&report, "a"), after(&report, "b"))
        };
        assert_eq!(report(2), (Some(1.0), 1, 1));
        assert_eq!(report(3), (Some(near), 1, 2));
    }
}

#[test]
fn two_runs_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let input = written(&store::<f32>(), folder.path());
    let prune = prune_all(l1_pruner(0.5), Scope::Global);
    let mut outputs = Vec::new();
    for _ in 0..2 {
        let output = folder.path().join("out.safetensors");
        drop(prune.run(&Checkpoint::open([&input]).unwrap(), &Output::new(&output).force(true), &()).unwrap());
        outputs.push(std::fs::read(&output).unwrap());
    }
    assert!(outputs[0] == outputs[1]);
}
