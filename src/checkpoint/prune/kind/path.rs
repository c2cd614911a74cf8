//! The names of tensors as paths: the layer, and the tensor in it.

/// Components of a path that only wrap a model.
pub const WRAPPERS: [&str; 6] = ["model", "module", "net", "network", "layers", "sequential"];
/// The component of a path that holds the parametrized tensors of a layer.
pub const PARAMETRIZATIONS: &str = "parametrizations";

/// A name, split at its dots.
pub struct Path<'n> {
    /// Everything before the leaf.
    pub module: &'n str,
    /// The name of the tensor in its layer, such as `weight`.
    pub leaf: &'n str,
    /// The name of the layer, such as `q_proj`. Empty if the tensor belongs to no layer.
    pub layer: &'n str,
    /// The layer is a number, such as `0`, in a list of this name.
    pub list: Option<&'n str>,
}

impl<'n> Path<'n> {
    pub fn of(name: &'n str) -> Self {
        let (mut module, leaf) = name.rsplit_once('.').unwrap_or(("", name));
        // The parametrizations of a tensor `w` are `parametrizations.w.original`, `.original0` and so on.
        if let Some((owner, _)) = module.rsplit_once('.').filter(|(owner, _)| last(owner) == PARAMETRIZATIONS) {
            module = owner.rsplit_once('.').map_or("", |(owner, _)| owner);
        }
        let layer = last(module);
        let list = is_number(layer).then(|| {
            let parent = module.rsplit('.').find(|component| !is_number(component));
            parent.unwrap_or_default()
        });
        Self { module, leaf, layer, list }
    }

    /// The components of the path to the layer, without those that only wrap a model and without its number in a list.
    pub fn above(&self) -> Vec<&'n str> {
        let numbers = usize::from(self.list.is_some());
        let components = self.module.rsplit('.').skip(numbers);
        components.filter(|component| !component.is_empty() && !WRAPPERS.contains(component)).collect()
    }

    /// The name of what the layer is a part of.
    pub fn parent(&self) -> &'n str {
        self.module.rsplit('.').nth(1).unwrap_or_default()
    }
}

/// The role of a tensor in its layer, by its own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    Weight,
    /// The weight of a layer in Flax and Keras, and a fixed filter in PyTorch.
    Kernel,
    Other,
}

impl Leaf {
    pub fn of(leaf: &str) -> Self {
        let numbered = |stem: &str| leaf.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || is_number(rest));
        let is_weight = numbered("weight")
            || leaf.ends_with("_weight")
            || ["weight_ih", "weight_hh", "weight_hr"].iter().any(|gate| leaf.starts_with(gate))
            || ["weight_v", "weight_orig", "weight_bar", "original", "original1"].contains(&leaf)
            || ["proj", "projection"].iter().any(|end| leaf == *end || leaf.ends_with(&format!("_{end}")))
            || ["w", "wi", "wo", "W"].iter().any(|stem| numbered(stem))
            || ["w_", "W_", "wi_"].iter().any(|start| leaf.starts_with(start) && leaf.len() <= start.len() + 2);
        match leaf {
            "kernel" => Self::Kernel,
            _ if is_weight => Self::Weight,
            _ => Self::Other,
        }
    }
}

/// The number at the end of the name of a layer, or 0.
pub fn number(name: &str) -> u64 {
    let layer = Path::of(name).layer;
    let digits = layer.len() - layer.bytes().rev().take_while(u8::is_ascii_digit).count();
    layer[digits..].parse().unwrap_or(0)
}

pub fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

pub fn is_number(component: &str) -> bool {
    !component.is_empty() && component.bytes().all(|byte| byte.is_ascii_digit())
}
