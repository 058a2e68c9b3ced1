"""Compare torch model, integer graph and emulator on the run's test recordings, spike for spike; write the report."""

from __future__ import annotations

import argparse
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of the trained run")
    parser.add_argument("descriptor", metavar="NAME.snnx", help="its descriptor")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N recordings")
    parser.add_argument(
        "--allow-code", action="append", default=[], metavar="MODULE", help="module outside snnkit to allow"
    )


def run(args: argparse.Namespace) -> int:
    from snnkit.cli.common import at_least_one, print_json, progress_bars
    from snnkit.training import load_run
    from snnkit.validation.runs import opened, validate_run

    at_least_one("--limit", args.limit)
    trained = load_run(args.run, args.allow_code)
    data = opened(trained)
    count = len(data.labels(args.split)) if args.limit is None else min(args.limit, len(data.labels(args.split)))
    done = 0
    with progress_bars(args.json) as progress:

        def tick(n: int) -> None:
            nonlocal done
            done += n
            progress("validate", done, count)

        progress("validate", 0, count)
        result = validate_run(trained, args.descriptor, split=args.split, limit=args.limit, data=data, progress=tick)
    if args.json:
        print_json({k: v for k, v in result.items() if k != "raster"})
    else:
        print_result(result, args.descriptor)
    return 0 if result["differing_spikes"]["graph-emulator"]["total"] == 0 else 1


def print_result(result: dict[str, Any], path: str) -> None:
    """The result for people."""
    from snnkit.cli.common import print_table

    accuracy = result["accuracy"]
    print_table(
        f"accuracy on {result['samples']} {result['split']} recordings",
        ["torch model", "integer graph", "emulator"],
        [[f"{accuracy[k] * 100:.2f} %" for k in ("torch", "graph", "emulator")]],
    )
    rows = []
    for pair, counts in result["differing_spikes"].items():
        changed = result["changed"][pair]
        first = result["first_divergence"][pair]
        where = (
            ""
            if first is None
            else f"sample {first['sample']}, step {first['step']}, {first['layer']}[{first['neuron']}]"
        )
        share = counts["total"] / max(counts["of"], 1)
        rows.append([pair.replace("-", " vs "), counts["total"], f"{share:.2e}", changed["changed"],
                     f"{changed['right_to_wrong']} / {changed['wrong_to_right']}", where])  # fmt: skip
    print_table(
        "spike for spike",
        ["pair", "differing spikes", "share", "predictions changed", "right→wrong / wrong→right", "first divergence"],
        rows,
    )
    print(f"report: {path}/report.html")
