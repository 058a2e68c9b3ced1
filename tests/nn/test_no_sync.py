"""No layer, neuron, surrogate or loss makes the host wait for a device: no value is read back, nothing is moved.

Three ways to see it: a dispatch mode that watches every torch operation on the CPU, tensors on the meta device, whose
values nobody can read, and on a GPU torch's own alarm.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from snnkit import nn as snn
from snnkit import surrogate
from snnkit.training.distances import regression, van_rossum
from snnkit.training.losses import READOUTS, ClassificationLoss
from snnkit.training.regularizers import (
    FiringRateBand,
    SynapticOperationBudget,
    ThresholdPenalty,
    WeightPenalty,
    watch,
)

from .layers import BATCH, EXAMPLES, FEATURES, STEPS, every_layer

aten = torch.ops.aten
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
READS_VALUES = {
    aten._local_scalar_dense, aten.item, aten.is_nonzero, aten.nonzero, aten.nonzero_static, aten.masked_select,
    aten.equal, aten.unique_consecutive, aten._unique2, aten.repeat_interleave,
}  # fmt: skip


class Watch(TorchDispatchMode):
    """Raises where an operation needs the value of a tensor on the host, or moves one to another device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        assert packet not in READS_VALUES or func is aten.repeat_interleave.self_int, f"{func} reads values"
        if packet in (aten.index, aten.index_put, aten.index_put_):
            assert not any(i is not None and i.dtype == torch.bool for i in args[1]), f"{func} by a mask"
        if packet is aten._to_copy and kwargs.get("device") is not None:
            assert torch.device(kwargs["device"]) == args[0].device, f"{func} moves to {kwargs['device']}"
        if packet is aten.copy_:
            assert args[0].device == args[1].device, f"{func} moves from {args[1].device} to {args[0].device}"
        return func(*args, **kwargs)


def test_the_watch_sees_what_it_should() -> None:
    x = torch.rand(4, 3)
    bad: list[Callable[[], Any]] = [
        lambda: x.sum().item(),
        lambda: bool((x > 0).all()),
        lambda: x[x > 0.5],
        lambda: x.nonzero(),
        lambda: x.masked_select(x > 0.5),
        lambda: x.masked_fill_(x > 2, 0).to("meta"),
        lambda: torch.equal(x, x),
        lambda: x.index_put_((x > 0.5,), torch.tensor(0.0)),
        lambda: torch.nn.BatchNorm1d(3, momentum=None)(x),
    ]
    for read in bad:
        with pytest.raises(AssertionError), Watch():
            read()


def passes(layer: nn.Module, x: Tensor, lengths: Tensor) -> None:
    """Forward and backward: alone, with lengths, and in evaluation from a state."""
    x = x.clone().requires_grad_()
    for out in (layer(x), snn.run(layer, x, lengths=lengths)[0]):
        out.float().square().sum().backward()
    layer.eval()
    if all(m.running_mean is not None for m in layer.modules() if isinstance(m, snn.BatchNorm)):
        _, states = snn.run(layer, x)
        out, _ = snn.run(layer, x, states)
        out.float().square().sum().backward()


def without_torch_norms(layer: nn.Module) -> nn.Module:
    """A batch norm of torch inside `over_time` refuses lengths."""
    for module in layer.modules():
        if type(module) is nn.BatchNorm2d:
            module.eval()
    return layer


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    **{name: (e.layer, e.features) for name, e in EXAMPLES.items()},
    **{f"surrogate {name}": (lambda name=name: snn.LIF(surrogate=name), (3, 2)) for name in surrogate.SURROGATES},
    "every layer": (every_layer, FEATURES),
}
cases = pytest.mark.parametrize("name", CASES)


@cases
def test_layers_read_no_values(name: str) -> None:
    make, features = CASES[name]
    layer = without_torch_norms(make())
    x = torch.rand(STEPS, BATCH, *features)
    lengths = torch.tensor([4, 2, 3])
    with Watch():
        passes(layer, x, lengths)


@cases
def test_layers_run_where_nobody_can_read_values(name: str) -> None:
    """On the meta device even the neurons run as they do on a GPU without kernels, step by step."""
    make, features = CASES[name]
    layer = without_torch_norms(make()).to("meta")
    passes(
        layer, torch.empty(STEPS, BATCH, *features, device="meta"), torch.empty(BATCH, dtype=torch.int64, device="meta")
    )
    for state in snn.run(layer, torch.empty(STEPS, BATCH, *features, device="meta"))[1].values():
        assert all(t.device.type == "meta" for t in torch.utils._pytree.tree_leaves(state))


def losses(device: str = "cpu") -> Iterator[tuple[str, Callable[[], Any]]]:
    """Each loss as (name, forward and backward)."""
    out = torch.rand(STEPS, BATCH, 5, device=device).requires_grad_()
    y = torch.zeros(BATCH, dtype=torch.int64, device=device)
    target = torch.rand(STEPS, BATCH, 5, device=device)
    for lengths in (None, torch.full((BATCH,), 2, device=device)):
        for name in READOUTS:
            loss = ClassificationLoss(name)  # type: ignore[arg-type]
            yield name, lambda loss=loss, lengths=lengths: loss(out, y, lengths)[0].backward()
        yield "van_rossum", lambda lengths=lengths: van_rossum(out, target, 2.0, lengths).backward()
        for rule in ("count", "mean", "max", "last", "first", "each"):
            values = target if rule == "each" else target[0]
            yield f"regression {rule}", lambda r=rule, v=values, n=lengths: regression(out, v, r, lengths=n).backward()


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_losses_read_no_values(device: str) -> None:
    for name, step in losses(device):
        try:
            with Watch():
                step()
        except (AssertionError, RuntimeError, NotImplementedError) as error:
            raise AssertionError(f"{name} on {device}: {error}") from error


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_regularisers_read_no_values(device: str) -> None:
    net = nn.Sequential(
        snn.Conv2d(2, 3, 3), snn.LIF(learn_threshold=True), snn.Flatten(), snn.Linear(27, 4), snn.LIF()
    ).to(device)
    penalties = [FiringRateBand(), SynapticOperationBudget(5.0), WeightPenalty(), ThresholdPenalty()]
    x, lengths = torch.rand(STEPS, BATCH, 2, 5, 5, device=device), torch.full((BATCH,), 2, device=device)
    with Watch():
        for n in (None, lengths):
            with watch(net, n) as seen:
                net(x)
            torch.stack([p.penalty(seen) for p in penalties]).sum().backward()


@contextlib.contextmanager
def alarm() -> Iterator[None]:
    """Within it, whatever waits for the GPU raises."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("surrogate ")])
def test_layers_do_not_wait_for_a_gpu(name: str) -> None:
    """Surrogates are left out: there they are constants of one kernel. Sizes are multiples of 4, so that layers share
    theirs."""
    make, features = CASES[name]
    model = without_torch_norms(make()).cuda()
    x = torch.rand(STEPS, 4, *features, device="cuda")
    lengths = torch.tensor([4, 2, 3, 1], device="cuda")
    passes(model, x, lengths)  # the first time, kernels are chosen and compiled
    model.train()
    without_torch_norms(model)
    with alarm():
        passes(model, x, lengths)


@pytest.mark.gpu
@needs_gpu
def test_losses_do_not_wait_for_a_gpu() -> None:
    for name, step in list(losses("cuda")):
        try:
            with alarm():
                step()
        except RuntimeError as error:
            raise AssertionError(f"{name}: {error}") from error
