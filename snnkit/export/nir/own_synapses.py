"""Our own synapses read back: the operator that a `spec` of the plan and its node describe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from snnkit.errors import NirError
from snnkit.export.nir.model import Node
from snnkit.export.nir.synapses import LARGEST_MATRIX, Op, csr
from snnkit.graph.synapses import Conv, Dense, Pool, Scale, Select, Sparse

MOST_SYNAPSES = 2**28
"""Of a convolution that is written as a matrix."""


def decode(spec: Mapping[str, Any], node: Node | None, where: str) -> Op:
    """The operator that a `spec` and its node describe.

    Raises:
        NirError: they do not make an operator; the metadata was damaged.
    """
    try:
        op = _decode(spec, node)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, AssertionError) as error:
        raise NirError(
            f"the metadata of {where} describe no synapse of ours ({type(error).__name__}: {error})",
            fix="read the file without its metadata (metadata=False, --ignore-metadata)",
        ) from error
    return op


def _decode(spec: Mapping[str, Any], node: Node | None) -> Op:
    kind, form = spec["op"], spec["as"]
    kept: Mapping[str, Any] = {} if node is None else node.metadata.get("snnkit", {})
    if kind in ("Conv", "Pool"):
        return _decode_spatial(spec, node, kept)
    dtype = _number(spec["dtype"]) if "dtype" in spec else None
    if form == "edge":
        n = _count(spec["n"])
        if kind == "Scale":
            return Scale(np.ones(n, dtype))
        index = _number(spec["index"])
        return Sparse(csr(np.ones(n, dtype), np.arange(n, dtype=index), np.arange(n + 1, dtype=index), (n, n)))
    assert node is not None
    if form == "Scale":
        factor = node.array("scale").astype(dtype).reshape(-1)
        if kind == "Scale":
            return Scale(factor)
        n, index = factor.size, _number(spec["index"])
        return Sparse(csr(factor, np.arange(n, dtype=index), np.arange(n + 1, dtype=index), (n, n)))
    weight = node.array("weight")
    assert weight.ndim == 2
    if kind == "Dense":
        return Dense(weight.astype(dtype))
    if kind == "Sparse":
        return Sparse(csr(kept["data"], kept["indices"], kept["indptr"], weight.shape))
    if kind == "Select":
        return Select(np.asarray(kept["dst"]), _count(spec["size"]))
    if kind == "Scale":
        return Scale(np.diagonal(weight).astype(dtype))
    raise ValueError(f"unknown operator {kind!r}")


def _number(name: Any) -> np.dtype[Any]:
    dtype = np.dtype(str(name))
    if dtype.kind not in "fi" or dtype.itemsize > 8:
        raise ValueError(f"{name!r} is no type of numbers")
    return dtype


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError(f"{value!r} is no number of neurons")
    return value


def _ints(value: Any, count: int) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) != count or not all(type(v) is int and abs(v) < 2**31 for v in value):
        raise ValueError(f"{value!r} are not {count} whole numbers")
    return tuple(value)


def _decode_spatial(spec: Mapping[str, Any], node: Node | None, kept: Mapping[str, Any]) -> Conv | Pool:
    shape: Any = _ints(spec["in_shape"], 3)
    if spec["as"] == "edge":
        return Conv(np.ones((shape[0], 1, 1, 1), _number(spec["dtype"])), shape, groups=shape[0])
    assert node is not None
    stride: Any = _ints(spec["stride"], 2)
    padding: Any = _ints(spec["padding"], 4)
    if min(*shape, *stride) < 1:
        raise ValueError("a size below 1")
    if spec["op"] == "Pool":
        kernel: Any = _ints(spec["kernel"], 2)
        return Pool(shape, kernel, stride, padding, bool(spec["average"]))
    if "kernel" in kept:
        weight = np.asarray(kept["kernel"])
    elif node.type in ("AvgPool2d", "SumPool2d"):
        size = _ints(spec["kernel"], 4)
        if min(size) < 1 or math.prod(size) > LARGEST_MATRIX:
            raise ValueError(f"a kernel of shape {size}")
        value = 1.0 / (size[2] * size[3]) if node.type == "AvgPool2d" else 1.0
        weight = np.full(size, value, _number(spec["dtype"]))
    else:
        weight = node.array("weight").astype(_number(spec["dtype"]))
        weight = weight[:, :, None, :] if weight.ndim == 3 else weight
    if weight.ndim != 4:
        raise ValueError(f"a kernel of shape {weight.shape}")
    dilation: Any = _ints(spec["dilation"], 2)
    groups = _count(spec["groups"])
    conv = Conv(weight, shape, stride, padding, dilation, groups)
    if min(groups, *dilation, *conv.out_shape) < 1 or weight.shape[1] * groups != shape[0] or weight.shape[0] % groups:
        raise ValueError("a kernel that does not fit its input")
    if spec["as"] == "Linear" and conv.n_dst * weight[0].size > MOST_SYNAPSES:
        raise ValueError(f"a matrix of {conv.n_dst * weight[0].size:,} synapses")
    return conv
