"""Reference vectors through the whole road: ours and unseen ones; a damaged image is noticed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from snnkit.errors import DescriptorError, ReplayFormatError
from snnkit.targets import get
from snnkit.targets.spinnaker.replay import recognise, replay
from tests.targets.spinnaker import vector_files

pytestmark = pytest.mark.usefixtures("in_this_process")

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "spinnaker"
FILES = sorted(GOLDEN.glob("*.npz"))


def test_the_vectors_are_the_published_ones():
    listed = dict(line.split()[::-1] for line in (GOLDEN / "SHA256SUMS").read_text().splitlines())
    assert {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in FILES} == listed
    assert len(FILES) == 16


@pytest.mark.usefixtures("fresh_process")
def test_every_value_of_every_vector_is_equal():
    results = get("spinnaker").replay(FILES)
    assert [str(r) for r in results if not r.ok] == []
    assert sum(len(r.verdicts) for r in results) == 286
    assert all(r.unknown == () for r in results)
    by_name = {r.name: r for r in results}
    assert {v.by for v in by_name["s08_exp_pop"].verdicts} == {"emulator", "encoder", "graph"}
    assert by_name["r02_routes_784_128_10_npc16"].remarks == ("router entries: ours 5, the file's 16",)


def test_unseen_files(tmp_path):
    files = []
    for seed in range(24):
        rng = np.random.default_rng(1000 + seed)
        case = vector_files.random_core(rng, learning=("static", "additive", "multiplicative")[seed % 3])
        files.append(vector_files.write(tmp_path / f"{seed}.npz", case))
    results = replay(files)
    assert [str(r) for r in results if not r.ok] == []
    learned = [np.load(f) for f in files[1::3]]
    assert any(len(np.unique(d["o_row_words_t"][:, 3])) > 2 for d in learned)
    assert sum(int(np.load(f)["o_sat_fixed"]) for f in files) > 0


def test_multiplicity_and_order_of_packets(tmp_path):
    """Several packets of one key in a step, in no order: each adds, and saturations are counted as they happen."""
    rng = np.random.default_rng(3)
    case = vector_files.random_core(rng)
    case |= {"own": -1, "rows": 3, "syn": [(0, 0, 60000, 1, 0), (1, 0, 10000, 1, 0), (2, 0, 1, 1, 0)]}
    case["events"] = np.array([(2, 1), (2, 2), (2, 0), (2, 2), (5, 2), (5, 0), (5, 0), (7, 2), (7, 2)])
    first = vector_files.simulate(case)
    assert int(first["o_sat_fixed"]) == 3
    assert replay([vector_files.write(tmp_path / "a.npz", case)])[0].ok


def test_a_wrong_value_is_found(tmp_path):
    case = vector_files.random_core(np.random.default_rng(5))
    right = vector_files.simulate(case)
    names = ("o_v_end", "o_ring", "d_R", "row_words", "o_sat_fixed")
    for name in names:
        wrong = right[name].copy()
        wrong.reshape(-1)[-1] += 1
        vector_files.write(tmp_path / f"{name}.npz", case, **{name: wrong})
    for name, result in zip(names, replay([tmp_path / f"{name}.npz" for name in names])):
        assert {v.array for v in result.verdicts if not v.equal} == {name}


@pytest.mark.parametrize("image", ["synaptic_matrix", "neuron_params", "router", "population_table", "host_key"])
def test_a_damaged_image_is_noticed(image):
    """A changed word gives other values, or the descriptor is refused; nothing else stays hidden."""

    def damage(folder: Path) -> None:
        import json

        from snnkit import descriptor as store

        arrays = load_file(folder / "arrays.safetensors")
        a = arrays[image].copy()
        if image == "synaptic_matrix":
            a[3] ^= 1 << 20
        elif image == "neuron_params":
            a[1 + 3] += 5
        elif image == "router":
            a[0, 4] ^= 1 << (6 + 4)
            a[0, 4] |= 1 << (6 + 5)
        elif image == "population_table":
            a[2] ^= 1 << 9
        else:
            a[0, 3], a[1, 3] = a[1, 3], a[0, 3]
        arrays[image] = a
        manifest = store.load(folder).manifest
        save_file(arrays, folder / "arrays.safetensors")
        plain = manifest.model_copy(update={"files": {}, "digest": ""})
        for file in folder.iterdir():
            file.unlink()
        store.write(folder, plain, arrays, {})
        json.loads((folder / "manifest.json").read_text())

    result = replay([GOLDEN / "s08_exp_pop.npz"], alter=damage)[0]
    assert not result.ok
    emulated = {v.array for v in result.verdicts if v.by == "emulator" and not v.equal}
    assert result.error or "o_v_end" in emulated


def test_files_are_known_by_their_fields(tmp_path):
    copy = tmp_path / "nameless.dat.npz"
    copy.write_bytes((GOLDEN / "s02_exp_exc.npz").read_bytes())
    assert recognise(copy)
    assert all(recognise(f) for f in FILES)
    np.savez(tmp_path / "other.npz", spec=np.array("{}"))
    assert not recognise(tmp_path / "other.npz")
    assert not recognise(tmp_path / "none.npz")
    with pytest.raises(ReplayFormatError, match="no kind known"):
        replay([tmp_path / "other.npz"])


def test_optional_fields_may_be_absent_and_unknown_ones_are_listed(tmp_path):
    data = dict(np.load(GOLDEN / "s02_exp_exc.npz"))
    for name in ("desc", "d_R", "o_ring", "o_sat_fixed", "row_words", "row_len", "n_rows", "own_row_base"):
        data.pop(name)
    np.savez(tmp_path / "a.npz", **data, extra_field=np.zeros(3))
    result = replay([tmp_path / "a.npz"])[0]
    assert result.ok
    assert result.unknown == ("extra_field",)


def test_what_no_core_can_hold_is_refused(tmp_path):
    case = vector_files.random_core(np.random.default_rng(5))
    fields = vector_files.simulate(case)
    for name, change, message in (
        ("syn", np.array([[0, 99, 1, 1, 0]]), "target 99"),
        ("syn", np.array([[0, 0, 1 << 16, 1, 0]]), "weight 65536"),
        ("syn", np.array([[0, 0, 1, 99, 0]]), "delay 99"),
        ("p_c_m", fields["p_c_m"][:-1], "shape"),
        ("model", np.array("IF_cond_exp"), "no program"),
    ):
        np.savez(tmp_path / "bad.npz", **(fields | {name: change}))
        with pytest.raises(ReplayFormatError, match=message):
            replay([tmp_path / "bad.npz"])


def test_descriptors_are_kept(tmp_path):
    from snnkit import emulator

    result = replay([GOLDEN / "s11_net_8_16_4.npz"], keep=tmp_path, resources=True)[0]
    assert any(line.startswith("neurons: 20") for line in result.resources)
    chip = emulator.open(result.folder)
    assert chip.manifest.evidence == "vendor-code"
    with pytest.raises(DescriptorError):
        emulator.open(tmp_path / "none.snnx")
