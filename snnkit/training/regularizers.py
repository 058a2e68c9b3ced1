"""Penalties on the network itself, added to the loss: firing rates, synaptic operations, weights, thresholds.

In a recipe:

    model:
      regularizers:
      - {class_path: snnkit.training.FiringRateBand, init_args: {low: 0.01, high: 0.3, weight: 0.5}}
      - {class_path: snnkit.training.SynapticOperationBudget, init_args: {budget: 1.0e+6, weight: 0.1}}

Rates and operations are those of the whole batch, also where several processes have parts of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

import torch
from torch import Tensor

from snnkit import nn as snn
from snnkit.errors import ParameterError, did_you_mean
from snnkit.nn.processes import summed, world_size
from snnkit.nn.watch import SynapseInput, fan_out, watch_synapses
from snnkit.training.losses import valid_mask


@dataclass
class Pass:
    """What one training pass showed, with its gradient graph."""

    net: torch.nn.Module
    lengths: Tensor | None = None
    spikes: dict[str, Tensor] = field(default_factory=dict)
    """Spikes [T, B, …] by path."""
    inputs: list[SynapseInput] = field(default_factory=list)
    """Inputs of the synapse layers."""


class Regularizer:
    """A penalty: `penalty(seen)` is a scalar tensor with gradient, already multiplied by its weight.

    Args:
        weight: factor of the penalty in the loss, positive.
        layers: which layers it concerns, by path in the network with `*` and `?`.

    Raises:
        ParameterError: a weight that is not positive; when it is first used, a pattern that matches no such layer.
    """

    def __init__(self, weight: float, layers: Sequence[str] = ("*",)) -> None:
        if not weight > 0:
            raise ParameterError(f"the weight of {type(self).__name__} is {weight}", fix="give a positive factor")
        self.weight = weight
        self.layers = (layers,) if isinstance(layers, str) else tuple(layers)

    def chosen(self, paths: Sequence[str], what: str) -> list[str]:
        """The paths that the patterns match."""
        for pattern in self.layers:
            if not any(fnmatchcase(path, pattern) for path in paths):
                raise ParameterError(
                    f"{type(self).__name__}: no {what} matches {pattern!r}{did_you_mean(pattern, paths)}",
                    fix=f"the network's are: {', '.join(paths) or 'none'}",
                )
        return [path for path in paths if any(fnmatchcase(path, pattern) for pattern in self.layers)]

    def penalty(self, seen: Pass) -> Tensor:
        """The penalty of one pass."""
        raise NotImplementedError


def _rate(total: Tensor, count: Tensor | int) -> Tensor:
    """total/count over the samples of all processes."""
    if world_size() == 1:
        return total / count
    both = summed(torch.cat([total.flatten(), torch.as_tensor(count, dtype=total.dtype, device=total.device).view(1)]))
    return both[:-1].view(total.shape) / both[-1]


class FiringRateBand(Regularizer):
    """weight · mean over layers of mean over neurons n of max(low − r_n, 0)² + max(r_n − high, 0)².

    r_n is the spikes of neuron n per valid step, over the batch. Below the band silent neurons are woken, above it busy
    ones calmed; inside nothing happens.

    Args:
        low, high: spikes per step, 0 ≤ low < high ≤ 1.
        weight, layers: as in `Regularizer`; the layers are spiking neuron layers.

    Source: Zenke & Vogels 2021, doi:10.1162/neco_a_01367 (lower and upper bound on activity).
    """

    def __init__(
        self, low: float = 0.01, high: float = 0.3, weight: float = 1.0, layers: Sequence[str] = ("*",)
    ) -> None:
        super().__init__(weight, layers)
        if not 0.0 <= low < high <= 1.0:
            raise ParameterError(f"the band is {low} to {high} spikes per step", fix="0 ≤ low < high ≤ 1")
        self.low, self.high = low, high

    def penalty(self, seen: Pass) -> Tensor:
        terms = []
        for path in self.chosen(list(seen.spikes), "spiking layer"):
            s = seen.spikes[path].float()
            if seen.lengths is None:
                rate = s.mean((0, 1)) if world_size() == 1 else _rate(s.sum((0, 1)), s.shape[0] * s.shape[1])
            else:
                lengths = seen.lengths.to(s.device)
                valid = valid_mask(s.shape[0], lengths).view(*s.shape[:2], *[1] * (s.dim() - 2))
                rate = _rate(torch.where(valid, s, s.new_zeros(())).sum((0, 1)), lengths.sum())
            terms.append(((self.low - rate).relu().square() + (rate - self.high).relu().square()).mean())
        return self.weight * torch.stack(terms).mean()


class SynapticOperationBudget(Regularizer):
    """weight · max(S/budget − 1, 0)², where S is the mean number of synaptic operations of a sample.

    An input value counts as often as it has synapses (`snnkit.nn.watch.fan_out`); steps beyond the lengths do not.
    The input of the first layer has no gradient and is counted all the same.

    Args:
        budget: synaptic operations per sample, positive.
        weight, layers: as in `Regularizer`; the layers are synapse layers.

    Source: Sorbaro et al. 2020, doi:10.3389/fnins.2020.00662.
    """

    def __init__(self, budget: float, weight: float = 1.0, layers: Sequence[str] = ("*",)) -> None:
        super().__init__(weight, layers)
        if not budget > 0:
            raise ParameterError(f"the budget is {budget} synaptic operations", fix="give a positive number")
        self.budget = budget
        self._reach: dict[tuple[str, tuple[int, ...]], Tensor] = {}

    def operations(self, seen: Pass) -> Tensor:
        """S, a scalar with gradient."""
        chosen = set(self.chosen(list(dict.fromkeys(call.path for call in seen.inputs)), "synapse layer"))
        total = torch.zeros((), device=next(iter(seen.inputs)).x.device)
        for call in seen.inputs:
            if call.path not in chosen:
                continue
            key = (call.path, tuple(call.x.shape[2:]))
            if key not in self._reach or self._reach[key].device != call.x.device:
                reach = fan_out(call.module, key[1])
                assert reach is not None
                self._reach[key] = reach
            found = (call.masked().float().sum(0) * self._reach[key]).sum()
            if world_size() == 1:
                total = total + found / call.x.shape[1]
            else:
                total = total + _rate(found, call.x.shape[1] if seen.lengths is None else (seen.lengths > 0).sum())
        return total

    def penalty(self, seen: Pass) -> Tensor:
        return self.weight * (self.operations(seen) / self.budget - 1).relu().square()


class WeightPenalty(Regularizer):
    """weight · Σ |w| (`norm="l1"`, sparse) or weight · Σ w² (`"l2"`), over the weights of synapse layers, not biases.

    Unlike the optimizer's decoupled weight decay it takes part in the gradient.
    """

    def __init__(self, weight: float = 1e-4, norm: Literal["l1", "l2"] = "l1", layers: Sequence[str] = ("*",)) -> None:
        super().__init__(weight, layers)
        if norm not in ("l1", "l2"):
            raise ParameterError(f"unknown norm {norm!r}{did_you_mean(norm, ('l1', 'l2'))}", fix="l1 or l2")
        self.norm = norm

    def penalty(self, seen: Pass) -> Tensor:
        weights = {
            path: module.weight
            for path, module in seen.net.named_modules()
            if isinstance(getattr(module, "weight", None), Tensor)
            and not isinstance(module, torch.nn.modules.batchnorm._NormBase)
        }
        terms = [weights[path] for path in self.chosen(list(weights), "layer with weights")]
        each = [w.abs().sum() if self.norm == "l1" else w.square().sum() for w in terms]
        return self.weight * torch.stack(each).sum()


class ThresholdPenalty(Regularizer):
    """weight · mean over layers of mean (threshold − target)², over neuron layers whose threshold learns."""

    def __init__(self, target: float = 1.0, weight: float = 1.0, layers: Sequence[str] = ("*",)) -> None:
        super().__init__(weight, layers)
        self.target = target

    def penalty(self, seen: Pass) -> Tensor:
        learnt = {
            path: module.threshold
            for path, module in seen.net.named_modules()
            if isinstance(getattr(module, "threshold", None), torch.nn.Parameter)
        }
        terms = [
            (learnt[path] - self.target).square().mean()
            for path in self.chosen(list(learnt), "layer with a learnable threshold")
        ]
        return self.weight * torch.stack(terms).mean()


@contextlib.contextmanager
def watch(net: torch.nn.Module, lengths: Tensor | None = None) -> Iterator[Pass]:
    """Within it, a pass of `net` is watched for its penalties; spikes and inputs keep their gradient graph."""
    seen = Pass(net, lengths)
    with watch_synapses(net, lengths) as inputs, snn.record(net, spikes=True, detach=False) as rec:
        seen.inputs = inputs
        yield seen
    seen.spikes = dict(rec.spikes)
