"""One more tick for everything that leaves some layers, so that relay cores can copy their spikes: lags move along.

On the chip's timeline a connection from neurons has delay d + L(dst) - L(src), d its delay in the model. The delay of
what leaves a relayed layer must be at least 2; the lags are the smallest that allow it, as in `snnkit.passes.lag`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from snnkit.graph.model import Graph


def make_room(graph: Graph, relayed: Collection[str], shared: Collection[str] = ()) -> Graph | None:
    """The graph with delays of at least 2 out of `relayed`, of 0 out of `shared`; None if a loop has no tick to spare.

    `shared` populations are axons: what reads them has their lag, and they that of the last of these.
    """
    old = {p.name: p.lag for p in graph.populations}
    hosts = {i.name: i for i in graph.inputs}
    lag = dict.fromkeys(old, 0)
    edges = [
        (c.src, c.dst, _ticks(c.src, relayed, shared) - (int(_least(c.delay)) - old[c.dst] + old[c.src]))
        for c in graph.connections
        if c.src not in hosts
    ]
    edges += [(c.dst, c.src, 0) for c in graph.connections if c.src in shared]
    for _ in range(len(lag) + 1):
        changed = False
        for src, dst, weight in edges:
            if lag[src] + weight > lag[dst]:
                lag[dst], changed = lag[src] + weight, True
        if not changed:
            break
    else:
        return None
    moved = {name: lag[name] - old[name] for name in lag}
    gates = {name for name, i in hosts.items() if i.gate_from is not None}
    late = {c.src: moved[c.dst] for c in graph.connections if c.src in gates}
    return graph.with_(
        populations=tuple(replace(p, lag=lag[p.name]) for p in graph.populations),
        inputs=tuple(
            replace(i, gate_from=i.gate_from + late.get(i.name, 0)) if i.gate_from is not None else i
            for i in graph.inputs
        ),
        connections=tuple(
            c if c.src in gates else replace(c, delay=c.delay + moved[c.dst] - moved.get(c.src, 0))
            for c in graph.connections
        ),
    )


def _ticks(name: str, relayed: Collection[str], shared: Collection[str]) -> int:
    return 0 if name in shared else 2 if name in relayed else 1


def _least(delay: object) -> int:
    return int(delay) if isinstance(delay, int) else int(delay.min())  # type: ignore[attr-defined]
