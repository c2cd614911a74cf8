//! The Rust side of `benches/compare/compare.py`, which times this crate and PyTorch on the same tensors in turn.
//!
//! It reads one request per line from standard input: `OPERATION DTYPE ROWS COLUMNS FILE`, separated by tabs. The file holds
//! the tensor as little-endian bytes. For each request it prints the seconds that one run took, and writes the mask to
//! `FILE.mask`, one byte per entry.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, Write};
use std::time::Instant;

use half::bf16;
use ndarray::Array2;
use prune::{
    Block, CustomFromMask, Element, Identity, L1Unstructured, LnStructured, NM, Parameter, PruningMethod,
    RandomStructured, RandomUnstructured,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The tensor of the last request.
struct Loaded<A> {
    file: String,
    tensor: Array2<A>,
}

impl<A: Element + bytemuck::Pod> Loaded<A> {
    fn new() -> Self {
        Self { file: String::new(), tensor: Array2::default((0, 0)) }
    }

    fn run(&mut self, operation: &str, rows: usize, columns: usize, file: &str) -> Outcome<f64> {
        if self.file != file {
            let values = bytemuck::pod_collect_to_vec(&fs::read(file)?);
            *self = Self { file: file.to_owned(), tensor: Array2::from_shape_vec((rows, columns), values)? };
        }
        let seconds;
        let parts;
        if operation == "global" {
            let chunks = self.tensor.axis_chunks_iter(ndarray::Axis(0), rows.div_ceil(64));
            let mut targets: Vec<_> = chunks.map(|rows| Parameter::new(rows.to_owned())).collect();
            let start = Instant::now();
            prune::global_unstructured(&mut targets, L1Unstructured::new(0.5)?)?;
            seconds = start.elapsed();
            parts = targets;
        } else {
            let mut parameter = Parameter::new(self.tensor.clone());
            if ["again", "update", "remove"].contains(&operation) {
                parameter.prune(L1Unstructured::new(0.5)?)?;
            }
            let start;
            match operation {
                "update" => {
                    start = Instant::now();
                    parameter.update(|_| ());
                }
                "remove" => {
                    start = Instant::now();
                    parameter.remove()?;
                }
                _ => {
                    let method = self.method(operation)?;
                    start = Instant::now();
                    parameter.prune(method)?;
                }
            }
            seconds = start.elapsed();
            parts = vec![parameter];
        }
        let masks = parts.iter().filter_map(Parameter::mask).flat_map(|mask| mask.iter().map(u8::from));
        fs::write(format!("{file}.mask"), masks.collect::<Vec<_>>())?;
        Ok(seconds.as_secs_f64())
    }

    fn method(&self, operation: &str) -> Outcome<Box<dyn PruningMethod<A>>> {
        Ok(match operation {
            "identity" => Box::new(Identity),
            "l1 0.5" | "again" => Box::new(L1Unstructured::new(0.5)?),
            "l1 0.9" => Box::new(L1Unstructured::new(0.9)?),
            "random" => Box::new(RandomUnstructured::new(0.5, 888)?),
            "random channels" => Box::new(RandomStructured::new(0.5, 0, 888)?),
            "l2 rows" => Box::new(LnStructured::new(0.5, 2, 0)?),
            "l2 columns" => Box::new(LnStructured::new(0.5, 2, 1)?),
            "2:4" => Box::new(NM::new(2, 4, -1)?),
            "blocks" => Box::new(Block::new(0.5, &[4, 4], 1)?),
            "own mask" => Box::new(CustomFromMask::new(self.tensor.mapv(|x| x > A::zero()))),
            _ => return Err(format!("no operation named `{operation}`").into()),
        })
    }
}

fn main() -> Outcome<()> {
    let (mut single, mut brain) = (Loaded::<f32>::new(), Loaded::<bf16>::new());
    for line in io::stdin().lock().lines() {
        let line = line?;
        let fields: Vec<&str> = line.split('\t').collect();
        let [operation, dtype, rows, columns, file] = fields[..] else {
            return Err(format!("request must have five fields separated by tabs, found `{line}`").into());
        };
        let (rows, columns) = (rows.parse()?, columns.parse()?);
        let seconds = match dtype {
            "f32" => single.run(operation, rows, columns, file)?,
            "bf16" => brain.run(operation, rows, columns, file)?,
            _ => return Err(format!("element type `{dtype}` is not supported here").into()),
        };
        println!("{seconds:e}");
        io::stdout().flush()?;
    }
    Ok(())
}
