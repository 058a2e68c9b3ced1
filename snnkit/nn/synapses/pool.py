"""Pooling synapses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snnkit.errors import ParameterError
from snnkit.kernels.norm_lif.layers import average, can_run
from snnkit.kernels.norm_lif.op import Pool
from snnkit.nn.shapes import expect, shape_error
from snnkit.nn.synapses.fold import folded

Pair = int | tuple[int, int]


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _run(layer: Any, pool: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    expect(layer, x, "T B C H W")
    kernel, padding = _pair(layer.kernel_size), _pair(layer.padding)
    if any(size + 2 * p < k for size, k, p in zip(x.shape[3:], kernel, padding)):
        raise shape_error(
            layer, x, f"at least {kernel[0]}×{kernel[1]} pixels", "use a smaller kernel, or fewer pools before it"
        )
    return folded(pool, x)


class AvgPool2d(torch.nn.AvgPool2d):
    """Mean over windows of each step: y[c, i, j] = (1/K) Σ x[c, p, q] over the K pixels of window (i, j).

    x: [T, B, C, H, W]; arguments as torch.nn.AvgPool2d.

    Raises:
        ShapeError: another number of dimensions, or an input smaller than the window.
    """

    def forward(self, input: Tensor) -> Tensor:
        expect(self, input, "T B C H W")
        pool = self.windows(input) if can_run(input, on_gpu=True) else None
        if pool is not None:
            return average(input, pool)
        return _run(self, super().forward, input)

    def windows(self, x: Tensor, before: bool = False) -> Pool | None:
        """The pool as our kernels know it, where its windows lie side by side and cover x [T, B, C, H, W] exactly.

        Args:
            before: of x that a neuron gets afterwards; what else it is of comes out of one.
        """
        if self.ceil_mode or self.divisor_override is not None:
            return None
        (height, width), stride, padding = (_pair(v) for v in (self.kernel_size, self.stride, self.padding))
        pool = Pool(height, width, before)
        return pool if stride == (height, width) and padding == (0, 0) and pool.fits(x) else None


class AdaptiveAvgPool2d(torch.nn.AdaptiveAvgPool2d):
    """Mean over as many windows as the output has pixels: y[c, i, j] = (1/K) Σ x[c, p, q] over window (i, j).

    x: [T, B, C, H, W], y: [T, B, C, H', W']. Output row i is the mean of the rows from ⌊i·H/H'⌋ to ⌈(i+1)·H/H'⌉ − 1,
    columns likewise. Where H' divides H these are the windows of `AvgPool2d(H/H')`; with output size 1 it is the
    global mean.

    Args:
        output_size: H' and W', one number for both; None keeps the input's.

    Raises:
        ShapeError: another number of dimensions, or an input without pixels.
    """

    def forward(self, input: Tensor) -> Tensor:
        expect(self, input, "T B C H W")
        if not (input.shape[3] and input.shape[4]):
            raise shape_error(self, input, "at least one pixel")
        return folded(super().forward, input)


class MaxPool2d(torch.nn.MaxPool2d):
    """Maximum over windows of each step: y[c, i, j] = max x[c, p, q] over window (i, j); of spikes a logical or.

    x: [T, B, C, H, W]. Arguments as torch.nn.MaxPool2d, without `return_indices`.

    Raises:
        ParameterError: `return_indices` is asked for.
        ShapeError: another number of dimensions, or an input smaller than the window.
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        dilation: Pair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        if return_indices:
            raise ParameterError("snn.MaxPool2d does not return indices", fix="leave return_indices out")
        super().__init__(kernel_size, stride, padding, dilation, False, ceil_mode)

    def forward(self, input: Tensor) -> Tensor:
        return _run(self, super().forward, input)


class SumPool2d(torch.nn.Module):
    """Sum over windows of each step: y[c, i, j] = Σ x[c, p, q] over window (i, j), a synapse of weight 1 per pixel.

    x: [T, B, C, H, W].

    Args:
        kernel_size: window, one number or (height, width).
        stride: step of the window; the window's size where None.
        padding: zeros added on each side.

    Raises:
        ShapeError: another number of dimensions, or an input smaller than the window.
    """

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding

    def forward(self, input: Tensor) -> Tensor:
        return _run(self, self._pool, input)

    def _pool(self, x: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(x, self.kernel_size, self.stride, self.padding, divisor_override=1)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
