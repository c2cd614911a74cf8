//! Every operation against cloning the same tensor on one thread, in one run, as a ratio.
//!
//! Machines are noisy and differ, so the figure to quote is the ratio: operation and clone take turns, and the fastest of
//! several turns counts. `benches/README.md` holds the tables that this prints, next to what each figure should reach.
//!
//! ```sh
//! cargo bench --bench ratios                        # 8192 x 8192, takes some minutes
//! cargo bench --bench ratios -- 100 1024 l1         # other sizes; only rows whose name holds `l1`
//! RAYON_NUM_THREADS=1 cargo bench --bench ratios    # one thread
//!
//! # With memory kept from one call to the next, as an allocator such as mimalloc does it (glibc on Linux):
//! MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=68719476736 cargo bench --bench ratios
//! ```

#[path = "support/inputs.rs"]
mod inputs;

use std::hint::black_box;
use std::time::{Duration, Instant};

use half::{bf16, f16};
use ndarray::{Array2, Axis, Slice};
use prune::calibration::{Moments, Wanda};
use prune::{
    Block, CustomFromMask, Element, Identity, L1Unstructured, LnStructured, NM, Parameter, PruneError, PruningMethod,
    RandomStructured, RandomUnstructured,
};

/// The size for which there are limits.
const LARGE: usize = 8192;

struct Table {
    size: usize,
    filter: String,
    /// The number of turns of operation and clone.
    turns: usize,
    /// The factor of all limits, which are for two threads.
    leeway: f64,
}

impl Table {
    /// One row: `prepare` is not timed, and what `operation` returns is dropped off the clock. Returns the ratio, of a row that is chosen.
    fn row<A: Element, S, R>(
        &self,
        name: &str,
        limit: f64,
        tensor: &Array2<A>,
        mut prepare: impl FnMut() -> S,
        mut operation: impl FnMut(S) -> R,
    ) -> Option<f64> {
        if !name.contains(&self.filter) {
            return None;
        }
        let mut fastest = [Duration::MAX; 2];
        for _ in 0..self.turns {
            let start = Instant::now();
            let clone = black_box(tensor.clone());
            fastest[0] = fastest[0].min(start.elapsed());
            drop(clone);

            let prepared = prepare();
            let start = Instant::now();
            let result = black_box(operation(prepared));
            fastest[1] = fastest[1].min(start.elapsed());
            drop(result);
        }
        let [clone, operation] = fastest.map(|time| time.as_secs_f64());
        let (ratio, milliseconds) = (operation / clone, operation * 1e3);
        let nanoseconds = operation * 1e9 / tensor.len() as f64;
        let (limit, verdict) = match self.size {
            LARGE => (format!("{limit:.3}"), if ratio <= limit { "" } else { "  above" }),
            _ => (String::new(), ""),
        };
        println!("| {name:<44} | {milliseconds:>9.4} | {nanoseconds:>8.3} | {ratio:>7.3} | {limit:>6} |{verdict}");
        Some(ratio)
    }

    fn method<A: Element>(
        &self,
        name: &str,
        limit: f64,
        tensor: &Array2<A>,
        method: impl PruningMethod<A> + Clone + 'static,
    ) -> Option<f64> {
        let prepare = || Parameter::new(tensor.clone());
        self.row(name, limit, tensor, prepare, |parameter| pruned(parameter, method.clone()))
    }

    fn all<A: Element>(&self, factor: f64) -> Result<(), PruneError> {
        let factor = factor * self.leeway;
        let tensor = inputs::normal::<A>(self.size);
        let dtype = std::any::type_name::<A>().rsplit("::").next().unwrap_or_default();
        for amount in [0.01, 0.1, 0.5, 0.9, 0.99] {
            let name = format!("{dtype} l1_unstructured {amount}");
            self.method(&name, 1.0 * factor, &tensor, L1Unstructured::new(amount)?);
        }
        for (kind, hard) in inputs::hard::<A>(self.size) {
            let name = format!("{dtype} l1_unstructured 0.5, {kind}");
            self.method(&name, 1.5 * factor, &hard, L1Unstructured::new(0.5)?);
        }
        let half_pruned = pruned(Parameter::new(tensor.clone()), L1Unstructured::new(0.5)?);
        let l1 = L1Unstructured::new(0.5)?;
        let name = format!("{dtype} l1_unstructured 0.5 again");
        self.row(&name, 1.0 * factor, &tensor, || half_pruned.clone(), |parameter| pruned(parameter, l1));

        let parts = || -> Vec<Parameter<A>> {
            let rows = self.size.div_ceil(64);
            tensor.exact_chunks((rows, self.size)).into_iter().map(|part| Parameter::new(part.to_owned())).collect()
        };
        let name = format!("{dtype} global_unstructured 0.5, 64 parameters");
        self.row(&name, 1.0 * factor, &tensor, parts, |mut parts| {
            prune::global_unstructured(&mut parts, l1).map(|()| parts)
        });

        self.method(
            &format!("{dtype} random_unstructured 0.5"),
            1.5 * factor,
            &tensor,
            RandomUnstructured::new(0.5, 42)?,
        );
        for (n, dim) in [(2, 0), (2, 1), (1, 0), (1, 1)] {
            let name = format!("{dtype} ln_structured 0.5, n = {n}, dim {dim}");
            self.method(&name, 1.0 * factor, &tensor, LnStructured::new(0.5, n, dim)?);
        }
        for dim in [0, 1] {
            let name = format!("{dtype} random_structured 0.5, dim {dim}");
            self.method(&name, 1.0 * factor, &tensor, RandomStructured::new(0.5, dim, 42)?);
        }
        let identity = self.method(&format!("{dtype} identity"), 0.8 * factor, &tensor, Identity);
        let mask = CustomFromMask::new(tensor.mapv(|x| x > A::zero()).into_dyn());
        self.method(&format!("{dtype} custom_from_mask"), 0.8 * factor, &tensor, mask);
        self.groups(dtype, identity.unwrap_or(0.8 * factor), &tensor)?;
        // The step itself costs the same with or without pruning, so it is left out.
        let update = |mut parameter: Parameter<A>| {
            parameter.update(|_| ());
            parameter
        };
        self.row(&format!("{dtype} update"), 0.6 * factor, &tensor, || half_pruned.clone(), update);
        let remove = |mut parameter: Parameter<A>| parameter.remove().map(|()| parameter);
        self.row(&format!("{dtype} remove"), 0.001 * factor, &tensor, || half_pruned.clone(), remove);
        Ok(())
    }
}

impl Table {
    /// Limits are multiples of what `identity` takes.
    fn groups<A: Element>(&self, dtype: &str, identity: f64, tensor: &Array2<A>) -> Result<(), PruneError> {
        for (n, m, dim, limit) in [
            (2, 4, 1, 1.3),
            (4, 8, 1, 1.3),
            (8, 16, 1, 2.0),
            (16, 32, 1, 2.0),
            (3, 5, 1, 2.0),
            (2, 4, 0, 1.3),
            (4, 8, 0, 1.3),
        ] {
            let name = format!("{dtype} {n}:{m}, dim {dim}");
            self.method(&name, limit * identity, tensor, NM::new(n, m, dim)?);
        }
        // Groups of half a row or less, which get a threshold each.
        let half = self.size / 2;
        self.method(&format!("{dtype} half of each half row"), 1.5 * identity, tensor, NM::new(half / 2, half, 1)?);
        let mut moments = Moments::new(self.size);
        moments.push(inputs::normal::<f32>(self.size).slice_axis(Axis(0), Slice::from(..1)))?;
        self.method(&format!("{dtype} wanda 0.5"), 1.7 * identity, tensor, Wanda::new(0.5, moments)?);
        for [rows, columns] in [[4, 4], [16, 1], [1, 16]] {
            let name = format!("{dtype} blocks of {rows} x {columns}");
            self.method(&name, 1.4 * identity, tensor, Block::new(0.5, &[rows, columns], 2)?);
        }
        Ok(())
    }
}

fn pruned<A: Element>(mut parameter: Parameter<A>, method: impl PruningMethod<A> + 'static) -> Parameter<A> {
    let outcome = parameter.prune(method);
    assert!(outcome.is_ok(), "{outcome:?}");
    parameter
}

fn main() -> Result<(), PruneError> {
    // `cargo bench` adds a flag of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let mut sizes: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    if sizes.is_empty() {
        sizes.push(LARGE);
    }
    let leeway = if std::env::var("RAYON_NUM_THREADS").is_ok_and(|threads| threads == "1") { 2.0 } else { 1.0 };
    let filter = arguments.into_iter().find(|argument| argument.parse::<usize>().is_err()).unwrap_or_default();
    for size in sizes {
        let turns = ((1 << 24) / (size * size).max(1)).clamp(5, 100);
        let table = Table { size, filter: filter.clone(), turns, leeway };
        println!("{size} x {size}, fastest of {turns}\n");
        println!("| {:<44} | {:>9} | {:>8} | {:>7} | {:>6} |", "operation", "ms", "ns/entry", "/ clone", "limit");
        println!("|{:-<46}|{:->11}|{:->10}|{:->9}|{:->8}|", "", ":", ":", ":", ":");
        table.all::<f32>(1.0)?;
        table.all::<bf16>(1.5)?;
        table.all::<f16>(1.5)?;
        println!();
    }
    Ok(())
}
