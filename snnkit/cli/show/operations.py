"""`snnkit inspect RUN --ops`: what a run's network computes, layer by layer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def operations(folder: Path, args: argparse.Namespace) -> int:
    """What the run's network computes on its test data, layer by layer."""
    from snnkit.cli.common import at_least_one, print_json, progress_bars
    from snnkit.cli.eval import data_changes
    from snnkit.training.counting import count_on
    from snnkit.training.run import load_run

    at_least_one("--samples", args.samples)
    loaded = load_run(folder, args.allow_code)
    data = loaded.datamodule(data_changes(loaded, args.data, args.json))
    with progress_bars(args.json) as stage:
        found = count_on(loaded.model, data, args.samples, lambda done, of: stage("samples", done, of))
    if args.json:
        print_json({"run": str(folder), "split": "test", **found.to_dict()})
    else:
        _show_operations(found)
    return 0


def _show_operations(found: Any) -> None:
    from snnkit.cli.common import print_table

    def row(layer: Any) -> list[Any]:
        counts = (layer.synaptic_operations, layer.multiplications, layer.dense_macs)
        return [
            layer.path, layer.kind, layer.parameters,
            f"{100 * layer.activity:.2f} %" if layer.dense_macs else None,
            *(round(v) if layer.dense_macs else None for v in counts),
            round(layer.updates) if layer.updates else None,
            *(f"{v / 1000:.3g}" if v else None for v in (layer.energy_pj, layer.energy_memory_pj)),
        ]  # fmt: skip

    total = found.total()
    layers = [layer for layer in found.layers if layer.dense_macs or layer.states or layer.parameters]
    print_table(
        f"operations per sample, mean of {found.samples} test samples of {found.steps:g} steps",
        [
            "layer", "kind", "parameters", "input activity", "synaptic operations", "of them multiply", "dense MACs",
            "neuron updates", "nJ", "nJ with memory",
        ],
        [row(layer) for layer in [*layers, total]],
    )  # fmt: skip
    print(f"{total.activity:.1%} of the dense multiply-accumulates are done")
    if found.uncounted:
        print("not counted (unknown layers with weights): " + ", ".join(found.uncounted))
    print(
        "energy: 32-bit arithmetic and memories of 45 nm (doi:10.1109/ISSCC.2014.6757323); a proxy for comparing\n"
        "networks, no prediction for a chip. Left out:"
    )
    for what in found.to_dict()["left_out"]:
        print(f"  - {what}")
