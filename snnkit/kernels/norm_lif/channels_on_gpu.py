"""A batch norm's statistics, values and gradient on a GPU: the launches of `channels_gpu` and what is beside it.

Statistics read x once; the gradient's sums read x and g once, and the gradient itself reads both and writes. Each is
one launch, and what the programs found is one small launch more. Nothing waits for the device, nothing is added
atomically: a run repeats itself bit for bit.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from snnkit.kernels.norm_lif import channels_gpu, channels_gpu_apply, channels_gpu_end

PROGRAMS = 2048
"""Of a pass about, where there is so much: some for every place on the largest GPUs."""

ROUNDS = 4
"""Tiles one behind another of a program, at least, where there are so many: what they find is then small."""

SIDE_BY_SIDE = 64
"""Columns of a strip at most where channels lie beside each other, so that the sums of all columns are few."""

_LEAST = 16

REGISTERS = 64
"""Of a thread, so that eight programs of four warps are on a multiprocessor; left alone the compiler takes more."""


class Cut(NamedTuple):
    """How memory is cut into strips; as the kernels take it, but the sizes as they are."""

    rows: int
    width: int
    size: int
    """Columns of a channel that lie beside each other."""
    strips: int
    chunks: int
    """Strips of a channel where these are apart."""
    down: int
    across: int
    unroll: int
    each: int
    per: int
    apart: bool
    channels: int

    @property
    def splits(self) -> int:
        """Programs of a strip."""
        return -(-self.rows // self.each)

    @property
    def entries(self) -> int:
        """Sums that the programs of all strips leave, side by side."""
        return self.strips if self.apart else self.width

    @property
    def wide(self) -> int:
        """Of how many columns every row, and what is of one channel in it, is a multiple; as in `tiles.ready`."""
        return 4 if self.width % 4 == 0 and not (self.apart and self.size % 4) else 1

    def numbers(self) -> tuple[Any, ...]:
        wide = self.wide
        size = self.size // wide if self.apart else self.size
        per = None if self.per == 1 else self.per
        return self.rows, self.width // wide, size, self.strips, self.chunks, self.each, per

    def gathered(self) -> tuple[int, ...]:
        """plane, entries, splits, many, c_step, k_step, channels of `channels_gpu_end`."""
        many = self.entries // self.channels
        steps = (many, 1) if self.apart or self.size > 1 else (1, self.channels)
        return self.splits * self.entries, self.entries, self.splits, many, *steps, self.channels


def _across(columns: int, most: int) -> int:
    """Columns of a tile, so that few of them are in vain."""
    tiles = [most >> k for k in range(most.bit_length()) if most >> k >= _LEAST] or [most]
    tiles = [t for t in tiles if t < 2 * columns] or [triton.next_power_of_2(columns)]
    vain = [-(-columns // t) * t / columns for t in tiles]
    return next((t for t, v in zip(tiles, vain) if v <= 1.15), tiles[vain.index(min(vain))])


@functools.lru_cache(maxsize=4096)
def cut(samples: int, channels: int, pixels: int, last: bool, double: bool, masked: bool, unroll: int) -> Cut:
    """How the memory of x [N, C, S] is cut, or, where the channels are `last`, of [N, S, C].

    unroll: tiles that are read at once, at most.
    """
    block = 256 if double else 512
    last = last or pixels == 1
    apart = not last and pixels >= 2 * _LEAST
    rows, width, per, size = samples, channels * pixels, 1, pixels
    if last:
        rows, width, per, size = samples * pixels, channels, pixels, 1
        while width % 4 and rows % 2 == 0 and not (masked and per % 2):
            rows, width, per = rows // 2, 2 * width, max(1, per // 2)
    across = _across(pixels, block) if apart else _across(width, SIDE_BY_SIDE)
    chunks = -(-pixels // across) if apart else 1
    strips = channels * chunks if apart else -(-width // across)
    down = block // across
    if pixels % 4 if apart else width % 4:  # a value has an address of its own, which takes registers
        unroll = min(unroll, 2)
    tile = down * unroll
    each = max(-(-rows // max(1, PROGRAMS // strips)), ROUNDS * tile)
    return Cut(rows, width, size, strips, chunks, down, across, unroll, -(-each // tile) * tile, per, apart, channels)


class Values(NamedTuple):
    """x [N, C, S] in memory, or [N, S, C] where the channels are `last`."""

    x: Tensor
    samples: int
    channels: int
    pixels: int
    last: bool

    def cut(self, unroll: int, masked: bool = False) -> Cut:
        return cut(*self[1:], self.x.dtype == torch.float64, masked, unroll)

    @property
    def each(self) -> int:
        """Values of a channel."""
        return self.samples * self.pixels


def values_of(x: Tensor) -> Values:
    """x [N, C, …], its memory in one piece with the channels in their place or last; a copy where it is not."""
    x = x if lies(x) else x.contiguous()
    return Values(x, x.shape[0], x.shape[1], x.shape[2:].numel(), not x.is_contiguous())


def lies(x: Tensor) -> bool:
    """Whether the memory of x [N, C, …] is of one piece, with the channels in their place or last."""
    return x.is_contiguous() or x.movedim(1, -1).is_contiguous()


def lie_alike(x: Tensor, g: Tensor) -> bool:
    """Whether `lies`, and the memory of g [N, C, …] is laid out as that of x."""
    return lies(x) and (g is x or (g.dtype == x.dtype and g.is_contiguous() == x.is_contiguous() and lies(g)))


def _launch(kernel: Any, way: Cut, x: Tensor, *given: Any) -> None:
    double = x.dtype == torch.float64
    with torch.cuda.device_of(x):
        kernel[(way.strips * way.splits,)](
            *given, *way.numbers(), APART=way.apart, NARROW=way.rows < 1 << 31 and way.width < 1 << 31,
            DTYPE=tl.float64 if double else tl.float32, WIDE=way.wide, ACROSS=way.across, DOWN=way.down,
            UNROLL=way.unroll, num_warps=4, maxnreg=REGISTERS,
        )  # fmt: skip


def _end(kernel: Any, way: Cut, found: Tensor, *given: Any) -> None:
    with torch.cuda.device_of(found):
        kernel[(-(-way.channels // 4),)](found, *given, *way.gathered(), HIGH=256, ACROSS=4, num_warps=16)


def _found(way: Cut, x: Tensor, kinds: int) -> Tensor:
    return torch.empty(kinds * way.splits * way.entries, dtype=torch.float64, device=x.device)


def _moments(v: Values, mask: Tensor | None) -> tuple[Cut, Tensor]:
    way = v.cut(4, mask is not None)
    found = _found(way, v.x, 3)
    _launch(channels_gpu.moments, way, v.x, v.x, mask, found, way.splits * way.entries)
    return way, found


class Statistics(NamedTuple):
    """Of a batch, [C] each."""

    mean: Tensor
    rate: Tensor
    """1/√(variance + eps)."""
    scale: Tensor
    """scale·x + shift is the norm, with its gain and bias."""
    shift: Tensor


def statistics(
    v: Values,
    dtype: torch.dtype,
    running: tuple[Tensor, Tensor] | None,
    momentum: float,
    eps: float,
    gain: Tensor | None,
    bias: Tensor | None,
) -> Statistics:
    """Running mean and variance move towards the batch's by `momentum`; gain, bias: None for 1 and 0."""
    way, found = _moments(v, None)
    own = Statistics(*torch.empty(4, v.channels, dtype=dtype, device=v.x.device).unbind())
    kept, affine = [part.contiguous() for part in running or ()], _dense(gain, bias)
    given = (None, None, None, *own[:2], *(kept or (None, None)), *affine, *own[2:], float(momentum), float(eps))
    _end(channels_gpu_end.moments_end, way, found, *given)
    for part, moved in zip(running or (), kept):
        if moved is not part:
            part.data.copy_(moved)
    return own


def _dense(*parts: Tensor | None) -> list[Tensor | None]:
    """In memory of one piece each."""
    return [None if part is None else part.contiguous() for part in parts]


def squares(v: Values, center: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """(Σ x, Σ (x − center)·x) [C] in float64, over the samples that count; center in float64."""
    way, found = _moments(v, mask)
    total, dot = torch.empty(2, v.channels, dtype=torch.float64, device=v.x.device).unbind()
    _end(channels_gpu_end.moments_end, way, found, center, total, dot, *[None] * 8, 0.0, 0.0)
    return total, dot


def _sums(v: Values, g: Tensor, center: Tensor, mask: Tensor | None) -> tuple[Cut, Tensor]:
    way = v.cut(2, mask is not None)
    found = _found(way, v.x, 2)
    plane = way.splits * way.entries
    _launch(channels_gpu.sums, way, v.x, v.x, g, center, mask, found, plane, v.channels)
    return way, found


def sums(v: Values, g: Tensor, center: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """(Σ g, Σ (x − center)·g) [C] in float64, over the samples that count; g as x in memory."""
    way, found = _sums(v, g, center, mask)
    total, dot = torch.empty(2, v.channels, dtype=torch.float64, device=v.x.device).unbind()
    _end(channels_gpu_end.sums_end, way, found, None, None, total, dot, *[None] * 5, 1.0)
    return total, dot


class OfChannels(NamedTuple):
    """What the sums of a gradient come to, [C] each."""

    gain: Tensor
    """The gain's gradient."""
    bias: Tensor
    middle: Tensor
    slope: Tensor
    scale: Tensor


def of_channels(v: Values, g: Tensor, mean: Tensor, rate: Tensor, gain: Tensor | None) -> OfChannels:
    """From mean and rate [C] of all values: the gradients of gain and bias, and what `project` takes besides mean."""
    way, found = _sums(v, g, mean.contiguous(), None)
    own = OfChannels(*torch.empty(5, v.channels, dtype=mean.dtype, device=v.x.device).unbind())
    _end(channels_gpu_end.sums_end, way, found, *_dense(rate, gain), None, None, *own, float(v.each))
    return own


def project(
    v: Values,
    g: Tensor,
    mean: Tensor,
    middle: Tensor,
    slope: Tensor,
    scale: Tensor,
    mask: Tensor | None,
    out: Tensor,
) -> None:
    """out = (g − middle − (x − mean)·slope)·scale where a sample counts, g·scale elsewhere; perhaps g itself.

    mean, middle, slope, scale: [C].
    """
    given = _dense(mean, middle, slope, scale)
    way = v.cut(2, mask is not None)
    _launch(channels_gpu_apply.project, way, v.x, v.x, g, out, *given, mask, v.channels)


def scaled(v: Values, g: Tensor, scale: Tensor, out: Tensor) -> None:
    """out = g·scale, perhaps g itself."""
    _launch(
        channels_gpu_apply.project, v.cut(2), v.x, None, g, out, None, None, None, scale.contiguous(), None, v.channels
    )


def normalise(v: Values, scale: Tensor, shift: Tensor, out: Tensor) -> None:
    """out = scale·x + shift per channel, rounded once; out as x in memory."""
    _launch(channels_gpu_apply.normalise, v.cut(4), v.x, v.x, scale, shift, out, v.channels)
