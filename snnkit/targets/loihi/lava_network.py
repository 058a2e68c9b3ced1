"""A Loihi network in lava: builds its processes from the files beside this one, runs samples, compares spikes.

    python network.py                    every stored sample; exit code 1 if a spike or an answer differs
    python network.py --samples 2

Needs lava-nc 0.10.0 (Python 3.10) with numpy and scipy, nothing else; `build` gives the processes to programs that
import this file. A step of lava is one tick of the chip later: a source's spike of lava step t arrives in step t + 1,
as row t of an input arrives in tick t. So every neuron first makes one step without input, and starts at the potential
that its bias brings to 0 in that step.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

Array = Any

MOSTLY_FILLED = 0.25
"""Share of nonzero weights from which on `Dense` is used instead of `Sparse`."""


def synapses(arrays: Any, number: int, entry: dict[str, Any], shape: tuple[int, int], counts: bool) -> Any:
    """The process of one connection [n_dst, n_src]."""
    from lava.proc.dense.process import Dense
    from lava.proc.sparse.process import DelaySparse, Sparse
    from lava.utils.weightutils import SignMode
    from scipy.sparse import csr_matrix

    row, col, weight, delay = (arrays[f"connection{number}.{part}"] for part in ("row", "col", "weight", "delay"))
    options = {
        "weight_exp": entry["weight_exp"], "num_weight_bits": 8, "sign_mode": SignMode(entry["sign_mode"]),
        "num_message_bits": 8 if counts else 0,
    }  # fmt: skip
    matrix = csr_matrix((weight.astype(np.int32), (row, col)), shape=shape)
    if delay.any():
        late = csr_matrix((delay.astype(np.int64), (row, col)), shape=shape)
        return DelaySparse(weights=matrix, delays=late, max_delay=int(delay.max()), **options)
    if len(weight) >= MOSTLY_FILLED * shape[0] * shape[1]:
        return Dense(weights=matrix.toarray(), **options)
    return Sparse(weights=matrix, **options)


def build(net: dict[str, Any], arrays: Any, inputs: list[Array]) -> tuple[list[Any], list[Any]]:
    """Sources, one per port, and neurons, one LIF per group of equal registers, connected.

    Args:
        net: `network.json`. arrays: `network.npz`. inputs: [n, steps] of every port, gate ports included.
    """
    from lava.proc.io.source import RingBuffer
    from lava.proc.lif.process import LIF

    sources = [RingBuffer(data=raster.astype(np.int32)) for raster in inputs]
    neurons = [
        LIF(
            shape=(entry["n"],), u=0, v=arrays[f"neurons{k}.v"], du=entry["du"], dv=entry["dv"], vth=entry["vth"],
            bias_mant=arrays[f"neurons{k}.bias_mant"], bias_exp=arrays[f"neurons{k}.bias_exp"],
        )
        for k, entry in enumerate(net["neurons"])
    ]  # fmt: skip
    for number, entry in enumerate(net["connections"]):
        kind, k = entry["from"]
        counts = kind == "ports" and net["ports"][k]["max_count"] > 1
        synapse = synapses(arrays, number, entry, (net["neurons"][entry["to"]]["n"], net[kind][k]["n"]), counts)
        _join([sources[k]] if kind == "ports" else [neurons[g] for g in groups_of(net, k)], synapse)
        synapse.a_out.connect(neurons[entry["to"]].a_in)
    for k in apart(net):
        shape = (net["neurons"][k]["n"], net["neurons"][0]["n"])
        none = {part: np.zeros(0, np.int64) for part in ("row", "col", "weight", "delay")}
        nothing = {f"connection0.{part}": empty for part, empty in none.items()}
        tie = synapses(nothing, 0, {"weight_exp": 0, "sign_mode": 1}, shape, False)
        _join([neurons[0]], tie)
        tie.a_out.connect(neurons[k].a_in)
    return sources, neurons


def _join(given: list[Any], synapse: Any) -> None:
    for source in given:  # a port adds what it is given; a neuron is live in one group of its layer
        source.s_out.connect(synapse.s_in)


def groups_of(net: dict[str, Any], layer: int) -> list[int]:
    """The groups of equal registers that make up a layer."""
    return [k for k, entry in enumerate(net["neurons"]) if entry["layer"] == layer]


def apart(net: dict[str, Any]) -> list[int]:
    """One group of neurons from every part of the network that no synapse joins with group 0.

    Lava runs what is connected with the process that is told to run, so `build` ties these with empty synapses.
    """
    ports, groups = len(net["ports"]), len(net["neurons"])
    part = list(range(ports + groups))
    for entry in net["connections"]:
        kind, k = entry["from"]
        for source in [k] if kind == "ports" else [ports + g for g in groups_of(net, k)]:
            one, other = part[source], part[ports + entry["to"]]
            part = [one if p == other else p for p in part]
    first = {part[ports + k]: k for k in reversed(range(groups))}
    return sorted(k for k in first.values() if k)


def rasters(net: dict[str, Any], data: list[Array], ticks: int) -> list[Array]:
    """[n, ticks + 1] of every port from the data ports' [T, n]; the gate lines are driven here."""
    steps, left, result = len(data[0]) if data else 0, list(data), []
    for port in net["ports"]:
        raster = np.zeros((port["n"], ticks + 1), np.int32)
        if port["gate_from"] is None:
            mine = left.pop(0)[: ticks + 1]
            raster[:, : len(mine)] = mine.T
        else:
            raster[:, port["gate_from"] : port["gate_from"] + steps] = 1
        result.append(raster)
    return result


def simulate(net: dict[str, Any], arrays: Any, data: list[Array], ticks: int) -> tuple[list[Array], Array | None]:
    """Spikes [ticks, n] of every layer, and v [ticks, n] of the layer that is read out by v, else None."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi1SimCfg
    from lava.proc.io.sink import RingBuffer
    from lava.proc.monitor.process import Monitor

    _, neurons = build(net, arrays, rasters(net, data, ticks))
    steps, readout = ticks + 1, net["readout"]
    sinks = [RingBuffer(shape=(entry["n"],), buffer=steps) for entry in net["neurons"]]
    for group, sink in zip(neurons, sinks):
        group.s_out.connect(sink.a_in)
    where = [arrays[f"layer{k}"] for k in range(len(net["layers"]))]
    watched: list[int] = []
    if readout is not None and readout["rule"] not in ("count", "first"):
        watched = sorted(set(where[readout["layer"]].tolist()))
    monitors = {k: Monitor() for k in watched}
    for k, monitor in monitors.items():
        monitor.probe(neurons[k].v, steps)
    neurons[0].run(condition=RunSteps(num_steps=steps), run_cfg=Loihi1SimCfg(select_tag="fixed_pt"))
    try:
        fired = [np.asarray(sink.data.get())[:, 1:].T for sink in sinks]
        v = {k: next(iter(next(iter(m.get_data().values())).values())) for k, m in monitors.items()}
    finally:
        neurons[0].stop()
    spikes = [_gathered(table, fired, ticks).astype(np.uint8) for table in where]
    potential = None
    if readout is not None and watched:
        shaped = [np.asarray(v[k]).reshape(steps, -1)[1:] if k in v else f for k, f in enumerate(fired)]
        potential = _gathered(where[readout["layer"]], shaped, ticks).astype(np.int64)
    return spikes, potential


def _gathered(group: Array, traces: list[Array], ticks: int) -> Array:
    """[ticks, n] of a layer: each neuron's trace from the group that it is in."""
    columns = [traces[g][:, index] for index, g in enumerate(group)]
    return np.stack(columns, 1) if columns else np.zeros((ticks, 0))


def answer(net: dict[str, Any], spikes: list[Array], v: Array | None, steps: int) -> int:
    """The class of one sample: the readout's rule over its window, ties to the lowest."""
    rule, layer = net["readout"]["rule"], net["readout"]["layer"]
    lag = net["layers"][layer]["lag"]
    window = (spikes[layer] if v is None else v)[lag : lag + steps].astype(np.int64)
    if rule in ("count", "mean"):
        scores = window.sum(0)
    elif rule == "first":
        scores = np.where(window.any(0), len(window) - (window != 0).argmax(0), 0)
    else:
        scores = window.max(0) if rule == "max" else window[-1]
    return int(scores.argmax())


def main() -> int:
    """Run the stored samples; 0 if every spike and answer is equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, help="only so many of the stored samples")
    limit = parser.parse_args().samples
    here = Path(__file__).resolve().parent
    net = json.loads((here / "network.json").read_text(encoding="utf-8"))
    arrays, vectors = np.load(here / "network.npz"), np.load(here / "vectors.npz")
    differ = checked = fired = 0
    for b in range(net["samples"] if limit is None else min(limit, net["samples"])):
        data = [vectors[f"port{k}"][:, b] for k, p in enumerate(net["ports"]) if p["gate_from"] is None]
        spikes, v = simulate(net, arrays, data, net["ticks"])
        wrong = {
            entry["name"]: int((vectors[f"layer{k}"][:, b] != spikes[k]).sum())
            for k, entry in enumerate(net["layers"])
            if f"layer{k}" in vectors
        }
        fired += sum(int(vectors[f"layer{k}"][:, b].sum()) for k in range(len(spikes)) if f"layer{k}" in vectors)
        checked += len(wrong)
        if "answer" in vectors:
            wrong["answer"] = int(answer(net, spikes, v, len(data[0])) != vectors["answer"][b])
        differ += sum(wrong.values())
        print(f"sample {b}: differing {wrong}")
    if not checked:
        print("no samples are stored: nothing was compared")
        return 1
    print(f"{f'{differ} values differ' if differ else 'equal'}; {fired} spikes expected")
    return int(differ > 0)


if __name__ == "__main__":
    raise SystemExit(main())
