"""A batch norm by the values that count: of the valid steps of each sample, of all processes that train together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnkit.kernels.layout import Layout, array
from snnkit.kernels.norm_lif.statistics import channels_for
from snnkit.kernels.state import state_dtype
from snnkit.kernels.threads import run_blocks

_DTYPES = (torch.float32, torch.float64, torch.bfloat16)

AddUp = Callable[[Tensor], Tensor]
"""Makes a tensor the sum of those of all processes."""

BLOCK = 1 << 16
"""Numbers of a block at least, whose sums are taken by themselves; it does not depend on the threads."""

LANES = (32, 512)
"""Numbers beside each other in memory that are taken at once, at most: of one channel, and of several."""


class Counted(NamedTuple):
    """A batch norm's values for one pass, as `statistics.Norm`; y = (x − mean)·rate·gain + bias at all steps.

    With n values that count, ĝ = g·gain·rate and x̂ = (x − mean)·rate: dx = ĝ − (Σ ĝ + x̂·Σ ĝ·x̂)/n where x counts, and
    ĝ elsewhere. Sums go over what counts, blocks of it in float64. Those of gain and bias are this process's own.
    """

    mean: Tensor
    rate: Tensor
    """1/√(variance + eps)."""
    exact: tuple[Tensor, Tensor]
    """Both in float64."""
    many: Tensor
    """n [1] in float64, 1 where it is 0."""
    mask: Tensor | None
    """[N]: which of x [N, C, …] count; None: all."""
    add_up: AddUp | None
    """None: there is one process."""

    @property
    def twice(self) -> bool:
        """Whether scale·x + shift is rounded twice, as plain operations do."""
        return True

    def terms(self, gain: Tensor | None, bias: Tensor | None, once: bool = False) -> tuple[Tensor, Tensor]:
        """(scale, shift) [C] with y = scale·x + shift, worked out in float64."""
        mean, rate = self.exact
        scale = rate if gain is None else rate * gain.detach().double()
        shift = -mean * scale if bias is None else bias.detach().double() - mean * scale
        return scale.to(self.mean.dtype), shift.to(self.mean.dtype)

    def backward(
        self, grad: Tensor, x: Tensor, layout: Layout, gain: Tensor | None, want: Sequence[bool]
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """As `statistics.Norm.backward`."""
        free, images = (layout.restore(v).flatten(0, 1) for v in (grad, x))
        found, *others = self.of_images(free, images, gain, want)
        return None if found is None else layout.flatten(found.unflatten(0, layout.shape[:2])), others[0], others[1]

    def of_images(
        self, grad: Tensor, x: Tensor, gain: Tensor | None, want: Sequence[bool]
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Gradients of x, gain and bias from that of y [N, C, …], those that are wanted. `grad`, whose memory is laid
        out as that of x, is free for the one of x."""
        if not any(want):
            return None, None, None
        total, dot = sums(x, grad, self.mean, self.mask)
        rate = self.exact[1]
        dtype = self.mean.dtype
        own = (dot * rate).to(dtype), total.to(dtype)
        found = None
        if want[0]:
            both = torch.cat([total, dot])
            both = both if self.add_up is None else self.add_up(both)
            middle, slope = (both / self.many).chunk(2)
            scale = rate if gain is None else rate * gain.detach().double()
            terms = [v.to(dtype) for v in (self.mean, middle, slope * rate.square(), scale)]
            found = project(x, grad, terms, self.mask)
        return found, own[0] if want[1] else None, own[1] if want[2] else None


def from_counted(
    x: Tensor, mask: Tensor | None, eps: float, add_up: AddUp | None = None
) -> tuple[Counted, Tensor, Tensor]:
    """(norm, mean [C], unbiased variance [C], these in float64) by the values of x [N, C, …] that count.

    Count, sum and sum of squares are added up in float64 and travel between processes in one tensor; means and
    variances have the same bits in all of them. The variance of no more than one value is 0.

    Args:
        x: as `lies` says, or torch's operations do it.
        mask: [N], which count; None: all.
    """
    zero = x.new_zeros(x.shape[1], dtype=torch.float64)
    size = x.shape[2:].numel()
    if mask is None:
        count = torch.full((1,), float(x.shape[0] * size), dtype=torch.float64, device=x.device)
    else:
        count = (mask.sum() * size).to(torch.float64).view(1)
    total, square = sums(x, x, zero, mask)
    if add_up is not None:
        held = add_up(torch.cat([count, total, square]))
        count, (total, square) = held[:1], held[1:].chunk(2)
    many = count.clamp(min=1)
    mean = total / many
    if add_up is None and x.dtype == torch.float64:
        apart, square = sums(x, x, mean, mask)
        var = (square - mean * (apart - count * mean)) / many
    else:  # in float64 this loses less than what float32 numbers are uncertain by
        var = square / many - mean.square()
    var = var.clamp(min=0)
    rate, dtype = torch.rsqrt(var + eps), state_dtype(x)
    norm = Counted(mean.to(dtype), rate.to(dtype), (mean, rate), many, mask, add_up)
    return norm, mean, var * (count / (count - 1).clamp(min=1))


def lies(x: Tensor) -> bool:
    """Whether the memory of x [N, C, …] is laid out as the kernels here take it."""
    return x.is_contiguous() or (x.dim() == 4 and x.permute(0, 2, 3, 1).is_contiguous())


def _rows(x: Tensor) -> np.ndarray:  # type: ignore[type-arg]
    """The memory of x [N, C, …] on a CPU: [N·C, S], or [N, S·C] where the channels lie last."""
    samples, channels = x.shape[:2]
    if x.is_contiguous() and x.numel() > samples * channels:
        return array(x).reshape(samples * channels, -1)
    return array(x.permute(0, *range(2, x.dim()), 1).reshape(samples, -1))


def _compiled(x: Tensor) -> bool:
    """Whether there are kernels for x; where not, torch's operations do it."""
    return x.device.type == "cpu" and x.dtype in _DTYPES and x.numel() > 0 and type(x) is Tensor


def _block(x: Tensor) -> int:
    """Samples of a block."""
    return max(1, BLOCK // x[0].numel())


def _run(kernel: Any, x: Tensor, g: Tensor, mask: Tensor | None, *others: Any) -> None:
    """A kernel of `counted_cpu`, block by block."""
    given, grads = _rows(x), _rows(g)
    samples, channels, width = x.shape[0], x.shape[1], given.shape[1]
    last = given.shape[0] == samples and channels > 1
    lanes = channels * min(max(1, LANES[1] // channels), width // channels) if last else min(width, LANES[0])
    valid = np.ones(samples, np.bool_) if mask is None else array(mask)
    run_blocks(
        kernel, x[0].numel(), samples, given, grads, valid, channels, lanes, *map(array, others), block=_block(x)
    )


def sums(x: Tensor, g: Tensor, center: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """(Σ g, Σ (x − center)·g) of each channel [C] in float64, over the values of x and g [N, C, …] that count.

    On a CPU sums of a block have the dtype of `center`.
    """
    gpu = channels_for(x)
    if gpu is not None and gpu.lie_alike(x, g):
        return gpu.squares(gpu.values_of(x), center, mask) if g is x else gpu.sums(gpu.values_of(x), g, center, mask)  # type: ignore[no-any-return]
    if not _compiled(x):
        return _plain_sums(x, g, center, mask)
    from snnkit.kernels.norm_lif import counted_cpu as cpu

    partial = torch.zeros(-(-x.shape[0] // _block(x)), 2, x.shape[1], dtype=torch.float64, device=x.device)
    _run(cpu.sums, x, g, mask, center, partial)
    total, dot = partial.sum(0)
    return total, dot


def _plain_sums(x: Tensor, g: Tensor, center: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """By torch's operations, the sums of each sample first; what does not count may be no number."""
    wide, dims = x.to(state_dtype(x)), list(range(2, x.dim()))
    if g is x:  # without a product of large and nearly equal numbers
        var, mean = torch.var_mean(wide, dims, correction=0) if dims else (torch.zeros_like(wide), wide)
        var, mean, size = var.double(), mean.double(), x.shape[2:].numel()
        each = [size * mean, size * (var + mean * (mean - center))]
    else:
        each = [g.to(wide.dtype), (wide - _per_channel(center.to(wide.dtype), x)) * g]
        each = [v.sum(dims, dtype=torch.float64) if dims else v.double() for v in each]
    if mask is not None:
        each = [torch.where(mask[:, None], v, 0.0) for v in each]
    return each[0].sum(0), each[1].sum(0)


def _per_channel(v: Tensor, x: Tensor) -> Tensor:
    return v.view(-1, *[1] * (x.dim() - 2))


def project(x: Tensor, g: Tensor, terms: Sequence[Tensor], mask: Tensor | None) -> Tensor:
    """(g − middle − (x − mean)·slope)·scale where x [N, C, …] counts, g·scale elsewhere, where there are kernels in the
    place of g; `terms` [C] are mean, middle, slope and scale."""
    gpu = channels_for(x)
    if gpu is not None and gpu.lie_alike(x, g):
        gpu.project(gpu.values_of(x), g, *terms, mask, g)
        return g
    if _compiled(x):
        from snnkit.kernels.norm_lif import counted_cpu as cpu

        _run(cpu.project, x, g, mask, *terms)
        return g
    mean, middle, slope, scale = (_per_channel(v, x) for v in terms)
    wide = g.to(mean.dtype)
    apart = (wide - middle) - (x.to(mean.dtype) - mean) * slope
    if mask is not None:
        apart = torch.where(mask.view(-1, *[1] * (x.dim() - 1)), apart, wide)
    return (apart * scale).to(x.dtype)
