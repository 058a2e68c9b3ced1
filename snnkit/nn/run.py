"""Whole models with states: `run`, `stream` and `valid_lengths`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from snnkit.errors import SnnkitError, StateError, did_you_mean
from snnkit.kernels.state import detach_state
from snnkit.nn.check import explain_failure
from snnkit.nn.context import Pass, current_pass, enter_pass, module_paths
from snnkit.nn.module import Stateful
from snnkit.nn.shapes import refuse_list


def run(
    model: torch.nn.Module,
    x: Tensor | tuple[Tensor, ...],
    states: Mapping[str, Any] | None = None,
    lengths: Tensor | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Run any model and carry the states of its layers: `out, states = snn.run(model, x, states)`.

    Args:
        model: any module; the stateful layers inside are found by their path.
        x: input [T, B, …], or a tuple of the model's positional arguments.
        states: path → state as an earlier run returned it; None: everything at rest. Gradients flow through states;
            cut them with `{path: state.detach() for …}` (truncated back-propagation through time). With states, x is
            a part of a longer sequence, so a batch norm must be in evaluation mode.
        lengths: valid steps [B] of each sample, for layers whose statistics ignore the rest (`BatchNorm`).

    Returns:
        The model's output, and the final states by path.

    Raises:
        StateError: a state for a path that does not exist or is another layer's, a stateful layer called twice in
            one pass, or one that is no sub-module of the model.
            Also a batch norm in training mode beside states.
        ShapeError: an input that does not fit a layer; the message names it. Also a list of samples of unequal length.
    """
    return _run(model, x, states, lengths, streaming=bool(states))


def _run(
    model: torch.nn.Module,
    x: Tensor | tuple[Tensor, ...],
    states: Mapping[str, Any] | None,
    lengths: Tensor | None,
    streaming: bool,
) -> tuple[Any, dict[str, Any]]:
    paths = module_paths(model)
    given = dict(states or {})
    stateful = [name for name, module in model.named_modules() if isinstance(module, Stateful)]
    for path in given:
        if path not in stateful:
            raise StateError(
                f"a state for {path!r}, which is no stateful layer of the model{did_you_mean(path, stateful)}",
                fix="the model's stateful layers are " + (", ".join(repr(p) for p in stateful) or "none"),
            )
    refuse_list(x)
    inputs = x if isinstance(x, tuple) else (x,)
    final: dict[str, Any] = {}
    with enter_pass(Pass(paths, given, final, lengths, streaming)):
        try:
            out = model(*inputs)
        except SnnkitError:
            raise
        except (RuntimeError, ValueError, IndexError) as error:
            explanation = explain_failure(model, inputs)
            if explanation is None:
                raise
            raise explanation from error
    return out, final


def stream(
    model: torch.nn.Module, chunks: Iterable[Tensor], states: Mapping[str, Any] | None = None
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Run a model over consecutive chunks [Tᵢ, B, …] of one long sequence; yields (out, states) of each.

    Bit for bit what one call over the whole sequence gives in the neuron layers. The states are detached between
    chunks, so memory does not grow with the number of chunks.

    Raises:
        StateError: a batch norm is in training mode (a chunk's statistics are not the sequence's), and as `run`.
        ShapeError: as `run`.
    """
    for chunk in chunks:
        out, after = _run(model, chunk, states, None, streaming=True)
        states = {path: detach_state(state) for path, state in after.items()}
        yield out, states


@contextlib.contextmanager
def valid_lengths(model: torch.nn.Module, lengths: Tensor | None) -> Iterator[None]:
    """Within it, `model(x)` ignores steps at and beyond `lengths` [B] wherever statistics are taken.

    For callers that do not need states; inside `snn.run` give it `lengths` instead.
    """
    going = current_pass()
    if going is None:
        going = Pass(module_paths(model), lengths=lengths)
    else:
        going = replace(going, lengths=lengths)
    with enter_pass(going):
        yield
