"""Re-run a descriptor's own vectors in the emulator and compare every spike. Needs no torch."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("descriptor", metavar="NAME.snnx", nargs="+", help="one or more descriptors")


def run(args: argparse.Namespace) -> int:
    from snnkit import emulator
    from snnkit.cli.common import print_json

    good, answers = True, []
    for path in args.descriptor:
        report = emulator.verify(path)
        good &= report.ok
        answers.append({"descriptor": path, **report.to_dict()})
        if not args.json:
            print(f"{path}: {report}")
    if args.json:
        print_json(answers)
    return 0 if good else 1
