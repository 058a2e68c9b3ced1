"""Quantise a trained run, or a network in a NIR file, for a chip, map it, and write the descriptor NAME.snnx.

snnkit export RUN --target loihi --out NAME.snnx
snnkit export RUN --target all --out DIR             DIR/CHIP.snnx for every chip that it fits, and why not the others
snnkit export FILE.nir --target loihi --out NAME.snnx --dt 1e-3 --reset zero --calibrate frames.npy
snnkit export RUN --target loihi --out NAME.snnx --also lava-net       and NAME.lava-net/, for the platform's own tool
snnkit export NAME.snnx --also lava-net                                the same from a descriptor that there is already
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from snnkit.cli.common import add_nir_options

    parser.add_argument("run", metavar="RUN", help="folder of a trained run, a NIR file (.nir), or with --also a "
                        "descriptor (.snnx)")  # fmt: skip
    parser.add_argument("--target", help="the chip, several with commas (exit status 1 unless it fits "
                        "each of them),\nor all (1 unless it fits one)")  # fmt: skip
    parser.add_argument("--out", metavar="NAME.snnx", help="the descriptor to write; with several chips "
                        "the folder of\ntheir descriptors")  # fmt: skip
    parser.add_argument("--also", action="append", default=[], metavar="FORMAT",
                        help="also write what rebuilds the descriptor in a tool of the platform, into NAME.FORMAT/\n"
                        "beside it (repeatable; a name that there is not lists them). Its about.json and the output\n"
                        "say whether spikes were compared in that tool, or that it was not run; exit status 1 if\n"
                        "the tool cannot hold the network")  # fmt: skip
    parser.add_argument("--bias", choices=("gated", "register"), default="gated",
                        help="gated: the host drives bias axons (exact, default);\nregister: the chip's bias "
                        "registers, which also act in the ticks before the first frame arrives")  # fmt: skip
    parser.add_argument("--calibrate", action="append", metavar="FILE",
                        help="for NIR files, which have no data: frames [T, B, …] as .npy or .npz,\nrecordings (.bin, "
                        "repeatable), or `random` (seeded spikes, 10 %% of them)")  # fmt: skip
    parser.add_argument("--host", action="append", default=[], metavar="LAYER", help="a layer that the host runs, "
                        "before or after the chip, in\nfloating point (repeatable)")  # fmt: skip
    parser.add_argument(
        "--allow-code", action="append", default=[], metavar="MODULE", help="module outside snnkit to allow"
    )
    add_nir_options(parser)


def run(args: argparse.Namespace) -> int:
    from snnkit.cli.common import is_nir, print_json, print_table, progress_bars
    from snnkit.errors import UsageError
    from snnkit.targets import also, registry

    if Path(args.run).suffix == ".snnx":
        return _of_descriptor(args)
    for option in ("target", "out"):
        if getattr(args, option) is None:
            raise UsageError(f"--{option} is missing", fix="snnkit export --help shows the options")
    targets = registry.resolve(args.target)
    formats = _formats(args.also, targets)
    several = args.target == "all" or "," in args.target
    for target in targets:  # before the work, as the descriptor's own place
        for name in formats[target.name]:
            also.check_folder(also.folder_of(Path(args.out) / target.name if several else args.out, name))
    if several and Path(args.out).suffix == ".snnx":
        raise UsageError(f"{args.out} is the name of one descriptor", fix="--out DIR, a folder for the chips'")
    with progress_bars(args.json) as progress:
        write, after = (_of_nir if is_nir(args.run) else _of_run)(args, progress)
        if several:
            written, refused = _each(targets, Path(args.out), write)
        else:
            chip, made = write(targets[0], Path(args.out))
    if several:
        return _print_several(args, written, refused, formats)
    totals = made.manifest.resources.totals
    others = _others(made, formats[targets[0].name])
    if args.json:
        print_json({"descriptor": args.out, **_said(chip, made), **({"also": others} if args.also else {})})
        return _worst(others)
    print_table(f"{args.out} for {targets[0].title}", ["resource", "used"], sorted(totals.items()))
    print(f"digest {made.manifest.digest[:16]}…  next: {after}")
    return _print_others(others)


def _of_descriptor(args: argparse.Namespace) -> int:
    """Other formats of a descriptor that there is already."""
    from snnkit import descriptor
    from snnkit.cli.common import no_nir_options, print_json
    from snnkit.errors import UsageError
    from snnkit.targets import registry

    no_nir_options(args)
    if not args.also:
        raise UsageError(f"{args.run} is a descriptor already", fix="--also FORMAT, or the folder of a trained run")
    for option in ("out", "calibrate", "host", "allow_code"):
        if getattr(args, option):
            raise UsageError(
                f"--{option.replace('_', '-')} is not for descriptors",
                why=f"{args.run} is written already, and formats go beside it", fix="leave it out",
            )  # fmt: skip
    made = descriptor.load(args.run)
    target = registry.get(made.manifest.target)
    if args.target is not None and [t.name for t in registry.resolve(args.target)] != [target.name]:
        raise UsageError(f"{args.run} is for {target.name}, not for {args.target}", fix="leave --target out")
    others = _others(made, _formats(args.also, [target])[target.name])
    if args.json:
        print_json({"descriptor": args.run, "digest": made.manifest.digest, "also": others})
        return _worst(others)
    return _print_others(others)


def _formats(names: Sequence[str], targets: Sequence[Any]) -> dict[str, list[str]]:
    """The formats asked for, by target; each is one of a target's, so a wrong name is refused before any work."""
    from snnkit.targets import also

    wanted = {name: [t.name for t in also.find(name, targets)] for name in dict.fromkeys(names)}
    return {t.name: [name for name, having in wanted.items() if t.name in having] for t in targets}


def _others(made: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    """Write the other formats of a descriptor; one that its tool cannot hold is said, not raised."""
    from snnkit.errors import FindingsError
    from snnkit.targets import also

    said: list[dict[str, Any]] = []
    for name in names:
        try:
            said.append({"written": True, **also.write(made, name).to_dict()})
        except FindingsError as error:
            said.append({"written": False, "format": name, "what": error.what,
                         "findings": [f.to_dict() for f in error.findings]})  # type: ignore[attr-defined]  # fmt: skip
    return said


def _worst(others: Sequence[dict[str, Any]]) -> int:
    return int(any(not o["written"] for o in others))


def _print_others(others: Sequence[dict[str, Any]]) -> int:
    from snnkit.cli.common import print_findings
    from snnkit.graph.findings import Finding

    for o in others:
        if o["written"]:
            print(f"also {o['folder']}/ for {o['tool']} ({o['title']}): {', '.join(o['files'])}")
            print(f"  spikes in that tool: {o['spikes']}")
        else:
            print(f"\n{o['format']} not written: {o['what']}")
        if o["findings"]:
            print_findings([Finding(**f) for f in o["findings"]])
    return _worst(others)


def _said(chip: Any, made: Any) -> dict[str, Any]:
    return {
        "digest": made.manifest.digest, "resources": made.manifest.resources.totals, "quantisation": chip.report,
        "findings": list(made.manifest.findings),
    }  # fmt: skip


Write = Callable[[Any, Path], tuple[Any, Any]]


def _each(targets: Sequence[Any], folder: Path, write: Write) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was written, and what the others said, by chip."""
    from snnkit.errors import FindingsError

    written: dict[str, Any] = {}
    refused: dict[str, Any] = {}
    for target in targets:
        try:
            written[target.name] = write(target, folder / f"{target.name}.snnx")
        except FindingsError as error:
            refused[target.name] = error.findings
    return written, refused


def _print_several(
    args: argparse.Namespace, written: dict[str, Any], refused: dict[str, Any], formats: dict[str, list[str]]
) -> int:
    from snnkit.cli.common import print_findings, print_json, print_table

    others = {name: _others(made, formats[name]) for name, (_, made) in written.items()}
    if args.json:
        also = {n: {"also": o} if args.also else {} for n, o in others.items()}
        print_json({
            "written": {
                n: {"descriptor": f"{args.out}/{n}.snnx", **_said(*w), **also[n]} for n, w in written.items()
            },
            "refused": {n: [f.to_dict() for f in found] for n, found in refused.items()},
        })  # fmt: skip
    else:
        if written:
            rows = [
                [name, f"{args.out}/{name}.snnx", made.manifest.resources.totals["cores"], made.manifest.digest[:16]]
                for name, (_, made) in written.items()
            ]
            print_table("written", ["chip", "descriptor", "cores", "digest"], rows)
        for said in others.values():
            _print_others(said)
        for name, found in refused.items():
            print(f"\n{name}: does not fit; what would make it fit: snnkit check {args.run} --target {name}")
            print_findings(found)
    fine = written and (args.target == "all" or not refused)
    return 0 if fine and not any(map(_worst, others.values())) else 1


def _of_run(args: argparse.Namespace, progress: Any) -> tuple[Write, str]:
    from snnkit.cli.common import no_nir_options
    from snnkit.errors import UsageError
    from snnkit.training import load_run
    from snnkit.validation.pipeline import check_place
    from snnkit.validation.runs import deploy, opened

    no_nir_options(args)
    if args.calibrate:
        raise UsageError(
            f"--calibrate is for NIR files, and {args.run} is none", fix="leave it out: a run has its data"
        )
    trained = load_run(args.run, args.allow_code)
    data = None

    def write(target: Any, path: Path) -> tuple[Any, Any]:
        nonlocal data
        check_place(path)  # before the data are read
        data = data or opened(trained)
        return deploy(trained, target, path, data=data, bias=args.bias, host=args.host, progress=progress)

    return write, f"snnkit validate {args.run} {args.out}"


def _of_nir(args: argparse.Namespace, progress: Any) -> tuple[Write, str]:
    from snnkit._io import sha256_file
    from snnkit.cli.common import read_nir
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
    known, samples, how = samples_for(graph, args.calibrate)
    origin = {"nir": Path(args.run).name, "nir_sha256": sha256_file(args.run), "calibration": args.calibrate}

    def write(target: Any, path: Path) -> tuple[Any, Any]:
        return deploy_file(known, target, path, samples, bias=args.bias, host=args.host, findings=findings,
                           provenance=origin, host_input=how, progress=progress)  # fmt: skip

    return write, f"snnkit verify {args.out}"
