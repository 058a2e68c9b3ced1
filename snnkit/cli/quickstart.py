"""The whole road in minutes: event data, training, check, export to Loihi, emulation, validation, report.

Works offline: the events are made on the spot by a simulated sensor (SaccadeDigits).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

BUDGET_S = {"data": 40, "compile": 30, "train": 120, "export to validation": 45, "report": 15}
RECIPE = "saccade_digits/conv"
NEURONS = ("LIF", "LI", "BatchNorm and LIF")
"""The kernels of that recipe's network."""
SMOKE = {
    "data.init_args.subset": 240,
    "trainer.max_epochs": 1,
    "trainer.limit_train_batches": 3,
    "trainer.logger": False,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="quickstart", metavar="DIR", help="output folder (default quickstart)")
    parser.add_argument("--smoke", action="store_true", help="a minute's version that only shows that everything works")
    parser.add_argument("--target", default="loihi", help="the chip (default loihi)")


def run(args: argparse.Namespace) -> int:
    from snnkit.cli.common import console, print_json, progress_bars
    from snnkit.targets import registry

    registry.get(args.target)  # a misspelt one is told before a minute has passed
    say = console()
    quiet = args.json
    spent: dict[str, float] = {}
    out = _free_folder(Path(args.out))
    start = clock = time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal clock
        spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - clock
        clock = time.perf_counter()

    def head(text: str) -> None:
        if not quiet:
            say.print(f"[bold]{text}[/bold]")

    head("1/5 event data (a simulated sensor; real saccade motion)")
    from snnkit.data import SaccadeDigits

    SaccadeDigits(subset=SMOKE["data.init_args.subset"] if args.smoke else None, progress=not quiet).prepare_data()
    lap("data")

    head("2/5 compiling kernels (once per machine)")
    from snnkit import emulator, kernels

    with progress_bars(quiet) as progress:
        kernels.warm_up(lambda name, done, of: progress("kernels", done, of), neurons=NEURONS)
        progress("emulator", 0, 1)
        _tiny_road(args.target)
        progress("emulator", 1, 1)
    lap("compile")

    head("3/5 training")
    from snnkit.training import fit

    trained = fit(RECIPE, out / "run", SMOKE if args.smoke else {}, progress=not quiet)
    lap("train")

    head(f"4/5 check, export to {args.target}, emulate, validate")
    from snnkit.targets import registry
    from snnkit.validation.runs import batches, deploy, opened, summarise
    from snnkit.validation.threeway import validate

    target = registry.get(args.target)
    data = opened(trained)
    path = out / f"digits.{args.target}.snnx"
    with progress_bars(quiet) as progress:
        chip, made = deploy(trained, target, path, data=data, progress=progress)
        count, done = len(data.labels("test")), 0

        def tick(n: int) -> None:
            nonlocal done
            done += n
            progress("validate", done, count)

        result = validate(trained.model, chip, path, batches(data, "test"), progress=tick)
    verified = emulator.verify(path)
    lap("export to validation")

    head("5/5 report")
    result = summarise(result, trained, path, data, "test")
    lap("report")
    differing = result["differing_spikes"]["graph-emulator"]["total"]
    good = differing == 0 and verified.ok
    total = time.perf_counter() - start
    if quiet:
        plain = {k: v for k, v in result.items() if k != "raster"}
        print_json({"ok": good, "seconds": {**spent, "total": total}, "run": str(out / "run"),
                    "descriptor": str(path), "result": plain})  # fmt: skip
        return 0 if good else 1
    _summary(args, out, path, result, good, spent, total, made.manifest.resources.totals)
    return 0 if good else 1


def _tiny_road(target_name: str) -> None:
    """Two neurons through mapping, descriptor and emulator, so that the emulator's kernels are compiled."""
    import tempfile

    import numpy as np

    from snnkit import emulator
    from snnkit.graph.model import Connection, Graph, Input, Population, Readout
    from snnkit.graph.neurons import LIF
    from snnkit.graph.synapses import Dense
    from snnkit.passes import add_lag
    from snnkit.targets import registry
    from snnkit.validation.pipeline import ChipGraph, write_descriptor

    one = np.ones(2, np.float32)
    graph = Graph(
        "tiny",
        (Input("in", (2,)),),
        (Population("out", (2,), LIF(one * 0, one)),),
        (Connection("c", "in", "out", Dense(np.eye(2))),),
        Readout("out", "count"),
        steps=2,
    )
    target = registry.get(target_name)
    made = target.quantize(add_lag(graph))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.snnx"
        write_descriptor(path, ChipGraph(graph, made.graph), target, np.ones((2, 2, 2), np.uint8))
        emulator.verify(path)


def _free_folder(out: Path) -> Path:
    """The folder, or the first free one with a number."""
    folder, k = out, 2
    while folder.exists() and any(folder.iterdir()):
        folder, k = out.with_name(f"{out.name}-{k}"), k + 1
    return folder


def _summary(
    args: argparse.Namespace,
    out: Path,
    path: Path,
    result: dict[str, Any],
    good: bool,
    spent: dict[str, float],
    total: float,
    used: dict[str, int],
) -> None:
    accuracy = {k: f"{v * 100:.2f} %" for k, v in result["accuracy"].items()}
    pair = result["differing_spikes"]["graph-emulator"]
    change = result["changed"]["torch-emulator"]
    times = ", ".join(f"{k} {v:.0f} s (of {BUDGET_S[k]})" for k, v in spent.items())
    lines = [
        "",
        f"verified   {pair['total']} of {pair['of']:,} spikes differ between the integer graph and the emulator of "
        f"{args.target},",
        f"           over {result['samples']} test recordings" + ("" if good else "  ** NOT EQUAL **"),
        f"accuracy   torch model {accuracy['torch']}, integer graph {accuracy['graph']}, emulator "
        f"{accuracy['emulator']} (test)",
        f"           {change['changed']} predictions changed: {change['right_to_wrong']} right→wrong, "
        f"{change['wrong_to_right']} wrong→right",
        f"chip       {used.get('cores', 0)} cores, {used.get('compartments', 0):,} neurons",
        f"time       {times}; total {total:.0f} s",
        f"files      run {out / 'run'}, descriptor {path}, report {path / 'report.html'}",
    ]
    if args.smoke:
        lines.append("           (--smoke: three batches of training; the accuracies mean nothing)")
    print("\n".join(lines))
