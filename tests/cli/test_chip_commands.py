"""check, export, emulate, validate, verify, report and inspect on a small run: answers, exit codes, JSON, bad input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnkit.cli.main import main
from snnkit.data.events import EventStream
from snnkit.data.files.atis import encode_atis

pytestmark = pytest.mark.timeout(180)  # the first use compiles the kernels where they are not cached yet

RECIPE: dict[str, Any] = {
    "seed_everything": 1,
    "model": {
        "memory_format": "channels_first",
        "net": {
            "class_path": "snnkit.models.ConvClassifier",
            "init_args": {"channels": [3, 4], "pool": 3, "dropout": 0.0},
        },
        "optimizer": {"lr": 0.03, "warmup_epochs": 0},
    },
    "data": {"class_path": "snnkit.data.SaccadeDigits", "init_args": {"T": 3, "batch_size": 8, "subset": 60}},
    "trainer": {"max_epochs": 6, "accelerator": "cpu", "logger": False, "precision": "32-true"},
}

NETWORKS = '''
"""Networks that no chip can run."""
import torch
from snnkit import nn as snn


def tail(n):
    return [snn.Flatten(), snn.Linear(n, 10, bias=False), snn.LI(decay=1.0)]


class MaxOfCounts(torch.nn.Sequential):
    def __init__(self):
        super().__init__(snn.Conv2d(2, 2, 3), snn.MaxPool2d(2), snn.LIF(), *tail(2 * 16 * 16))


class Subtract(torch.nn.Sequential):
    def __init__(self):
        super().__init__(snn.AvgPool2d(17), snn.Flatten(), snn.Linear(8, 4), snn.LIF(reset="subtract"), *tail(4))


class Unknown(torch.nn.Sequential):
    def __init__(self):
        super().__init__(snn.AvgPool2d(17), snn.Flatten(), snn.Linear(8, 4), torch.nn.Softplus(), snn.LIF(), *tail(4))


class Wide(torch.nn.Sequential):
    """Max pooling of a wide relay layer: each output neuron has 16 * 17 * 17 sources."""

    def __init__(self):
        super().__init__(snn.Conv2d(2, 15, 1), snn.LIF(), *tail(15 * 34 * 34))


class Bare(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Conv2d(2, 2, 3), snn.LIF(), *tail(2 * 32 * 32))


class Branching(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(*tail(2 * 34 * 34))

    def forward(self, x):
        if x.sum() > 0:
            x = x * 2
        return self.body(torch.sigmoid(x))


class Strong(torch.nn.Sequential):
    def __init__(self):
        super().__init__(snn.AvgPool2d(17), snn.Flatten(), snn.Linear(8, 4), snn.LIF(), *tail(4))
        torch.nn.init.constant_(self[2].weight, 1e7)
'''


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of few epochs whose layers fire; its data lie in a cache of this module."""
    from snnkit.training import fit

    folder = tmp_path_factory.mktemp("chip")
    run = fit(RECIPE, folder / "run", {"data.init_args.cache_dir": str(folder / "cache")}, progress=False)
    assert all(layer["rate"] > 0 for layer in run.metrics["test"]["layers"].values())
    return folder / "run"


def random_recording(seed: int) -> bytes:
    """An ATIS file of 500 random events on 34 x 34 pixels."""
    rng = np.random.default_rng(seed)
    t, xy = np.sort(rng.integers(0, 300_000, 500)), rng.integers(0, 34, (2, 500))
    return encode_atis(EventStream.from_columns(t, xy[0], xy[1], rng.integers(0, 2, 500), (34, 34), "random"))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out like N-MNIST."""
    root = tmp_path_factory.mktemp("nmnist")
    for part, count in (("Train", 20), ("Test", 10)):
        for k in range(count):
            (root / part / str(k % 10)).mkdir(parents=True, exist_ok=True)
            (root / part / str(k % 10) / f"{k:05d}.bin").write_bytes(random_recording(k + 100 * (part == "Test")))
    return root


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    """Its descriptor, validated, with reports."""
    path = trained.parent / "net.snnx"
    assert main(["export", str(trained), "--target", "loihi", "--out", str(path), "--json"]) == 0
    assert main(["validate", str(trained), str(path), "--json"]) == 0
    return path


def answer(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> Any:
    """What a command says with --json; also runs it without, which must end the same way."""
    assert main(argv) == code
    text = capsys.readouterr()
    assert "Traceback" not in text.out + text.err
    assert main([*argv, "--json"]) == code
    return json.loads(capsys.readouterr().out)


# --------------------------------------------------------------------------------------------------------- the good way
def test_check(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = answer(capsys, "check", str(trained), "--target", "loihi")
    assert said["loihi"]["fits"] is True
    assert said["loihi"]["energy"]["low"] > 0
    assert said["rates"] == "validation samples of saccade-digits"
    assert main(["check", str(trained)]) == 0  # it can go somewhere
    out = capsys.readouterr().out
    assert "one network, several chips" in out
    assert "loihi: fits" in out
    assert "truenorth: does not fit" in out
    assert "With these changes the check passes (tried):" in out
    assert main(["check", str(trained), "--target", "loihi,truenorth", "--json"]) == 1
    refused = json.loads(capsys.readouterr().out)["truenorth"]
    assert {"DECAY", "LI_READOUT"} <= {f["code"] for f in refused["findings"]}
    assert {"decay=1.0 (integrate and fire)"} <= {c["what"] for c in refused["changes"]}
    assert main(["check", str(trained), "--assume-rate", "2"]) == 2


def test_a_run_as_a_nir_file(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file goes the same way as the run, to the same chip images."""
    file = tmp_path / "run.nir"
    said = answer(capsys, "nir", str(trained), "--out", str(file))
    assert said["findings"] == []
    assert answer(capsys, "check", str(file), "--target", "loihi")["loihi"]["fits"]
    frames = tmp_path / "frames.npy"
    np.save(frames, (np.random.default_rng(0).random((3, 4, 2, 34, 34)) < 0.1).astype(np.uint8))
    argv = ("export", str(file), "--target", "loihi", "--out", str(tmp_path / "f.snnx"), "--calibrate", str(frames))
    assert answer(capsys, *argv)["resources"]["cores"] >= 3
    assert answer(capsys, "verify", str(tmp_path / "f.snnx"))
    assert main(["nir", str(trained), "--reset", "zero", "--out", str(file)]) == 2
    assert "--reset is for NIR files" in capsys.readouterr().err


def test_export_twice_is_byte_identical(
    trained: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "other.snnx"
    said = answer(capsys, "export", str(trained), "--target", "loihi", "--out", str(again))
    assert said["resources"]["cores"] >= 3
    assert said["digest"] == json.loads((exported / "manifest.json").read_text())["digest"]
    for name in ("manifest.json", "arrays.safetensors", "vectors.safetensors"):
        assert (again / name).read_bytes() == (exported / name).read_bytes()


def test_verify(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = answer(capsys, "verify", str(exported), str(exported))
    assert [s["ok"] for s in said] == [True, True]


def test_emulate(exported: Path, recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("emulate", str(exported), "--data", str(recordings), "--limit", "7")
    said = answer(capsys, *argv, "--batch", "3")
    assert said["recordings"] == len(said["answers"]) == 7
    assert 0 <= said["accuracy"] <= 1
    assert said["counters"]
    whole = answer(capsys, *argv)
    assert whole["answers"] == said["answers"]
    assert whole["counters"] == said["counters"]
    running = answer(capsys, *argv, "--continuous")
    assert running["continuous"] is True
    assert running["answers"][0] == said["answers"][0]


def test_emulate_a_recording(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.bin").write_bytes(random_recording(0))
    said = answer(capsys, "emulate", str(exported), "--events", str(tmp_path / "one.bin"))
    assert said["recordings"] == 1
    assert said["accuracy"] is None
    (tmp_path / "cut.bin").write_bytes(random_recording(0)[:-2])
    said = answer(capsys, "emulate", str(exported), "--events", str(tmp_path / "cut.bin"), code=2)
    assert said["error"]["code"] == "DATA"


def test_validate_and_report(trained: Path, exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = answer(capsys, "validate", str(trained), str(exported))
    assert said["differing_spikes"]["graph-emulator"]["total"] == 0
    assert said["accuracy"]["graph"] == said["accuracy"]["emulator"]
    assert said["split"] == "test"
    assert {"report.json", "report.md", "report.html"} <= {p.name for p in exported.iterdir()}
    report = answer(capsys, "report", str(exported))
    assert report["accuracy"] == said["accuracy"]
    assert answer(capsys, "verify", str(exported))[0]["ok"]  # reports are no part of the digest


@pytest.mark.parametrize("what", ["run", "descriptor"])
def test_inspect(what: str, trained: Path, exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "inspect", str(trained if what == "run" else exported))["kind"] == what


# ----------------------------------------------------------------------------------------------------- the answer is no
def test_a_descriptor_of_another_run(
    trained: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from snnkit.training import checkpoint

    other = tmp_path / "other"
    shutil.copytree(trained, other)
    saved = checkpoint.load_tensors(other / "model.ckpt")
    name = next(k for k, v in saved["state_dict"].items() if v.is_floating_point())
    saved["state_dict"][name] = saved["state_dict"][name] + 1
    checkpoint.save_tensors(other / "model.ckpt", saved)
    error = answer(capsys, "validate", str(other), str(exported), code=2)["error"]
    assert "another run" in error["what"]
    assert "snnkit export" in error["fix"]


def test_a_wrong_spike_in_the_vectors_is_a_no(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Vectors that the chip does not reproduce: exit code 1, and the place is named."""
    from snnkit import descriptor
    from snnkit.descriptor.vectors import Vectors, decode

    made = descriptor.load(exported)
    vectors = decode(made.vectors, made.manifest)
    layer = next(name for name, s in vectors.spikes.items() if s.any())
    spikes = {n: s.copy() for n, s in vectors.spikes.items()}
    spikes[layer][0, 0, 0] ^= 1
    wrong = Vectors(vectors.inputs, spikes, readout=vectors.readout)
    descriptor.write(tmp_path / "wrong.snnx", made.manifest, made.arrays, wrong.encode())
    said = answer(capsys, "verify", str(tmp_path / "wrong.snnx"), code=1)
    assert said[0]["ok"] is False
    main(["verify", str(tmp_path / "wrong.snnx")])
    assert layer in capsys.readouterr().out


def test_a_flipped_byte(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("arrays.safetensors", "vectors.safetensors", "manifest.json"):
        broken = tmp_path / f"{name}.snnx"
        shutil.copytree(exported, broken)
        data = bytearray((broken / name).read_bytes())
        data[len(data) // 2] ^= 1
        (broken / name).write_bytes(bytes(data))
        for command in (("verify",), ("emulate",), ("inspect",)):
            assert answer(capsys, *command, str(broken), code=2)["error"]["code"] == "DESCRIPTOR"


def test_an_export_over_something_else(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.snnx").mkdir()
    (tmp_path / "mine.snnx" / "thesis.tex").write_text("keep")
    argv = ("export", str(trained), "--target", "loihi", "--out")
    assert "no descriptor" in answer(capsys, *argv, str(tmp_path / "mine.snnx"), code=2)["error"]["what"]
    assert answer(capsys, *argv, str(tmp_path / "net.bin"), code=2)["error"]["fix"].endswith("net.snnx")
    assert [p.name for p in tmp_path.rglob("*")] == ["mine.snnx", "thesis.tex"]


# ------------------------------------------------------------------------------------------ networks that cannot be run
@pytest.fixture
def made_run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A run folder of one of `NETWORKS`, as if it had been trained."""
    (tmp_path / "their_networks.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, change: Callable[[Any], None] = lambda model: None, **data: Any) -> Path:
        import importlib

        from snnkit.training import checkpoint

        path = tmp_path / name
        shutil.copytree(trained, path)
        record = json.loads((path / "run.json").read_text())
        record["settings"]["model"]["net"] = {"class_path": f"their_networks.{name}", "init_args": {}}
        record["settings"]["data"]["init_args"] |= data
        (path / "run.json").write_text(json.dumps(record))
        model = getattr(importlib.import_module("their_networks"), name)()
        change(model)
        checkpoint.save_tensors(path / "model.ckpt", {"state_dict": model.state_dict()})
        return path

    return make


def spoil(model: Any) -> None:
    model[2].weight.data[1, 3] = float("nan")


BAD: list[tuple[str, Callable[[Any], None], str, str, str]] = [
    # network, change to its weights, code, where, what
    ("MaxOfCounts", lambda m: None, "MAXPOOL_NOT_BINARY", "1", "max pooling"),
    ("Subtract", lambda m: None, "SUBTRACT_RESET", "3", "subtracted"),
    ("Unknown", lambda m: None, "UNKNOWN_MODULE", "3", "Softplus"),
    ("Subtract", spoil, "WEIGHT_NOT_FINITE", "2", "1 of 32 values of weight"),
    ("Wide", lambda m: None, "AXONS", "4[0]", "17340"),
    ("Bare", lambda m: None, "BARE_TORCH_LAYER", "0", "torch.nn.Conv2d"),
    ("Branching", lambda m: None, "DATA_DEPENDENT_BRANCH", "their_networks.py:", "branch"),
]


@pytest.mark.parametrize(("name", "change", "code", "where", "what"), BAD)
def test_networks_that_no_chip_can_run(
    name: str, change: Callable[[Any], None], code: str, where: str, what: str,
    made_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = made_run(name, change)
    allow = ("--allow-code", "their_networks")
    said = answer(capsys, "check", str(run), "--target", "loihi", *allow, code=1)["loihi"]
    assert said["fits"] is False
    found = {f["code"]: f for f in said["findings"]}
    assert code in found
    assert found[code]["severity"] == "error"
    assert where in found[code]["where"]
    assert what in found[code]["what"]
    assert found[code]["remedy"]
    out = tmp_path / "no.snnx"
    error = answer(capsys, "export", str(run), "--target", "loihi", "--out", str(out), *allow, code=1)["error"]
    assert error["code"] == "FINDINGS"
    assert code in {f["code"] for f in error["findings"]}
    assert not out.exists()


def test_weights_that_no_scale_fits(
    made_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found while quantising, which needs calibration data: `export` says it."""
    run, out = made_run("Strong"), tmp_path / "no.snnx"
    argv = ("export", str(run), "--target", "loihi", "--out", str(out), "--allow-code", "their_networks")
    error = answer(capsys, *argv, code=1)["error"]
    (finding,) = error["findings"]
    assert (finding["code"], finding["where"]) == ("SCALE", "3[0]")
    assert not out.exists()


def test_counts_as_input(made_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    run = made_run("Strong", binary=False)
    said = answer(capsys, "check", str(run), "--allow-code", "their_networks", "--target", "loihi", code=1)["loihi"]
    assert [f["code"] for f in said["findings"]] == ["INPUT_NOT_BINARY"]
    assert "binary" in said["findings"][0]["remedy"]


def test_code_outside_snnkit_needs_leave(made_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    error = answer(capsys, "check", str(made_run("Bare")), code=2)["error"]
    assert error["code"] == "CODE_NOT_ALLOWED"
    assert "--allow-code their_networks" in error["fix"]


# -------------------------------------------------------------------------------------------------------- several chips
def test_export_to_all(trained: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that fit are written, the others say why; each is what its own export gives."""
    folder = tmp_path / "chips"
    said = answer(capsys, "export", str(trained), "--target", "all", "--out", str(folder))
    assert {"loihi", "spinnaker"} <= set(said["written"])
    assert {f["code"] for f in said["refused"]["truenorth"]} >= {"DECAY", "LI_READOUT"}
    assert not (folder / "truenorth.snnx").exists()
    assert (folder / "loihi.snnx" / "manifest.json").read_bytes() == (exported / "manifest.json").read_bytes()
    for name, made in said["written"].items():
        assert made["descriptor"] == f"{folder}/{name}.snnx"
        assert main(["verify", str(folder / f"{name}.snnx")]) == 0
    capsys.readouterr()
    assert main(["export", str(trained), "--target", "loihi,truenorth", "--out", str(tmp_path / "two")]) == 1
    out = capsys.readouterr().out
    assert "truenorth: does not fit" in out
    assert "written" in out
    assert main(["export", str(trained), "--target", "truenorth,truenorth", "--out", str(tmp_path / "none")]) == 1
    assert not (tmp_path / "none").exists()
    capsys.readouterr()
    assert main(["export", str(trained), "--target", "all", "--out", str(tmp_path / "a.snnx")]) == 2
    assert "--out DIR" in capsys.readouterr().err


def test_a_layer_on_the_host(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The read-out that a chip cannot give runs on the host, and the proof covers it."""
    refused = answer(capsys, "check", str(trained), "--target", "truenorth", code=1)["truenorth"]
    (change,) = [c for c in refused["changes"] if c["code"] == "LI_READOUT"]
    assert change["what"] == f"run it on the host (--host {change['where']})"
    assert change["retrain"] is False
    host = ("--host", change["where"])
    assert "LI_READOUT" not in {
        f["code"]
        for f in answer(capsys, "check", str(trained), "--target", "truenorth", *host, code=1)["truenorth"]["findings"]
    }
    path = tmp_path / "hybrid.snnx"
    answer(capsys, "export", str(trained), "--target", "loihi", "--out", str(path), *host)
    said = answer(capsys, "validate", str(trained), str(path))
    assert said["differing_spikes"]["graph-emulator"]["total"] == 0
    assert answer(capsys, "emulate", str(path), "--limit", "9")["recordings"] == 9
    assert main(["verify", str(path)]) == 0
    capsys.readouterr()
    assert main(["inspect", str(path)]) == 0
    assert f"run {change['where']} after the chip" in " ".join(capsys.readouterr().out.split())
    error = answer(capsys, "export", str(trained), "--target", "loihi", "--out", str(path), "--host", "x", code=1)
    assert error["error"]["findings"][0]["code"] == "HOST"
