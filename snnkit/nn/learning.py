"""Learning by local rules: `with snn.learning(model)`, and the delivery of spikes to `snnkit.plasticity`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from snnkit.errors import ShapeError, UsageError
from snnkit.nn.context import current_pass, enter_learner, learners, module_paths, valid_steps

Run = Callable[[Tensor], Tensor]

ATTRIBUTE = "_local_rules"
"""Where a synapse keeps its rules, so that they go along when a model is copied or pickled."""


class LocalRule(Protocol):
    """What `snnkit.plasticity.Rule` is to the layers."""

    synapse: Any
    neuron: Any
    wants_v: bool

    @property
    def online(self) -> bool:
        """Whether it learns at every step."""

    def check(self) -> None:
        """Raise where the pair cannot learn."""

    def learn(self, pre: Tensor, post: Tensor, v: Tensor | None, lengths: Tensor | None, memory: Any) -> Any:
        """Change the synapse after a sequence. memory: what the part before returned, None at the start."""

    def run(
        self, pre: Tensor, state: Any, lengths: Tensor | None, memory: Any
    ) -> tuple[Tensor, Tensor, Any, Any] | None:
        """All steps of synapse, neuron and rule: (neuron's input, its output, state, memory); None if it cannot."""


class Heard(NamedTuple):
    """What a synapse was given, while its neuron has not run yet."""

    pre: Tensor
    out: Tensor
    run: Run


def rules_of(synapse: torch.nn.Module) -> list[LocalRule]:
    """The rules attached to a synapse, a list to add to and remove from."""
    return vars(synapse).setdefault(ATTRIBUTE, [])


class Learning:
    """Delivers the spikes of one model's pairs to their rules."""

    def __init__(self, model: torch.nn.Module, carry: bool) -> None:
        self._rules: dict[int, list[LocalRule]] = {}
        self._synapses: dict[int, list[Any]] = {}
        self._heard: dict[int, Heard] = {}
        self._memory: dict[int, Any] | None = {} if carry else None
        self._paths = module_paths(model)
        for module in model.modules():
            rules = vars(module).get(ATTRIBUTE)
            if not rules:
                continue
            for rule in rules:
                if id(rule.neuron) not in self._paths:
                    raise UsageError(
                        f"the rule {rule!r} of layer {self._name(module)} has its neuron outside the model",
                        fix="give snn.learning the model that contains both, or detach the rule",
                    )
                rule.check()
            self._rules[id(module)] = list(rules)
            self._synapses.setdefault(id(rules[0].neuron), []).append(module)
        if not self._rules:
            raise UsageError(
                "no rule is attached to a layer of the model",
                fix="attach one first, e.g. snnkit.plasticity.STDP(model[0], model[1])",
            )
        taken = [
            m for m in self._rules if any(m in other._rules for other in learners() if isinstance(other, Learning))
        ]
        if taken:
            raise UsageError(
                f"layer {self._paths[taken[0]]!r} is learning already",
                why="a `with snn.learning(…)` inside another would apply its rules twice",
                fix="use one block",
            )

    def knows(self, module: torch.nn.Module) -> bool:
        """Whether this synapse or neuron takes part."""
        return id(module) in self._rules or id(module) in self._synapses

    def _name(self, module: torch.nn.Module) -> str:
        return f"{self._paths.get(id(module), '?')!r} ({type(module).__name__})"

    def _online(self, synapse: torch.nn.Module) -> bool:
        return self._rules[id(synapse)][0].online

    def through(self, synapse: torch.nn.Module, run: Run, x: Tensor) -> Tensor:
        """Called by a synapse in the place of run(x), its output."""
        if id(synapse) not in self._rules:
            return run(x)
        if id(synapse) in self._heard:
            raise UsageError(
                f"layer {self._name(synapse)} is called again before its neuron has run",
                why="its rule pairs what the synapse was given with what the neuron then did",
                fix="call the synapse once per pass, its neuron after it",
            )
        if self._online(synapse):
            with torch.no_grad():
                one = run(x[:1])
            # The neuron runs this synapse again, step by step. Who else reads the output sees at once that it is none.
            out = one.new_full((), float("nan")).expand(x.shape[0], *one.shape[1:])
        else:
            out = _protected(synapse, run, x)
        self._heard[id(synapse)] = Heard(x, out, run)
        return out

    def sequence(self, neuron: Any, x: Tensor, state: Any, want_state: bool) -> tuple[Tensor, Tensor, Any]:
        """Called by a neuron in the place of neuron.sequence: (its input, its output, final state)."""
        synapses = self._synapses.get(id(neuron))
        if synapses is None:
            return x, *neuron.sequence(x, state, want_state)
        heard = []
        for synapse in synapses:
            if id(synapse) not in self._heard:
                raise UsageError(
                    f"layer {self._name(neuron)} runs, but its synapse {self._name(synapse)} has not run before it",
                    why="a rule that is attached to the two needs the spikes of both",
                    fix="attach the rule to a synapse and the neuron that it drives",
                )
            heard.append(self._heard.pop(id(synapse)))
        for synapse, (_, out, _) in zip(synapses, heard):
            if out.shape != x.shape:
                raise ShapeError(
                    f"the rule between {self._name(synapse)} and {self._name(neuron)} finds an output of shape "
                    f"{tuple(out.shape)} at the one and an input of shape {tuple(x.shape)} at the other",
                    why="a weight changes with the spikes of the two neurons that it connects",
                    fix="attach the rule to a neuron that the synapse drives directly, with no pool or flatten between",
                )
        if any(self._online(synapse) for synapse in synapses):
            if x is not heard[0].out or len(synapses) > 1:
                raise UsageError(
                    f"online learning between {self._name(synapses[0])} and {self._name(neuron)}: the neuron's input "
                    "is not the output of the synapse itself",
                    why="the two are run together, step by step, because spikes depend on weights that just changed",
                    fix="put nothing between the two, or use mode='batch'",
                )
            return self._stepwise(neuron, synapses[0], heard[0], x, state, want_state)
        out, final = neuron.sequence(x, state, want_state)
        lengths = _lengths(heard[0].pre)
        v = self._membrane(neuron, synapses, x, state)
        for synapse, (pre, _, _) in zip(synapses, heard):
            self._deliver(synapse, pre.detach(), out.detach(), v, lengths, self._memory)
        return x, out, final

    def _membrane(self, neuron: Any, synapses: list[Any], x: Tensor, state: Any) -> Tensor | None:
        if not any(rule.wants_v for synapse in synapses for rule in self._rules[id(synapse)]):
            return None
        with torch.no_grad():
            return neuron.membrane(x, state)

    def _deliver(
        self, synapse: Any, pre: Tensor, post: Tensor, v: Tensor | None, lengths: Tensor | None, memory: Any
    ) -> None:
        for rule in self._rules[id(synapse)]:
            after = rule.learn(pre, post, v, lengths, None if memory is None else memory.get(id(rule)))
            if memory is not None:
                memory[id(rule)] = after

    def _stepwise(
        self, neuron: Any, synapse: Any, heard: Heard, x: Tensor, state: Any, want_state: bool
    ) -> tuple[Tensor, Tensor, Any]:
        lengths = _lengths(heard.pre)
        memory = {} if self._memory is None else self._memory
        if state is None:
            state = neuron.initial_state(x)
        rules = self._rules[id(synapse)]
        if len(rules) == 1:
            done = rules[0].run(heard.pre, state, lengths, memory.get(id(rules[0])))
            if done is not None:
                y, out, state, memory[id(rules[0])] = done
                return y, out, state if want_state else None
        inputs, outputs = [], []
        for t, pre in enumerate(heard.pre.split(1)):
            y = _protected(synapse, heard.run, pre)
            v = self._membrane(neuron, [synapse], y, state)
            out, state = neuron.sequence(y, state, want_state=True)
            valid = None if lengths is None else (lengths > t).to(lengths.dtype)
            self._deliver(synapse, pre.detach(), out.detach(), v, valid, memory)
            inputs.append(y)
            outputs.append(out)
        return torch.cat(inputs), torch.cat(outputs), state if want_state else None

    def finish(self) -> None:
        """At the end of the block: nothing may be left over."""
        for key in self._heard:
            raise UsageError(
                f"layer {self._paths[key]!r} has run, the neuron of its rule, "
                f"{self._name(self._rules[key][0].neuron)}, has not",
                why="a rule that is attached to the two needs the spikes of both",
                fix="attach the rule to the neuron that the synapse drives",
            )


def _lengths(pre: Tensor) -> Tensor | None:
    """The valid steps [B] of the current pass, None where all are valid."""
    if valid_steps(pre) is None:  # also checks them
        return None
    going = current_pass()
    assert going is not None
    assert going.lengths is not None
    return going.lengths.to(pre.device)


def _protected(synapse: torch.nn.Module, run: Run, x: Tensor) -> Tensor:
    """run(x), whose backward pass will see the weights as they are now, whatever a rule does to them until then."""
    if not torch.is_grad_enabled():
        return run(x)
    weights = synapse.weight.untyped_storage().data_ptr()  # type: ignore[union-attr, operator]

    def keep(saved: Tensor) -> Tensor:
        return saved.clone() if saved.untyped_storage().data_ptr() == weights else saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        return run(x)


@contextlib.contextmanager
def learning(model: torch.nn.Module, carry: bool = False) -> Iterator[None]:
    """Within it, the local rules attached to layers of the model change weights: `with snn.learning(model): model(x)`.

    Each rule of `snnkit.plasticity` receives the spikes [T, B, …] of its synapse's input and of its neuron right after
    the neuron has run, and changes the weights at once, whether gradients are recorded or not. A later `backward()`
    uses the weights of the forward pass, so that a step may mix rules and gradients: an optimizer then adds its part
    to weights that have learned already. Outside of the block rules cost nothing.

    Args:
        model: the model that will be run inside the block, by call, `snn.run` or otherwise, in train or eval mode.
        carry: what a rule remembers of a sequence (traces) goes on into the next call, for the parts of a stream.

    Raises:
        UsageError: no rule is attached; a rule's layer is frozen; the block is inside another for the same layers; a
            synapse and its neuron are not run in turn; online learning with something between the two.
        ShapeError: a synapse's output does not have the shape of its neuron's input.
    """
    learner = Learning(model, carry)
    with enter_learner(learner):
        yield
        learner.finish()
