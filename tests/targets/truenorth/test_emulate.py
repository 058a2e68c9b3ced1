"""The emulator alone: damaged images, draws of our generator and from outside, counters, threads, bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit import descriptor, emulator
from snnkit._dialect import instantiate
from snnkit.errors import DescriptorError, ShapeError, UsageError
from snnkit.graph.neurons import TrueNorthNeuron
from snnkit.graph.run import run
from snnkit.targets.manifest import build_manifest
from snnkit.targets.truenorth import TARGET, arithmetic, bounds, energy
from snnkit.targets.truenorth.lower import LowerOptions, lower
from snnkit.targets.truenorth.replay import load

from . import vector_files as make


def case(path: Path, seed: int, *, stochastic: bool) -> Any:
    rng = np.random.default_rng(seed)
    a, steps = make.random_arrays(rng, stochastic=stochastic)
    a |= {f"exp_{k}": x for k, x in make.simulate(a, steps).items()}
    return load(make.save(path, a, {}))


def write(folder: Path, c: Any, **options: Any) -> descriptor.Descriptor:
    lowered = lower(c.graph, LowerOptions(strict=False, **options))
    assert lowered.ok, lowered.findings
    return descriptor.write(folder, build_manifest(TARGET, c.graph, lowered), lowered.arrays, {})


def changed(array: np.ndarray, index: Any, value: int) -> np.ndarray:
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("table", "index", "value"),
    [
        ("neuron", (0, 0, 0), 256),
        ("neuron", (0, 0, 5), -256),
        ("neuron", (0, 0, 7), 2**18),
        ("neuron", (0, 0, 8), 18),
        ("neuron", (0, 0, 10), 3),
        ("neuron", (0, 0, 12), 2**19),
        ("destination", (0, 0, 0), 3),
        ("destination", (0, 0, 4), 16),
        ("destination", (0, 0, 3), 400),
        ("destination", (0, 255, 3), 1),
        ("host_input", (0, 3), 256),
        ("host_input", (0, 4), 16),
        ("host_input", (0, 0), 9),
        ("core", (0, 0), 256),
        ("output_line", (0, 0), 40),
        ("placement.core0", (0, 2), 256),
        ("placement.outputs", (0, 0), 3),
    ],
)
def test_damaged_images_are_refused(tmp_path: Path, table: str, index: Any, value: int) -> None:
    made = write(tmp_path / "a.snnx", case(tmp_path / "a.npz", 3, stochastic=False))
    emulator.open(tmp_path / "a.snnx")
    arrays = {**made.arrays, table: changed(made.arrays[table], index, value)}
    descriptor.write(tmp_path / "b.snnx", made.manifest, arrays, {})
    with pytest.raises(DescriptorError):
        emulator.open(tmp_path / "b.snnx")


def test_missing_and_foreign_tables_are_refused(tmp_path: Path) -> None:
    made = write(tmp_path / "a.snnx", case(tmp_path / "a.npz", 3, stochastic=False))
    for arrays in (
        {k: a for k, a in made.arrays.items() if k != "crossbar"},
        {**made.arrays, "other": made.arrays["core"]},
        {**made.arrays, "crossbar": made.arrays["crossbar"][:, :, :31]},
        {k: (a[:-1] if k == "placement.core0" else a) for k, a in made.arrays.items()},
    ):
        descriptor.write(tmp_path / "b.snnx", made.manifest, arrays, {})
        with pytest.raises(DescriptorError):
            emulator.open(tmp_path / "b.snnx")


def test_our_generator_gives_what_its_definition_says(tmp_path: Path) -> None:
    c = case(tmp_path / "a.npz", 8, stochastic=True)
    write(tmp_path / "a.snnx", c, seed=77)
    chip = emulator.open(tmp_path / "a.snnx")
    draw = instantiate(arithmetic, where=np.where).draw
    t, core = np.arange(c.steps)[:, None, None], np.arange(c.n_cores)[None, :, None]
    neuron = np.arange(256)

    def all_draws(seed: int) -> dict[str, np.ndarray]:
        return {
            "synapse": draw(seed, t[..., None], core[..., None], np.arange(256)[:, None], neuron) & 255,
            "leak": draw(seed, t, core, 256, neuron) & 255,
            "threshold": draw(seed, t, core, 257, neuron),
        }

    for option, seed in ((None, 77), (5, 5)):
        mine = chip.run(c.inputs, ticks=c.steps, probes=("s", "v"), draws=option)
        given_ones = chip.run(c.inputs, ticks=c.steps, probes=("s", "v"), draws=all_draws(seed))
        for name in mine.v:
            assert np.array_equal(mine.v[name], given_ones.v[name])
            assert np.array_equal(mine.spikes[name], given_ones.spikes[name])


def test_draws_of_the_wrong_kind_are_refused(tmp_path: Path) -> None:
    c = case(tmp_path / "a.npz", 8, stochastic=True)
    write(tmp_path / "a.snnx", c)
    chip = emulator.open(tmp_path / "a.snnx")
    good = c.draws
    for draws, error in (
        ({**good, "synapses": good["leak"]}, UsageError),
        ({**good, "leak": good["leak"][:-1]}, ShapeError),
        ({**good, "leak": good["leak"] + 256}, UsageError),
        ({k: a for k, a in good.items() if k != "synapse"}, UsageError),
        (-1, UsageError),
    ):
        with pytest.raises(error):
            chip.run(c.inputs, ticks=c.steps, draws=draws)
    with pytest.raises(UsageError):
        chip.run(c.inputs, ticks=c.steps, noise={"core0": np.zeros((c.steps, c.graph.node("core0").n), np.int32)})


def test_counters_count_what_the_traces_show(tmp_path: Path) -> None:
    c = case(tmp_path / "a.npz", 4, stochastic=False)
    made = write(tmp_path / "a.snnx", c)
    batch = {k: np.repeat(a, 3, 1) for k, a in c.inputs.items()}
    batch[next(iter(batch))][:, 1] = 0
    result = emulator.open(tmp_path / "a.snnx").run(batch, ticks=c.steps, probes=("s",))
    for b in range(3):
        fired = np.stack([result.spikes[f"core{k}"][:, b] for k in range(c.n_cores)], 1)
        axons = np.stack([result.spikes[f"axons{k}"][:, b] for k in range(c.n_cores)], 1)
        bits = np.unpackbits(made.arrays["crossbar"], axis=2, bitorder="little").sum(2)[:, : axons.shape[2]]
        kind = made.arrays["destination"][:, : fired.shape[2]].astype(int)
        hops = np.abs(kind[:, :, 1:3]).sum(2)
        counted = {name: int(v[b]) for name, v in result.counters.items()}
        assert counted["spikes"] == fired.sum()
        assert counted["synaptic_events"] == (axons * bits).sum()
        assert counted["core_packets"] == (fired * (kind[:, :, 0] == 1)).sum()
        assert counted["output_packets"] == (fired * (kind[:, :, 0] == 2)).sum()
        assert counted["hops"] == (fired * hops).sum()
        assert counted["host_packets"] == sum(int(a[:, b].sum()) for a in batch.values())
        assert counted["neuron_updates"] == c.steps * c.n_cores * 256
    assert result.totals()["ticks"] == 3 * c.steps
    cost = energy.estimate(result.totals(), samples=3)
    assert cost["by_events"]["low"] == pytest.approx(result.totals()["synaptic_events"] / 3 * 26e-6)
    assert cost["by_time"]["low"] == pytest.approx(65.0 * c.steps)
    assert energy.latency(result.totals(), samples=3, ticks=c.steps, cores=c.n_cores)["high"] == c.steps


def test_potentials_beyond_20_bits_are_counted_and_do_not_wrap(tmp_path: Path) -> None:
    a, _ = make.random_arrays(np.random.default_rng(0), stochastic=False)
    a |= {"leak": np.full_like(a["leak"], 255), "leak_reversal": np.zeros_like(a["leak"])}
    a |= {"reset_mode": np.full_like(a["leak"], 2), "v_init": np.full_like(a["leak"], 2**19 - 256)}
    steps = 6
    for name in ("in_tick", "in_core", "in_axon"):
        a[name] = a[name][:0]
    a["conn"] = np.zeros_like(a["conn"])
    a |= {f"exp_{k}": x for k, x in make.simulate(a, steps).items()}
    c = load(make.save(tmp_path / "a.npz", a, {}))
    write(tmp_path / "a.snnx", c)
    result = emulator.open(tmp_path / "a.snnx").run(c.inputs, ticks=steps, probes=("v",))
    assert result.v["core0"].max() == 2**19 - 256 + 255 * steps
    n = c.n_cores * c.graph.node("core0").n
    assert result.totals()["potentials_beyond_20_bits"] == n * (steps - 1)
    refused = lower(c.graph.with_(steps=steps))
    assert {f.code for f in refused.findings} == {"POTENTIAL_RANGE"}


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_no_potential_leaves_its_bound(seed: int) -> None:
    import tempfile

    from snnkit.targets.truenorth.vectors import load as read

    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(seed)
        a, steps = make.random_arrays(rng, stochastic=bool(seed % 2))
        for name, most in (("in_tick", steps), ("in_core", len(a["conn"])), ("in_axon", a["conn"].shape[1])):
            a[name] = rng.integers(0, most, 40 * steps)  # nearly everything is active
        a |= {f"exp_{k}": x for k, x in make.simulate(a, steps).items()}
        c = read(make.save(Path(folder) / "a.npz", a, {}))
    trace = run(c.graph, c.inputs, ticks=steps, draws=c.graph_draws)
    for p in c.graph.populations:
        if isinstance(p.neuron, TrueNorthNeuron):
            for ticks in (None, steps):
                low, high = bounds.bounds(c.graph, p, ticks)
                v = trace.array(p.name, "v")
                assert (v >= np.minimum(low, p.neuron.v_init)).all()
                assert (v <= np.maximum(high, np.maximum(p.neuron.v_init, p.neuron.reset_value))).all()
