"""Synapses → nodes. Every linear operator of a graph becomes nodes that a reader of NIR knows, without loss.

    Dense, Sparse, Select      Linear or Affine (behind a Flatten where the features have several axes)
    Conv                       Conv2d or Conv1d where its input has that shape, else Linear; a pool's kernel: the pool
    Pool                       AvgPool2d or SumPool2d
    Scale, diagonal matrices   Scale
    identities                 an edge

What a node does not show (an operator's class, groups, stored zeros, a type of numbers) is left as a `spec` for our
own reader, with arrays in the node's metadata where the node's own do not determine the operator.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.errors import NirError
from snnkit.export.nir.dialects import Dialect
from snnkit.export.nir.kernels import kernel_of
from snnkit.export.nir.model import Array, Node
from snnkit.graph.synapses import Chain, Conv, Dense, Pool, Scale, Select, Sparse

Op = Dense | Sparse | Conv | Scale | Select | Pool
Shape = tuple[int, ...]
LARGEST_MATRIX = 2**27
"""Most entries of a matrix that is written because no smaller node says the same."""


@dataclass(eq=False)
class Encoded:
    """Nodes in order with suffixes for their names, and the features behind them.

    `spec` restores the operator: its class, which node has its numbers (`node`, None for an edge) and what that node
    does not show.
    """

    nodes: list[tuple[str, Node]]
    shape: Shape
    spec: dict[str, Any]
    inexact: list[str] = field(default_factory=list)


def numbers(weight: Array) -> Array:
    """Weights as float32 where that loses nothing."""
    single = weight.astype(np.float32)
    return (
        single
        if np.array_equal(single.astype(np.float64), weight.astype(np.float64), equal_nan=True)
        else weight.astype(np.float64)
    )


def flatten(shape: Shape) -> Node:
    """Counted from the end, so that readers with and without a batch axis agree."""
    fields = {"input_type": np.array(shape), "start_dim": np.array(-len(shape)), "end_dim": np.array(-1)}
    return Node("Flatten", fields)


def is_identity(op: Op) -> bool:
    """Whether y = x."""
    if isinstance(op, Scale):
        return bool(np.all(op.factor == 1))
    if isinstance(op, Conv):
        kernel = op.weight.shape
        same = op.groups == op.in_shape[0] == kernel[0] and kernel[2:] == (1, 1)
        return same and op.stride == (1, 1) and op.padding == (0, 0, 0, 0) and bool(np.all(op.weight == 1))
    return isinstance(op, Sparse) and _diagonal(op) and bool(np.all(op.weight.data == 1))


def _diagonal(op: Sparse) -> bool:
    w = op.weight
    n = w.shape[0]
    return (
        w.shape == (n, n)
        and w.nnz == n
        and np.array_equal(w.indices, np.arange(n))
        and bool(np.all(np.diff(w.indptr) == 1))
    )


def _as_pool(op: Conv) -> Pool | None:
    """The pool that a depthwise convolution of equal weights is."""
    channels, _, height, width = op.weight.shape
    value = op.weight.reshape(-1)[0] if op.weight.size else 0
    average, total = 1.0 / (height * width), 1.0
    whole = op.groups == op.in_shape[0] == channels and op.dilation == (1, 1) and np.all(op.weight == value)
    if not whole or height * width == 1 or value not in (average, total):
        return None
    return Pool(op.in_shape, (height, width), op.stride, op.padding, bool(value == average))


def spatial(op: Conv | Pool, shape: Shape) -> bool:
    """Whether features of this shape are what the operator slides over: [C, H, W], or [C, L] for H = 1."""
    channels, height, width = op.in_shape
    if shape == op.in_shape:
        return True
    return (
        isinstance(op, Conv)
        and height == 1
        and shape == (channels, width)
        and op.padding[:2] == (0, 0)
        and op.weight.shape[2] == 1
    )


def is_diagonal(op: Op) -> bool:
    """Whether y = factor * x."""
    return isinstance(op, Scale) or (isinstance(op, Sparse) and _diagonal(op))


def diagonal(op: Op) -> Array:
    """The factors of a diagonal operator."""
    if isinstance(op, Scale):
        return op.factor
    assert isinstance(op, Sparse)
    return np.asarray(op.weight.data)


def gives(op: Op, shape: Shape, way: Dialect) -> Shape | None:
    """The features that its nodes give for features of this shape; None where it is written as a matrix [n]."""
    if is_diagonal(op) and "Scale" in way.types:
        return shape
    if isinstance(op, Conv | Pool) and spatial(op, shape):
        channels, height, width = op.out_shape
        return (channels, width) if len(shape) == 2 else (channels, height, width)
    return None


def encode(op: Op, shape: Shape, way: Dialect, direct: bool = False, hold: bool = False) -> Encoded:
    """The nodes of an operator over features of this shape.

    Args:
        direct: an identity may be an edge.
        hold: the last node must be able to hold a bias.

    Raises:
        NirError: only a matrix would do, and it is too large to be written.
    """
    spec: dict[str, Any] = {"op": type(op).__name__, "from": list(shape)}
    if direct and is_identity(op):
        return Encoded([], shape, spec | _identity_spec(op) | {"as": "edge"})
    if is_diagonal(op) and "Scale" in way.types:
        factor = diagonal(op)
        node = Node("Scale", {"scale": numbers(factor).reshape(shape)})
        return Encoded([("scale", node)], shape, spec | {"as": "Scale", "dtype": str(factor.dtype), **_index_type(op)})
    if isinstance(op, Conv | Pool) and spatial(op, shape):
        return _convolution(op, shape, way, spec, hold)
    return _matrix(op, shape, way, spec)


def _index_type(op: Op) -> dict[str, Any]:
    return {"index": str(op.weight.indices.dtype)} if isinstance(op, Sparse) else {}


def _identity_spec(op: Op) -> dict[str, Any]:
    if isinstance(op, Conv):
        return {"dtype": str(op.weight.dtype), "in_shape": list(op.in_shape)}
    return {"dtype": str(diagonal(op).dtype), "n": op.n_src, **_index_type(op)}


def geometry(op: Conv | Pool) -> dict[str, Any]:
    """What a convolution or pool has beside its weights."""
    out: dict[str, Any] = {"in_shape": list(op.in_shape), "stride": list(op.stride), "padding": list(op.padding)}
    if isinstance(op, Pool):
        return out | {"kernel": list(op.kernel), "average": op.average}
    return out | {"dilation": list(op.dilation), "groups": op.groups}


def _convolution(op: Conv | Pool, shape: Shape, way: Dialect, spec: dict[str, Any], hold: bool) -> Encoded:
    spec |= geometry(op)
    out = gives(op, shape, way)
    assert out is not None
    pool = op if isinstance(op, Pool) else _as_pool(op)
    if pool is not None and not hold and len(shape) == 3 and _even(pool.padding):
        kind = "AvgPool2d" if pool.average else "SumPool2d"
        unpadded = way.name != "nir" and kind == "SumPool2d"  # those readers drop the padding of a sum
        if kind in way.types and not (unpadded and any(pool.padding)):
            fields = {
                "kernel_size": np.array(pool.kernel),
                "stride": np.array(pool.stride),
                "padding": np.array(pool.padding[::2]),
            }
            node = Node(kind, fields)
            more = {} if isinstance(op, Pool) else {"kernel": list(op.weight.shape), "dtype": str(op.weight.dtype)}
            return Encoded([("pool", node)], out, spec | more | {"as": kind})
    conv = op.as_conv() if isinstance(op, Pool) else op
    flat = len(shape) == 2
    kernel = kernel_of(conv, flat)
    weight = numbers(kernel.weight)
    fields = {"weight": weight, "groups": np.array(1), "bias": np.zeros(out[0], np.float32)}
    if flat:
        fields |= {
            "input_shape": np.array(shape[1]),
            "weight": weight[:, :, 0],
            "stride": np.array(conv.stride[1]),
            "padding": np.array(kernel.padding[1]),
            "dilation": np.array(kernel.dilation[1]),
        }
    else:
        fields |= {
            "input_shape": np.array(shape[1:]),
            "stride": np.array(conv.stride),
            "padding": np.array(kernel.padding),
            "dilation": np.array(kernel.dilation),
        }
    changed = kernel.weight.shape != conv.weight.shape or kernel.dilation != conv.dilation
    kept: dict[str, Any] = {"kernel": conv.weight} if changed and isinstance(op, Conv) else {}
    more = {} if isinstance(op, Pool) else {"dtype": str(conv.weight.dtype)}
    node = Node("Conv1d" if flat else "Conv2d", fields, {"snnkit": kept} if kept else {})
    made = Encoded([("conv", node)], out, spec | more | {"as": node.type})
    if not kernel.square:
        made.inexact.append("NIR_TYPE_CHECK")
    return made


def _even(padding: tuple[int, int, int, int]) -> bool:
    top, bottom, left, right = padding
    return top == bottom >= 0 and left == right >= 0


def _matrix(op: Op, shape: Shape, way: Dialect, spec: dict[str, Any]) -> Encoded:
    size = op.n_src * op.n_dst
    if size > LARGEST_MATRIX:
        raise NirError(
            f"a {type(op).__name__} of {op.n_src} to {op.n_dst} neurons could only be a matrix of {size:,} numbers",
            why=f"it works on features {list(shape)}, and NIR has no node that reshapes or is sparse",
            fix="use convolutions on features [C, H, W], or smaller layers",
        )
    kept: dict[str, Any] = {}
    if isinstance(op, Dense):
        weight = op.weight
        spec |= {"dtype": str(op.weight.dtype)}
    else:
        weight = np.asarray(op.matrix().toarray())
        kept = _kept(op)
        if isinstance(op, Conv | Pool):
            spec |= geometry(op)
        if isinstance(op, Select):
            spec |= {"size": op.size}
    nodes = [("flatten", flatten(shape))] if len(shape) != 1 else []
    node = Node("Linear", {"weight": numbers(weight)}, {"snnkit": kept} if kept else {})
    if way.biased:
        node = biased(node, np.zeros(op.n_dst, np.float32))
    return Encoded([*nodes, ("weight", node)], (op.n_dst,), spec | {"as": "Linear"})


def _kept(op: Op) -> dict[str, Any]:
    """Arrays that restore an operator which is written as a matrix."""
    if isinstance(op, Sparse):
        w = op.weight
        return {"data": w.data, "indices": w.indices, "indptr": w.indptr}
    if isinstance(op, Conv):
        return {"kernel": op.weight}
    return {"dst": op.dst} if isinstance(op, Select) else {}


def biased(node: Node, bias: Array) -> Node:
    """A Linear or Conv node with a bias: per output, or per channel."""
    kind = "Affine" if node.type == "Linear" else node.type
    return Node(kind, {**node.fields, "bias": bias}, node.metadata)


def csr(data: Array, indices: Array, indptr: Array, shape: tuple[int, int]) -> sp.csr_matrix:
    """A sparse matrix of a file's arrays, checked in full."""
    matrix = sp.csr_matrix((data, indices, indptr), shape=shape)
    matrix.check_format(full_check=True)
    return matrix


def real_op(op: Op, values: Any) -> Op:
    """The operator with `values` applied to its weights: a chip's mantissas as real numbers."""
    if isinstance(op, Sparse):
        w = op.weight
        return Sparse(csr(values(w.data), w.indices, w.indptr, w.shape))
    if isinstance(op, Dense | Conv):
        return replace(op, weight=values(op.weight))
    return op


def operators(synapse: Any) -> tuple[Op, ...]:
    """The operators of a synapse, first to last."""
    return synapse.ops if isinstance(synapse, Chain) else (synapse,)
