"""Seeing inside a model: spikes and membranes by path."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from snnkit.errors import ParameterError, did_you_mean
from snnkit.nn.context import enter_recorder, module_paths
from snnkit.nn.module import Stateful

DEFAULT_BYTES = 4 << 30


class Record:
    """What `snn.record` saw in the last pass: `spikes[path]` and `v[path]`, each [T, B, …]."""

    def __init__(
        self, model: torch.nn.Module, spikes: bool, v: Iterable[str] | bool, max_bytes: int, detach: bool = True
    ) -> None:
        self.spikes: dict[str, Tensor] = {}
        self.v: dict[str, Tensor] = {}
        self._paths = module_paths(model)
        self._inside: set[int] = set()
        with_v, spiking = [], set()
        for path, module in model.named_modules():
            if isinstance(module, Stateful) and id(module) not in self._inside:
                self._inside.update(id(m) for m in module.modules() if m is not module)
                if getattr(module, "has_membrane", hasattr(module, "membrane")):
                    with_v.append(path)
                if module.spiking:
                    spiking.add(path)
        self._want_spikes = spiking if spikes else set()
        if isinstance(v, bool):
            v = with_v if v else ()
        self._want_v = set([v] if isinstance(v, str) else v)
        for path in self._want_v - set(with_v):
            raise ParameterError(
                f"no membrane to record at {path!r}{did_you_mean(path, with_v)}",
                fix="the neuron layers are " + (", ".join(repr(p) for p in with_v) or "none"),
            )
        self._max_bytes = max_bytes
        self._detach = detach

    def _held(self) -> int:
        return sum(t.numel() * t.element_size() for d in (self.spikes, self.v) for t in d.values())

    def _keep(self, where: dict[str, Tensor], path: str, tensor: Tensor) -> None:
        where.pop(path, None)
        size = tensor.numel() * tensor.element_size()
        if self._held() + size > self._max_bytes:
            raise ParameterError(
                f"recording {path!r} would hold {(self._held() + size) / 2**20:.0f} MiB, "
                f"the limit is {self._max_bytes / 2**20:.0f} MiB",
                fix="record fewer layers, a smaller batch, or give record(…, max_bytes=…)",
            )
        where[path] = tensor

    def see(self, module: Stateful, x: Tensor, state: Any, out: Tensor) -> None:
        """Called by each stateful layer after its sequence."""
        path = self._paths.get(id(module))
        if path is None:
            return
        if path in self._want_spikes:
            self._keep(self.spikes, path, out.detach() if self._detach else out)
        if path in self._want_v:
            with torch.no_grad():
                self._keep(self.v, path, module.membrane(x, state))  # type: ignore[operator]


@contextlib.contextmanager
def record(
    model: torch.nn.Module,
    spikes: bool = True,
    v: Iterable[str] | bool = (),
    max_bytes: int = DEFAULT_BYTES,
    detach: bool = True,
) -> Iterator[Record]:
    """Record what the neuron layers do: `with snn.record(model, v=["1"]) as rec: model(x)`, then `rec.spikes["1"]`.

    Args:
        model: the model that will be run inside the block, by call, `snn.run` or otherwise.
        spikes: keep the spikes of every spiking layer (the layers' own outputs, not copies).
        v: paths of layers whose membrane after the reset is kept, or True for all. It is recomputed by the layer's
            reference step, so it costs time, but only for these layers.
        max_bytes: most memory to hold; each new pass of a layer replaces the last.
        detach: spikes without their gradient graph; False keeps it, for losses on what layers do.

    Raises:
        ParameterError: a path without a neuron layer, or more than `max_bytes` to hold.
    """
    rec = Record(model, spikes, v, max_bytes, detach)
    with enter_recorder(rec):
        yield rec
