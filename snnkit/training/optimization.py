"""Optimizers and learning-rate schedules of a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from snnkit.errors import ParameterError, did_you_mean
from snnkit.training import patterns

Name = Literal["adamw", "adam", "sgd"]
Schedule = Literal["cosine", "linear", "step", "constant"]


@dataclass(frozen=True)
class OptimizerSettings:
    """What changes the weights, and how fast.

    Args:
        lr: peak learning rate.
        weight_decay: on weights (tensors of two and more dimensions) only; never on biases, norms, decays.
        warmup_epochs: epochs of linear growth from 0 to lr; fractions are allowed.
        betas: decays of the gradient's first and second moment (Adam and AdamW).
        grad_clip: largest norm of the gradient; None for no limit.
        name: "adamw" (Loshchilov & Hutter 2019, arXiv:1711.05101), "adam" (Kingma & Ba 2015, arXiv:1412.6980) or "sgd".
        momentum: of "sgd", Nesterov's where it is not 0.
        schedule: after the warm-up "cosine" to `final` (Loshchilov & Hutter 2017, arXiv:1608.03983), "linear" to
            `final`, "step" (times `gamma` every `step_epochs` epochs) or "constant".
        final: share of lr at the end of "cosine" and "linear".
        step_epochs, gamma: of "step".
    """

    lr: float = 2e-3
    weight_decay: float = 1e-3
    warmup_epochs: float = 3.0
    betas: tuple[float, float] = (0.9, 0.999)
    grad_clip: float | None = None
    name: Name = "adamw"
    momentum: float = 0.9
    schedule: Schedule = "cosine"
    final: float = 0.0
    step_epochs: int = 10
    gamma: float = 0.5

    def __post_init__(self) -> None:
        if not self.lr > 0.0:
            raise ParameterError(f"optimizer lr is {self.lr}", fix="give a positive learning rate")
        if self.weight_decay < 0.0 or self.warmup_epochs < 0.0:
            raise ParameterError(
                f"optimizer weight_decay is {self.weight_decay}, warmup_epochs {self.warmup_epochs}",
                fix="give 0 or more",
            )
        if self.grad_clip is not None and not self.grad_clip > 0.0:
            raise ParameterError(f"optimizer grad_clip is {self.grad_clip}", fix="give a positive norm, or null")
        for key, value, known in (("name", self.name, _OPTIMIZERS), ("schedule", self.schedule, _SCHEDULES)):
            if value not in known:
                raise ParameterError(
                    f"optimizer {key} is {value!r}{did_you_mean(value, known)}", fix="one of " + ", ".join(known)
                )
        if not 0.0 <= self.momentum < 1.0 or not 0.0 <= self.final <= 1.0:
            raise ParameterError(
                f"optimizer momentum is {self.momentum}, final {self.final}", fix="0 ≤ momentum < 1, 0 ≤ final ≤ 1"
            )
        if self.step_epochs < 1 or not 0.0 < self.gamma <= 1.0:
            raise ParameterError(
                f"optimizer step_epochs is {self.step_epochs}, gamma {self.gamma}", fix="step_epochs ≥ 1, 0 < gamma ≤ 1"
            )


_OPTIMIZERS: dict[str, Callable[[list[dict[str, object]], OptimizerSettings], torch.optim.Optimizer]] = {
    "adamw": lambda groups, s: torch.optim.AdamW(groups, lr=s.lr, betas=s.betas),
    "adam": lambda groups, s: torch.optim.Adam(groups, lr=s.lr, betas=s.betas),
    "sgd": lambda groups, s: torch.optim.SGD(groups, lr=s.lr, momentum=s.momentum, nesterov=s.momentum > 0),
}
_SCHEDULES = ("cosine", "linear", "step", "constant")


def make_optimizer(
    net: torch.nn.Module, settings: OptimizerSettings, slow: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """The optimizer of a network's parameters that are not frozen.

    Args:
        net: the network. settings: of the optimizer.
        slow: layers (paths or patterns) → factor on their learning rate; each factor has groups of its own.

    Raises:
        ParameterError: every parameter is frozen, or a pattern that matches no layer.
    """
    factor = patterns.factors(net, slow or {})
    trained = [(factor.get(n, 1.0), p) for n, p in net.named_parameters() if p.requires_grad]
    if not trained:
        raise ParameterError("nothing is left to train", fix="freeze fewer layers")
    groups: list[dict[str, object]] = []
    for rate in sorted({rate for rate, _ in trained}, reverse=True):
        mine = [p for r, p in trained if r == rate]
        for decay, some in (
            (settings.weight_decay, [p for p in mine if p.dim() > 1]), (0.0, [p for p in mine if p.dim() <= 1])
        ):  # fmt: skip
            if some:
                groups.append({"params": some, "weight_decay": decay, "lr": settings.lr * rate})
    return _OPTIMIZERS[settings.name](groups, settings)


def cosine_with_warmup(step: int, warmup: int, total: int, final: float = 0.0) -> float:
    """Factor on the learning rate at a step: (step + 1)/warmup, then from 1 to `final` by
    ½(1 + cos π(step − warmup)/(total − warmup))."""
    if step < warmup:
        return (step + 1) / warmup
    share = 0.5 * (1.0 + math.cos(math.pi * min((step - warmup) / max(total - warmup, 1), 1.0)))
    return final + (1.0 - final) * share


def make_schedule(
    optimizer: torch.optim.Optimizer, settings: OptimizerSettings, total: int, epochs: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The schedule over `total` steps in `epochs` epochs, one factor per step."""
    s = settings
    warmup = min(round(s.warmup_epochs * total / epochs), total)

    def factor(step: int) -> float:
        if step < warmup or s.schedule == "cosine":
            return cosine_with_warmup(step, warmup, total, s.final)
        if s.schedule == "linear":
            return 1.0 + (s.final - 1.0) * min((step - warmup) / max(total - warmup, 1), 1.0)
        if s.schedule == "step":
            return float(s.gamma ** (step * epochs // (total * s.step_epochs)))
        return 1.0

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
