"""`snnkit inspect RUN --ops`: what the run's network computes on its data, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snnkit.cli.common import at_least_one, print_json, print_table, progress_bars
from snnkit.errors import UsageError


def show_operations(folder: Path, samples: int, root: str | None, allow: list[str], as_json: bool) -> None:
    """Count the operations of `samples` test recordings and print them.

    Raises:
        UsageError: samples below 1, or a data folder for data that have none.
    """
    at_least_one("--samples", samples)
    import torch

    from snnkit import nn as snn
    from snnkit.nn.operations import LEFT_OUT, OperationCounter
    from snnkit.training.run import load_run

    run = load_run(folder, allow)
    changes: dict[str, Any] = {}
    known = run.config["data"]["init_args"]
    if root is not None:
        if "root" not in known:
            raise UsageError("--data is given, but this run's data have no folder", fix="leave --data out")
        changes["root"] = root
    if as_json and "progress" in known:
        changes["progress"] = False
    data = run.datamodule(changes)
    data.prepare_data()
    data.setup()
    counter, done = OperationCounter(run.model.eval()), 0
    with progress_bars(as_json) as stage, torch.inference_mode():
        for batch in data.test_dataloader():
            n = min(len(batch.y), samples - done)
            x = batch.x[:, :n]
            lengths = None if batch.lengths is None else batch.lengths[:n]
            with counter.watch(lengths), snn.valid_lengths(run.model, lengths):
                run.model(x)
            done += n
            stage("samples", done, samples)
            if done >= samples:
                break
    found = counter.result()
    if as_json:
        print_json({"run": str(folder), "split": "test", **found.to_dict()})
        return
    layers = [layer for layer in found.layers if layer.dense_macs or layer.states or layer.parameters]
    print_table(
        f"operations per sample, mean of {found.samples} test samples of {found.steps:g} steps",
        [
            "layer", "kind", "parameters", "input activity", "synaptic operations", "of them multiply", "dense MACs",
            "neuron updates", "nJ", "nJ with memory",
        ],
        [
            [
                layer.path, layer.kind, layer.parameters,
                f"{100 * layer.activity:.2f} %" if layer.dense_macs else None,
                *(round(v) if layer.dense_macs else None
                  for v in (layer.synaptic_operations, layer.multiplications, layer.dense_macs)),
                round(layer.updates) if layer.updates else None,
                *(f"{v / 1000:.3g}" if v else None for v in (layer.energy_pj, layer.energy_memory_pj)),
            ]
            for layer in [*layers, found.total()]
        ],
    )  # fmt: skip
    total = found.total()
    if total.dense_macs:
        print(f"{total.synaptic_operations / total.dense_macs:.1%} of the dense multiply-accumulates are done")
    if found.uncounted:
        print("not counted (unknown layers with weights): " + ", ".join(found.uncounted))
    print("energy: 32-bit arithmetic and memories of 45 nm (doi:10.1109/ISSCC.2014.6757323), a proxy for comparing")
    print("networks, no prediction for a chip. Left out: " + "; ".join(LEFT_OUT) + ".")
