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

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "spinnaker"
OPTIONS = (
    {}, {"split": True}, {"plastic": True}, {"extension": True}, {"model": "IF_curr_delta"},
    {"plastic": True, "extension": True}, {"split": True, "plastic": True},
)  # fmt: skip


def damaged(image: str, change):
    """A function that changes one memory image of a descriptor and writes it anew."""

    def alter(folder: Path) -> None:
        arrays = load_file(folder / "arrays.safetensors")
        arrays[image] = change(arrays[image].copy())
        manifest = descriptor.load(folder).manifest.model_copy(update={"files": {}, "digest": ""})
        for file in folder.iterdir():
            file.unlink()
        descriptor.write(folder, manifest, arrays, {})

    return alter


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


@pytest.mark.parametrize("file", ["e02_two_layers", "r02_routes_784_128_10_npc16"])
@pytest.mark.parametrize("image", ["router", "host_key", "population_table", "synaptic_matrix", "core_params"])
def test_a_damaged_image_is_noticed(file, image):
    if file.startswith("r") and image in ("population_table", "synaptic_matrix"):
        return  # these files have no synapses

    def change(a):
        if image == "router":
            a[0, 4] = a[0, 4] ^ (1 << (6 + 5)) | 1 << (6 + 9)
        elif image == "host_key":
            a[1, 3] += 1 << 16
        elif image == "population_table":
            a[4] ^= 1 << 13
        elif image == "synaptic_matrix":
            a[3] ^= 1 << 16
        else:
            a[7] ^= 1 << 12
        return a

    result = replay([GOLDEN / f"{file}.npz"], alter=damaged(image, change))[0]
    assert not result.ok
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
