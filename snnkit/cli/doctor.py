"""What this installation can do, and what is missing; exit code 1 if something necessary is."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

REQUIRED = (
    "torch",
    "lightning",
    "numba",
    "numpy",
    "scipy",
    "sklearn",
    "h5py",
    "pydantic",
    "safetensors",
    "yaml",
    "rich",
)
OPTIONAL = {
    "matplotlib": ("pictures and reports", "pip install matplotlib"),
    "tensorboard": ("TensorBoard logs", "pip install tensorboard"),
    "tonic": ("downloading data sets", "pip install tonic"),
    "spikingjelly": ("comparison in snnkit bench", 'pip install "snnkit[bench]"'),
    "snntorch": ("comparison in snnkit bench", 'pip install "snnkit[bench]"'),
    "norse": ("comparison in snnkit bench", 'pip install "snnkit[bench]"'),
}
_DISTRIBUTION = {"sklearn": "scikit-learn", "yaml": "PyYAML"}
MIN_FREE_GB = 1.0


@dataclass
class Check:
    """One line of the report; `ok` is None for what is merely said."""

    name: str
    ok: bool | None
    text: str
    needed: bool = True
    remedy: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`snnkit doctor` has no options of its own."""


def _version(name: str) -> str | None:
    try:
        return metadata.version(_DISTRIBUTION.get(name, name))
    except metadata.PackageNotFoundError:
        return None


def _packages() -> list[Check]:
    checks = []
    for name in REQUIRED:
        version = _version(name)
        package = _DISTRIBUTION.get(name, name)
        checks.append(Check(package, version is not None, version or "missing", remedy=f"pip install {package}"))
    for name, (use, remedy) in OPTIONAL.items():
        version = _version(name)
        checks.append(Check(name, version is not None, version or f"missing: {use}", needed=False, remedy=remedy))
    return checks


def _torch() -> list[Check]:
    try:
        import torch
    except Exception as error:  # a broken installation fails in many ways, and telling it is this command's purpose
        return [Check("torch loads", False, f"{type(error).__name__}: {error}", remedy="reinstall torch")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU only"
    checks = [
        Check("threads", None, f"torch uses {torch.get_num_threads()} of {cores} cores"),
        Check("device", None, device),
    ]
    try:
        from snnkit._compat import prepare_torchvision

        prepare_torchvision()
        import lightning  # noqa: F401

        checks.append(Check("lightning loads", True, "yes"))
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        checks.append(Check("lightning loads", False, text, remedy="pip install --upgrade lightning torchvision"))
    return checks


def _numba() -> list[Check]:
    try:
        from snnkit._numba import configure

        configure()
        import numba
        import numpy as np

        @numba.njit(parallel=True)  # type: ignore[untyped-decorator]
        def double(x: np.ndarray) -> np.ndarray:
            for i in numba.prange(len(x)):
                x[i] *= 2
            return x

        good = bool((double(np.ones(8)) == 2).all())
        layer = numba.threading_layer()
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return [Check("numba compiles", False, text, remedy="pip install --upgrade numba llvmlite")]
    safe = layer in ("omp", "tbb")
    return [
        Check("numba compiles", good, f"in parallel, threading layer {layer}"),
        Check(
            "threading layer",
            safe,
            f"{layer} is {'safe' if safe else 'not safe'} with concurrent threads",
            needed=False,
            remedy="pip install tbb, or install the system's libgomp",
        ),
    ]


def _writable(folder: Path) -> str:
    """Empty if a file can be written there, else the reason."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _disk() -> list[Check]:
    cache = Path(os.environ.get("SNNKIT_CACHE") or Path.home() / ".cache" / "snnkit")
    checks = []
    for name, folder, remedy in (
        ("cache folder", cache, "set SNNKIT_CACHE to a folder that you can write"),
        ("working folder", Path.cwd(), "change to a folder that you can write"),
    ):
        reason = _writable(folder)
        checks.append(Check(name, not reason, f"{folder}{': ' + reason if reason else ''}", remedy=remedy))
        if not reason:
            free = shutil.disk_usage(folder).free / 1e9
            text = f"{free:.1f} GB free"
            remedy = f"free some space: {MIN_FREE_GB:.0f} GB is comfortable"
            checks.append(Check(f"space, {name}", free >= MIN_FREE_GB, text, needed=False, remedy=remedy))
    return checks


def _recipes() -> list[Check]:
    from snnkit.training import recipes

    names = recipes.names()
    return [Check("recipes", bool(names), f"{len(names)} in {recipes.recipes_folder()}", remedy="reinstall snnkit")]


def checks() -> list[Check]:
    """Everything that is looked at."""
    from snnkit import __version__

    good = sys.version_info >= (3, 11)
    first = [
        Check("snnkit", None, __version__),
        Check("python", good, sys.version.split()[0], remedy="use Python 3.11 or later"),
    ]
    return [*first, *_packages(), *_torch(), *_numba(), *_disk(), *_recipes()]


def run(args: argparse.Namespace) -> int:
    """Report; 0 if all that is necessary is there, else 1."""
    found = checks()
    bad = [c for c in found if c.ok is False and c.needed]
    if args.json:
        import json

        print(json.dumps({"ok": not bad, "checks": [asdict(c) for c in found]}, indent=1))
        return 1 if bad else 0
    width = max(len(c.name) for c in found)
    for c in found:
        mark = {True: "ok", False: "MISSING" if c.needed else "absent", None: "-"}[c.ok]
        print(f"{mark:<8}{c.name:<{width}}  {c.text}")
        if c.ok is False:
            print(f"{'':<8}{'':<{width}}  remedy: {c.remedy}")
    print("everything necessary is there" if not bad else f"{len(bad)} necessary things are missing")
    return 1 if bad else 0
