//! A first look at pruning: one convolution, before and after.
//!
//! PyTorch started with `torch.manual_seed(888)` and one `Conv2d(1, 1, 3)` prints the same numbers: the weights, the random
//! mask and the signed zeros all match.
//!
//! ```text
//! cargo run --example article
//! ```

use ndarray::{ArrayD, ArrayViewD};
use prune::{Parameter, torch::Generator};
use std::{error::Error, io};

/// `torch.nn.Conv2d(1, 1, 3)`.
struct Conv2d {
    weight: Parameter<f32>,
    bias: Parameter<f32>,
}

impl prune::Module for Conv2d {
    type Elem = f32;
    prune::named_parameters!(weight, bias);
}

impl Conv2d {
    /// PyTorch's default initialisation, drawn from `generator`: first the weight, then the bias.
    fn new(generator: &Generator) -> Self {
        let (weight, bias) = generator.conv::<f32>(1, 1, &[3, 3]);
        Self { weight: weight.into(), bias: bias.into() }
    }
}

/// A generator freshly seeded and the layer that its first draws make.
fn fresh() -> (Conv2d, Generator) {
    let generator = Generator::manual_seed(888);
    (Conv2d::new(&generator), generator)
}

/// Prints the whole run to `out`.
pub(crate) fn article(out: &mut impl io::Write) -> Result<(), Box<dyn Error>> {
    // Identity prunes nothing; it puts the machinery in place (an all-true mask).
    let (mut conv, _) = fresh();
    prune::identity(&mut conv, "weight")?;
    writeln!(out, "identity\n{}\n", tensor(conv.weight.value().view()))?;

    // The stream that made the layer also draws the mask, as in PyTorch.
    let (mut conv, generator) = fresh();
    prune::random_unstructured(&mut conv, "weight", 0.5, &generator)?;
    writeln!(out, "random_unstructured, amount 0.5\n{}\n", tensor(conv.weight.value().view()))?;

    let (mut conv, _) = fresh();
    prune::l1_unstructured(&mut conv, "weight", 0.5)?;
    writeln!(out, "l1_unstructured, amount 0.5\n{}\n", tensor(conv.weight.value().view()))?;

    // The original is kept beside the mask for as long as the parameter is pruned ...
    writeln!(out, "its original\n{}\n", tensor(conv.weight.orig().view()))?;

    // ... and remove makes the pruning permanent: it keeps the values and drops the mask.
    prune::remove(&mut conv, "weight")?;
    writeln!(out, "removed: is_pruned = {}\n{}", prune::is_pruned(&conv), tensor(conv.weight.orig().view()))?;
    Ok(())
}

/// `values` in PyTorch's layout, to four decimals: `tensor([[[[-0.3017, ...`.
fn tensor(values: ArrayViewD<'_, f32>) -> String {
    let texts: ArrayD<String> = values.map(|value| format!("{value:.4}"));
    let width = texts.iter().map(String::len).max().unwrap_or(0);
    let texts = texts.mapv(|text| format!("{text:>width$}"));
    format!("tensor({})", brackets(texts.view(), "tensor(".len()))
}

/// One pair of brackets an axis; `indent` is the column of the first.
fn brackets(texts: ArrayViewD<'_, String>, indent: usize) -> String {
    if texts.ndim() == 0 {
        return texts.iter().cloned().collect();
    }
    let parts: Vec<String> = texts.outer_iter().map(|part| brackets(part, indent + 1)).collect();
    let separator = match texts.ndim() {
        1 => ", ".to_owned(),
        axes => format!(",{}{}", "\n".repeat(axes - 1), " ".repeat(indent + 1)),
    };
    format!("[{}]", parts.join(&separator))
}

fn main() -> Result<(), Box<dyn Error>> {
    article(&mut io::stdout().lock())
}
