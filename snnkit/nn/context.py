"""What a forward pass knows beside its tensors: states to take and leave, valid lengths, who records, who learns.

Layers consult it in `forward`, so that whole models (Sequential, skips, users' own modules) carry states without
passing them through their own code. It is per thread and per task (`contextvars`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from snnkit.errors import ShapeError, StateError


@dataclass
class Pass:
    """One forward pass of one model."""

    paths: dict[int, str]
    """Path in the model of each module, by `id`."""
    states: Mapping[str, Any] = field(default_factory=dict)
    """Initial states by path; a layer without one starts from its initial state."""
    final: dict[str, Any] | None = None
    """Final states by path, filled by the layers; None where nobody wants them."""
    lengths: Tensor | None = None
    """[B] valid steps of each sample; None where all steps of all samples are valid."""
    streaming: bool = False
    """Whether this is a part of a longer sequence, begun by an earlier pass or to be continued by a later one."""
    masks: dict[tuple[int, torch.device], Tensor] = field(default_factory=dict, init=False)
    """`valid_steps` for inputs of so many steps on a device, worked out once for all layers."""

    def path(self, module: torch.nn.Module) -> str | None:
        """The module's path in the model, None where it is not part of it."""
        return self.paths.get(id(module))

    def take(self, module: torch.nn.Module) -> Any:
        """The initial state given for this module, or None; claims the module's place in the pass."""
        assert self.final is not None
        path = self.path(module)
        if path is None:
            raise StateError(
                f"a stateful {type(module).__name__} is called that is no sub-module of the model being run",
                why="its state has no path, so it would be lost",
                fix="assign the layer to an attribute of the model, or keep such layers in a torch.nn.ModuleList",
            )
        if path in self.final:
            raise StateError(
                f"the stateful layer {path!r} ({type(module).__name__}) is called twice in one pass",
                why="one layer has one state; two calls would overwrite each other's",
                fix="use two layers, or call it with an explicit state: out, state = layer(x, state)",
            )
        self.final[path] = None
        return self.states.get(path)

    def leave(self, module: torch.nn.Module, state: Any) -> None:
        """Keep the module's final state."""
        assert self.final is not None
        self.final[self.paths[id(module)]] = state


class Recorder(Protocol):
    """Sees every sequence that a stateful layer has run."""

    def see(self, module: Any, x: Tensor, state: Any, out: Tensor) -> None:
        """`module` went through x [T, B, …] from `state` (None: at rest) to out [T, B, …]."""


class Learner(Protocol):
    """Runs synapses and neurons that learn by local rules."""

    def knows(self, module: torch.nn.Module) -> bool:
        """Whether this synapse or neuron takes part."""

    def through(self, synapse: torch.nn.Module, run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """The synapse's output for x [T, B, …], in the place of run(x)."""

    def sequence(self, neuron: Any, x: Tensor, state: Any, want_state: bool) -> tuple[Tensor, Tensor, Any]:
        """(input, output, final state) of the neuron, in the place of neuron.sequence(x, state, want_state)."""


_pass: ContextVar[Pass | None] = ContextVar("snnkit_pass", default=None)
_recorders: ContextVar[tuple[Recorder, ...]] = ContextVar("snnkit_recorders", default=())
_learners: ContextVar[tuple[Learner, ...]] = ContextVar("snnkit_learners", default=())

_again: ContextVar[bool] = ContextVar("snnkit_again", default=False)

# torch.compile cannot look into a ContextVar. It sees this flag, true while any thread is inside a pass, a recording or
# learning: a model compiled outside stays one graph, and inside it falls back to plain calls instead of losing state.
_busy = False
_entered = 0
_lock = threading.Lock()


def _count(change: int) -> None:
    global _busy, _entered
    with _lock:
        _entered += change
        _busy = _entered > 0


def current_pass() -> Pass | None:
    """The pass going on, or None."""
    return _pass.get() if _busy else None


def recorders() -> tuple[Recorder, ...]:
    """Those who are recording."""
    return _recorders.get() if _busy else ()


@contextlib.contextmanager
def enter_pass(new: Pass | None) -> Iterator[Pass | None]:
    """Make `new` the current pass (None: no pass)."""
    _count(1)
    token = _pass.set(new)
    try:
        yield new
    finally:
        _pass.reset(token)
        _count(-1)


@contextlib.contextmanager
def enter_recorder(recorder: Recorder) -> Iterator[None]:
    """Let `recorder` see the layers."""
    _count(1)
    token = _recorders.set((*_recorders.get(), recorder))
    try:
        yield
    finally:
        _recorders.reset(token)
        _count(-1)


def learners() -> tuple[Learner, ...]:
    """Those who are learning."""
    return _learners.get() if _busy else ()


def learner_of(module: torch.nn.Module) -> Learner | None:
    """Who runs this synapse or neuron because it learns, None where nobody does."""
    for learner in learners():
        if learner.knows(module):
            return learner
    return None


@contextlib.contextmanager
def enter_learner(learner: Learner | None) -> Iterator[None]:
    """Let `learner` run its layers; None: nobody learns."""
    _count(1)
    token = _learners.set(() if learner is None else (*_learners.get(), learner))
    try:
        yield
    finally:
        _learners.reset(token)
        _count(-1)


class _Nobody:
    """A recorder that keeps nothing."""

    def see(self, module: Any, x: Tensor, state: Any, out: Tensor) -> None:
        pass


@contextlib.contextmanager
def once_more(recorded: bool) -> Iterator[None]:
    """Let layers run again what they have run before: nobody records or learns, and running statistics stay.

    Args:
        recorded: whether somebody recorded then, which may have decided how layers run.
    """
    _count(1)
    tokens: list[tuple[ContextVar[Any], Any]] = [
        (_again, _again.set(True)),
        (_recorders, _recorders.set((_Nobody(),) if recorded else ())),
        (_learners, _learners.set(())),
    ]
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)
        _count(-1)


def is_again() -> bool:
    """Whether a layer runs what it has run before, for a backward pass."""
    return _busy and _again.get()


def module_paths(model: torch.nn.Module) -> dict[int, str]:
    """Path of every module by `id`; the model itself is `""`."""
    return {id(module): name for name, module in model.named_modules()}


def is_streaming() -> bool:
    """Whether the current pass sees a part of a longer sequence only."""
    going = current_pass()
    return going is not None and going.streaming


def valid_steps(x: Tensor) -> Tensor | None:
    """Mask [T, B] (bool) of the valid steps of x [T, B, …] in the current pass; None where all are."""
    going = current_pass()
    if going is None or going.lengths is None:
        return None
    lengths = going.lengths
    if lengths.shape != x.shape[1:2]:
        raise ShapeError(
            f"lengths of shape {tuple(lengths.shape)} beside an input of shape {tuple(x.shape)} [T, B, …]",
            fix="give one length per sample: lengths [B]",
        )
    steps = x.shape[0]
    mask = going.masks.get((steps, x.device))
    if mask is None:
        _check_lengths(lengths, steps, going.streaming)
        on_device = lengths.to(x.device, non_blocking=True)
        mask = torch.arange(steps, device=x.device)[:, None] < on_device[None, :]
        going.masks[steps, x.device] = mask
    return mask


def _check_lengths(lengths: Tensor, steps: int, streaming: bool) -> None:
    """Compare lengths with the steps there are, where that makes no device wait."""
    if lengths.device.type != "cpu" or lengths.numel() == 0:
        return
    values = lengths.detach().numpy()
    if values.min() < 0 or (values.max() > steps and not streaming):
        raise ShapeError(
            f"lengths from {values.min()} to {values.max()} beside an input of {steps} steps",
            fix="a length is the number of valid steps of a sample, 0 to T; where a model changes the number of steps, "
            "run its rest inside snn.valid_lengths(rest, new_lengths)",
        )
