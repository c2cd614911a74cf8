from numpy import unpackbits, zeros
from safetensors.numpy import load_file


def read_packed(path):
    tensors, dense = load_file(path), {}
    for name in (name.removesuffix(".bitmask") for name in tensors if name.endswith(".bitmask")):
        shape, bits, values = (tensors[f"{name}.{part}"] for part in ("shape", "bitmask", "compressed"))
        columns = int(shape[1:].prod()) if len(shape) > 1 else int(shape[0])
        kept = unpackbits(bits, axis=1, count=columns, bitorder="little").astype(bool)
        dense[name] = zeros(kept.shape, values.dtype)
        dense[name][kept] = values
        dense[name] = dense[name].reshape(shape)
    return dense
