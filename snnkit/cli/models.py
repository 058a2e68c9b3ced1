"""The reference architectures: parameters beside their papers', neurons, and which chips take them.

snnkit models                            all of them, sizes only
snnkit models vgg-small plif-gesture-lean --fits    and what each chip says, with the first reason why not
snnkit models --fits --target loihi      on one chip

Weights are random. To train one: `class_path` and `init_args` as --json shows them go into a recipe's model: net:.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snnkit.validation.architectures import Row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `snnkit models`."""
    parser.add_argument("name", nargs="*", metavar="NAME", help="architectures (default: all)")
    parser.add_argument("--fits", action="store_true", help="check each on the chips")
    parser.add_argument("--target", default="all", metavar="CHIP", help="a chip, several with commas, or all (default)")
    parser.add_argument("--limit", type=int, metavar="N",
                        help="on chips whose resources are not counted but mapped (truenorth), networks of more\n"
                        "than N synapses are not (default 20,000,000; larger ones take gigabytes)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print the table; 0 when done."""
    from snnkit.cli.common import at_least_one, print_json, progress_bars
    from snnkit.models.catalog import CATALOG, find
    from snnkit.targets import registry
    from snnkit.validation.architectures import LIMIT, survey

    at_least_one("--limit", args.limit)
    chosen = [find(name) for name in args.name] or list(CATALOG.values())
    targets = registry.resolve(args.target) if args.fits else []
    rows = []
    with progress_bars(args.json or not args.fits) as progress:
        for row in survey(chosen, targets, args.limit or LIMIT):
            rows.append(row)
            progress("networks", len(rows), len(chosen))
    if args.json:
        print_json([row.to_dict() for row in rows])
    else:
        _print(rows, [t.name for t in targets])
    return 0


def _print(rows: Sequence[Row], chips: Sequence[str]) -> None:
    from snnkit.cli.common import print_table

    columns = ["name", "input", "parameters", "stated", "neurons", "synapses", *(chips or ["paper"])]
    print_table("reference architectures", columns, [_row(row, bool(chips)) for row in rows])
    for row in rows:
        for v in row.verdicts:
            if v.reason:
                print(f"{row.architecture.name} on {v.target}: {'' if v.fits is None else 'no, '}{v.reason}")


def _row(row: Row, fits: bool) -> list[Any]:
    a = row.architecture
    last: list[Any] = [a.paper]
    if fits:
        last = ["yes" if v.fits else v.code.lower().replace("_", " ") for v in row.verdicts]
    shape = "×".join(map(str, a.input_shape))
    return [a.name, shape, a.sizes.parameters, a.stated.split(" (")[0], a.sizes.neurons, a.sizes.synapses, *last]
