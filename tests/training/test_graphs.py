"""`trainer.cuda_graphs`: what goes into a graph, that recording leaves no trace, and that a GPU trains alike."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from snnkit._compat import prepare_torchvision

prepare_torchvision()

import lightning as L  # noqa: E402

from snnkit import nn as snn  # noqa: E402
from snnkit.data import Batch, collate  # noqa: E402
from snnkit.errors import ParameterError, SnnkitError  # noqa: E402
from snnkit.training import SpikingClassifier, TrainerSettings, fit  # noqa: E402
from snnkit.training.callbacks import quiet  # noqa: E402
from snnkit.training.graphs import MOST, Graphs  # noqa: E402


def network() -> torch.nn.Sequential:
    return snn.Sequential(
        snn.Conv2d(2, 4, 3, bias=False), snn.BatchNorm(4), snn.LIF(), snn.AvgPool2d(2), snn.Dropout(0.2),
        snn.Flatten(), snn.Linear(16, 3), snn.LI(),
    )  # fmt: skip


def batches(sizes: tuple[int, ...] = (4, 4, 4, 3), lengths: bool = False) -> list[Batch]:
    """Of these sizes; with `lengths` the samples of a batch have 3 to 5 steps, else 4."""
    g = torch.Generator().manual_seed(0)
    found = []
    for size in sizes:
        steps = [3 + k % 3 if lengths else 4 for k in range(size)]
        found.append(collate([((torch.rand(t, 2, 6, 6, generator=g) * 3).numpy(), k % 3) for k, t in enumerate(steps)]))
    return found


class Recorder:
    """Stands for `torch.cuda.make_graphed_callables`: it warms up as that does, and gives back what runs as ever."""

    def __init__(self, error: str = "") -> None:
        self.shapes: list[list[tuple[int, ...]]] = []
        self.error = error

    def __call__(self, run: Any, args: tuple[Tensor, ...], allow_unused_input: bool) -> Any:
        self.shapes.append([tuple(a.shape) for a in args])
        for _ in range(3):
            out = run(*args)
            torch.autograd.grad(out.sum(), [p for p in run.parameters() if p.requires_grad])
        if self.error:
            raise RuntimeError(self.error)
        return run


def trained(data: list[Batch], graphs: bool, accelerator: str = "cpu", precision: Any = "32-true") -> dict[str, Tensor]:
    """Weights and statistics after two epochs."""
    torch.manual_seed(0)
    module = SpikingClassifier(network(), memory_format="channels_first")
    module.in_graphs = graphs
    with quiet():
        trainer = L.Trainer(
            max_epochs=2, accelerator=accelerator, devices=1, precision=precision, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
            limit_val_batches=0,
        )  # fmt: skip
        trainer.fit(module, DataLoader(data, batch_size=None))  # type: ignore[arg-type]
    assert module._graphs is None
    return {name: value.cpu() for name, value in module.net.state_dict().items()}


@pytest.mark.parametrize("lengths", [False, True])
def test_recording_leaves_no_trace(lengths: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics of norms, random numbers and gradients are those of a training without."""
    record = Recorder()
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    data = batches(lengths=lengths)
    expected = trained(data, False)
    assert record.shapes == []
    found = trained(data, True)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    steps = 5 if lengths else 4
    ends: list[list[tuple[int, ...]]] = [[(4,)], [(3,)]] if lengths else [[], []]
    assert record.shapes == [[(steps, 4, 2, 6, 6), *ends[0]], [(steps, 3, 2, 6, 6), *ends[1]]]


def test_graphs_go_with_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """And their memory: what torch gives back is a class of its own, which Python's collector alone takes away."""
    record, held = Recorder(), []

    def recorded(run: Any, args: tuple[Tensor, ...], allow_unused_input: bool) -> Any:
        memory = torch.zeros(1)
        held.append(weakref.ref(memory))

        class Graphed:
            def __call__(self, *x: Tensor) -> Any:
                return again(*x) if len(memory) else None

        again = record(run, args, allow_unused_input)
        return Graphed()

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", recorded)
    gc.disable()
    try:
        trained(batches((4, 4)), True)
        assert [each() for each in held] == [None]
    finally:
        gc.enable()


def test_few_shapes_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Recorder()
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    net = network()
    graphs = Graphs(net)
    for size in (1, 2, 3, 4, 1, 2):
        x = torch.rand(4, size, 2, 6, 6)
        torch.manual_seed(1)
        out = graphs((x,), None)
        torch.manual_seed(1)
        assert torch.equal(out, net(x))
    assert len(record.shapes) == MOST


class _Looks(torch.autograd.Function):
    """Writes down whether it runs in low precision, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, seen: list[tuple[str, bool]]) -> Tensor:
        ctx.seen = seen
        seen.append(("forward", torch.is_autocast_enabled("cpu")))
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        ctx.seen.append(("backward", torch.is_autocast_enabled("cpu")))
        return grads[0], None


def test_the_way_back_is_recorded_as_it_runs_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward in low precision, backward not: it has the precision of what forward has left."""
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", Recorder())
    seen: list[tuple[str, bool]] = []

    class Net(torch.nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return _Looks.apply(super().forward(x), seen)  # type: ignore[no-any-return]

    graphs, x = Graphs(Net(3, 2)), torch.rand(4, 2, 3)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            out = graphs((x,), None)
        assert out.dtype == torch.bfloat16
        out.sum().backward()
    assert seen == [("forward", True), ("backward", False)] * 5


def test_a_new_training_records_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """After one that an error has ended: its graphs read memory that the network has left since."""
    record = Recorder()
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    module = SpikingClassifier(network(), memory_format="channels_first")
    module.in_graphs = True
    data: Any = batches((4, 4))
    data[1].y[0] = 17  # no such class
    for _ in range(2):
        with quiet():
            trainer = L.Trainer(
                max_epochs=1, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
                enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, limit_val_batches=0,
            )  # fmt: skip
            with pytest.raises(SnnkitError, match="17"):
                trainer.fit(module, DataLoader(data, batch_size=None))
    assert len(record.shapes) == 2


def test_after_a_failure_there_are_no_graphs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of before neither: what a failed recording leaves behind is taken away, and they may depend on it."""
    record, replayed = Recorder(), []

    def recorded(run: Any, args: tuple[Tensor, ...], allow_unused_input: bool) -> Any:
        again = record(run, args, allow_unused_input)

        def replay(*x: Tensor) -> Any:
            replayed.append(len(x[0][0]))
            return again(*x)

        return replay

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", recorded)
    net = network()
    graphs = Graphs(net)
    for size in (4, 4, 3, 4, 3):
        x = torch.rand(4, size, 2, 6, 6)
        record.error = "invalidated" if size == 3 else ""
        torch.manual_seed(1)
        out = graphs((x,), None)
        torch.manual_seed(1)
        assert torch.equal(out, net(x))
    assert replayed == [4, 4]
    assert len(record.shapes) == 2
    assert capsys.readouterr().err.count("no CUDA graph") == 1


def test_a_network_that_cannot_trains_without(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = Recorder("operation not permitted when stream is capturing\nCUDA …")
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    data = batches((4, 4))
    expected = trained(data, False)
    found = trained(data, True)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert len(record.shapes) == 1
    said = capsys.readouterr().err
    assert said.count("no CUDA graph") == 1
    assert "operation not permitted" in said


def test_where_it_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ParameterError, match="trainer.cuda_graphs is true, and training runs on the CPU"):
        TrainerSettings(cuda_graphs=True, accelerator="cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert TrainerSettings(cuda_graphs=True).cuda_graphs
    with pytest.raises(ParameterError, match="several processes"):
        TrainerSettings(cuda_graphs=True, devices=2)
    with pytest.raises(ParameterError, match="added up"):
        TrainerSettings(cuda_graphs=True, accumulate_grad_batches=2)


def test_penalties_are_refused_before_there_is_a_run(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its folder would be in the way of the next attempt."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    tiny["model"]["regularizers"] = [{"class_path": "snnkit.training.WeightPenalty", "init_args": {"weight": 1e-4}}]
    tiny["model"]["memory_format"] = "channels_first"
    tiny["trainer"] |= {"cuda_graphs": True, "accelerator": "gpu", "precision": "32-true"}
    with pytest.raises(ParameterError, match="cuda_graphs is true, and model.regularizers"):
        fit(tiny, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("lengths", [False, True])
def test_training_on_a_gpu_is_equal(lengths: bool, precision: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = batches((4, 4, 4, 3), lengths)
    expected = trained(data, False, "gpu", precision)
    found = trained(data, True, "gpu", precision)
    assert "no CUDA graph" not in capsys.readouterr().err
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


class _Waits(torch.nn.Module):
    """Asks the device for a number, which no graph can hold."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (1.0 + 0.0 * float(x.detach().sum()))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.timeout(300)
def test_a_failed_recording_leaves_a_gpu_as_it_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its stream, and random numbers: torch refuses to draw any more while it takes a recording to go on."""
    plain = network
    monkeypatch.setitem(globals(), "network", lambda: plain().append(_Waits()))
    data = batches((4, 4, 3))
    expected = trained(data, False, "gpu")
    stream = torch.cuda.current_stream()
    found = trained(data, True, "gpu")
    assert torch.cuda.current_stream() == stream
    assert capsys.readouterr().err.count("no CUDA graph") == 1
    assert torch.rand(3, device="cuda").isfinite().all()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
