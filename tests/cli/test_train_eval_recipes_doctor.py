"""The commands around training: exit codes, JSON, errors without a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from snnkit.cli.main import main

RECIPE = {
    "seed_everything": 1,
    "model": {
        "memory_format": "channels_first",
        "net": {"class_path": "snnkit.models.DenseClassifier", "init_args": {"hidden": [8]}},
        "optimizer": {"lr": 0.01, "warmup_epochs": 0},
    },
    "data": {"class_path": "snnkit.data.SaccadeDigits", "init_args": {"T": 3, "batch_size": 16, "subset": 60}},
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "logger": True, "precision": "32-true"},
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    content = json.loads(json.dumps(RECIPE))
    content["data"]["init_args"]["cache_dir"] = str(cache)
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def trained(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "small"
    assert main(["train", str(recipe), "--out", str(out), "--no-progress"]) == 0
    return out


def test_train_leaves_a_complete_run(trained: Path) -> None:
    names = {p.name for p in trained.iterdir()}
    assert names == {
        "run.json",
        "recipe.yaml",
        "model.ckpt",
        "last.ckpt",
        "history.csv",
        "timing.csv",
        "metrics.json",
        "tensorboard",
    }
    assert any((trained / "tensorboard").iterdir())
    record = json.loads((trained / "run.json").read_text())
    assert record["seed"] == 1
    assert set(record["versions"]) >= {"snnkit", "torch", "numba", "python"}
    assert record["precision"] == "32-true"
    assert record["threads"] >= 1
    assert len(record["data"]["digest"]) == 64


def test_inspect_counts_a_run_s_operations(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(trained), "--ops", "--samples", "5", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    first = next(layer for layer in body["layers"] if layer["dense_macs"])
    assert (body["samples"], body["steps"]) == (5, 3.0)
    assert first["dense_macs"] == 3 * 2 * 34 * 34 * 8
    assert 0 < first["synaptic_operations"] < first["dense_macs"]
    assert body["total"]["parameters"] == sum(layer["parameters"] for layer in body["layers"])
    assert main(["inspect", str(trained), "--ops", "--samples", "5"]) == 0
    text = capsys.readouterr().out
    assert "synaptic" in text
    assert "Left out" in text
    assert main(["inspect", str(trained), "--ops", "--samples", "0"]) == 2
    assert main(["inspect", __file__, "--ops"]) == 2


def test_the_saved_recipe_gives_the_same_run(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(trained / "recipe.yaml"), "--out", str(tmp_path / "again"), "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert (tmp_path / "again" / "metrics.json").read_bytes() == (trained / "metrics.json").read_bytes()
    assert body["weights"] == json.loads((trained / "metrics.json").read_text())["weights"]


def test_overrides_and_resume_without_recipe(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    words = ["train", "--out", str(out), "--no-progress", "--model.net.hidden", "[6]", str(recipe)]
    assert main([*words, "--trainer.max_epochs=1"]) == 0
    assert json.loads((out / "run.json").read_text())["settings"]["model"]["net"]["init_args"]["hidden"] == [6]
    assert main(["train", "--resume", "--out", str(out), "--no-progress"]) == 0
    capsys.readouterr()
    assert main(["train", "--resume", "--out", str(out), "--trainer.max_epochs", "3"]) == 2
    assert "trainer.max_epochs: 1 → 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train"], "no recipe given"),
        (["train", "nmnist/lohi"], "did you mean 'nmnist/loihi'"),
        (["train", "nmnist/loihi", "--resume"], "--resume needs --out"),
        (["train", "nmnist/loihi"], "--data.root VALUE"),
        (["train", "nmnist/loihi", "--model.net.chanels", "[1]", "--data.root", "x"], "did you mean 'channels'"),
        (["train", "saccade_digits/conv", "--trainer.max_epoch", "3"], "did you mean 'max_epochs'"),
        (["train", "saccade_digits/conv", "--trainer.max_epochs", "many"], "must be a whole number"),
        (["train", "saccade_digits/conv", "--modle.ema", "0"], "did you mean 'model'"),
        (["train", "saccade_digits/conv", "--model.net.class_path", "os.system"], "--allow-code os"),
        (["train", "saccade_digits/conv", "--model.ema"], "--model.ema has no value"),
        (["train", "saccade_digits/conv", "extra"], "unexpected argument 'extra'"),
        (["train", "saccade_digits/conv", "--threads", "0"], "--threads is 0"),
        (["eval", "nowhere"], "no run folder"),
        (["finetune", "nowhere"], "no run folder"),
        (["finetune"], "no run given"),
        (["recipes", "show"], "show which recipe"),
        (["recipes", "shw"], "did you mean 'show'"),
        (["recipes", "show", "x"], "there is no recipe"),
    ],
)
def test_wrong_use(words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNNKIT_CACHE", str(tmp_path / "cache"))
    changes = ["--data.subset", "60"] if words[:2] == ["train", "saccade_digits/conv"] else []
    assert main([*words, *changes]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


def test_eval(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["eval", str(trained), "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    metrics = json.loads((trained / "metrics.json").read_text())
    assert {k: body[k] for k in metrics["test"]} == metrics["test"]
    assert body["same_data"] is True
    assert body["readout"] == "last"
    assert main(["eval", str(trained), "--split", "val"]) == 0
    text = capsys.readouterr().out
    assert "val accuracy" in text
    assert "confusion" in text


def test_finetune(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "tuned"
    words = ["finetune", str(trained), "--out", str(out), "--freeze", "linear*", "--freeze", "norm*"]
    assert main([*words, "--trainer.max_epochs", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 1
    record = json.loads((out / "run.json").read_text())
    assert record["start"]["freeze"] == ["linear*", "norm*"]
    assert main(["finetune", str(trained), "--freeze", "conv1", "--out", str(tmp_path / "no")]) == 2
    assert "no layer matches 'conv1'" in capsys.readouterr().err


def test_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["recipes", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"nmnist/loihi", "saccade_digits/conv"} <= set(found)
    assert all(found.values())
    assert main(["recipes", "show", "nmnist/loihi"]) == 0
    text = capsys.readouterr().out
    assert main(["recipes", "copy", "nmnist/loihi"]) == 0
    assert (tmp_path / "loihi.yaml").read_text() == text
    assert main(["recipes", "copy", "nmnist/loihi"]) == 2
    assert main(["recipes", "copy", "nmnist/loihi", "mine.yaml"]) == 0


def test_doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert main(["doctor", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["ok"] is True
    found = {c["name"]: c for c in body["checks"]}
    assert {"torch", "numba compiles", "cache folder", "threads", "device", "recipes"} <= set(found)
    assert all(c["remedy"] for c in body["checks"] if c["ok"] is False)
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("SNNKIT_CACHE", str(blocked / "cache"))
    assert main(["doctor"]) == 1
    assert "set SNNKIT_CACHE" in capsys.readouterr().out
