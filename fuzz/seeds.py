"""Writes the seeds of the fuzz targets into tests/fuzz/inputs, where the tests replay them too.

Needs Python only. Run it again after a change of what an input means; other files there are left alone.
"""

import json
import random
import struct
from pathlib import Path

INPUTS = Path(__file__).resolve().parent.parent / "tests" / "fuzz" / "inputs"
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1, "F8_E4M3": 1}


def numbers(dtype, count):
    """Small numbers of both signs, some equal, some zero."""
    values = [(i * 7 % 11 - 5) / 4 for i in range(count)]
    if dtype == "F64":
        return struct.pack(f"<{count}d", *values)
    if dtype == "F32":
        return struct.pack(f"<{count}f", *values)
    if dtype == "F16":
        return struct.pack(f"<{count}e", *values)
    if dtype == "BF16":
        return b"".join(struct.pack("<f", value)[2:] for value in values)
    return bytes(range(count * SIZES[dtype]))


def ones(dtype, count):
    """A mask that prunes every third entry."""
    one = {"F64": "<d", "F32": "<f", "F16": "<e", "I64": "<q", "I32": "<i", "U8": "<B", "BOOL": "<B"}
    if dtype == "BF16":
        return b"".join(struct.pack("<f", i % 3 > 0)[2:] for i in range(count))
    return b"".join(struct.pack(one[dtype], i % 3 > 0) for i in range(count))


def entries(shape):
    product = 1
    for size in shape:
        product *= size
    return product


def file(tensors, metadata=None, wrapped=True):
    """An input that stands for a file; `tensors` are (name, dtype, shape) or (name, dtype, shape, data)."""
    header, data = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, dtype, shape, *own in tensors:
        bytes_ = own[0] if own else (ones if name.endswith("_mask") else numbers)(dtype, entries(shape))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(bytes_)]}
        data += bytes_
    header = json.dumps(header, separators=(",", ":")).encode()
    if wrapped:
        return b"\x01" + header + b"\x00" + data
    return b"\x00" + struct.pack("<Q", len(header)) + header + data


def packed(name, shape, bits):
    shape_ = struct.pack(f"<{len(shape)}q", *shape)
    return [(f"{name}_mask_shape", "I64", [len(shape)], shape_), (f"{name}_mask_bits", "U8", [len(bits)], bits)]


def pruned(name, dtype, shape, mask="F32"):
    return [(f"{name}_orig", dtype, shape), (f"{name}_mask", mask, shape)]


def state_dicts():
    yield "empty", file([])
    yield "raw", file([("w", "F32", [2, 3]), ("b", "F32", [3])], wrapped=False)
    yield "metadata", file([("w", "F32", [2])], metadata={"format": "pt"})
    for dtype in ("F32", "F64", "F16", "BF16"):
        yield f"pruned-{dtype}", file(pruned("fc.weight", dtype, [3, 2], dtype) + [("fc.bias", dtype, [2])])
    for mask in ("BOOL", "U8", "I64", "F16"):
        yield f"mask-{mask}", file(pruned("w", "F32", [2, 2], mask))
    yield "other-dtypes", file([("steps", "I64", []), ("q", "F8_E4M3", [4]), ("w", "F32", [1])])
    yield "halves", file([("a_orig", "F32", [2]), ("b_mask", "F32", [2]), ("w_orig_orig", "F32", [1])])
    yield "pruned-and-plain", file(pruned("w", "F32", [2]) + [("w", "F32", [2])])
    yield "mask-of-halves", file([("w_orig", "F32", [1]), ("w_mask", "F32", [1], struct.pack("<f", 0.5))])
    yield "zero-size", file([("w", "F32", [0, 3]), ("v", "F32", [2, 0, 1]), ("s", "F32", [])])
    yield "odd-names", file([("", "F32", [1]), ("a/../b", "F32", [1]), ("\u001b[31m", "F32", [1])])
    yield "huge-shape", file([("w", "F32", [0, 1 << 60], b"")])
    yield "overflow", file([("w", "F32", [1 << 32, 1 << 32], b"\x00" * 8)])
    twice = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
    yield "twice", b"\x01" + twice + b"\x00" * 9
    yield "deep", b"\x01" + b'{"w":' + b"[" * 300 + b"]" * 300 + b"}"
    yield "too-long", b"\x00" + struct.pack("<Q", 1 << 62) + b"{}"


def mask_files():
    yield "empty", file([])
    yield "one", file(packed("w", [2, 5], b"\xff\x02"))
    yield "two", file(packed("a", [3], b"\x05") + packed("b.c", [2, 2, 2], b"\x5a"))
    yield "raw", file(packed("w", [9], b"\x00\x01"), wrapped=False)
    yield "scalar", file(packed("w", [], b"\x01"))
    yield "nothing", file(packed("w", [0, 7], b""))
    yield "huge", file(packed("w", [0, 1 << 60], b""))
    yield "overflow", file(packed("w", [1 << 40, 1 << 40], b""))
    yield "negative", file(packed("w", [-1], b""))
    yield "padding", file(packed("w", [2], b"\x07"))
    yield "half", file(packed("w", [2], b"\x03")[:1])
    yield "clash", file(packed("w", [1], b"\x00") + packed("w_orig", [1], b"\x00"))
    yield "other", file([("w", "F32", [2])])


def checkpoints():
    weights = file([("fc.weight", "F32", [4, 3]), ("fc.bias", "F32", [3]), ("norm.weight", "F32", [2, 2])])
    mixed = file([("a", "F16", [2, 3]), ("b", "BF16", [3, 2]), ("c", "F64", [2, 2]), ("steps", "I64", [2, 2])])
    again = file(pruned("w", "F32", [4, 4]) + pruned("v", "BF16", [3, 3], "BOOL"))
    empty = file([("w", "F32", [0, 3]), ("v", "F32", [2, 2])])
    for method in range(4):
        for scope in range(2):
            for format_, name in enumerate(("weights", "pytorch", "masks")):
                options = bytes([method, 127, scope | format_ << 1])
                shards = {"plain": [weights], "pruned": [again], "mixed": [mixed, again], "empty": [empty]}
                kind = list(shards)[(method + scope + format_) % 4]
                yield f"{method}-{scope}-{name}-{kind}", options + b"".join(sized(shard) for shard in shards[kind])
    names = {"fc.weight": "a", "fc.bias": "a", "norm.weight": "a", "w_orig": "b", "w_mask": "b", "v_orig": "b", "v_mask": "b"}
    index = {"metadata": {"total_size": 1}, "weight_map": {k: f"{v}.safetensors" for k, v in names.items()}}
    for format_ in range(3):
        yield f"index-{format_}", bytes([0, 64, 0x80 | format_ << 1]) + b"".join(
            map(sized, (json.dumps(index).encode(), weights, again))
        )
    for name, shard in (("outside", "../a.safetensors"), ("missing", "d.safetensors"), ("itself", "model.safetensors.index.json")):
        index = json.dumps({"weight_map": {"w": shard}}).encode()
        yield f"index-{name}", bytes([0, 64, 0x80]) + sized(index) + sized(again)
    yield "all", bytes([0, 255, 0]) + sized(weights)
    yield "none", bytes([2, 0, 0]) + sized(weights)
    yield "infinite", bytes([2, 99, 0]) + sized(file([("w", "F32", [2, 2], struct.pack("<4f", 1, float("-inf"), 0, float("nan")))]))
    yield "huge", bytes([2, 99, 0]) + sized(file([("w", "F32", [0, 1 << 60], b"")]))


def sized(bytes_):
    return struct.pack("<H", len(bytes_)) + bytes_


def prunings():
    """Random numbers, of which a sequence of calls is made: the longer, the more of them."""
    for number in range(24):
        numbers_ = random.Random(number)
        yield f"random-{number:02}", bytes([number]) + numbers_.randbytes(128 << number % 5)


def pytorch_files():
    """Files of PyTorch, which are stored as tests, and pickles in the old format."""
    files = INPUTS.parent.parent / "pytorch" / "files"
    names = "views legacy tied pruned module several protocol4 big_endian compressed quantized evil".split()
    for name in names:
        yield name, b"\0" + (files / f"{name}.pt").read_bytes()
    yield "key_of_all", b"\2" + (files / "several.pt").read_bytes()

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def integer(value):
        return b"\x8a\x08" + struct.pack("<q", value)

    def view(entries, offset, shape, strides):
        shape, strides = (b"(" + b"".join(map(integer, sizes)) + b"t" for sizes in (shape, strides))
        storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + integer(entries) + b"NtQ"
        return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + integer(offset) + shape + strides + b"\x89NtR"

    def items(**values):
        return b"}" + b"".join(text(key) + value + b"s" for key, value in values.items())

    def pickle(value, data=bytes(range(16))):
        return b"\1" + sized(b"\x80\x02" + value + b".") + data

    yield "pickle", pickle(items(w=view(4, 0, [2, 2], [2, 1])))
    strides = items(w=view(4, 0, [2, 2], [1, 2]), v=view(4, 1, [3], [1]), x=view(4, 0, [3, 4], [0, 1]))
    yield "pickle_strides", pickle(strides)
    yield "pickle_nested", pickle(items(epoch=b"K\1", model=items(w=view(4, 0, [4], [1]))))
    yield "pickle_huge", pickle(items(w=view(1 << 62, 0, [1 << 40, 1 << 40], [1 << 40, 1])))
    yield "pickle_itself", pickle(b"}q\0" + text("self") + b"h\0s" + text("w") + view(4, 0, [4], [1]) + b"s")
    pair = items(w_orig=view(4, 0, [2], [1]), w_mask=view(4, 2, [2], [1]))
    yield "pickle_pair", pickle(pair, struct.pack("<4f", 1, 2, 1, 0))
    call = b"cos\nsystem\n" + text("touch nn-prune-was-here") + b"\x85R"
    yield "pickle_call", pickle(items(x=call, w=view(4, 0, [4], [1])))


def varint(number):
    bytes_ = b""
    while number >= 0x80:
        bytes_ += bytes([number & 0x7F | 0x80])
        number >>= 7
    return bytes_ + bytes([number])


def field(number, value):
    """A field of a protobuf message: a number, text, or bytes of any kind."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def node(operator, inputs, output, *attributes):
    names = b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, operator)
    return field(1, names + b"".join(field(5, attribute) for attribute in attributes))


def tensor(name, dtype, shape, data=None, external=None):
    number = {"F32": 1, "I64": 7, "F16": 10, "F64": 11, "BF16": 16}[dtype]
    head = b"".join(field(1, size) for size in shape) + field(2, number) + field(8, name)
    if external is not None:
        pairs = (field(1, key) + field(2, value) for key, value in external.items())
        return field(5, head + b"".join(field(13, pair) for pair in pairs) + field(14, 1))
    return field(5, head + field(9, numbers(dtype, entries(shape)) if data is None else data))


def model(*parts):
    return field(1, 10) + field(2, "seed") + field(7, b"".join(parts) + field(12, field(1, "y"))) + field(8, field(2, 21))


def onnx_models():
    """The options of a checkpoint, external data with its length, and a model."""
    gemm = node("Gemm", ["x", "w", "b"], "h", field(1, "transB") + field(3, 1))
    product = node("MatMul", ["h", "v"], "y")
    plain = model(gemm, product, tensor("w", "F32", [4, 3]), tensor("b", "F32", [4]), tensor("v", "F16", [4, 2]))
    chain = model(
        node("Transpose", ["w"], "t", field(1, "perm") + field(8, 1) + field(8, 0)),
        node("MatMul", ["x", "t"], "y"),
        node("Conv", ["x", "c"], "z"),
        tensor("w", "BF16", [3, 4]),
        tensor("c", "F64", [2, 2, 1, 2]),
    )
    branch = node("MatMul", ["x", "v"], "z") + tensor("v", "F32", [2, 2])
    value = tensor("", "F32", [2, 2])[2:]
    nested = model(
        node("Constant", [], "k", field(1, "value") + field(5, value)),
        node("If", ["x"], "i", field(1, "then_branch") + field(6, branch)),
        node("MatMul", ["x", "k"], "y"),
        tensor("w", "F32", [2, 2]),
    )
    outside = model(
        gemm,
        product,
        tensor("w", "F32", [4, 3], external={"location": "data", "offset": "2", "length": "48"}),
        tensor("v", "F16", [4, 2], external={"location": "./data", "offset": "52"}),
    )
    typed = model(product, field(5, field(1, 2) + field(1, 3) + field(2, 1) + field(8, "v") + field(4, numbers("F32", 6))))
    data = bytes(range(70))
    for method in range(4):
        for name, bytes_ in (("plain", plain), ("chain", chain), ("nested", nested), ("outside", outside), ("typed", typed)):
            for format_ in (0, 2):
                yield f"{method}-{format_}-{name}", bytes([method, 127, format_ << 1]) + sized(data) + bytes_
    yield "global", bytes([0, 127, 1]) + sized(data) + outside
    yield "pytorch", bytes([0, 127, 2]) + sized(data) + plain
    for location in ("../data", "/data", "model.onnx", "none"):
        bytes_ = model(product, tensor("v", "F32", [2, 2], external={"location": location}))
        yield "at-" + location.replace("/", "-"), bytes([0, 127, 0]) + sized(data) + bytes_
    overlap = {"location": "data", "offset": "8"}
    both = model(product, tensor("w", "F32", [4, 3], external=overlap), tensor("v", "F32", [2, 2], external=overlap))
    yield "overlap", bytes([0, 127, 0]) + sized(data) + both
    yield "short", bytes([0, 127, 0]) + sized(b"") + outside
    yield "negative", bytes([0, 127, 0]) + sized(b"") + model(product, tensor("v", "F32", [(1 << 64) - 1, 2], b"abcd"))
    yield "overflow", bytes([0, 127, 0]) + sized(b"") + model(product, tensor("v", "F32", [1 << 33, 1 << 33], b"abcd"))


def main():
    targets = {"state_dict": state_dicts, "mask_file": mask_files, "checkpoint": checkpoints, "pruning": prunings}
    targets |= {"pytorch": pytorch_files, "onnx": onnx_models}
    for target, seeds in targets.items():
        folder = INPUTS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, bytes_ in seeds():
            (folder / name).write_bytes(bytes_)
        print(f"{target}: {len(list(folder.iterdir()))} inputs in {folder}")


main()
