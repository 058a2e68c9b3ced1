"""Replay: the reference files, files of the same format that nobody has seen, damaged images, unknown formats."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from snnkit import descriptor, emulator, targets
from snnkit.errors import DescriptorError, ReplayFormatError
from snnkit.targets.truenorth.replay import load, recognise, replay

from . import vector_files as make

pytestmark = pytest.mark.usefixtures("in_this_process")

GOLDEN = Path(__file__).parents[2] / "golden" / "truenorth"
FILES = sorted(GOLDEN.glob("*.npz"))


def test_files_are_those_of_the_list() -> None:
    listed = dict(reversed(line.split("  ")) for line in (GOLDEN / "SHA256SUMS").read_text().splitlines())
    assert {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in FILES} == listed
    assert len(FILES) == 10


@pytest.mark.usefixtures("fresh_process")
def test_reference_files_are_equal_in_every_array(tmp_path: Path) -> None:
    results = replay(FILES, keep=tmp_path / "kept")
    assert len(results) == 10
    for result in results:
        assert result.ok, "\n".join(result.lines())
        assert not result.unknown
        assert not result.remarks
        assert len(result.emulator) == len(result.second_opinion) == 5
        json.dumps(result.to_dict())
        if result.name.startswith("s09"):  # its draws are a run input, not part of a descriptor
            continue
        assert emulator.verify(result.folder).ok
    assert [len(r.published) for r in results] == [0] * 6 + [1] + [0] * 3


def test_trained_digits_of_ranc(shared_dir: Path) -> None:
    path = shared_dir / "golden" / "truenorth" / "s11_ranc_trained_digits.npz"
    if not path.is_file():
        pytest.skip(f"needs the shared reference material, not found at {path}")
    (result,) = replay(path)
    assert result.ok, "\n".join(result.lines())
    assert [v.array for v in result.published] == ["published_out"]


def test_unseen_files_are_equal(tmp_path: Path) -> None:
    files = [make.random_file(tmp_path / f"{seed}.npz", seed) for seed in range(18)]
    results = replay(files)
    for result in results:
        assert result.ok, "\n".join(result.lines())
        assert not result.unknown
        assert not result.remarks
    others = [a for r in results for a in r.alternatives]
    assert others
    assert all("leak stops at zero" in a.matched for a in others)
    assert any("equation" not in a.matched for a in others)


def test_a_file_made_under_the_other_reading_says_so(tmp_path: Path) -> None:
    a, steps = make.random_arrays(np.random.default_rng(13), stochastic=False)
    a |= {f"exp_{k}": x for k, x in make.simulate(a, steps, stop=True).items()}
    (result,) = replay(make.save(tmp_path / "a.npz", a, {"leak_zero_rule": "zero"}))
    assert result.ok, "\n".join(result.lines())
    (other,) = replay(make.save(tmp_path / "b.npz", a, {"leak_zero_rule": "paper"}))
    assert not other.ok


def test_a_wrong_value_and_a_wrong_route_are_found(tmp_path: Path) -> None:
    with np.load(FILES[5]) as data:
        arrays = {k: data[k] for k in data.files if k != "meta"}
        meta = json.loads(str(data["meta"]))
    arrays["exp_v"] = arrays["exp_v"].copy()
    arrays["exp_v"][7, 3, 5] += 1
    (result,) = replay(make.save(tmp_path / "x.npz", arrays, meta))
    wrong = [v for v in result.verdicts if not v.equal]
    assert {(v.array, v.by) for v in wrong} == {("exp_v", "emulator"), ("exp_v", "graph")}
    assert all(v.difference is not None and v.difference.step == 7 for v in wrong)

    def damage(folder: Path) -> None:
        made = descriptor.load(folder)
        table = made.arrays["destination"].copy()
        axons = table[2, :32, 3].copy()
        table[2, :32, 3] = np.where(table[2, :32, 0] == 1, axons ^ 1, axons)
        descriptor.write(folder, made.manifest, {**made.arrays, "destination": table}, made.vectors)

    (result,) = replay(FILES[5], alter=damage)
    assert not result.ok
    assert any(not v.equal for v in result.emulator)
    assert all(v.equal for v in result.second_opinion)


def test_a_core_that_is_not_there_is_refused(tmp_path: Path) -> None:
    def damage(folder: Path) -> None:
        made = descriptor.load(folder)
        table = made.arrays["destination"].copy()
        table[0, 0, 1] = 100
        descriptor.write(folder, made.manifest, {**made.arrays, "destination": table}, made.vectors)

    (result,) = replay(FILES[5], alter=damage)
    assert result.refused
    assert "no core lies" in result.error or "output port" in result.error
    folder = Path(replay(FILES[5], keep=tmp_path)[0].folder)
    damage(folder)
    with pytest.raises(DescriptorError):
        emulator.open(folder)


def test_formats_are_known_by_their_fields(tmp_path: Path) -> None:
    assert all(recognise(f) for f in FILES)
    loihi = sorted((GOLDEN.parent / "loihi").glob("*.npz"))
    assert not any(recognise(f) for f in loihi)
    assert not any(targets.get("loihi").recognise(f) for f in FILES)
    assert not recognise(GOLDEN / "README.md")
    with pytest.raises(ReplayFormatError, match="no array"):
        load(loihi[0])
    with np.load(FILES[0]) as data:
        arrays = {k: data[k] for k in data.files if k != "meta"}
    for name, value, text in (
        ("weight", arrays["weight"][:, :, :3], "shape"),
        ("dest_core", arrays["dest_core"] + 5, "destination"),
        ("axon_type", arrays["axon_type"] + 4, "axon type"),
        ("in_axon", arrays["in_axon"] + 8, "event"),
    ):
        with pytest.raises(ReplayFormatError, match=text):
            load(make.save(tmp_path / "x.npz", {**arrays, name: value}, {}))


def test_values_that_no_register_holds_are_findings(tmp_path: Path) -> None:
    with np.load(FILES[0]) as data:
        arrays = {k: data[k] for k in data.files if k != "meta"}
    arrays["leak"] = arrays["leak"] * 0 - 256
    arrays["delay"] = arrays["delay"] * 0 + 16
    arrays["dest_core"] = arrays["dest_core"] * 0
    (result,) = replay(make.save(tmp_path / "x.npz", arrays, {}))
    assert {f.code for f in result.findings} == {"REGISTER_RANGE", "DELAY_RANGE"}
    assert result.refused
    assert "REFUSED" in str(result)
