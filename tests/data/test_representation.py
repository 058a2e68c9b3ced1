from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snnkit import nn as snn
from snnkit.data import EventStream, FrameSettings, SaccadeDigits, to_frames
from snnkit.data.representation import REPRESENTATIONS, choose
from snnkit.errors import ParameterError
from snnkit.export import to_graph

event_lists = st.lists(
    st.tuples(st.integers(0, 2000), st.integers(0, 4), st.integers(0, 2), st.integers(0, 1)), max_size=60
)
bins = st.sampled_from([("time", None), ("time", 700), ("time", 1999), ("count", None)])


def stream(events) -> EventStream:
    rows = sorted(events, key=lambda e: e[0])
    t, x, y, p = zip(*rows) if rows else ([], [], [], [])
    return EventStream.from_columns(np.array(t, int), np.array(x, int), np.array(y, int), np.array(p, int), (5, 3))


def plain_voxels(s: EventStream, T, by, window):
    """Zhu et al.'s bilinear kernel, event by event, in real numbers."""
    grid = np.zeros((T, 2, 3, 5))
    for i, (t, x, y, p) in enumerate(s.events.tolist()):
        if by == "count":
            u = (T - 1) * i / max(len(s) - 1, 1)
        elif window is None:
            u = (T - 1) * (t - int(s.t[0])) / max(int(s.t[-1]) - int(s.t[0]), 1)
        else:
            u = (T - 1) * min(t, window) / window
        for k in range(T):
            grid[k, p, y, x] += max(0.0, 1 - abs(u - k))
    return grid


def plain_surface(s: EventStream, T, by, window, tau):
    """exp(−age/τ) of each cell's last event before the end of each bin; ends as in the module's description."""
    out = np.zeros((T, 2, 3, 5))
    n = len(s)
    for k in range(T):
        for i, (t, x, y, p) in enumerate(s.events.tolist()):
            if by == "count":
                seen = [j for j in range(n) if j * T // n <= k]
                inside, end = i in seen, max((int(s.t[j]) for j in seen), default=0)
            else:
                first = 0 if window is not None else int(s.t[0])
                span = window if window is not None else int(s.t[-1]) - first + 1
                end = first + math.ceil((k + 1) * span / T)
                inside = t < end or k == T - 1
            if inside:  # in order of time: a later event of the cell replaces an earlier one
                out[k, p, y, x] = math.exp(-max(end - t, 0) / tau)
    return out


@given(event_lists, st.integers(1, 7), bins)
def test_voxel_grid_is_the_bilinear_kernel_and_loses_no_event(events, T, how):
    s, (by, window) = stream(events), how
    grid = to_frames(s, T=T, by=by, duration_us=window, representation="voxel")
    assert np.abs(grid - plain_voxels(s, T, by, window)).max() <= len(s) / 65536 + 1e-6
    assert grid.dtype == np.float32
    assert grid.sum() == pytest.approx(len(s), abs=1e-4)


@given(event_lists, st.integers(1, 7), bins, st.sampled_from([10, 500, 10_000]))
def test_time_surface_is_the_age_of_the_last_event(events, T, how, tau):
    s, (by, window) = stream(events), how
    surface = to_frames(s, T=T, by=by, duration_us=window, representation="time_surface", tau_us=tau)
    assert np.abs(surface - plain_surface(s, T, by, window, tau)).max() < 1e-6
    assert surface.min() >= 0
    assert surface.max() <= 1


@given(event_lists, bins)
def test_counts_and_binary_by_name_are_those_by_flag(events, how):
    s, (by, window) = stream(events), how
    for name, flag in (("counts", False), ("binary", True)):
        named = to_frames(s, T=4, by=by, duration_us=window, representation=name)
        assert np.array_equal(named, to_frames(s, T=4, by=by, duration_us=window, binary=flag))


def test_the_two_settings_may_not_contradict_each_other():
    assert [choose(r, None) for r in REPRESENTATIONS] == list(REPRESENTATIONS)
    assert (choose(None, None), choose(None, True), choose(None, False)) == ("binary", "binary", "counts")
    assert (choose("counts", False), choose("voxel", False)) == ("counts", "voxel")
    for kind, flag in (("counts", True), ("voxel", True), ("binary", False)):
        with pytest.raises(ParameterError, match="leave one of the two out"):
            FrameSettings(representation=kind, binary=flag)
    with pytest.raises(ParameterError, match="did you mean 'time_surface'"):
        FrameSettings(representation="time_surfaces")
    with pytest.raises(ParameterError, match="tau_us"):
        FrameSettings(representation="time_surface", tau_us=0)


@pytest.mark.parametrize("kind", REPRESENTATIONS)
def test_a_description_is_read_back(kind):
    settings = FrameSettings(
        4, "time", None, 1000, representation=kind, tau_us=123 if kind == "time_surface" else 50_000
    )
    plain = json.loads(json.dumps(settings.describe(0)))
    assert FrameSettings.from_description(plain) == settings
    assert ("representation" in plain) == (kind in ("voxel", "time_surface"))


def test_descriptions_from_before_there_were_representations_are_read():
    for flag, kind in ((True, "binary"), (False, "counts")):
        old = {"T": 6, "by": "time", "binary": flag, "window_us": 315_000}
        settings = FrameSettings.from_description(old)
        assert (settings.representation, settings.binary) == (kind, flag)
        assert settings.describe(0) == old


def test_real_numbers_do_not_reach_a_chip():
    """With every other finding of the same network."""
    model = torch.nn.Sequential(snn.Flatten(), snn.Linear(8, 3), torch.nn.Softmax(-1), snn.LIF())
    settings = FrameSettings(3, representation="voxel")
    assert settings.max_count is None
    graph, findings = to_graph(model.eval(), (2, 2, 2), strict=False, max_count=settings.max_count)
    assert graph is None
    assert {"INPUT_NOT_INTEGER"} < {f.code for f in findings}
    found = next(f for f in findings if f.code == "INPUT_NOT_INTEGER")
    assert "counts or binary" in found.remedy
    data = SaccadeDigits(T=3, subset=40, representation="counts")
    assert data.frames.max_count == 255


def test_a_code_sends_counts_only():
    from snnkit.encoding import Latency

    with pytest.raises(ParameterError, match="a code sends counts"):
        FrameSettings(1, representation="voxel", encoding=Latency(T=4))
