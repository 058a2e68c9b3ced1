"""What a run is asked for, checked: the inputs of its ports, the states to return, the draws to inject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from snnkit.descriptor.schema import Manifest
from snnkit.errors import ShapeError, UsageError, did_you_mean

Array = np.ndarray[Any, Any]
Probes = Sequence[str] | Mapping[str, Sequence[str]]

_STATES = ("s", "u", "v")


def inputs(manifest: Manifest, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The model's inputs as uint8 [T, B, n].

    Raises:
        UsageError: an unknown port, a type or count that it does not carry. ShapeError: another shape.
    """
    ports = manifest.inputs
    names = [p.name for p in ports]
    for name in inputs:
        if name not in names:
            gates = [p.name for p in manifest.ports if p.gate_from is not None]
            why = "gate ports are driven by the emulator" if name in gates else f"data ports: {', '.join(names)}"
            what = f"{name!r} is no data port of {manifest.name!r}{did_you_mean(name, names)}"
            raise UsageError(what, why=why)
    given: dict[str, Array] = {}
    for port in ports:
        if port.name not in inputs:
            raise UsageError(f"port {port.name!r} got no input", fix=f"give uint8 [T, B, {port.n}]")
        a = np.asarray(inputs[port.name])
        if a.ndim > 3 and a.shape[2:] == port.shape:
            a = a.reshape(*a.shape[:2], port.n)
        if a.ndim != 3 or a.shape[2] != port.n:
            raise ShapeError(f"port {port.name!r} got shape {list(a.shape)}, expected [T, B, {port.n}]")
        if a.dtype == bool:
            a = a.view(np.uint8)
        if a.dtype != np.uint8:
            raise UsageError(f"port {port.name!r} got type {a.dtype}, expected uint8")
        if a.size and int(a.max()) > port.max_count:
            raise UsageError(
                f"port {port.name!r} got a count of {int(a.max())}, it carries at most {port.max_count} per step",
                fix="bin the events to binary frames",
            )
        given[port.name] = a
    if not given:
        raise UsageError("the network has no data port: its length is unknown", fix="give it an input")
    first = next(iter(given.values()))
    if any(a.shape[:2] != first.shape[:2] for a in given.values()):
        raise ShapeError("the ports got different numbers of steps or samples")
    return given


def probes(layers: Sequence[str], probes: Probes) -> dict[str, tuple[str, ...]]:
    """The states to return of each layer.

    Raises:
        UsageError: an unknown layer or state.
    """
    chosen = dict(probes) if isinstance(probes, Mapping) else dict.fromkeys(layers, tuple(probes))
    for name, states in chosen.items():
        if name not in layers:
            raise UsageError(
                f"no layer is called {name!r}{did_you_mean(name, layers)}", fix=f"known: {', '.join(layers)}"
            )
        for state in states:
            if state not in _STATES:
                raise UsageError(f"there is no probe of {state!r}", fix=f"use {', '.join(_STATES)}")
    return {name: tuple(chosen.get(name, ())) for name in layers}


def noise(
    placement: Mapping[str, Array], n: int, noise: Mapping[str, Array], ticks: int, batch: int, continuous: bool
) -> Array:
    """Draws to inject into all `n` neurons of a chip, int32 [ticks, 1 or B, n], from those by layer.

    Raises:
        UsageError: an unknown layer, or a continuous run. ShapeError: a shape that does not fit.
    """
    if continuous:
        raise UsageError("injected noise and continuous running cannot be combined")
    wide = any(np.ndim(a) == 3 for a in noise.values())
    full = np.zeros((ticks, batch if wide else 1, n), np.int32)
    for name, draws in noise.items():
        if name not in placement:
            known = list(placement)
            raise UsageError(f"no layer is called {name!r}{did_you_mean(name, known)}")
        a = np.asarray(draws)
        a = a[:, None] if a.ndim == 2 else a
        mine = len(placement[name])
        if a.ndim != 3 or a.shape[0] < ticks or a.shape[1] not in (1, batch) or a.shape[2] != mine:
            raise ShapeError(f"noise of layer {name!r} has shape {list(a.shape)}, expected [{ticks}, {batch}, {mine}]")
        full[:, :, placement[name]] = a[:ticks]
    return full
