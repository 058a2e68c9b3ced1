"""Reference vectors of TrueNorth simulators: one `.npz` of cores, events and traces, read by its fields.

C cores, A axons, N neurons, T ticks. Cores: core_xy [C,2], conn [C,A,N], axon_type [C,A], weight and syn_stoch [C,N,4],
and per neuron [C,N] leak, leak_reversal, leak_stoch, threshold, thr_mask_bits, neg_threshold, neg_saturate, reset_mode,
reset_value, v_init, dest_core (-1: output port), dest_axon (or output line), delay, dest_dx, dest_dy. Stimulus:
in_tick, in_core, in_axon [E]; prn_syn [T,C,A,N], prn_leak, prn_thr [T,C,N]. Expected: exp_v, exp_fired [T,C,N],
exp_axon_active [T,C,A], exp_out_tick, exp_out_index [K] (the tick of firing). alt_<array>: what another reading gives.
func_*: layer cases as linear algebra; published_*: an answer that ships with a data set. meta: JSON.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.errors import SnnkitError
from snnkit.graph.model import Connection, Graph, Input, Population
from snnkit.graph.neurons import TrueNorthAxon, TrueNorthNeuron, TrueNorthOutput
from snnkit.graph.rules import TrueNorthDraws
from snnkit.graph.synapses import Dense, Sparse, TrueNorthFormat
from snnkit.targets.vector_file import VectorFile, read_arrays, take_json

Array = np.ndarray[Any, Any]

_NEURON = {
    "leak": None, "leak_reversal": 0, "leak_stoch": 0, "threshold": None, "thr_mask_bits": 0, "neg_threshold": 0,
    "neg_saturate": 0, "reset_mode": 0, "reset_value": 0, "v_init": 0,
}  # fmt: skip
_NEEDED = ("conn", "axon_type", "weight", "leak", "threshold", "dest_core", "dest_axon", "delay")
_EXPECTED = ("exp_v", "exp_fired", "exp_axon_active", "exp_out_tick", "exp_out_index")
_EVENTS = ("in_tick", "in_core", "in_axon")
OUTPUTS = "outputs"


@dataclass(frozen=True, eq=False)
class ReplayCase:
    """One reference file as a network placed on cores, with its stimulus and what must come out.

    Attributes:
        graph: populations `axons<c>`, `core<c>` and `outputs`. inputs: [T, 1, A] per port `host<c>`.
        draws: [T, ...] by the emulator's names, in full cores. graph_draws: the same per population.
        expected, alternatives: arrays of the file by their name there, without `alt_`.
        function: func_x, func_y and published_* if the file has them.
        unknown: fields that are not understood, and ignored. remarks: what was noticed while reading.
    """

    path: Path
    name: str
    source: str
    steps: int
    graph: Graph
    inputs: dict[str, Array]
    draws: dict[str, Array]
    graph_draws: dict[str, TrueNorthDraws]
    expected: dict[str, Array]
    alternatives: dict[str, Array]
    function: dict[str, Array]
    leak_crossing: str
    unknown: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def n_cores(self) -> int:
        return sum(isinstance(p.neuron, TrueNorthNeuron) for p in self.graph.populations)


@dataclass(eq=False)
class _File(VectorFile):
    hint = "give a file of reference vectors of TrueNorth"

    meta: dict[str, Any]

    def table(self, name: str, shape: tuple[int, ...], default: int | None = None) -> Array:
        """An integer array of that shape, int64; filled with `default` where the file has none."""
        if default is not None and not self.has(name):
            return np.full(shape, default, np.int64)
        return self.take(name, shape).astype(np.int64)


def recognise(path: str | os.PathLike[str]) -> bool:
    """True if the file's fields are those of this format, whatever its name."""
    try:
        file = _open(path)
    except (SnnkitError, OSError):
        return False
    return all(name in file.arrays for name in _NEEDED) and file.arrays["conn"].ndim == 3


def _open(path: str | os.PathLike[str]) -> _File:
    arrays = read_arrays(path)
    meta = take_json(arrays, "meta")
    return _File(Path(path), arrays, meta or {})


def load(path: str | os.PathLike[str]) -> ReplayCase:
    """Read one file.

    Raises:
        ReplayFormatError: the file is of another format, or a needed array is missing or of the wrong shape.
    """
    file = _open(path)
    missing = [name for name in _NEEDED if name not in file.arrays]
    if missing or file.arrays["conn"].ndim != 3:
        raise file.fail(f"is not known to target truenorth: no array {', '.join(missing) or 'conn [C,A,N]'}")
    cores, axons, neurons = file.arrays["conn"].shape
    steps = _steps(file)
    remarks: list[str] = []
    expected = _expected(file, "exp_", steps, (cores, axons, neurons))
    if not expected:
        raise file.fail("the file has no expected array (exp_v, exp_fired, exp_axon_active, exp_out_tick)")
    alternatives = _expected(file, "alt_", steps, (cores, axons, neurons))
    rule = str(file.meta.get("leak_zero_rule", "paper"))
    graph = _graph(file, cores, axons, neurons, steps, remarks)
    draws, graph_draws = _draws(file, steps, cores, axons, neurons)
    inputs = _inputs(file, steps, cores, axons)
    function = {n: a for n, a in file.arrays.items() if n.startswith(("func_", "published_"))}
    known = {*file.used, *function}
    return ReplayCase(
        path=file.path, name=str(file.meta.get("name") or file.path.stem), source=str(file.meta.get("reference", "")),
        steps=steps, graph=graph, inputs=inputs, draws=draws, graph_draws=graph_draws,
        expected=expected, alternatives=alternatives, function=function,
        leak_crossing="equation" if rule in ("paper", "equation") else "zero",
        unknown=tuple(sorted(set(file.arrays) - known)), remarks=tuple(remarks),
    )  # fmt: skip


def _steps(file: _File) -> int:
    for name in ("exp_fired", "exp_v", "exp_axon_active"):
        if name in file.arrays and file.arrays[name].ndim == 3:
            return len(file.arrays[name])
    ticks = file.meta.get("ticks")
    if isinstance(ticks, int) and not isinstance(ticks, bool) and ticks >= 0:
        return ticks
    raise file.fail("neither `ticks` nor a trace says how many ticks there are")


def _expected(file: _File, prefix: str, steps: int, size: tuple[int, int, int]) -> dict[str, Array]:
    cores, axons, neurons = size
    shapes = {"v": (steps, cores, neurons), "fired": (steps, cores, neurons), "axon_active": (steps, cores, axons)}
    found: dict[str, Array] = {}
    for name, shape in shapes.items():
        if prefix + name in file.arrays:
            found["exp_" + name] = file.table(prefix + name, shape)
    for name in ("out_tick", "out_index"):
        if prefix + name in file.arrays:
            found["exp_" + name] = file.table(prefix + name, file.arrays[prefix + name].shape[:1])
    return found


def _inputs(file: _File, steps: int, cores: int, axons: int) -> dict[str, Array]:
    """Events as rasters."""
    count = len(file.arrays["in_tick"]) if file.arrays.get("in_tick") is not None else 0
    raster = np.zeros((steps, cores, axons), np.uint8)
    if count or any(name in file.arrays for name in _EVENTS):
        tick, core, axon = (file.table(name, (count,)) for name in _EVENTS)
        for what, values, limit in (("core", core, cores), ("axon", axon, axons)):
            if count and (values.min() < 0 or values.max() >= limit):
                raise file.fail(f"an event names {what} {int(values.max())} of {limit}")
        inside = (tick >= 0) & (tick < steps)
        raster[tick[inside], core[inside], axon[inside]] = 1
    return {f"host{c}": raster[:, None, c] for c in range(cores)}


def _draws(
    file: _File, steps: int, cores: int, axons: int, neurons: int
) -> tuple[dict[str, Array], dict[str, TrueNorthDraws]]:
    full: dict[str, Array] = {}
    own: dict[str, Array] = {}
    for name, field_name, shape, most in (
        ("synapse", "prn_syn", (steps, cores, axons, neurons), (256, 256)),
        ("leak", "prn_leak", (steps, cores, neurons), (256,)),
        ("threshold", "prn_thr", (steps, cores, neurons), (256,)),
    ):
        if field_name in file.arrays:
            own[name] = file.table(field_name, shape)
            if max(axons, neurons) <= 256:
                wide = np.zeros((steps, cores, *most), np.int32)
                wide[(slice(None), slice(None), *(slice(k) for k in shape[2:]))] = own[name]
                full[name] = wide
    per = {f"core{c}": TrueNorthDraws(**{k: a[:, c] for k, a in own.items()}) for c in range(cores)} if own else {}
    return full, per


def _graph(file: _File, cores: int, axons: int, neurons: int, steps: int, remarks: list[str]) -> Graph:
    conn = file.table("conn", (cores, axons, neurons))
    kind = file.table("axon_type", (cores, axons))
    weight = file.table("weight", (cores, neurons, 4))
    chance = file.table("syn_stoch", (cores, neurons, 4), 0)
    registers = {name: file.table(name, (cores, neurons), default) for name, default in _NEURON.items()}
    to_core, to_axon = (file.table(name, (cores, neurons)) for name in ("dest_core", "dest_axon"))
    delay = file.table("delay", (cores, neurons))
    lines = int(to_axon[to_core < 0].max(initial=-1)) + 1
    if to_core.max(initial=-1) >= cores or to_core.min(initial=0) < -1 or to_axon.min(initial=0) < 0:
        raise file.fail("a destination names a core that the file does not have")
    if to_axon[to_core >= 0].max(initial=-1) >= axons:
        raise file.fail(f"a destination names axon {int(to_axon[to_core >= 0].max())} of {axons}")
    if kind.min(initial=0) < 0 or kind.max(initial=0) > 3:
        raise file.fail("an axon type is none of 0 to 3")
    populations = [Population(f"axons{c}", (axons,), TrueNorthAxon()) for c in range(cores)]
    connections: list[Connection] = []
    straight = Sparse(_ones(np.arange(axons), np.arange(axons), (axons, axons)))
    for c in range(cores):
        neuron = TrueNorthNeuron(**{name: values[c].astype(np.int32) for name, values in registers.items()})
        populations.append(Population(f"core{c}", (neurons,), neuron))
        fmt = TrueNorthFormat(kind[c], weight[c], chance[c])
        crossbar = Dense(np.asarray(conn[c].T != 0, np.int32))
        connections.append(Connection(f"crossbar{c}", f"axons{c}", f"core{c}", crossbar, 0, fmt))
        connections.append(Connection(f"in{c}", f"host{c}", f"axons{c}", straight, 0, TrueNorthFormat()))
        for dst, late in sorted({(int(a), int(b)) for a, b in zip(to_core[c], delay[c]) if a >= 0}):
            mine = np.flatnonzero((to_core[c] == dst) & (delay[c] == late))
            synapse = Sparse(_ones(to_axon[c, mine], mine, (axons, neurons)))
            name = f"core{c}-axons{dst}-{late}"
            connections.append(Connection(name, f"core{c}", f"axons{dst}", synapse, late, TrueNorthFormat()))
        out = np.flatnonzero(to_core[c] < 0)
        if len(out):
            synapse = Sparse(_ones(to_axon[c, out], out, (lines, neurons)))
            connections.append(Connection(f"out{c}", f"core{c}", OUTPUTS, synapse, 0, TrueNorthFormat()))
    if lines:
        populations.append(Population(OUTPUTS, (lines,), TrueNorthOutput()))
    graph = Graph(
        str(file.meta.get("name") or file.path.stem), tuple(Input(f"host{c}", (axons,)) for c in range(cores)),
        tuple(populations), tuple(connections), steps=steps, dt_us=1000.0, timeline="chip",
        notes=_places(file, cores, neurons, to_core, remarks),
    )  # fmt: skip
    try:
        graph.validate()
    except SnnkitError as error:
        raise file.fail(error.what, error.fix) from None
    return graph


def _ones(row: Array, col: Array, shape: tuple[int, int]) -> sp.csr_matrix:
    return sp.csr_matrix((np.ones(len(row), np.int64), (row, col)), shape=shape)


def _places(file: _File, cores: int, neurons: int, to_core: Array, remarks: list[str]) -> Mapping[str, Any]:
    """Places of the cores and of the output port, and whether the file's hops agree with them."""
    if "core_xy" not in file.arrays:
        return {}
    xy = file.table("core_xy", (cores, 2))
    notes: dict[str, Any] = {"core_xy": {f"core{c}": tuple(int(k) for k in xy[c]) for c in range(cores)}}
    port = file.meta.get("output_xy")
    if isinstance(port, list) and len(port) == 2:
        notes["output_xy"] = tuple(int(k) for k in port)
    if "dest_dx" in file.arrays and "dest_dy" in file.arrays:
        hop = np.stack([file.table(name, (cores, neurons)) for name in ("dest_dx", "dest_dy")], 2)
        target = hop + xy[:, None]
        inside = to_core >= 0
        ends = np.unique(target[~inside], axis=0)
        if len(ends) == 1:
            notes["output_xy"] = tuple(int(k) for k in ends[0])
        elif len(ends) > 1:
            remarks.append(f"outputs leave at {len(ends)} places; ours leave at one")
        if not np.array_equal(target[inside], xy[to_core[inside]]):
            remarks.append("dest_dx and dest_dy do not lead to dest_core; dest_core was taken")
    if notes.get("output_xy") in notes["core_xy"].values():
        remarks.append("the output port lies on a core; ours lies beside the mesh")
        notes.pop("output_xy")
    return notes
