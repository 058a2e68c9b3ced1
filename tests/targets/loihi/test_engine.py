"""The emulator around a chip: ports, gates, probes, noise, streams, verify, and no torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from snnkit import descriptor as store
from snnkit import emulator
from snnkit.descriptor import Vectors
from snnkit.errors import DescriptorError, ShapeError, UsageError
from snnkit.targets.loihi import energy

from .craft import Core, Net, SynapseList, random_net


def two_layers(gates: int = 1) -> Net:
    rng = np.random.default_rng(4)
    cores = []
    for n in (8, 3):
        core = Core(n, thresholds=[40], profiles=[(4095, 500, 1)])
        for i in range(8):
            core.lists.append(SynapseList(1, 1, rng.integers(-20, 40, n) * 2, np.zeros(n, int), np.zeros(n, int)))
            core.axons.append((0, i, 0))
        cores.append(core)
    cores[0].outputs = [(i, 1, i, 0) for i in range(8)]
    return Net(cores, 6 + gates, [(i, 0, i, 0) for i in range(6 + gates)], gates, gate_from=2)


@pytest.fixture
def net():
    return two_layers()


@pytest.fixture
def emu(net, tmp_path):
    return emulator.open(net.write(tmp_path / "n.snnx"))


def raster(steps=12, batch=3, seed=0):
    return (np.random.default_rng(seed).random((steps, batch, 6)) < 0.4).astype(np.uint8)


def test_shapes_and_probes(emu):
    x = raster()
    r = emu.run({"in": x}, probes={"core0": ("s", "v"), "core1": ("u",)})
    assert (r.steps, r.ticks, dict(r.lags)) == (12, 13, {"core0": 0, "core1": 1})
    assert set(r.spikes) == {"core0"}
    assert set(r.v) == {"core0"}
    assert set(r.u) == {"core1"}
    assert r.u["core1"].shape == (13, 3, 3)
    assert r.aligned("core0").shape == (12, 3, 8)
    assert r.answer.shape == (3,)
    assert r.counters["neuron_updates"].tolist() == [13 * 11] * 3
    full = emu.run({"in": x}, probes=("s", "u", "v"), ticks=20)
    np.testing.assert_array_equal(full.v["core0"][:13], r.v["core0"])
    assert len(full.spikes["core1"]) == 20


def test_images_and_booleans_are_taken(emu):
    x = raster()
    np.testing.assert_array_equal(emu.run({"in": x.astype(bool)}).spikes["core0"], emu.run({"in": x}).spikes["core0"])


def test_a_batch_is_its_samples_one_by_one(emu):
    x = raster(batch=5)
    whole = emu.run({"in": x}, probes=("s", "u", "v"))
    for b in range(5):
        one = emu.run({"in": x[:, b : b + 1]}, probes=("s", "u", "v"))
        for group in ("spikes", "u", "v"):
            for layer, trace in getattr(one, group).items():
                np.testing.assert_array_equal(trace[:, 0], getattr(whole, group)[layer][:, b])


def test_continuous_is_one_long_sample(emu):
    x = raster(steps=9, batch=4)
    stream = emu.run({"in": x}, probes=("s", "v"), continuous=True)
    long = emu.run({"in": x.transpose(1, 0, 2).reshape(36, 1, 6)}, probes=("s", "v"))
    for b in range(4):
        for layer in ("core0", "core1"):
            np.testing.assert_array_equal(stream.spikes[layer][:, b], long.spikes[layer][9 * b : 9 * b + 10, 0])
            np.testing.assert_array_equal(stream.v[layer][:, b], long.v[layer][9 * b : 9 * b + 10, 0])
    assert stream.totals() == long.totals()
    assert (stream.v["core0"] != emu.run({"in": x}, probes=("s", "v")).v["core0"]).any(), "state is carried over"


def test_gates_are_driven_from_their_step_on(emu, net):
    x = np.zeros((5, 1, 6), np.uint8)
    r = emu.run({"in": x}, probes=("u",), ticks=9)
    on = (r.u["core0"][:, 0] != 0).any(1)
    assert on.tolist() == [False, False, True, True, True, True, True, False, False]


def test_noise_for_all_samples_or_each(emu):
    x = raster()
    draws = np.random.default_rng(1).integers(-9000, 9000, (13, 8))
    same = emu.run({"in": x}, noise={"core0": draws}, probes=("u",))
    each = emu.run({"in": x}, noise={"core0": np.repeat(draws[:, None], 3, 1)}, probes=("u",))
    np.testing.assert_array_equal(same.u["core0"], each.u["core0"])
    assert (same.u["core0"] != emu.run({"in": x}, probes=("u",)).u["core0"]).any()


def test_progress_in_chunks_changes_nothing(emu):
    x = raster(batch=70)
    seen = []
    parts = emu.run({"in": x}, progress=lambda done, total: seen.append((done, total)), probes=("s", "u"))
    assert seen == [(32, 70), (64, 70), (70, 70)]
    whole = emu.run({"in": x}, probes=("s", "u"))
    np.testing.assert_array_equal(parts.spikes["core1"], whole.spikes["core1"])
    np.testing.assert_array_equal(parts.u["core0"], whole.u["core0"])
    assert parts.totals() == whole.totals()


def test_wrong_use(emu):
    x = raster()
    for kwargs, error in (
        ({"inputs": {"inn": x}}, UsageError),
        ({"inputs": {}}, UsageError),
        ({"inputs": {"in": x, "gate": x}}, UsageError),
        ({"inputs": {"in": x[:, :, :5]}}, ShapeError),
        ({"inputs": {"in": x[0]}}, ShapeError),
        ({"inputs": {"in": x.astype(np.float32)}}, UsageError),
        ({"inputs": {"in": x * 2}}, UsageError),
        ({"inputs": {"in": x}, "probes": ("w",)}, UsageError),
        ({"inputs": {"in": x}, "probes": {"core9": ("s",)}}, UsageError),
        ({"inputs": {"in": x}, "ticks": -1}, UsageError),
        ({"inputs": {"in": x}, "noise": {"core9": x}}, UsageError),
        ({"inputs": {"in": x}, "noise": {"core0": x}}, ShapeError),
        ({"inputs": {"in": x}, "noise": {"core0": np.zeros((13, 8))}, "continuous": True}, UsageError),
        ({"inputs": {"in": x}, "noise": {"core0": np.full((13, 8), 2**30 + 1)}}, DescriptorError),
    ):
        with pytest.raises(error):
            emu.run(**kwargs)
    with pytest.raises(UsageError, match="at most 1 per step"):
        emu.run({"in": x * 3})


def test_empty_batches_and_lengths(emu):
    assert emu.run({"in": raster(batch=0)}).spikes["core0"].shape == (13, 0, 8)
    assert emu.run({"in": raster(steps=0)}).spikes["core1"].shape == (1, 3, 3)


def test_read_only_and_strided_inputs(emu):
    x = raster()
    expected = emu.run({"in": x}).spikes["core0"]
    frozen = x.copy()
    frozen.flags.writeable = False
    strided = np.repeat(x, 2, axis=2)[:, :, ::2]
    np.testing.assert_array_equal(emu.run({"in": frozen}).spikes["core0"], expected)
    np.testing.assert_array_equal(emu.run({"in": strided}).spikes["core0"], expected)


def test_unknown_target(net, tmp_path):
    store.write(tmp_path / "n.snnx", net.manifest().model_copy(update={"target": "moon"}), net.arrays(), {})
    with pytest.raises(DescriptorError, match="'moon'"):
        emulator.open(tmp_path / "n.snnx")


def test_a_port_line_or_section_the_chip_does_not_have(net, tmp_path):
    arrays = net.arrays()
    for column, value in ((0, 7), (1, 6)):
        damaged = {**arrays, "host_input": arrays["host_input"].copy()}
        damaged["host_input"][0, column] = value
        store.write(tmp_path / "n.snnx", net.manifest(), damaged, {})
        with pytest.raises(DescriptorError, match="host_input"):
            emulator.open(tmp_path / "n.snnx")
    wrong = net.manifest().model_copy(update={"chip": {"n_cores": "many"}})
    store.write(tmp_path / "n.snnx", wrong, arrays, {})
    with pytest.raises(DescriptorError, match=r"chip\."):
        emulator.open(tmp_path / "n.snnx")
    short = {k: a for k, a in arrays.items() if k != "placement.core1"}
    store.write(tmp_path / "n.snnx", net.manifest(), short, {})
    with pytest.raises(DescriptorError, match=r"placement\.core1"):
        emulator.open(tmp_path / "n.snnx")


# ------------------------------------------------------------------------------------------------------------- verify
def with_vectors(net, path, emu, **change):
    x = raster(seed=9)
    r = emu.run({"in": x}, probes=("s", "u", "v"))
    vectors = Vectors({"in": x}, dict(r.spikes), {"core0": r.u["core0"]}, {"core1": r.v["core1"]}, r.answer).encode()
    vectors.update(change)
    store.write(path, net.manifest(), net.arrays(), vectors)
    return path


def test_verify_agrees(net, emu, tmp_path):
    report = emulator.verify(with_vectors(net, tmp_path / "v.snnx", emu))
    assert report.ok
    assert report.compared["s.core0"] == 13 * 3 * 8
    assert set(report.compared) == {"s.core0", "s.core1", "u.core0", "v.core1", "readout"}
    assert report.to_dict()["ok"] is True
    assert report.evidence == "open-simulator"


def test_verify_names_the_first_difference(net, emu, tmp_path):
    x = raster(seed=9)
    spikes = emu.run({"in": x}).spikes["core1"].copy()
    spikes[4, 1, 2] ^= 1
    spikes[7, 0, 0] ^= 1
    path = with_vectors(net, tmp_path / "v.snnx", emu, **{"sbits.core1": np.packbits(spikes, -1, bitorder="little")})
    report = emulator.verify(path)
    assert not report.ok
    (miss,) = report.mismatches
    assert (miss.trace, miss.tick, miss.sample, miss.neuron, miss.differing) == ("s.core1", 4, 1, 2, 2)
    wrong = emulator.verify(with_vectors(net, tmp_path / "w.snnx", emu, readout=np.array([9, 9, 9])))
    assert [m.trace for m in wrong.mismatches] == ["readout"]


def test_verify_notices_a_corrupted_memory_image(net, emu, tmp_path):
    path = with_vectors(net, tmp_path / "v.snnx", emu)
    d = store.load(path)
    arrays = {k: a.copy() for k, a in d.arrays.items()}
    arrays["synapse_memory"][0] ^= np.uint64(1 << 17)
    store.write(path, d.manifest, arrays, dict(d.vectors))
    assert not emulator.verify(path).ok


def test_verify_without_vectors(net, tmp_path):
    with pytest.raises(DescriptorError, match="no vectors"):
        emulator.verify(net.write(tmp_path / "n.snnx"))


def test_a_fresh_process_verifies_without_torch_or_the_exporter(net, emu, tmp_path):
    path = with_vectors(net, tmp_path / "v.snnx", emu)
    code = (
        "import sys; from snnkit import emulator; r = emulator.verify(sys.argv[1]); "
        "bad = [m for m in sys.modules if m.split('.')[0] in ('torch', 'lightning', 'tonic') "
        "or m.startswith(('snnkit.graph', 'snnkit.mapping', 'snnkit.passes')) "
        "or m.startswith('snnkit.targets.loihi.') and m.rpartition('.')[2] in "
        "('lower', 'rules', 'quantize', 'replay', 'plan', 'encode')]; "
        "print(r.ok, bad); sys.exit(bool(bad) or not r.ok)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_second_process_compiles_nothing(net, emu, tmp_path):
    path = with_vectors(net, tmp_path / "v.snnx", emu)  # compiled here, if not before
    code = (
        "import sys; from snnkit import emulator; emulator.verify(sys.argv[1]); "
        "from snnkit.targets.loihi.kernel import run_samples as r; "
        "print(sum(r.stats.cache_hits.values()), sum(r.stats.cache_misses.values()))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "0"]


# ------------------------------------------------------------------------------------------------------------- energy
def test_energy_keeps_the_two_sets_apart():
    counters = {"spikes": 10, "synaptic_events": 1000, "neuron_updates": 200, "core_packets": 20}
    e = energy.estimate(counters, samples=2)
    d = e["davies2018"]
    assert d["low"] == pytest.approx((500 * 23.6 + 100 * 52 + 10 * 1.7) * 1e-6)
    assert d["high"] == pytest.approx((500 * 23.6 + 100 * 81 + 10 * (1.7 + 7 * 3 + 3 * 4)) * 1e-6)
    s = e["sana_fe"]
    assert s["low"] == pytest.approx((500 * 35.5 + 100 * 72.8 + 5 * 69.3 + 10 * 111) * 1e-6)
    for group in energy.FIGURES.values():
        for figure in group.values():
            assert figure.source
            assert figure.quality in ("measured", "simulated", "secondary", "assumed")


def test_random_nets_do_not_depend_on_the_order_of_cores_in_memory(tmp_path):
    """A renumbered chip (cores reversed) gives the same spikes: nothing but the tables routes."""
    for seed in range(8):
        net = random_net(np.random.default_rng(seed))
        last = len(net.cores) - 1
        net.rule = "count"
        x = (np.random.default_rng(seed).random((10, 2, net.lines - net.gates)) < 0.5).astype(np.uint8)
        a = emulator.open(net.write(tmp_path / "a.snnx")).run({"in": x}, ticks=12)
        for core in net.cores:
            core.outputs = [(n, last - c, axon, atom) for n, c, axon, atom in core.outputs]
        net.host = [(line, last - c, axon, atom) for line, c, axon, atom in net.host]
        net.cores = net.cores[::-1]
        b = emulator.open(net.write(tmp_path / "b.snnx")).run({"in": x}, ticks=12)
        for c in range(last + 1):
            np.testing.assert_array_equal(a.spikes[f"core{c}"], b.spikes[f"core{last - c}"])
        assert a.totals() == b.totals()
