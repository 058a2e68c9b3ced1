"""From a run to what trains it through a virtual chip: exported, placed, and its wiring read back from the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from snnkit.descriptor import Descriptor
from snnkit.errors import FindingsError, UsageError
from snnkit.graph.findings import has_errors
from snnkit.quantization.mismatch import MismatchTraining
from snnkit.quantization.wiring import wiring
from snnkit.targets.base import Target
from snnkit.targets.manifest import build_manifest

if TYPE_CHECKING:
    from snnkit.validation.pipeline import ChipGraph


def mismatch_training(made: ChipGraph, target: Target, chip: int | None = None) -> MismatchTraining:
    """Training of a model through the mismatch of a target.

    Args:
        made: the model in the chip's integers; layers are linear, norms and neurons.
        target: an analogue chip.
        chip: seed of the virtual chip; None to be robust to all.

    Raises:
        UsageError: the target has no virtual chips. FindingsError: there is no such chip, or the network does not fit.
    """
    if not target.capabilities.virtual_chips:
        raise UsageError(f"{target.name} has no mismatch to train through", fix="leave --target out")
    findings = target.check(made.graph, resources=False, chip=chip)
    if has_errors(findings):
        raise FindingsError(f"{made.graph.name} cannot be trained for {target.name}", findings)
    lowered = target.lower(made.graph)
    if not lowered.ok:
        raise FindingsError(f"{made.graph.name} does not fit {target.name}", lowered.findings)
    manifest = build_manifest(target, made.graph, lowered)
    opened = target.part("emulate").open_chip(Descriptor(manifest, lowered.arrays))
    largest = {
        p.name: max((float(np.abs(c.synapse.matrix().data).max(initial=0)) for c in made.float_graph.incoming(p.name)),
                    default=0.0)
        for p in made.float_graph.populations
    }  # fmt: skip
    span = target.part("spec").THRESHOLD_CODE - target.part("spec").LEAK_CODE
    units = {
        p.name: span / p.neuron.threshold.astype(np.float64)
        for p in made.float_graph.populations
        if hasattr(p.neuron, "threshold")
    }
    return MismatchTraining(wiring(opened, made.graph, made.report, largest, units), chip)
