"""Convolutional synapses."""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.nn.shapes import expect, shape_error
from snnkit.nn.synapses.fold import folded


def _run(layer: Conv1d | Conv2d, convolve: object, x: Tensor, letters: str) -> Tensor:
    expect(layer, x, letters, layer.in_channels)
    for axis, size in enumerate(x.shape[3:]):
        reach = layer.dilation[axis] * (layer.kernel_size[axis] - 1) + 1
        padding = 0 if isinstance(layer.padding, str) else layer.padding[axis]
        if layer.padding != "same" and size + 2 * padding < reach:
            raise shape_error(
                layer,
                x,
                f"at least {reach - 2 * padding} pixels along each axis",
                "use padding, or fewer strides and pools before it",
            )
    return folded(convolve, x)  # type: ignore[arg-type]


class Conv1d(torch.nn.Conv1d):
    """1-d convolution of each step. x: [T, B, C, L], y: [T, B, C', L']; arguments as torch.nn.Conv1d.

    Raises:
        ShapeError: another number of dimensions or channels, or an input smaller than the kernel.
    """

    def forward(self, input: Tensor) -> Tensor:
        return _run(self, super().forward, input, "T B C L")


class Conv2d(torch.nn.Conv2d):
    """2-d convolution of each step. x: [T, B, C, H, W], y: [T, B, C', H', W']; arguments as torch.nn.Conv2d.

    Raises:
        ShapeError: another number of dimensions or channels, or an input smaller than the kernel.
    """

    def forward(self, input: Tensor) -> Tensor:
        return _run(self, super().forward, input, "T B C H W")
