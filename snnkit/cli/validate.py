"""Compare torch model, integer graph and emulator on the run's test recordings, spike for spike; write the report.

snnkit validate RUN NAME.snnx
snnkit validate FILE.nir NAME.snnx --calibrate AS_IN_EXPORT [--frames FILE]       the spikes only, no report
"""

from __future__ import annotations

import argparse
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from snnkit.cli.common import add_nir_options

    parser.add_argument("run", metavar="RUN", help="folder of the trained run, or the NIR file (.nir)")
    parser.add_argument("descriptor", metavar="NAME.snnx", help="its descriptor")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N recordings")
    parser.add_argument("--calibrate", action="append", metavar="FILE", help="for NIR files: as given to snnkit export")
    parser.add_argument("--frames", action="append", metavar="FILE", help="for NIR files: other samples to compare on")
    parser.add_argument(
        "--allow-code", action="append", default=[], metavar="MODULE", help="module outside snnkit to allow"
    )
    add_nir_options(parser)


def run(args: argparse.Namespace) -> int:
    from snnkit.cli.common import at_least_one, is_nir, no_nir_options, print_json, progress_bars
    from snnkit.training import load_run
    from snnkit.validation.runs import opened, validate_run

    at_least_one("--limit", args.limit)
    if is_nir(args.run):
        return _of_nir(args)
    no_nir_options(args)
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


def _of_nir(args: argparse.Namespace) -> int:
    """Module, integer graph and emulator of a NIR file on frames without labels."""
    from snnkit.cli.common import print_json, read_nir
    from snnkit.errors import FindingsError, UsageError
    from snnkit.validation.files import compare_file

    graph, findings = read_nir(args)
    if graph is None:
        raise FindingsError(f"{args.run} cannot be read", findings)
    if not args.calibrate:
        raise UsageError(f"{args.run} has no data", fix="--calibrate with what was given to snnkit export")
    result = compare_file(args.run, graph, args.descriptor, args.calibrate, args.frames or args.calibrate, args.limit)
    if args.json:
        print_json(result)
    else:
        print(f"{result['samples']} samples of {result['steps']} steps")
        print_pairs(result)
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
    if "virtual_chips" in result:
        from snnkit.validation.virtual import describe

        print("the emulator above is the ideal chip; " + describe(result["virtual_chips"]))
    print_pairs(result)
    print(f"report: {path}/report.html")


def print_pairs(result: dict[str, Any]) -> None:
    """Differing spikes of each pair, for people."""
    from snnkit.cli.common import print_table

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
        turned = f"{changed['right_to_wrong']} / {changed['wrong_to_right']}" if "right_to_wrong" in changed else ""
        rows.append([pair.replace("-", " vs "), counts["total"], f"{share:.2e}", changed["changed"], turned, where])
    print_table(
        "spike for spike",
        ["pair", "differing spikes", "share", "predictions changed", "right→wrong / wrong→right", "first divergence"],
        rows,
    )
