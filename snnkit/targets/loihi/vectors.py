"""Reference vectors of Loihi simulators: one `.npz` with a JSON `spec` and arrays, read by its fields.

spec: populations (`kind` input or lif, `n`, `ds_offset`, `vmin`, `vmax`, `noise_at_membrane`), connections (`id`,
`src`, `dst`, `wgt_exp`, `sign_mode`, `num_weight_bits`, `has_delay`), `T`, and optionally `conv` (`conn`, `kernel`,
`in_shape`, `out_shape`, `stride`, `padding`), `nengo_util`, `nengo_util_pop`, and remarks.
in_<pop> [T, n]; W<k> [src, dst] mantissas; D<k> [src, dst] delay registers; K<k> [cin, cout, kh, kw];
du_, dv_, vth_, bias_mant_, bias_exp_, refract_<pop> [n]; noise_<pop> [T, n];
expected: s_, u_, v_<pop> [T, n], Weff<k> [src, dst]; alt_<reference>_<array>: what another reading gives.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnkit.errors import ReplayFormatError, SnnkitError
from snnkit.graph.model import Connection, Graph, Input, Population
from snnkit.graph.neurons import LoihiNeuron
from snnkit.graph.synapses import Dense, LoihiWeightFormat
from snnkit.targets.loihi import spec as chip
from snnkit.targets.loihi.vector_kernels import LoihiFile, convolutions, whole
from snnkit.targets.vector_file import read_arrays, take_json

Array = np.ndarray[Any, Any]

FORMAT = "loihi-golden/"
_SPEC_KEYS = {
    "format", "name", "T", "seed", "note", "populations", "connections", "conv", "golden_from", "golden_ref", "agree",
    "differ", "skipped", "dynamics_only", "overflow", "spikes", "nengo_util", "nengo_util_pop",
}  # fmt: skip
_POPULATION_KEYS = {"name", "kind", "n", "ds_offset", "vmin", "vmax", "noise_at_membrane"}
_CONNECTION_KEYS = {"id", "src", "dst", "wgt_exp", "sign_mode", "num_weight_bits", "has_delay"}
_REGISTERS = {"du": None, "dv": None, "vth": None, "bias_mant": 0, "bias_exp": 0, "refract": 1}


@dataclass(frozen=True, eq=False)
class ReplayCase:
    """One reference file as a network with its stimulus and what must come out.

    Attributes:
        graph: every connection as a weight matrix. shared: the same with convolutions, if the file has any.
        inputs: [T, 1, n] per input. noise: int32 [T, n] per population.
        expected: arrays of the file by their name there: `s_out`, `u_out`, `v_out`, `Weff0`.
        alternatives: per reference the arrays it gives instead. requantized: `Wnengo<k>` by connection.
        util, util_pop: nengo-loihi's count per population, without and with population axons.
        unknown: fields of the file that are not understood, and ignored.
        remarks: what was noticed while reading.
    """

    path: Path
    name: str
    steps: int
    graph: Graph
    shared: Graph | None
    inputs: dict[str, Array]
    noise: dict[str, Array]
    expected: dict[str, Array]
    alternatives: dict[str, dict[str, Array]]
    requantized: dict[str, Array]
    util: dict[str, dict[str, int]]
    util_pop: dict[str, dict[str, int]]
    source: str
    unknown: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def recognise(path: str | os.PathLike[str]) -> bool:
    """True if the file's fields are those of this format, whatever its name."""
    try:
        file = _open(path)
    except (SnnkitError, OSError):
        return False
    return _known(file.spec)


def _known(spec: Mapping[str, Any]) -> bool:
    if not str(spec.get("format", FORMAT)).startswith(FORMAT):
        return False
    populations, connections = spec.get("populations"), spec.get("connections")
    return (
        isinstance(populations, list)
        and isinstance(connections, list)
        and all(isinstance(p, dict) and {"name", "kind", "n"} <= p.keys() for p in populations)
        and all(isinstance(c, dict) and {"src", "dst"} <= c.keys() for c in connections)
    )


def _open(path: str | os.PathLike[str]) -> LoihiFile:
    arrays = read_arrays(path)
    spec = take_json(arrays, "spec")
    if spec is None:
        raise ReplayFormatError(f"{path}: has no JSON description in a field `spec`", fix="see the format's page")
    return LoihiFile(Path(path), arrays, spec)


def load(path: str | os.PathLike[str]) -> ReplayCase:
    """Read one file.

    Raises:
        ReplayFormatError: the file is of another format, or a needed array is missing or of the wrong shape.
    """
    file = _open(path)
    if not _known(file.spec):
        raise file.fail(
            f"its format {file.spec.get('format', 'without a name')!r} is not known to target loihi",
            fix=f"known: {FORMAT}1 (populations, connections, rasters and traces)",
        )
    remarks: list[str] = []
    unknown = [f"spec.{k}" for k in file.spec if k not in _SPEC_KEYS]
    hosts, populations = _populations(file, unknown)
    if not hosts:
        hosts = [Input("_no_input", (1,))]
    sizes = {h.name: h.n for h in hosts} | {p.name: p.n for p in populations}
    steps = _steps(file, hosts, populations)
    connections = _connections(file, sizes, {h.name for h in hosts}, unknown)
    convs = convolutions(file, connections, sizes, remarks)
    plain = tuple(c for c, _ in connections.values())
    shared = tuple(convs.get(k, c) for k, (c, _) in connections.items())
    name = str(file.spec.get("name") or file.path.stem)
    graph = Graph(name, tuple(hosts), tuple(populations), plain, steps=steps, timeline="chip")
    try:
        graph.validate()
    except SnnkitError as error:
        raise file.fail(error.what, error.fix) from None
    expected = _expected(file, populations, connections, steps)
    noise = {
        p.name: file.take(f"noise_{p.name}", (steps, p.n), "noise").astype(np.int32)
        for p in populations
        if file.has(f"noise_{p.name}")
    }
    silent = not any(p["kind"] == "input" for p in file.spec["populations"])
    inputs = {
        h.name: np.zeros((steps, 1, h.n), np.uint8)
        if silent
        else file.take(f"in_{h.name}", (steps, h.n), "input raster")[:, None]
        for h in hosts
    }
    alternatives = _alternatives(file, populations, connections)
    requantized = {
        c.name: file.take(f"Wnengo{k}", (c.synapse.n_src, c.synapse.n_dst), "weights").T
        for k, (c, _) in connections.items()
        if file.has(f"Wnengo{k}")
    }
    unknown += file.unknown
    if str(file.spec.get("format", f"{FORMAT}1")) != f"{FORMAT}1":
        remarks.append(f"format {file.spec['format']!r} read as {FORMAT}1")
    return ReplayCase(
        path=file.path, name=name, steps=steps, graph=graph,
        shared=graph.with_(connections=shared) if convs else None,
        inputs=inputs,
        noise=noise, expected=expected, alternatives=alternatives, requantized=requantized,
        util=_util(file, "nengo_util"), util_pop=_util(file, "nengo_util_pop"),
        source=str(file.spec.get("golden_from", "")), unknown=tuple(unknown), remarks=tuple(remarks),
    )  # fmt: skip


def _populations(file: LoihiFile, unknown: list[str]) -> tuple[list[Input], list[Population]]:
    hosts: list[Input] = []
    populations: list[Population] = []
    for p in file.spec["populations"]:
        name, n = str(p["name"]), whole(file, f"n of population {p['name']!r}", p["n"])
        if n < 1:
            raise file.fail(f"population {name!r} has {n} neurons")
        unknown += [f"spec.populations.{name}.{k}" for k in p if k not in _POPULATION_KEYS]
        if p["kind"] == "input":
            raster = file.arrays.get(f"in_{name}")
            most = int(raster.max(initial=0)) if raster is not None and raster.dtype.kind in "iub" else 1
            hosts.append(Input(name, (n,), max_count=max(most, 1)))
        elif p["kind"] == "lif":
            registers: dict[str, Any] = {
                key: file.take(f"{key}_{name}", (n,), "register").astype(np.int32)
                if default is None or file.has(f"{key}_{name}")
                else np.full(n, default, np.int32)
                for key, default in _REGISTERS.items()
            }
            settings: dict[str, Any] = {
                key: whole(file, f"{key} of population {name!r}", p.get(key, default))
                for key, default in (
                    ("ds_offset", 1),
                    ("vmin", chip.vmin(23)),
                    ("vmax", chip.vmax(chip.VMAX_EXPONENT_MAX)),
                    ("noise_at_membrane", 0),
                )
            }
            populations.append(Population(name, (n,), LoihiNeuron(**registers, **settings)))
        else:
            raise file.fail(f"population {name!r} is of the unknown kind {p['kind']!r}", "known: input, lif")
    return hosts, populations


def _steps(file: LoihiFile, hosts: list[Input], populations: list[Population]) -> int:
    if "T" in file.spec:
        return whole(file, "T", file.spec["T"])
    for key in (*(f"in_{h.name}" for h in hosts), *(f"s_{p.name}" for p in populations)):
        if file.has(key):
            return len(file.arrays[key])
    raise file.fail("neither `T` nor a raster says how many steps there are")


def _connections(
    file: LoihiFile, sizes: Mapping[str, int], hosts: set[str], unknown: list[str]
) -> dict[int, tuple[Connection, int]]:
    """Connections by their id, with their position."""
    result: dict[int, tuple[Connection, int]] = {}
    for position, c in enumerate(file.spec["connections"]):
        k = whole(file, "id of a connection", c.get("id", position))
        unknown += [f"spec.connections.{k}.{key}" for key in c if key not in _CONNECTION_KEYS]
        for end in ("src", "dst"):
            if c[end] not in sizes:
                raise file.fail(f"connection {k} names the unknown population {c[end]!r}")
        if k in result:
            raise file.fail(f"two connections have the id {k}")
        shape = (sizes[c["src"]], sizes[c["dst"]])
        if file.has(f"W{k}") or not _has_kernel(file, k):
            weight = file.take(f"W{k}", shape, "weight mantissas").T.astype(np.int32)
        else:
            weight = np.zeros((0, 0), np.int32)  # given by its kernel alone, see `convolutions`
        late = 0 if c["src"] in hosts else 1
        delay: int | Array = late
        if c.get("has_delay", file.has(f"D{k}")):
            delay = file.take(f"D{k}", shape, "delays").T.astype(np.int64) + late
        fmt = LoihiWeightFormat(
            *(
                whole(file, f"{key} of connection {k}", c.get(key, default))
                for key, default in (("wgt_exp", 0), ("sign_mode", chip.MIXED), ("num_weight_bits", 8))
            )
        )
        result[k] = (Connection(f"W{k}", c["src"], c["dst"], Dense(weight), delay, fmt), position)
    return result


def _has_kernel(file: LoihiFile, k: int) -> bool:
    return any(isinstance(c, dict) and c.get("conn") == k for c in file.spec.get("conv", []))


def _expected(
    file: LoihiFile, populations: list[Population], connections: Mapping[int, tuple[Connection, int]], steps: int
) -> dict[str, Array]:
    expected = {
        f"{what}_{p.name}": file.take(f"{what}_{p.name}", (steps, p.n), "expected trace")
        for p in populations
        for what in "suv"
        if file.has(f"{what}_{p.name}")
    }
    if not expected:
        raise file.fail("the file has no expected trace (s_, u_ or v_<population>)")
    for k, (c, _) in connections.items():
        if file.has(f"Weff{k}"):
            expected[f"Weff{k}"] = file.take(f"Weff{k}", (c.synapse.n_src, c.synapse.n_dst), "effective weights")
    return expected


def _alternatives(
    file: LoihiFile, populations: list[Population], connections: Mapping[int, tuple[Connection, int]]
) -> dict[str, dict[str, Array]]:
    """`alt_<reference>_<array>` by reference; the array's name is the longest that fits, names may hold `_`."""
    known = [f"{w}_{p.name}" for p in populations for w in "suv"] + [f"Weff{k}" for k in connections]
    result: dict[str, dict[str, Array]] = {}
    for name in sorted(file.arrays):
        if not name.startswith("alt_"):
            continue
        ends = [k for k in known if name.endswith(f"_{k}") and len(name) > len(k) + 5]
        if ends:
            array = max(ends, key=len)
            result.setdefault(name[4 : -len(array) - 1], {})[array] = file.arrays[name]
            file.used.add(name)
    return result


def _util(file: LoihiFile, key: str) -> dict[str, dict[str, int]]:
    """nengo-loihi's counts; (used, available) pairs are read as used."""
    table = file.spec.get(key)
    if not isinstance(table, dict):
        return {}
    return {
        str(p): {str(k): int(v[0] if isinstance(v, list) else v) for k, v in row.items()}
        for p, row in table.items()
        if isinstance(row, dict)
    }
