"""Replay: the reference files, files of the same format that nobody has seen, damaged images, unknown formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnkit import descriptor, emulator
from snnkit.errors import ReplayFormatError
from snnkit.graph.rules import READINGS
from snnkit.graph.run import run
from snnkit.graph.synapses import Conv
from snnkit.targets.loihi import vectors
from snnkit.targets.loihi.replay import load, recognise, replay

from . import vector_files as make

pytestmark = pytest.mark.usefixtures("in_this_process")

GOLDEN = Path(__file__).parents[2] / "golden" / "loihi"
FILES = sorted(GOLDEN.glob("*.npz"))


@pytest.mark.usefixtures("fresh_process")
def test_reference_files_are_equal_in_every_array_and_resource(tmp_path: Path) -> None:
    results = replay(FILES, resources=True, keep=tmp_path / "kept")
    assert len(results) == 12
    for result in results:
        assert result.ok, "\n".join(result.lines())
        assert not result.unknown
        assert not result.remarks
        case = load(result.path)
        per_placement = sum(not key.startswith("Weff") for key in case.expected)
        assert len(result.verdicts) == per_placement * len(result.placements) + len(case.expected)
        rows = [r for p in result.placements for r in p.resources if r.theirs is not None]
        assert all(r.ok for r in rows)
        assert rows or result.name == "s08_delays"
        json.dumps(result.to_dict())
        for placement in result.placements:
            assert emulator.verify(placement.folder).ok
    conv = next(r for r in results if len(r.placements) == 2)
    assert [p.kind for p in conv.placements] == ["matrix", "population"]
    bits = {p.kind: {r.resource: r.ours for r in p.resources}["synapses"] for p in conv.placements}
    assert bits == {"matrix": 45056, "population": 3392}


def random_file(path: Path, seed: int) -> Path:
    """Odd names, any mantissa, exponent, sign mode and bits, delays, noise, parameters per neuron."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {}
    steps = int(rng.integers(5, 25))
    names = iter(["in-4", "a/b", "ü x", "p_1", "out", "_"])
    inputs = [make.source(arrays, rng, next(names), int(rng.integers(1, 12)), steps) for _ in range(rng.integers(1, 3))]
    populations = [
        make.population(
            arrays, rng, next(names), int(rng.integers(1, 24)), varied=bool(rng.integers(2)),
            ds_offset=int(rng.integers(2)), noise_at_membrane=int(rng.integers(2)),
            vmin=-(2 ** int(rng.integers(0, 24))) + 1, vmax=2 ** (9 + 2 * int(rng.integers(4, 8))) - 1,
        )
        for _ in range(rng.integers(1, 4))
    ]  # fmt: skip
    connections: list[dict[str, Any]] = []
    for dst in populations:
        for src in inputs + populations:
            if rng.random() < 0.6:
                entry = make.connection(
                    arrays, rng, len(connections), src, dst, exponent=int(rng.integers(-8, 8)),
                    sign_mode=int(rng.integers(1, 4)), bits=int(rng.integers(1, 9)),
                    density=float(rng.choice([1, 0.2])), max_delay=int(rng.choice([0, 0, 3, 62])),
                )  # fmt: skip
                connections.append(entry)
    for p in populations:
        if rng.random() < 0.5:
            arrays[f"noise_{p['name']}"] = rng.integers(-(2**22), 2**22, (steps, p["n"])).astype(np.int32)
    spec = {"format": "loihi-golden/1", "T": steps, "populations": inputs + populations, "connections": connections}
    return make.save(path, spec, arrays)


def test_unseen_files_are_equal(tmp_path: Path) -> None:
    files = [random_file(tmp_path / f"{seed}.npz", seed) for seed in range(12)]
    for result in replay(files):
        assert result.ok, "\n".join(result.lines())


def conv_file(path: Path, *, with_matrix: bool = True) -> Path:
    """Two convolutions in a row, the second padded; counts as nengo-loihi made them for the same shapes."""
    rng = np.random.default_rng(5)
    arrays: dict[str, np.ndarray] = {}
    shapes = [(2, 12, 12), (4, 5, 5), (6, 5, 5)]
    nodes = [make.source(arrays, rng, "in", 288, 15)]
    nodes += [make.population(arrays, rng, name, int(np.prod(s))) for name, s in zip("ho", shapes[1:])]
    conv, connections = [], []
    for k, (src, dst, stride, pad) in enumerate([(0, 1, 2, 0), (1, 2, 1, 1)]):
        kernel = (rng.integers(-60, 60, (shapes[src][0], shapes[dst][0], 3, 3)) * 2).astype(np.int16)
        op = Conv(np.swapaxes(kernel, 0, 1), shapes[src], (stride, stride), (pad,) * 4)  # type: ignore[arg-type]
        assert op.out_shape == shapes[dst]
        arrays[f"K{k}"], arrays[f"W{k}"] = kernel, op.matrix().toarray().T.astype(np.int16)
        entry = {"conn": k, "kernel": f"K{k}", "in_shape": shapes[src], "out_shape": shapes[dst], "stride": stride}
        conv.append({**entry, **({"padding": pad} if pad else {})})
        connections.append({"id": k, "src": nodes[src]["name"], "dst": nodes[dst]["name"], "wgt_exp": 0})
        arrays[f"vth_{nodes[dst]['name']}"][:] = 900
    util = {"compartments": 100, "in-axons": 288, "out-axons": 100, "synapses": 258048}
    shared = {"compartments": 100, "in-axons": 144, "out-axons": 200, "synapses": 3776}
    spec = {
        "format": "loihi-golden/1", "T": 15, "populations": nodes, "connections": connections, "conv": conv,
        "nengo_util": {"h": util}, "nengo_util_pop": {"h": shared},
    }  # fmt: skip
    for c in connections:
        c |= {"sign_mode": 1, "num_weight_bits": 8}
    make.simulate(spec, arrays)
    if not with_matrix:
        del arrays["W0"], arrays["Weff0"]
    return make.save(path, spec, arrays, traces=False)


@pytest.mark.parametrize("with_matrix", [True, False])
def test_several_convolutions(tmp_path: Path, with_matrix: bool) -> None:
    (result,) = replay(conv_file(tmp_path / "conv.npz", with_matrix=with_matrix), resources=True)
    assert result.ok, "\n".join(result.lines())
    assert not result.remarks
    rows = {(p.kind, r.resource): r for p in result.placements for r in p.resources if r.population == "h"}
    assert rows["matrix", "synapses"].ours == 258048
    assert rows["population", "synapses"].ours <= 3776
    assert rows["population", "in-axons"].ours <= 144
    assert all(r.ok for r in rows.values())


def test_a_damaged_memory_image_is_seen(tmp_path: Path) -> None:
    def flip(folder: Path) -> None:
        d = descriptor.load(folder)
        words = d.arrays["synapse_memory"].copy()
        words[0] ^= np.uint64(1 << 20)
        descriptor.write(folder, d.manifest, {**d.arrays, "synapse_memory": words}, d.vectors)

    file = next(f for f in FILES if f.stem.startswith("s06"))
    (result,) = replay(file, alter=flip)
    assert not result.ok
    assert all(v.equal for v in result.second_opinion)
    wrong = [v for v in result.verdicts if not v.equal]
    assert wrong
    first = wrong[0].difference
    assert first is not None
    case = load(file)
    assert case.expected[wrong[0].array][first.step, first.neuron] == first.expected != first.got
    assert "DIFFERS" in result.lines()[0]


def test_a_wrong_value_in_the_file_is_seen(tmp_path: Path) -> None:
    with np.load(FILES[5]) as data:
        arrays = {k: data[k] for k in data.files}
    arrays["v_out"][30, 2] += 1
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    (result,) = replay(tmp_path / "x.npz")
    assert not result.ok
    wrong = {v.by: v.difference for v in result.verdicts if not v.equal}
    assert set(wrong) == {"emulator, matrix", "graph"}
    assert all(d is not None and (d.step, d.neuron, d.count) == (30, 2, 1) for d in wrong.values())


def test_optional_fields_may_be_missing_and_unknown_ones_are_listed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    nodes = [make.source(arrays, rng, "x", 3, 9), make.population(arrays, rng, "y", 4)]
    c = make.connection(arrays, rng, 0, nodes[0], nodes[1])
    make.simulate({"T": 9, "populations": nodes, "connections": [c]}, arrays)
    for name in ("Weff0", "u_y", "refract_y"):
        arrays.pop(name)
    again = {k: v for k, v in arrays.items() if not k.startswith(("s_", "v_"))} | {"refract_y": np.ones(4, np.int32)}
    make.simulate({"T": 9, "populations": nodes, "connections": [c]}, again)
    arrays |= {k: again[k] for k in ("s_y", "v_y")} | {"colour": np.arange(3)}
    spec = {"populations": nodes, "connections": [{"src": "x", "dst": "y"}], "mood": "good"}
    (result,) = replay(make.save(tmp_path / "x.npz", spec, arrays, traces=False))
    assert result.ok, "\n".join(result.lines())
    assert result.unknown == ("spec.mood", "colour")


def test_network_without_inputs(tmp_path: Path) -> None:
    arrays: dict[str, np.ndarray] = {}
    nodes = [make.population(arrays, np.random.default_rng(0), "y", 4)]
    (result,) = replay(make.save(tmp_path / "x.npz", {"T": 9, "populations": nodes, "connections": []}, arrays))
    assert result.ok, "\n".join(result.lines())


def test_what_the_chip_cannot_hold_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    nodes = [make.source(arrays, rng, "x", 3, 5), make.population(arrays, rng, "y", 4)]
    arrays["refract_y"][1] = 64
    spec = {"T": 5, "populations": nodes, "connections": [make.connection(arrays, rng, 0, *nodes)]}
    (result,) = replay(make.save(tmp_path / "x.npz", spec, arrays))
    assert result.refused
    assert not result.ok
    assert "REFUSED" in result.lines()[0]
    assert any(f.code == "REGISTER_RANGE" and f.severity == "error" for f in result.placements[0].findings)


def test_wide_layers_and_many_parameters_are_split(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    nodes = [make.source(arrays, rng, "x", 30, 6), make.population(arrays, rng, "y", 1100, varied=True)]
    arrays["vth_y"] = rng.integers(1, 20, 1100).astype(np.int32)
    arrays["du_y"], arrays["dv_y"] = (rng.integers(0, 9, 1100).astype(np.int32) * 400 for _ in range(2))
    spec = {"T": 6, "populations": nodes, "connections": [make.connection(arrays, rng, 0, *nodes, density=0.3)]}
    for what in ("s", "u", "v"):
        arrays[f"{what}_y"] = np.zeros((6, 1100), np.int32)
    case = vectors.load(make.save(tmp_path / "draft.npz", spec, arrays, traces=False))
    trace = run(case.graph, case.inputs, ticks=6)
    for what in ("s", "u", "v"):
        arrays[f"{what}_y"] = trace.array("y", what)[:, 0]  # type: ignore[arg-type]
    (result,) = replay(make.save(tmp_path / "x.npz", spec, arrays, traces=False))
    assert result.ok, "\n".join(result.lines())
    assert result.placements[0].cores > 8


@pytest.mark.parametrize("reference", ["lava", "brian2loihi", "somebody_else"])
def test_alternatives_say_which_reading_gives_them(tmp_path: Path, reference: str) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    nodes = [make.source(arrays, rng, "x", 9, 20), make.population(arrays, rng, "y_1", 4)]
    spec = {"T": 20, "populations": nodes, "connections": [make.connection(arrays, rng, 0, *nodes, exponent=-2)]}
    arrays["refract_y_1"][:] = 1
    case = vectors.load(make.save(tmp_path / "draft.npz", spec, arrays))
    reading = "lava" if reference == "somebody_else" else reference
    trace = run(case.graph, case.inputs, ticks=20, reading=READINGS[reading])
    arrays[f"alt_{reference}_u_y_1"] = trace.array("y_1", "u")[:, 0]
    arrays[f"alt_{reference}_v_y_1"] = np.full((20, 4), 7)
    (result,) = replay(make.save(tmp_path / "x.npz", spec, arrays, traces=False))
    assert result.ok
    assert not result.unknown
    matched = {a.array: a.matched for a in result.alternatives}
    assert {a.reference for a in result.alternatives} == {reference}
    assert matched == {"u_y_1": (reading,), "v_y_1": ()}


def broken(tmp_path: Path, **changes: Any) -> Path:
    with np.load(FILES[0]) as data:
        arrays = {k: data[k] for k in data.files}
    arrays |= changes
    np.savez(tmp_path / "x.npz", **{k: v for k, v in arrays.items() if v is not None})  # type: ignore[arg-type]
    return tmp_path / "x.npz"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spec": np.array('{"format": "loihi-learn/1", "populations": [], "connections": []}')}, "not known"),
        ({"spec": np.array("no JSON")}, "no JSON description"),
        ({"spec": None}, "no JSON description"),
        ({"W0": None}, "'W0'.*missing"),
        ({"W0": np.zeros((3, 1), np.int16)}, "'W0' has shape"),
        ({"W0": np.zeros((2, 1))}, "expected integers"),
        ({"in_in": None}, "'in_in'.*missing"),
        ({"s_out": None, "u_out": None, "v_out": None}, "no expected trace"),
    ],
)
def test_other_formats_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ReplayFormatError, match=message) as error:
        replay(broken(tmp_path, **changes))
    assert error.value.exit_code == 2


def test_recognition_is_by_fields(tmp_path: Path) -> None:
    assert all(recognise(f) for f in FILES)
    copy = tmp_path / "no_name_at_all"
    copy.write_bytes(FILES[0].read_bytes())
    assert recognise(copy)
    assert not recognise(tmp_path / "missing.npz")
    assert not recognise(broken(tmp_path, spec=np.array('{"format": "loihi-learn/1"}')))
    (tmp_path / "text.npz").write_text("text")
    assert not recognise(tmp_path / "text.npz")
    (tmp_path / "cut.npz").write_bytes(FILES[0].read_bytes()[:900])
    assert not recognise(tmp_path / "cut.npz")


def test_learning_files_are_not_taken_for_inference_files(shared_dir: Path) -> None:
    learning = sorted((shared_dir / "golden" / "loihi").glob("l*.npz"))
    assert learning
    for file in learning:
        assert not recognise(file)
        with pytest.raises(ReplayFormatError, match="loihi-learn/1"):
            load(file)
