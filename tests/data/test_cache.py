from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

from snnkit.data import cache as cache_module
from snnkit.data.cache import cache_folder, cached_store, open_entry
from snnkit.data.store import Recording, store_in_memory
from snnkit.errors import DataError


def recordings(n=5, seed=0):
    rng = np.random.default_rng(seed)
    for i in range(n):
        k = int(rng.integers(0, 50)) if i else 0  # the first one holds no event
        yield Recording(
            f"r{i}", i % 3, np.sort(rng.integers(0, 1000, k)), *(rng.integers(0, h, k) for h in (34, 34, 2))
        )


def build(folder, n=5, settings=None, calls=None):
    def make():
        if calls is not None:
            calls.append(1)
        return recordings(n)

    return cached_store("demo", settings or {"n": n}, (34, 34), make, folder)


def entries(folder):
    return [p for p in folder.iterdir() if not p.name.startswith(".")]


def test_what_is_stored_is_what_was_given(tmp_path):
    store = build(tmp_path)
    for i, r in enumerate(recordings()):
        for got, want in zip(store.columns(i), r[2:]):
            assert got.tolist() == want.tolist()
        assert store.names[i] == r.name
        assert store.labels[i] == r.label
        assert len(store.stream(i)) == len(r.t)
    assert (store.t.dtype, store.x.dtype, store.p.dtype) == (np.uint32, np.uint8, np.uint8)
    assert store.digest == store_in_memory(recordings(), (34, 34)).digest


def test_the_second_time_nothing_is_decoded_and_other_settings_are_another_entry(tmp_path):
    calls = []
    first, second = build(tmp_path, calls=calls), build(tmp_path, calls=calls)
    assert len(calls) == 1
    assert first.digest == second.digest
    build(tmp_path, settings={"n": 5, "more": True}, calls=calls)
    assert len(calls) == 2
    assert len(entries(tmp_path)) == 2


def test_a_store_without_events(tmp_path):
    assert len(build(tmp_path, n=1).t) == 0
    assert len(build(tmp_path, n=0)) == 0


def test_entries_hold_plain_arrays_and_json_only(tmp_path):
    build(tmp_path)
    (entry,) = entries(tmp_path)
    for file in entry.iterdir():
        if file.suffix == ".npy":
            assert not np.load(file, allow_pickle=False).dtype.hasobject
        else:
            json.loads(file.read_text())


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "meta", "empty meta"])
def test_a_damaged_entry_is_noticed_and_built_again(tmp_path, damage):
    digest = build(tmp_path).digest
    (entry,) = entries(tmp_path)
    file = entry / ("meta.json" if "meta" in damage else "x.npy")
    data = bytearray(file.read_bytes())
    if damage == "flip":
        data[-3] ^= 1
        file.write_bytes(data)
    elif damage == "cut":
        file.write_bytes(data[:-3])
    elif damage == "remove":
        file.unlink()
    else:
        file.write_bytes(b"" if damage == "empty meta" else b'{"files": {}}')
    with pytest.raises(DataError, match="damaged"):
        open_entry(entry)
    calls = []
    with pytest.warns(UserWarning, match="building it again"):
        again = build(tmp_path, calls=calls)
    assert again.digest == digest
    assert calls
    assert [p.name for p in tmp_path.iterdir()] == [entry.name]
    open_entry(entry)


def test_an_error_while_building_leaves_nothing(tmp_path):
    def broken():
        yield from recordings(3)
        raise DataError("recording 4 is damaged")

    with pytest.raises(DataError, match="recording 4"):
        cached_store("demo", {}, (34, 34), broken, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_times_that_do_not_fit_are_refused_not_wrapped(tmp_path):
    one = np.array([1])
    for t in (np.array([2**32]), np.array([-1])):
        with pytest.raises(DataError, match="long one"):
            cached_store("demo", {}, (34, 34), lambda t=t: iter([Recording("long one", 0, t, one, one, one)]), tmp_path)


def test_a_full_disk_leaves_nothing_half_written_and_the_data_usable(tmp_path, monkeypatch):
    def full(self, values):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module._ColumnFile, "append", full)
    with pytest.warns(UserWarning, match="No space left"):
        store = build(tmp_path)
    assert store.digest == store_in_memory(recordings(), (34, 34)).digest
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_done_without(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="SNNKIT_CACHE"):
        store = build(tmp_path / "file" / "cache")
    assert len(store) == 5


SLOW_WRITER = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from data.test_cache import recordings
from snnkit.data.cache import cached_store
def slow():
    for r in recordings():
        print("writing", flush=True)
        time.sleep({pause})
        yield r
store = cached_store("demo", {{"n": 5}}, (34, 34), slow, Path({folder!r}))
print(store.digest, flush=True)
"""


def start_writer(folder, pause):
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    code = SLOW_WRITER.format(tests=here, folder=str(folder), pause=pause)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(here), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=env)


def test_a_killed_writer_leaves_no_entry_and_the_next_one_builds_it(tmp_path):
    writer = start_writer(tmp_path, 30)
    assert writer.stdout.readline() == "writing\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert entries(tmp_path) == []
    left = list(tmp_path.iterdir())
    assert len(left) == 1  # its temporary folder
    store = build(tmp_path)
    assert len(store) == 5
    two_days_ago = time.time() - 2 * 86400
    os.utime(left[0], (two_days_ago, two_days_ago))
    build(tmp_path, n=4)
    assert not left[0].exists()


def test_of_several_writers_the_first_wins_and_all_see_the_same(tmp_path):
    writers = [start_writer(tmp_path, 0.05) for _ in range(3)]
    seen = {w.communicate(timeout=50)[0].split("\n")[-2] for w in writers}
    assert all(w.returncode == 0 for w in writers)
    assert seen == {store_in_memory(recordings(), (34, 34)).digest}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_late_writer_takes_the_entry_that_stands(tmp_path):
    def overtaken():
        yield from recordings()
        build(tmp_path)  # another process finishes first

    store = cached_store("demo", {"n": 5}, (34, 34), overtaken, tmp_path)
    assert store.digest == build(tmp_path).digest
    assert len(list(tmp_path.iterdir())) == 1


def test_a_spawned_worker_maps_the_files_instead_of_getting_the_events(tmp_path):
    store = cached_store("demo", {"big": 1}, (34, 34), lambda: recordings(400), tmp_path)
    sent = pickle.dumps(store)
    assert len(sent) < 1000
    assert np.array_equal(pickle.loads(sent).t, store.t)
    memory = store_in_memory(recordings(), (34, 34))
    assert np.array_equal(pickle.loads(pickle.dumps(memory)).t, memory.t)


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("SNNKIT_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("SNNKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "snnkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder().parts[-2:] == (".cache", "snnkit")


def test_opening_a_good_entry_warns_of_nothing(tmp_path):
    build(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(tmp_path)
