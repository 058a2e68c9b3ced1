"""The engine against plain Python integers that never saw a memory image."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from snnkit import emulator
from snnkit.emulator import pool
from snnkit.targets.loihi import schema, spec

from .craft import EMPTY, Core, Net, SynapseList, random_net


def compare(net: Net, path, rng, *, steps: int = 14, batch: int = 3, density: float = 0.4, noise: bool = False) -> dict:
    emu = emulator.open(net.write(path))
    data = net.lines - net.gates
    raster = (rng.random((steps, batch, data)) < density) * rng.integers(1, net.max_count + 1, (steps, batch, data))
    raster = raster.astype(np.uint8)
    ticks = steps + len(net.cores) - 1
    draws = {c: rng.integers(-(2**17), 2**17, (ticks, batch, core.n)) for c, core in enumerate(net.cores)}
    result = emu.run(
        {"in": raster},
        probes=("s", "u", "v"),
        noise={f"core{c}": d for c, d in draws.items()} if noise else None,
    )
    assert result.ticks == ticks
    for b in range(batch):
        expected = net.run(raster[:, b], ticks, {c: d[:, b] for c, d in draws.items()} if noise else None)
        for c in range(len(net.cores)):
            for key, found in (("s", result.spikes), ("u", result.u), ("v", result.v)):
                np.testing.assert_array_equal(found[f"core{c}"][:, b], expected[key][c], err_msg=f"{key} core{c}")
        for name, value in expected["counters"].items():
            assert result.counters[name][b] == value, name
        last = len(net.cores) - 1
        window = slice(last, last + steps)
        trace = {k: np.asarray(expected[k][last])[window].astype(np.int64) for k in "sv"}
        scores = {
            "count": trace["s"].sum(0),
            "mean": trace["v"].sum(0),
            "max": trace["v"].max(0),
            "last": trace["v"][-1],
            "first": [next((steps - t for t in range(steps) if column[t]), 0) for column in trace["s"].T],
        }[net.rule]
        np.testing.assert_array_equal(result.scores[b], scores)
        assert result.answer[b] == list(scores).index(max(scores))
    return result.totals()


@pytest.mark.parametrize("seed", range(25))
def test_random_nets(tmp_path, seed):
    rng = np.random.default_rng(seed)
    compare(random_net(rng), tmp_path / "n.snnx", rng, noise=seed % 3 == 0)


@pytest.mark.parametrize("seed", range(10))
def test_random_nets_with_extreme_registers_and_counts(tmp_path, seed):
    rng = np.random.default_rng(1000 + seed)
    net = random_net(rng, max_count=3 if seed % 2 else 255, wild=True)
    compare(net, tmp_path / "n.snnx", rng, batch=2, noise=seed % 2 == 0)


def test_random_nets_reach_every_counter(tmp_path):
    total: dict[str, int] = {}
    for seed in range(6):
        rng = np.random.default_rng(2000 + seed)
        net = random_net(rng, max_count=255, wild=True)
        for name, value in compare(net, tmp_path / f"{seed}.snnx", rng, batch=1, noise=True, steps=10).items():
            total[name] = total.get(name, 0) + value
    reached = [name for name, value in total.items() if value]
    assert set(total) - set(reached) <= {"u_wraps", "drive_wraps"}, total


def test_current_and_drive_wrap(tmp_path):
    """A perfect integrator of the current driven past 24 bits, and a bias on top of it."""
    fmt = schema.SynapseFormat(wgt_exp=7, sign_mode=spec.EXCITATORY)
    core = Core(2, ds_offset=0, formats=[EMPTY, fmt], thresholds=[131071], profiles=[(0, 4095, 1)])
    core.compartments = [(0, 0, 0, 0), (0, 0, 4095, 7)]
    core.lists.append(SynapseList(1, 1, np.array([255, 254]), np.zeros(2, int), np.zeros(2, int)))
    core.axons.append((0, 0, 0))
    net = Net([core], 1, [(0, 0, 0, 0)])
    totals = compare(net, tmp_path / "n.snnx", np.random.default_rng(1), density=1.0, steps=40)
    assert totals["u_wraps"] > 0
    assert totals["drive_wraps"] > 0


def test_wide_rows_are_delivered_in_eights(tmp_path):
    """Many sources with equal dense rows over two neighbouring cores, in one byte per weight."""
    rng = np.random.default_rng(5)
    cores = []
    for n in (70, 45):
        core = Core(n, thresholds=[900], profiles=[(4095, 256, 1)])
        for i in range(40):
            core.lists.append(SynapseList(1, 1, rng.integers(-60, 90, n), np.zeros(n, int), np.zeros(n, int)))
            core.axons.append((0, i, 0))
        cores.append(core)
    host = [(i, c, i, 0) for i in range(40) for c in (0, 1)]
    net = Net(cores, 40, host)
    totals = compare(net, tmp_path / "n.snnx", rng, steps=20, density=0.6)
    assert totals["spikes"] > 0
    from snnkit.targets.loihi.emulate import open_chip

    chip = open_chip(emulator.open(tmp_path / "n.snnx").descriptor)
    assert chip.rows.weights.dtype == np.int8
    assert len(chip.rows.size) == 40, "rows of neighbouring cores are joined"
    assert (chip.rows.pattern[:40] == chip.rows.pattern[0]).all()
    assert chip.rows.pattern[0] >= 0


def test_sums_beyond_32_bits_wrap_like_integers(tmp_path):
    """255 spikes per step over the largest weights: the sum leaves int32 before it wraps to 22 bits."""
    fmt = schema.SynapseFormat(wgt_exp=7, sign_mode=spec.EXCITATORY)
    core = Core(2, formats=[EMPTY, fmt], thresholds=[131071], profiles=[(4095, 4095, 1)])
    core.lists.append(SynapseList(1, 1, np.array([255, 254]), np.zeros(2, int), np.zeros(2, int)))
    core.axons.append((0, 0, 0))
    net = Net([core], 40, [(i, 0, 0, 0) for i in range(40)], max_count=255)
    totals = compare(net, tmp_path / "n.snnx", np.random.default_rng(1), density=0.9)
    assert totals["q_wraps"] > 0


def test_equal_for_any_number_of_threads(tmp_path, monkeypatch):
    rng = np.random.default_rng(7)
    net = random_net(rng, small=False)
    emu = emulator.open(net.write(tmp_path / "n.snnx"))
    raster = (rng.random((30, 9, net.lines - net.gates)) < 0.3).astype(np.uint8)
    results = []
    for threads in (1, 2, 3, 5):
        monkeypatch.setattr(pool, "threads", lambda n=threads: n)
        results.append(emu.run({"in": raster}, probes=("s", "u", "v")))
    for other in results[1:]:
        for group in ("spikes", "u", "v", "counters"):
            for name, a in getattr(results[0], group).items():
                np.testing.assert_array_equal(a, getattr(other, group)[name])


def test_the_emulator_leaves_torch_s_threads_alone(tmp_path):
    """A training after an emulation in one process computes with as many threads as before it, so the same bits."""
    path = random_net(np.random.default_rng(7)).write(tmp_path / "n.snnx")
    code = f"""
import numpy as np, torch
torch.set_num_threads(1)
assert torch.get_num_threads() == 1  # also settles the number, which torch does late
from snnkit import emulator
emu = emulator.open({str(path)!r})
port = emu.manifest.ports[0]
emu.run({{port.name: np.zeros((5, 9, port.n), np.uint8)}})
assert torch.get_num_threads() == 1, torch.get_num_threads()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_wrong_routing_shows_as_wrong_spikes(tmp_path):
    rng = np.random.default_rng(3)
    core = Core(6, thresholds=[20])
    for i in range(4):
        core.lists.append(SynapseList(1, 1, rng.integers(20, 60, 6), np.zeros(6, int), np.zeros(6, int)))
        core.axons.append((0, i, 0))
    net = Net([core], 4, [(i, 0, i, 0) for i in range(4)])
    raster = (rng.random((20, 1, 4)) < 0.4).astype(np.uint8)
    right = emulator.open(net.write(tmp_path / "a.snnx")).run({"in": raster})
    net.host[0] = (0, 0, 1, 0)
    wrong = emulator.open(net.write(tmp_path / "b.snnx")).run({"in": raster})
    assert (right.spikes["core0"] != wrong.spikes["core0"]).any()
