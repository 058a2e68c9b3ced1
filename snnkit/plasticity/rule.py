"""The base of local learning rules: what they attach to, when they learn, what they receive."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from snnkit import nn as snn
from snnkit.errors import ParameterError, UsageError, did_you_mean
from snnkit.nn.learning import rules_of

R = TypeVar("R", bound="Rule")

MODES = ("batch", "online")


class Rule:
    """A local learning rule between a synapse layer and the neuron layer that it drives.

    It is attached when it is made. It learns inside `with snn.learning(model):` only. There, right after the neuron has
    run a sequence, `learn(pre, post, v, lengths, memory)` is called:

    - `mode="batch"`: once per sequence. The weights are the same for all steps and all samples.
    - `mode="online"`: once per step, with sequences of one step; synapse and neuron run step by step, because the
      next step's spikes depend on the weights of this one. All samples of the batch share the weights.

    For a rule of your own define `learn`, and `wants_v = True` if it needs the membrane. It changes
    `self.synapse.weight` in place, under `torch.no_grad()`. What it has to remember from one call to the next within a
    sequence or stream it returns, and gets back as `memory`; it keeps nothing itself, so there is nothing to reset.

    A rule works as a context manager too: `with STDP(model[0], model[1]):` is attached inside and detached after.

    Args:
        synapse: a `snn.Linear` or `snn.Conv2d` whose weight is a parameter of its own and not frozen.
        neuron: the spiking layer behind it. Something may lie between that keeps the shape (a batch norm), except
            in online mode.
        mode: `"batch"` or `"online"`.

    Raises:
        ParameterError: an unsupported layer, an unknown mode.
        UsageError: the layer is frozen, such a rule is attached to the pair already, the synapse's other rules belong
            to another neuron or mode.
    """

    layers: ClassVar[tuple[type, ...]] = (snn.Linear, snn.Conv2d)
    """Synapse layers that the rule can change."""
    wants_v: bool = False
    """Whether `learn` needs the membrane."""

    def __init__(self, synapse: torch.nn.Module, neuron: torch.nn.Module, mode: str = "batch") -> None:
        name = type(self).__name__
        if mode not in MODES:
            raise ParameterError(
                f"{name}(mode={mode!r}){did_you_mean(str(mode), MODES)}",
                fix='use "batch" (weights change after the sequence) or "online" (at every step)',
            )
        if not isinstance(synapse, self.layers):
            raise ParameterError(
                f"{name} cannot change a {_called(synapse)}",
                fix="attach it to a " + " or ".join(f"snn.{layer.__name__}" for layer in self.layers),
            )
        if not isinstance(neuron, snn.Stateful) or not neuron.spiking:
            raise ParameterError(
                f"{name} needs a layer that spikes behind the synapse, not a {_called(neuron)}",
                fix="attach it to a neuron layer such as snn.LIF",
            )
        if any(module is synapse for module in neuron.modules()):
            raise ParameterError(
                f"{name} cannot learn the synapse inside a {_called(neuron)}",
                why="that synapse runs within the layer, step by step, and hears the layer's own spikes",
                fix="attach it to the synapse before the layer",
            )
        self.synapse: Any = synapse
        self.neuron: Any = neuron
        self.mode = mode
        self.attach()

    @property
    def online(self) -> bool:
        """Whether weights change at every step."""
        return self.mode == "online"

    @property
    def attached(self) -> bool:
        """Whether the rule learns inside `snn.learning`."""
        return any(rule is self for rule in rules_of(self.synapse))

    def attach(self: R) -> R:
        """Attach the rule (again); returns it.

        Raises:
            UsageError: as for the class.
        """
        self.check()
        for rule in rules_of(self.synapse):
            if rule.neuron is not self.neuron or rule.online != self.online:
                what = "mode" if rule.neuron is self.neuron else "neuron"
                raise UsageError(
                    f"{self!r}: the synapse has a rule with another {what} already, {rule!r}",
                    fix="detach that one first: rule.detach()",
                )
            if type(rule) is type(self):
                raise UsageError(
                    f"{rule!r} is attached to this pair already"
                    + ("" if rule is not self else ", and is this very rule"),
                    why="the weights would change twice for each spike",
                    fix="detach it first: rule.detach()",
                )
        rules_of(self.synapse).append(self)
        return self

    def detach(self) -> None:
        """Attach no longer; the weights stay as they are."""
        rules = rules_of(self.synapse)
        rules[:] = [rule for rule in rules if rule is not self]

    def __enter__(self: R) -> R:
        return self if self.attached else self.attach()

    def __exit__(self, *error: object) -> None:
        self.detach()

    def check(self) -> None:
        """Raise UsageError where the synapse's weights are not to be changed in place."""
        weight = self.synapse._parameters.get("weight")
        if weight is None or getattr(self.synapse, "standardise", False):
            raise UsageError(
                f"{self!r}: the layer's weights are computed from others (a parametrization or standardised weights)",
                why="the rule would change what is stored by what the synapse used, and the two differ",
                fix="use a layer with plain weights",
            )
        if not weight.requires_grad:
            raise UsageError(
                f"{self!r}: the layer is frozen (its weight has requires_grad=False)",
                why="frozen means that the weights do not change, by whatever rule",
                fix="weight.requires_grad_(True); to keep gradients away, leave it out of the optimizer instead",
            )

    def learn(self, pre: Tensor, post: Tensor, v: Tensor | None, lengths: Tensor | None, memory: Any) -> Any:
        """Change `self.synapse.weight` by a sequence of spikes.

        Args:
            pre: what the synapse was given, [T, B, N] or [T, B, C, H, W], detached.
            post: the neuron's spikes, [T, B, N'] or [T, B, C', H', W'], detached.
            v: the neuron's membrane after each step's reset, as post; None unless `wants_v`.
            lengths: [B] valid steps of each sample (`snn.valid_lengths`); None where all are.
            memory: what this returned for the step before (online) or the part before (`carry`); None at the start.

        Returns:
            What the next call of the same sequence needs to know; None where nothing.
        """
        raise NotImplementedError

    def run(
        self, pre: Tensor, state: Any, lengths: Tensor | None, memory: Any
    ) -> tuple[Tensor, Tensor, Any, Any] | None:
        """Run synapse, neuron and learning over a whole sequence, for online rules that can do so in one call.

        Args:
            pre: the synapse's input, [T, B, …].
            state: the neuron's state before.
            lengths, memory: as for `learn`.

        Returns:
            The neuron's input and output [T, B, …], its state and the rule's memory after; None, the default, where
            the steps are to be run one by one.
        """
        return None

    def __repr__(self) -> str:
        weight = " × ".join(map(str, self.synapse.weight.shape))
        return f"{type(self).__name__}({type(self.synapse).__name__} [{weight}] → {type(self.neuron).__name__})"


def _called(module: object) -> str:
    """How a user calls a module's class: `torch.nn.Linear`."""
    cls = type(module)
    home = "torch.nn." if cls.__module__.startswith("torch.nn.") else ""
    return home + cls.__name__
