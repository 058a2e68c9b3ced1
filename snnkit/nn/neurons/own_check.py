"""What a step of a user's own neuron has to keep to, checked by one call on the first input of each kind."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from snnkit.errors import ParameterError, ShapeError, StateError, UsageError
from snnkit.kernels.chunks import name_of
from snnkit.nn.neurons.own_values import map_values
from snnkit.nn.shapes import layer_name

SIGNATURE = "step(x, state, params) -> (out, state)"


def check_signature(step: Any) -> None:
    """Require a function of (x, state, params).

    Raises:
        ParameterError: none, or one of other arguments.
    """
    if not callable(step) or isinstance(step, type | torch.nn.Module):
        raise ParameterError(
            f"the step is {'the class ' + step.__name__ if isinstance(step, type) else f'a {type(step).__name__}'}",
            why="it has to be a function, the definition of the neuron",
            fix=f"def {SIGNATURE}, with weights and other numbers given by params=…",
        )
    try:
        signature = inspect.signature(step)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(None, None, None)
    except TypeError as error:
        raise ParameterError(f"the step {name_of(step)}{signature} {error}", fix=f"def {SIGNATURE}") from error


def _tensors(what: str, values: Any) -> Iterator[tuple[str, Tensor]]:
    found: list[tuple[str, Tensor]] = []

    def see(path: str, value: Any) -> None:
        if isinstance(value, Tensor):
            found.append((f"{what}.{path}", value))

    if values is not None:
        map_values(see, values)
    yield from found


def check_state_like(state: Any, step: Any) -> None:
    """Require a state to be a NamedTuple of tensors.

    Raises:
        StateError: it is something else.
    """
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        bad = [name for name, value in zip(state._fields, state, strict=True) if not isinstance(value, Tensor)]
        if not bad:
            return
        what = f"whose {bad[0]} is a {type(getattr(state, bad[0])).__name__}"
    else:
        what = f"which is a {type(state).__name__}"
    raise StateError(
        f"the neuron of step {name_of(step)} starts from a state {what}",
        fix="a state is a NamedTuple of tensors: class State(NamedTuple): v: Tensor",
    )


@torch.no_grad()
def check_step(layer: torch.nn.Module, step: Any, x: Tensor, state: Any, params: Any) -> None:
    """Run one step, x [B, …], and require what sequences rely on; leaves random numbers as they were.

    Raises:
        UsageError: it changes its input, state or parameters in place, or returns no (out, state).
        ShapeError: out is no tensor of the input's shape.
        StateError: the state after it is of another class, shape, dtype or device than before.
    """
    where = f"the step {name_of(step)} of layer {layer_name(layer)}"
    x, state = x.clone(), type(state)(*(t.clone() for t in state))
    tensors = [("its input x", x), *_tensors("state", state), *_tensors("params", params)]
    before = [(name, t, t._version) for name, t in tensors if not t.is_inference()]
    devices = [x.device] if x.device.type == "cuda" else []
    failure: Exception | None = None
    result: Any = None
    try:
        with torch.random.fork_rng(devices):
            result = step(x, state, params)
    except Exception as error:
        failure = error
    changed = [name for name, t, version in before if t._version != version]
    if changed:
        raise UsageError(
            f"{where} changes {', '.join(changed)} in place",
            why="the backward pass, streaming and recording need them as they were",
            fix="compute new tensors: v = v * decay + x instead of v.mul_(decay).add_(x) or v += x",
        ) from failure
    if failure is not None:
        failure.add_note(f"in {where}, given x of shape {tuple(x.shape)}")
        raise failure
    if not isinstance(result, tuple) or hasattr(result, "_fields") or len(result) != 2:
        found = f"a tuple of {len(result)}" if type(result) is tuple else f"a {type(result).__name__}"
        raise UsageError(f"{where} returns {found}", fix="return out, state")
    out, after = result
    if not isinstance(out, Tensor) or out.shape != x.shape:
        found = f"of shape {tuple(out.shape)}" if isinstance(out, Tensor) else f"that is a {type(out).__name__}"
        raise ShapeError(
            f"{where} returns an output {found} for x of shape {tuple(x.shape)}",
            why="a neuron layer has one output per input" + ("" if isinstance(out, Tensor) else "; return out, state"),
            fix="sums over features belong into a synapse in front of the neuron",
        )
    if type(after) is not type(state):
        raise StateError(
            f"{where} returns a state that is a {type(after).__name__}, it was given a {type(state).__name__}",
            fix=f"return out, {type(state).__name__}(…), or state._replace(v=v)",
        )
    for name, old in state._asdict().items():
        new = getattr(after, name)
        if not isinstance(new, Tensor):
            raise StateError(f"{where} returns a state whose {name} is a {type(new).__name__}", fix="keep it a tensor")
        for quality in ("shape", "dtype", "device"):
            was, now = getattr(old, quality), getattr(new, quality)
            if was != now:
                was, now = (tuple(was), tuple(now)) if quality == "shape" else (was, now)
                raise StateError(
                    f"{where} changes the {quality} of {name} from {was} to {now}",
                    why="the state after a step is what the next one starts from",
                    fix="a state keeps its shape [B, features…], dtype and device; sum or cast inside the step only",
                )
