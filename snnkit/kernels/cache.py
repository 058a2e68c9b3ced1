"""Where compiled kernels are kept between processes.

numba notices a change in the file of a cached function, not in the helpers it calls. So the folder of a kernel is keyed
by a digest of all files that can go into it. A second process compiles nothing.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from snnkit import _numba

_ROOT = Path(__file__).resolve().parents[2]

_PREFIX = "kernels-"

_IMPORT = re.compile(r"^[ \t]*(?:from (snnkit[\w.]*) import (\([^)]*\)|[^\n]*)|import (snnkit[\w.]*))", re.MULTILINE)

_PIECE: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": False,
    "nogil": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def _imported(text: str) -> Iterator[str]:
    """Modules of this package that a source file may import, and names in them that may be modules."""
    for origin, names, plain in _IMPORT.findall(text):
        yield origin or plain
        for name in re.findall(r"\w+", names):
            yield f"{origin}.{name}"


def sources(path: Path) -> dict[str, bytes]:
    """A file of this package and all that it imports from the package, directly or not: name in the package → text."""
    found: dict[str, bytes] = {}
    left = [path]
    while left:
        file = left.pop()
        name = file.relative_to(_ROOT).as_posix()
        if name in found:
            continue
        found[name] = file.read_bytes()
        for module in set(_imported(found[name].decode())):
            place = _ROOT.joinpath(*module.split("."))
            left += [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]
    return found


@cache
def folder(path: str) -> Path:
    """Where the kernels of a file are kept: `$SNNKIT_CACHE/kernels-<digest>` (default `~/.cache/snnkit`), or
    NUMBA_CACHE_DIR where the user has set one."""
    chosen = _numba.chosen_folder()
    if chosen is not None:
        return chosen
    digest = hashlib.sha256()
    for name, text in sorted(sources(Path(path).resolve()).items()):
        digest.update(name.encode() + b"\0" + text + b"\0")
    return _numba.base_folder() / f"{_PREFIX}{digest.hexdigest()[:16]}"


def _current() -> set[str]:
    """Names of the folders of all kernels in this version."""
    files = (_ROOT / "snnkit" / "kernels").rglob("*.py")
    return {folder(str(file)).name for file in files if "@kernel" in file.read_text(encoding="utf-8")}


@cache
def _can_keep(place: Path) -> bool:
    """Whether kernels can be kept there. numba would else keep them beside the sources, where no digest is."""
    try:
        if place == _numba.chosen_folder():
            place.mkdir(parents=True, exist_ok=True)
        else:
            _numba.in_use(place, _PREFIX, _current)
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        warnings.warn(
            f"every process compiles its kernels anew, because {place} cannot be written ({error.strerror}): set "
            "SNNKIT_CACHE to a folder that can",
            stacklevel=2,
        )
        return False
    return True


@cache
def _keeper() -> type[Any]:
    """numba's cache of a function, which loads without what only compiling needs.

    Before it looks, numba's own imports all that it can compile, SciPy's linear algebra among it: a third of a second.
    """
    from numba.core.caching import FunctionCache, IndexDataCacheFile
    from numba.core.runtime import rtsys

    inside = "_load_overload", "_guard_against_spurious_io_errors"
    files = "_load_index", "_save_index", "_data_name", "_save_data"
    if not (
        all(hasattr(FunctionCache, name) for name in inside)
        and all(hasattr(IndexDataCacheFile, name) for name in files)
        and hasattr(rtsys, "initialize")
    ):
        return FunctionCache

    class Files(IndexDataCacheFile):
        def save(self, key: Any, data: Any) -> None:
            """numba counts files, so two processes that compile for other types at a time might write to the same one,
            and a third would run code for other types than it asked for. Here each key has a file of its own."""
            name = self._data_name(int(hashlib.sha256(repr(key).encode()).hexdigest()[:15], 16))
            self._save_data(name, data)
            self._save_index({**self._load_index(), key: name})

    class Keeper(FunctionCache):
        def __init__(self, function: Callable[..., Any]) -> None:
            super().__init__(function)
            if type(self._cache_file) is IndexDataCacheFile:
                self._cache_file.__class__ = Files

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            rtsys.initialize(target_context)  # the one part that running needs: memory
            with self._guard_against_spurious_io_errors():
                return self._load_overload(sig, target_context)

    return Keeper


def kernel(function: Callable[..., Any]) -> Any:
    """Decorator of a kernel: compiled for the types it is called with, IEEE results, kept in its `folder`."""
    _numba.choose_threads()
    import numba

    compiled = numba.njit(**{**_numba.OPTIONS, "cache": False})(function)
    place = folder(function.__code__.co_filename)
    if _can_keep(place):
        before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
        numba.config.CACHE_DIR = str(place)  # type: ignore[attr-defined]
        try:
            compiled._cache = _keeper()(function)
        finally:
            numba.config.CACHE_DIR = before  # type: ignore[attr-defined]
    return compiled


@cache
def _knows_numba() -> bool:
    """Whether numba is no older than what `_piece_compiler` is made for (0.61 cannot), and has inside what that uses.

    Without that, pieces are compiled on their own as well, and nobody tells their loops that rows do not overlap:
    slower, and the same values.
    """
    import numba
    from numba.core.base import BaseContext
    from numba.core.codegen import CPUCodeLibrary
    from numba.core.compiler import Compiler, CompileResult, Flags

    needed: dict[type[Any], tuple[str, ...]] = {
        BaseContext: ("insert_user_function",),
        Compiler: ("compile_extra", "define_pipelines"),
        CompileResult: ("entry_point", "fndesc", "library", "_replace"),
        CPUCodeLibrary: ("_finalize_final_module", "_finalized", "_optimize_final_module", "get_function"),
        Flags: ("no_compile", "noalias"),
    }
    found = all(hasattr(owner, name) for owner, names in needed.items() for name in names)
    return found and tuple(map(int, numba.__version__.split(".")[:2])) >= (0, 68)


@cache
def _piece_compiler(apart: bool) -> type[Any]:
    """numba's compiler for pieces, which become machine code in the kernel they end up in, and not before on their own
    as well; where they are `apart`, in one place of it, and nothing that they write overlaps another argument.
    """
    from numba.core.compiler import Compiler

    class PieceCompiler(Compiler):
        def define_pipelines(self) -> Any:
            flags, state = self.state.flags, self.state
            flags.noalias = apart
            library = state.targetctx.codegen().create_library(state.func_id.func_qualname)
            flags.no_compile = True
            library._optimize_final_module = lambda: None
            library._finalize_final_module = partial(setattr, library, "_finalized", True)
            state.library = library
            return super().define_pipelines()

        def compile_extra(self, func: Any) -> Any:
            result = super().compile_extra(func)
            if result.entry_point is None:  # numba knows a function by what calls it, a built-in one; this one fails
                result = result._replace(entry_point=[].index)
                self.state.targetctx.insert_user_function(result.entry_point, result.fndesc, [result.library])
            if apart:
                result.library.get_function(result.fndesc.llvm_func_name).add_function_attribute("noinline")
            return result

    return PieceCompiler


def row(function: Callable[..., Any]) -> Any:
    """Decorator of a loop over a row that only kernels call. Rows that it writes overlap no other."""
    _numba.choose_threads()
    import numba

    return numba.njit(**piece_options(apart=True))(function)


def piece(function: Callable[..., Any]) -> Any:
    """Decorator of another part of kernels, which becomes part of what calls it."""
    _numba.choose_threads()
    import numba

    return numba.njit(**piece_options())(function)


def piece_options(apart: bool = False) -> Any:
    """numba's options for `piece`, and for `row` where `apart`; numba's own type of them is private."""
    return {"pipeline_class": _piece_compiler(apart), **_PIECE} if _knows_numba() else dict(_PIECE)
