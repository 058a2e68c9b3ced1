"""Quantise a trained run, or a network in a NIR file, for a chip, map it, and write the descriptor NAME.snnx.

snnkit export RUN --target loihi --out NAME.snnx
snnkit export FILE.nir --target loihi --out NAME.snnx --dt 1e-3 --reset zero --calibrate frames.npy
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from snnkit.cli.common import add_nir_options

    parser.add_argument("run", metavar="RUN", help="folder of a trained run, or a NIR file (.nir)")
    parser.add_argument("--target", required=True, help="the chip")
    parser.add_argument("--out", required=True, metavar="NAME.snnx", help="the descriptor to write")
    parser.add_argument("--bias", choices=("gated", "register"), default="gated",
                        help="gated: the host drives bias axons (exact, default);\nregister: the chip's bias "
                        "registers, which also act in the ticks before the first frame arrives")  # fmt: skip
    parser.add_argument("--calibrate", action="append", metavar="FILE",
                        help="for NIR files, which have no data: frames [T, B, …] as .npy or .npz,\nrecordings (.bin, "
                        "repeatable), or `random` (seeded spikes, 10 %% of them)")  # fmt: skip
    parser.add_argument(
        "--allow-code", action="append", default=[], metavar="MODULE", help="module outside snnkit to allow"
    )
    add_nir_options(parser)


def run(args: argparse.Namespace) -> int:
    from snnkit.cli.common import is_nir, print_json, print_table
    from snnkit.targets import registry

    target = registry.get(args.target)
    chip, made, after = (_of_nir if is_nir(args.run) else _of_run)(args, target)
    totals = made.manifest.resources.totals
    if args.json:
        print_json({"descriptor": args.out, "digest": made.manifest.digest, "resources": totals,
                    "quantisation": chip.report, "findings": list(made.manifest.findings)})  # fmt: skip
        return 0
    print_table(f"{args.out} for {target.title}", ["resource", "used"], sorted(totals.items()))
    print(f"digest {made.manifest.digest[:16]}…  next: {after}")
    return 0


def _of_run(args: argparse.Namespace, target: Any) -> tuple[Any, Any, str]:
    from snnkit.cli.common import no_nir_options, progress_bars
    from snnkit.errors import UsageError
    from snnkit.training import load_run
    from snnkit.validation.runs import deploy

    no_nir_options(args)
    if args.calibrate:
        raise UsageError(
            f"--calibrate is for NIR files, and {args.run} is none", fix="leave it out: a run has its data"
        )
    trained = load_run(args.run, args.allow_code)
    with progress_bars(args.json) as progress:
        chip, made = deploy(trained, target, Path(args.out), bias=args.bias, progress=progress)
    return chip, made, f"snnkit validate {args.run} {args.out}"


def _of_nir(args: argparse.Namespace, target: Any) -> tuple[Any, Any, str]:
    from snnkit._io import sha256_file
    from snnkit.cli.common import progress_bars, read_nir
    from snnkit.errors import FindingsError, UsageError
    from snnkit.validation.files import deploy_file, samples_for

    graph, findings = read_nir(args)
    if graph is None:
        raise FindingsError(f"{args.run} cannot be read", findings)
    if not args.calibrate:
        raise UsageError(
            f"{args.run} has no data, and quantising needs firing rates",
            fix="--calibrate FILE.npy (frames [T, B, …]), FILE.npz, recordings (.bin), or random",
        )
    graph, samples, host = samples_for(graph, args.calibrate)
    origin = {"nir": Path(args.run).name, "nir_sha256": sha256_file(args.run), "calibration": args.calibrate}
    with progress_bars(args.json) as progress:
        chip, made = deploy_file(graph, target, args.out, samples, bias=args.bias, findings=findings, provenance=origin,
                                 host_input=host, progress=progress)  # fmt: skip
    return chip, made, f"snnkit verify {args.out}"
