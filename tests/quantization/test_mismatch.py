"""Training through a virtual chip: what the twin computes, its gradients, and the command."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snnkit import nn as snn
from snnkit.descriptor import Descriptor
from snnkit.emulator import Emulator
from snnkit.emulator.chip import Stimulus
from snnkit.errors import FindingsError, UsageError
from snnkit.models import DenseClassifier
from snnkit.quantization.analogue import mismatch_training
from snnkit.quantization.mismatch import FIRST_TRAINING_CHIP, MismatchTraining, fake_quantise
from snnkit.targets import registry
from snnkit.targets.brainscales2 import spec
from snnkit.targets.brainscales2.mismatch import Mismatch, virtual_chip
from snnkit.targets.manifest import build_manifest
from snnkit.validation import to_chip


def model(seed: int = 0, decay_syn: float | None = 0.6) -> torch.nn.Module:
    torch.manual_seed(seed)
    net = DenseClassifier((2, 5, 5), 4, hidden=(24,), decay=0.9, decay_syn=decay_syn, dropout=0.0, readout_decay=0.95)
    x = (torch.rand(8, 32, 2, 5, 5) < 0.3).float()
    for _ in range(20):
        net(x)  # statistics of the norm
    return net.eval()


def prepared(net: torch.nn.Module, chip: int | None = None) -> MismatchTraining:
    rng = np.random.default_rng(0)
    samples = (rng.random((8, 20, 2, 5, 5)) < 0.3).astype(np.float32)
    made = to_chip(net, (2, 5, 5), "brainscales2", samples, steps=8, readout="last", name="net")
    return mismatch_training(made, registry.get("brainscales2"), chip)


def frames(seed: int = 1) -> torch.Tensor:
    return (torch.rand(8, 6, 2, 5, 5, generator=torch.Generator().manual_seed(seed)) < 0.3).float()


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_weights_become_six_bits_with_straight_gradients(share: float) -> None:
    weight = torch.randn(7, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    made = fake_quantise(weight, share)
    step = weight.detach().abs().max() * share / spec.WEIGHT_MAX
    whole = (made / step).detach()
    torch.testing.assert_close(whole, whole.round(), rtol=0, atol=1e-4)
    assert whole.abs().max() <= spec.WEIGHT_MAX + 1e-4
    inside = weight.detach().abs() < weight.detach().abs().max() * share
    assert (made - weight).detach().abs()[inside].max() <= step / 2 + 1e-6
    (grad,) = torch.autograd.grad((made * torch.arange(63.0).reshape(7, 9)).sum(), weight)
    assert torch.equal(grad, torch.arange(63.0).reshape(7, 9))


@pytest.mark.parametrize("decay_syn", [0.6, None])
def test_without_mismatch_only_weights_are_rounded(decay_syn: float | None) -> None:
    """The twin of the ideal chip is the network with its folded weights rounded."""
    net = model(decay_syn=decay_syn)
    training = prepared(net)
    twin = copy.deepcopy(net)
    training.attach(twin, fresh=False)
    rounded = copy.deepcopy(net)
    for name, norm in (("linear1", rounded.norm1), ("head", None)):
        layer = getattr(rounded, name)
        factor = torch.ones(1) if norm is None else (norm.weight * torch.rsqrt(norm.running_var + norm.eps))[:, None]
        share = training.wirings["lif1" if norm is not None else "readout"].share
        with torch.no_grad():
            layer.weight.copy_(fake_quantise(layer.weight * factor, share) / factor)
    x = frames()
    with torch.no_grad():
        torch.testing.assert_close(twin(x), rounded(x), rtol=1e-4, atol=1e-5)
        assert (twin(x) - net(x)).abs().max() > 1e-6


def test_the_wiring_is_that_of_the_descriptor() -> None:
    net = model()
    wirings = prepared(net).wirings
    assert wirings["lif1"].drivers.shape == (24, 50)
    assert wirings["readout"].drivers.shape == (4, 24)
    for layer in wirings.values():
        assert (layer.drivers >= 0).all()
        assert len(np.unique(layer.circuits)) == len(layer.circuits)
        for source in layer.drivers.T:
            assert len(np.unique(source)) == 1  # a source has one driver in a half
    assert len(np.unique(wirings["lif1"].drivers)) == 50


def test_one_chip_is_always_the_same_and_gains_act_as_on_the_chip() -> None:
    net = model()
    training = prepared(net, chip=7)
    one, two = copy.deepcopy(net), copy.deepcopy(net)
    training.attach(one, fresh=False)
    training.attach(two, fresh=False)
    x = frames()
    with torch.no_grad():
        assert torch.equal(one(x), two(x))
        assert not torch.equal(one(x), net(x))
    only = MismatchTraining(training.wirings, 7, Mismatch().scaled(0))
    ideal, plain = copy.deepcopy(net), copy.deepcopy(net)
    only.attach(ideal, fresh=False)
    MismatchTraining(training.wirings, None).attach(plain, fresh=False)
    with torch.no_grad():
        torch.testing.assert_close(ideal(x), plain(x), rtol=1e-5, atol=1e-6)
    chip, head = virtual_chip(7), copy.deepcopy(net)
    gains = Mismatch(0, 0, 0, 0.2, 0, 0, 0, 0, 0)
    MismatchTraining(training.wirings, 7, gains).attach(head, fresh=False)
    spikes = (torch.rand(1, 1, 24) < 0.5).float()
    drivers = training.wirings["readout"].drivers
    factor = torch.as_tensor(virtual_chip(7, gains).driver[drivers], dtype=torch.float32)
    weight = fake_quantise(net.head.weight, training.wirings["readout"].share) * factor
    with torch.no_grad():
        torch.testing.assert_close(head.head(spikes), spikes @ weight.T)
    late = copy.deepcopy(net)
    taus = Mismatch(0, 0.1, 0, 0, 0, 0, 0, 0, 0)  # what an event leaves grows with the time constant of its sign
    MismatchTraining(training.wirings, 7, taus).attach(late, fresh=False)
    at = training.wirings["readout"].circuits
    weight = fake_quantise(net.head.weight, training.wirings["readout"].share)
    with torch.no_grad():
        ratio = late.head(spikes) / (spikes @ weight.T)
        positive = (torch.eye(24) @ weight.T > 0).T
        left = late.head(torch.eye(24)[:, None]).squeeze(1).T / weight
    assert ratio.isfinite().all()
    made = virtual_chip(7, taus)
    for k in range(4):
        for sign, factor in ((True, made.tau_syn_e[at][k]), (False, made.tau_syn_i[at][k])):
            values = left[k][(positive[k] == sign) & (weight[k] != 0)]
            assert (values - values.mean()).abs().max() < 1e-4
            assert abs(float(values.mean()) / factor - 1) < 0.03
    assert chip.seed == 7


def test_the_twin_deviates_as_the_chip_does() -> None:
    """What a virtual chip changes in the read-out of the emulator is what it changes in its own twin, of all twins."""
    net = model(3)
    with torch.no_grad():
        net.head.weight.mul_(2)
    x = (torch.rand(8, 60, 2, 5, 5, generator=torch.Generator().manual_seed(5)) < 0.4).float()
    target = registry.get("brainscales2")
    made = to_chip(net, (2, 5, 5), target, x.numpy(), steps=8, readout="last", name="net")
    lowered = target.lower(made.graph)
    chip = Emulator(Descriptor(build_manifest(target, made.graph, lowered), lowered.arrays)).chip
    seen, sigma = chip.placement["readout"], Mismatch(trial=0, read=0)
    gates = np.zeros(sum(i.n for i in made.graph.inputs if i.gate_from is not None), np.int64)
    raster = x.reshape(8, 60, -1).numpy().astype(np.uint8)
    work = Stimulus(raster, 1, gates, gates + 8, 8, None, np.sort(seen))
    training = mismatch_training(made, target)
    unit = training.wirings["readout"].unit

    def twin(seed: int | None) -> Any:
        one = copy.deepcopy(net)
        MismatchTraining(training.wirings, seed, sigma).attach(one, fresh=False)
        with torch.no_grad():
            return one(x)[-1].numpy() * unit

    seeds = [3, 8, 11, 14, 15]
    ideal, *others = chip.run_chips(work, [None, *chip.virtual(seeds, sigma)])  # type: ignore[attr-defined]
    columns = np.argsort(np.argsort(seen))
    base = twin(None)
    real = [(t.v[-1].astype(float) - ideal.v[-1])[:, columns].ravel() for t in others]
    said = [(twin(seed) - base).ravel() for seed in seeds]
    assert min(r.std() for r in real) > 1
    match = np.corrcoef(real, said)[: len(seeds), len(seeds) :]
    assert np.diag(match).min() > 0.5  # the twin fires at the ends of steps; a trained network: 0.96
    assert (match.argmax(1) == np.arange(len(seeds))).all()


def test_robust_training_draws_a_chip_for_every_batch() -> None:
    net = model()
    training = prepared(net)
    training.attach(net, fresh=True)
    net.train()
    assert not net.norm1.training  # statistics are folded, and stay
    x = frames()
    outputs = []
    for step in range(3):
        torch.manual_seed(step)
        outputs.append(net(x))
    assert not torch.equal(outputs[0], outputs[1])
    torch.manual_seed(0)
    assert torch.equal(net(x), outputs[0])
    outputs[0].square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in (net.linear1.weight, net.head.weight))
    assert FIRST_TRAINING_CHIP > 1000


def test_what_cannot_be_trained_this_way_is_said() -> None:
    wirings = prepared(model()).wirings
    learned = torch.nn.Sequential()
    learned.add_module("linear1", snn.Linear(50, 24))
    learned.add_module("lif1", snn.LIF(decay=0.9, learn_decay=True))
    with pytest.raises(UsageError, match="learns decay"):
        MismatchTraining(wirings).attach(learned, fresh=False)
    with pytest.raises(UsageError, match="gain of its own"):
        MismatchTraining(wirings).attach(torch.nn.Sequential(snn.Conv2d(2, 3, 3)), fresh=False)
    with pytest.raises(FindingsError, match="CHIP|cannot be trained"):
        prepared(model(), chip=-1)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from snnkit.cli.main import main
    from snnkit.training import fit, load_run

    recipe: dict[str, Any] = {
        "seed_everything": 3,
        "model": {
            "memory_format": "channels_first",
            "net": {"class_path": "snnkit.models.DenseClassifier", "init_args": {"hidden": [12], "decay_syn": 0.5}},
            "loss": "last_membrane_cross_entropy",
            "ema": 0.9,
        },
        "data": {
            "class_path": "snnkit.data.SaccadeDigits",
            "init_args": {"T": 4, "batch_size": 16, "subset": 60, "grid": 6, "cache_dir": str(tmp_path / "cache")},
        },
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "logger": False, "precision": "32-true"},
    }
    fit(recipe, tmp_path / "a", progress=False)
    words = ["finetune", str(tmp_path / "a"), "--target", "brainscales2", "--no-progress"]
    assert main([*words, "--chip", "3", "--out", str(tmp_path / "b")]) == 0
    done = load_run(tmp_path / "b")
    assert done.record["start"]["hardware"] == {"target": "brainscales2", "chip": 3}
    assert set(done.model.state_dict()) == set(load_run(tmp_path / "a").model.state_dict())
    assert main([*words, "--out", str(tmp_path / "c")]) == 0
    capsys.readouterr()
    assert main(["finetune", str(tmp_path / "a"), "--target", "loihi"]) == 2
    assert "no mismatch" in capsys.readouterr().err
    assert main([*words, "--chip", "-4", "--out", str(tmp_path / "d")]) != 0
    assert "no such virtual chip" in capsys.readouterr().err
    assert main(["finetune", str(tmp_path / "a"), "--chip", "3"]) == 2

    path = str(tmp_path / "b.snnx")
    assert main(["export", str(tmp_path / "b"), "--target", "brainscales2", "--out", path]) == 0
    assert main(["verify", path]) == 0
    capsys.readouterr()
    assert main(["emulate", path, "--limit", "6", "--chips", "20"]) == 0
    assert "20 virtual chips: mean" in capsys.readouterr().out
    assert main(["validate", str(tmp_path / "b"), path, "--limit", "6"]) == 0
    said = capsys.readouterr().out
    assert "20 virtual chips: mean" in said
    report = (Path(path) / "report.md").read_text()
    assert "virtual chips" in report
    assert "holds for the digital part alone" in report
