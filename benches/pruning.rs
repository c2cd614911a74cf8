//! One group per kind of work, in bytes of the tensor per second; `benches/README.md` says what each should reach.
//!
//! ```sh
//! cargo bench --bench pruning                             # everything, on 2048 x 2048 tensors
//! cargo bench --bench pruning -- --save-baseline before   # then change something, and
//! cargo bench --bench pruning -- --baseline before        # see what it did
//! ```

#[path = "support/inputs.rs"]
mod inputs;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use half::bf16;
use ndarray::Array2;
use prune::{
    CustomFromMask, Element, Identity, L1Unstructured, LnStructured, Parameter, PruneError, PruningMethod,
    RandomStructured, RandomUnstructured,
};

const SIZE: usize = 2048;

fn group<'c>(criterion: &'c mut Criterion, name: &str, bytes: usize) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(bytes as u64));
    group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group
}

fn bytes<A>(tensor: &Array2<A>) -> usize {
    tensor.len() * size_of::<A>()
}

/// A pruning of a fresh parameter, without the cost of making it or of dropping the result.
fn first<A: Element>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    tensor: &Array2<A>,
    method: impl PruningMethod<A> + Clone + 'static,
) {
    again(group, id, &Parameter::new(tensor.clone()), method);
}

/// A pruning of a parameter as it is.
fn again<A: Element>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    parameter: &Parameter<A>,
    method: impl PruningMethod<A> + Clone + 'static,
) {
    group.bench_function(id, |bencher| {
        bencher.iter_batched(
            || parameter.clone(),
            |parameter| pruned(parameter, method.clone()),
            BatchSize::PerIteration,
        );
    });
}

fn pruned<A: Element>(mut parameter: Parameter<A>, method: impl PruningMethod<A> + 'static) -> Parameter<A> {
    let outcome = parameter.prune(method);
    assert!(outcome.is_ok(), "{outcome:?}");
    parameter
}

fn l1(amount: f64) -> L1Unstructured {
    valid(L1Unstructured::new(amount))
}

fn valid<M>(method: Result<M, PruneError>) -> M {
    method.unwrap_or_else(|error| panic!("a method of the benchmark is wrong: {error}"))
}

/// The reference for every other figure: a copy is the least that making a tensor can cost.
fn clone(criterion: &mut Criterion) {
    let tensor = inputs::normal::<f32>(SIZE);
    group(criterion, "clone", bytes(&tensor)).bench_function("f32", |bencher| {
        bencher.iter_batched(|| (), |()| black_box(tensor.clone()), BatchSize::PerIteration);
    });
}

/// The method that everybody uses, over the range of amounts: the cost should not depend on where the cut is.
fn l1_unstructured(criterion: &mut Criterion) {
    let (single, brain) = (inputs::normal::<f32>(SIZE), inputs::normal::<bf16>(SIZE));
    let mut group = group(criterion, "l1_unstructured", bytes(&single));
    for amount in [0.01, 0.1, 0.5, 0.9, 0.99] {
        first(&mut group, BenchmarkId::new("f32", amount), &single, l1(amount));
    }
    group.throughput(Throughput::Bytes(bytes(&brain) as u64));
    first(&mut group, BenchmarkId::new("bf16", 0.5), &brain, l1(0.5));
}

/// Inputs that are hard for selection algorithms: many equal magnitudes, sorted ones, a wide range of them.
fn hard_inputs(criterion: &mut Criterion) {
    for (kind, tensor) in inputs::hard::<f32>(SIZE) {
        let mut group = group(criterion, "hard_inputs", bytes(&tensor));
        first(&mut group, BenchmarkId::new("f32", kind), &tensor, l1(0.5));
    }
}

/// A later pruning, which should allocate nothing and choose among the entries that are left.
fn second_pruning(criterion: &mut Criterion) {
    let tensor = inputs::normal::<f32>(SIZE);
    let parameter = pruned(Parameter::new(tensor.clone()), l1(0.5));
    again(
        &mut group(criterion, "second_pruning", bytes(&tensor)),
        BenchmarkId::from_parameter("f32"),
        &parameter,
        l1(0.5),
    );
}

/// One ranking over many parameters, which should cost what one over a tensor of their total size costs.
fn global_unstructured(criterion: &mut Criterion) {
    let tensor = inputs::normal::<f32>(SIZE);
    let rows = tensor.exact_chunks((SIZE / 64, SIZE));
    let parts: Vec<Parameter<f32>> = rows.into_iter().map(|rows| Parameter::new(rows.to_owned())).collect();
    group(criterion, "global_unstructured", bytes(&tensor)).bench_function("64 parameters", |bencher| {
        let global = |mut parts: Vec<_>| prune::global_unstructured(&mut parts, l1(0.5)).map(|()| parts);
        bencher.iter_batched(|| parts.clone(), global, BatchSize::PerIteration);
    });
}

/// The random methods, whose cost is the key stream.
fn random(criterion: &mut Criterion) {
    let tensor = inputs::normal::<f32>(SIZE);
    let mut group = group(criterion, "random", bytes(&tensor));
    let unstructured = valid(RandomUnstructured::new(0.5, 42));
    first(&mut group, BenchmarkId::from_parameter("unstructured"), &tensor, unstructured);
    for dim in [0, 1] {
        let structured = valid(RandomStructured::new(0.5, dim, 42));
        first(&mut group, BenchmarkId::new("structured", dim), &tensor, structured);
    }
}

/// Norms in PyTorch's order of operations, along and across the rows.
fn ln_structured(criterion: &mut Criterion) {
    let tensor = inputs::normal::<f32>(SIZE);
    let mut group = group(criterion, "ln_structured", bytes(&tensor));
    for (n, dim) in [(2, 0), (2, 1), (1, 0), (1, 1)] {
        let method = valid(LnStructured::new(0.5, n, dim));
        first(&mut group, BenchmarkId::new(format!("n = {n}"), format!("dim {dim}")), &tensor, method);
    }
}

/// The cost of a pruning in which nothing has to be ranked.
fn given_masks(criterion: &mut Criterion) {
    let tensor = inputs::normal::<f32>(SIZE);
    let mut group = group(criterion, "given_masks", bytes(&tensor));
    first(&mut group, BenchmarkId::from_parameter("identity"), &tensor, Identity);
    let mask = CustomFromMask::new(tensor.mapv(|x| x > 0.0).into_dyn());
    first(&mut group, BenchmarkId::from_parameter("custom_from_mask"), &tensor, mask);
}

/// The cost of every step of a training loop, and that of the end, once for a model.
fn life_cycle(criterion: &mut Criterion) {
    let tensor = inputs::normal::<f32>(SIZE);
    let mut parameter = pruned(Parameter::new(tensor.clone()), l1(0.5));
    let mut group = group(criterion, "life_cycle", bytes(&tensor));
    group.bench_function("update", |bencher| bencher.iter(|| parameter.update(|_| ())));
    group.bench_function("remove", |bencher| {
        let remove = |mut parameter: Parameter<f32>| parameter.remove().map(|()| parameter);
        bencher.iter_batched(|| parameter.clone(), remove, BatchSize::PerIteration);
    });
}

/// Real models have thousands of small tensors, where the fixed costs count.
fn small(criterion: &mut Criterion) {
    for side in [3, 32, 256] {
        let tensor = inputs::normal::<f32>(side);
        let mut group = group(criterion, "small", bytes(&tensor));
        first(&mut group, BenchmarkId::new("l1_unstructured", side * side), &tensor, l1(0.5));
    }
}

criterion_group!(
    benches,
    clone,
    l1_unstructured,
    hard_inputs,
    second_pruning,
    global_unstructured,
    random,
    ln_structured,
    given_masks,
    life_cycle,
    small
);
criterion_main!(benches);
