"""What is loaded, seen in `sys.modules` of fresh processes: no torch in the chip half, nothing heavy for --help."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
TORCH = ("torch", "lightning", "tonic", "torchvision")
HEAVY = (*TORCH, "numpy", "numba", "scipy", "pydantic", "matplotlib", "rich", "yaml")


def loaded(code: str, *names: str, cwd: Path | None = None) -> set[str]:
    """Which of these packages a fresh process has loaded after running `code`."""
    tail = f"\nimport sys, json\nprint('\\n' + json.dumps([n for n in {list(names)} if n in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}{tail}"],
        cwd=cwd or ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def command(*argv: str) -> str:
    return f"from snnkit.cli.main import main\nassert main({list(argv)}) == 0"


@pytest.fixture(scope="session")
def tiny_descriptor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A descriptor of two neurons behind two inputs."""
    from snnkit.graph.model import Connection, Graph, Input, Population, Readout
    from snnkit.graph.neurons import LIF
    from snnkit.graph.synapses import Dense
    from snnkit.passes import add_lag
    from snnkit.targets import registry
    from snnkit.validation import ChipGraph, write_descriptor

    one = np.ones(2, np.float32)
    graph = Graph(
        "tiny",
        (Input("in", (2,)),),
        (Population("out", (2,), LIF(one * 0, one)),),
        (Connection("c", "in", "out", Dense(np.eye(2))),),
        Readout("out", "count"),
        steps=3,
    )
    target = registry.get("loihi")
    chip = ChipGraph(graph, target.quantize(add_lag(graph)).graph)
    path = tmp_path_factory.mktemp("tiny") / "tiny.snnx"
    frames = {"T": 3, "by": "time", "binary": True, "window_us": 300}
    provenance = {"data": {"frames": frames, "sensor_size": [1, 1], "classes": ["a", "b"]}}
    write_descriptor(path, chip, target, np.ones((3, 2, 2), np.uint8), provenance=provenance)
    return path


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ATIS recording of four events on a sensor of one pixel (5 bytes an event: x, y, polarity and time)."""
    path = tmp_path_factory.mktemp("events") / "one.bin"
    events = [(0, 0, p, 50 + 60 * k) for k, p in enumerate((1, 0, 1, 1))]
    path.write_bytes(b"".join(bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255]) for x, y, p, t in events))
    return path


def test_import_snnkit_loads_nothing() -> None:
    assert loaded("import snnkit; snnkit.__version__; dir(snnkit)", *HEAVY) == set()


def test_help_and_version_load_nothing() -> None:
    assert loaded(command("--help") + "\nassert main(['--version']) == 0", *HEAVY) == set()


def test_import_nn_loads_no_compiler_and_no_trainer() -> None:
    names = ("numba", "triton", "lightning", "tonic", "torchvision", "scipy", "matplotlib", "pydantic")
    assert loaded("import snnkit.nn", *names) == set()


@pytest.mark.parametrize(
    "room",
    [
        "graph",
        "graph.run",
        "passes",
        "mapping",
        "descriptor",
        "targets.registry",
        "emulator",
        "data",
        "live",
        "live.loop",
        "live.opening",
        "live.sender",
        "viz",
        "validation.conformance",
    ],
)
def test_the_chip_half_and_the_data_never_load_torch(room: str) -> None:
    assert loaded(f"import snnkit.{room}", *TORCH) == set()


def test_every_file_of_a_chip_is_free_of_torch() -> None:
    code = "from snnkit.targets import base, registry\nfrom snnkit.targets._template import TARGET\n"
    code += "for t in (TARGET, *map(registry.get, registry.names())):\n"
    assert loaded(code + "    [t.part(f) for f in base.FILES]", *TORCH) == set()


def test_a_nir_file_goes_to_a_chip_without_torch(tmp_path: Path) -> None:
    from snnkit.bench import nir as networks
    from snnkit.export import nir

    nir.write(tmp_path / "a.nir", networks.recurrent())
    np.save(tmp_path / "x.npy", np.ones((networks.STEPS, 2, 12), np.uint8))
    export = ("export", "a.nir", "--target", "loihi", "--out", "a.snnx", "--calibrate", "x.npy", "--json")
    for argv in (
        ("check", "a.nir", "--target", "loihi"),
        ("inspect", "a.nir"),
        export,
        ("nir", "a.nir", "--out", "b.nir"),
    ):
        assert loaded(command(*argv), *TORCH, cwd=tmp_path) == set()


@pytest.mark.parametrize("name", ["verify", "inspect"])
def test_commands_on_a_descriptor_never_load_torch(name: str, tiny_descriptor: Path, tmp_path: Path) -> None:
    for options in ((), ("--json",)):
        assert loaded(command(name, str(tiny_descriptor), *options), *TORCH, cwd=tmp_path) == set()


def test_inspect_of_a_recording_never_loads_torch(recording: Path, tmp_path: Path) -> None:
    assert loaded(command("inspect", str(recording)), *TORCH, cwd=tmp_path) == set()


def test_emulate_never_loads_torch(tiny_descriptor: Path, recording: Path, tmp_path: Path) -> None:
    argv = ("emulate", str(tiny_descriptor), "--events", str(recording), "--json")
    assert loaded(command(*argv), *TORCH, cwd=tmp_path) == set()


def test_live_runs_of_descriptors_never_load_torch(tiny_descriptor: Path, recording: Path, tmp_path: Path) -> None:
    run = ("run", str(tiny_descriptor), "--input", str(recording), "--json")
    assert loaded(command(*run), *TORCH, "matplotlib", cwd=tmp_path) == set()
    send = ("convert", str(recording), "udp://127.0.0.1:9", "--speed", "max", "--sensor", "1x1")
    assert loaded(command(*send), *TORCH, "matplotlib", cwd=tmp_path) == set()


def test_emulate_of_a_data_set_never_loads_torch(tmp_path: Path) -> None:
    code = "import snnkit.data.catalog, snnkit.data.dataset, snnkit.data.source"
    assert loaded(code, *TORCH, cwd=tmp_path) == set()


def test_replay_never_loads_torch(tmp_path: Path) -> None:
    file = ROOT / "tests" / "golden" / "loihi" / "s01_single_exc.npz"
    assert loaded(command("replay", "--target", "loihi", str(file)), *TORCH, cwd=tmp_path) == set()
