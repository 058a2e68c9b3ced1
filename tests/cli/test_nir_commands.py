"""NIR files on the command line: check, export, verify, validate, inspect and nir take them where a RUN may stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snnkit.bench import nir as networks
from snnkit.cli.main import main
from snnkit.data.events import EventStream
from snnkit.data.files.atis import encode_atis
from snnkit.export import nir
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LIF
from snnkit.graph.synapses import Conv

pytestmark = pytest.mark.timeout(180)  # the first use compiles the kernels where they are not cached yet

FACTS = ("--dialect", "norse", "--dt", "1e-3", "--reset", "zero")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ours.nir, theirs.nir (the same network without metadata, in norse's dialect), frames.npy and a retina.nir."""
    folder = tmp_path_factory.mktemp("nir")
    graph = networks.recurrent()
    nir.write(folder / "ours.nir", graph)
    nir.write(folder / "theirs.nir", graph, dialect="norse")
    with h5py.File(folder / "theirs.nir", "r+") as f:
        del f["node/metadata"]
    rng = np.random.default_rng(0)
    np.save(folder / "frames.npy", (rng.random((networks.STEPS, 12, 12)) < 0.4).astype(np.uint8))
    np.save(folder / "more.npy", (rng.random((networks.STEPS, 5, 12)) < 0.2).astype(np.uint8))
    conv = Conv(rng.integers(-2, 5, (3, 2, 5, 5)) / 8, (2, 9, 7), (2, 2))
    n = conv.n_dst
    retina = Population("cells", conv.out_shape, LIF(np.full(n, 0.5, np.float32), np.ones(n, np.float32)))
    wires = (Connection("w", "in", "cells", conv),)
    eyes = Graph("retina", (Input("in", (2, 9, 7)),), (retina,), wires, Readout("cells", "count"), None, 50_000.0)
    nir.write(folder / "retina.nir", eyes)
    for k in range(3):
        t, x, y = np.sort(rng.integers(0, 200_000, 150)), rng.integers(0, 7, 150), rng.integers(0, 9, 150)
        stream = EventStream.from_columns(t, x, y, rng.integers(0, 2, 150), (7, 9), "random")
        (folder / f"{k}.bin").write_bytes(encode_atis(stream))
    return folder


@pytest.fixture(autouse=True)
def _there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def said(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> Any:
    """What a command says with --json; also runs it without, which must end the same way."""
    assert main(argv) == code
    text = capsys.readouterr()
    assert "Traceback" not in text.out + text.err
    assert main([*argv, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 2) -> str:
    assert main(argv) == code
    text = capsys.readouterr().err
    assert text.startswith("["), text
    return text


def test_check(capsys: pytest.CaptureFixture[str]) -> None:
    whole = said(capsys, "check", "ours.nir", "--target", "loihi")["loihi"]
    assert (whole["fits"], whole["findings"]) == (True, [])
    answer = said(capsys, "check", "theirs.nir", "--target", "loihi", *FACTS)["loihi"]
    assert answer["fits"]
    assert [(f["code"], f["severity"]) for f in answer["findings"]] == [("NIR_LOOP", "note")]
    text = refused(capsys, "check", "theirs.nir", "--target", "loihi")
    for option in ("--dt SECONDS", "--reset zero or --reset subtract", "--loop-delay 1"):
        assert option in text
    answer = said(capsys, "check", "theirs.nir", *FACTS[:-1], "subtract", "--target", "loihi", code=1)["loihi"]
    assert {f["code"] for f in answer["findings"]} >= {"SUBTRACT_RESET"}
    answer = said(capsys, "check", "theirs.nir", *FACTS[:3], "1", *FACTS[4:], "--target", "loihi", code=1)["loihi"]
    assert {(f["code"], f["where"]) for f in answer["findings"]} == {("NIR_TAU", "hidden"), ("NIR_TAU", "out")}


def test_check_of_a_whole_graph_of_integers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from snnkit.targets import registry
    from snnkit.validation.pipeline import chip_timeline

    whole = registry.get("loihi").quantize(chip_timeline(networks.recurrent())).graph
    nir.write(tmp_path / "whole.nir", whole)
    path = str(tmp_path / "whole.nir")
    assert said(capsys, "check", path, "--target", "loihi")["loihi"]["fits"]
    out = str(tmp_path / "whole.snnx")
    assert said(capsys, "export", path, "--target", "loihi", "--out", out, "--calibrate", "frames.npy")["resources"]
    assert said(capsys, "verify", out)
    assert "integers, which no torch module runs" in refused(capsys, "validate", path, out, "--calibrate", "frames.npy")


def test_export_verify_validate(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The same network, ours or theirs, gives the same chip images; and all three programs agree in every spike."""
    images = []
    for file, facts in (("ours.nir", ()), ("theirs.nir", FACTS)):
        out = str(tmp_path / f"{file}.snnx")
        argv = ("--target", "loihi", "--out", out, "--calibrate", "frames.npy", *facts)
        answer = said(capsys, "export", file, *argv)
        assert answer["resources"]["cores"] >= 1
        images.append((Path(out) / "arrays.safetensors").read_bytes())
        assert said(capsys, "verify", out)
        for frames in ((), ("--frames", "more.npy", "--limit", "3")):
            result = said(capsys, "validate", file, out, "--calibrate", "frames.npy", *frames, *facts)
            assert result["samples"] == (3 if frames else 12)
            assert {k: v["total"] for k, v in result["differing_spikes"].items()}["graph-emulator"] == 0
            assert "accuracy" not in result
    manifest = json.loads((tmp_path / "theirs.nir.snnx" / "manifest.json").read_text())
    assert manifest["provenance"]["nir"] == "theirs.nir"
    assert manifest["provenance"]["calibration"] == ["frames.npy"]
    assert manifest["steps"] == networks.STEPS
    other = refused(capsys, "validate", "ours.nir", str(tmp_path / "theirs.nir.snnx"), "--calibrate", "frames.npy")
    assert "was not exported from ours.nir" in other
    assert "--calibrate" in refused(capsys, "validate", "ours.nir", str(tmp_path / "ours.nir.snnx"))


def test_calibration_from_everywhere(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def export(file: str, *calibrate: str, steps: str = "4") -> Any:
        out = str(tmp_path / "c.snnx")
        given = [a for c in calibrate for a in ("--calibrate", c)]
        said(capsys, "export", file, "--target", "loihi", "--out", out, *given, "--steps", steps)
        return json.loads((Path(out) / "manifest.json").read_text())

    assert "one spike per pixel" in export("retina.nir", "0.bin", "1.bin", "2.bin")["host_parts"][0]
    assert "frames as they are" in export("retina.nir", "random")["host_parts"][0]
    np.savez(tmp_path / "by_name.npz", **{"in": np.ones((4, 2, 2, 9, 7), bool)})
    assert export("retina.nir", str(tmp_path / "by_name.npz"))["steps"] == 4


def test_calibration_that_does_not_fit(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    np.save(tmp_path / "short.npy", np.ones((3, 2, 12)))
    np.save(tmp_path / "wide.npy", np.ones((40, 2, 13)))
    np.save(tmp_path / "half.npy", np.full((40, 2, 12), 0.5))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "other.npz", a=np.ones((40, 2, 12)), b=np.ones(3))
    (tmp_path / "text.npy").write_text("no")
    cases = {
        (): "has no data",
        ("short.npy",): "samples have 3 steps, the network 40",
        ("wide.npy",): "of shape [40, 2, 13]",
        ("half.npy",): "no whole numbers",
        ("objects.npy",): "holds no arrays",
        ("other.npz",): "no frames for the input 'in'",
        ("text.npy",): "holds no arrays",
        ("nothing.npy",): "No such file",
        ("a.txt",): "no samples in",
        ("short.npy", "wide.npy"): "no samples in",
        ("0.bin",): "recordings are for one input [2, H, W]",
    }
    for files, text in cases.items():
        given = [a for f in files for a in ("--calibrate", str(tmp_path / f))]
        argv = ("export", "ours.nir", "--target", "loihi", "--out", str(tmp_path / "x.snnx"), *given)
        assert text in refused(capsys, *argv), files
    argv = ("export", "retina.nir", "--target", "loihi", "--out", "x.snnx", "--calibrate", "random")
    assert "--steps T" in refused(capsys, *argv)
    assert not list(tmp_path.glob("*.snnx"))


def test_nir(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    answer = said(capsys, "nir", "theirs.nir", "--from", *FACTS[1:], "--out", str(tmp_path / "a.nir"))
    assert answer["dialect"] == "nir"
    graph, _ = nir.read(tmp_path / "a.nir")
    assert graph is not None
    assert graph.dt_us == 1000
    answer = said(capsys, "nir", "ours.nir", "--dialect", "snntorch", "--out", str(tmp_path / "s.nir"))
    assert [f["code"] for f in answer["findings"]] == ["NIR_STEP"]
    assert refused(capsys, "nir", "ours.nir", "--dialect", "sinabs", "--out", str(tmp_path / "b.nir"), code=1)
    assert "did you mean 'snntorch'" in refused(capsys, "nir", "ours.nir", "--dialect", "sntorch", "--out", "b.nir")
    assert "does not end in .nir" in refused(capsys, "nir", "ours.nir", "--out", str(tmp_path / "b.h5"))
    assert {p.name for p in tmp_path.iterdir()} == {"a.nir", "s.nir"}


def test_inspect(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    facts = said(capsys, "inspect", "ours.nir")
    assert facts["kind"] == "network"
    assert facts["snnkit"]["name"] == "recurrent"
    assert facts["asks"] == ""
    nodes = {n["name"]: n for n in facts["nodes"]}
    assert nodes["hidden"]["type"] == "CubaLIF"
    assert nodes["hidden"]["values"]["r"] == pytest.approx(4)
    assert nodes["input_to_hidden"]["shape"] == [20, 12]
    facts = said(capsys, "inspect", "theirs.nir")
    assert facts["snnkit"] is None
    assert "--dt SECONDS" in facts["asks"]
    (tmp_path / "junk.nir").write_bytes(b"junk")
    assert "no HDF5 file" in refused(capsys, "inspect", str(tmp_path / "junk.nir"))


@pytest.mark.parametrize("command", ["eval", "finetune"])
def test_commands_that_need_a_run_say_where_nir_files_go(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("--out", "x") if command == "finetune" else ()
    assert "a NIR file goes to `snnkit check`" in refused(capsys, command, "ours.nir", *out)


@pytest.mark.parametrize("option", [("--dt", "1"), ("--reset", "zero"), ("--dialect", "norse"), ("--ignore-metadata",)])
def test_options_for_nir_files_with_something_else(option: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    for command in (("check",), ("export", "--target", "loihi", "--out", "x.snnx"), ("validate", "x.snnx")):
        argv = (command[0], "frames.npy", *command[1:], *option)
        assert f"{option[0]} is for NIR files" in refused(capsys, *argv)
