//! The axes of the channels in a structured pruning.

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::prune::kind::{bias_name, gain_name, output_axis};
use crate::checkpoint::prune::layer_methods::MatchedMethods;
use crate::checkpoint::prune::plan::ParameterPlan;
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::read::usage::LayerWeight;
use crate::checkpoint::report::{AxisReason, ChannelAxis};
use crate::method::{AnyMethod, Describe, PruningMethod};
use crate::pruning_type::PruningType;

/// Sets the axis of each plan that prunes channels: that of the layer's output if `by_layer`, otherwise that of the method.
///
/// Refuses channels of the direction v of a weight norm, w = g * v / ||v||: a channel of zeros would become NaN.
pub(crate) fn set(
    checkpoint: &Checkpoint,
    methods: &MatchedMethods<'_>,
    by_layer: bool,
    plans: &mut [ParameterPlan<'_>],
) -> Result<(), CheckpointError> {
    let by_name = checkpoint.parameters_by_name();
    for plan in plans.iter_mut().filter(|plan| plan.skip.is_none()) {
        let parameter = plan.parameter;
        let Some(method) = methods.of(&parameter.name) else { continue };
        let PruningType::Structured { dim } = method.pruning_type() else { continue };
        plan.axis = if by_layer && is_built_in(method) {
            let bias = || by_name.get(bias_name(&parameter.name).as_str()).map(|bias| bias.entries);
            Some(match checkpoint.usage(parameter).weight() {
                Some(LayerWeight { operator: name, outputs: axis, .. }) => {
                    ChannelAxis { axis, reason: AxisReason::Operator { name } }
                }
                None => output_axis(parameter, bias()),
            })
        } else {
            given(dim, parameter)
        };
        let gain = gain_name(&parameter.name);
        let Some(gain) = gain.and_then(|gain| by_name.get(gain.as_str())) else { continue };
        let normalized = gain.shape.iter().position(|&size| size > 1).unwrap_or(0);
        if plan.axis.is_some_and(|axis| axis.axis == normalized) {
            return Err(CheckpointError::WeightNorm { tensor: parameter.name.clone() });
        }
    }
    Ok(())
}

/// Only these can be given another axis.
fn is_built_in(method: &AnyMethod) -> bool {
    PruningMethod::<f32>::built_in(method).is_some()
}

/// The axis that a method names. `None` if the tensor has no such axis, which the method refuses later.
fn given(dim: isize, parameter: &ParameterEntry) -> Option<ChannelAxis> {
    let ndim = parameter.shape.len();
    let axis = if dim < 0 { ndim.checked_sub(dim.unsigned_abs()) } else { Some(dim.unsigned_abs()) };
    axis.filter(|&axis| axis < ndim).map(|axis| ChannelAxis { axis, reason: AxisReason::Given })
}
