"""Operators of a graph as torch layers with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from snnkit import nn as snn
from snnkit.export.nir import synapses
from snnkit.export.nir.kernels import kernel_of
from snnkit.export.nir.layers import Reshape
from snnkit.export.nir.model import Array
from snnkit.export.nir.synapses import Shape
from snnkit.graph.synapses import Conv, Dense, Pool


def set_values(parameter: Any, value: Array) -> None:
    """Give a parameter the values of an array."""
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(value, np.float32).reshape(tuple(parameter.shape))))


def reshaped(shape: Shape, goal: Shape) -> list[nn.Module]:
    """The layer that gives features another shape, if one is needed."""
    if shape == goal:
        return []
    return [snn.Flatten()] if len(goal) == 1 else [Reshape(goal)]


def one_to_one(factor: Array, shape: Shape, bias: Array | None) -> nn.Module:
    layer = snn.OneToOne(shape, bias=bias is not None)
    set_values(layer.weight, factor)
    if bias is not None:
        set_values(layer.bias, bias)
    return layer


def layers_of(op: synapses.Op, shape: Shape, bias: Array | None) -> tuple[list[nn.Module], Shape]:
    """The layers of an operator on features of this shape, and the features that they give."""
    if synapses.is_diagonal(op):
        return [one_to_one(synapses.diagonal(op), shape, bias)], shape
    if isinstance(op, Conv | Pool):
        before: list[nn.Module] = []
        if not synapses.spatial(op, shape):
            before, shape = [Reshape(op.in_shape)], op.in_shape
        layers, out = _convolution(op, shape, bias)
        return [*before, *layers], out
    flat: list[nn.Module] = [snn.Flatten()] if len(shape) > 1 else []
    linear = snn.Linear(op.n_src, op.n_dst, bias=bias is not None)
    set_values(linear.weight, op.weight if isinstance(op, Dense) else op.matrix().toarray())
    if bias is not None:
        set_values(linear.bias, bias)
    return [*flat, linear], (op.n_dst,)


def _convolution(op: Conv | Pool, shape: Shape, bias: Array | None) -> tuple[list[nn.Module], Shape]:
    flat = len(shape) == 2
    channels, height, width = op.out_shape
    out = (channels, width) if flat else (channels, height, width)
    top, bottom, left, right = op.padding
    even = top == bottom >= 0 and left == right >= 0
    if isinstance(op, Pool) and even:
        kind: Callable[..., nn.Module] = snn.AvgPool2d if op.average else snn.SumPool2d
        return [kind(op.kernel, op.stride, (top, left))], out
    conv = op.as_conv() if isinstance(op, Pool) else op
    weight, padding, dilation, groups = conv.weight, (top, left), conv.dilation, conv.groups
    if not even:
        kernel = kernel_of(conv, flat)
        weight, padding, dilation, groups = kernel.weight, kernel.padding, kernel.dilation, 1
    table = None if bias is None else bias.reshape(channels, -1)
    whole = table is not None and bool(np.all(table == table[:, :1]))
    size, stride = weight.shape[2:], conv.stride
    arguments = (weight.shape[1] * groups, channels)
    if flat:
        layer: Any = snn.Conv1d(*arguments, size[1], stride[1], padding[1], dilation[1], groups, bias=whole)
    else:
        layer = snn.Conv2d(*arguments, size, stride, padding, dilation, groups, bias=whole)
    set_values(layer.weight, weight)
    if whole:
        assert table is not None
        set_values(layer.bias, table[:, 0])
    more = [] if bias is None or whole else [one_to_one(np.ones(bias.size), out, bias)]
    return [layer, *more], out
