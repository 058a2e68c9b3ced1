"""TrueNorth for RANC: the files, run by a small interpreter of the format, and RANC itself where it is built."""

from __future__ import annotations

import ast
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snnkit import descriptor, emulator
from snnkit import nn as snn
from snnkit.descriptor import Vectors
from snnkit.errors import FindingsError
from snnkit.targets import also
from snnkit.targets.truenorth import schema
from snnkit.targets.truenorth.also import SCRIPT, safe_ticks
from snnkit.targets.truenorth.replay import replay

from . import vector_files as make
from .networks import deploy, fire, integers
from .ranc_reader import Grid

pytestmark = pytest.mark.usefixtures("in_this_process")

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "truenorth"
CANNOT = {
    "s08_modes_deterministic": {"LEAK_REVERSAL", "RESET_MODE", "SATURATION"},
    "s09_stochastic_given_prn": {"STOCHASTIC", "LEAK_REVERSAL", "RESET_MODE", "SATURATION"},
}


def compared(folder: Path) -> int:
    """Run every sample of the files; the number of outputs, all of them as expected."""
    grid, stored = Grid(folder), json.loads((folder / "samples.json").read_text())
    known, total = set(stored["known_lines"]), 0
    assert known
    assert grid.network["packets"] == stored["samples"][0]["packets"]
    for sample in stored["samples"]:
        got = grid.run(sample["packets"], len(sample["outputs"]))
        assert [sorted(set(row) & known) for row in got] == sample["outputs"]
        total += sum(map(len, sample["outputs"]))
    return total


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Descriptors of the reference vectors, with vectors, by name."""
    folder = tmp_path_factory.mktemp("ranc")
    return {r.name: Path(r.folder) for r in replay(sorted(GOLDEN.glob("*.npz")), keep=folder)}


def test_reference_vectors(kept: dict[str, Path]) -> None:
    """What RANC's own simulator gave comes back from its files; what it cannot hold is refused."""
    spikes = {}
    for name, path in kept.items():
        if name in CANNOT:
            with pytest.raises(FindingsError) as error:
                also.write(path, "ranc")
            assert {f.code for f in error.value.findings} == CANNOT[name]
            assert not also.folder_of(path, "ranc").exists()
        else:
            spikes[name] = compared(also.write(path, "ranc").folder)
    assert len(spikes) == 8
    assert min(spikes.values()) > 10


def trained(**reset: Any) -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Sequential(
        integers(snn.Linear(20, 300)), fire(**reset), integers(snn.Linear(300, 5), share=0.3), fire(**reset)
    )


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_an_exported_network(reset: str, tmp_path: Path) -> None:
    """Relays or duplicated neurons, gated biases, the floor that these runs cannot reach, and the output table."""
    _, made, _ = deploy(trained(reset=reset), (20,), tmp_path / "net.snnx", steps=8, batch=3)
    written = also.write(made, "ranc")
    assert compared(written.folder) > 0
    assert [(f.code, f.severity) for f in written.findings] == [("SATURATION", "note")]


def changed(made: descriptor.Descriptor, path: Path, column: str, core: int, neuron: int, value: int) -> Path:
    table = made.arrays["neuron"].copy()
    table[core, neuron, schema.NEURON_COLUMNS.index(column)] = value
    descriptor.write(path, made.manifest, {**made.arrays, "neuron": table}, made.vectors)
    return path


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("synapse_stochastic", 1, "STOCHASTIC"),
        ("thr_mask_bits", 1, "STOCHASTIC"),
        ("leak_flags", 2, "STOCHASTIC"),
        ("leak_flags", 1, "LEAK_REVERSAL"),
        ("reset", 2, "RESET_MODE"),
        ("reset", 5, "SATURATION"),
    ],
)
def test_one_register_that_ranc_does_not_have(
    column: str, value: int, code: str, kept: dict[str, Path], tmp_path: Path
) -> None:
    """Neuron 0 of s01 has synapses of all types and a leak; the same register of a neuron without use is nothing."""
    made = descriptor.load(kept["s01_single_neuron_types"])
    with pytest.raises(FindingsError) as error:
        also.write(changed(made, tmp_path / "a.snnx", column, 0, 0, value), "ranc")
    assert [f.code for f in error.value.findings] == [code]
    assert error.value.findings[0].where == "core 0, neuron 0"
    also.write(changed(made, tmp_path / "b.snnx", column, 0, 200, value), "ranc")


def test_counts_are_no_packets(kept: dict[str, Path], tmp_path: Path) -> None:
    from snnkit.errors import DescriptorError

    made = descriptor.load(kept["s01_single_neuron_types"])
    ports = tuple(p.model_copy(update={"max_count": 2}) for p in made.manifest.ports)
    descriptor.write(tmp_path / "c.snnx", made.manifest.model_copy(update={"ports": ports}), made.arrays, made.vectors)
    with pytest.raises(DescriptorError, match="counts"):
        also.write(tmp_path / "c.snnx", "ranc")


@pytest.mark.parametrize("seed", range(20))
def test_the_floor_is_out_of_reach_for_so_many_ticks(seed: int) -> None:
    """The bound against runs with the worst input: every inhibitory axon active in every tick, or random ones."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(-9, 6, (1, 1, 4))
    fan_in = rng.integers(0, 4, (1, 1, 4))
    n = {
        "weight": weight, "fan_in": fan_in, "leak": rng.integers(-4, 3, (1, 1)), "mode": rng.integers(0, 2, (1, 1)),
        "reset_value": rng.integers(-30, 10, (1, 1)), "v_init": rng.integers(-30, 30, (1, 1)),
        "neg_threshold": rng.integers(20, 200, (1, 1)), "threshold": rng.integers(0, 40, (1, 1)),
    }  # fmt: skip
    ticks = int(safe_ticks(n)[0, 0])
    beta, threshold, mode = (int(n[k][0, 0]) for k in ("neg_threshold", "threshold", "mode"))
    for worst in (True, *[False] * 5):
        v = int(n["v_init"][0, 0])
        for _ in range(min(ticks, 400) if ticks >= 0 else 400):
            on = np.where(weight < 0, fan_in, 0) if worst else rng.integers(0, fan_in + 1)
            v += int((weight * on).sum()) + int(n["leak"][0, 0])
            if v >= threshold:
                v = int(n["reset_value"][0, 0]) if mode == 0 else v - threshold
            assert v >= -beta


# ----------------------------------------------------------------------------------------------------------- the script
def simulator(path: Path) -> Path:
    """A program that is called as RANC's and prints as it does: a byte-order mark, and a tick late."""
    path.write_text(
        f"#!{sys.executable}\nimport json, sys\nfrom pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom ranc_reader import Grid\n"
        "given, out, config, ticks = sys.argv[1:]\nplace = Path(given).parent\n"
        "(place / 'config.json').write_text(Path(config).read_text())\n"
        "(place / 'input.json').write_text(Path(given).read_text())\n"
        "grid = Grid(place)\nrows = [[], *grid.run(grid.network['packets'], int(ticks) - 1)]\n"
        "lines = range(grid.network['output_bus']['num_outputs'])\n"
        "text = ''.join(''.join(f'{int(k in row)} ' for k in lines) + '\\n' for row in rows)\n"
        "Path(out).write_text('\\ufeff' + text, encoding='utf-8')\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def run_script(folder: Path, program: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(folder / "run.py"), "--simulator", str(program)]
    return subprocess.run(argv, capture_output=True, text=True)


def test_the_script_compares(kept: dict[str, Path], tmp_path: Path) -> None:
    folder = also.write(descriptor.load(kept["s02_reset_modes"]), "ranc", tmp_path / "a.ranc").folder
    program = simulator(tmp_path / "sim")
    done = run_script(folder, program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "equal; 12 outputs expected"
    network = json.loads((folder / "input.json").read_text())
    for neuron in network["cores"][0]["neurons"]:
        neuron["positive_threshold"] += 20
    (folder / "input.json").write_text(json.dumps(network))
    done = run_script(folder, program)
    assert done.returncode == 1, done.stderr
    assert "outputs differ" in done.stdout


def test_without_vectors_nothing_is_called_equal(kept: dict[str, Path], tmp_path: Path) -> None:
    made = descriptor.load(kept["s02_reset_modes"])
    descriptor.write(tmp_path / "bare.snnx", made.manifest, made.arrays, Vectors({}, {}).encode())
    folder = also.write(tmp_path / "bare.snnx", "ranc").folder
    done = run_script(folder, simulator(tmp_path / "sim"))
    assert done.returncode == 1
    assert "nothing can be compared" in done.stdout


def test_the_script_stands_alone() -> None:
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 10))
    names = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    names |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert names == {"__future__", "argparse", "json", "pathlib", "subprocess", "tempfile", "typing"}


def test_ranc_itself_gives_the_same_outputs(kept: dict[str, Path], tmp_path: Path) -> None:
    program = os.environ.get("SNNKIT_RANC_SIM")
    if program is None:
        pytest.skip("needs RANC's simulator (https://github.com/UA-RCL/RANC), built, in SNNKIT_RANC_SIM")
    for name in set(kept) - set(CANNOT):
        done = run_script(also.write(descriptor.load(kept[name]), "ranc", tmp_path / name).folder, Path(program))
        assert done.returncode == 0, name + done.stdout + done.stderr
    _, made, _ = deploy(trained(), (20,), tmp_path / "net.snnx", steps=8, batch=3)
    done = run_script(also.write(made, "ranc").folder, Path(program))
    assert done.returncode == 0, done.stdout + done.stderr


def test_random_vectors(tmp_path: Path) -> None:
    """Random cores of what RANC has: several cores, delays, loops, merging spikes, both resets, the negative side."""
    files, total = {}, 0
    for seed in range(8):
        arrays, steps = make.random_arrays(np.random.default_rng(seed), stochastic=False)
        for name in ("leak_reversal", "neg_saturate"):
            arrays[name] = arrays[name] * 0
        arrays["reset_mode"] = arrays["reset_mode"] % 2
        arrays |= {f"exp_{k}": x for k, x in make.simulate(arrays, steps).items()}
        files[make.save(tmp_path / f"case{seed}.npz", arrays, {})] = arrays
    for result in replay(list(files), keep=tmp_path):
        assert result.ok
        folder = also.write(Path(result.folder), "ranc").folder
        if json.loads((folder / "samples.json").read_text())["known_lines"]:
            spikes = compared(folder)
            assert spikes == len(
                set(zip(*(files[Path(result.path)][f"exp_out_{k}"].tolist() for k in ("tick", "index"))))
            )
            total += spikes
    assert total > 100


def test_outputs_are_those_of_the_emulator(tmp_path: Path) -> None:
    """The file's expected outputs come from the vectors; the emulator gives the same on its output lines."""
    _, made, _ = deploy(trained(), (20,), tmp_path / "net.snnx", steps=8, batch=2)
    stored = json.loads((also.write(made, "ranc").folder / "samples.json").read_text())
    inputs = descriptor.vectors.decode(made.vectors, made.manifest).inputs
    trace = emulator.open(tmp_path / "net.snnx").run(inputs)
    last = made.manifest.layers[-1].name
    lines = {tuple(row): k for k, row in enumerate(made.arrays["output_line"].tolist())}
    where = [lines[(len(made.manifest.layers) - 1, k)] for k in range(5)]
    for b, sample in enumerate(stored["samples"]):
        got = np.array([[k in row for k in where] for row in sample["outputs"]])
        np.testing.assert_array_equal(got, trace.spikes[last][:, b])
