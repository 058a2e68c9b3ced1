"""Processes for damaged files: shared memory and pipe, limits, what is left when one side dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from snnkit._isolated import client, pool, ring
from snnkit.data import EVENT_DTYPE, EventStream, files
from snnkit.data.files import hdf5
from snnkit.export.nir.isolated import read_file

from .export.nir_files import chain, neuron, node, save

forks = pytest.mark.skipif(not pool.FORKS, reason="needs fork")
shared = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memory without a name")


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EventStream]:
    """A recording of more pieces than there are slots."""
    n = 5 * hdf5.PIECE + 123
    rng = np.random.default_rng(0)
    events = np.empty(n, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, n, n))
    events["x"], events["y"], events["p"] = rng.integers(0, 64, n), rng.integers(0, 48, n), rng.integers(0, 2, n)
    path, stream = tmp_path_factory.mktemp("long") / "long.hdf5", EventStream(events, (64, 48))
    files.write(path, stream)
    return path, stream


@pytest.fixture
def fresh() -> None:
    pool.stop_all()


@pytest.mark.parametrize("memory", [pytest.param(True, marks=shared), False])
def test_shared_memory_and_pipe_give_the_same(
    memory: bool, long: tuple[Path, EventStream], fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not memory:
        monkeypatch.setattr(ring, "create", lambda: None)
    path, stream = long
    assert np.array_equal(files.read(path).events, stream.events)
    kept = list(files.iter(path, 100_000))  # chunks stay as they are when the next ones come
    assert np.array_equal(np.concatenate(kept), stream.events)
    assert bool(pool._idle[-1]._slots) == memory
    pool.stop_all()


def test_arrays_longer_than_a_slot_come_in_one_piece(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(size=(701, 703))
    assert weight.nbytes > ring.SLOT
    graph = chain(("w", node("Linear", weight=weight)), ("n", neuron("LIF", 701)), ends=([703], [701]))
    net = read_file(save(tmp_path / "a.nir", graph)).net
    assert np.array_equal(net.nodes["w"].fields["weight"], weight)


@forks
def test_the_limit_counts_work_and_not_waiting(long: tuple[Path, EventStream], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SECONDS", 1.0)
    path, stream = long
    n = 0
    for k, chunk in enumerate(files.iter(path, hdf5.PIECE)):
        if k == 0:
            time.sleep(1.3)
        n += len(chunk)
    assert n == len(stream)


def test_an_interrupt_in_the_middle_of_a_frame_does_not_reach_the_next_file(
    long: tuple[Path, EventStream], fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, stream = long
    chunks = files.iter(path)
    next(chunks)
    usual, calls = pool.Server._exactly, []

    def interrupted(self: pool.Server, out: bytearray | memoryview) -> None:
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        usual(self, out)

    monkeypatch.setattr(pool.Server, "_exactly", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(chunks)
    monkeypatch.undo()
    assert calls[0].process.returncode is not None
    assert np.array_equal(files.read(path).events, stream.events)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_nothing_is_left_of_a_process_that_is_killed(long: tuple[Path, EventStream]) -> None:
    code = (
        "import sys, time\nfrom snnkit._isolated import pool\nfrom snnkit.data import files\n"
        "seen, take = [], pool.take\n"
        "pool.take = lambda: seen.append(take()) or seen[-1]\n"
        "chunks = files.iter(sys.argv[1], 1000)\nnext(chunks)\n"
        "print(seen[-1].process.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(long[0])], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        server = int(process.stdout.readline())
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        process.send_signal(signal.SIGKILL)
    alive = {server, *map(int, children)}
    for _ in range(200):
        alive = {pid for pid in alive if _runs(pid)}
        if not alive:
            break
        time.sleep(0.05)
    assert not alive


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_nothing_is_left_of_a_server_that_is_killed(long: tuple[Path, EventStream], fresh: None) -> None:
    def memories() -> int:
        place = Path("/proc/self/fd")
        return sum("memfd:snnkit" in os.readlink(f) for f in place.iterdir() if f.is_symlink()) if place.is_dir() else 0

    assert memories() == 0
    for _ in range(3):
        assert len(files.read(long[0])) == len(long[1])
        pool._idle[-1].process.kill()
        pool._idle[-1].process.wait()
    pool.stop_all()
    assert memories() == 0
