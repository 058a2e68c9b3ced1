"""The kernel cache: a second process compiles nothing; the key covers what goes into a kernel."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

import snnkit
from snnkit import nn as snn
from snnkit.errors import ParameterError
from snnkit.kernels import cache, threads, warm_up

PACKAGE = Path(snnkit.__file__).resolve().parent

SCRIPT = """
import json, sys, torch
from snnkit import nn as snn
x = torch.randn(*map(int, sys.argv[1:]), requires_grad=True)
snn.LI(tau=2.0, shape=(x.shape[2],), learn_decay=True)(x).sum().backward()
from snnkit.kernels.li import cpu
print(json.dumps([[sum(f.stats.cache_hits.values()), sum(f.stats.cache_misses.values())]
                  for f in (cpu.forward, cpu.backward)]))
print("scipy.linalg" in sys.modules, file=sys.stderr)
"""


def in_a_process(install: Path, keep: Path, *shape: int) -> tuple[list[list[int]], str]:
    """[hits, misses] of the cache in both directions, and the warnings."""
    env = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    env |= {"SNNKIT_CACHE": str(keep), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(install)}
    command = [sys.executable, "-B", "-c", SCRIPT, *map(str, shape)]
    done = subprocess.run(command, env=env, cwd=install, capture_output=True, text=True, check=True)
    return json.loads(done.stdout), done.stderr


def test_second_process_compiles_nothing(tmp_path: Path) -> None:
    """Whatever its T and sizes; the installed package may be read-only, and nothing is written into it."""
    install, keep = tmp_path / "install", tmp_path / "keep"
    shutil.copytree(PACKAGE, install / "snnkit", ignore=shutil.ignore_patterns("__pycache__"))
    before = sorted(install.rglob("*"))
    for path in [install, *before]:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        first, _ = in_a_process(install, keep, 4, 2, 3)
        second, said = in_a_process(install, keep, 7, 3, 5, 4)
    finally:
        for path in [install, *before]:
            path.chmod(path.stat().st_mode | 0o200)
    assert first == [[0, 1], [0, 1]]
    assert second == [[1, 0], [1, 0]]
    assert said.strip() == "False"  # what only compiling needs, and takes longer to import than all else, is not
    assert [p.name for p in keep.iterdir()] == [cache.folder(str(PACKAGE / "kernels/li/cpu.py")).name]
    assert sorted(install.rglob("*")) == before


def test_without_a_place_to_keep_them_kernels_run_uncached(tmp_path: Path) -> None:
    """numba would keep them beside the sources, and not notice that a helper has changed."""
    place = tmp_path / "file"
    place.write_text("no folder")
    kept = set(PACKAGE.rglob("*.nb[ci]"))
    counts, warning = in_a_process(PACKAGE.parent, place / "below", 4, 2, 3)
    assert counts == [[0, 1], [0, 1]]
    assert "SNNKIT_CACHE" in warning
    assert set(PACKAGE.rglob("*.nb[ci]")) == kept


def pieces_of(function: Any, found: set[tuple[Path, str]]) -> set[tuple[Path, str]]:
    """(file, name) of each function of this package that a compiled function contains."""
    piece = Path(function.__code__.co_filename), function.__name__
    if piece[0].is_relative_to(PACKAGE) and piece not in found:
        found.add(piece)
        for name in function.__code__.co_names:
            part = function.__globals__.get(name)
            part = getattr(part, "py_func", getattr(part, "_defn", part))  # of numba's functions and intrinsics
            if inspect.isfunction(part):
                pieces_of(part, found)
    return found


@pytest.mark.parametrize("room", ["lif", "norm_lif", "cubalif", "alif", "linear_leak", "li", "pairs"])
def test_the_key_covers_what_a_kernel_contains(room: str) -> None:
    """All files whose code is in it, and none of another recurrence."""
    module = importlib.import_module(f"snnkit.kernels.{room}.cpu")
    kernels = [value for value in vars(module).values() if hasattr(value, "py_func")]
    pieces: set[tuple[Path, str]] = set()
    for kernel in kernels:
        pieces_of(kernel.py_func, pieces)
    contained = {path for path, _ in pieces}
    covered = {PACKAGE.parent / name for name in cache.sources(Path(module.__file__ or ""))}
    assert contained <= covered
    assert len(contained) > 1 or room == "pairs"
    around = {"lif": "lif/alone.py", "norm_lif": "norm_lif/around.py"}  # taken by the type of an argument
    assert room not in around or PACKAGE / "kernels" / around[room] in covered
    rooms = {path.parent.name for path in covered if path.name == "cpu.py"}
    assert rooms == {room}


def test_the_key_changes_with_a_helper_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PACKAGE, tmp_path / "snnkit", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache, "_ROOT", tmp_path)
    rooms = tmp_path / "snnkit" / "kernels"
    files = [str(rooms / room / "cpu.py") for room in ("lif", "alif", "pairs")]

    def keys() -> list[Path]:
        cache.folder.cache_clear()
        return [cache.folder(file) for file in files]

    try:
        before = keys()
        assert before == keys()
        for changed, expected in (
            ("kernels/tiles.py", [True, True, True]),
            ("kernels/alif/cpu.py", [True, False, True]),
            ("kernels/rows.py", [False, False, True]),
            ("surrogate/arctan.py", [False, False, True]),
            ("kernels/cache.py", [False, False, False]),
        ):
            path = tmp_path / "snnkit" / changed
            path.write_text(path.read_text() + "\n# changed\n")
            after = keys()
            assert [a == b for a, b in zip(before, after)] == expected, changed
            before = after
    finally:
        cache.folder.cache_clear()


def test_processes_that_compile_at_a_time_never_share_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither sees what the other has kept; then each finds its own or nothing, never the other's."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    cache.folder.cache_clear()
    try:
        first, second = (cache.kernel(pieces_of)._cache for _ in range(2))
    finally:
        cache.folder.cache_clear()
    for keeper, key in ((first, ("float32", "x86", "a")), (second, ("float64", "x86", "a"))):
        with monkeypatch.context() as patch:
            patch.setattr(type(keeper._cache_file), "_load_index", lambda self: {})
            keeper._cache_file.save(key, key)
    assert first._cache_file.load(("float64", "x86", "a")) == ("float64", "x86", "a")
    assert first._cache_file.load(("float32", "x86", "a")) is None
    first._cache_file.save(("float32", "x86", "a"), "again")
    assert second._cache_file.load(("float32", "x86", "a")) == "again"
    assert second._cache_file.load(("float64", "x86", "a")) == ("float64", "x86", "a")


OTHER = """
import sys, torch
from snnkit import nn as snn
from snnkit.kernels import cache
assert cache._knows_numba()
cache._knows_numba = lambda: False
x = torch.load(sys.argv[1]).requires_grad_()
out = snn.LI(tau=2.0, shape=(37,), learn_decay=True)(x)
out.square().sum().backward()
torch.save((out.detach(), x.grad), sys.argv[2])
"""


def test_another_numba_inside_gives_the_same_kernels(tmp_path: Path) -> None:
    """They take longer to compile, and that is all."""
    x = torch.randn(5, 2, 37, generator=torch.Generator().manual_seed(0))
    given, found = tmp_path / "x.pt", tmp_path / "other.pt"
    torch.save(x, given)
    env = os.environ | {"SNNKIT_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    env.pop("NUMBA_CACHE_DIR", None)
    subprocess.run([sys.executable, "-c", OTHER, str(given), str(found)], env=env, check=True)
    assert cache._knows_numba()
    x.requires_grad_()
    out = snn.LI(tau=2.0, shape=(37,), learn_decay=True)(x)
    out.square().sum().backward()
    for this, other in zip((out.detach(), x.grad), torch.load(found)):
        assert torch.equal(this, other)


def test_a_numba_without_what_pieces_need_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    from numba.core.compiler import Flags

    monkeypatch.delattr(Flags, "noalias")
    assert not cache._knows_numba.__wrapped__()


TOO_MUCH = """
import numpy as np
from snnkit.kernels.address import allocate, release
from snnkit.kernels.cache import kernel

@kernel
def much(count, one):
    rows = allocate(1, 8, one)
    release(rows)
    more = allocate(count, 8, one)
    release(more)

much(2, np.float32(1))
try:
    much(1 << 55, np.float32(1))
except MemoryError:
    print("refused")
"""


def test_memory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    script = tmp_path / "much.py"
    script.write_text(TOO_MUCH)
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "numba"), "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


def test_warm_up_reports_each_kernel() -> None:
    seen: list[tuple[str, int, int]] = []
    seconds = warm_up(lambda *a: seen.append(a), neurons=("LIF", "LI"))
    assert seconds >= 0
    assert [done for _, done, _ in seen] == list(range(5))
    names = ["LIF forward", "LIF backward", "LI forward", "LI backward", "kernels ready"]
    assert [name for name, _, _ in seen] == names
    with pytest.raises(ParameterError, match="did you mean 'CubaLIF'"):
        warm_up(neurons=("CubaLif",))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_kernels_of_other_types_can_be_warmed_up(dtype: torch.dtype) -> None:
    """Those of training in low precision; the seconds are what the clock says."""
    assert warm_up(dtype=dtype, neurons=("LIF", "Recurrent", "BatchNorm and LIF")) > 0


WARM = """
import json, sys, torch
from snnkit import nn as snn
from snnkit.kernels import warm_up
torch.manual_seed(0)
models = {
    "norm": (snn.Sequential(snn.BatchNorm(2), snn.AvgPool2d(2), snn.LIF(), snn.Flatten(), snn.Linear(8, 3), snn.LI()),
             (3, 2, 2, 4, 4)),
    "alone": (torch.nn.Sequential(snn.BatchNorm(2), snn.LIF(), snn.AvgPool2d(2)), (3, 2, 2, 4, 4)),
    "recurrent": (snn.Sequential(snn.Linear(3, 130), snn.Recurrent.dense(snn.CubaLIF(learn_decay=True), 130)),
                  (3, 2, 3)),
    "any option": (snn.Sequential(snn.Recurrent.dense(snn.ALIF(learn_threshold=True, refractory=1), 4)), (3, 2, 4)),
}
model, shape = models[sys.argv[1]]
warm_up(neurons=snn.kernels_of(model))

def compiled():
    return {f"{name}.{key}": sum(function.stats.cache_misses.values()) + sum(function.stats.cache_hits.values())
            for name, module in list(sys.modules.items()) if name.startswith("snnkit.kernels.")
            for key, function in vars(module).items() if getattr(function, "stats", None) and function.signatures}

before = compiled()
x = torch.rand(shape, requires_grad=True)
for _ in range(2):
    model(x).sum().backward()
    model.eval()(x)
    model.train()
print(json.dumps([before, compiled(), snn.kernels_of(model)]))
"""


NEEDS = {
    "norm": ["BatchNorm and LIF", "LIF", "LI"],
    "alone": ["BatchNorm", "LIF", "AvgPool2d"],
    "recurrent": ["Recurrent"],
    "any option": ["Recurrent, any option"],
}


@pytest.fixture(scope="module")
def warmed() -> dict[str, Any]:
    """What WARM says of each model. A process each, two at a time."""

    def run(model: str) -> Any:
        done = subprocess.run([sys.executable, "-c", WARM, model], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(NEEDS, pool.map(run, NEEDS)))


@pytest.mark.timeout(180)  # the kernels of three networks are compiled where they are not cached yet
@pytest.mark.parametrize("model", NEEDS)
def test_after_warming_up_a_model_needs_no_more(model: str, warmed: dict[str, Any]) -> None:
    """What `kernels_of` names is all that training and evaluation then load or compile, and no other neuron's."""
    before, after, found = warmed[model]
    assert found == NEEDS[model]
    assert before == after
    kernels = ("cpu", "back", "gather", "layers_cpu", "gradient_torch")
    loaded = [room for room, file, *_ in (name.split(".")[2:] for name in before) if file in kernels]
    assert len(loaded) >= 2 * len(found)
    assert set(loaded) <= {"lif", "li", "norm_lif", "recurrent"}


def test_blocks_cover_everything_once() -> None:
    torch.manual_seed(0)
    for steps, width in ((1, 1), (1, 70_000), (7, 4097), (300, 3000), (2000, 511)):
        seen: list[int] = []

        def kernel(first: int, last: int, block: int, seen: list[int] = seen, width: int = width) -> None:
            for b in range(first, last):
                seen.extend(range(b * block, min((b + 1) * block, width)))

        threads.run_blocks(kernel, steps, width)
        assert sorted(seen) == list(range(width))


def test_an_error_in_a_thread_is_not_lost() -> None:
    def kernel(first: int, last: int, block: int) -> None:
        raise ZeroDivisionError

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        threads.run_blocks(kernel, 100, 100_000)
    except ZeroDivisionError:
        pass
    else:
        raise AssertionError("the error was lost")
    finally:
        torch.set_num_threads(before)


def test_the_quickstart_compiles_what_its_recipe_needs() -> None:
    from snnkit.cli.quickstart import NEURONS, RECIPE
    from snnkit.training import recipes

    net = recipes.load(RECIPE)["model"]["net"]
    module, _, name = net["class_path"].rpartition(".")
    model = getattr(importlib.import_module(module), name)(**net["init_args"])
    assert set(snn.kernels_of(model)) == set(NEURONS)
