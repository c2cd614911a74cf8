//! Every operation against cloning the same tensor on one thread, in one run, as a ratio.
//!
//! Machines are noisy and differ, so the figure to quote is the ratio: operation and clone take turns, and the fastest of
//! several turns counts. `benches/README.md` holds the table that this prints, next to what each figure should reach.
//!
//! ```sh
//! cargo bench --bench ratios                        # 8192 x 8192, takes some minutes
//! cargo bench --bench ratios -- 2048 l1             # another size; only rows whose name holds `l1`
//! RAYON_NUM_THREADS=1 cargo bench --bench ratios    # one thread
//! ```

#[path = "support/inputs.rs"]
mod inputs;

use std::hint::black_box;
use std::time::{Duration, Instant};

use half::{bf16, f16};
use ndarray::Array2;
use prune::{
    CustomFromMask, Element, Identity, L1Unstructured, LnStructured, Parameter, PruneError, PruningMethod,
    RandomStructured, RandomUnstructured,
};

const TURNS: usize = 5;

struct Table {
    size: usize,
    filter: String,
}

impl Table {
    /// One row: `prepare` is not timed, and what `operation` returns is dropped off the clock.
    fn row<A: Element, S, R>(
        &self,
        name: &str,
        limit: f64,
        tensor: &Array2<A>,
        mut prepare: impl FnMut() -> S,
        mut operation: impl FnMut(S) -> R,
    ) {
        if !name.contains(&self.filter) {
            return;
        }
        let mut fastest = [Duration::MAX; 2];
        for _ in 0..TURNS {
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
        let verdict = if ratio <= limit { "" } else { "  above" };
        println!("| {name:<44} | {milliseconds:>9.2} | {ratio:>7.3} | {limit:>6.3} |{verdict}");
    }

    fn method<A: Element>(
        &self,
        name: &str,
        limit: f64,
        tensor: &Array2<A>,
        method: impl PruningMethod<A> + Clone + 'static,
    ) {
        let prepare = || Parameter::new(tensor.clone());
        self.row(name, limit, tensor, prepare, |parameter| pruned(parameter, method.clone()));
    }

    fn all<A: Element>(&self, factor: f64) -> Result<(), PruneError> {
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
            let rows = self.size / 64;
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
        self.method(&format!("{dtype} identity"), 0.8 * factor, &tensor, Identity);
        let mask = CustomFromMask::new(tensor.mapv(|x| x > A::zero()).into_dyn());
        self.method(&format!("{dtype} custom_from_mask"), 0.8 * factor, &tensor, mask);
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

fn pruned<A: Element>(mut parameter: Parameter<A>, method: impl PruningMethod<A> + 'static) -> Parameter<A> {
    let outcome = parameter.prune(method);
    assert!(outcome.is_ok(), "{outcome:?}");
    parameter
}

fn main() -> Result<(), PruneError> {
    // `cargo bench` adds a flag of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let size = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(8192);
    let filter = arguments.into_iter().find(|argument| argument.parse::<usize>().is_err()).unwrap_or_default();
    let table = Table { size, filter };
    println!("{size} x {size}, fastest of {TURNS}\n");
    println!("| {:<44} | {:>9} | {:>7} | {:>6} |", "operation", "ms", "/ clone", "limit");
    println!("|{:-<46}|{:->11}|{:->9}|{:->8}|", "", ":", ":", ":");
    table.all::<f32>(1.0)?;
    table.all::<bf16>(1.5)?;
    table.all::<f16>(1.5)?;
    Ok(())
}
