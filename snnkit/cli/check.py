"""Does a trained run, or a network in a NIR file, fit a chip, and what would it take there? Every finding at once.

snnkit check RUN                                             a run of snnkit train, on every chip, in one table
snnkit check RUN --target loihi,spinnaker                    on some
snnkit check FILE.nir --dt 1e-3 --reset zero                 a network of any framework; needs no torch
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snnkit.targets.base import Target
    from snnkit.validation.fits import Cost, Fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from snnkit.cli.common import add_nir_options

    parser.add_argument("run", metavar="RUN", help="folder of a trained run, or a NIR file (.nir)")
    parser.add_argument(
        "--target",
        default="all",
        help="a chip, several with commas (exit status 1 unless it "
        "fits each of them), or all\n(default; 1 unless it fits one)",
    )
    parser.add_argument("--assume-rate", type=float, metavar="P",
                        help="firing rates and costs from random input spikes, P per line and step, instead of\nthe "
                        "run's validation samples (a NIR file, or a run whose data are not here: 0.1)")  # fmt: skip
    parser.add_argument("--host", action="append", default=[], metavar="LAYER", help="a layer that the host runs, "
                        "before or after the chip, in\nfloating point (repeatable)")  # fmt: skip
    parser.add_argument(
        "--allow-code", action="append", default=[], metavar="MODULE", help="module outside snnkit to allow"
    )
    add_nir_options(parser)


def run(args: argparse.Namespace) -> int:
    from snnkit.cli.common import is_nir, print_json, progress_bars
    from snnkit.errors import UsageError
    from snnkit.targets import registry

    if args.assume_rate is not None and not 0 < args.assume_rate <= 1:
        raise UsageError(f"--assume-rate {args.assume_rate:g} is no probability", fix="more than 0, at most 1")
    targets = registry.resolve(args.target)
    with progress_bars(args.json) as progress:
        fits, said = (_of_nir if is_nir(args.run) else _of_run)(args, targets, progress)
    if args.json:
        print_json({"rates": said, **{f.target: f.to_dict() for f in fits}})
    else:
        _print(fits, said)
    enough = any if args.target == "all" else all  # `all` asks where it can go, a named chip must take it
    return 0 if enough(f.fits for f in fits) else 1


def _of_run(args: argparse.Namespace, targets: list[Target], progress: Any) -> tuple[list[Fit], str]:
    from snnkit.cli.common import no_nir_options
    from snnkit.training import load_run
    from snnkit.validation.runs import compare_run

    no_nir_options(args)
    trained = load_run(args.run, args.allow_code)
    return compare_run(trained, targets, host=args.host, assumed_rate=args.assume_rate, progress=progress)


def _of_nir(args: argparse.Namespace, targets: list[Target], progress: Any) -> tuple[list[Fit], str]:
    from snnkit.cli.common import read_nir
    from snnkit.validation.files import compare_graph

    graph, found = read_nir(args)
    return compare_graph(
        graph, targets, host=args.host, assumed_rate=args.assume_rate, findings=found, progress=progress
    )


def _print(fits: Sequence[Fit], said: str) -> None:
    from snnkit.cli.common import print_findings, print_table

    columns = ["chip", "fits", "cores", "memory", "fullest", "lag", "clipped", "energy a sample", "time a sample"]
    print_table("one network, several chips", columns, [_row(f) for f in fits])
    print(f"Firing rates and costs: {said}.\nEnergy and time are estimates from what the emulator counted, with their "
          "quality; the sources are in --json.")  # fmt: skip
    for f in fits:
        print(f"\n{f.target}: {'fits' if f.fits else 'does not fit'} ({f.neurons:,} neurons)")
        if f.findings:
            print_findings(f.findings)
        if f.changes:
            print("With these changes the check passes (tried):")
            for change in f.changes:
                print(f"  {change}")
        elif not f.fits:
            print("No set of changes was found that makes it fit.")


def _row(f: Fit) -> list[Any]:
    if f.cores is None or f.memory is None:  # it does not fit, or the file holds integers, which are only checked
        return [f.target, f.fits, *[None] * 7]
    cores = f"{f.cores:,}" + (f" on {f.chips} chips" if f.chips and f.chips > 1 else "")
    fullest = "" if f.worst is None else f"{f.worst[0].replace('_', ' ')} {f.worst[1]:.0%}"
    clipped = f"{f.clipped:,} of {f.weights:,}"
    return [f.target, f.fits, cores, _size(f.memory), fullest, f"{f.lag} ticks", clipped, _cost(f.energy, "µJ"),
            _cost(f.latency, "ms")]  # fmt: skip


def _size(count: int) -> str:
    for unit in ("B", "KiB"):
        if count < 1024:
            return f"{count:,.4g} {unit}"
        count = count / 1024  # type: ignore[assignment]
    return f"{count:,.4g} MiB"


def _cost(cost: Cost | None, unit: str) -> str:
    if cost is None:
        return "unknown"
    larger = {"µJ": "mJ", "ms": "s"}
    scale, unit = (1000, larger[unit]) if cost.high >= 1000 else (1, unit)
    low, high = f"{cost.low / scale:.3g}", f"{cost.high / scale:.3g}"
    return f"{low if low == high else f'{low}-{high}'} {unit}, {cost.quality}"
