//! The steps of a pruning: a method decides about the remaining entries of a parameter, and the decision is carried out.

use crate::element::Element;
use crate::error::PruneError;
use crate::mask::Mask;
use crate::method::PruningMethod;
use crate::method::candidates::{MemoryCandidates, TensorCandidates};
use crate::method::decide::decide;
use crate::method::decision::{ChunkId, Decision};
use crate::parameter::commit::{commit_again, commit_first};
use crate::parameter::{ImportanceScores, Parameter, Pruned};
use crate::tensor::{flat, flat_mut, parallel, zeroed};

impl<A: Element> Parameter<A> {
    /// Decides by a method, and carries the decision out.
    pub(super) fn prune_with(
        &mut self,
        method: impl PruningMethod<A> + 'static,
        scores: Option<ImportanceScores<'_, A>>,
    ) -> Result<(), PruneError> {
        let decision = self.decide(&method, scores.as_ref())?;
        self.commit_method(&decision, method, scores.as_ref());
        Ok(())
    }

    /// Rejects a built-in method that cannot prune the remaining entries. Nothing is decided, and nothing is drawn.
    pub(crate) fn check(&self, method: &dyn PruningMethod<A>) -> Result<(), PruneError> {
        let Some(method) = method.built_in() else { return Ok(()) };
        MemoryCandidates::new(vec![self.candidates(None)]).resolve(method.request(&[])?).map(drop)
    }

    /// The decision of a method about the remaining entries, with nothing changed yet.
    pub(crate) fn decide(
        &self,
        method: &dyn PruningMethod<A>,
        scores: Option<&ImportanceScores<'_, A>>,
    ) -> Result<Decision<A>, PruneError> {
        let candidates = self.candidates(scores);
        match self.pruned {
            None => decide(method, &MemoryCandidates::untouched(candidates.scores)),
            Some(_) => decide(method, &MemoryCandidates::new(vec![candidates])),
        }
    }

    /// Carries a decision of a method out, and adds the method to the history.
    pub(crate) fn commit_method(
        &mut self,
        decision: &Decision<A>,
        method: impl PruningMethod<A> + 'static,
        scores: Option<&ImportanceScores<'_, A>>,
    ) {
        self.commit(decision, ChunkId::FIRST, scores);
        self.methods.push(method);
    }

    /// Carries a decision out on one parameter or on several. Each history gets a mask that came from elsewhere.
    pub(crate) fn commit_mask(mut targets: Vec<(&mut Self, Option<ImportanceScores<'_, A>>)>, decision: &Decision<A>) {
        let entries = targets.iter().map(|(parameter, _)| parameter.value.len());
        let (entries, places): (usize, Vec<_>) = (entries.clone().sum(), ChunkId::of_tensors(entries).collect());
        let jobs = targets.iter_mut().zip(places).collect();
        parallel::for_each(jobs, entries, |((parameter, scores), first): (&mut (&mut Self, _), _)| {
            parameter.commit(decision, first, Option::as_ref(scores));
            parameter.methods.push_mask();
        });
    }

    /// The remaining entries.
    pub(crate) fn candidates<'s>(&'s self, scores: Option<&'s ImportanceScores<'_, A>>) -> TensorCandidates<'s, A> {
        TensorCandidates {
            scores: scores.map_or_else(|| self.value.view(), |scores| scores.view()),
            remaining: self.mask().map(Mask::view),
        }
    }

    /// Carries a decision out. `first` is the place of the tensor's first chunk among those of all tensors.
    fn commit(&mut self, decision: &Decision<A>, first: ChunkId, scores: Option<&ImportanceScores<'_, A>>) {
        let scores = scores.map(|scores| flat(scores));
        match &mut self.pruned {
            Some(Pruned { mask, .. }) => {
                commit_again(decision, first, scores, mask.as_mut_slice(), flat_mut(&mut self.value));
            }
            None => {
                let (mut mask, mut value) = (zeroed(self.value.raw_dim()), zeroed(self.value.raw_dim()));
                commit_first(decision, first, flat(&self.value), scores, flat_mut(&mut mask), flat_mut(&mut value));
                let orig = std::mem::replace(&mut self.value, value);
                self.pruned = Some(Pruned { orig, mask: mask.into() });
            }
        }
    }
}
