"""Re-measure a published figure, compare it with its bar, and write what was measured as JSON."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="the figure; without it, the known ones are listed")
    parser.add_argument("--root", help="folder of the data set, for figures that need one")
    parser.add_argument("--out", default="reproduce", metavar="DIR", help="folder for runs and results")


def run(args: argparse.Namespace) -> int:
    from snnkit import _io
    from snnkit.bench.reproduce import FIGURES, reproduce
    from snnkit.cli.common import print_json, print_table, progress_bars

    if args.name is None and args.json:
        print_json({k: {"what": f.text, "bars": f.bars} for k, f in FIGURES.items()})
        return 0
    if args.name is None:
        rows = [[k, f.text, "; ".join(f"{n} {s} {v:g}" for n, (s, v) in f.bars.items())] for k, f in FIGURES.items()]
        print_table("figures", ["name", "what", "bars"], rows)
        return 0
    settings = {} if args.root is None else {"root": args.root}
    with progress_bars(args.json) as progress:
        result = reproduce(args.name, Path(args.out) / args.name, settings, progress)
    file = Path(args.out) / f"{args.name}.json"
    _io.write_json(file, result)
    if args.json:
        print_json(result)
    else:
        rows = [[k, bar, result["measured"][k], result["held"][k]] for k, bar in result["bars"].items()]
        print_table(result["text"], ["figure", "bar", "measured", "holds"], rows)
        table = result["measured"].get("table", [])
        if table:
            print_table("side by side, all seeds together", list(table[0]), [list(row.values()) for row in table])
        print(f"written to {file}")
    return 0 if all(result["held"].values()) else 1
