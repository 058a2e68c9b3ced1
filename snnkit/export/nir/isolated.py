"""Reading `.nir` files in a process of its own, because libhdf5 may crash or never end on a damaged file.

`python -m snnkit.export.nir.isolated` is that process: it takes one path per line (JSON) and answers with a message of
numbers and text. It is started at the first read, serves all later ones, and ends with its parent.

    8 bytes    length of the header
    header     JSON: the graph, arrays as {"dtype", "shape"}, or an error
    arrays     their bytes, in the order of the header
"""

from __future__ import annotations

import atexit
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from snnkit.errors import NirError
from snnkit.export.nir.model import Array, Document, Net, Node

SECONDS = 30.0
"""Longest time for one file; 1 GiB of arrays takes a few seconds."""
MEMORY = 2**33
"""Most address space of the process, bytes."""
DAMAGED = "the file is damaged; write it again"


def read_file(path: str | Path) -> Document:
    """The graph of a `.nir` file with its arrays in memory, every size checked before it is read.

    Raises:
        NirError: no HDF5, damaged, another layout or version, beyond the limits, or a file that breaks libhdf5.
        FileNotFoundError: there is no such file.
    """
    with open(path, "rb"):
        pass
    return _worker.read(Path(path).resolve(), Path(path))


# ------------------------------------------------------------------------------------------------------------- parent
class _Worker:
    """The process, started when it is first needed, and anew after it broke off or in a forked child."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.owner = 0
        self.lock = threading.Lock()

    def start(self) -> subprocess.Popen[bytes]:
        package = str(Path(__file__).resolve().parents[3])
        path = os.pathsep.join(p for p in (package, os.environ.get("PYTHONPATH", "")) if p)
        env = {**os.environ, "PYTHONPATH": path, "HDF5_PLUGIN_PRELOAD": "::", "OPENBLAS_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "snnkit.export.nir.isolated"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env,
        )  # fmt: skip
        self.process, self.owner = process, os.getpid()
        return process

    def stop(self) -> None:
        """End the process, if it is ours."""
        process, self.process = self.process, None
        if process is None or self.owner != os.getpid():
            return
        process.kill()
        process.communicate()

    def read(self, file: Path, shown: Path) -> Document:
        """The document in a file; errors name it as the caller did."""
        with self.lock:
            alive = self.process if self.owner == os.getpid() else None
            if alive is None or alive.poll() is not None:
                alive = self.start()
            late = threading.Event()

            def give_up() -> None:
                late.set()
                alive.kill()

            timer = threading.Timer(SECONDS, give_up)
            timer.start()
            try:
                assert alive.stdin is not None
                assert alive.stdout is not None
                alive.stdin.write(json.dumps(str(file)).encode() + b"\n")
                alive.stdin.flush()
                header, arrays = _receive(alive.stdout)
            except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
                self.stop()
                code = alive.returncode
                why = f"no end within {SECONDS:g} s" if late.is_set() else f"exit code {code}, {type(error).__name__}"
                raise NirError(f"{shown} cannot be read: its HDF5 breaks the library", why=why, fix=DAMAGED) from None
            finally:
                timer.cancel()
        if "error" in header:
            said = {k: str(header["error"][k]) for k in ("what", "why", "fix")}
            raise NirError(said["what"].replace(str(file), str(shown)), why=said["why"], fix=said["fix"])
        net = _build(header["net"], iter(arrays).__next__)
        assert isinstance(net, Net)
        return Document(net, str(header["version"]))


_worker = _Worker()
atexit.register(_worker.stop)


def _receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[Array]]:
    header = json.loads(_exactly(stream, int.from_bytes(_exactly(stream, 8), "little")))
    arrays = []
    for described in header.get("arrays", []):
        dtype, shape = np.dtype(str(described["dtype"])), tuple(int(n) for n in described["shape"])
        if dtype.kind not in "fiub" or min(shape, default=0) < 0:
            raise ValueError("an array that is no array of numbers")
        arrays.append(np.frombuffer(_exactly(stream, math.prod(shape) * dtype.itemsize), dtype).reshape(shape))
    return header, arrays


def _exactly(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _build(value: Any, take: Callable[[], Array]) -> Any:
    """The graph of a header, with arrays taken in order."""
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return take()
    if "mapping" in value:
        return {k: _build(v, take) for k, v in value["mapping"].items()}
    if "nodes" in value:
        nodes = {k: _build(v, take) for k, v in value["nodes"].items()}
        return Net(nodes, tuple((a, b) for a, b in value["edges"]), _build(value["metadata"], take))
    return Node(value["type"], _build(value["fields"], take), _build(value["metadata"], take))


# -------------------------------------------------------------------------------------------------------------- child
def _plain(value: Any, arrays: list[Array]) -> Any:
    """A graph as JSON, its arrays put aside in order."""
    if isinstance(value, Net):
        nodes = {k: _plain(v, arrays) for k, v in value.nodes.items()}
        return {"nodes": nodes, "edges": value.edges, "metadata": _plain(value.metadata, arrays)}
    if isinstance(value, Node):
        fields = _plain(value.fields, arrays)
        return {"type": value.type, "fields": fields, "metadata": _plain(value.metadata, arrays)}
    if isinstance(value, Mapping):
        return {"mapping": {k: _plain(v, arrays) for k, v in value.items()}}
    if isinstance(value, str):
        return value
    arrays.append(value)
    return {"array": len(arrays)}


def _answer(path: str) -> tuple[dict[str, Any], list[Array]]:
    from snnkit.export.nir.hdf5 import parse

    arrays: list[Array] = []
    try:
        document = parse(path)
        header: dict[str, Any] = {"version": document.version, "net": _plain(document.net, arrays)}
    except NirError as error:
        return {"error": error.to_dict()}, []
    except OSError as error:
        said = NirError(f"{path} cannot be read", why=str(error), fix=DAMAGED)
        return {"error": said.to_dict()}, []
    header["arrays"] = [{"dtype": str(a.dtype), "shape": a.shape} for a in arrays]
    return header, arrays


def _main() -> None:
    """The process: answer one path after another."""
    try:
        import resource

        for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
            resource.setrlimit(kind, (most, most))
    except (ImportError, ValueError, OSError):  # not on every system
        pass
    out = sys.stdout.buffer
    for line in sys.stdin.buffer:
        header, arrays = _answer(json.loads(line))
        text = json.dumps(header).encode()
        out.write(len(text).to_bytes(8, "little") + text)
        for array in arrays:
            out.write(np.ascontiguousarray(array).data if array.size else b"")
        out.flush()


if __name__ == "__main__":
    _main()
