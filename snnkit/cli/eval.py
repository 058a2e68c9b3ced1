"""Accuracy of a run on its test or validation data, with confusions and firing rates."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnkit.errors import UsageError

if TYPE_CHECKING:
    from snnkit.training.run import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `snnkit eval`."""
    parser.add_argument("run_folder", metavar="RUN", help="the run's folder")
    parser.add_argument("--split", choices=["test", "val", "train"], default="test", help="which part of the data")
    parser.add_argument("--data", metavar="PATH", help="where the data lie now, if they were moved")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads")
    parser.add_argument("--allow-code", action="append", default=[], metavar="MODULE", help="as in snnkit train")


def data_changes(loaded: Run, root: str | None, quiet: bool) -> dict[str, Any]:
    """Data settings to change: where the data lie now, and no progress bars if `quiet`.

    Raises:
        UsageError: a folder for data that have none.
    """
    changes: dict[str, Any] = {}
    known = loaded.config["data"]["init_args"]
    if root is not None:
        if "root" not in known:
            raise UsageError("--data is given, but this run's data have no folder", fix="leave --data out")
        changes["root"] = root
    if quiet and "progress" in known:
        changes["progress"] = False
    return changes


def run(args: argparse.Namespace) -> int:
    """Evaluate; 0 when done."""
    from snnkit.cli.train import check_threads

    check_threads(args.threads)
    from snnkit.training.run import load_run

    loaded = load_run(Path(args.run_folder), args.allow_code)
    if args.threads is not None:
        import torch

        torch.set_num_threads(args.threads)
    data = loaded.datamodule(data_changes(loaded, args.data, args.json))
    result = loaded.evaluate(args.split, data)
    body = {"run": str(loaded.path), "split": args.split, "readout": loaded.readout, **result.to_dict()}
    body["samples_per_s"] = round(result.samples / max(result.seconds, 1e-9), 1)
    body["same_data"] = data.digest == loaded.data["digest"]
    if args.json:
        from snnkit.cli.common import print_json

        print_json(body)
        return 0
    if not body["same_data"]:
        print("note: these are other data than the run was trained with")
    print(f"{args.split} accuracy {result.accuracy:.2%} ({result.correct} of {result.samples}), loss {result.loss:.4f}")
    print(f"{body['samples_per_s']} samples/s; read-out: {loaded.readout}")
    for path, layer in body["layers"].items():
        print(
            f"  {path:<10}{layer['rate']:.3f} spikes per step, {layer['silent']:.0%} silent, "
            f"{layer['saturated']:.0%} saturated"
        )
    width = max(len(str(v)) for row in result.confusion for v in row)
    print("confusion (rows: true class, columns: answer)")
    for name, row in zip(data.classes, result.confusion):
        print(f"  {name:>6} " + " ".join(f"{v or '.':>{width}}" for v in row))
    return 0
