"""From a run folder to a descriptor and back: options, samples, provenance, refusals."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from snnkit import descriptor
from snnkit.data.frame_settings import FrameSettings
from snnkit.encoding import Direct, Latency
from snnkit.errors import DataError, UsageError
from snnkit.targets import registry
from snnkit.validation import runs as module
from snnkit.validation.pipeline import BINNING, HOST_PARTS
from snnkit.validation.runs import batches, compare_run, deploy, export_options, spread, validate_run

Array = np.ndarray[Any, Any]
STEPS, COUNT = 8, 20


class Data:
    """Samples in memory, with the methods of a data module that an export uses."""

    input_shape = (12,)
    input_shapes = ((12,),)
    input_names = ()

    def __init__(self, **frames: Any) -> None:
        self.frames = FrameSettings(**{"T": STEPS, "window_us": 8000, **frames})
        rng = np.random.default_rng(0)
        self.x = (rng.random((COUNT, STEPS, 12)) < 0.4).astype(np.float32)
        self.y = rng.integers(0, 4, COUNT)
        self.calls: list[str] = []
        self.T, self.dt_us, self.max_counts = self.frames.steps, self.frames.dt_us, (self.frames.max_count,)

    def prepare_data(self) -> None:
        self.calls.append("prepare_data")

    def setup(self) -> None:
        self.calls.append("setup")

    def dataset(self, split: str) -> list[tuple[Array, int]]:
        self.calls.append(split)
        return [(x, int(y)) for x, y in zip(self.x, self.y)]

    def labels(self, split: str) -> Array:
        return self.y

    def describe(self) -> dict[str, Any]:
        return {"name": "memory", "digest": "d" * 64, "frames": self.frames.describe(0)}


@dataclass
class FakeRun:
    """A trained run without a folder."""

    model: nn.Module
    data: Data = field(default_factory=Data)
    digest: str = "a" * 64
    path: Path = Path("runs/x")
    name: str = "memory/dense"
    readout: str = "count"

    def datamodule(self) -> Data:
        return self.data


@pytest.fixture
def run(dense_network: tuple[nn.Module, Any, Any]) -> Any:
    return FakeRun(dense_network[0])


@pytest.fixture
def target() -> Any:
    return registry.get("loihi")


def test_spread_is_even_and_has_no_duplicates() -> None:
    assert spread(10, 3).tolist() == [0, 4, 9]
    assert spread(3, 128).tolist() == [0, 1, 2]
    assert spread(1, 8).tolist() == [0]
    assert spread(0, 8).size == 0
    assert len(spread(1797, 128)) == 128


def test_options_of_an_export(run: Any) -> None:
    assert export_options(run, run.data) == {
        "steps": STEPS, "dt_us": 1000.0, "readout": "count", "max_count": 1, "name": "memory-dense",
    }  # fmt: skip
    assert export_options(run, Data(by="count"))["dt_us"] is None
    assert export_options(run, Data(window_us=None))["dt_us"] is None
    assert export_options(run, Data(binary=False))["max_count"] == 255
    coded = export_options(run, Data(T=2, encoding=Latency(4), full_count=3))
    assert (coded["steps"], coded["dt_us"], coded["max_count"]) == (8, 1000.0, 1)
    assert export_options(run, Data(T=1, encoding=Direct(8)))["max_count"] == 255


def test_the_descriptor_says_what_the_host_sends(run: Any, target: Any, tmp_path: Path) -> None:
    def parts(name: str) -> tuple[str, ...]:
        return tuple(deploy(run, target, tmp_path / name)[1].manifest.host_parts)

    assert parts("frames.snnx")[0] == BINNING
    run.data = Data(T=1, encoding=Latency(STEPS))
    assert parts("code.snnx") == (
        f"send each sample's values in the code snnkit.encoding.Latency(T={STEPS}, silence=0.0)", *HOST_PARTS,
    )  # fmt: skip


def test_compare_reads_validation_samples_only(run: Any, target: Any) -> None:
    (fit,), said = compare_run(run, [target])
    assert fit.fits
    assert set(run.data.calls) == {"prepare_data", "setup", "validation"}
    assert said.startswith("validation samples of")
    run.data.calls.clear()
    (assumed,), said = compare_run(run, [target], assumed_rate=0.25)
    assert run.data.calls == []
    assert said == "assumed input: random spikes, 0.25 per line and step"
    assert (assumed.cores, assumed.memory, assumed.worst) == (fit.cores, fit.memory, fit.worst)


def test_compare_without_data(run: Any, target: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise DataError("nothing at /data", fix="--data.root PLACE")

    monkeypatch.setattr(run.data, "prepare_data", gone)
    (fit,), said = compare_run(run, [target])
    assert fit.fits
    assert "nothing at /data" in said
    assert "0.1 per line" in said


def test_deploy_uses_validation_samples_only(run: Any, target: Any, tmp_path: Path) -> None:
    """The test set is read when results are reported, not to calibrate."""
    stages: list[str] = []
    path = tmp_path / "net.snnx"
    chip, made = deploy(run, target, path, progress=lambda stage, done, of: stages.append(stage))
    assert set(run.data.calls) == {"prepare_data", "setup", "validation"}
    assert set(stages) == {"calibrate", "map", "vectors"}
    provenance = made.manifest.provenance
    assert provenance["run"] == run.digest
    assert provenance["data"]["digest"] == "d" * 64
    assert provenance["bias"] == "gated"
    assert provenance["quantisation"] == chip.report
    assert made.manifest.dt_us == 1000.0
    assert made.manifest.steps == STEPS
    vectors = descriptor.load(path).vectors
    assert any(a.shape[1] == module.VECTOR_SAMPLES for k, a in vectors.items() if k != "readout")


@pytest.mark.parametrize("bias", ["gated", "register"])
def test_validate_run_writes_the_reports(bias: Any, run: Any, target: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.snnx"
    deploy(run, target, path, bias=bias)
    before = {p.name: p.read_bytes() for p in path.iterdir()}
    result = validate_run(run, path, limit=7)
    assert result["samples"] == 7
    assert result["differing_spikes"]["graph-emulator"]["total"] == 0
    assert result["split"] == "test"
    assert result["run"] == run.digest
    assert result["references"]
    assert result["energy"]
    assert {"report.json", "report.md", "report.html"} <= {p.name for p in path.iterdir()}
    assert {name: (path / name).read_bytes() for name in before} == before
    assert set(run.data.calls) >= {"test"}


def test_a_descriptor_of_another_run_is_refused(run: Any, target: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.snnx"
    deploy(run, target, path)
    run.digest = "b" * 64
    with pytest.raises(UsageError, match="exported from another run") as caught:
        validate_run(run, path)
    assert caught.value.fix == f"snnkit export runs/x --target loihi --out {path}"
    assert not (path / "report.json").exists()


def test_a_failed_export_leaves_the_old_descriptor(run: Any, target: Any, tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "net.snnx"
    deploy(run, target, path)
    before = {p.name: p.read_bytes() for p in path.iterdir()}

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("snnkit._io.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        deploy(run, target, path, bias="register")
    assert {p.name: p.read_bytes() for p in path.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["net.snnx"]


def test_batches_cover_the_split_in_order(run: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "BATCH", 8)
    parts = list(batches(run.data, "test"))
    assert [x.shape for x, _ in parts] == [(STEPS, 8, 12), (STEPS, 8, 12), (STEPS, 4, 12)]
    assert np.array_equal(np.concatenate([y for _, y in parts]), run.data.y)
    assert np.array_equal(np.concatenate([x for x, _ in parts], axis=1), run.data.x.transpose(1, 0, 2))
    assert [len(y) for _, y in batches(run.data, "test", limit=9)] == [8, 1]
