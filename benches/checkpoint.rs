//! Pruning a checkpoint against `cp` of the same file, as a ratio, with the most memory that it took.
//!
//! The file is written first, so that it is in the page cache; `cp` and the operation take turns, and the fastest of several
//! turns counts. Limits are those that the crate promises: twice `cp` for one tensor after the other, three times for all
//! together, and 256 MiB.
//!
//! ```sh
//! cargo bench --bench checkpoint                    # 2048 MiB of F32 in the folder for temporary files
//! cargo bench --bench checkpoint -- 512 BF16 /mnt   # another size, dtype and folder
//! ```

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use prune::checkpoint::{Checkpoint, Format, Output, Pruner, Scope};
use prune::{L1Unstructured, RandomUnstructured};

const TURNS: usize = 3;

/// A model of layers as large as those of a language model of some billion weights, until the size is reached.
fn write_model(path: &Path, mebibytes: usize, dtype: &str) -> Result<(), Box<dyn Error>> {
    let size = if dtype == "BF16" { 2 } else { 4 };
    let shapes = [[2048, 2048], [2048, 2048], [8192, 2048], [2048, 8192], [24_576, 2048]];
    let mut header = String::new();
    let (mut end, mut tensors) = (0, Vec::new());
    for [rows, columns] in shapes.into_iter().cycle() {
        let (start, entries) = (end, rows * columns);
        end += entries * size;
        if end > mebibytes << 20 {
            break;
        }
        header += &format!(
            ",\"layer.{}.weight\":{{\"dtype\":\"{dtype}\",\"shape\":[{rows},{columns}],\"data_offsets\":[{start},{end}]}}",
            tensors.len()
        );
        tensors.push(entries);
    }
    let mut header = format!("{{{}}}", header.trim_start_matches(','));
    header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    let mut state = 42_u64;
    for entries in tensors {
        for _ in 0..entries {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            // The sum of four uniform numbers is close enough to a normal one.
            let sum: u32 = (0..4).map(|i| (state >> (16 * i)) as u32 & 0xffff).sum();
            let weight = (sum as f32 + (state >> 33) as f32 / 2e9 - 131_070.0) / 4e6;
            let bytes = weight.to_le_bytes();
            file.write_all(if size == 2 { &bytes[2..] } else { &bytes })?;
        }
    }
    file.into_inner()?.sync_all()?;
    Ok(())
}

/// The most memory that this process has had, in MiB, where the operating system tells.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? >> 10)
}

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo bench` adds a flag of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let argument = |number: usize, default: &str| arguments.get(number).cloned().unwrap_or(default.to_owned());
    let (mebibytes, dtype) = (argument(0, "2048").parse()?, argument(1, "F32"));
    let folder = tempfile::tempdir_in(argument(2, &std::env::temp_dir().to_string_lossy()))?;
    let (input, output) = (folder.path().join("model.safetensors"), folder.path().join("pruned.safetensors"));
    write_model(&input, mebibytes, &dtype)?;

    println!("{mebibytes} MiB of {dtype}, fastest of {TURNS}\n");
    println!("| {:<34} | {:>7} | {:>6} | {:>5} | {:>8} |", "operation", "s", "/ cp", "limit", "peak MiB");
    println!("|{:-<36}|{:->9}|{:->8}|{:->7}|{:->10}|", "", ":", ":", ":", ":");
    let l1 = |scope, format| -> Result<Pruner, Box<dyn Error>> {
        Ok(Pruner::new(L1Unstructured::new(0.5)?).scope(scope).format(format))
    };
    let random = Pruner::new(RandomUnstructured::new(0.5, 1)?);
    for (name, limit, prune) in [
        ("L1, tensor by tensor", 2.0, l1(Scope::Tensor, Format::Weights)?),
        ("L1, global", 3.0, l1(Scope::Global, Format::Weights)?),
        ("L1, global, only masks", 3.0, l1(Scope::Global, Format::Masks)?),
        ("random, tensor by tensor", 2.0, random.clone()),
        ("random, global", 3.0, random.scope(Scope::Global)),
    ] {
        let mut fastest = [Duration::MAX; 2];
        for _ in 0..TURNS {
            let start = Instant::now();
            let status = Command::new("cp").args([&input, &output]).status()?;
            fastest[0] = fastest[0].min(start.elapsed());
            assert!(status.success());
            fs::remove_file(&output)?;

            let start = Instant::now();
            let report = prune.run(&Checkpoint::open([&input])?, &Output::new(&output), &())?;
            fastest[1] = fastest[1].min(start.elapsed());
            assert!(report.pruned_after() > 0);
            fs::remove_file(&output)?;
        }
        let [cp, operation] = fastest.map(|time| time.as_secs_f64());
        let (ratio, peak) = (operation / cp, peak().map_or("?".to_owned(), |peak| peak.to_string()));
        let verdict = if ratio <= limit { "" } else { "  above" };
        println!("| {name:<34} | {operation:>7.2} | {ratio:>6.2} | {limit:>5.1} | {peak:>8} |{verdict}");
    }
    Ok(())
}
