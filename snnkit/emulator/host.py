"""The host's parts of a network, run from their sections in a descriptor: float32 neurons, float64 sums.

The order of every operation is the one that `HostNetwork.arithmetic` states, so that a run is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.descriptor.schema import HostLayer, HostNetwork, HostSynapse, Manifest
from snnkit.emulator.result import read_out
from snnkit.errors import DescriptorError

Array = np.ndarray[Any, Any]

PREFIX = "host."
_FIX = "export the network again"
_FLOATS = {np.dtype(np.int32): np.float32, np.dtype(np.int64): np.float64}


@dataclass(frozen=True)
class HostTraces:
    """spikes uint8 [T, B, n] by layer, v float32 [T, B, n] after the reset by layer."""

    spikes: dict[str, Array]
    v: dict[str, Array]

    def joined(self, other: HostTraces) -> HostTraces:
        """Both together."""
        return HostTraces({**self.spikes, **other.spikes}, {**self.v, **other.v})


class Hosts:
    """What the host runs around a chip.

    Raises:
        DescriptorError: as `HostPart`, or a port that no layer or input gives.
    """

    def __init__(self, manifest: Manifest, arrays: Mapping[str, Array]) -> None:
        host = manifest.host
        self._before = None if host is None or host.before is None else HostPart(host.before, arrays)
        self._after = None if host is None or host.after is None else HostPart(host.after, arrays)
        on_chip = {layer.name for layer in manifest.layers}
        self.layers = [layer.name for layer in manifest.all_layers if layer.name not in on_chip]
        sizes = {p.name: p.n for p in manifest.inputs} | {layer.name: layer.n for layer in manifest.all_layers}
        ports = [*manifest.ports, *(p for network in manifest.host_networks for p in network.ports)]
        for port in ports:
            if port.gate_from is None and sizes.get(port.name) != port.n:
                raise DescriptorError(f"manifest.json: nothing gives the {port.n} lines of {port.name!r}", fix=_FIX)
        early = {p.name for p in manifest.inputs}
        if self._before is not None and not {p.name for p in self._before.network.ports} <= early:
            raise DescriptorError("manifest.json: what runs before the chip waits for the chip", fix=_FIX)
        late = set() if self._after is None else {layer.name for layer in self._after.network.layers}
        if any(p.name in late for p in manifest.ports):
            raise DescriptorError("manifest.json: the chip waits for what runs after it", fix=_FIX)

    @property
    def has_after(self) -> bool:
        """Whether anything runs after the chip."""
        return self._after is not None

    @property
    def parts(self) -> tuple[HostPart | None, HostPart | None]:
        """What runs before and after the chip."""
        return self._before, self._after

    def before(self, inputs: Mapping[str, Array]) -> HostTraces:
        """What runs before the chip, on the model's inputs [T, B, n]."""
        return HostTraces({}, {}) if self._before is None else self._before.run(inputs)

    def after(
        self, rows: Mapping[str, Array], answer: Array | None, scores: Array | None
    ) -> tuple[HostTraces, Array | None, Array | None]:
        """What runs after the chip on everything before it [T, B, n], aligned; and the answer, if it gives one."""
        assert self._after is not None
        traces, readout = self._after.run(rows), self._after.network.readout
        if readout is not None:
            spikes, v = traces.spikes[readout.layer], traces.v[readout.layer]
            answer, scores = read_out(readout, 0, spikes, v, len(spikes))
        return traces, answer, scores


class HostPart:
    """One part, decoded and checked.

    Raises:
        DescriptorError: arrays are missing, of another shape or not finite, or a name leads nowhere.
    """

    def __init__(self, network: HostNetwork, arrays: Mapping[str, Array]) -> None:
        self.network = network
        self.sizes = {p.name: p.n for p in network.ports} | {layer.name: layer.n for layer in network.layers}
        if len(self.sizes) != len(network.ports) + len(network.layers):
            raise DescriptorError("manifest.json: two nodes of the host share a name", fix=_FIX)
        self.parameters = {layer.name: _parameters(layer, arrays) for layer in network.layers}
        self.wires: dict[str, list[tuple[HostSynapse, sp.csr_matrix]]] = {layer.name: [] for layer in network.layers}
        order = {layer.name: k for k, layer in enumerate(network.layers)}
        for s in network.synapses:
            if s.src not in self.sizes or s.dst not in order:
                raise DescriptorError(f"manifest.json: the host's synapse {s.name!r} leads nowhere", fix=_FIX)
            if s.delay == 0 and order.get(s.src, -1) >= order[s.dst]:
                raise DescriptorError(f"manifest.json: the host's loop over {s.name!r} has no delay", fix=_FIX)
            self.wires[s.dst].append((s, _matrix(s, arrays, (self.sizes[s.dst], self.sizes[s.src]))))
        readout = network.readout
        if readout is not None and readout.layer not in order:
            raise DescriptorError(f"manifest.json: the host reads no layer {readout.layer!r}", fix=_FIX)

    def start(self, batch: int) -> HostState:
        """The state of a batch before its first step."""
        neurons = {layer.name: _Neurons(layer, self.parameters[layer.name], batch) for layer in self.network.layers}
        depth = max((s.delay for s in self.network.synapses), default=0)
        return HostState(neurons, {name: np.zeros((depth, batch, n), np.uint8) for name, n in self.sizes.items()})

    def run(self, rows: Mapping[str, Array], state: HostState | None = None) -> HostTraces:
        """Run a batch on from `state`, which goes along, or from the initial state; `rows` uint8 [T, B, n] of every
        port."""
        steps, batch = next(iter(rows.values())).shape[:2]
        state = self.start(batch) if state is None else state
        sources = {p.name: np.concatenate([state.past[p.name], rows[p.name]]) for p in self.network.ports}
        sources |= {
            layer.name: np.concatenate([state.past[layer.name], np.zeros((steps, batch, layer.n), np.uint8)])
            for layer in self.network.layers
        }
        v = {layer.name: np.zeros((steps, batch, layer.n), np.float32) for layer in self.network.layers}
        depth = next((len(a) for a in state.past.values()), 0)
        for t in range(steps):
            for name, neuron in state.neurons.items():
                x = np.zeros((batch, neuron.n), np.float64)
                for s, matrix in self.wires[name]:
                    row = sources[s.src][depth + t - s.delay]
                    if row.any():
                        x += (matrix @ np.ascontiguousarray(row.T, dtype=np.float64)).T
                sources[name][depth + t] = neuron.step(x)
                v[name][t] = neuron.v
        state.past = {name: a[len(a) - depth :] for name, a in sources.items()}
        return HostTraces({layer.name: sources[layer.name][depth:] for layer in self.network.layers}, v)


@dataclass
class HostState:
    """Between two steps: the neurons of each layer, and the latest spikes of every source, as many as the longest
    delay looks back on."""

    neurons: dict[str, _Neurons]
    past: dict[str, Array]


class _Neurons:
    """The state of one layer; rules as `HostLayer` names them."""

    def __init__(self, layer: HostLayer, parameters: Mapping[str, Array], batch: int) -> None:
        self.n, self.p = layer.n, parameters
        self.subtract, self.refractory = layer.reset == "subtract", layer.refractory
        self.i, self.v = (np.zeros((batch, layer.n), np.float32) for _ in range(2))
        self.blocked = np.zeros((batch, layer.n), np.int64)

    def step(self, x: Array) -> Array:
        drive = x.astype(np.float32)
        if "bias" in self.p:
            drive = drive + self.p["bias"]
        if "decay" in self.p:
            v = self.p["decay"] * self.v + drive
        else:
            self.i = self.p["decay_syn"] * self.i + drive
            v = self.p["decay_mem"] * self.v + self.i
        if "threshold" not in self.p:
            self.v = v
            return np.zeros(v.shape, np.uint8)
        free = self.blocked == 0
        fired = free & (v >= self.p["threshold"])
        left = v - self.p["threshold"] if self.subtract else np.zeros_like(v)
        self.v = np.where(fired, left, np.where(free, v, self.v))
        self.blocked = np.where(fired, self.refractory, np.maximum(self.blocked - 1, 0))
        return fired.astype(np.uint8)


def _number(arrays: Mapping[str, Array], name: str) -> Array:
    a = arrays.get(f"{PREFIX}{name}")
    if a is None or a.dtype not in _FLOATS or a.ndim != 1:
        raise DescriptorError(f"arrays.safetensors: {PREFIX}{name} is missing or no list of numbers", fix=_FIX)
    values = np.ascontiguousarray(a).view(_FLOATS[a.dtype])
    if not np.isfinite(values).all():
        raise DescriptorError(f"arrays.safetensors: {PREFIX}{name} holds NaN or infinity", fix=_FIX)
    return values


def _parameters(layer: HostLayer, arrays: Mapping[str, Array]) -> dict[str, Array]:
    out = {}
    for key in layer.parameters:
        values = _number(arrays, f"{layer.name}.{key}")
        if values.shape != (layer.n,):
            raise DescriptorError(
                f"arrays.safetensors: {PREFIX}{layer.name}.{key} has {len(values)} numbers for {layer.n} neurons",
                fix=_FIX,
            )
        out[key] = values.astype(np.float32)
    return out


def _matrix(s: HostSynapse, arrays: Mapping[str, Array], shape: tuple[int, int]) -> sp.csr_matrix:
    weight = _number(arrays, f"{s.name}.weight").astype(np.float64)
    indptr, indices = (arrays.get(f"{PREFIX}{s.name}.{key}") for key in ("indptr", "indices"))
    if (
        indptr is None
        or indices is None
        or indptr.shape != (shape[0] + 1,)
        or indices.shape != weight.shape
        or indptr.dtype.kind != "i"
        or indices.dtype.kind != "i"
        or indptr[0] != 0
        or indptr[-1] != len(indices)
        or (np.diff(indptr) < 0).any()
        or (len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < shape[1])
    ):
        raise DescriptorError(f"arrays.safetensors: the host's synapse {s.name!r} is no matrix {list(shape)}", fix=_FIX)
    return sp.csr_matrix((weight, indices, indptr), shape=shape)
