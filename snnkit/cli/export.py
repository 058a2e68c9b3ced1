"""Quantise a trained run for a chip, map it, and write the descriptor NAME.snnx."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a trained run")
    parser.add_argument("--target", required=True, help="the chip")
    parser.add_argument("--out", required=True, metavar="NAME.snnx", help="the descriptor to write")
    parser.add_argument("--bias", choices=("gated", "register"), default="gated",
                        help="gated: the host drives bias axons (exact, default);\nregister: the chip's bias "
                        "registers, which also act in the ticks before the first frame arrives")  # fmt: skip
    parser.add_argument(
        "--allow-code", action="append", default=[], metavar="MODULE", help="module outside snnkit to allow"
    )


def run(args: argparse.Namespace) -> int:
    from snnkit.cli.common import print_json, print_table, progress_bars
    from snnkit.targets import registry
    from snnkit.training import load_run
    from snnkit.validation.runs import deploy

    target = registry.get(args.target)
    trained = load_run(args.run, args.allow_code)
    with progress_bars(args.json) as progress:
        chip, made = deploy(trained, target, Path(args.out), bias=args.bias, progress=progress)
    totals = made.manifest.resources.totals
    if args.json:
        print_json({"descriptor": args.out, "digest": made.manifest.digest, "resources": totals,
                    "quantisation": chip.report, "findings": list(made.manifest.findings)})  # fmt: skip
        return 0
    print_table(f"{args.out} for {target.title}", ["resource", "used"], sorted(totals.items()))
    print(f"digest {made.manifest.digest[:16]}…  next: snnkit validate {args.run} {args.out}")
    return 0
