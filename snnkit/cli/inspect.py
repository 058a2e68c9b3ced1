"""What is in a recording, a run folder, a descriptor (.snnx) or a NIR file (.nir). Needs no torch.

snnkit inspect RECORDING --picture page.png      any format: AEDAT, EVT 2/2.1/3, DAT, HDF5, .bin, CSV, NPZ
snnkit inspect RUN --ops                         synaptic operations, activity, parameters, energy proxies per layer
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

from snnkit.errors import DataError, UsageError, did_you_mean

KNOWN = "a recording (AEDAT, EVT, DAT, HDF5, .bin, CSV, NPZ), a run folder, a descriptor NAME.snnx or a NIR file (.nir)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `snnkit inspect`."""
    parser.add_argument("path", metavar="FILE", help=KNOWN)
    parser.add_argument("--ops", action="store_true", help="of a run: run its network and count its operations")
    parser.add_argument("--samples", type=int, default=64, metavar="N", help="with --ops: test samples (default 64)")
    parser.add_argument("--data", metavar="PATH", help="with --ops: where the data lie now, if they were moved")
    parser.add_argument("--allow-code", action="append", default=[], metavar="MODULE", help="as in snnkit train")
    parser.add_argument("--picture", metavar="FILE.png", help="of a recording: frames, rate, pixels on one page")
    parser.add_argument("--video", metavar="FILE.gif", help="of a recording: an animation")
    reading_options(parser)


def reading_options(parser: argparse.ArgumentParser) -> None:
    """Options that say how a recording is read; shared with `snnkit convert`."""
    group = parser.add_argument_group("how a recording is read")
    group.add_argument("--format", metavar="NAME", help="the recording's format, instead of recognising it")
    group.add_argument("--sensor", metavar="WxH", help="the sensor's size, instead of what the file states")
    group.add_argument("--sample", type=int, metavar="N", help="which recording of an HDF5 file as of SHD")
    group.add_argument("--columns", metavar="ORDER", help="columns of text without header, such as xytp")
    group.add_argument("--time-unit", choices=("ns", "us", "ms", "s"), help="of text, NPZ and HDF5")
    group.add_argument("--partial", action="store_true", help="of a damaged file, take what comes before the damage")


def run(args: argparse.Namespace) -> int:
    """Recognise the file and print what is in it; 0 when done."""
    path = Path(args.path)
    kind = "recording" if args.format else recognise(path)
    if args.ops:
        if kind != "run":
            raise UsageError(f"--ops counts the operations of a run, and {path} is a {kind}", fix="name a run folder")
        from snnkit.cli.show.operations import operations

        return operations(path if path.is_dir() else path.parent, args)
    if kind != "recording" and (args.picture or args.video):
        raise UsageError(f"--picture and --video are of recordings, and {path} is a {kind}", fix="name a recording")
    page = importlib.import_module(f"snnkit.cli.show.{kind}")
    facts: dict[str, Any]
    if kind == "recording":
        try:
            facts = page.inspect(path, args)
        except DataError as error:
            raise DataError(error.what, why=error.why, fix=_also_replay(path, error.fix)) from None
    elif kind == "network":
        from snnkit.export.nir.describe import describe

        facts = describe(path)
    else:
        facts = page.describe(path if path.is_dir() else path.parent)
    if args.json:
        from snnkit.cli.common import print_json

        print_json({"kind": kind, **facts})
    else:
        page.show(facts)
    return 0


def recognise(path: Path) -> str:
    """ "recording", "run", "descriptor" or "network", by what is there.

    Raises:
        UsageError: nothing is there, or nothing of these. DataError: a recording's ending with another content.
    """
    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UsageError(f"{path} does not exist{did_you_mean(path.name, beside)}", fix=f"name {KNOWN}")
    if path.is_dir():
        if (path / "run.json").is_file():
            return "run"
        if (path / "manifest.json").is_file() or path.suffix == ".snnx":
            return "descriptor"
        raise UsageError(f"{path} is neither a run nor a descriptor", fix=f"name {KNOWN}")
    if path.suffix.lower() == ".nir":
        return "network"
    if (path.parent / "run.json").is_file() and path.name in ("run.json", "model.ckpt", "last.ckpt", "metrics.json"):
        return "run"
    if path.name == "manifest.json" or path.suffix == ".safetensors":
        return "descriptor"
    from snnkit.data.files.formats import FORMATS
    from snnkit.data.files.formats import recognise as recognise_recording

    try:
        recognise_recording(path)
    except DataError as error:
        ending = path.suffix.lower()
        if ending not in (".npz", ".txt") and any(ending in f.endings for f in FORMATS.values()):
            raise
        what = f"{path} is of no known kind: {error.what.split(': ', 1)[-1]}"
        raise UsageError(what, fix=_also_replay(path, f"name {KNOWN}")) from None
    return "recording"


def _also_replay(path: Path, fix: str) -> str:
    if path.suffix.lower() != ".npz":
        return fix
    return f"reference vectors are run by `snnkit replay --target CHIP {path}`; otherwise {fix}"
