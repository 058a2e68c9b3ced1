"""Small Loihi networks made by hand: as memory images through the schema's encoder, and as plain Python integers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from snnkit import descriptor as store
from snnkit.descriptor import Layer, Manifest, Port, Readout
from snnkit.targets.loihi import schema, spec

EMPTY = schema.SynapseFormat(*[0] * len(schema.FORMAT_COLUMNS))


@dataclass
class SynapseList:
    """`format` row; atoms x m synapses as (mantissa, index, delay)."""

    format: int
    atoms: int
    mantissa: np.ndarray
    index: np.ndarray
    delay: np.ndarray


@dataclass
class Core:
    n: int
    ds_offset: int = 1
    vmin_exp: int = 23
    vmax_exp: int = 7
    noise_at_membrane: int = 0
    profiles: list[tuple[int, int, int]] = field(default_factory=lambda: [(4095, 0, 1)])
    thresholds: list[int] = field(default_factory=lambda: [100])
    compartments: list[tuple[int, int, int, int]] = field(default_factory=list)
    formats: list[schema.SynapseFormat] = field(default_factory=lambda: [EMPTY, schema.SynapseFormat()])
    lists: list[SynapseList] = field(default_factory=list)
    axons: list[tuple[int, int, int]] = field(default_factory=list)
    """(kind, list, base)"""
    outputs: list[tuple[int, int, int, int]] = field(default_factory=list)
    """(compartment, core, axon, atom)"""

    def __post_init__(self) -> None:
        self.compartments = self.compartments or [(0, 0, 0, 0)] * self.n


@dataclass
class Net:
    cores: list[Core]
    lines: int
    host: list[tuple[int, int, int, int]]
    """(line, core, axon, atom)"""
    gates: int = 0
    gate_from: int = 0
    max_count: int = 1
    rule: str = "count"

    # ------------------------------------------------------------------------------------------------ memory images
    def arrays(self) -> dict[str, np.ndarray]:
        tables: dict[str, list] = {name: [] for name in schema.TABLES}
        placement = {}
        for c, core in enumerate(self.cores):
            words, at = np.zeros(0, np.uint64), []
            if core.lists:
                words, at = schema.encode_synapses(
                    core.formats,
                    np.array([x.format for x in core.lists]),
                    np.cumsum([0] + [len(x.mantissa) for x in core.lists]),
                    np.concatenate([x.mantissa for x in core.lists]),
                    np.concatenate([x.index for x in core.lists]),
                    np.concatenate([x.delay for x in core.lists]),
                )
            tables["core"].append([[core.ds_offset, core.vmin_exp, core.vmax_exp, core.noise_at_membrane]])
            tables["compartment_profile"].append(core.profiles)
            tables["threshold_profile"].append(core.thresholds)
            tables["compartment"].append(core.compartments)
            tables["synapse_format"].append(core.formats)
            tables["synapse_memory"].append(words)
            tables["input_axon"].append(
                [(k, core.lists[i].atoms, at[i], len(core.lists[i].mantissa), b) for k, i, b in core.axons]
            )
            tables["output_axon"].append([(n, d, a, atom, self.cores[d].axons[a][0]) for n, d, a, atom in core.outputs])
            placement[f"placement.core{c}"] = np.stack([np.full(core.n, c), np.arange(core.n)], 1).astype(np.int32)
        split = self.lines - self.gates
        tables["host_input"].append(
            [(int(n >= split), n - split * (n >= split), c, a, atom) for n, c, a, atom in self.host]
        )
        arrays = {}
        for name, (dtype, columns) in schema.TABLES.items():
            parts = [np.array(part, dtype).reshape((-1, columns) if columns else -1) for part in tables[name]]
            arrays[name] = np.concatenate(parts) if parts else np.zeros((0, columns), dtype)
        counts = [[len(tables[name][c]) for name in schema.POINTER_COLUMNS] for c in range(len(self.cores))]
        arrays["core_ptr"] = np.cumsum([[0] * len(schema.POINTER_COLUMNS), *counts], axis=0).astype(np.int64)
        return {**arrays, **placement}

    def manifest(self) -> Manifest:
        data = self.lines - self.gates
        ports = [Port(name="in", shape=(data,), n=data, max_count=self.max_count)]
        if self.gates:
            ports.append(Port(name="gate", shape=(self.gates,), n=self.gates, gate_from=self.gate_from))
        return Manifest(
            target="loihi",
            revision=spec.REVISION,
            name="crafted",
            evidence="open-simulator",
            layers=tuple(Layer(name=f"core{c}", shape=(x.n,), n=x.n, lag=c) for c, x in enumerate(self.cores)),
            ports=tuple(ports),
            readout=Readout(layer=f"core{len(self.cores) - 1}", rule=self.rule),
            chip=schema.LoihiSection(n_cores=len(self.cores), n_chips=1).model_dump(mode="json"),
        )

    def write(self, path: Path, vectors: dict[str, np.ndarray] | None = None) -> Path:
        store.write(path, self.manifest(), self.arrays(), vectors or {})
        return path

    # ------------------------------------------------------------------------------------------------ plain integers
    def run(self, raster: np.ndarray, ticks: int, noise: dict[int, np.ndarray] | None = None) -> dict[str, list]:
        """One sample, raster [T, lines without gates]: lists of [core][tick][compartment] for s, u, v; and counters."""
        steps = len(raster)
        due: dict[tuple[int, int, int], int] = {}
        state = [[[0, 0, 0] for _ in range(core.n)] for core in self.cores]
        out: dict[str, list] = {k: [[] for _ in self.cores] for k in "suv"}
        count = dict.fromkeys(
            ["spikes", "synaptic_events", "neuron_updates", "host_packets", "core_packets", "q_wraps", "u_wraps",
             "drive_wraps", "v_clips"], 0)  # fmt: skip

        def send(t: int, c: int, axon: int, atom: int, times: int) -> None:
            core = self.cores[c]
            _, which, base = core.axons[axon]
            rows = core.lists[which]
            fmt = core.formats[rows.format]
            m = len(rows.mantissa) // rows.atoms
            for j in range(m):
                k = atom * m + j
                to = base + (int(rows.index[k]) if fmt.compression == spec.SPARSE else j)
                w = _weight(int(rows.mantissa[k]), fmt)
                when = t + int(rows.delay[k])
                due[when, c, to] = due.get((when, c, to), 0) + w * times
            count["synaptic_events"] += m * times

        fired: list[tuple[int, int]] = []
        data = self.lines - self.gates
        for t in range(ticks):
            for c, n in fired:
                for n2, d, a, atom in self.cores[c].outputs:
                    if n2 == n:
                        send(t, d, a, atom, 1)
                        count["core_packets"] += 1
            for line, c, a, atom in self.host:
                times = int(raster[t, line]) if line < data and t < steps else 0
                if line >= data:
                    times = int(self.gate_from <= t < self.gate_from + steps)
                if times:
                    send(t, c, a, atom, times)
                    count["host_packets"] += times
            fired = []
            for c, core in enumerate(self.cores):
                rows = {k: [] for k in "suv"}
                for n in range(core.n):
                    u, v, r = state[c][n]
                    profile, threshold, mant, exp = core.compartments[n]
                    du, dv, refract = core.profiles[profile]
                    x = int(noise[c][t][n]) if noise and c in noise else 0
                    q = due.pop((t, c, n), 0) + (0 if core.noise_at_membrane else x)
                    u1 = _dec(u, du + core.ds_offset) + _wrap(q, 22)
                    u = _wrap(u1, 24)
                    g = u + mant * 2**exp + (x if core.noise_at_membrane else 0)
                    v1 = _dec(v, dv) + _wrap(g, 24)
                    v = min(max(v1, -(2**core.vmin_exp) + 1), 2 ** (9 + 2 * core.vmax_exp) - 1)
                    count["q_wraps"] += q != _wrap(q, 22)
                    count["u_wraps"] += u1 != u
                    count["drive_wraps"] += g != _wrap(g, 24)
                    count["v_clips"] += v != v1
                    count["neuron_updates"] += 1
                    if r > 0:
                        v = 0
                    s = v > core.thresholds[threshold] * 64
                    if s:
                        v, r = 0, refract
                        fired.append((c, n))
                        count["spikes"] += 1
                    r = max(r - 1, 0)
                    state[c][n] = [u, v, r]
                    for key, value in zip("suv", (int(s), u, v)):
                        rows[key].append(value)
                for key in "suv":
                    out[key][c].append(rows[key])
        return {**{k: [np.array(x) for x in v] for k, v in out.items()}, "counters": count}


def _wrap(x: int, bits: int) -> int:
    x &= (1 << bits) - 1
    return x - (1 << bits) if x >> (bits - 1) else x


def _dec(x: int, d: int) -> int:
    y = abs(x) * (4096 - d) // 4096
    return y if x >= 0 else -y


def _weight(mantissa: int, fmt: schema.SynapseFormat) -> int:
    step = 2**fmt.dropped_bits
    kept = mantissa // step * step if fmt.weight_bits else 0
    scaled = kept * 2**fmt.wgt_exp if fmt.wgt_exp >= 0 else kept // 2**-fmt.wgt_exp
    return min(max(scaled * 64, -(2**21 - 64)), 2**21 - 64)


# --------------------------------------------------------------------------------------------------------- random nets
def random_mantissas(rng: np.random.Generator, fmt: schema.SynapseFormat, n: int) -> np.ndarray:
    low, high = {1: (-256, 256), 2: (0, 256), 3: (-255, 1)}[fmt.sign_mode]
    m = rng.integers(low, high, n)
    if fmt.sign_mode == 3:
        m = -(-m >> fmt.dropped_bits << fmt.dropped_bits)
    return m


def random_format(rng: np.random.Generator, *, exponents: tuple[int, int] = (-3, 3)) -> schema.SynapseFormat:
    return schema.SynapseFormat(
        wgt_exp=int(rng.integers(exponents[0], exponents[1] + 1)),
        sign_mode=int(rng.integers(1, 4)),
        weight_code=int(rng.choice([7, 7, 7, 0, 1, 3, 6])),
        delay_bits=int(rng.choice([0, 0, 2, 6])),
        index_code=int(rng.integers(1, 4)),
        compression=int(rng.choice([spec.SPARSE, spec.DENSE])),
    )


def random_net(rng: np.random.Generator, *, small: bool = True, max_count: int = 1, wild: bool = False) -> Net:
    """1 to 3 cores with every kind of axon, shared lists, delays, loops, several formats and profiles."""
    most = 12 if small else 60
    exponents = (-8, 7) if wild else (-3, 1)
    cores = []
    for _ in range(int(rng.integers(1, 4))):
        n = int(rng.integers(1, most))
        profiles = [
            (int(rng.choice([0, 300, 2048, 4095])), int(rng.choice([0, 20, 2048, 4095])), int(rng.choice([1, 2, 63])))
            for _ in range(int(rng.integers(1, 5)))
        ]
        thresholds = [int(x) for x in rng.choice([0, 1, 40, 300, 5000, 131071], int(rng.integers(1, 5)))]
        cores.append(
            Core(
                n,
                ds_offset=int(rng.integers(0, 2)),
                vmin_exp=int(rng.choice([0, 10, 23, 31] if wild else [0, 10, 23])),
                vmax_exp=int(rng.choice([4, 7])),
                noise_at_membrane=int(rng.integers(0, 2)),
                profiles=profiles,
                thresholds=thresholds,
                compartments=[
                    (
                        int(rng.integers(len(profiles))),
                        int(rng.integers(len(thresholds))),
                        int(rng.choice([0, 0, 5, -4096, 4095])),
                        int(rng.choice([0, 3, 7])),
                    )
                    for _ in range(n)
                ],
                formats=[EMPTY, *(random_format(rng, exponents=exponents) for _ in range(int(rng.integers(1, 5))))],
            )
        )
    for core in cores:
        for _ in range(int(rng.integers(1, 6))):
            f = int(rng.integers(1, len(core.formats)))
            fmt = core.formats[f]
            atoms = int(rng.choice([1, 1, 3]))
            m = int(rng.integers(1, core.n + 1))
            reach = m if fmt.compression == spec.DENSE else int(rng.integers(1, core.n + 1))
            size = atoms * m
            core.lists.append(
                SynapseList(
                    f,
                    atoms,
                    random_mantissas(rng, fmt, size),
                    rng.integers(0, reach, size),
                    rng.integers(0, min(2**fmt.delay_bits, 63), size),
                )
            )
            for _ in range(int(rng.integers(1, 4))):
                kind = int(rng.choice([16, 32])) if atoms > 1 else int(rng.choice([0, 0, 16, 32]))
                base = int(rng.integers(0, core.n - reach + 1))
                core.axons.append((kind, len(core.lists) - 1, base - base % 4 if kind == 16 else base))
    targets = [
        (c, a, atom)
        for c, core in enumerate(cores)
        for a, (_, i, _) in enumerate(core.axons)
        for atom in range(core.lists[i].atoms)
    ]
    gates = int(rng.integers(0, 2))
    lines = int(rng.integers(1, 20)) + gates
    host = [(int(rng.integers(lines)), *targets[int(rng.integers(len(targets)))]) for _ in range(2 * lines)]
    for core in cores:
        core.outputs = [
            (int(rng.integers(core.n)), *targets[int(rng.integers(len(targets)))]) for _ in range(2 * core.n)
        ]
    rule = str(rng.choice(["count", "mean", "max", "last", "first"]))
    return Net(cores, lines, host, gates, int(rng.integers(0, 4)), max_count, rule)
