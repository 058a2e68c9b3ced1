"""Cache folders that nobody has used for a month go, all others stay, whoever else is at work."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from snnkit import _numba, _unused
from snnkit.kernels import cache

OLD = time.time() - 40 * 86400


def folder(base: Path, name: str, used: float = OLD, read: float | None = None) -> Path:
    """A cache folder with a file, last written at `used` and last read at `read`."""
    place = base / name
    place.mkdir()
    (place / "deeper").mkdir()
    file = place / "deeper" / "lif-1.nbi"
    file.write_bytes(b"x")
    os.utime(file, (used if read is None else read, used))
    for part in (place / "deeper", place):
        os.utime(part, (used, used))
    return place


def key(k: int) -> str:
    return f"kernels-{k:016x}"


def names(base: Path) -> set[str]:
    return {place.name for place in base.iterdir()}


def test_only_unused_folders_of_that_kind_go(tmp_path: Path) -> None:
    new = time.time() - 20 * 86400
    old, current = folder(tmp_path, key(1)), folder(tmp_path, key(2))
    stay = {key(3): (new, None), key(4): (OLD, new), "numba-" + "0" * 16: (OLD, None), "docs-0.4.0-0123": (OLD, None)}
    stay |= {"kernels-mine": (OLD, None), "kernels-" + "g" * 16: (OLD, None), "probes": (OLD, None)}
    for name, (used, read) in stay.items():
        folder(tmp_path, name, used, read)
    (tmp_path / key(5)).write_bytes(b"no folder")
    os.utime(tmp_path / key(5), (OLD, OLD))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    outside = folder(elsewhere, "data")
    (tmp_path / key(6)).symlink_to(outside, target_is_directory=True)
    assert _unused.remove(tmp_path, "kernels-", {current.name}) == [old.name]
    assert names(tmp_path) == {current.name, *stay, key(5), key(6), "elsewhere"}
    assert (outside / "deeper" / "lif-1.nbi").exists()
    assert _unused.remove(tmp_path / "nowhere", "kernels-", ()) == []


def test_a_folder_in_use_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Touched before anybody looks, and touched while it is being taken away."""
    first, second = folder(tmp_path, key(1)), folder(tmp_path, key(2))
    _unused.touch(first)
    rename, moved = os.rename, []

    def meanwhile(source: Path, target: Path) -> None:
        rename(source, target)
        if not moved:
            moved.append(target)
            os.utime(target)  # by a process that had opened it

    monkeypatch.setattr(os, "rename", meanwhile)
    assert _unused.remove(tmp_path, "kernels-", ()) == []
    assert moved
    assert names(tmp_path) == {first.name, second.name}
    assert (second / "deeper" / "lif-1.nbi").exists()


def test_several_processes_may_clean_at_once(tmp_path: Path) -> None:
    for k in range(40):
        folder(tmp_path, key(k))
    gone: list[str] = []
    ready = threading.Barrier(4)

    def work() -> None:
        ready.wait()
        gone.extend(_unused.remove(tmp_path, "kernels-", ()))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(tmp_path) == set()
    assert set(gone) == {key(k) for k in range(40)}


@pytest.mark.parametrize("refused", ["mkdtemp", "rename", "iterdir"])
def test_what_cannot_be_removed_stays(tmp_path: Path, refused: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only cache, or one of somebody else."""
    place = folder(tmp_path, key(1))

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "read-only")

    owner = {"mkdtemp": _unused.tempfile, "rename": os, "iterdir": Path}[refused]
    with monkeypatch.context() as patch:
        patch.setattr(owner, refused, refuse)
        assert _unused.remove(tmp_path, "kernels-", ()) == []
    assert names(tmp_path) == {place.name}
    assert (place / "deeper" / "lif-1.nbi").exists()


def test_what_a_killed_process_left_goes_later(tmp_path: Path) -> None:
    folder(tmp_path, ".leaving-abc")
    folder(tmp_path, ".leaving-def", time.time())
    _unused.remove(tmp_path, "kernels-", ())
    assert names(tmp_path) == {".leaving-def"}


def test_a_new_folder_looks_for_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, when it is made; those of this version stay. A known folder is touched, and nobody looks."""
    monkeypatch.setenv("SNNKIT_CACHE", str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    cache.folder.cache_clear()
    try:
        mine, other = (cache.folder(str(Path(cache.__file__).parent / room / "cpu.py")) for room in ("lif", "li"))
        assert mine.parent == tmp_path
        folder(tmp_path, other.name)
        old = folder(tmp_path, key(1))
        assert cache._can_keep.__wrapped__(mine)
        assert names(tmp_path) == {mine.name, other.name}
        os.utime(mine, (OLD, OLD))
        folder(tmp_path, old.name)
        assert cache._can_keep.__wrapped__(mine)
        assert old.exists()
        assert mine.stat().st_mtime > OLD + 1e6
        os.rmdir(mine)
        _numba.in_use(tmp_path / ("numba-" + "1" * 16), "numba-", set)
        assert old.exists()  # of another kind
    finally:
        cache.folder.cache_clear()
