"""Our convolutions as NIR's: equal padding on both sides, no groups, square kernels; exact, by zeros in the kernel.

NIR pads both sides alike, so unequal or negative padding becomes zeros in front of or behind the kernel. nir 1.0.8 and
the readers take the kernel's second axis for the number of input channels, so groups become blocks of zeros; its type
check takes the kernel's height for its width, so kernels are made square where the stride allows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnkit.export.nir.model import Array
from snnkit.graph.synapses import Conv


@dataclass(frozen=True)
class Axis:
    """Along one axis: zeros before and behind the kernel, and the padding on both sides."""

    front: int
    behind: int
    padding: int


def _symmetric(before: int, behind: int) -> Axis:
    padding = max(before, behind, 0)
    return Axis(padding - before, padding - behind, padding)


def _grown(axis: Axis, by: int, room: int, stride: int) -> Axis | None:
    """The axis with `by` more zeros and as many outputs; `room`: last start of the kernel. None where none fits."""
    for front in (by // 2, (by + 1) // 2):
        behind = by - front
        if (room + front - behind) // stride == room // stride:
            return Axis(axis.front + front, axis.behind + behind, axis.padding + front)
    return None


def dense_groups(weight: Array, groups: int) -> Array:
    """The kernel [out, in, …] of a convolution without groups that does the same."""
    if groups == 1:
        return weight
    out, per = weight.shape[:2]
    wide = np.zeros((out, per * groups, *weight.shape[2:]), weight.dtype)
    for g in range(groups):
        rows = slice(g * out // groups, (g + 1) * out // groups)
        wide[rows, g * per : (g + 1) * per] = weight[rows]
    return wide


@dataclass(frozen=True, eq=False)
class Kernel:
    """What a Conv2d node holds. `square` is false where nir's type check will miscompute the output's shape."""

    weight: Array
    padding: tuple[int, int]
    dilation: tuple[int, int]
    square: bool


def kernel_of(conv: Conv, flat: bool = False) -> Kernel:
    """A convolution as NIR wants it. `flat`: it is 1-D, so its height of 1 stays."""
    weight = dense_groups(conv.weight, conv.groups)
    top, bottom, left, right = conv.padding
    axes = [_symmetric(top, bottom), _symmetric(left, right)]
    dilation = list(conv.dilation)
    unequal = not flat and weight.shape[2] != weight.shape[3]
    for k in range(2):
        if dilation[k] > 1 and (axes[k].front or axes[k].behind or unequal):
            weight, dilation[k] = _spaced(weight, 2 + k, dilation[k]), 1
    sizes = [weight.shape[2 + k] + axes[k].front + axes[k].behind for k in range(2)]
    if not flat and sizes[0] != sizes[1]:
        k = int(sizes[1] < sizes[0])
        if dilation[k] == 1:
            room = conv.in_shape[1 + k] + 2 * axes[k].padding - sizes[k]
            axes[k] = _grown(axes[k], abs(sizes[0] - sizes[1]), room, conv.stride[k]) or axes[k]
    pads = [(a.front, a.behind) for a in axes]
    if any(any(p) for p in pads):
        weight = np.pad(weight, ((0, 0), (0, 0), *pads))
    fits = flat or weight.shape[2] == weight.shape[3]
    return Kernel(weight, (axes[0].padding, axes[1].padding), (dilation[0], dilation[1]), fits)


def _spaced(weight: Array, axis: int, dilation: int) -> Array:
    """The kernel with its dilation written out as zeros along one axis."""
    shape = list(weight.shape)
    shape[axis] = dilation * (shape[axis] - 1) + 1
    wide = np.zeros(shape, weight.dtype)
    index: list[slice] = [slice(None)] * len(shape)
    index[axis] = slice(None, None, dilation)
    wide[tuple(index)] = weight
    return wide
