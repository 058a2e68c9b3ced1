"""The peer's network and ours on one batch: how many spikes differ, layer by layer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from snnkit.errors import ConversionError
from snnkit.nn.convert import snntorch
from snnkit.nn.convert.report import ConvertedLayer

Neurons = Mapping[str, tuple[nn.Module, nn.Module, float]]
"""Path → the peer's neuron, ours, and the gain of the peer's input that ours has in the layers before it."""


def first(output: Any) -> Any:
    """The spikes of what snntorch's neurons give: a tensor, or a tuple that begins with it."""
    return output[0] if isinstance(output, tuple) else output


def stacked(output: Any) -> Any:
    """A list of steps as one tensor [T, B, …]."""
    return torch.stack(output) if isinstance(output, list) else output


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Within it the module is in evaluation mode, without gradients."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode


@contextlib.contextmanager
def at_rest(module: nn.Module) -> Iterator[None]:
    """Within it the peer's neurons begin at rest; afterwards they have the state that they had."""
    memories = [m for m in module.modules() if hasattr(m, "_memories") and hasattr(m, "_memories_rv")]
    held: list[tuple[Any, str, Any]] = [(m, "_memories", m._memories) for m in memories]
    held += [(m, "v_seq", m.v_seq) for m in memories if getattr(m, "v_seq", None) is not None]
    for m in module.modules():
        if snntorch.is_neuron(m):
            held += [
                (m, name, getattr(m, name)) for name in snntorch.STATES if isinstance(getattr(m, name, None), Tensor)
            ]
    for m, name, value in held:
        if name == "_memories":
            fresh = {k: list(v) if isinstance(v, list) else v for k, v in m._memories_rv.items()}
            m.__dict__["_memories"] = fresh
        elif name != "v_seq":
            setattr(m, name, torch.zeros(0, device=value.device))
    try:
        yield
    finally:
        for m, name, value in held:
            if name == "_memories":
                m.__dict__["_memories"] = value
            else:
                setattr(m, name, value)


def run_peer(module: nn.Module, neurons: Neurons, x: Tensor, multi_step: bool) -> tuple[Any, dict[str, Any]]:
    """The peer's output, and path → (inputs, outputs) of its neurons over the sequence.

    Raises:
        ConversionError: the network cannot run on x, or runs a neuron several times in one pass.
    """
    seen: dict[str, tuple[list[Tensor], list[Any]]] = {path: ([], []) for path in neurons}

    def watch(path: str) -> Callable[..., Any]:
        def hook(neuron: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
            seen[path][0].append(inputs[0])
            seen[path][1].append(stacked(first(output)))
            return first(output)

        return hook

    handles = [peer.register_forward_hook(watch(path)) for path, (peer, _, _) in neurons.items()]
    try:
        with evaluating(module), at_rest(module):
            out = module(x) if multi_step else torch.stack([first(module(x_t)) for x_t in x.unbind(0)])
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        expected = "what it takes as a multi-step network" if multi_step else "[T, B, features…]"
        raise ConversionError(
            f"the network that was to be converted fails on an input of shape {tuple(x.shape)}",
            why=str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
            fix=f"x is {expected}",
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    signals = {}
    for path, (peer, _, _) in neurons.items():
        inputs, outputs = seen[path]
        if not inputs:
            continue
        once = getattr(peer, "step_mode", "s") == "m" or type(peer).__name__.startswith("NonSpiking")
        if once and len(inputs) > 1:
            raise ConversionError(
                f"{path!r} is called {len(inputs)} times in one pass, and keeps its membrane from one call to the next",
                fix="give each call a neuron of its own",
            )
        signals[path] = (inputs[0], outputs[0]) if once else (torch.stack(inputs), torch.stack(outputs))
    return stacked(first(out)), signals


def run_ours(model: nn.Module, neurons: Neurons, x: Tensor) -> tuple[Any, dict[str, Tensor]]:
    """Our output, and path → output of the neurons."""
    seen: dict[str, Tensor] = {}

    def watch(path: str) -> Callable[..., Any]:
        return lambda module, inputs, output: seen.__setitem__(path, output)

    handles = [ours.register_forward_hook(watch(path)) for path, (_, ours, _) in neurons.items()]
    try:
        with evaluating(model):
            out = model(x)
    finally:
        for handle in handles:
            handle.remove()
    return out, seen


def largest(a: Any, b: Any) -> float | None:
    """The largest difference of two tensors; None for anything else."""
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)) or a.shape != b.shape:
        return None
    return float((a - b).abs().max()) if a.numel() else 0.0


def compare(
    peer: nn.Module, model: nn.Module, neurons: Neurons, rows: list[ConvertedLayer], x: Tensor, multi_step: bool
) -> tuple[list[ConvertedLayer], float | None]:
    """The rows with their counts, and the largest difference of the outputs.

    Raises:
        ConversionError: the peer's network cannot run on x.
    """
    theirs, signals = run_peer(peer, neurons, x, multi_step)
    ours, outputs = run_ours(model, neurons, x)
    counted = []
    for row in rows:
        if row.path not in signals or row.path not in outputs:
            counted.append(row)
            continue
        given, wanted = signals[row.path]
        _, module, scale = neurons[row.path]
        got = outputs[row.path]
        if not fires(module):
            counted.append(replace(row, compared=wanted.numel(), deviation=largest(got, wanted)))
            continue
        with evaluating(module):
            alone = module(given * scale if scale != 1 else given)
        counted.append(
            replace(
                row,
                compared=wanted.numel(),
                differing=int((got != wanted).sum()),
                alone=int((alone != wanted).sum()),
            )
        )
    return counted, largest(ours, theirs)


def fires(module: nn.Module) -> bool:
    """Whether what a neuron, or the last one of a Sequential, gives are spikes."""
    last = module[-1] if isinstance(module, nn.Sequential) else module
    return bool(getattr(last, "spiking", False))
