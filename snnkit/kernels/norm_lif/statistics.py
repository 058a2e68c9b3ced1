"""What batch norm multiplies and adds per channel; on the CPU with the bits that torch's own operator gives, on a GPU
by kernels of ours, which add up in float64 and always in the same order."""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from snnkit.kernels import layout as layouts
from snnkit.kernels.layout import Layout, array
from snnkit.kernels.norm_lif.gradient import of_batch, takes
from snnkit.kernels.state import state_dtype
from snnkit.kernels.threads import run_blocks


class Norm(NamedTuple):
    """A batch norm's values for one pass, each [C]; y = (x − mean)·rate·gain + bias."""

    mean: Tensor
    rate: Tensor
    """1/√(variance + eps)."""
    running: tuple[Tensor, Tensor] | None
    """Running mean and variance where these were taken; None: mean and rate are the batch's, and depend on x."""
    eps: float
    known: tuple[Tensor | None, Tensor | None, Tensor, Tensor] | None = None
    """(gain, bias, scale, shift) where the last two are known already for these two, rounded once."""

    @property
    def twice(self) -> bool:
        """Whether scale·x + shift is rounded twice, whatever torch's own norm does."""
        return False

    def terms(self, gain: Tensor | None, bias: Tensor | None, once: bool) -> tuple[Tensor, Tensor]:
        """(scale, shift) [C] with y = scale·x + shift; `once` as `rounds_once`."""
        if once and self.known is not None and self.known[0] is gain and self.known[1] is bias:
            return self.known[2:]
        return terms(self, gain, bias, once)

    def backward(
        self,
        grad: Tensor,
        x: Tensor,
        layout: Layout,
        gain: Tensor | None,
        want: Sequence[bool],
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Gradients of x [T, M], gain and bias from that of y [T, M], those that are wanted.

        Args:
            grad: free for the gradient of x.
            layout: of x and grad.
        """
        if not any(want):
            return None, None, None
        gpu = channels_for(x)
        if gpu is not None:
            return self.on_gpu(gpu, grad, x, layout, gain, want)
        if self.running is None and takes(x, layout):
            found = of_batch(grad, x, layout, self.mean, self.rate, gain, grad if want[0] else None)
            return tuple(g if w else None for g, w in zip(found, want))  # type: ignore[return-value]
        mean, var = self.running or (None, None)
        grad, x = (layout.restore(v).flatten(0, 1) for v in (grad, x))
        if 1 in x.shape:  # strides that mean nothing, which torch misreads
            grad, x = grad.contiguous(), x.contiguous()
        found = torch.ops.aten.native_batch_norm_backward(
            grad, x, gain, mean, var, self.mean, self.rate, self.running is None, self.eps, list(want)
        )
        if want[0]:
            found = (layout.flatten(found[0].unflatten(0, layout.shape[:2])), *found[1:])
        return tuple(g if w else None for g, w in zip(found, want))  # type: ignore[return-value]

    def on_gpu(
        self,
        gpu: Any,
        grad: Tensor,
        x: Tensor,
        layout: Layout,
        gain: Tensor | None,
        want: Sequence[bool],
        out: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """As `backward`, by the kernels `channels_for` x; the gradient of x goes to `out`, to `grad` where None."""
        values = values_in(gpu, x, layout)
        gain, out = None if gain is None else gain.detach(), grad if out is None else out
        own: Any = None
        if any(want[1:]) or self.running is None:
            own = gpu.of_channels(values, grad, self.mean, self.rate, gain)
        if want[0] and self.running is None:
            gpu.project(values, grad, self.mean, own.middle, own.slope, own.scale, None, out)
        elif want[0]:
            gpu.scaled(values, grad, self.rate if gain is None else self.rate * gain, out)
        return out if want[0] else None, own.gain if want[1] else None, own.bias if want[2] else None


def from_batch(
    x: Tensor,
    running: tuple[Tensor, Tensor] | None,
    momentum: float,
    eps: float,
    gain: Tensor | None = None,
    bias: Tensor | None = None,
) -> Norm:
    """The norm by the statistics of x [N, C, …]; running mean and variance move towards them by `momentum`.

    gain, bias: [C], what `terms` will be asked for perhaps.
    """
    x, gpu = x.detach(), channels_for(x)
    if gpu is not None:
        kept = None if running is None else (running[0].data, running[1].data)
        affine = (None if part is None else part.detach() for part in (gain, bias))
        mean, rate, *both = gpu.statistics(gpu.values_of(x), state_dtype(x), kept, momentum, eps, *affine)
        return Norm(mean, rate, None, eps, (gain, bias, *both))
    if 1 in x.shape:
        x = x.contiguous()  # as the layer alone, see `BatchNorm._whole`
    mean, var = _statistics(x, running, momentum)
    return Norm(mean, _rate(var.double(), eps).to(var.dtype), None, eps)


def from_running(mean: Tensor, var: Tensor, eps: float) -> Norm:
    """The norm by running statistics."""
    mean, var = mean.detach(), var.detach()
    return Norm(mean, _rate(var, eps), (mean, var), eps)


def _rate(var: Tensor, eps: float) -> Tensor:
    """1/√(var + eps), every operation rounded to the nearest, which torch's square root on a CPU is not."""
    if var.device.type != "cpu":
        return (var + eps).sqrt().reciprocal()
    values = array(var)
    return torch.from_numpy(1 / np.sqrt(values + values.dtype.type(eps)))


def _statistics(x: Tensor, running: tuple[Tensor, Tensor] | None, momentum: float) -> tuple[Tensor, Tensor]:
    """(mean [C], variance [C]) over all but the channels, the variance divided by the count."""
    if x.device.type != "cpu" or not x.is_contiguous() or x[0, 0].numel() == 1 or x.dtype == torch.bfloat16:
        # Torch sums these another way, which is fast.
        old = (None, None) if running is None else tuple(r.data for r in running)
        if running is None and x.dtype in (torch.bfloat16, torch.float16):  # the results have the dtype of these
            old = tuple(torch.zeros(2, x.shape[1], device=x.device))
        mean, var = torch.ops.aten.batch_norm_update_stats(x, *old, momentum)
        return mean, var
    from snnkit.kernels.norm_lif import sums_cpu

    channels, count = x.shape[1], x.numel() // x.shape[1]
    flat = array(x).reshape(x.shape[0], -1)
    mean, squares = np.empty(channels, flat.dtype), np.empty(channels, flat.dtype)
    run_blocks(sums_cpu.sums, count, channels, flat, channels, mean, squares, block=sums_cpu.GROUP)
    if running is not None:
        one = flat.dtype.type
        new, old = one(momentum), one(1) - one(momentum)
        kept_mean, kept_var = (array(kept.data) for kept in running)
        unbiased = (squares / one(count - 1)).astype(np.float64)
        kept_mean[:] = new * mean + old * kept_mean
        kept_var[:] = np.float64(new) * unbiased + (old * kept_var).astype(np.float64)
    return torch.from_numpy(mean), torch.from_numpy(squares / flat.dtype.type(count))


def terms(norm: Norm, gain: Tensor | None, bias: Tensor | None, once: bool) -> tuple[Tensor, Tensor]:
    """(scale, shift) [C] with y = scale·x + shift; `once` as `rounds_once`."""
    found: tuple[Tensor, Tensor] = kernels_for(norm.mean).terms(norm.mean, norm.rate, gain, bias, once)
    return found


def kernels_for(x: Tensor) -> Any:
    """The module that runs the kernels on the device of x; that for GPUs is loaded when the first such is seen."""
    return importlib.import_module(f"snnkit.kernels.norm_lif.{'on_cpu' if x.device.type == 'cpu' else 'on_gpu'}")


GPU_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
"""Inputs that the kernels for GPUs take."""


def channels_for(x: Tensor) -> Any:
    """The module `channels_on_gpu` for x on a GPU, where there are kernels for it, else None."""
    if x.device.type != "cuda" or not layouts.TRITON or x.dtype not in GPU_DTYPES or not x.numel():
        return None
    return importlib.import_module("snnkit.kernels.norm_lif.channels_on_gpu") if type(x) is Tensor else None


def values_in(gpu: Any, x: Tensor, layout: Layout) -> Any:
    """x [T, M] of this layout as the kernels `channels_for` it take it."""
    pixels = math.prod(layout.shape[2:]) // layout.channels
    return gpu.Values(x, math.prod(layout.shape[:2]), layout.channels, pixels, layout.channels_last)


@functools.cache
def rounds_once(low: bool = False) -> bool | None:
    """Whether torch's batch norm rounds scale·x + shift once (True) or twice (False); None where it does neither.

    That depends on the processor and on how torch was built. It is looked at once, on some numbers. `low`: of an input
    in bfloat16, where the result is rounded to that afterwards, so that it takes many numbers to see it.
    """
    from snnkit.kernels.norm_lif import layers_cpu

    generator = torch.Generator().manual_seed(0)
    plain: Any = {"dtype": torch.float32, "device": "cpu"}  # whatever the defaults are
    x = torch.randn(4, 8, 1 << 15 | 5 if low else 37, generator=generator, **plain)
    x = x.bfloat16() if low else x
    gain, bias, mean = (torch.randn(8, generator=generator, **plain) for _ in range(3))
    var = torch.rand(8, generator=generator, **plain) + 0.1
    expected = F.batch_norm(x, mean, var, gain, bias, False, 0.0, 1e-5)
    norm = from_running(mean, var, 1e-5)
    found = torch.empty_like(x)
    source, out = (array(v.view(len(x), -1)) for v in (x, found))
    for once in (True, False):
        scale, shift = terms(norm, gain, bias, once)
        layers_cpu.normalise(0, 1, len(x), source, array(scale), array(shift), x[0, 0].numel(), once, out)
        if np.array_equal(array(found), array(expected)):
            return once
    return None
