//! Sparse products against the fastest dense product of `ndarray`, the `gemm` crate and faer, in one run, as ratios of times.
//!
//! ```sh
//! cd benches/sparse
//! cargo run --release                                   # 4096 x 4096, two minutes
//! cargo run --release -- 1024 1024                      # other rows and columns
//! cargo run --release -- forms                          # every form instead of the one that is chosen
//! cargo run --release -- blocks                         # pruned in blocks of 4 x 1 and of 16 x 1 entries
//! RAYON_NUM_THREADS=1 cargo run --release               # one thread
//! ```
//!
//! All methods take turns, and the fastest of several turns counts.

mod dense;
mod plain;
mod report;

use std::hint::black_box;
use std::time::{Duration, Instant};

use half::bf16;
use ndarray::Array2;
use prune::sparse::{Form, Packed, Prepared, Scratch};
use prune::{Block, Element, L1Unstructured, Parameter, PruningMethod};

use dense::Dense;
use plain::Plain;

const SPARSITIES: [f64; 9] = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98];
const BATCHES: [usize; 4] = [1, 8, 32, 128];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let &[rows, columns] = numbers.first_chunk().unwrap_or(&[4096, 4096]);
    let forms = arguments.iter().any(|argument| argument == "forms");
    println!("{rows} x {columns}, {} threads, {}\n", rayon::current_num_threads(), report::processor());

    let weight = Array2::from_shape_fn((rows, columns), |(i, j)| noise(i * columns + j));
    if arguments.iter().any(|argument| argument == "blocks") {
        return blocks(&weight);
    }
    let sparse: Vec<Parameter<f32>> = SPARSITIES.iter().map(|&sparsity| pruned(&weight, l1(sparsity))).collect();
    let half: Vec<Parameter<bf16>> =
        SPARSITIES.iter().map(|&sparsity| pruned(&weight.mapv(bf16::from_f32), l1(sparsity))).collect();
    packing(&sparse[2], "f32");
    packing(&half[2], "bf16");
    println!();
    for batch in BATCHES {
        let inputs = Array2::from_shape_fn((batch, columns), |(i, j)| noise(i * columns + j + 1));
        if forms {
            for form in Form::ALL.into_iter().filter(|form| *form != Form::Dense) {
                let weights: Vec<_> = sparse.iter().map(|weight| Packed::new(weight).prepare_as(form)).collect();
                compare(&form.to_string(), &weight, &inputs, &weights);
            }
        } else {
            plain_loop(&sparse[6], &inputs);
            let prepare = |weight: &Parameter<f32>| Packed::new(weight).prepare(batch);
            compare("f32", &weight, &inputs, &sparse.iter().map(prepare).collect::<Vec<_>>());
            let prepare = |weight: &Parameter<bf16>| Packed::new(weight).prepare(batch);
            compare("bf16", &weight, &inputs, &half.iter().map(prepare).collect::<Vec<_>>());
        }
    }
}

/// Compares weights that are pruned in blocks.
fn blocks(weight: &Array2<f32>) {
    for rows in [4, 16] {
        let block = |sparsity| Block::new(sparsity, &[rows, 1], 2).expect("blocks are not empty");
        let weights: Vec<_> =
            SPARSITIES.iter().map(|&sparsity| Packed::new(&pruned(weight, block(sparsity)))).collect();
        for batch in BATCHES {
            let inputs = Array2::from_shape_fn((batch, weight.ncols()), |(i, j)| noise(i * weight.ncols() + j + 1));
            let prepared: Vec<_> = weights.iter().map(|weight| weight.prepare(batch)).collect();
            compare(&format!("f32, blocks of {rows} x 1"), weight, &inputs, &prepared);
        }
    }
}

/// Compares weights of all sparsities with dense products, and prints a table.
fn compare<A: Element<Accumulator = f32>>(
    name: &str,
    dense: &Array2<f32>,
    inputs: &Array2<f32>,
    weights: &[Prepared<A>],
) {
    let rows = dense.nrows();
    let mut out = Array2::zeros((inputs.nrows(), rows));
    let mut scratch = Scratch::default();
    let mut libraries = Dense::all(dense, inputs);
    let mut fastest = vec![Duration::MAX; libraries.len() + weights.len()];
    let turns = if inputs.nrows() < 32 { 15 } else { 7 };
    for _ in 0..turns {
        for (library, fastest) in libraries.iter_mut().zip(&mut fastest) {
            *fastest = (*fastest).min(time(|| library.multiply()));
        }
        for (weight, fastest) in weights.iter().zip(&mut fastest[3..]) {
            let mut product = || weight.matmul_into(inputs.view(), out.view_mut(), &mut scratch);
            *fastest = (*fastest).min(time(|| product().expect("the shapes fit")));
        }
    }
    let names: Vec<&str> = libraries.iter().map(|library| library.name).collect();
    report::table(name, inputs.nrows(), &names, &fastest, &SPARSITIES, weights);
}

/// Compares packing and unpacking at 50 % with a copy of the dense tensor to memory that exists.
fn packing<A: Element>(weight: &Parameter<A>, name: &str) {
    let packed = Packed::new(weight);
    let mut copy = weight.value().clone();
    let mut fastest = [Duration::MAX; 3];
    for _ in 0..7 {
        fastest[0] = fastest[0].min(time(|| copy.assign(weight.value())));
        fastest[1] = fastest[1].min(time(|| Packed::new(weight)));
        fastest[2] = fastest[2].min(time(|| packed.to_dense()));
    }
    let [copy, pack, unpack] = fastest.map(|time| time.as_secs_f64() * 1e3);
    let (packs, unpacks) = (pack / copy, unpack / copy);
    println!(
        "{name}: copy {copy:.1} ms, pack {pack:.1} ms ({packs:.1} copies), unpack {unpack:.1} ms ({unpacks:.1} copies)"
    );
}

/// Compares the product with a plain loop over compressed rows.
fn plain_loop(weight: &Parameter<f32>, inputs: &Array2<f32>) {
    let plain = Plain::new(&weight.view().to_owned());
    let prepared = Packed::new(weight).prepare(inputs.nrows());
    let columns = inputs.t().as_standard_layout().into_owned();
    let mut out = Array2::zeros((weight.value().shape()[0], inputs.nrows()));
    let mut fastest = [Duration::MAX; 2];
    for _ in 0..5 {
        fastest[0] = fastest[0].min(time(|| plain.multiply(&columns, &mut out)));
        fastest[1] = fastest[1].min(time(|| prepared.matmul(inputs.view())));
    }
    let [plain, product] = fastest.map(|time| time.as_secs_f64() * 1e6);
    let ratio = plain / product;
    let verdict = if ratio < 1.0 { ": are the loops still compiled for this processor?" } else { "" };
    println!("batch {}, 90 %: a plain loop takes {ratio:.1} times as long{verdict}", inputs.nrows());
}

fn time<R>(f: impl FnOnce() -> R) -> Duration {
    let start = Instant::now();
    black_box(f());
    start.elapsed()
}

fn l1(sparsity: f64) -> L1Unstructured {
    L1Unstructured::new(sparsity).expect("a sparsity is a fraction")
}

fn pruned<A: Element>(weight: &Array2<A>, method: impl PruningMethod<A> + 'static) -> Parameter<A> {
    let mut parameter = Parameter::new(weight.clone());
    parameter.prune(method).expect("a matrix can be pruned");
    parameter
}

/// Numbers from -1 to 1 without a pattern.
fn noise(i: usize) -> f32 {
    let mut x = (i as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ x >> 31) >> 40) as f32 / (1 << 23) as f32 - 1.0
}
