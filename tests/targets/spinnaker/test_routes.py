"""Routing tables: random networks reach exactly what they should, on every board, with few entries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.errors import DescriptorError
from snnkit.targets.spinnaker import spec
from snnkit.targets.spinnaker.machine import chips_of, cores_of, neighbour, walk
from snnkit.targets.spinnaker.routes import Stream, build_routes


def test_boards():
    assert [len(chips_of(b)) for b in spec.BOARDS] == [4, 48, 144]
    assert len(cores_of("SpiNN-5", (0, 0))) == 15
    assert len(cores_of("SpiNN-5", (1, 0))) == 16
    assert neighbour("SpiNN-5", (0, 0), 3) is None
    assert neighbour("triad", (0, 0), 3) == (11, 0)
    for board in spec.BOARDS:
        for chip in chips_of(board):
            for link in range(6):
                there = neighbour(board, chip, link)
                assert there is None or neighbour(board, there, (link + 3) % 6) == chip


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from(list(spec.BOARDS)))
def test_every_key_reaches_its_cores_and_no_other(seed, board):
    rng = np.random.default_rng(seed)
    chips = chips_of(board)
    streams = []
    for k in range(int(rng.integers(1, 40))):
        picks = {(chips[rng.integers(len(chips))], int(rng.integers(2, 18))) for _ in range(rng.integers(0, 6))}
        streams.append(Stream(chips[rng.integers(len(chips))], k << 8, 0xFFFFFF00, tuple(sorted(picks))))
    routes = build_routes(streams, board)
    for s in streams:
        if s.targets:
            keys = s.key + np.array([0, 16, 255])
            arrived = walk(routes, board, s.chip, keys)
            assert sorted((chip, p) for chip, p, _ in arrived) == list(s.targets)
            assert all(len(which) == 3 for _, _, which in arrived)
    plain = sum(len({c for c, _ in s.targets}) + 1 for s in streams)
    assert sum(len(e) for e in routes.values()) <= 12 * plain


def test_keys_of_one_route_share_an_entry():
    streams = [Stream((0, 0), k << 8, 0xFFFFFF00, (((1, 0), 4),)) for k in range(13)]
    routes = build_routes(streams, "SpiNN-5")
    assert {chip: len(e) for chip, e in routes.items()} == {(0, 0): 1, (1, 0): 1}


def test_straight_on_needs_no_entry():
    routes = build_routes([Stream((0, 3), 0, 0xFFFFFF00, (((5, 3), 4),))], "SpiNN-5")
    assert [chip for chip, e in routes.items() if len(e)] == [(0, 3), (5, 3)]


def test_lost_packets_are_errors():
    key = np.array([7])
    with pytest.raises(DescriptorError, match="matches no entry"):
        walk({}, "SpiNN-5", (0, 0), key)
    with pytest.raises(DescriptorError, match="leaves the board"):
        walk({(0, 0): np.array([[7, 0xFFFFFFFF, 1 << 3]])}, "SpiNN-5", (0, 0), key)
    circle = {(0, 0): np.array([[0, 0, 1]]), (1, 0): np.array([[0, 0, 1 << 3]])}
    with pytest.raises(DescriptorError, match="circles"):
        walk(circle, "SpiNN-5", (0, 0), key)
