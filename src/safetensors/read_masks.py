from numpy import prod, unpackbits
from safetensors.numpy import load_file


def read_masks(path):
    tensors, masks = load_file(path), {}
    for name in (name.removesuffix("_mask_shape") for name in tensors if name.endswith("_mask_shape")):
        shape = tensors[name + "_mask_shape"]
        bits = unpackbits(tensors[name + "_mask_bits"], count=prod(shape, dtype=int), bitorder="little")
        masks[name] = bits.reshape(shape).astype(bool)
    return masks
