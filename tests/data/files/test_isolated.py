"""HDF5 in a process of its own: files that break the library, sessions that are broken off, forks."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from snnkit._isolated import client, pool
from snnkit.data import files
from snnkit.data.files import hdf5
from snnkit.errors import DataError

from . import encoders
from .encoders import stream

forks = pytest.mark.skipif(not pool.FORKS, reason="needs fork")


def crashing(folder: Path) -> Path:
    """A type of variable length with bits and a size that no such type has: libhdf5 writes past its buffer."""
    data = encoders.shd(folder / "made.h5", stream().events)
    usual = b"\x19\0\0\0\x10\0\0\0\x11"
    assert data.count(usual) == 1
    path = folder / "crash.h5"
    path.write_bytes(data.replace(usual, b"\x19\xff\xff\xff\x7f\0\0\0\x11"))
    return path


def sound(folder: Path, n: int = 300) -> Path:
    path = folder / f"sound{n}.h5"
    encoders.dsec(stream(n).events, path)
    return path


def test_a_file_that_crashes_the_library_is_an_error(tmp_path: Path) -> None:
    path = crashing(tmp_path)
    for _ in range(3):
        with pytest.raises(DataError, match="crash.h5") as caught:
            files.read(path)
        assert "breaks the library" in caught.value.what or "damaged" in caught.value.what
        assert caught.value.fix
    assert np.array_equal(files.read(sound(tmp_path)).events, stream().events)


@forks
def test_a_file_in_which_the_library_never_ends_runs_into_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SECONDS", 1.0)
    data = bytearray(encoders.shd(tmp_path / "a.h5", stream(30).events))
    at = data.index(b"GCOL") + 16
    data[at : at + 16] = bytes(16)
    with open(tmp_path / "b.h5", "wb") as file:
        file.write(data)
        file.truncate(hdf5.HEAPS + 1)  # too big for the check that would refuse it at once
    with pytest.raises(DataError, match="no end within 1 s of work"):
        files.read(tmp_path / "b.h5")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[pool.Server]:
    """Every server that is taken for a session, in turn; none is left from before."""
    pool.stop_all()
    seen: list[pool.Server] = []
    take = pool.take

    def recorded() -> pool.Server:
        seen.append(take())
        return seen[-1]

    monkeypatch.setattr(pool, "take", recorded)
    return seen


def test_a_server_that_is_killed_is_an_error_and_the_next_file_is_read(
    tmp_path: Path, started: list[pool.Server]
) -> None:
    path = sound(tmp_path, 3 * hdf5.PIECE)
    chunks = files.open_recording(path).chunks(None)
    assert len(next(chunks)) == hdf5.PIECE
    started[-1].process.kill()
    with pytest.raises(DataError, match="breaks the library"):
        list(chunks)
    assert len(files.read(path)) == 3 * hdf5.PIECE
    assert started[0] is not started[-1]


def test_one_server_serves_many_files_and_two_at_once_are_kept_apart(
    tmp_path: Path, started: list[pool.Server]
) -> None:
    long, short = sound(tmp_path, 3 * hdf5.PIECE), sound(tmp_path)
    for _ in range(3):
        files.read(short)
    assert len(set(started)) == 1
    chunks = files.open_recording(long).chunks(None)
    parts = [next(chunks)]
    assert np.array_equal(files.read(short).events, stream().events)
    parts += list(chunks)
    assert np.array_equal(np.concatenate(parts), stream(3 * hdf5.PIECE).events)
    assert len(set(started)) == 2


def test_a_pass_that_is_broken_off_does_not_reach_the_next(tmp_path: Path, started: list[pool.Server]) -> None:
    long, short = sound(tmp_path, 9 * hdf5.PIECE), sound(tmp_path)
    for path in (short, long):
        chunks = files.open_recording(path).chunks(None)
        next(chunks)
        chunks.close()  # type: ignore[attr-defined]
        assert np.array_equal(files.read(short).events, stream().events)
    assert started[0].process.poll() is not None  # the long one was not waited for
    assert len(pool._idle) <= pool.KEPT


@forks
def test_a_forked_process_has_servers_of_its_own(tmp_path: Path, started: list[pool.Server]) -> None:
    path = sound(tmp_path)
    files.read(path)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        counts = pool.map(_count, [path] * 8)
    assert counts == [300] * 8
    assert len(files.read(path)) == 300
    assert len(set(started)) == 1


def _count(path: Path) -> int:
    return len(files.read(path))
