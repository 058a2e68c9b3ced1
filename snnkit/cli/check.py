"""Does a trained run fit a chip? Lists every finding at once, with its remedy."""

from __future__ import annotations

import argparse
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a trained run")
    parser.add_argument("--target", default="all", help="a chip, several with commas, or all (default)")
    parser.add_argument(
        "--allow-code", action="append", default=[], metavar="MODULE", help="module outside snnkit to allow"
    )


def run(args: argparse.Namespace) -> int:
    from snnkit.cli.common import print_findings, print_json
    from snnkit.graph.findings import has_errors
    from snnkit.targets import registry
    from snnkit.training import load_run
    from snnkit.validation.runs import check_run

    targets = registry.resolve(args.target)
    trained = load_run(args.run, args.allow_code)
    answers: dict[str, Any] = {}
    good = True
    for target in targets:
        graph, findings = check_run(trained, target)
        fits = not has_errors(findings)
        good &= fits
        answers[target.name] = {"fits": fits, "findings": [f.to_dict() for f in findings]}
        if not args.json:
            neurons = "" if graph is None else f" ({sum(p.n for p in graph.populations):,} neurons)"
            print(f"{target.name}: {'fits' if fits else 'does not fit'}{neurons}")
            if findings:
                print_findings(findings)
    if args.json:
        print_json(answers)
    return 0 if good else 1
