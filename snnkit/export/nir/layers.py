"""The torch modules that run a graph: parts in order, and loops of several populations step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from snnkit import nn as snn
from snnkit.export.nir.synapses import Shape
from snnkit.kernels.state import state_dtype
from snnkit.nn.neurons.base import spikes_like


class Network(nn.Module):
    """Runs populations in order; `plan` says what reaches each of them."""

    def __init__(self, inputs: Sequence[str], output: str) -> None:
        super().__init__()
        self.inputs, self.output = tuple(inputs), output
        self.plan: list[Part] = []

    def forward(
        self, x: Tensor, x2: Tensor | None = None, x3: Tensor | None = None, x4: Tensor | None = None
    ) -> Tensor:
        """Inputs [T, B, features…] in the order of the graph → the output [T, B, features…]."""
        values: dict[str, Any] = dict(zip(self.inputs, (x, x2, x3, x4)))
        for part in self.plan:
            drives = [self.drive(ways, values) for ways in part.ways]
            layer = self.get_submodule(part.path)
            if len(part.names) == 1 and not part.loop:
                values[part.names[0]] = layer(drives[0])
            else:
                values |= dict(zip(part.names, layer.split(layer(layer.join(drives, x)))))  # type: ignore[operator]
        out: Tensor = values[self.output]
        return out

    def drive(self, ways: Sequence[tuple[str, tuple[str, ...]]], values: Mapping[str, Any]) -> Any:
        """The sum of what reaches a population, None where nothing does."""
        total: Any = None
        for source, layers in ways:
            y = values[source]
            for path in layers:
                y = self.get_submodule(path)(y)
            total = y if total is None else total + y
        return total


@dataclass(eq=False)
class Part:
    """One population, or several in a loop: the module, and per population its sources with the layers on the way."""

    path: str
    names: list[str]
    ways: list[list[tuple[str, tuple[str, ...]]]] = field(default_factory=list)
    loop: bool = False


class Reshape(nn.Module):
    """Other axes for the features of [T, B, …]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """x [T, B, …] with features of `shape`."""
        return x.reshape(*x.shape[:2], *self.shape)


class LoopState(NamedTuple):
    """neurons: the states of the populations; past [D, B, n] of each: its outputs of the last D steps, oldest first."""

    neurons: tuple[Any, ...]
    past: tuple[Tensor, ...]

    def detach(self) -> LoopState:
        """The same state cut from the graph (truncated back-propagation through time)."""
        return LoopState(tuple(s.detach() for s in self.neurons), tuple(p.detach() for p in self.past))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LoopState:
        """The state on another device; `dtype` applies to its floating-point tensors only."""
        neurons = tuple(s.to(device, dtype) for s in self.neurons)
        return LoopState(neurons, tuple(p.to(device=device, dtype=dtype) for p in self.past))


class Loop(snn.Stateful):
    """Populations that hear each other later: in each step, in order, x = drive + Σ synapse(out[t − delay]), a step.

    Drives and outputs [T, B, Σ n] hold the populations side by side, flat; see `join` and `split`.
    """

    spiking = True

    def __init__(self, names: Sequence[str], shapes: Sequence[Shape], neurons: Sequence[snn.Neuron]) -> None:
        super().__init__()
        self.names, self.shapes = tuple(names), tuple(shapes)
        self.neurons = nn.ModuleList(neurons)
        self.synapses = nn.ModuleList()
        self.wires: list[tuple[int, int, int]] = []
        """(from, to, delay) of each synapse."""

    @property
    def sizes(self) -> list[int]:
        """Neurons of each population."""
        return [int(np.prod(s)) for s in self.shapes]

    @property
    def reach(self) -> int:
        """The longest delay."""
        return max(d for _, _, d in self.wires)

    def join(self, drives: Sequence[Tensor | None], like: Tensor) -> Tensor:
        """Drives [T, B, …] side by side; nothing is 0. `like`: any tensor [T, B, …] of the pass."""
        t, b = like.shape[:2]
        dtype = state_dtype(like)
        flat = [
            torch.zeros(t, b, n, dtype=dtype, device=like.device) if d is None else d.reshape(t, b, n)
            for d, n in zip(drives, self.sizes)
        ]
        return torch.cat(flat, 2)

    def split(self, out: Tensor) -> list[Tensor]:
        """Outputs [T, B, Σ n] as one tensor [T, B, features…] per population."""
        return [o.reshape(*o.shape[:2], *s) for o, s in zip(out.split(self.sizes, 2), self.shapes)]

    def initial_state(self, x: Tensor) -> LoopState:
        """Everything at rest and silent; for x [T, B, Σ n]."""
        drives = self.split(x)
        neurons = tuple(n.initial_state(d) for n, d in zip(self.neurons, drives))  # type: ignore[operator]
        past = tuple(torch.zeros(self.reach, *d.shape[1:], dtype=state_dtype(x), device=x.device) for d in drives)
        return LoopState(neurons, past)

    def sequence(self, x: Tensor, state: Any, want_state: bool = True) -> tuple[Tensor, Any]:
        if state is None:
            state = self.initial_state(x)
        drives = [d.to(state_dtype(x)).unbind(0) for d in self.split(x)]
        params = [n.params(d) for n, d in zip(self.neurons, self.split(x))]  # type: ignore[operator]
        inner = list(state.neurons)
        out: list[list[Tensor]] = [list(p.unbind(0)) for p in state.past]
        for t in range(x.shape[0]):
            for k, neuron in enumerate(self.neurons):
                drive = drives[k][t]
                for (a, b, delay), synapse in zip(self.wires, self.synapses):
                    if b == k:
                        drive = drive + synapse(out[a][self.reach + t - delay][None])[0]
                s, inner[k] = neuron.step(drive, inner[k], params[k])  # type: ignore[operator]
                out[k].append(s)
        whole = [torch.stack(o[self.reach :]).flatten(2) for o in out]
        final = LoopState(tuple(inner), tuple(torch.stack(o[x.shape[0] :]) for o in out)) if want_state else None
        return spikes_like(torch.cat(whole, 2), x), final

    def check_state(self, state: Any, x: Tensor) -> None:
        if not isinstance(state, LoopState) or len(state.neurons) != len(self.names):
            raise self.state_error(
                state, f"a {type(state).__name__} instead of a LoopState of {len(self.names)} populations"
            )
        for neuron, inner, past, drive in zip(self.neurons, state.neurons, state.past, self.split(x)):
            neuron.check_state(inner, drive)  # type: ignore[operator]
            self.expect_tensor(state, "past", past, x, state_dtype(x), (self.reach, *drive.shape[1:]))
