"""From the model's timeline to the chip's: a spike needs at least one step per connection.

Each population gets a lag L, each connection from neurons the delay d + L(dst) - L(src) >= 1 (d its delay in the
model: 0 feed-forward, >= 1 in loops), each connection from an input d + L(dst) >= 0. The smallest lags are the
longest paths over the edges (src, dst, 1 - d); where paths of different length meet, the shorter one gets the longer
delay. A loop whose model delays sum to less than its number of connections has no solution.
"""

from __future__ import annotations

from dataclasses import replace

from snnkit.graph.findings import Finding
from snnkit.graph.model import Graph

Edge = tuple[str, str, int]


def _edges(graph: Graph) -> list[Edge]:
    inputs = {i.name for i in graph.inputs}
    edges = []
    for c in graph.connections:
        least = int(c.delay) if isinstance(c.delay, int) else int(c.delay.min())
        if c.src not in inputs:
            edges.append((c.src, c.dst, 1 - least))
    return edges


def _longest_paths(graph: Graph) -> tuple[dict[str, int], list[str]]:
    """Lags, and the names along one loop of positive weight if there is one."""
    lag = {p.name: 0 for p in graph.populations}
    before: dict[str, str] = {}
    edges = _edges(graph)
    for _ in range(len(lag) + 1):
        changed = ""
        for src, dst, weight in edges:
            if lag[src] + weight > lag[dst]:
                lag[dst] = lag[src] + weight
                before[dst] = src
                changed = dst
        if not changed:
            return lag, []
    node = changed
    for _ in lag:  # walk back far enough to be inside the loop
        node = before[node]
    loop, at = [node], before[node]
    while at != node:
        loop.append(at)
        at = before[at]
    return lag, loop[::-1]


def loop_findings(graph: Graph) -> list[Finding]:
    """A finding for a loop that is too short for the chip, naming the loop and the smallest delay that works."""
    _, loop = _longest_paths(graph)
    if not loop:
        return []
    edges = _edges(graph)
    total = sum(min(1 - w for s, d, w in edges if (s, d) == pair) for pair in zip(loop, loop[1:] + loop[:1]))
    return [
        Finding(
            "LOOP_TOO_SHORT",
            " -> ".join([*loop, loop[0]]),
            f"the delays around this loop sum to {total}, but a spike needs {len(loop)} steps to go round it",
            resource="delay around the loop",
            needed=len(loop),
            available=total,
            remedy=f"raise the delay of the recurrent connection by {len(loop) - total}, so that the loop has at least "
            f"{len(loop)}, and train with it",
        )
    ]


def add_lag(graph: Graph) -> Graph:
    """The graph on the chip's timeline, with lags and balanced delays. Call `loop_findings` first."""
    lags, loop = _longest_paths(graph)
    assert not loop, "loop_findings reports this"
    inputs = {i.name for i in graph.inputs}
    populations = tuple(replace(p, lag=lags[p.name]) for p in graph.populations)
    connections = tuple(
        replace(c, delay=c.delay + lags[c.dst] - (0 if c.src in inputs else lags[c.src])) for c in graph.connections
    )
    return graph.with_(populations=populations, connections=connections, timeline="chip")
