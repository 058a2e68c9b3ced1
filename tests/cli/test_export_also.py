"""`snnkit export --also`: beside a new descriptor, of one that there is, of several chips, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnkit.bench import nir as networks
from snnkit.cli.main import main
from snnkit.export import nir

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """A NIR file of a recurrent network that only Loihi and SpiNNaker take, with frames."""
    folder = tmp_path_factory.mktemp("source")
    nir.write(folder / "a.nir", networks.recurrent())
    np.save(folder / "x.npy", (np.random.default_rng(0).random((networks.STEPS, 2, 12)) < 0.4).astype(np.uint8))
    return "export", str(folder / "a.nir"), "--calibrate", str(folder / "x.npy")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Descriptors of reference vectors: a Loihi with a refractory period, a TrueNorth."""
    folder = tmp_path_factory.mktemp("kept")
    for chip, name in (("loihi", "s05_refractory"), ("truenorth", "s02_reset_modes")):
        assert main(["replay", "--target", chip, str(GOLDEN / chip / f"{name}.npz"), "--keep", str(folder)]) == 0
    return folder


def answer(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> Any:
    """What it says with --json, after running it without."""
    capsys.readouterr()
    assert main(argv) == code
    text = capsys.readouterr()
    assert "Traceback" not in text.out + text.err
    assert main([*argv, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_beside_a_new_descriptor(source: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = (
        *source,
        "--target",
        "loihi",
        "--out",
        str(tmp_path / "net.snnx"),
        "--also",
        "lava-net",
        "--also",
        "lava-net",
    )
    (also,) = answer(capsys, *argv)["also"]
    assert also["written"] is True
    assert also["folder"] == str(tmp_path / "net.lava-net")
    assert also["tool"].startswith("lava-nc")
    about = json.loads((tmp_path / "net.lava-net" / "about.json").read_text())
    assert about["spikes"] == also["spikes"]
    assert about["descriptor"]["digest"] == json.loads((tmp_path / "net.snnx" / "manifest.json").read_text())["digest"]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert f"also {tmp_path / 'net.lava-net'}/ for lava-nc" in out
    assert f"spikes in that tool: {also['spikes']}" in out


def test_a_feed_forward_network_for_hxtorch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Written beside the descriptor and labelled as not run; a loop is refused, the descriptor stays."""
    loop = networks.recurrent()
    straight = loop.with_(connections=tuple(c for c in loop.connections if c.src != c.dst))
    for name, code in (("feed_forward", 0), ("recurrent", 1)):
        nir.write(tmp_path / f"{name}.nir", loop if code else straight)
        shape = networks.STEPS, 1, 12
        np.save(tmp_path / "x.npy", (np.random.default_rng(0).random(shape) < 0.4).astype(np.uint8))
        argv = ("export", str(tmp_path / f"{name}.nir"), "--calibrate", str(tmp_path / "x.npy"), "--target",
                "brainscales2", "--out", str(tmp_path / f"{name}.snnx"), "--also", "hxtorch")  # fmt: skip
        (also,) = answer(capsys, *argv, code=code)["also"]
        assert also["written"] is (code == 0)
        assert (tmp_path / f"{name}.snnx").exists()
        assert (tmp_path / f"{name}.hxtorch").exists() is (code == 0)
    assert "LOOP" in {f["code"] for f in also["findings"]}
    about = json.loads((tmp_path / "feed_forward.hxtorch" / "about.json").read_text())
    assert about["spikes"] == "not run"
    assert set(about["files"]) == {"network.py", "network.json", "network.npz", "vectors.npz"}


def test_several_chips(source: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = answer(capsys, *source, "--target", "all", "--out", str(tmp_path), "--also", "lava-net", "--also", "ranc")
    assert [a["format"] for a in said["written"]["loihi"]["also"]] == ["lava-net"]
    assert said["written"]["spinnaker"]["also"] == []
    assert "truenorth" in said["refused"]
    assert {p.name for p in tmp_path.iterdir()} >= {"loihi.snnx", "loihi.lava-net", "spinnaker.snnx"}
    assert not (tmp_path / "truenorth.ranc").exists()


def test_of_a_descriptor(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(kept / "s02_reset_modes.snnx")
    (also,) = answer(capsys, "export", path, "--also", "ranc")["also"]
    assert also["files"] == ["config.json", "input.json", "samples.json", "run.py"]
    assert Path(also["folder"]) == kept / "s02_reset_modes.ranc"
    assert answer(capsys, "export", path, "--target", "truenorth", "--also", "ranc")["also"] == [also]


def test_what_the_tool_cannot_hold_is_said(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(kept / "s05_refractory.snnx")
    (also,) = answer(capsys, "export", path, "--also", "lava-net", code=1)["also"]
    assert also["written"] is False
    assert [f["code"] for f in also["findings"]] == ["REFRACTORY"]
    assert also["findings"][0]["remedy"]
    assert not (kept / "s05_refractory.lava-net").exists()
    main(["export", path, "--also", "lava-net"])
    out = capsys.readouterr().out
    assert "lava-net not written" in out
    assert "REFRACTORY" in out


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, str]:
    return answer(capsys, *argv, code=2)["error"]


def test_wrong_use(source: tuple[str, ...], kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything is refused before anything is written."""
    out = ("--out", str(tmp_path / "net.snnx"))
    error = refused(capsys, *source, "--target", "loihi", *out, "--also", "lava-nett")
    assert "did you mean 'lava-net'" in error["what"]
    error = refused(capsys, *source, "--target", "loihi", *out, "--also", "ranc")
    assert error["what"] == "ranc is a format of truenorth, not of loihi"
    assert refused(capsys, *source, *out)["what"] == "--target is missing"
    assert refused(capsys, *source, "--target", "loihi")["what"] == "--out is missing"
    (tmp_path / "net.lava-net").mkdir()
    (tmp_path / "net.lava-net" / "mine").write_text("keep")
    error = refused(capsys, *source, "--target", "loihi", *out, "--also", "lava-net")
    assert "was not written by --also" in error["what"]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["mine", "net.lava-net"]
    truenorth = str(kept / "s02_reset_modes.snnx")
    assert "is a descriptor already" in refused(capsys, "export", truenorth)["what"]
    error = refused(capsys, "export", truenorth, "--also", "lava-net")
    assert error["what"] == "lava-net is a format of loihi, not of truenorth"
    error = refused(capsys, "export", truenorth, "--also", "ranc", "--target", "loihi")
    assert "is for truenorth, not for loihi" in error["what"]
    assert "--out is not for descriptors" in refused(capsys, "export", truenorth, "--also", "ranc", *out)["what"]
    assert "--host is not for desc" in refused(capsys, "export", truenorth, "--also", "ranc", "--host", "a")["what"]
    assert "--dt is for NIR files" in refused(capsys, "export", truenorth, "--also", "ranc", "--dt", "1")["what"]
    error = refused(capsys, "export", str(tmp_path / "none.snnx"), "--also", "ranc")
    assert error["code"] == "DESCRIPTOR"
