//! The pruner of a recipe: its methods, their amounts and the allocation.

use std::sync::Arc;

use clap::error::ErrorKind;
use prune::calibration::{Pattern, Statistics};
use prune::checkpoint::{self, Checkpoint, CheckpointError, Observer, Owl, Pruner};
use prune::training::{Allocation, Bounds};
use prune::{Amount, AnyMethod, MethodOption, MethodOptions, PruneError};

use crate::amount::LayerAmount;
use crate::calibrated::{self, AllocationRule, Calibrated, OwlOptions};
use crate::error::CliError;
use crate::parse::{BlockName, MethodName, NormName, PatternName};
use crate::recipe::{Recipe, missing, usage};

impl Recipe {
    /// Returns the pruner. An option of another method is an error, because it would have no effect.
    pub fn pruner(&self) -> Result<Pruner, CliError> {
        let Some(method) = self.method else {
            return Err(usage(ErrorKind::MissingRequiredArgument, "--method is missing"));
        };
        self.check_options(method)?;
        let scope = self.scope.map_or_else(Default::default, Into::into);
        let statistics = self.statistics.as_deref().map(calibrated::open).transpose()?;
        let pruner = self.methods(method, statistics.clone())?.scope(scope).output_axis(self.dim.is_none());
        let pruner = statistics.into_iter().fold(pruner, Pruner::statistics);
        let pruner = match self.allocation()? {
            Some((allocation, bounds)) => pruner.allocation(allocation, bounds),
            None => pruner,
        };
        Ok(pruner.selection(self.names.selection()))
    }

    /// Returns the allocation and its bounds.
    fn allocation(&self) -> Result<Option<(Allocation, Bounds)>, CliError> {
        let default = Bounds::default();
        let bounds =
            Bounds { min: self.min_sparsity.unwrap_or(default.min), max: self.max_sparsity.unwrap_or(default.max) };
        match self.allocation {
            Some(_) if self.is_global() => {
                Err(usage(ErrorKind::ArgumentConflict, "--allocation does not apply to --scope global"))
            }
            Some(AllocationRule::Named(name)) => Ok(Some((name.into(), bounds))),
            Some(AllocationRule::Owl(_)) if bounds != default => {
                let message = "--min-sparsity and --max-sparsity do not apply to --allocation owl";
                Err(usage(ErrorKind::ArgumentConflict, message))
            }
            Some(AllocationRule::Owl(_)) => Ok(None),
            // A recipe in a file is not checked by the parser of the command line.
            None if bounds != default => {
                Err(usage(ErrorKind::MissingRequiredArgument, "--min-sparsity and --max-sparsity need --allocation"))
            }
            None => Ok(None),
        }
    }

    /// Returns a pruner with the method of each tensor.
    fn methods(&self, name: MethodName, statistics: Option<Arc<Statistics>>) -> Result<Pruner, CliError> {
        if let MethodName::Mask = name {
            let mask = self.mask.clone().ok_or_else(|| missing(name, "--mask FILE"))?;
            return Ok(Pruner::masks(mask));
        }
        let calibrated = statistics.map(|statistics| self.calibrated(statistics));
        let make = |amount: Option<Amount>| {
            let method = self.method(name, amount, calibrated.as_ref())?;
            Ok::<_, CliError>(match &calibrated {
                Some(calibrated) => calibrated.refined(method),
                None => method,
            })
        };
        let amounts = [&self.amount, &self.sparsity].into_iter().flatten();
        let mut others = None;
        let mut layers = Vec::new();
        for LayerAmount { pattern, amount, .. } in amounts {
            match pattern {
                Some(pattern) => layers.push((pattern.clone(), make(Some(*amount))?)),
                None if others.is_some() => {
                    let message = "one amount for all tensors is enough; the others need patterns: PATTERN=AMOUNT";
                    return Err(usage(ErrorKind::TooManyValues, message));
                }
                None => others = Some(make(Some(*amount))?),
            }
        }
        match others {
            None if layers.is_empty() => Ok(Pruner::new(make(None)?)),
            None => Ok(Pruner::by_layer(layers)),
            Some(others) => {
                let add = |pruner: Pruner, (pattern, method)| pruner.layer(pattern, method);
                Ok(layers.into_iter().fold(Pruner::new(others), add))
            }
        }
    }

    /// Returns the pruner with a sparsity for each tensor, if the options ask for an allocation.
    pub fn allocated(&self, checkpoint: &Checkpoint, observer: &dyn Observer) -> Result<Option<Pruner>, CliError> {
        let (Some(AllocationRule::Owl(OwlOptions { multiple, spread })), Some(name), Some(path)) =
            (self.allocation, self.method, &self.statistics)
        else {
            return Ok(None);
        };
        let sparsity = match (self.amount.as_slice(), self.sparsity.as_slice()) {
            ([LayerAmount { pattern: None, amount: Amount::Fraction(share) | Amount::Sparsity(share), .. }], [])
            | ([], [LayerAmount { pattern: None, amount: Amount::Fraction(share) | Amount::Sparsity(share), .. }]) => {
                *share
            }
            _ => {
                let message = "--allocation divides one share: write one --amount or --sparsity, without a pattern";
                return Err(usage(ErrorKind::ArgumentConflict, message));
            }
        };
        let statistics = calibrated::open(path)?;
        let selection = self.names.selection();
        let owl = Owl { sparsity, multiple, spread };
        let sparsities = checkpoint::owl(checkpoint, &selection, &statistics, owl, observer)?;
        let calibrated = self.calibrated(Arc::clone(&statistics));
        let layer = |(tensor, share): (String, f64)| {
            let method = self.method(name, Some(Amount::sparsity(share)), Some(&calibrated))?;
            Ok((calibrated::literal(&tensor), calibrated.refined(method)))
        };
        let layers = sparsities.into_iter().map(layer).collect::<Result<Vec<_>, CliError>>()?;
        Ok(Some(Pruner::by_layer(layers).statistics(statistics).selection(selection)))
    }

    fn calibrated(&self, statistics: Arc<Statistics>) -> Calibrated<'_> {
        let Self { pattern, dampening, dampening_of, refine, update, .. } = *self;
        Calibrated { statistics, pattern, block: self.block.as_ref(), dampening, dampening_of, refine, update }
    }

    /// Returns the method for one amount.
    fn method(
        &self,
        name: MethodName,
        amount: Option<Amount>,
        calibrated: Option<&Calibrated<'_>>,
    ) -> Result<AnyMethod, CliError> {
        let made = match name {
            MethodName::BuiltIn(method) => AnyMethod::from_name(method.name(), &self.method_options(amount)),
            MethodName::Calibrated(method) => {
                let pattern = match (self.pattern, amount) {
                    (Some(PatternName { n: keep, m: of }), None) => Pattern::KeepOf { keep, of },
                    (None, Some(amount)) => Pattern::Amount(amount),
                    (Some(_), Some(_)) => {
                        let message = "--pattern says how much is pruned, so --amount and --sparsity do not apply";
                        return Err(usage(ErrorKind::ArgumentConflict, message));
                    }
                    (None, None) => return Err(missing(name, "--amount AMOUNT or --pattern N:M")),
                };
                let calibrated = calibrated.ok_or_else(|| missing(name, "--statistics FILE"))?;
                calibrated.method(method, pattern)
            }
            MethodName::Mask => unreachable!("masks are of no amount"),
        };
        made.map_err(|source| match source {
            PruneError::MissingOption { option: MethodOption::Amount, .. } => missing(name, "--amount AMOUNT"),
            PruneError::MissingOption { option: MethodOption::Pattern, .. } => missing(name, "--pattern N:M"),
            PruneError::MissingOption { option: MethodOption::Block, .. } => missing(name, "--block AxB"),
            source => CheckpointError::Method { source }.into(),
        })
    }

    fn method_options(&self, amount: Option<Amount>) -> MethodOptions {
        let options = MethodOptions::new();
        let options = amount.into_iter().fold(options, MethodOptions::amount);
        let options = self.norm.into_iter().fold(options, |options, NormName(norm)| options.norm(norm));
        let options = self.dim.into_iter().fold(options, MethodOptions::dim);
        let options = self.pattern.iter().fold(options, |options, &PatternName { n, m }| options.pattern(n, m));
        let options = self.block.iter().fold(options, |options, BlockName(shape)| options.block(shape));
        let options = self.ties.into_iter().fold(options, |options, ties| options.tie_break(ties.into()));
        self.seed.into_iter().fold(options, MethodOptions::source)
    }
}
