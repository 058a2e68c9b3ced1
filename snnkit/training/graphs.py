"""The network's pass in CUDA graphs, `trainer.cuda_graphs`: what its calls cost the host is paid once.

A network for 34x34 events is so small that a GPU is done with a layer before Python has asked for the next one. A graph
is recorded at the first batch of a shape, forward and backward, and asks for all of it at once from then on. It runs
the same kernels on the same values; dropout draws what it would have drawn.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from snnkit import nn as snn

MOST = 2
"""Graphs that are recorded: of whole batches, and of the last one. Each keeps its own memory."""


def record(run: torch.nn.Module, args: tuple[Tensor, ...]) -> Any:
    """The module's pass on such arguments, forward and backward, in CUDA graphs: torch.cuda.make_graphed_callables.

    Newer torch warns that gradients come from another stream than the one that parameters were first seen on. That is
    what recording is; torch waits where it has to.
    """
    warn = getattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", None)
    if warn is not None:
        warn(False)
    return torch.cuda.make_graphed_callables(run, args, allow_unused_input=True)


class _Pass(torch.nn.Module):
    """The network on x and lengths, the latter where `with_lengths`, last."""

    def __init__(self, net: torch.nn.Module, with_lengths: bool) -> None:
        super().__init__()
        self.net, self.with_lengths = net, with_lengths

    def forward(self, *args: Tensor) -> Any:
        x, lengths = (args[:-1], args[-1]) if self.with_lengths else (args, None)
        kind = x[0].device.type
        low = torch.get_autocast_dtype(kind)
        # Weights in low precision that an earlier pass has left in autocast's cache are not those of a later one.
        with torch.autocast(kind, low, torch.is_autocast_enabled(kind), cache_enabled=False):
            with snn.valid_lengths(self.net, lengths):
                return self.net(*x)


class Graphs:
    """Runs a network in training, in a CUDA graph for batches of the shapes that come first; others as ever.

    Args:
        net: the network. Between passes its parameters may change in place only.
    """

    def __init__(self, net: torch.nn.Module) -> None:
        self.net = net
        self._recorded: dict[tuple[Any, ...], Any] = {}

    def __call__(self, x: tuple[Tensor, ...], lengths: Tensor | None) -> Any:
        """Its output for the inputs x, each [T, B, …], and lengths [B]."""
        args = x if lengths is None else (*x, lengths.to(x[0].device, non_blocking=True))
        key = (lengths is None, *((tuple(a.shape), a.stride(), a.dtype) for a in args))
        run = self._recorded.get(key)
        if run is None:
            run = _Pass(self.net, lengths is not None)
            if len(self._recorded) < MOST:
                run = self._recorded[key] = self._record(run, args)
        return run(*args)

    def _record(self, run: _Pass, args: tuple[Tensor, ...]) -> Any:
        """The pass in a graph; as it is where that cannot be, which is told."""
        try:
            with _untouched(self.net, args[0].device):
                given = tuple(a.detach().clone(memory_format=torch.preserve_format) for a in args)
                return record(run, given)
        except RuntimeError as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            print(f"note: this network goes into no CUDA graph, and trains without: {first}", file=sys.stderr)
            return _Pass(self.net, run.with_lengths)


@contextlib.contextmanager
def _untouched(net: torch.nn.Module, device: torch.device) -> Iterator[None]:
    """The passes that warm up leave buffers, random numbers and gradients as they were."""
    kept = [(b, b.detach().clone()) for b in net.buffers()]
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)
