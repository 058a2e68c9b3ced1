"""From tensors [T, B, features…] to the flat [T, M] that the fused kernels see, and back."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnkit.kernels.state import state_dtype
from snnkit.surrogate.heaviside import transformed

_fused = True


def _find_triton() -> bool:
    """Whether there is a Triton of 3.4 or later, read from its file: importing it takes long."""
    spec = importlib.util.find_spec("triton")
    if spec is None or spec.origin is None:
        return False
    found = re.search(r"^__version__ = [\'\"](\d+)\.(\d+)", Path(spec.origin).read_text(encoding="utf-8"), re.MULTILINE)
    return found is not None and (int(found[1]), int(found[2])) >= (3, 4)


TRITON = _find_triton()
"""Whether tensors on a GPU have fused kernels. CUDA builds of torch from 2.8 on bring what they need."""


@contextlib.contextmanager
def fusing(wanted: bool) -> Iterator[None]:
    """Within it, neuron layers run in fused kernels, where there are such for their input, or not, in all threads."""
    global _fused
    before, _fused = _fused, wanted
    try:
        yield
    finally:
        _fused = before


def reference_only() -> contextlib.AbstractContextManager[None]:
    """Within it, neuron layers run step by step in plain torch operations, in all threads."""
    return fusing(False)


def is_fusing() -> bool:
    """Whether kernels are wanted, as outside `reference_only()`."""
    return _fused


def runs_fused(x: Tensor, on_gpu: bool = False) -> bool:
    """Whether a fused kernel takes this input; otherwise the reference does.

    torch.func's transforms and forward-mode differentiation see plain operations, which have every derivative.

    Args:
        x: the input.
        on_gpu: there is a Triton kernel too; it needs `TRITON`.
    """
    kind = x.device.type
    return _fused and (kind == "cpu" or (kind == "cuda" and on_gpu and TRITON)) and not transformed()


_USUAL = [tuple(range(n)) for n in range(65)]
"""The usual order of so many dimensions, of which torch has 64 at most."""


class Layout(NamedTuple):
    """How [T, B, features…] lies in memory, as an order of its dimensions with T and B first."""

    order: tuple[int, ...]
    shape: tuple[int, ...]
    """The sizes in that order."""

    @property
    def width(self) -> int:
        """M: the elements of a step."""
        return math.prod(self.shape[1:])

    @property
    def plain(self) -> bool:
        """Whether the dimensions are in their usual order."""
        return self.order == _USUAL[len(self.order)]

    @property
    def channels(self) -> int:
        """C, of [T, B, C, …]."""
        return self.shape[self.order.index(2)]

    @property
    def channels_last(self) -> bool:
        """Whether the channels of [T, B, C, …] lie beside each other, and something is behind them otherwise."""
        return self.order[-1] == 2 and len(self.order) > 3

    @property
    def channel_repeat(self) -> int:
        """R with which element m of [M] belongs to channel (m // R) % C."""
        return math.prod(self.shape[self.order.index(2) + 1 :])

    def resized(self, shape: Sequence[int]) -> Layout:
        """The same order of dimensions, which have other sizes [T, B, features…]."""
        return Layout(self.order, tuple(shape[d] for d in self.order))

    def flatten(self, x: Tensor) -> Tensor:
        """[T, B, …] → [T, M]."""
        return self._ordered(x).reshape(self.shape[0], math.prod(self.shape[1:]))

    def restore(self, flat: Tensor) -> Tensor:
        """[T, M] → [T, B, …]."""
        x = flat.view(self.shape)
        return x if self.plain else x.permute(_inverse(self.order))

    def _ordered(self, x: Tensor) -> Tensor:
        """[T, B, …] in this order."""
        return x if self.plain else x.permute(self.order)

    def flatten_state(self, v: Tensor) -> Tensor:
        """[B, …] → [M], in memory of one piece: kernels are compiled anew for any other."""
        return v.permute([d - 1 for d in self.order[1:]]).reshape(-1).contiguous()

    def restore_state(self, flat: Tensor) -> Tensor:
        """[M] → [B, …]."""
        return flat.view(self.shape[1:]).permute(_inverse([d - 1 for d in self.order[1:]]))

    def parameter(self, value: Tensor | None) -> tuple[Tensor | None, int]:
        """A parameter that broadcasts against [B, features…] as (values [P], repeat R); None as it is.

        Element m of [M] has values[(m // R) % P].
        """
        if value is None:
            return None, 1
        if value.numel() == 1:
            return value.reshape(1), 1
        order = [d - 2 for d in self.order[2:]]
        features = self.shape[2:]
        value = value.permute(order)
        used = [k for k, size in enumerate(value.shape) if size != 1]
        if len(used) == 1:
            return value.reshape(-1).contiguous(), math.prod(features[used[0] + 1 :])
        return value.expand(features).reshape(-1).contiguous(), 1


def _inverse(order: Any) -> list[int]:
    inverse = [0] * len(order)
    for k, d in enumerate(order):
        inverse[d] = k
    return inverse


def prepare(x: Tensor, low: bool = False) -> tuple[Tensor, Layout]:
    """x [T, B, …] as a flat [T, M] in the state's dtype, without a copy where its memory is dense, and the layout.

    A channels-last input keeps its order, so that the convolutions around a neuron layer need no copies either.

    Args:
        x: the input.
        low: the kernels read and write bfloat16 themselves, so that such an input stays as it is. Those for GPUs do
            so with float16 too, and always.
    """
    own = (torch.bfloat16,) if low else ()
    if x.dtype not in (own if x.device.type == "cpu" else (torch.bfloat16, torch.float16)):
        x = x.to(state_dtype(x))
    order = _USUAL[x.dim()]
    if x.is_contiguous():
        layout = Layout(order, tuple(x.shape))
        return layout.flatten(x), layout
    last = (0, 1, *range(3, x.dim()), 2)
    if x.dim() > 3 and x.permute(last).is_contiguous():
        order = last  # first of all: strides of dimensions of size 1 mean nothing, and may suggest another order
    else:
        strides = x.stride()
        by_stride = tuple(sorted(order, key=lambda d: (-strides[d], d)))
        if by_stride[:2] == (0, 1) and x.permute(by_stride).is_contiguous():
            order = by_stride
    layout = Layout(order, tuple(x.shape[d] for d in order))
    return layout.flatten(x).contiguous(), layout


def array(x: Tensor) -> np.ndarray[Any, Any]:
    """A contiguous CPU tensor as a numpy array of the same memory; bfloat16, which numpy has not, as its bits."""
    x = x.detach() if x.requires_grad else x
    return (x.view(torch.int16) if x.dtype == torch.bfloat16 else x).numpy()


def empty(like: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
    """An uninitialised tensor of that shape, `like` in device and, where none is given, in dtype."""
    return torch.empty(shape, dtype=dtype or like.dtype, device=like.device)


def reduce_to(partial: Tensor, count: int, repeat: int) -> Tensor:
    """Gradient [P] of a parameter from its parts [M]: summed in a fixed order, whatever the number of threads."""
    if partial.device.type != "cpu":
        return partial.view(-1, count, repeat).sum((0, 2), dtype=torch.float64).to(partial.dtype)
    parts = array(partial).reshape(-1, count, repeat)
    total = parts.sum(axis=(0, 2), dtype=np.float64)
    return torch.from_numpy(total).to(partial.dtype)
