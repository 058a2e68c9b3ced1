"""Does a trained run, or a network in a NIR file, fit a chip? Lists every finding at once, with its remedy.

snnkit check RUN                                             a run of snnkit train
snnkit check FILE.nir --dt 1e-3 --reset zero                 a network of any framework; needs no torch
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnkit.targets.base import Target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from snnkit.cli.common import add_nir_options

    parser.add_argument("run", metavar="RUN", help="folder of a trained run, or a NIR file (.nir)")
    parser.add_argument("--target", default="all", help="a chip, several with commas, or all (default)")
    parser.add_argument(
        "--allow-code", action="append", default=[], metavar="MODULE", help="module outside snnkit to allow"
    )
    add_nir_options(parser)


def run(args: argparse.Namespace) -> int:
    from snnkit.cli.common import is_nir, print_findings, print_json
    from snnkit.graph.findings import has_errors
    from snnkit.targets import registry

    targets = registry.resolve(args.target)
    answers: dict[str, Any] = {}
    good = True
    for target, graph, findings in _of_nir(args, targets) if is_nir(args.run) else _of_run(args, targets):
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


def _of_run(args: argparse.Namespace, targets: list[Target]) -> list[tuple[Target, Any, list[Any]]]:
    from snnkit.cli.common import no_nir_options
    from snnkit.training import load_run
    from snnkit.validation.runs import check_run

    no_nir_options(args)
    trained = load_run(args.run, args.allow_code)
    return [(t, *check_run(trained, t)) for t in targets]


def _of_nir(args: argparse.Namespace, targets: list[Target]) -> list[tuple[Target, Any, list[Any]]]:
    from snnkit.cli.common import read_nir
    from snnkit.validation.files import check_file

    graph, found = read_nir(args)
    return [(t, graph, found if graph is None else [*found, *check_file(graph, t)]) for t in targets]
