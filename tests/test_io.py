"""Writes are whole or not at all: exceptions, a full disk, a file limit, a kill at any moment."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnkit import _io

ROOT = Path(__file__).resolve().parent.parent


def listing(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


# ------------------------------------------------------------------------------------------------------------- content
def test_canonical_json_is_one_text_per_value() -> None:
    assert (
        _io.canonical_json({"b": 1, "a": [1.5, None, "é"]}) == '{\n "a": [\n  1.5,\n  null,\n  "é"\n ],\n "b": 1\n}\n'
    )
    assert _io.canonical_json({"x": 1, "y": 2}) == _io.canonical_json({"y": 2, "x": 1})
    assert _io.canonical_json({"a": 1}, indent=None) == '{"a": 1}\n'
    value = {"deep": {"z": [True, False], "a": -0.0}, "": 1e-300}
    assert json.loads(_io.canonical_json(value)) == value


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), np.float32(1), {1, 2}])
def test_canonical_json_refuses_what_json_cannot_say(bad: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    _io.write_json(path, {"good": 1})
    with pytest.raises((ValueError, TypeError)):
        _io.write_json(path, {"x": bad})
    assert json.loads(path.read_text()) == {"good": 1}
    assert listing(tmp_path) == ["a.json"]


def test_digests(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    _io.write_bytes(tmp_path / "new" / "folder" / "x", data)
    assert _io.sha256_file(tmp_path / "new" / "folder" / "x") == _io.sha256_bytes(data)
    assert _io.sha256_bytes(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_written_file_can_be_read_by_others(tmp_path: Path) -> None:
    _io.write_text(tmp_path / "é.txt", "grüß\n")
    assert (tmp_path / "é.txt").read_bytes() == "grüß\n".encode()
    assert (tmp_path / "é.txt").stat().st_mode & 0o777 == 0o644


# ---------------------------------------------------------------------------------------------------------- exceptions
@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_an_error_while_writing_leaves_the_old_file(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def write() -> None:
        with _io.atomic_path(path) as temp:
            temp.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == "old"
    assert listing(tmp_path) == ["a"]


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_disk_that_is_full_at_the_last_step(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, folder = tmp_path / "a", tmp_path / "d"
    path.write_text("old")
    _io.replace_folder(folder, lambda f: _io.write_text(f / "x", "old"))

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_io.os, step, full)
    monkeypatch.setattr(_io, "_exchange", lambda one, other: False)
    with pytest.raises(OSError, match="No space"):
        _io.write_text(path, "new")
    with pytest.raises(OSError, match="No space"):
        _io.replace_folder(folder, lambda f: (f / "x").write_text("new"))
    assert path.read_text() == "old"
    assert (folder / "x").read_text() == "old"
    assert listing(tmp_path) == ["a", "d", "d/x"]


def test_a_file_size_limit(tmp_path: Path) -> None:
    """The kernel refuses the write in the middle of the file."""
    code = (
        "import resource, signal, sys; from snnkit import _io; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: _io.write_bytes(sys.argv[1], bytes(100_000))\n"
        "except OSError as error: print(error.errno)"
    )
    (tmp_path / "a").write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a")], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == errno.EFBIG
    assert (tmp_path / "a").read_text() == "old"
    assert listing(tmp_path) == ["a"]


def test_a_folder_in_the_place_of_a_file_and_the_other_way_round(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "mine").write_text("keep")
    with pytest.raises(OSError):
        _io.write_text(tmp_path / "d", "x")
    (tmp_path / "f").write_text("keep")
    with pytest.raises(NotADirectoryError):
        _io.replace_folder(tmp_path / "f", lambda folder: None)
    assert listing(tmp_path) == ["d", "d/mine", "f"]
    assert (tmp_path / "f").read_text() == "keep"


# ------------------------------------------------------------------------------------------------------------- folders
@pytest.mark.parametrize("exchange", [True, False])
def test_replace_folder(exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exchange:
        monkeypatch.setattr(_io, "_exchange", lambda one, other: False)
    target = tmp_path / "new" / "d"

    def fill(folder: Path) -> None:
        (folder / "sub").mkdir()
        (folder / "sub" / "x").write_text(text)

    for text in ("one", "two"):
        _io.replace_folder(target, fill)
        assert listing(target) == ["sub", "sub/x"]
        assert (target / "sub" / "x").read_text() == text
    assert target.stat().st_mode & 0o777 == 0o755

    def broken(folder: Path) -> None:
        (folder / "y").write_text("half")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        _io.replace_folder(target, broken)
    assert listing(tmp_path) == ["new", "new/d", "new/d/sub", "new/d/sub/x"]


# --------------------------------------------------------------------------------------------------------------- kills
WRITER = """
import os, sys
from pathlib import Path
from snnkit import _io
target = Path(sys.argv[1])
def fill(folder):
    for name in "abc":
        (folder / name).write_bytes(bytes([k % 256]) * 200_000)
k = 0
print("ready", flush=True)
while True:
    k += 1
    if sys.argv[2] == "file":
        _io.write_bytes(target, bytes([k % 256]) * 600_000)
    else:
        _io.replace_folder(target, fill)
"""


def whole(target: Path, kind: str) -> bool:
    """True if the target holds one generation, complete."""
    if kind == "file":
        data = target.read_bytes()
        return len(data) == 600_000 and len(set(data)) == 1
    data = b"".join((target / name).read_bytes() for name in "abc")
    return sorted(p.name for p in target.iterdir()) == ["a", "b", "c"] and len(data) == 600_000 and len(set(data)) == 1


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_kill_at_any_moment_leaves_something_whole(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "t"
    rng = np.random.default_rng(0)
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(target), kind], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        assert writer.stdout.readline().strip() == "ready"
        deadline = time.monotonic() + 20
        while not target.exists() and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 0.1)))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert whole(target, kind)
