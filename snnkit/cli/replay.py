"""Run reference vectors of independent simulators through mapping, descriptor and emulator; compare every value."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="reference vector files")
    parser.add_argument("--target", required=True, help="the chip")
    parser.add_argument("--resources", action="store_true", help="our resource counts beside the reference's")
    parser.add_argument("--keep", metavar="DIR", help="keep the descriptors in this folder")


def run(args: argparse.Namespace) -> int:
    from snnkit.cli.common import print_json
    from snnkit.targets import registry

    target = registry.get(args.target)
    results = target.replay(args.files, resources=args.resources, keep=args.keep)
    good = all(r.ok for r in results)
    if args.json:
        print_json([r.to_dict() for r in results])
        return 0 if good else 1
    for result in results:
        print(result)
    equal = sum(r.ok for r in results)
    print(
        f"{equal} of {len(results)} files: every value equal"
        if good
        else f"{len(results) - equal} of {len(results)} files differ"
    )
    return 0 if good else 1
