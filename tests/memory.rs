//! The memory that a pruning takes, by an allocator that counts. Bytes are not a time: these are exact promises.

use ndarray::{Array1, Array2};
use peak_alloc::PeakAlloc;
use prune::{CustomFromMask, Identity, L1Unstructured, Parameter, PruneError, PruningMethod, RandomUnstructured};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const ENTRIES: usize = 1 << 21;
const MIB: usize = 1 << 20;

/// The most bytes that `f` had in use at a time, above what was in use before.
fn peak<T>(f: impl FnOnce() -> T) -> (usize, T) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = f();
    (MEMORY.peak_usage() - before, result)
}

/// A value of four bytes and a mask of one for each entry, and a little to work with.
const LIMIT: usize = 5 * ENTRIES + 5 * ENTRIES / 50 + MIB;

/// Something like weights, without a pattern.
fn tensor() -> Array1<f32> {
    Array1::from_shape_fn(ENTRIES, |i| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as i64 as f32 * 1e-20)
}

fn inputs() -> Vec<(&'static str, Array1<f32>)> {
    vec![
        ("weights", tensor()),
        ("constant", Array1::from_elem(ENTRIES, 0.5)),
        ("few values", tensor().mapv(|x| (x * 50.0).round())),
        ("sorted", Array1::from_shape_fn(ENTRIES, |i| i as f32)),
        ("NaN", Array1::from_elem(ENTRIES, f32::NAN)),
        ("heavy tails", tensor().mapv(|x| (x * 10.0).powi(9))),
    ]
}

fn check(what: &str, method: impl PruningMethod<f32> + Clone + 'static, tensor: Array1<f32>) -> Result<(), PruneError> {
    let mut parameter = Parameter::new(tensor);
    let (first, outcome) = peak(|| parameter.prune(method.clone()));
    outcome?;
    assert!(first <= LIMIT, "{what}: {first} bytes at a first pruning, expected at most {LIMIT}");
    let (again, outcome) = peak(|| parameter.prune(method));
    outcome?;
    // Value and mask are used again.
    let limit = ENTRIES / 10 + MIB;
    assert!(again <= limit, "{what}: {again} bytes at a second pruning, expected at most {limit}");
    Ok(())
}

/// One test, because the allocator counts what all threads do.
#[test]
fn a_pruning_takes_a_value_and_a_mask_and_little_else() -> Result<(), PruneError> {
    for (kind, tensor) in inputs() {
        for amount in [0.01, 0.5, 0.99] {
            check(&format!("L1 {amount}, {kind}"), L1Unstructured::new(amount)?, tensor.clone())?;
        }
    }
    check("random", RandomUnstructured::new(0.5, 42)?, tensor())?;
    check("identity", Identity, tensor())?;
    let mask = tensor().mapv(|x| x > 0.0).into_dyn();
    check("own mask", CustomFromMask::new(mask), tensor())?;
    several_parameters()?;
    later_steps()
}

fn several_parameters() -> Result<(), PruneError> {
    let part = || {
        Parameter::new(Array2::from_shape_vec((64, ENTRIES / 512), tensor().to_vec()[..ENTRIES / 8].to_vec()).unwrap())
    };
    let mut parts: Vec<_> = std::iter::repeat_with(part).take(8).collect();
    let method = L1Unstructured::new(0.5)?;
    for limit in [LIMIT, ENTRIES / 10 + MIB] {
        let (bytes, outcome) = peak(|| prune::global_unstructured(&mut parts, method));
        outcome?;
        assert!(bytes <= limit, "global: {bytes} bytes, expected at most {limit}");
    }
    Ok(())
}

fn later_steps() -> Result<(), PruneError> {
    let mut parameter = Parameter::new(tensor());
    parameter.prune(L1Unstructured::new(0.5)?)?;
    parameter.update(|_| ()); // whatever a thread pool allocates once
    let (bytes, ()) = peak(|| parameter.update(|_| ()));
    assert!(bytes < 4096, "update: {bytes} bytes");
    let (bytes, outcome) = peak(|| parameter.remove());
    outcome?;
    // No array is copied; what a thread needs that gives the memory back is some hundred bytes.
    assert!(bytes < 4096, "remove: {bytes} bytes");
    Ok(())
}
