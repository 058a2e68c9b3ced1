"""The LightningModule: schedule, averaging, freezing, lengths, shapes that do not fit."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from snnkit._compat import prepare_torchvision

prepare_torchvision()

import lightning as L  # noqa: E402

from snnkit import nn as snn  # noqa: E402
from snnkit.data import Batch, collate  # noqa: E402
from snnkit.errors import CodeNotAllowedError, ParameterError, RecipeError, ShapeError, UsageError  # noqa: E402
from snnkit.models import ConvClassifier, DenseClassifier  # noqa: E402
from snnkit.training import OptimizerSettings, SpikingClassifier, finetune, fit, load_run  # noqa: E402
from snnkit.training.checkpoint import load_tensors  # noqa: E402
from snnkit.training.optimization import cosine_with_warmup  # noqa: E402


def network() -> torch.nn.Sequential:
    return torch.nn.Sequential(
        snn.Linear(5, 8), snn.BatchNorm(8), snn.LIF(), snn.Dropout(0.2), snn.Linear(8, 3), snn.LI()
    )


def batches(lengths: bool = False) -> list[Batch]:
    g = torch.Generator().manual_seed(0)
    samples = []
    for i in range(8):
        steps = 3 + i % 3 if lengths else 4
        samples.append((torch.rand(steps, 5, generator=g).numpy() * 3, i % 3))
    return [collate(samples[:4]), collate(samples[4:])]


def trained(module: SpikingClassifier, data: list[Batch], epochs: int = 2, folder: Path | None = None) -> None:
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )
    loader: Any = DataLoader(data, batch_size=None)  # type: ignore[arg-type]
    trainer.fit(module, loader, loader)


def test_schedule() -> None:
    factors = [cosine_with_warmup(s, 4, 20) for s in range(21)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4] == 1.0
    assert factors[12] == pytest.approx(0.5)
    assert factors[20] == pytest.approx(0.0)
    assert all(a >= b for a, b in pairwise(factors[4:]))


def test_average_is_what_is_evaluated_and_follows_the_formula() -> None:
    torch.manual_seed(0)
    module = SpikingClassifier(network(), ema=0.5, optimizer=OptimizerSettings(lr=0.05, warmup_epochs=0))
    seen = [{k: v.clone() for k, v in module.net.state_dict().items()}]
    expected = seen[0]

    class Follow(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
            nonlocal expected
            n = trainer.global_step
            decay = min(0.5, (1 + n) / (10 + n))
            now = pl_module.net.state_dict()
            expected = {
                k: v.lerp(now[k], 1 - decay) if v.dtype.is_floating_point else now[k].clone()
                for k, v in expected.items()
            }

    trainer = L.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Follow()],
    )
    trainer.fit(module, DataLoader(batches(), batch_size=None))  # type: ignore[arg-type]
    assert module.average is not None
    assert module.evaluated is module.average
    for name, value in module.average.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    moved = torch.equal(module.net.state_dict()["0.weight"], module.average.state_dict()["0.weight"])
    assert not moved


def test_frozen_layers_do_not_change() -> None:
    module = SpikingClassifier(network())
    module.freeze_layers(["0", "1"])
    before = {k: v.clone() for k, v in module.net.state_dict().items()}
    trained(module, batches())
    after = module.net.state_dict()
    moved = {name for name, value in before.items() if not torch.equal(after[name], value)}
    assert moved == {"4.weight", "4.bias"}
    with pytest.raises(ParameterError, match="no layer matches 'conv9'"):
        module.freeze_layers(["conv9"])


def test_lengths_reach_norms_and_metrics() -> None:
    module = SpikingClassifier(network(), loss="mean_membrane_cross_entropy")
    data = batches(lengths=True)
    assert data[0].lengths is not None
    polluted = []
    for batch in data:
        x = batch.x.clone()
        for b, n in enumerate(batch.lengths):
            x[int(n) :, b] = 50.0
        polluted.append(Batch(x, batch.y, batch.lengths))
    results = []
    for part in (data, polluted):
        torch.manual_seed(0)
        module = SpikingClassifier(network(), loss="mean_membrane_cross_entropy")
        trained(module, part)
        results.append((module.train_metrics, module.val_metrics, module.val_activity.summary()))
    assert results[0] == results[1]


def test_models_refuse_impossible_sizes() -> None:
    with pytest.raises(ShapeError, match="block 6"):
        ConvClassifier(channels=[2] * 6)
    with pytest.raises(ParameterError, match="2 decays for 3 blocks"):
        ConvClassifier(decay=[0.5, 0.5])
    with pytest.raises(ParameterError, match="odd"):
        ConvClassifier(kernel_size=4)
    with pytest.raises(ParameterError, match="below 1"):
        DenseClassifier(hidden=[0])
    net = ConvClassifier((2, 9, 7), 4, [3, 5], kernel_size=5, stride=2, pool=1)
    assert net(torch.zeros(3, 2, 2, 9, 7)).shape == (3, 2, 4)


def test_a_recipe_with_an_impossible_shape_names_the_layer(tiny: dict[str, Any], tmp_path: Path) -> None:
    layers = [
        {"class_path": "snnkit.nn.Flatten"},
        {"class_path": "snnkit.nn.Linear", "init_args": {"in_features": 2312, "out_features": 20}},
        {"class_path": "snnkit.nn.LIF"},
        {"class_path": "snnkit.nn.Linear", "init_args": {"in_features": 21, "out_features": 10}},
    ]
    net = {"class_path": "torch.nn.Sequential", "init_args": {"args": layers}}
    with pytest.raises(ShapeError, match="'3'"):
        fit(tiny, tmp_path / "run", {"model.net": net}, progress=False)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ShapeError, match="needed is"):
        fit(tiny, tmp_path / "run", {"model.net.num_classes": 7}, progress=False)
    with pytest.raises(RecipeError, match="did you mean 'max_epochs'"):
        fit(tiny, tmp_path / "run", {"trainer.max_epoch": 7}, progress=False)
    del tiny["data"]
    with pytest.raises(UsageError, match="no data"):
        fit(tiny, tmp_path / "run", progress=False)


def test_finished_run(finished: Path) -> None:
    run = load_run(finished)
    assert not run.model.training
    assert run.readout == "last"
    assert run.metrics["epochs"] == 3
    assert run.metrics["weights"] == run.digest
    assert set(run.metrics["test"]["layers"]) == {"lif1"}
    assert run.record["seed"] == 3
    assert run.record["data"]["digest"] == run.datamodule().digest
    again = run.evaluate("test")
    assert again.to_dict() == run.metrics["test"]
    val = run.evaluate("val")
    assert val.accuracy == pytest.approx(run.metrics["validation"]["accuracy"])
    rows = (finished / "history.csv").read_text().splitlines()
    assert len(rows) == 4
    losses = [float(r.split(",")[rows[0].split(",").index("val_loss")]) for r in rows[1:]]
    assert losses.index(min(losses)) == run.metrics["selected_epoch"]
    last = run.metrics["last_epoch"]  # shown beside the selected one
    assert last["validation"]["loss"] == losses[-1]
    state = load_tensors(finished / "last.ckpt")["state_dict"]
    run.model.load_state_dict({n.removeprefix("average."): t for n, t in state.items() if n.startswith("average.")})
    assert run.evaluate("val").loss == pytest.approx(losses[-1])
    assert run.evaluate("test").loss == pytest.approx(last["test"]["loss"])


def test_finetune_with_frozen_layers(finished: Path, tmp_path: Path) -> None:
    start = load_run(finished)
    changes = {"trainer.max_epochs": 1, "model.ema": None}
    run = finetune(start, tmp_path / "tuned", changes, progress=False, freeze=["linear1", "norm1"])
    old, new = start.model.state_dict(), run.model.state_dict()
    assert torch.equal(old["linear1.weight"], new["linear1.weight"])
    assert torch.equal(old["norm1.running_mean"], new["norm1.running_mean"])
    assert not torch.equal(old["head.weight"], new["head.weight"])
    assert run.record["start"]["weights"] == start.digest
    resumed = finetune(start, tmp_path / "tuned", changes, progress=False, freeze=["linear1", "norm1"], resume=True)
    assert resumed.digest == run.digest


def test_finetune_with_a_new_head(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snnkit.data import SaccadeDigits

    monkeypatch.setattr(SaccadeDigits, "num_classes", property(lambda self: 12))
    start = load_run(finished)
    run = finetune(start, tmp_path / "head", {"trainer.max_epochs": 1}, progress=False, freeze=["linear1"])
    assert run.model.get_submodule("head").weight.shape == (12, 12)
    assert torch.equal(start.model.state_dict()["linear1.weight"], run.model.state_dict()["linear1.weight"])


def test_divergence_is_told(tiny: dict[str, Any], tmp_path: Path) -> None:
    from snnkit.errors import SnnkitError

    with pytest.raises(SnnkitError, match="diverged|loss is"):
        fit(tiny, tmp_path / "run", {"model.optimizer.lr": 1e38}, progress=False)


def test_own_network_with_permission(tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_net_for_fit.py").write_text(
        "import torch\n"
        "from snnkit import nn as snn\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, num_classes: int, width: int = 6):\n"
        "        super().__init__()\n"
        "        self.flat, self.a, self.n = snn.Flatten(), snn.Linear(2312, width), snn.LIF()\n"
        "        self.b, self.out = snn.Linear(width, num_classes), snn.LI()\n"
        "    def forward(self, x):\n"
        "        return self.out(self.b(self.n(self.a(self.flat(x)))))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    changes = {"model.net": {"class_path": "own_net_for_fit.Net"}, "trainer.max_epochs": 1}
    out = tmp_path / "run"
    with pytest.raises(CodeNotAllowedError, match="--allow-code own_net_for_fit"):
        fit(tiny, out, changes, progress=False)
    run = fit(tiny, out, changes, progress=False, allow_code=["own_net_for_fit"])
    assert run.config["model"]["net"]["init_args"] == {"num_classes": 10, "width": 6}
    with pytest.raises(CodeNotAllowedError):
        load_run(out)
    assert load_run(out, ["own_net_for_fit"]).digest == run.digest
