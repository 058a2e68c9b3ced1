"""Loihi for lava: what the files say, read by an interpreter of its own, and lava itself where it is installed."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnkit import descriptor, emulator
from snnkit.errors import FindingsError
from snnkit.graph.model import Graph
from snnkit.graph.neurons import LoihiNeuron
from snnkit.targets import also, registry
from snnkit.targets.loihi import arithmetic, spec
from snnkit.targets.loihi.also import SCRIPT, start
from snnkit.targets.loihi.lava_network import apart
from snnkit.targets.loihi.replay import replay
from snnkit.validation.pipeline import ChipGraph, write_descriptor

from .lava_reader import Interpreter, dec
from .networks import random_graph, stimulus

pytestmark = pytest.mark.usefixtures("in_this_process")

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "loihi"


def without_refractory(graph: Graph, **changes: Any) -> Graph:
    """The network with what lava has not taken away; `changes` to the registers of its first population."""
    one = [replace(p.neuron, refract=np.ones(p.n, np.int32), ds_offset=1) for p in graph.populations]  # type: ignore[arg-type]
    one[0] = replace(one[0], **changes)  # type: ignore[type-var]
    return graph.with_(populations=tuple(replace(p, neuron=n) for p, n in zip(graph.populations, one)))


def deploy(graph: Graph, path: Path, seed: int = 0) -> descriptor.Descriptor:
    return write_descriptor(path, ChipGraph(graph, graph), registry.get("loihi"), stimulus(graph, seed, batch=2))


@pytest.mark.parametrize("seed", range(6))
def test_the_files_rebuild_random_networks(seed: int, tmp_path: Path) -> None:
    """Convolutions on population axons, delays, loops, bias registers, gates, negative exponents, repeated synapses."""
    made = deploy(without_refractory(random_graph(seed)), tmp_path / "net.snnx", seed)
    written = also.write(made, "lava-net")
    assert written.folder == tmp_path / "net.lava-net"
    lava = Interpreter(written.folder)
    raster = descriptor.vectors.decode(made.vectors, made.manifest).inputs
    trace = emulator.open(tmp_path / "net.snnx").run(raster)
    spikes = 0
    for b in range(2):
        for layer, got in zip(made.manifest.layers, lava.run(b)):
            np.testing.assert_array_equal(got, trace.spikes[layer.name][:, b], err_msg=layer.name)
            spikes += int(got.sum())
    assert spikes > 0


def test_reference_vectors(tmp_path: Path) -> None:
    """The cases of the references as `replay --keep` leaves them; lava had to leave out refractory periods too."""
    files = sorted(GOLDEN.glob("*.npz"))
    refused, compared = {}, 0
    for result in replay(files, keep=tmp_path):
        for p in result.placements:
            try:
                written = also.write(p.folder, "lava-net")
            except FindingsError as error:
                refused[result.name] = {f.code for f in error.findings}
                continue
            lava = Interpreter(written.folder)
            for k, got in enumerate(lava.run(0)):
                np.testing.assert_array_equal(got, lava.vectors[f"layer{k}"][:, 0], err_msg=result.name)
                compared += int(got.sum())
    assert refused == {"s05_refractory": {"REFRACTORY"}}
    assert compared > 1000


def test_the_script_stands_alone() -> None:
    """It is copied beside the data and run by another Python: no import of ours, no syntax newer than 3.10."""
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 10))
    names = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    names |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    known = {"__future__", "argparse", "json", "pathlib", "typing", "numpy", "scipy"}
    assert {str(n).split(".")[0] for n in names} - known == {"lava"}


def test_the_answer_of_the_script_is_ours() -> None:
    from snnkit.descriptor import Readout
    from snnkit.emulator.result import read_out
    from snnkit.targets.loihi.lava_network import answer

    rng = np.random.default_rng(0)
    for rule in ("count", "first", "mean", "max", "last"):
        for _ in range(20):
            s, v = rng.integers(0, 2, (9, 1, 4)), rng.integers(-9, 10, (9, 1, 4))
            net = {"readout": {"rule": rule, "layer": 0}, "layers": [{"lag": 2}]}
            mine = answer(net, [s[:, 0]], v[:, 0] if rule in ("mean", "max", "last") else None, 6)
            assert mine == read_out(Readout(layer="o", rule=rule), 2, s, v, 6)[0][0]  # type: ignore[arg-type]


@pytest.mark.parametrize("dv", [0, 1, 700, 4095])
def test_a_step_takes_the_starting_potential_to_zero(dv: int) -> None:
    bias = np.array([0, 1, -1, 37, -4095, 4095 << 7, -(4095 << 7)])
    v = start(bias, np.full(len(bias), dv))
    assert not (dec(v, dv) + bias).any()
    assert (np.abs(v) < 2**31).all()


REFUSED = [
    ("REFRACTORY", {"refract": 2}),
    ("CURRENT_DECAY", {"ds_offset": 0, "du": 0}),
    ("VOLTAGE_CLIP", {"vmin": -127}),
]


@pytest.mark.parametrize(("code", "changes"), REFUSED)
def test_what_lava_cannot_hold(code: str, changes: dict[str, int], tmp_path: Path) -> None:
    graph = random_graph(1)
    n = graph.populations[0].n
    full = {k: v if k in ("ds_offset", "vmin") else np.full(n, v, np.int32) for k, v in changes.items()}
    deploy(without_refractory(graph, **full), tmp_path / "net.snnx")
    with pytest.raises(FindingsError) as error:
        also.write(tmp_path / "net.snnx", "lava-net")
    assert [f.code for f in error.value.findings] == [code]
    assert str(n) in error.value.findings[0].what
    assert not (tmp_path / "net.lava-net").exists()


def test_sums_that_could_wrap_are_said(tmp_path: Path) -> None:
    graph = without_refractory(random_graph(1))
    first = graph.connections[0]
    weight = np.full_like(first.synapse.weight, -192 if first.format.sign_mode == spec.INHIBITORY else 192)
    strong = replace(first, format=replace(first.format, exponent=7), synapse=replace(first.synapse, weight=weight))
    made = deploy(graph.with_(connections=(strong, *graph.connections[1:])), tmp_path / "net.snnx")
    found = also.write(made, "lava-net").findings
    assert [(f.code, f.severity) for f in found] == [("WRAP", "note")]
    about = json.loads((tmp_path / "net.lava-net" / "about.json").read_text())
    assert [f["code"] for f in about["findings"]] == ["WRAP"]


def lava_python() -> str:
    """A Python that has lava: SNNKIT_LAVA_PYTHON, or this one. lava-nc 0.10.0 needs 3.10, which snnkit does not."""
    named = os.environ.get("SNNKIT_LAVA_PYTHON")
    if named is None and importlib.util.find_spec("lava") is None:
        pytest.skip("needs lava-nc, here or in the Python that SNNKIT_LAVA_PYTHON names")
    return named or sys.executable


def run_script(python: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, str(folder / "network.py"), *more], capture_output=True, text=True)


@pytest.mark.timeout(300)
def test_lava_gives_the_same_spikes(tmp_path: Path) -> None:
    """On the CPU, in lava's fixed-point models; a changed weight is noticed."""
    python = lava_python()
    graph = without_refractory(random_graph(3))
    folder = also.write(deploy(graph, tmp_path / "net.snnx", 3), "lava-net").folder
    done = run_script(python, folder, "--samples", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("equal; ")
    arrays = dict(np.load(folder / "network.npz"))
    heavy = max((k for k in arrays if k.endswith(".weight")), key=lambda k: np.abs(arrays[k].astype(int)).sum())
    arrays[heavy] = -(arrays[heavy] // 2)
    np.savez(folder / "network.npz", **arrays)
    done = run_script(python, folder, "--samples", "1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "values differ" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_lava_gives_the_reference_vectors(tmp_path: Path) -> None:
    """A network without synapses among them, and one whose parts no synapse joins."""
    python = lava_python()
    for result in replay(sorted(GOLDEN.glob("*.npz")), keep=tmp_path):
        if result.name != "s05_refractory":
            for p in result.placements:
                done = run_script(python, also.write(p.folder, "lava-net").folder)
                assert done.returncode == 0, result.name + done.stdout + done.stderr
    graph = without_refractory(random_graph(0))
    made = deploy(graph.with_(connections=graph.connections[:1] + graph.connections[4:5]), tmp_path / "parts.snnx")
    folder = also.write(made, "lava-net").folder
    assert apart(json.loads((folder / "network.json").read_text()))
    done = run_script(python, folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_parts_that_no_synapse_joins() -> None:
    """Lava runs what hangs together with the process it is told to run; layer 1 is groups 1 and 2."""

    def net(*wires: tuple[str, int, int]) -> dict[str, Any]:
        neurons = [{"layer": k} for k in (0, 1, 1, 2)]
        return {"ports": [{}, {}], "neurons": neurons, "connections": [{"from": [a, b], "to": c} for a, b, c in wires]}

    assert apart(net()) == [1, 2, 3]
    assert apart(net(("ports", 0, 0), ("layers", 0, 1), ("layers", 2, 3), ("ports", 1, 3))) == [2, 3]
    assert apart(net(("ports", 0, 3), ("layers", 1, 3), ("ports", 0, 0))) == []
    assert apart(net(("layers", 2, 3), ("layers", 1, 0), ("ports", 1, 1))) == [3]


def test_effective_weights_are_the_chips(tmp_path: Path) -> None:
    """Mantissa and exponent, cleared of what the chip drops, give the chip's weight for every pair."""
    from snnkit._dialect import instantiate

    weight = instantiate(arithmetic, where=np.where).effective_weight
    m, e = np.meshgrid(np.arange(-256, 256), np.arange(-8, 7))
    low = np.maximum(-e, 0)
    cleared = m >> low << low
    np.testing.assert_array_equal(weight(m, e), (cleared * 2.0**e).astype(np.int64) << 6)


def test_neuron_fields_are_known() -> None:
    """A register added to the chip's neuron must be thought of here."""
    assert set(LoihiNeuron.__dataclass_fields__) == {
        "du", "dv", "vth", "bias_mant", "bias_exp", "refract", "ds_offset", "vmin", "vmax", "noise_at_membrane",
    }  # fmt: skip
