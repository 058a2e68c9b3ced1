"""What this installation can do, and what is missing; exit code 1 if something necessary is.

snnkit doctor --gpu     run the GPU tests and benchmarks of this machine and write one JSON file
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from snnkit.errors import UsageError

REQUIRED = (
    "torch",
    "lightning",
    "numba",
    "numpy",
    "scipy",
    "sklearn",
    "h5py",
    "hdf5plugin",
    "lz4",
    "zstandard",
    "pydantic",
    "safetensors",
    "yaml",
    "rich",
    "pdoc",
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
    """Options of `snnkit doctor`."""
    parser.add_argument("--gpu", action="store_true", help="run the GPU tests (in a checkout) and benchmarks")
    parser.add_argument(
        "--out", type=Path, default=Path("gpu_report.json"), metavar="FILE", help="with --gpu: where its JSON goes"
    )


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
    if _version("tonic") is not None:
        checks.append(Check("tonic's licence", None, TONIC))
    return checks


TONIC = (
    "GPL-3.0. It is loaded for downloads only, and snnkit works without it; whoever passes on a program together "
    "with it must do so under the GPL"
)


def _vision() -> Check:
    """torchvision is built for one torch; beside another its operators do not load, and with them lightning."""
    import re

    version, torch = _version("torchvision"), _version("torch")
    if version is None or torch is None:
        return Check("torchvision", None, "not installed")
    wanted = next((r for r in metadata.requires("torchvision") or () if re.match(r"torch\s*[(=]", r)), "")
    match = re.search(r"==\s*([0-9.]+)", wanted)
    good = match is None or torch.split("+")[0] == match[1]
    text = version if good else f"{version} is built for torch {match[1] if match else '?'}, installed is {torch}"
    kinds = {v.split("+")[1][:2] for v in (version, torch) if "+" in v}
    if good and len(kinds) > 1:
        good, text = False, f"{version} and torch {torch} are builds for different devices"
    remedy = f'pip install --force-reinstall "torch=={torch.split("+")[0]}" torchvision, both from one index'
    return Check("torchvision fits torch", good, text, needed=False, remedy=remedy)


def _torch() -> list[Check]:
    try:
        import torch
    except Exception as error:  # a broken installation fails in many ways, and telling it is this command's purpose
        return [Check("torch loads", False, f"{type(error).__name__}: {error}", remedy="reinstall torch")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    checks = [
        Check("threads", None, f"torch uses {torch.get_num_threads()} of {cores} cores"),
        Check("CUDA", None, f"torch was built with {torch.version.cuda}" if torch.version.cuda else "a CPU build"),
        Check("device", None, "; ".join(_devices()) or "CPU only"),
        Check("triton", None, _version("triton") or "not installed (a GPU build of torch brings it)"),
        _vision(),
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


def _devices() -> list[str]:
    """Name, memory and architecture of each GPU."""
    import torch

    if not torch.cuda.is_available():
        return []
    found = [torch.cuda.get_device_properties(k) for k in range(torch.cuda.device_count())]
    return [f"{p.name}, {p.total_memory / 2**30:.0f} GiB, sm_{p.major}{p.minor}" for p in found]


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
    if cache.is_dir():
        size = sum(p.stat().st_size for p in cache.rglob("*") if p.is_file()) / 1e6
        kernels = sorted(p.name for p in cache.iterdir() if p.name.startswith(("kernels-", "numba-")))
        text = f"{size:.0f} MB, {len(kernels)} folders of compiled kernels; any of it may be deleted"
        checks.append(Check("cache", None, text))
    from snnkit.kernels.memory import limit

    text = f"up to {limit() / 1e9:.1f} GB of freed tensors are kept for the next (SNNKIT_KEEP_MIB)"
    checks.append(Check("kept memory", None, text))
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


def _tests() -> Path:
    """Where the tests are in a checkout: beside the package."""
    return Path(__file__).resolve().parents[2] / "tests"


def gpu_report(out: Path, as_json: bool) -> int:
    """Run the quick tests marked `gpu` and the benchmark on this machine's GPU, and write both to one JSON file.

    Raises:
        UsageError: there is no GPU.
    """
    import json
    import subprocess

    from snnkit import _io
    from snnkit.bench import neurons

    devices = _devices()
    if not devices:
        raise UsageError("there is no GPU that torch can use", fix="snnkit doctor says which build of torch this is")
    tests = _tests()
    result: dict[str, object] = {"devices": devices, "checks": [asdict(c) for c in checks()]}
    if (tests / "conftest.py").is_file():
        command = [sys.executable, "-m", "pytest", str(tests), "-m", "gpu and not slow", "-q", "-rA", "--no-header"]
        done = subprocess.run(command, cwd=tests.parent, capture_output=True, text=True)
        lines = [line for line in done.stdout.splitlines() if line.startswith(("PASSED", "FAILED", "ERROR", "SKIPPED"))]
        result["tests"] = {"exit_code": done.returncode, "results": lines, "output": done.stdout[-20_000:]}
    else:
        result["tests"] = {
            "exit_code": None,
            "results": [],
            "output": "the tests are in a checkout of the project only",
        }
    result["bench"] = {"neurons": neurons.run(device="cuda")}
    _io.write_json(out, result)
    failed = result["tests"]["exit_code"] not in (0, None)  # type: ignore[index]
    if as_json:
        print(json.dumps({"report": str(out), "tests_passed": not failed}, indent=1))
    else:
        print(f"{'; '.join(devices)}\nGPU tests: {'some failed' if failed else 'all passed'}\n{out}")
    return 1 if failed else 0


def run(args: argparse.Namespace) -> int:
    """Report; 0 if all that is necessary is there, else 1."""
    if args.gpu:
        return gpu_report(args.out, args.json)
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
