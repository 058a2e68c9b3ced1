"""Order and loops of a flat NIR graph: which parts feed back to themselves, and where a loop is cut.

A loop of linear nodes alone has no solution in steps. A loop through neurons needs a delay: NIR can say it with a Delay
node, but frameworks write loops without one and let the spike of a step act in the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping


def components(names: Iterable[str], after: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Strongly connected parts, sources first (Tarjan 1972, doi:10.1137/0201010, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    inside: set[str] = set()
    parts: list[list[str]] = []
    for root in names:
        if root in index:
            continue
        work = [(root, iter(after.get(root, ())))]
        index[root] = low[root] = len(index)
        stack.append(root)
        inside.add(root)
        while work:
            node, children = work[-1]
            for child in children:
                if child not in index:
                    index[child] = low[child] = len(index)
                    stack.append(child)
                    inside.add(child)
                    work.append((child, iter(after.get(child, ()))))
                    break
                if child in inside:
                    low[node] = min(low[node], index[child])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    part: list[str] = []
                    while not part or part[-1] != node:
                        part.append(stack.pop())
                        inside.discard(part[-1])
                    parts.append(part[::-1])
    return parts[::-1]


def cyclic(names: Iterable[str], edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The parts that hold a loop."""
    after: dict[str, list[str]] = {}
    alone: set[str] = set()
    for a, b in edges:
        after.setdefault(a, []).append(b)
        if a == b:
            alone.add(a)
    return [p for p in components(names, after) if len(p) > 1 or p[0] in alone]


def order(names: list[str], edges: Collection[tuple[str, str]], near: Mapping[str, int]) -> list[str]:
    """An order in which as few edges as it is easy to see run backwards: where a loop stops it, the node nearest to
    an input (`near`), then the first in `names`, goes next."""
    left = dict.fromkeys(names)
    waiting = dict.fromkeys(names, 0)
    after: dict[str, list[str]] = {n: [] for n in names}
    for a, b in dict.fromkeys(edges):
        if a != b:
            waiting[b] += 1
            after[a].append(b)
    done: list[str] = []
    ready = deque(n for n in names if not waiting[n])
    while left:
        if not ready:
            ready.append(min(left, key=lambda n: near.get(n, len(names))))  # the first of equals: `min` keeps the order
        node = ready.popleft()
        if node not in left:
            continue
        del left[node]
        done.append(node)
        for b in after[node]:
            waiting[b] -= 1
            if not waiting[b] and b in left:
                ready.append(b)
    return done
