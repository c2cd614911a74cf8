//! A pruning method as plain data: the crate builds one from it, and the oracle interprets it.

use ndarray::{ArrayD, ArrayViewD};
use prune::torch::Generator;
use prune::{
    Amount, Block, CustomFromMask, Describe, Element, Fpgm, Identity, L1Unstructured, LnStructured, Lowest, NM, Norm,
    PruneError, PruningMethod, PruningType, RandomStructured, RandomUnstructured, TieBreak,
};

use super::inputs::Fill;
use super::layout::Layout;

#[derive(Debug, Clone)]
pub enum Spec {
    Identity,
    L1 {
        amount: Amount,
    },
    Random {
        amount: Amount,
        seed: u64,
    },
    /// PyTorch's numbers, but the lowest index first among equal ones.
    Torch {
        amount: Amount,
        seed: u64,
    },
    RandomChannels {
        amount: Amount,
        dim: isize,
        seed: u64,
    },
    TorchChannels {
        amount: Amount,
        dim: isize,
        seed: u64,
    },
    Ln {
        amount: Amount,
        norm: Norm,
        dim: isize,
    },
    Fpgm {
        amount: Amount,
        dim: isize,
    },
    /// Scores with their signs.
    Lowest {
        amount: Amount,
    },
    /// An N:M pattern: of all groups, or of an amount of them.
    Nm {
        pattern: (usize, usize, isize),
        amount: Option<Amount>,
    },
    Block {
        amount: Amount,
        block: Vec<usize>,
        norm: Norm,
    },
    Custom {
        keep: Fill<bool>,
        layout: Layout,
        misshapen: bool,
    },
    /// A third party's method, of any type: see [`Every`].
    Every {
        step: usize,
        kind: PruningType,
    },
}

impl Spec {
    /// The crate's method, for a tensor of this shape.
    pub fn method<A: Element>(&self, shape: &[usize]) -> Result<Box<dyn PruningMethod<A>>, PruneError> {
        Ok(match self {
            Self::Identity => Box::new(Identity),
            &Self::L1 { amount } => Box::new(L1Unstructured::new(amount)?),
            &Self::Random { amount, seed } => Box::new(RandomUnstructured::new(amount, seed)?),
            &Self::Torch { amount, seed } => {
                let generator = Generator::manual_seed(seed);
                Box::new(RandomUnstructured::new(amount, generator)?.tie_break(TieBreak::LowestIndex))
            }
            &Self::RandomChannels { amount, dim, seed } => Box::new(RandomStructured::new(amount, dim, seed)?),
            &Self::TorchChannels { amount, dim, seed } => {
                Box::new(RandomStructured::new(amount, dim, Generator::manual_seed(seed))?)
            }
            &Self::Ln { amount, norm, dim } => Box::new(LnStructured::new(amount, norm, dim)?),
            &Self::Fpgm { amount, dim } => Box::new(Fpgm::new(amount, dim)?),
            &Self::Lowest { amount } => Box::new(Lowest::new(amount)?),
            &Self::Nm { pattern: (n, m, dim), amount } => {
                let pattern = NM::new(n, m, dim)?;
                Box::new(amount.map_or(Ok(pattern), |amount| pattern.amount(amount))?)
            }
            Self::Block { amount, block, norm } => Box::new(Block::new(*amount, block, *norm)?),
            Self::Custom { keep, layout, .. } => {
                Box::new(CustomFromMask::new(layout.of(&keep.array(&self.mask_shape(shape)))))
            }
            &Self::Every { step, kind } => Box::new(Every { step, kind }),
        })
    }

    /// The shape of a custom mask: an axis more than the tensor's where it is to be wrong.
    fn mask_shape(&self, shape: &[usize]) -> Vec<usize> {
        let extra = matches!(self, Self::Custom { misshapen: true, .. }).then_some(1);
        shape.iter().copied().chain(extra).collect()
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Identity => "Identity",
            Self::L1 { .. } => "L1Unstructured",
            Self::Random { .. } | Self::Torch { .. } => "RandomUnstructured",
            Self::RandomChannels { .. } | Self::TorchChannels { .. } => "RandomStructured",
            Self::Ln { .. } => "LnStructured",
            Self::Fpgm { .. } => "Fpgm",
            Self::Lowest { .. } => "Lowest",
            Self::Nm { .. } => "NM",
            Self::Block { .. } => "Block",
            Self::Custom { .. } => "CustomFromMask",
            Self::Every { .. } => "Every",
        }
    }

    pub fn kind(&self) -> PruningType {
        match *self {
            Self::Identity | Self::L1 { .. } | Self::Lowest { .. } | Self::Random { .. } | Self::Torch { .. } => {
                PruningType::Unstructured
            }
            Self::Nm { .. } | Self::Block { .. } => PruningType::Groups,
            Self::RandomChannels { dim, .. }
            | Self::TorchChannels { dim, .. }
            | Self::Ln { dim, .. }
            | Self::Fpgm { dim, .. } => PruningType::Structured { dim },
            Self::Custom { .. } => PruningType::Global,
            Self::Every { kind, .. } => kind,
        }
    }
}

/// Of what it is handed, keeps every `step`-th entry in row-major order: shows what a method was handed.
#[derive(Debug, Clone)]
pub struct Every {
    pub step: usize,
    pub kind: PruningType,
}

impl Describe for Every {
    fn name(&self) -> &str {
        "Every"
    }
    fn pruning_type(&self) -> PruningType {
        self.kind
    }
}

impl<A: Element> PruningMethod<A> for Every {
    fn compute_mask(
        &self,
        _: ArrayViewD<'_, A>,
        default_mask: ArrayViewD<'_, bool>,
    ) -> Result<ArrayD<bool>, PruneError> {
        let mut mask = default_mask.as_standard_layout().into_owned();
        for (position, kept) in mask.iter_mut().enumerate() {
            *kept &= position.is_multiple_of(self.step);
        }
        // An odd layout is no breach: whoever calls a method must cope with it.
        Ok(Layout::F.of(&mask))
    }
}
