"""`precision: auto` and `memory_format: auto`: what they pick, that they say so, and that accuracies are float32."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from snnkit import nn as snn
from snnkit.quantization import quantize_weights
from snnkit.training import fit, precision
from snnkit.training.precision import Choice, choose, in_format

ALL = [(p, f) for p in ("32-true", "bf16-mixed") for f in ("channels_first", "channels_last")]
PLAIN = ("32-true", "channels_first")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No choices of earlier runs."""
    monkeypatch.setattr(precision, "folder", lambda: tmp_path / "probes")


class TimedAgain(BaseException):
    """What no probe takes for a fault of the network."""


def conv() -> torch.nn.Module:
    return snn.Sequential(snn.Conv2d(2, 4, 3), snn.BatchNorm(4), snn.LIF(), snn.Flatten(), snn.Linear(4 * 16, 3))


def pick(times: Any, p: str = "auto", f: str = "auto", net: Any = None, **options: Any) -> Choice:
    """The choice where steps take these seconds (in the order of `ALL`, or of what is open)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "_kept", lambda asked, *_: [times[o] for o in asked])
        return choose(p, f, "cpu", net or conv(), [(2, 6, 6)], 3, 4, **options)


def test_the_faster_one_by_far_is_taken() -> None:
    for values, expected in (
        ((4.0, 4.0, 3.0, 2.0), ("bf16-mixed", "channels_last")),
        ((4.0, 4.0, 2.0, 1.95), ("bf16-mixed", "channels_first")),
        ((1.1, 1.09, 1.0, 1.0), ("32-true", "channels_first")),
        ((4.0, 3.0, 2.9, 2.8), ("32-true", "channels_last")),
        ((1.0, 2.0, 3.0, 3.0), ("32-true", "channels_first")),
    ):
        found = pick(dict(zip(ALL, values)))
        assert found[:2] == expected
        for seconds in values:
            assert f"{seconds * 1e3:.1f} ms" in found.why
    times = dict(zip(ALL, (4.0, 3.0, 2.0, 1.0)))
    assert pick(times, "32-true")[:2] == ("32-true", "channels_last")
    assert pick(times, f="channels_first")[:2] == ("bf16-mixed", "channels_first")


def test_what_is_given_or_may_not_differ_is_not_timed() -> None:
    for p in ("32-true", "bf16-mixed", "16-mixed"):
        for f in ("channels_first", "channels_last"):
            assert pick({}, p, f) == (p, f, "")
    assert pick({}, processes=2) == (*PLAIN, "several processes train")
    assert pick({}, fixed="training for hardware") == (*PLAIN, "training for hardware")
    dense = snn.Sequential(snn.Flatten(), snn.Linear(72, 3))
    assert pick({}, "32-true", net=dense)[:2] == PLAIN
    only = {ALL[0]: 2.0, ALL[2]: 1.0}  # no layer has a second format
    assert pick(only, net=dense)[:2] == ("bf16-mixed", "channels_first")


def test_on_a_gpu_it_asks_the_hardware_and_times_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def measured(options: Any, *rest: Any) -> list[float]:
        asked.append((list(options), rest[-1]))
        return [2.0, 1.0]

    monkeypatch.setattr(precision, "measure", measured)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    given = conv(), [(2, 6, 6)], 3, 4
    for has in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True, has=has: has)
        name = "bf16-mixed" if has else "32-true"
        found = choose("auto", "auto", "cuda", *given)
        assert found[:2] == (name, "channels_last")
        assert found.why.startswith("the GPU computes in bfloat16; a training" if has else "the GPU has no bfloat16; a")
        assert asked.pop() == ([(name, "channels_first"), (name, "channels_last")], "cuda")
        assert choose("auto", "channels_first", "cuda", *given)[:2] == (name, "channels_first")
        assert choose("auto", "auto", "cuda", *given, processes=2)[:2] == (name, "channels_first")
        assert choose("auto", "auto", "cuda", *given, fixed="training for hardware")[:2] == PLAIN
        assert asked == []
    assert choose("16-mixed", "auto", "cuda", *given)[:2] == ("16-mixed", "channels_last")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.timeout(300)
def test_the_probe_on_a_gpu() -> None:
    before = torch.cuda.get_rng_state()
    found = choose("auto", "auto", "cuda", conv(), [(2, 6, 6)], 3, 4)
    assert found.why.count(" ms with ") == 2
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_the_probe_measures_all_changes_nothing_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = conv().eval()
    before, weights = torch.get_rng_state(), {k: v.clone() for k, v in net.state_dict().items()}
    with torch.inference_mode():
        found = choose("auto", "auto", "cpu", net, [(2, 6, 6)], 3, 4)
    assert found.why.count(" ms with ") == 4
    assert torch.equal(torch.get_rng_state(), before)
    assert not net.training
    for name, value in net.state_dict().items():
        assert torch.equal(value, weights[name])
    assert all(p.grad is None for p in net.parameters())

    def fail(*_: Any) -> Any:
        raise TimedAgain

    kept = precision.measure
    monkeypatch.setattr(precision, "measure", fail)
    assert choose("auto", "auto", "cpu", conv(), [(2, 6, 6)], 3, 4) == found
    with pytest.raises(TimedAgain):
        choose("auto", "auto", "cpu", conv(), [(2, 6, 6)], 5, 4)
    monkeypatch.setattr(precision, "measure", kept)
    (file,) = (tmp_path / "probes").iterdir()
    file.write_text("[1.0")
    assert choose("auto", "auto", "cpu", conv(), [(2, 6, 6)], 3, 4).why.count(" ms with ") == 4
    assert len(json.loads(file.read_text())) == 4


class Drawing(torch.nn.Module):
    """Draws from every source of random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = snn.Linear(72, 3)

    def forward(self, x: Tensor) -> Tensor:
        noise = random.random() + np.random.rand() + float(torch.rand(()))
        return self.layer(x.flatten(2)) + noise


def test_the_probe_leaves_all_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn() -> tuple[float, ...]:
        return random.random(), np.random.rand(), float(torch.rand(()))

    net = Drawing()
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    expected = drawn()
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    monkeypatch.setattr(precision, "ROUNDS", 1)
    assert " ms with " in choose("auto", "auto", "cpu", net, [(2, 6, 6)], 3, 4).why
    assert drawn() == expected


@pytest.mark.parametrize("fault", ["forward", "copy", "result"])
def test_a_network_that_the_probe_cannot_run_trains_in_float32(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Fragile(torch.nn.Module):
        def forward(self, x: Tensor) -> Any:
            if fault == "forward" and torch.is_autocast_enabled("cpu"):
                raise RuntimeError("no such operation in bfloat16\nand more")
            return (x, x) if fault == "result" else x

        def __deepcopy__(self, memo: Any) -> Any:
            if fault == "copy":
                raise RuntimeError("there is one of me")
            return Fragile()

    found = choose("auto", "auto", "cpu", Fragile(), [(2, 6, 6)], 3, 4)
    assert found[:2] == PLAIN
    told = {"forward": "no such operation in bfloat16", "copy": "there is one of me", "result": "AttributeError"}
    assert told[fault] in found.why
    precision.tell(found)
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "probes").exists()


def test_frames_in_a_format_have_the_same_values() -> None:
    x = torch.randn(3, 4, 2, 5, 6)
    last = in_format(x, "channels_last")
    assert isinstance(last, Tensor)
    assert torch.equal(last, x)
    assert last.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert in_format(x, "channels_first") is x
    flat = torch.randn(3, 4, 7)
    both = in_format((x, flat), "channels_last")
    assert torch.equal(both[0], x)
    assert both[0].stride() == last.stride()
    assert both[1] is flat


@pytest.mark.parametrize("quantised", [False, True])
def test_a_run_prints_keeps_and_resumes_its_choice(
    quantised: bool,
    tiny: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Training under bfloat16 with channels last, validation without; nothing of it where a chip's integers count."""
    formats: dict[bool, set[bool]] = {}
    low: dict[bool, set[bool]] = {}
    run = snn.Conv2d.forward

    def watch(self: snn.Conv2d, x: Tensor) -> Tensor:
        low.setdefault(self.training, set()).add(torch.is_autocast_enabled("cpu"))
        formats.setdefault(self.training, set()).add(x.stride(2) == 1)
        return run(self, x)

    tiny["model"]["net"] = {
        "class_path": "snnkit.models.ConvClassifier", "init_args": {"channels": [4], "stride": 2, "pool": 1}
    }  # fmt: skip
    tiny["model"].pop("ema")
    del tiny["model"]["memory_format"]
    tiny["trainer"] = {"accelerator": "cpu", "max_epochs": 1, "logger": False}
    if quantised:
        init = snn.Conv2d.__init__

        def quantise(self: snn.Conv2d, *args: Any, **options: Any) -> None:
            init(self, *args, **options)
            quantize_weights(self, 4)

        monkeypatch.setattr(snn.Conv2d, "__init__", quantise)
    monkeypatch.setattr(snn.Conv2d, "forward", watch)
    monkeypatch.setattr(precision, "measure", lambda options, *_: [4.0, 3.0, 2.0, 1.0])
    fit(tiny, tmp_path / "run", progress=False)
    chosen = PLAIN if quantised else ("bf16-mixed", "channels_last")
    assert f"precision auto: {chosen[0]}, {chosen[1]}" in capsys.readouterr().err
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["precision"], record["memory_format"]) == chosen
    assert ("hardware" if quantised else "bf16-mixed channels_last") in record["precision_chosen"]
    asked = record["settings"]
    assert (asked["trainer"]["precision"], asked["model"]["memory_format"]) == ("auto", "auto")
    assert low == {True: {not quantised}, False: {False}}
    assert formats == {True: {not quantised}, False: {False}}

    def fail(*_: Any) -> Any:
        raise TimedAgain

    monkeypatch.setattr(precision, "measure", fail)
    (tmp_path / "run" / "metrics.json").unlink()
    fit(tiny, tmp_path / "run", progress=False, resume=True)
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == record


def test_shipped_recipes_keep_the_precision_of_their_accuracies() -> None:
    from snnkit.training import recipes

    for name in recipes.names():
        recipe = recipes.load(name)
        assert (recipe["trainer"]["precision"], recipe["model"]["memory_format"]) == PLAIN, name
