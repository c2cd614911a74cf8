//! The tables.

use std::time::Duration;

use prune::Element;
use prune::sparse::{Form, Prepared};

/// The ratios to reach for `f32` weights of 4096 x 4096 on one thread: batch, then sparsity and ratio.
const BARS: [(usize, &[(f64, f64)]); 4] = [
    (1, &[(0.7, 1.3), (0.8, 1.6), (0.9, 3.0), (0.95, 5.0)]),
    (8, &[(0.5, 1.6), (0.7, 2.6), (0.8, 4.0), (0.9, 6.0), (0.95, 7.5)]),
    (32, &[(0.5, 1.6), (0.7, 2.8), (0.8, 4.0), (0.9, 5.5), (0.95, 8.5)]),
    (128, &[(0.5, 1.1), (0.7, 1.8), (0.8, 2.8), (0.9, 4.5), (0.95, 7.0)]),
];

/// Prints the times of the libraries, and for each sparsity the time, the ratio to the fastest library and to `ndarray`.
pub fn table<A: Element>(
    name: &str,
    batch: usize,
    libraries: &[&str],
    times: &[Duration],
    sparsities: &[f64],
    weights: &[Prepared<A>],
) {
    let micros = |time: &Duration| time.as_secs_f64() * 1e6;
    let (dense, sparse) = times.split_at(libraries.len());
    let fastest = dense.iter().map(micros).fold(f64::INFINITY, f64::min);
    let named: Vec<String> =
        libraries.iter().zip(dense).map(|(name, time)| format!("{name} {:.0}", micros(time))).collect();
    println!("batch {batch}, {name}: {} µs", named.join(", "));
    println!("sparsity       µs  ratio  bar   to ndarray   GB/s   bytes  form");
    let bars = BARS.iter().find(|(of, _)| *of == batch).map_or(&[][..], |(_, bars)| bars);
    let mut ratios = Vec::new();
    for ((&sparsity, time), weight) in sparsities.iter().zip(sparse).zip(weights) {
        let (ratio, to_ndarray) = (fastest / micros(time), micros(&dense[0]) / micros(time));
        let bar = bars.iter().find(|(of, _)| *of == sparsity && name == "f32");
        let bar = bar.map_or("    ".into(), |(_, bar)| format!("{bar:.1}{}", if ratio < *bar { "!" } else { " " }));
        let share = weight.bytes() as f64 / (weight.rows() * weight.columns() * size_of::<A>()) as f64;
        let speed = weight.bytes() as f64 / micros(time) / 1e3;
        println!(
            "{:>6.0} % {:>8.0} {ratio:>6.2}  {bar}  {to_ndarray:>10.2} {speed:>6.1} {:>5.1} %  {}",
            sparsity * 100.0,
            micros(time),
            share * 100.0,
            weight.form()
        );
        if weight.form() != Form::Dense {
            ratios.push((sparsity, ratio));
        }
    }
    println!("{}\n", break_even(&ratios));
}

/// The sparsity from which on the product is faster than the fastest library, by linear interpolation.
fn break_even(ratios: &[(f64, f64)]) -> String {
    let crossing = ratios.windows(2).find(|pair| pair[0].1 < 1.0 && pair[1].1 >= 1.0);
    match (ratios.first(), crossing) {
        (_, Some(&[(below, slow), (above, fast)])) => {
            let at = below + (above - below) * (1.0 - slow) / (fast - slow);
            format!("breaks even at {:.0} %", at * 100.0)
        }
        (Some((sparsity, ratio)), None) if *ratio >= 1.0 => format!("breaks even below {:.0} %", sparsity * 100.0),
        (_, _) => "does not break even".into(),
    }
}

/// The name of the processor, as Linux tells it.
pub fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let [model, family, number] = ["model name", "cpu family", "model\t"].map(|name| field(name).unwrap_or_default());
    let flags = field("flags").unwrap_or_default();
    let vectors = ["avx512f", "avx2", "sse2"].into_iter().find(|name| flags.split(' ').any(|flag| flag == *name));
    format!("{model} (family {family}, model {number}, {})", vectors.unwrap_or("no known vectors"))
}
