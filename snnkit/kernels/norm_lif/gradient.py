"""The gradient of a batch norm by the batch's own mean and rate, on the CPU: two passes over it, and no new memory.

With Q = x − mean, r = 1/√(variance + eps) and n values per channel: dx = (g − Σg/n − Q·r²·Σ(g·Q)/n)·r·gain. torch's own
operator does the same into new memory, which the system first has to hand out and to zero. With the channels first the
results are its, bit for bit; with the channels last it adds up in float32, and we do better. Source: Ioffe & Szegedy
2015, arXiv:1502.03167.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnkit.kernels.layout import Layout, array
from snnkit.kernels.state import state_dtype
from snnkit.kernels.threads import run_blocks

ROWS = 128
"""Of a block, whose values are added in the numbers' own precision; the blocks' sums in float64."""

WIDTH = 512
"""Values of a row, about: pixels with their channels beside each other, and small images, are taken together."""


def in_rows(count: int, channels: int, repeat: int) -> tuple[int, int]:
    """(N, W) of a matrix of `count` values, row by row, with the same channels in every row.

    Value i belongs to channel (i // repeat) % channels.
    """
    width = channels * repeat
    rows = count // width
    while 2 * width <= WIDTH and rows % 2 == 0:
        width, rows = 2 * width, rows // 2
    return rows, width


class Arithmetic(NamedTuple):
    """What torch's operator does with channels first in float32."""

    lanes: int
    once: bool
    """Whether products of whole registers are rounded only when they have been added."""
    once_behind: bool
    """Those of the values behind the last whole register."""
    once_project: bool
    """That of the second pass."""


@functools.cache
def arithmetic() -> Arithmetic | None:
    """What it is here, looked at once on some numbers; None where it is none that we have."""
    generator = torch.Generator().manual_seed(0)
    plain: Any = {"dtype": torch.float32, "device": "cpu"}  # whatever the defaults are
    x, grad = (torch.randn(5, 16, 53, generator=generator, **plain) for _ in range(2))
    mean, rate, gain = (torch.rand(16, generator=generator, **plain) + 0.5 for _ in range(3))
    expected = torch.ops.aten.native_batch_norm_backward(
        grad, x, gain, None, None, mean, rate, True, 1e-5, [True, True, True]
    )
    found = torch.empty_like(x)
    for way in itertools.starmap(Arithmetic, itertools.product((8, 16), *[(False, True)] * 3)):
        sums = _first(way, grad, x, mean, rate, gain, found)
        if all(np.array_equal(array(a), array(b)) for a, b in zip((found, *sums), expected)):
            return way
    return None


def takes(x: Tensor, layout: Layout) -> bool:
    """Whether `of_batch` takes x [T, M] of this layout."""
    if x.device.type != "cpu" or math.prod(layout.shape) == math.prod(layout.shape[:2]) * layout.channels:
        return False  # one pixel: torch adds up in yet another way
    return layout.channels_last or (x.dtype == torch.float32 and arithmetic() is not None)


def of_batch(
    grad: Tensor, x: Tensor, layout: Layout, mean: Tensor, rate: Tensor, gain: Tensor | None, out: Tensor | None
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Gradients of x, gain and bias [C] from `grad`, that of the norm's output.

    Args:
        grad, x: [T, M] of this layout and the same dtype, for which `takes`.
        mean, rate: of the batch, [C]; rate = 1/√(variance + eps). gain: [C]; None for 1.
        out: for the gradient of x, perhaps `grad` itself; where None, that gradient is left out.
    """
    if layout.channels_last:
        return out, *_last(grad, x, mean, rate, gain, out)
    way, shape = arithmetic(), (math.prod(layout.shape[:2]), layout.channels, -1)
    assert way is not None
    images = [None if v is None else v.view(shape) for v in (grad, x, out)]
    return out, *_first(way, images[0], images[1], mean, rate, gain, images[2])  # type: ignore[arg-type]


def _first(
    way: Arithmetic, grad: Tensor, x: Tensor, mean: Tensor, rate: Tensor, gain: Tensor | None, out: Tensor | None
) -> tuple[Tensor, Tensor]:
    """As `of_batch`, for [N, C, S] in float32."""
    from snnkit.kernels.norm_lif import gradient_torch as cpu

    channels, each = x.shape[1], x.numel() // x.shape[1]
    given = tuple(array(v).reshape(-1, x.shape[2]) for v in (x, grad))
    center, rates = (array(v.contiguous()) for v in (mean, rate))
    total, dot = np.empty(channels), np.empty(channels)
    run_blocks(cpu.sums, each, channels, *given, channels, center, *way[:3], total, dot, block=1)
    if out is not None:
        one = center.dtype.type
        of_channels = (
            center,
            (total / each).astype(one),
            dot.astype(one) * rates * rates / one(each),
            rates,
            np.ones_like(center) if gain is None else array(gain.detach().contiguous()),
        )
        place = _place(out, grad, given[0])
        run_blocks(cpu.project, x.shape[2], len(given[0]), *given, channels, *of_channels, way[3], place, block=ROWS)
    return torch.from_numpy((dot * rates).astype(center.dtype)), torch.from_numpy(total.astype(center.dtype))


def _place(out: Tensor, grad: Tensor, given: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """`out` in the shape of `given`, empty where it is `grad`."""
    return given[:0, :0] if out.data_ptr() == grad.data_ptr() else array(out).reshape(given.shape)


def _last(
    grad: Tensor, x: Tensor, mean: Tensor, rate: Tensor, gain: Tensor | None, out: Tensor | None
) -> tuple[Tensor, Tensor]:
    """As `of_batch`, with the channels last."""
    from snnkit.kernels.norm_lif import gradient_cpu as cpu

    dtype, channels, each = state_dtype(x), len(mean), x.numel() // len(mean)
    shape = in_rows(x.numel(), channels, 1)
    center, rates = (array(v.detach().to(dtype).contiguous()) for v in (mean, rate))
    given = array(x).reshape(shape), array(grad).reshape(shape)
    parts = np.empty((2, -(-shape[0] // ROWS), shape[1]), center.dtype)
    run_blocks(cpu.sums, shape[1], shape[0], *given, center, *parts, block=ROWS)
    total, dot = (part.astype(np.float64).sum(0).reshape(-1, channels).sum(0) for part in parts)
    if out is not None:
        scale = rates if gain is None else rates * array(gain.detach().to(dtype))
        spread = (total / each, dot * rates.astype(np.float64) ** 2 / each)
        of_channels = (center, *(v.astype(center.dtype) for v in spread), scale)
        run_blocks(cpu.project, shape[1], shape[0], *given, *of_channels, _place(out, grad, given[0]), block=ROWS)
    of_gain, of_bias = (torch.from_numpy(v).to(mean.dtype) for v in (dot * rates, total))
    return of_gain, of_bias
