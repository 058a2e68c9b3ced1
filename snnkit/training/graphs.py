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
    """The network on x and lengths, the latter where `with_lengths`, last; in the precision that holds now."""

    def __init__(self, net: torch.nn.Module, with_lengths: bool, kind: str) -> None:
        super().__init__()
        self.net, self.with_lengths = net, with_lengths
        self.precision = kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)

    def forward(self, *args: Tensor) -> Any:
        x, lengths = (args[:-1], args[-1]) if self.with_lengths else (args, None)
        # Weights in low precision that an earlier pass has left in autocast's cache are not those of a later one.
        with torch.autocast(*self.precision, cache_enabled=False):
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
        self._most = MOST

    def __call__(self, x: tuple[Tensor, ...], lengths: Tensor | None) -> Any:
        """Its output for the inputs x, each [T, B, …], and lengths [B]."""
        args = x if lengths is None else (*x, lengths.to(x[0].device, non_blocking=True))
        key = (lengths is None, *((tuple(a.shape), a.stride(), a.dtype) for a in args))
        run = self._recorded.get(key)
        if run is None:
            run = _Pass(self.net, lengths is not None, x[0].device.type)
            if len(self._recorded) < self._most:
                run = self._record(key, run, args)
        return run(*args)

    def _record(self, key: tuple[Any, ...], run: _Pass, args: tuple[Tensor, ...]) -> Any:
        """The pass in a graph; as it is where that cannot be, which is told, and there are no graphs any more."""
        device = args[0].device
        try:
            # without autocast, in which the way back does not run either
            with _untouched(self.net, device), torch.autocast(device.type, enabled=False):
                given = tuple(a.detach().clone(memory_format=torch.preserve_format) for a in args)
                self._recorded[key] = record(run, given)
            return self._recorded[key]
        except RuntimeError as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            print(f"note: this network goes into no CUDA graph, and trains without: {first}", file=sys.stderr)
        self._recorded.clear()
        self._most = 0
        if device.type == "cuda":
            # The one there was takes the recording to go on, and would draw no more; earlier graphs draw from it.
            generator = torch.cuda.default_generators[device.index]
            generator.graphsafe_set_state(generator.clone_state())
        return _Pass(self.net, run.with_lengths, device.type)


@contextlib.contextmanager
def _untouched(net: torch.nn.Module, device: torch.device) -> Iterator[None]:
    """The passes that warm up leave buffers, random numbers, gradients and the current stream as they were."""
    kept = [(b, b.detach().clone()) for b in net.buffers()]
    on_gpu = device.type == "cuda"
    # a recording that fails stays on its own stream
    stream = torch.cuda.stream(torch.cuda.current_stream(device)) if on_gpu else contextlib.nullcontext()
    try:
        with torch.random.fork_rng(devices=[device] if on_gpu else []), stream:
            yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)
