"""Write a run, or a network in another NIR file, as a NIR file for some reader; says what it will do otherwise.

snnkit nir RUN --out model.nir                                  the equations of NIR 1.0
snnkit nir RUN --out model.nir --dialect norse                  for norse.torch.from_nir
snnkit nir FILE.nir --from snntorch --reset subtract --out model.nir
"""

from __future__ import annotations

import argparse
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from snnkit.cli.common import add_nir_options

    parser.add_argument("run", metavar="RUN", help="folder of a trained run, or a NIR file (.nir)")
    parser.add_argument("--out", required=True, metavar="NAME.nir", help="the file to write")
    names = "nir (default), snntorch, norse, sinabs, rockpool"
    parser.add_argument("--dialect", default="nir", metavar="NAME", help=f"who will read it: {names}")
    parser.add_argument(
        "--allow-code", action="append", default=[], metavar="MODULE", help="module outside snnkit to allow"
    )
    add_nir_options(parser, "--from")


def run(args: argparse.Namespace) -> int:
    from snnkit.cli.common import is_nir, print_findings, print_json
    from snnkit.export import nir

    graph, findings, origin = _of_nir(args) if is_nir(args.run) else _of_run(args)
    said = [*findings, *nir.write(args.out, graph, dialect=args.dialect, dt=args.dt, provenance=origin)]
    if args.json:
        print_json({"file": args.out, "dialect": args.dialect, "findings": [f.to_dict() for f in said]})
        return 0
    print(
        f"{args.out}: {len(graph.populations)} layers, {sum(p.n for p in graph.populations):,} neurons, {args.dialect}"
    )
    if said:
        print_findings(said)
    return 0


def _of_run(args: argparse.Namespace) -> tuple[Any, list[Any], dict[str, Any]]:
    from snnkit.cli.common import no_nir_options
    from snnkit.export import to_graph
    from snnkit.training import load_run
    from snnkit.validation.runs import export_options, input_shapes

    no_nir_options(args, "dt")
    trained = load_run(args.run, args.allow_code)
    data = trained.datamodule()
    graph, findings = to_graph(trained.model, input_shapes(data), **export_options(trained, data))
    return graph, findings, {"run": trained.digest, "recipe": trained.name, "data": trained.data}


def _of_nir(args: argparse.Namespace) -> tuple[Any, list[Any], dict[str, Any]]:
    from pathlib import Path

    from snnkit.cli.common import read_nir
    from snnkit.errors import FindingsError

    graph, findings = read_nir(args)
    if graph is None:
        raise FindingsError(f"{args.run} cannot be read", findings)
    return graph, findings, {"nir": Path(args.run).name}
