"""What quantising a layer cost, in words and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnkit.graph.findings import Finding
from snnkit.graph.neurons import SpinnakerNeuron
from snnkit.targets.spinnaker import scales, spec

Array = np.ndarray[Any, Any]


def connection_row(real: Array, factor: Array, rounded: Array, word: Array) -> dict[str, Any]:
    """One connection: weights, clipped and zeroed ones, the largest word, and the error relative to the weights."""
    error = (word / factor - real) ** 2
    return {
        "weights": int(np.count_nonzero(real)),
        "clipped": int(np.sum(rounded != word)),
        "zeroed": int(np.sum((word == 0) & (real != 0))),
        "largest_word": int(np.abs(word).max(initial=0)),
        "rms_error_of_rms": float(np.sqrt(np.mean(error) / max(np.mean(real**2), 1e-30)) if real.size else 0.0),
    }


def describe(layer: Any, scale: Any, neuron: SpinnakerNeuron, bound: str, down: Array) -> None:
    """Fill a layer's report and findings. `down`: words of all inhibitory sources at once [n]."""
    name, decay, units = layer.population.name, layer.decay, scale.words * layer.gain * 2.0**scale.shift
    error = float(np.abs(layer.membrane.a / spec.ONE - decay).max(initial=0))
    if layer.synapse is not None:
        lost = layer.synapse.decay / 2.0**32 - np.asarray(layer.population.neuron.decay_syn, np.float64)
        error = max(error, float(np.abs(lost).max(initial=0)))
    layer.report |= {
        "model": "IF_curr_exp" if layer.exponential else "IF_curr_delta",
        "exact_weights": bool(scale.exact.all()),
        "ring_bound": bound,
        "shift": scale.shift,
        "scale_min": float(units.min(initial=np.inf)) / spec.ONE,
        "scale_max": float(units.max(initial=0)) / spec.ONE,
        "decay_error_max": error,
    }
    layer.report.setdefault("connections", {})
    if layer.threshold is not None:
        levels = layer.threshold * units
        layer.report["threshold_error_max"] = float(
            (np.abs(neuron.v_thresh - levels) / np.maximum(levels, 1e-30)).max(initial=0)
        )
    if np.any(decay == 1.0):
        layer.findings += _integrators(layer, scale, neuron, units, down)
    if bound == "rates":
        layer.findings.append(
            Finding("RING_BOUND", name, "that no slot saturates follows from the measured firing rates only",
                    severity="note", remedy="the emulator counts saturations; fewer inputs per neuron prove it")
        )  # fmt: skip


def _integrators(layer: Any, scale: Any, neuron: SpinnakerNeuron, units: Array, down: Array) -> list[Finding]:
    """What is left of a decay of 1, by neuron: nothing, a rise below a bound, or the leak of the longest tau_m."""
    ideal = layer.decay == 1.0
    per_step = down - np.minimum(np.rint(layer.bias * units), 0)
    ticks = np.inf if layer.ticks is None else float(layer.ticks)
    with np.errstate(invalid="ignore"):
        lowest = np.where(per_step > 0, per_step * ticks, 0.0)
    sure = scale.window & ((lowest <= -neuron.v_rest.astype(np.float64)) | (layer.threshold is None))
    bounded, leaky = ideal & scale.window & ~sure, ideal & ~scale.window
    layer.report["integrators"] = {"exact": int((ideal & sure).sum()), "exact_above_a_bound": int(bounded.sum()),
                                   "leaky": int(leaky.sum())}  # fmt: skip
    found = []
    if bounded.any():
        depth = float((-neuron.v_rest / units)[bounded].min())
        step = float((1 / units)[bounded].max())
        found.append(
            Finding("IF_LEAK", layer.population.name, f"{int(bounded.sum())} pure integrators are exact down to "
                    f"v = -{depth:g}; below, v rises by {step:g} a step", severity="note",
                    remedy="fewer inhibitory sources, or shorter samples, prove that v stays above")
        )  # fmt: skip
    if leaky.any():
        found.append(
            Finding("IF_LEAK", layer.population.name, f"{int(leaky.sum())} neurons of decay 1: the longest time "
                    f"constant leaks 1/{scales.WINDOW} of v a step", severity="note",
                    remedy="weights that are multiples of one unit (such as trinary ones) on a LIF make it exact")
        )  # fmt: skip
    return found
