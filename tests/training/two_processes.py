"""Run as each of two processes: a training step of both equals that of one. Prints the differences found.

Usage: two_processes.py RANK RENDEZVOUS_FILE
"""

from __future__ import annotations

import copy
import json
import sys
from typing import Any

from snnkit._compat import prepare_torchvision

prepare_torchvision()

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch import distributed as dist  # noqa: E402

from snnkit import nn as snn  # noqa: E402
from snnkit.data.batch import Batch  # noqa: E402
from snnkit.data.part import Part  # noqa: E402
from snnkit.kernels.state import state_dtype  # noqa: E402
from snnkit.nn.together import group_at  # noqa: E402
from snnkit.training import FiringRateBand, SpikingClassifier, SynapticOperationBudget, WeightPenalty  # noqa: E402

RANK, WORLD = int(sys.argv[1]), 2
STEPS = {"all": [6] * 6, "lengths": [6, 2, 5, 6, 1, 3], "odd": [6] * 5, "one": [4]}


def module(norm: type[snn.BatchNorm], penalties: bool) -> SpikingClassifier:
    torch.manual_seed(0)
    net = snn.Sequential(
        snn.Conv2d(2, 4, 3, padding=1, bias=False), norm(4), snn.LIF(), snn.Flatten(),
        snn.Linear(100, 8, bias=False), norm(8), snn.LIF(), snn.Linear(8, 3), snn.LI(),
    )  # fmt: skip
    # Without biases before the norms: their gradients are 0 but for rounding.
    some = (FiringRateBand(0.3, 0.4), SynapticOperationBudget(500.0), WeightPenalty())
    return SpikingClassifier(net, "mean_membrane_cross_entropy", regularizers=some if penalties else ())


def batch(lengths: list[int]) -> Batch:
    g = torch.Generator().manual_seed(1)
    x = torch.rand(max(lengths), len(lengths), 2, 5, 5, generator=g) * 3
    equal = min(lengths) == max(lengths)
    return Batch(x, torch.arange(len(lengths)) % 3, None if equal else torch.tensor(lengths))


def step(norm: type[snn.BatchNorm], penalties: bool, whole: Batch, part: Part | None) -> dict[str, Tensor]:
    """Gradients, averaged as DistributedDataParallel does, and norm statistics."""
    m, mine = module(norm, penalties), whole
    if part is not None:
        m.divide(part, None)
        keys = part.of(list(range(len(whole.y))))
        lengths = None if whole.lengths is None else whole.lengths[keys]
        longest = None if lengths is None else int(lengths.max())
        mine = Batch(whole.x[:longest, keys], whole.y[keys], lengths)
    m.training_step(mine, 0).backward()
    out = {name: p.grad for name, p in m.net.named_parameters() if p.grad is not None}
    if part is not None:
        for grad in out.values():
            dist.all_reduce(grad)
            grad /= WORLD
    return out | {name: b for name, b in m.net.named_buffers() if b.dtype.is_floating_point}


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max().clamp(min=1e-3))


def norms() -> list[tuple[Tensor, Tensor, Tensor]]:
    """Inputs [T, B, C, …], lengths [B] and gradients of random shapes, the mean far from 0 in some."""
    g = torch.Generator().manual_seed(2)
    made = []
    for k in range(12):
        shape = [int(v) for v in torch.randint(1, 5, (2 + k % 4,), generator=g)]
        T, B = shape[0], 2 * shape[1] + 1
        x = torch.randn(T, B, 3, *shape[2:], generator=g) + 3.0 * (k % 3)
        lengths = torch.randint(0, T + 1, (B,), generator=g)
        lengths[:2] = T
        made.append((x, lengths, torch.randn(x.shape, generator=g)))
    return made


def normalised(layer: snn.BatchNorm, x: Tensor, lengths: Tensor | None, up: Tensor) -> tuple[Tensor, ...]:
    x = x.clone().requires_grad_()
    with snn.valid_lengths(layer, lengths):
        out = layer(x)
    if lengths is not None:
        valid = (torch.arange(len(x))[:, None] < lengths).view(*x.shape[:2], *[1] * (x.dim() - 2))
        up = torch.where(valid, up, 0.0)
    (out * up).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is not None
    return out.detach(), x.grad, layer.weight.grad, layer.bias.grad


def blocks() -> list[tuple[snn.Sequential, Tensor, Tensor | None]]:
    """Norm, neuron and pool that run as one, this process's input and its lengths; one process has none that count."""
    made = []
    for k in range(10):
        torch.manual_seed(k)
        pool, neuron = snn.AvgPool2d(2), snn.LIF(decay=0.8, threshold=0.7, learn_decay=True, detach_reset=k % 4 > 0)
        norm = snn.BatchNorm(3, momentum=None if k == 3 else 0.1) if k % 2 else snn.ThresholdBatchNorm(3, affine=k != 4)
        model = snn.Sequential(norm, pool, neuron) if k % 3 == 0 else snn.Sequential(norm, neuron, pool)
        x = torch.randn(4, 2 + RANK, 3, 4, 6) * 2 + k
        x = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3) if k in (2, 5, 7) else x
        x = x.to({6: torch.bfloat16, 8: torch.float64}.get(k, x.dtype))
        model = model.to(state_dtype(x))
        lengths = None if k < 4 else torch.randint(0, 5, x.shape[1:2])
        if k == 9 and lengths is not None:
            lengths *= RANK
        made.append((model, x, lengths))
    return made


def passed(model: torch.nn.Module, x: Tensor, lengths: Tensor | None) -> list[Tensor]:
    """Output, gradients and what the model keeps."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    with snn.valid_lengths(model, lengths):
        out = model(x)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(3)).to(out)
    return [out, *torch.autograd.grad((out * weight).sum(), [x, *model.parameters()]), *model.state_dict().values()]


def main() -> None:
    cases = [
        (norm, p, name) for norm in (snn.BatchNorm, snn.ThresholdBatchNorm) for p in (False, True) for name in STEPS
    ]
    cases = [c for k, c in enumerate(cases) if k < 8 or k % 2]
    one = [step(norm, p, batch(STEPS[name]), None) for norm, p, name in cases]
    whole_norms: list[Any] = [
        normalised(snn.BatchNorm(3), x, lengths if k % 2 else None, up) for k, (x, lengths, up) in enumerate(norms())
    ]
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=RANK, world_size=WORLD)
    found: dict[str, float] = {}
    for (norm, p, name), expected in zip(cases, one):
        part = Part(RANK, WORLD, len(STEPS[name]), 6)
        got = step(norm, p, batch(STEPS[name]), part)
        assert got.keys() == expected.keys()
        found[f"{norm.__name__} {name}{' penalties' if p else ''}"] = max(apart(got[k], expected[k]) for k in got)
    for k, (x, lengths, up) in enumerate(norms()):
        layer = snn.BatchNorm(3)
        steps = lengths[RANK::WORLD] if k % 2 else None
        out, grad, *own = normalised(layer, x[:, RANK::WORLD], steps, up[:, RANK::WORLD])
        y, whole, *sums = whole_norms[k]
        for g in own:
            dist.all_reduce(g)
        pairs = [(out, y[:, RANK::WORLD]), (grad, whole[:, RANK::WORLD]), *zip(own, sums)]
        found[f"norm {k}"] = max(apart(a, b) for a, b in pairs)
        bits = [torch.zeros_like(layer.running_var) for _ in range(WORLD)]  # type: ignore[arg-type]
        dist.all_gather(bits, layer.running_var)
        assert torch.equal(bits[0], bits[1])
    for k, (model, x, lengths) in enumerate(blocks()):
        assert group_at(list(model), x) is not None
        apart_, as_one = passed(torch.nn.Sequential(*copy.deepcopy(list(model))), x, lengths), passed(model, x, lengths)
        equal = torch.tensor([float(torch.equal(a, b)) for a, b in zip(as_one, apart_, strict=True)]).prod()
        dist.all_reduce(equal)
        found[f"block {k}"] = WORLD - float(equal)
    layer = snn.BatchNorm(3)
    layer.synchronise = False
    assert not layer.together
    layer(torch.randn(2, 1 + RANK, 3))  # by itself: the other process need not come along
    if RANK == 0:
        layer(torch.randn(2, 2, 3))
        snn.BatchNorm(3).eval()(torch.randn(2, 2, 3))
        print(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


main()
