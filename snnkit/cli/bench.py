"""Our speed beside the memory floor and the peers that are installed, measured in one run."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from snnkit.errors import UsageError

WORKS = {
    "neurons": "LIF and a recurrent layer, forward + backward, against floor, plain loops and installed peers",
    "emulator": "the emulators: layers on Loihi and SpiNNaker, full cores on TrueNorth, virtual chips of BrainScaleS-2",
    "data": "a training epoch from the cache beside one with all data in memory",
    "live": "events per second and latency of `snnkit run`, a model and an emulator on 1 M events/s",
    "training": "a whole training step of a small convolutional network",
    "compile": "the reference architectures under torch.compile, fullgraph: first call and training step",
    "plasticity": "STDP on 784 → 400 against installed peers; bindsnet if SNNKIT_BINDSNET_PYTHON names its Python",
    "files": "reading recordings of every format, beside aedat, evt3 and expelliarmus",
    "nir": "which of our NIR files other readers take, and how many of their spikes differ",
}


ON_GPU = ("neurons", "training")
"""Works that can be measured on a GPU."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    works = WORKS | {"table": "the README's table of runs: those given, those made now (--measure), or those kept"}
    parser.epilog = "\n".join(f"{k:<10} {v}" for k, v in works.items())
    parser.add_argument("work", choices=tuple(works), help="what to measure")
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="of table: files of --out")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="of neurons and training: where to measure"
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes, under 50 s")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the rows, with machine, versions and date")
    parser.add_argument("--into", type=Path, metavar="FILE", help="of table: the page with the markers it goes between")
    parser.add_argument("--measure", action="store_true", help="of table: run neurons and training first")


def run(args: argparse.Namespace) -> int:
    from snnkit.cli.common import print_json, print_table

    if args.work == "table":
        return _table(args)
    if args.runs or args.into or args.measure:
        raise UsageError(
            f"bench {args.work} takes no runs, --into or --measure", fix="they are options of snnkit bench table"
        )
    options = {} if args.device == "cpu" else {"device": args.device}
    if options and args.work not in ON_GPU:
        raise UsageError(f"bench {args.work} runs on the CPU only", fix="leave --device out")
    rows = importlib.import_module(f"snnkit.bench.{args.work}").run(quick=args.quick, **options)
    if args.out is not None:
        from snnkit.bench import runs

        runs.write(args.out, [runs.made(_command(args), rows)])
    if args.json:
        print_json(rows)
        return 0
    for row in rows:
        row.update({k: _per_second(v) for k, v in row.items() if k.endswith("_per_s") and isinstance(v, int | float)})
    columns = list(dict.fromkeys(key for row in rows for key in row))
    print_table(f"bench {args.work}", columns, [[row.get(c) for c in columns] for row in rows])
    return 0


def _table(args: argparse.Namespace) -> int:
    from snnkit.bench import table
    from snnkit.cli.common import print_json

    if args.quick or args.device != "cpu" or args.out:
        raise UsageError("bench table takes no --quick, --device or --out", fix="give them to the runs themselves")
    text = table.make(args.runs, args.measure, args.into)
    if args.json:
        print_json({"table": text, "into": None if args.into is None else str(args.into)})
    elif args.into is None:
        print(text, end="")
    else:
        print(f"the table is in {args.into}, its runs in {table.KEPT}")
    return 0


def _command(args: argparse.Namespace) -> str:
    device = "" if args.device == "cpu" else f" --device {args.device}"
    return f"snnkit bench {args.work}{device}{' --quick' if args.quick else ''}"


def _per_second(rate: float) -> str:
    unit, size = next(((u, n) for u, n in (("G", 1e9), ("M", 1e6)) if rate >= n), ("k", 1e3))
    return f"{rate / size:.3g} {unit}"
