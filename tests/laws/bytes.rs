//! A sequence of calls from a fuzzer's bytes: what comes first in them comes first in the sequence, and no byte makes an
//! invalid one. The fuzz target `pruning` consists of this and of [`machine`](super::machine).

use prune::{Amount, Norm, PruningType};

use super::dtype::Dtype;
use super::files;
use super::inputs::Fill;
use super::layout::Layout;
use super::machine::{NAMES, Sequence, Step, agrees_with_the_model};
use super::spec::Spec;

/// Follows the sequence that bytes stand for; the first one tells the element type.
pub fn check(bytes: &[u8]) {
    let Some((dtype, bytes)) = bytes.split_first() else { return };
    let mut bytes = Bytes(bytes);
    match dtype % 4 {
        0 => agrees_with_the_model(bytes.sequence::<f32>()),
        1 => agrees_with_the_model(bytes.sequence::<f64>()),
        2 => agrees_with_the_model(bytes.sequence::<half::f16>()),
        _ => agrees_with_the_model(bytes.sequence::<half::bf16>()),
    }
}

/// The remaining bytes; zeros follow.
struct Bytes<'b>(&'b [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_at(N.min(self.0.len()));
        self.0 = rest;
        let mut bytes = [0; N];
        bytes[..taken.len()].copy_from_slice(taken);
        bytes
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.take::<1>()[0]) % end
    }

    fn word(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    /// Once in eight times.
    fn seldom(&mut self) -> bool {
        self.below(8) == 7
    }

    fn list<T>(&mut self, least: usize, most: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..least + self.below(most - least + 1)).map(|_| one(self)).collect()
    }

    fn sequence<A: Dtype>(&mut self) -> Sequence<A> {
        let tensors = [(); NAMES.len()].map(|()| (self.shape(), self.fill()));
        let mut steps = Vec::new();
        while !self.0.is_empty() && steps.len() < 32 {
            steps.push(self.step());
        }
        (tensors, steps)
    }

    fn shape(&mut self) -> Vec<usize> {
        if self.below(3) == 0 {
            return vec![self.below(80)];
        }
        let mut shape = self.list(0, 6, |bytes| bytes.below(6));
        while shape.iter().product::<usize>() > 400 {
            shape.pop();
        }
        shape
    }

    /// Small numbers that tie, or any bits.
    fn fill<A: Dtype>(&mut self) -> Fill<A> {
        let any = self.below(2) == 1;
        let number = |bytes: &mut Self| match any {
            true => A::of_bits(bytes.word()),
            false => A::of(f64::from(bytes.take::<1>()[0] as i8) / 4.0),
        };
        Fill::of(self.list(1, 24, number))
    }

    fn amount(&mut self) -> Amount {
        match self.below(4) {
            0 => Amount::Count(self.below(256)),
            1 => Amount::Fraction(f64::from_bits(self.word())),
            _ => Amount::Fraction(self.below(256) as f64 / 255.0),
        }
    }

    fn dim(&mut self) -> isize {
        if self.seldom() { self.word() as isize } else { self.below(8) as isize - 4 }
    }

    fn norm(&mut self) -> Norm {
        let orders = [2.0, 1.0, 0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, 3.0, -1.0, 0.5, f64::NAN];
        match self.below(orders.len() + 1) {
            0 => Norm::Frobenius,
            order => Norm::L(orders[order - 1]),
        }
    }

    fn layout(&mut self) -> Layout {
        Layout::ALL[self.below(Layout::ALL.len())]
    }

    fn spec(&mut self) -> Spec {
        match self.below(9) {
            0 => Spec::Identity,
            1 | 2 => Spec::L1 { amount: self.amount() },
            3 => Spec::Random { amount: self.amount(), seed: self.word() },
            4 => Spec::Torch { amount: self.amount(), seed: self.word() },
            5 => Spec::Ln { amount: self.amount(), norm: self.norm(), dim: self.dim() },
            6 if self.below(2) == 0 => {
                Spec::RandomChannels { amount: self.amount(), dim: self.dim(), seed: self.word() }
            }
            6 => Spec::TorchChannels { amount: self.amount(), dim: self.dim(), seed: self.word() },
            7 => Spec::Custom {
                keep: Fill::of(self.list(1, 16, |bytes| bytes.below(2) == 1)),
                layout: self.layout(),
                misshapen: self.seldom(),
            },
            _ => {
                let kind = match self.below(3) {
                    0 => PruningType::Unstructured,
                    1 => PruningType::Structured { dim: self.dim() },
                    _ => PruningType::Global,
                };
                Spec::Every { step: 1 + self.below(3), kind }
            }
        }
    }

    fn step<A: Dtype>(&mut self) -> Step<A> {
        let at = self.below(NAMES.len());
        match self.below(10) {
            0..=2 => Step::Prune { at, spec: self.spec() },
            3 => Step::PruneByScores {
                at,
                spec: self.spec(),
                scores: self.fill(),
                layout: self.layout(),
                misshapen: self.seldom(),
            },
            4 | 5 => {
                let mut names = NAMES.to_vec();
                names.rotate_left(at);
                names.truncate(self.below(NAMES.len() + 1));
                Step::Global { names, spec: self.spec(), scores: self.fill(), misshapen: self.seldom() }
            }
            6 => Step::Update { at, orig: self.fill(), from: self.below(256) },
            7 => Step::MaskGradient { at, gradient: self.fill(), layout: self.layout(), misshapen: self.seldom() },
            8 if self.below(2) == 0 => Step::Clone,
            8 => Step::Remove { at },
            _ => Step::File(files::Step::ALL[self.below(files::Step::ALL.len())]),
        }
    }
}

#[test]
fn every_input_of_the_fuzz_target_agrees_with_the_model() {
    super::replay::all("pruning", check);
}
