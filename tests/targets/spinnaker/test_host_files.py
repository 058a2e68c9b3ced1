"""Files of host encoding, routing and scalar operations: unseen ones, damaged ones, odd ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from snnkit import descriptor
from snnkit.errors import ReplayFormatError
from snnkit.targets.spinnaker.replay import replay
from tests.targets.spinnaker import host_files

pytestmark = pytest.mark.usefixtures("in_this_process")

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "spinnaker"
OPTIONS = (
    {}, {"split": True}, {"plastic": True}, {"extension": True}, {"model": "IF_curr_delta"},
    {"plastic": True, "extension": True}, {"split": True, "plastic": True},
)  # fmt: skip


def damage(folder: Path, image: str, change) -> None:
    """Change one memory image of a descriptor and write it anew."""
    arrays = load_file(folder / "arrays.safetensors")
    arrays[image] = change(arrays[image].copy())
    manifest = descriptor.load(folder).manifest.model_copy(update={"files": {}, "digest": ""})
    for file in folder.iterdir():
        file.unlink()
    descriptor.write(folder, manifest, arrays, {})


def test_unseen_files(tmp_path):
    files = []
    for seed in range(28):
        rng = np.random.default_rng(seed)
        options = OPTIONS[seed % len(OPTIONS)]
        files.append(host_files.write(tmp_path / f"words {seed}.npz", host_files.encoding(rng, **options)))
    files += [host_files.write(tmp_path / f"r{k}.npz", host_files.routing(np.random.default_rng(k))) for k in range(8)]
    files += [host_files.write(tmp_path / f"m{k}.npz", host_files.scalars(np.random.default_rng(k))) for k in range(2)]
    results = replay(files)
    assert [str(r) for r in results if not r.ok] == []
    assert [r.kind for r in results] == ["encoding"] * 28 + ["routing"] * 8 + ["scalars"] * 2
    assert all({v.by for v in r.verdicts} & {"emulator"} for r in results)
    checked = [v.array for r in results for v in r.verdicts]
    assert sum("words by source" in a for a in checked) > 100
    assert sum("synapseDynamicsParams" in a for a in checked) > 15


def test_optional_fields_may_be_absent_and_unknown_ones_are_listed(tmp_path):
    fields = host_files.encoding(np.random.default_rng(7))
    for name in ("model", "cell", "placement_kind", "sdram", "routes", "n_projections"):
        del fields[name]
    file = host_files.write(tmp_path / "nämeless 7.npz", fields | {"secret": np.zeros(3), "o_more": np.ones(1)})
    result = replay([file])[0]
    assert result.ok, str(result)
    assert result.unknown == ("o_more", "secret")
    rows = host_files.routing(np.random.default_rng(7)) | {"comment": np.array("x")}
    assert replay([host_files.write(tmp_path / "r.npz", rows)])[0].unknown == ("comment",)


def test_a_wrong_value_in_a_file_is_found(tmp_path):
    files = []
    for name in ("SynapseParams", "NeuronCoreParams", "SynBlocks"):
        fields = host_files.encoding(np.random.default_rng(2))
        field = next(k for k in fields if k.endswith(name))
        wrong = fields[field].copy()
        at = next(k for k in range(len(wrong)) if wrong[k] >> 16) if name == "SynBlocks" else 3 if "Core" in name else 6
        wrong[at] ^= 1 << 20 if name == "SynBlocks" else 1
        files.append(host_files.write(tmp_path / f"{name}.npz", fields | {field: wrong}))
    fields = host_files.encoding(np.random.default_rng(2))
    fields["proj0_list"][0, 2] += 0.5
    files.append(host_files.write(tmp_path / "list.npz", fields))
    fields = host_files.scalars(np.random.default_rng(0))
    fields["result"][5] ^= 1
    files.append(host_files.write(tmp_path / "scalar.npz", fields))
    for result in replay(files):
        assert not result.ok
        assert sum(not v.equal for v in result.verdicts) == 1, str(result)


def flip(place, bit):
    def change(a):
        a[place] ^= 1 << bit
        return a

    return change


DAMAGE = [
    ("e02_two_layers", "router", flip((0, 4), 11)), ("e02_two_layers", "host_key", flip((1, 3), 16)),
    ("e02_two_layers", "host_key", flip((1, 3), 4)), ("e02_two_layers", "population_table", flip(4, 13)),
    ("e02_two_layers", "population_table", flip(7, 8)), ("e02_two_layers", "synaptic_matrix", flip(3, 16)),
    ("e02_two_layers", "core_params", flip(7, 12)), ("e02_two_layers", "synapse_params", flip(5, 0)),
    ("r02_routes_784_128_10_npc16", "router", flip((0, 4), 15)),
    ("r02_routes_784_128_10_npc16", "router", flip((1, 2), 14)),
    ("r02_routes_784_128_10_npc16", "host_key", flip((5, 3), 20)),
]  # fmt: skip


def test_a_damaged_image_is_noticed():
    """In each of these descriptors one bit is wrong: the emulator refuses it, or finds other words or cores."""
    todo = iter(DAMAGE)
    results = replay([GOLDEN / f"{f}.npz" for f, *_ in DAMAGE], alter=lambda folder: damage(folder, *next(todo)[1:]))
    for (file, image, _), result in zip(DAMAGE, results):
        assert not result.ok, (file, image)
        assert result.error or any(v.by in ("emulator", "encoder") and not v.equal for v in result.verdicts)


def test_what_does_not_make_sense_is_refused(tmp_path):
    fields = host_files.encoding(np.random.default_rng(3))
    far = fields["placements"].copy()
    far[:, 0] = 99
    with pytest.raises(ReplayFormatError, match="on no board"):
        replay([host_files.write(tmp_path / "a.npz", fields | {"placements": far})])
    rows = host_files.routing(np.random.default_rng(3))
    wide = rows["placements"].copy()
    wide[-1, 5] = wide[-1, 4] + 300
    with pytest.raises(ReplayFormatError, match="neurons; one holds 256"):
        replay([host_files.write(tmp_path / "b.npz", rows | {"placements": wide})])
    table = host_files.scalars(np.random.default_rng(3))
    with pytest.raises(ReplayFormatError, match="not known"):
        replay([host_files.write(tmp_path / "c.npz", table | {"op": table["op"] + 4})])
    with pytest.raises(ReplayFormatError, match="different lengths"):
        replay([host_files.write(tmp_path / "d.npz", table | {"result": table["result"][1:]})])
