"""Reference routing: with the file's placement and keys, our tables must reach the same cores with no more entries."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnkit.targets.comparison import ArrayVerdict, judge
from snnkit.targets.spinnaker.cases import Case
from snnkit.targets.spinnaker.machine import Chip, chips_of, walk
from snnkit.targets.spinnaker.routes import Stream, build_routes

Array = np.ndarray[Any, Any]


def compare(case: Case) -> tuple[list[ArrayVerdict], list[str]]:
    """Walk every neuron's key through our tables and through the file's.

    Each population sends to the next one; rows of `placements` are x, y, core, population, first and last neuron, key
    (-1: sends nothing), mask, bytes.
    """
    placements = case.take("placements").astype(np.int64)
    theirs = case.take("routes").astype(np.int64).reshape(-1, 6)
    case.take("sizes")
    chips = {(int(x), int(y)) for x, y in placements[:, :2]} | {(int(x), int(y)) for x, y in theirs[:, :2]}
    board = board_of(chips)
    if board is None:
        raise case.fail("its chips lie on no board that is known", fix="known: SpiNN-5 and triads")
    streams, keys = [], []
    for x, y, _, population, first, last, key, mask, _ in placements.tolist():
        if key < 0:
            continue
        next_ones = placements[placements[:, 3] == population + 1]
        targets = tuple(((int(a), int(b)), int(p)) for a, b, p in next_ones[:, :3])
        streams.append(Stream((x, y), key, mask & 0xFFFFFFFF, targets))
        colour = int(np.argmax([mask >> b & 1 for b in range(32)])) - max(int(last - first).bit_length(), 1)
        keys.append(key | (np.arange(last - first + 1) << max(colour, 0)))
    ours = build_routes(streams, board)
    wanted = np.concatenate([np.tile(_row(placements, s.targets), (len(k), 1)) for s, k in zip(streams, keys)])
    table = {c: theirs[(theirs[:, 0] == c[0]) & (theirs[:, 1] == c[1])][:, 2:5] for c in chips}
    verdicts = []
    for name, entries in (("cores reached by each key", ours), ("cores reached, file's entries", table)):
        got = [_reached(entries, board, s, k, placements) for s, k in zip(streams, keys)]
        verdicts.append(judge(name, "our routers" if entries is ours else "the file's routers", wanted,
                              np.concatenate(got)))  # fmt: skip
    count, limit = sum(len(e) for e in ours.values()), len(theirs)
    note = "" if count <= limit else f"{count} entries, the file has {limit}"
    verdicts.append(ArrayVerdict("number of entries", "our routers", count <= limit, problem=note))
    return verdicts, [f"router entries: ours {count}, the file's {limit}"]


def board_of(chips: set[Chip]) -> str | None:
    """The smallest board of 48 or more chips that has these chips."""
    return next((b for b in ("SpiNN-5", "triad") if chips <= set(chips_of(b))), None)


def _row(placements: Array, targets: tuple[tuple[Chip, int], ...]) -> Array:
    wanted = set(targets)
    return np.array([((int(x), int(y)), int(p)) in wanted for x, y, p in placements[:, :3]], np.int64)


def _reached(entries: Any, board: str, s: Stream, keys: Array, placements: Array) -> Array:
    """How often each key arrives at each core [keys, cores]."""
    place = {(int(x), int(y), int(p)): k for k, (x, y, p) in enumerate(placements[:, :3])}
    out = np.zeros((len(keys), len(place)), np.int64)
    for (x, y), p, which in walk(entries, board, s.chip, keys):
        if (x, y, p) in place:
            out[which, place[x, y, p]] += 1
        else:
            out[which] = -1  # it reaches a core that is not there
    return out
