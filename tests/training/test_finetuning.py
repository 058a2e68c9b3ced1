"""Fine-tuning: what is taken over from a run or a file, what is made anew and why, and training on from there."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from snnkit import nn as snn
from snnkit.cli.main import main
from snnkit.data import EVENT_DTYPE
from snnkit.errors import CheckpointError, ParameterError, ResumeError, UsageError
from snnkit.training import Start, Weights, finetune, fit, load_run, read_weights
from snnkit.training.before import read_start
from snnkit.training.checkpoint import load_tensors
from snnkit.training.pixels import resampled
from snnkit.training.transfer import scale_decays
from snnkit.training.weights import pair

Bars = Callable[[int], Path]
ONE = {"trainer.max_epochs": 1}


def changes(bars: Path, cache: Path, **more: Any) -> dict[str, Any]:
    return {"data": "EventFolder", "data.root": str(bars), "data.cache_dir": str(cache), **ONE, **more}


def states(out: Path) -> dict[str, str]:
    taken = read_start(out)
    assert taken is not None
    return {row["name"]: row["state"] for row in taken["tensors"]}


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_run(path).model.state_dict()


# ------------------------------------------------------------------------------------------------- classes and sensors
def test_digits_to_gestures(conv_run: Path, bars: Bars, data_cache: Path, tmp_path: Path) -> None:
    """Another class of data, other classes, a smaller sensor, more bins: convolutions are kept, the head is new."""
    run = load_run(conv_run)
    done = finetune(run, tmp_path / "tuned", changes(bars(20), data_cache, **{"data.T": 6}), False)
    settings = done.config
    assert settings["data"]["class_path"] == "snnkit.data.EventFolder"
    assert (settings["data"]["init_args"]["T"], settings["data"]["init_args"]["batch_size"]) == (6, 16)
    net = settings["model"]["net"]["init_args"]
    assert (net["input_shape"], net["num_classes"], net["channels"]) == ([2, 20, 20], 3, [4, 6])
    found = states(done.path)
    assert found["head.weight"] == "remade"
    assert {s for n, s in found.items() if n != "head.weight"} == {"kept"}
    taken = read_start(done.path)
    assert taken is not None
    assert taken["validation"] is None
    assert "head is new" in taken["why"]
    said = " | ".join(taken["said"])
    assert "10 → 3 classes (0, 1, 2, 3, … → down, left, right)" in said
    assert "34×34 → 20×20" in said
    assert "4 → 6 steps" in said
    assert done.metrics["start"]["validation"] is None
    assert done.metrics["test"]["samples"] == 12
    assert json.loads((done.path / "run.json").read_text())["start"] == {
        "weights": run.digest, "run": run.name, "freeze": []
    }  # fmt: skip


def test_the_same_classes_keep_the_head_and_are_measured_before_the_first_step(conv_run: Path, tmp_path: Path) -> None:
    """The accuracy before is that of the start's weights, and a learning rate of nearly nothing keeps it."""
    run = load_run(conv_run)
    before = run.evaluate("val").accuracy
    still = {**ONE, "model.optimizer.lr": 1e-12, "model.ema": None, "model.select": "val_accuracy"}
    done = finetune(run, tmp_path / "tuned", still, False)
    taken = read_start(done.path)
    assert taken is not None
    assert taken["validation"]["accuracy"] == before
    assert done.metrics["start"] == {"validation": taken["validation"], "why": ""}
    assert set(states(done.path).values()) == {"kept"}
    own, theirs = weights(done.path), run.model.state_dict()
    assert all(torch.allclose(own[n], t, atol=1e-6) for n, t in theirs.items() if n.endswith("conv1.weight"))


def test_head(conv_run: Path, bars: Bars, data_cache: Path, tmp_path: Path) -> None:
    run = load_run(conv_run)
    finetune(run, tmp_path / "new", ONE, False, head="new")
    assert states(tmp_path / "new")["head.weight"] == "remade"
    with pytest.raises(UsageError, match=r"head cannot be kept: head.weight"):
        finetune(run, tmp_path / "no", changes(bars(20), data_cache), False, head="keep")


@pytest.mark.parametrize(("sensor", "state"), [("remake", "remade"), ("resample", "resampled"), ("grid", "kept")])
def test_a_dense_layer_on_pixels_follows_the_sensor(
    finished: Path, bars: Bars, data_cache: Path, tmp_path: Path, sensor: Any, state: str
) -> None:
    run = load_run(finished)
    slowest = {"model.optimizer.lr": 1e-12, "model.ema": None}
    done = finetune(run, tmp_path / "tuned", changes(bars(20), data_cache, **slowest), False, sensor=sensor)
    assert states(done.path)["linear1.weight"] == state
    shape = done.config["model"]["net"]["init_args"]["input_shape"]
    assert shape == ([2, 34, 34] if sensor == "grid" else [2, 20, 20])
    old, new = run.model.state_dict()["linear1.weight"], weights(done.path)["linear1.weight"]
    if sensor == "resample":
        torch.testing.assert_close(new, resampled(old, (2, 34, 34), (2, 20, 20)))
    elif sensor == "grid":
        torch.testing.assert_close(new, old)
    taken = read_start(done.path)
    assert taken is not None
    assert any("34×34 → 20×20" in text for text in taken["said"])


def test_resampled_weights_answer_a_uniform_picture_as_before() -> None:
    w = torch.randn(5, 3 * 8 * 6)
    new = resampled(w, (3, 8, 6), (3, 4, 4))
    assert new.shape == (5, 3 * 4 * 4)
    torch.testing.assert_close(resampled(w, (3, 8, 6), (3, 8, 6)), w)
    flat = torch.ones(5, 3, 8, 6) * torch.randn(5, 3, 1, 1)
    uniform = resampled(flat.flatten(1), (3, 8, 6), (3, 16, 9))
    torch.testing.assert_close(uniform.sum(1), flat.flatten(1).sum(1))


# ------------------------------------------------------------------------------------------------------- steps, decays
def test_decays_follow_the_length_of_a_step(conv_run: Path, tmp_path: Path) -> None:
    """Twice the bins in the same window: a decay's square root, and the read-out's 1 stays."""
    run = load_run(conv_run)
    done = finetune(run, tmp_path / "tuned", {**ONE, "data.T": 8}, False, rescale_decays=True)
    taken = read_start(done.path)
    assert taken is not None
    assert taken["decay_power"] == 0.5
    own, theirs = weights(done.path), run.model.state_dict()
    torch.testing.assert_close(own["lif1.decay_fixed"], theirs["lif1.decay_fixed"].sqrt())
    assert float(own["readout.decay_fixed"]) == 1.0
    assert json.loads((done.path / "run.json").read_text())["start"]["rescale_decays"] is True


def test_learned_decays_are_scaled_too() -> None:
    net = torch.nn.Sequential(snn.LIF(decay=0.81, learn_decay=True), snn.CubaLIF(decay_syn=0.25, decay_mem=0.0))
    scale_decays(net, 0.5)
    assert float(net[0].decay.detach()) == pytest.approx(0.9)
    assert [float(net[1].decay_syn), float(net[1].decay_mem)] == pytest.approx([0.5, 0.0])


def test_an_unknown_length_of_a_step(conv_run: Path, bars: Bars, data_cache: Path, tmp_path: Path) -> None:
    run = load_run(conv_run)
    with pytest.raises(UsageError, match="new data's length of a step is not known"):
        finetune(run, tmp_path / "no", changes(bars(20), data_cache), False, rescale_decays=True)
    done = finetune(run, tmp_path / "x", changes(bars(20), data_cache), False, rescale_decays=True, step_ratio=2.0)
    assert float(weights(done.path)["lif1.decay_fixed"]) == pytest.approx(0.36)


def test_a_decay_that_is_set_is_not_taken_from_the_start(conv_run: Path, tmp_path: Path) -> None:
    done = finetune(load_run(conv_run), tmp_path / "tuned", {**ONE, "model.net.decay": 0.9}, False)
    assert float(weights(done.path)["lif1.decay_fixed"]) == pytest.approx(0.9)
    assert states(done.path)["lif1.decay_fixed"] == "setting"


# ----------------------------------------------------------------------------------------------------- frozen and slow
def test_frozen_norms_keep_their_statistics_and_slow_layers_their_pace(
    conv_run: Path, bars: Bars, data_cache: Path, tmp_path: Path
) -> None:
    run = load_run(conv_run)
    options = changes(bars(20), data_cache, **{"trainer.max_epochs": 2, "model.optimizer.lr": 0.02, "model.ema": None})
    done = finetune(run, tmp_path / "t", options, False, freeze=["*1"], slow={"conv*": 0.01, "norm2": 0.5})
    last = {n.removeprefix("net."): t for n, t in load_tensors(done.path / "last.ckpt")["state_dict"].items()}
    theirs = run.model.state_dict()
    for name in theirs:
        if name.startswith(("conv1.", "norm1.")):
            assert torch.equal(last[name], theirs[name]), name
    assert not torch.equal(last["norm2.running_mean"], theirs["norm2.running_mean"])
    moved = float((last["conv2.weight"] - theirs["conv2.weight"]).abs().max())
    assert 0 < moved < 0.01
    groups = load_tensors(done.path / "last.ckpt")["optimizer_states"][0]["param_groups"]
    assert [g["initial_lr"] for g in groups] == pytest.approx([0.02, 0.01, 0.0002])
    assert json.loads((done.path / "run.json").read_text())["start"]["slow"] == {"conv*": 0.01, "norm2": 0.5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slow": {"convv1": 0.1}}, "did you mean 'conv1'"),
        ({"slow": {"conv1": 0.0}}, "freeze"),
        ({"slow": {"flatten": 0.1}}, "nothing to learn"),
        ({"freeze": ["*"]}, "nothing is left to train"),
        ({"head": "fresh"}, "head is 'fresh'"),
        ({"sensor": "resampled"}, "did you mean 'resample'"),
        ({"step_ratio": 2.0}, "step_ratio without rescale_decays"),
        ({"rescale_decays": True, "step_ratio": -1.0}, "step_ratio is -1"),
        ({"least": 2.0}, "least is 2"),
    ],
)
def test_bad_options(conv_run: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        finetune(load_run(conv_run), tmp_path / "no", ONE, False, **options)


def test_an_interrupted_fine_tuning_goes_on_to_the_same_end(
    conv_run: Path, bars: Bars, data_cache: Path, tmp_path: Path
) -> None:
    """Bit for bit, and only with the same options."""
    run = load_run(conv_run)
    more = changes(bars(20), data_cache, **{"trainer.max_epochs": 3})
    options: dict[str, Any] = {"freeze": ["conv1"], "slow": {"conv2": 0.1}}
    whole = finetune(run, tmp_path / "whole", more, False, **options)

    def stop(event: dict[str, Any]) -> None:
        if event.get("epoch") == 1 and event.get("batch") == 2:
            raise MemoryError

    with pytest.raises(MemoryError):
        finetune(run, tmp_path / "cut", more, stop, **options)
    with pytest.raises(ResumeError, match=r"start slow.conv2: 0.1 → 0.2"):
        finetune(run, tmp_path / "cut", more, False, resume=True, freeze=["conv1"], slow={"conv2": 0.2})
    finetune(run, tmp_path / "cut", more, False, resume=True, **options)
    for name in ("history.csv", "metrics.json", "model.ckpt", "start.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (whole.path / name).read_bytes(), name


# --------------------------------------------------------------------------------------------------- files of weights
def plain(path: Path, conv_run: Path, prefix: str = "", drop: tuple[str, ...] = ()) -> Path:
    state = {prefix + n: t.clone() for n, t in weights(conv_run).items() if n not in drop}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.fixture
def recipe(conv_run: Path) -> dict[str, Any]:
    settings: dict[str, Any] = load_run(conv_run).config
    return settings


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.net."])
def test_plain_state_dicts(conv_run: Path, recipe: dict[str, Any], tmp_path: Path, name: str, prefix: str) -> None:
    given = read_weights(plain(tmp_path / name, conv_run, prefix))
    assert len(given.state) == len(weights(conv_run))
    if prefix != "model.net.":
        return
    slow = {**ONE, "model.optimizer.lr": 1e-12, "model.ema": None}
    done = finetune(given, tmp_path / "tuned", slow, False, recipe=recipe)
    assert set(states(done.path).values()) == {"kept"}
    assert done.metrics["start"]["validation"]["accuracy"] == load_run(conv_run).evaluate("val").accuracy
    assert done.name == f"{name} (fine-tuned)"


def test_checkpoints_of_training_are_read(conv_run: Path, tmp_path: Path) -> None:
    """Of a last.ckpt with an average, the averaged weights; dictionaries inside a file are found."""
    given = read_weights(conv_run / "last.ckpt").state
    assert set(given) == set(weights(conv_run))
    torch.save({"epoch": 3, "model": weights(conv_run)}, tmp_path / "wrapped.pt")
    assert set(read_weights(tmp_path / "wrapped.pt").state) == set(given)


def test_renamed_and_ordered() -> None:
    own = {"conv1.weight": torch.zeros(4, 2), "norm1.weight": torch.zeros(4), "head.weight": torch.zeros(3, 4)}
    given = ("features.0.weight", "features.1.weight", "fc.weight")
    theirs = dict(zip(given, own.values(), strict=True))
    assert pair(own, theirs, {}, "name") == {}
    renamed = {"features.0": "conv1", "fc": "head"}
    assert pair(own, theirs, renamed, "name") == {"conv1.weight": "features.0.weight", "head.weight": "fc.weight"}
    assert pair(own, theirs, {}, "order") == {
        "conv1.weight": "features.0.weight", "norm1.weight": "features.1.weight", "head.weight": "fc.weight"
    }  # fmt: skip
    with pytest.raises(ParameterError, match="did you mean 'features.0'"):
        pair(own, theirs, {"feature.0": "conv1"}, "name")


def test_little_that_fits_is_refused(conv_run: Path, recipe: dict[str, Any], tmp_path: Path) -> None:
    state = {f"other{k}.weight": torch.zeros(3) for k in range(4)} | {"conv1.weight": weights(conv_run)["conv1.weight"]}
    given = Weights("other.pt", state)
    with pytest.raises(CheckpointError, match=r"fits 1 of the network's 6 learned tensors") as caught:
        finetune(given, tmp_path / "no", ONE, False, recipe=recipe)
    assert "conv2.weight: missing" in str(caught.value)
    assert "--least 0" in str(caught.value)
    assert not (tmp_path / "no").exists()
    done = finetune(given, tmp_path / "told", ONE, False, recipe=recipe, least=0.0)
    assert states(done.path)["conv1.weight"] == "kept"
    assert states(done.path)["other0.weight"] == "unexpected"
    with pytest.raises(CheckpointError, match="fits 0 of"):
        finetune(Weights("x", {"a": torch.zeros(1)}), tmp_path / "no", ONE, False, recipe=recipe, least=0.0)


class Evil:
    def __reduce__(self) -> Any:
        return print, ("run",)


def test_bad_files(tmp_path: Path, conv_run: Path) -> None:
    torch.save({"a": Evil()}, tmp_path / "evil.pt")
    (tmp_path / "cut.pt").write_bytes(plain(tmp_path / "w.pt", conv_run).read_bytes()[:500])
    (tmp_path / "cut.safetensors").write_bytes(b"\xff" * 20)
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"a": 3}, tmp_path / "numbers.pt")
    torch.save({"a": torch.tensor([1.0, float("nan")])}, tmp_path / "nan.pt")
    for name, message in (
        ("evil.pt", "would run code"), ("cut.pt", "damaged"), ("cut.safetensors", "damaged"), ("list.pt", "no state"),
        ("numbers.pt", "no tensor"), ("nan.pt", "NaN"), ("none.pt", "does not exist"),
        ("none.safetensors", "does not exist"),
    ):  # fmt: skip
        with pytest.raises(CheckpointError, match=message):
            read_weights(tmp_path / name)
    with pytest.raises(ParameterError, match="nothing to start from"):
        Start(None)


def test_a_file_needs_a_recipe_and_a_run_none(conv_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--recipe"):
        finetune(Weights("w.pt", {"a": torch.zeros(1)}), tmp_path / "no", ONE, False)
    with pytest.raises(UsageError, match="a recipe beside a run"):
        finetune(load_run(conv_run), tmp_path / "no", ONE, False, recipe="nmnist/dense")


# ------------------------------------------------------------------------------------------------------------- command
def test_command(
    conv_run: Path, bars: Bars, data_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", "EventFolder", "--data.root", str(bars(20)), "--data.cache_dir", str(data_cache)]
    words = ["finetune", str(conv_run), *data, "--trainer.max_epochs", "1", "--no-progress"]
    assert main([*words, "--out", str(tmp_path / "a"), "--slow", "conv*=0.1"]) == 0
    text = capsys.readouterr().out
    assert "head.weight" in text
    assert "note: the head (head) is made anew: 10 → 3 classes" in text
    assert "before      the head is new" in text
    assert "after" in text
    assert (tmp_path / "a" / "history.png").stat().st_size > 1000
    again = ["finetune", str(tmp_path / "a" / "last.ckpt"), "--trainer.max_epochs", "1", "--out", str(tmp_path / "b")]
    assert main([*again, "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["transfer"]["head"] == "kept"
    assert 0 <= body["start"]["validation"]["accuracy"] <= 1
    assert main(["finetune", str(tmp_path / "b"), "--out", str(tmp_path / "c"), "--slow", "conv*"]) == 2
    assert "no NAME=VALUE" in capsys.readouterr().err
    assert main(["finetune", str(tmp_path / "b"), "--out", str(tmp_path / "c"), "--slow", "conv*=x"]) == 2
    assert main(["finetune", str(tmp_path / "b"), "--out", str(tmp_path / "c"), "--data", "EventFoldr"]) == 2
    assert "did you mean 'EventFolder'" in capsys.readouterr().err


def test_command_with_a_file_and_a_recipe(conv_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = plain(tmp_path / "w.safetensors", conv_run, "net.")
    words = ["finetune", str(file), "--recipe", str(conv_run / "recipe.yaml"), "--out", str(tmp_path / "out"), "--json"]
    assert main([*words, "--trainer.max_epochs", "1"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["transfer"]["head"] == "kept"
    assert main(["finetune", str(file), "--out", str(tmp_path / "no")]) == 2
    assert "--recipe" in capsys.readouterr().err


def test_classes_by_name_in_training(tiny: dict[str, Any], tmp_path: Path) -> None:
    """`--data` and `--model.net` take the name of a class alone, whatever the order of the options."""
    changed = {"model.net.channels": [3], "model.net": "ConvClassifier", **ONE}
    run = fit(tiny, tmp_path / "run", changed, False)
    assert run.config["model"]["net"]["class_path"] == "snnkit.models.ConvClassifier"
    assert run.config["model"]["net"]["init_args"]["channels"] == [3]


# ------------------------------------------------------------------------------------------------ N-MNIST to gestures
def test_the_documented_road_from_digits_to_gestures(
    bars: Bars, data_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands in the head of recipes/nmnist/to_gesture.yaml, on an N-MNIST folder of few recordings and on
    recordings of 128×128 pixels in one folder per gesture: every weight but the head's is taken along."""
    from snnkit.data import EventStream, write_atis

    g = np.random.default_rng(0)
    for part, each in (("Train", 4), ("Test", 2)):
        for digit in range(10):
            folder = tmp_path / "nmnist" / part / str(digit)
            folder.mkdir(parents=True)
            for k in range(each):
                events = np.zeros(60, EVENT_DTYPE)
                events["t"] = np.sort(g.integers(0, 300_000, 60))
                events["x"], events["y"] = g.integers(3 * digit, 3 * digit + 5, 60), g.integers(0, 34, 60)
                events["p"] = g.integers(0, 2, 60)
                write_atis(folder / f"{k}.bin", EventStream(events, (34, 34)))
    small = ["--model.net.channels", "4", "--model.net.hidden", "8", "--trainer.max_epochs", "1"]
    cache = ["--data.cache_dir", str(data_cache), "--trainer.logger", "false", "--json"]
    first = ["train", "nmnist/to_gesture", "--data.root", str(tmp_path / "nmnist"), "--out", str(tmp_path / "digits")]
    assert main([*first, *small, *cache]) == 0
    capsys.readouterr()
    then = ["finetune", str(tmp_path / "digits"), "--data", "EventFolder", "--data.root", str(bars(128))]
    slow = ["--data.T", "20", "--slow", "conv*=0.1", "--slow", "norm*=0.1", "--out", str(tmp_path / "gestures")]
    assert main([*then, *slow, *cache]) == 0
    body = json.loads(capsys.readouterr().out)
    assert {r["name"] for r in body["transfer"]["tensors"] if r["state"] != "kept"} == {"head.weight", "head.bias"}
    assert body["test"]["samples"] == 12
    run = load_run(tmp_path / "gestures")
    assert run.config["data"]["init_args"]["grid"] == 32
    assert run.config["model"]["net"]["init_args"]["input_shape"] == [2, 32, 32]
    said = " ".join(body["transfer"]["said"])
    assert "34×34 → 128×128 (a step 2×32×32 → 2×32×32): all weights but the head's are kept" in said
    assert "10 → 20 steps" in said


def test_ctrl_c_says_how_to_go_on(conv_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(event: dict[str, Any]) -> None:
        if event.get("epoch") == 1 and event.get("batch") == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        finetune(load_run(conv_run), tmp_path / "cut", {"trainer.max_epochs": 2}, interrupt)
    assert f"snnkit finetune …, the same options, --resume --out {tmp_path / 'cut'}" in capsys.readouterr().err
