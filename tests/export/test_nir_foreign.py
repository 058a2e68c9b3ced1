"""NIR files of others: every node runs as its equation says, what NIR leaves out is asked for, losses are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.errors import FindingsError, NirError, UsageError
from snnkit.export import nir
from snnkit.graph.findings import Finding
from snnkit.graph.model import Graph
from snnkit.graph.neurons import LI, LIF, CubaLI
from snnkit.graph.run import run
from snnkit.graph.synapses import Dense

from .nir_files import chain, net, neuron, node, save, simulate

Array = np.ndarray[Any, Any]
T, B, DT = 25, 3, 1e-3
RNG = np.random.default_rng(5)


def weights(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(0.15, 0.7, shape)


def read(path: Path, graph: Any, **options: Any) -> tuple[Graph, list[Finding]]:
    options = {"dt": DT, "reset": "zero"} | options
    made, findings = nir.read(save(path / "f.nir", graph), **options)
    assert made is not None
    return made, findings


def agree(path: Path, graph: Any, shape: tuple[int, ...], *, start: str = "leak", **options: Any) -> Graph:
    """The graph that is read fires (or holds v) as NIR's equations in float64 do."""
    made, _ = read(path, graph, **options)
    x = (np.random.default_rng(1).random((T, B, *shape)) < 0.4).astype(np.uint8)
    euler = options.get("dialect") in ("norse", "snntorch")
    dt = {"snntorch": 1e-4}.get(options.get("dialect", ""), options.get("dt", DT))
    want = simulate(graph, x, dt, euler=euler, reset=options.get("reset", "zero"), start=start)
    assert made.readout is not None
    name = made.readout.population
    trace = run(made, {made.inputs[0].name: x})
    if made.readout.of_spikes:
        got = trace.spikes[name]
        assert 0.02 < got.mean() < 0.98, "a silent or a saturated network proves nothing"
        assert np.array_equal(got, want[name].reshape(got.shape)), name
    else:
        got = trace.v[name]
        assert np.abs(got).max() > 0.1
        np.testing.assert_allclose(got, want[name].reshape(got.shape), rtol=1e-4, atol=1e-5)
    return made


# --------------------------------------------------------------------------------------------------------------- nodes
@pytest.mark.parametrize("kind", ["IF", "LIF", "CubaLIF", "Threshold", "I", "LI", "CubaLI"])
@pytest.mark.parametrize("dialect", ["nir", "norse"])
def test_neurons(kind: str, dialect: str, tmp_path: Path) -> None:
    values = {k: RNG.uniform(0.8, 3.0, 6) for k in ("r", "w_in")}
    more = {"IF": {"r": values["r"] * 300}, "I": {"r": values["r"] * 300}, "Threshold": {}}.get(
        kind, {"r": values["r"]}
    )
    if kind.startswith("Cuba"):
        more = more | {"w_in": values["w_in"], "tau_syn": RNG.uniform(1.5e-3, 4e-3, 6)}
    if dialect == "norse" and kind in ("I", "IF"):
        more = {"r": np.ones(6) * 0.4}  # r is a gain there, and dt plays no part
    graph = chain(("w", node("Linear", weight=weights(6, 8))), ("n", neuron(kind, 6, **more)), ends=([8], [6]))
    if dialect == "norse" and kind in ("I", "IF"):
        made, _ = read(tmp_path, graph, dialect=dialect)
        reference = chain(("w", graph["nodes"]["w"]), ("n", neuron(kind, 6, r=0.4 / DT)), ends=([8], [6]))
        assert agree(tmp_path, reference, (8,)).populations[0].neuron.decay[0] == 1  # type: ignore[union-attr]
        assert np.allclose(getattr(made.populations[0].neuron, "threshold", 2.5), 2.5)
        return
    agree(tmp_path, graph, (8,), dialect=dialect)


@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["LIF", "CubaLIF", "IF"]),
    reset=st.sampled_from(["zero", "subtract"]),
    dialect=st.sampled_from(["nir", "norse", "snntorch"]),
    dt=st.sampled_from([1e-3, 2.5e-4]),
)
@settings(max_examples=40)
def test_any_parameters(
    tmp_path_factory: pytest.TempPathFactory, seed: int, kind: str, reset: Any, dialect: str, dt: float
) -> None:
    rng = np.random.default_rng(seed)
    dt = 1e-4 if dialect == "snntorch" else dt
    fields = {"r": rng.uniform(0.5, 20, 5), "v_threshold": rng.uniform(0.3, 2, 5)}
    if kind == "IF":
        if dialect != "nir":
            return
        fields["r"] = fields["r"] / (5 * dt)
    if kind == "LIF":
        fields["tau"] = rng.uniform(dt, 20 * dt, 5)
    if kind == "CubaLIF":
        fields |= {"tau_syn": rng.uniform(dt, 5 * dt, 5), "tau_mem": rng.uniform(dt, 20 * dt, 5)}
        fields["w_in"] = rng.uniform(0.5, 3, 5)
    shift = float(rng.choice([0.0, 0.2]))
    if kind != "IF" and reset == "zero":
        fields |= {"v_leak": np.full(5, shift), "v_reset": np.full(5, shift)}
        fields["v_threshold"] = fields["v_threshold"] + shift
    weight, bias = rng.normal(0.3, 0.6, (5, 7)), rng.normal(0, 0.2, 5)
    graph = chain(("w", node("Affine", weight=weight, bias=bias)), ("n", neuron(kind, 5, **fields)), ends=([7], [5]))
    path = tmp_path_factory.mktemp("any")
    made, _ = nir.read(
        save(path / "f.nir", graph), dialect=dialect, reset=reset, dt=None if dialect == "snntorch" else dt
    )
    assert made is not None
    x = (rng.random((T, B, 7)) < 0.4).astype(np.uint8)
    want = simulate(graph, x, dt, euler=dialect != "nir", reset=reset)["n"]
    assert np.array_equal(run(made, {"input": x}).spikes["n"], want)


def test_leak_potential_as_a_bias(tmp_path: Path) -> None:
    """v_leak that is not v_reset drives the membrane; v starts where it is reset to, at 0."""
    for reset in ("zero", "subtract"):
        lif = neuron("LIF", 6, v_leak=0.3, v_threshold=0.7)
        graph = chain(("w", node("Linear", weight=weights(6, 8))), ("n", lif), ends=([8], [6]))
        made = agree(tmp_path, graph, (8,), start="zero", reset=reset)
        assert made.populations[0].bias is not None


def conv(kind: str, weight: tuple[int, ...], **fields: Any) -> Any:
    usual = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    return node(kind, weight=weights(*weight), bias=weights(weight[0]), **{**usual, **fields})


wide = {"stride": [2, 1], "padding": [1, 0], "dilation": [1, 2], "input_shape": [7, 8]}
CONVOLUTIONS = {
    "Conv1d": (conv("Conv1d", (4, 1, 3), padding=[2], dilation=2, groups=2, input_shape=9), (2, 9), (4, 9)),
    "Conv1d same": (conv("Conv1d", (4, 2, 4), padding="same"), (2, 9), (4, 9)),
    "Conv2d": (conv("Conv2d", (4, 2, 3, 2), **wide), (2, 7, 8), (4, 4, 6)),
    "Conv2d valid": (conv("Conv2d", (4, 1, 3, 3), stride=2, padding="valid", groups=2), (2, 7, 8), (4, 3, 3)),
    "SumPool2d": (node("SumPool2d", kernel_size=[2, 3], stride=[2, 2], padding=[0, 1]), (2, 6, 7), (2, 3, 4)),
    "AvgPool2d": (node("AvgPool2d", kernel_size=2, stride=2, padding=1), (2, 6, 7), (2, 4, 4)),
    "Scale": (node("Scale", scale=weights(2, 3, 4)), (2, 3, 4), (2, 3, 4)),
    "Delay": (node("Delay", delay=RNG.integers(0, 4, (2, 3, 4)) * DT), (2, 3, 4), (2, 3, 4)),
}


@pytest.mark.filterwarnings("ignore:Using padding")  # torch tells that an even kernel needs a copy
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_linear_nodes(name: str, tmp_path: Path) -> None:
    made, before, after = CONVOLUTIONS[name]
    threshold = {"AvgPool2d": 0.1, "SumPool2d": 0.7}.get(name, 0.4)
    graph = chain(("l", made), ("n", neuron("LIF", after, v_threshold=threshold)), ends=(before, after))
    agree(tmp_path, graph, before)


def test_flatten_and_several_linear_nodes_in_a_row(tmp_path: Path) -> None:
    pool = node("AvgPool2d", kernel_size=[2, 2], stride=[2, 2], padding=[0, 0])
    graph = chain(
        ("a", neuron("LIF", (2, 6, 6), v_threshold=0.2)), ("c", conv("Conv2d", (3, 2, 3, 3), padding=1)), ("p", pool),
        ("flat", node("Flatten", start_dim=0, end_dim=-1, input_type=[3, 3, 3])),
        ("w", node("Affine", weight=weights(5, 27) * 0.3, bias=weights(5) * 0.2)), ("b", neuron("LIF", 5)),
        ends=([2, 6, 6], [5]),
    )  # fmt: skip
    made = agree(tmp_path, graph, (2, 6, 6))
    assert [c.name for c in made.connections] == ["input->a", "a->b"]


def test_sums_skips_and_names(tmp_path: Path) -> None:
    edges = [("input", "w1"), ("w1", "lif1"), ("lif1", "w2"), ("w2", "lif2"), ("lif1", "lif2"), ("w1", "lif2")]
    graph = net(
        {
            "input": node("Input", shape=[6]), "w1": node("Linear", weight=weights(5, 6)), "lif1": neuron("LIF", 5),
            "w2": node("Linear", weight=weights(5, 5) * 0.5), "lif2": neuron("LIF", 5, v_threshold=0.9),
            "output": node("Output", shape=[5]),
        },
        [*edges, ("lif2", "output")],
    )  # fmt: skip
    made = agree(tmp_path, graph, (6,))
    assert [p.name for p in made.populations] == ["lif1", "lif2"]
    assert {c.name for c in made.connections} == {"input->lif1", "lif1->lif2", "lif1->lif2#2", "input->lif2"}


def loop(delay: float | None = None, nested: bool = False) -> Any:
    """A recurrent CubaLIF: flat, with a Delay in the loop, or as a nested graph."""
    lif = neuron("CubaLIF", 6, w_in=2.0, r=2.0, v_threshold=1.2)
    rec = node("Affine", weight=np.random.default_rng(2).normal(0, 0.6, (6, 6)), bias=np.full(6, 0.1))
    w = node("Linear", weight=np.random.default_rng(3).normal(0.5, 0.5, (6, 8)))
    ends = {"input": node("Input", shape=[8]), "output": node("Output", shape=[6])}
    if nested:
        inner = net(
            {"in": node("Input", shape=[6]), "lif": lif, "rec": rec, "out": node("Output", shape=[6])},
            [("in", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "out")],
        )
        return net({**ends, "w": w, "r": inner}, [("input", "w"), ("w", "r"), ("r", "output")])
    nodes = {**ends, "w": w, "lif": lif, "rec": rec}
    if delay is None:
        return net(nodes, [("input", "w"), ("w", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "output")])
    late = {"late": node("Delay", delay=np.full(6, delay))}
    return net(
        {**nodes, **late},
        [("input", "w"), ("w", "lif"), ("lif", "late"), ("late", "rec"), ("rec", "lif"), ("lif", "output")],
    )


def test_recurrence(tmp_path: Path) -> None:
    made = agree(tmp_path, loop(), (8,), loop_delay=1)
    assert [(c.name, c.delay) for c in made.connections] == [("input->lif", 0), ("lif->lif", 1)]
    two = loop(2 * DT)
    assert [c.delay for c in agree(tmp_path, two, (8,)).connections] == [0, 2]
    nested, _ = read(tmp_path, loop(nested=True), loop_delay=1)
    x = (np.random.default_rng(1).random((T, B, 8)) < 0.4).astype(np.uint8)
    assert np.array_equal(run(nested, {"input": x}).spikes["r.lif"], run(made, {"input": x}).spikes["lif"])
    _, found = nir.read(save(tmp_path / "n.nir", loop()), dialect="norse", dt=DT, reset="zero")
    assert ("NIR_LOOP", "lif->lif", "note") in {(f.code, f.where, f.severity) for f in found}


def test_a_loop_of_two_neurons_is_cut_where_the_input_arrives(tmp_path: Path) -> None:
    graph = net(
        {
            "input": node("Input", shape=[4]), "z": neuron("LIF", 4), "a": neuron("LIF", 4),
            "w": node("Linear", weight=weights(4, 4)), "output": node("Output", shape=[4]),
        },
        [("input", "z"), ("z", "a"), ("a", "w"), ("w", "z"), ("a", "output")],
    )  # fmt: skip
    made, _ = read(tmp_path, graph, loop_delay=2)
    assert {(c.src, c.dst): c.delay for c in made.connections} == {("input", "z"): 0, ("z", "a"): 0, ("a", "z"): 2}
    assert [p.name for p in made.populations] == ["z", "a"]


def test_threshold_is_strict_and_gains_of_one_leave_no_trace(tmp_path: Path) -> None:
    """v > 1 in NIR is v >= the next float32; r = tau/dt, rounded to float32, is a gain of exactly 1."""
    tau = np.full(3, np.float32(1.7e-3))
    lif = neuron("LIF", 3, tau=tau, r=(tau / np.float32(DT)).astype(np.float32), v_threshold=1.0)
    made, _ = read(tmp_path, chain(("n", lif), ends=([3], [3])), dialect="norse")
    threshold = made.populations[0].neuron.threshold  # type: ignore[union-attr]
    assert np.all(threshold == np.nextafter(np.float32(1), np.float32(2)))


def test_snntorch_has_its_own_step(tmp_path: Path) -> None:
    tau = 1e-4 / (1 - 0.9)
    lif = neuron("LIF", 3, tau=tau, r=tau / 1e-4, v_threshold=1.0)
    graph = chain(("n", lif), ends=([3], [3]))
    made, _ = nir.read(save(tmp_path / "s.nir", graph), dialect="snntorch", reset="subtract")
    assert made is not None
    neuron_ = made.populations[0].neuron
    assert isinstance(neuron_, LIF)
    assert np.allclose(neuron_.decay, 0.9)
    assert neuron_.reset == "subtract"
    assert made.dt_us == 100
    with pytest.raises(NirError, match="has a step of 0.0001"):
        nir.read(tmp_path / "s.nir", dialect="snntorch", reset="zero", dt=1e-3)


def test_sinabs_and_rockpool_integrate_in_their_own_way(tmp_path: Path) -> None:
    graph = chain(("n", neuron("LIF", 3, tau=2.0, v_threshold=1.0)), ends=([3], [3]))
    made, found = nir.read(save(tmp_path / "s.nir", graph), dialect="sinabs", reset="subtract")
    assert made is not None
    assert isinstance(made.populations[0].neuron, LIF)
    assert np.allclose(made.populations[0].neuron.decay, np.exp(-0.5))
    assert np.all(made.populations[0].neuron.threshold == 1)  # it fires at v >= threshold, with a gain of 1
    assert [f.code for f in found] == ["NIR_MULTIPLE"]
    cuba = neuron("CubaLIF", 3, tau_syn=1e-3, tau_mem=2e-3, r=1.0, v_threshold=1.0)
    made, _ = read(tmp_path, chain(("n", cuba), ends=([3], [3])), dialect="rockpool", reset="subtract")
    assert np.allclose(made.populations[0].neuron.threshold, np.exp(1))  # type: ignore[union-attr]


def test_read_out(tmp_path: Path) -> None:
    graph = chain(("w", node("Linear", weight=weights(3, 4))), ("n", neuron("LI", 3, r=2.0)), ends=([4], [3]))
    made, _ = nir.read(save(tmp_path / "f.nir", graph), dt=DT, readout="mean")
    assert made is not None
    assert made.readout is not None
    assert made.readout.rule == "mean"
    assert isinstance(made.populations[0].neuron, LI)
    assert isinstance(made.connections[0].synapse, Dense)  # the gain went into the weights
    cuba = chain(("n", neuron("CubaLI", 3)), ends=([3], [3]))
    assert isinstance(read(tmp_path, cuba)[0].populations[0].neuron, CubaLI)
    for rule, last in (("last", neuron("LIF", 3)), ("count", neuron("LI", 3)), ("lst", neuron("LI", 3))):
        assert refused(tmp_path, chain(("n", last), ends=([3], [3])), readout=rule) == {"READOUT": "n"}


def test_several_outputs(tmp_path: Path) -> None:
    ends = {"input": node("Input", shape=[3]), "oa": node("Output", shape=[3]), "ob": node("Output", shape=[3])}
    edges = [("input", "a"), ("a", "b"), ("a", "oa"), ("b", "ob")]
    graph = net({**ends, "a": neuron("LIF", 3), "b": neuron("LIF", 3)}, edges)
    assert refused(tmp_path, graph) == {"NIR_ENDS": "oa, ob"}
    assert refused(tmp_path, graph, output="oc") == {"NIR_ENDS": "oc"}
    made, _ = read(tmp_path, graph, output="oa", steps=9, max_count=4)
    assert made.readout is not None
    assert (made.readout.population, made.steps, made.inputs[0].max_count, made.dt_us) == ("a", 9, 4, 1000.0)


# ----------------------------------------------------------------------------------------------------------- questions
def test_everything_that_nir_leaves_out_is_asked_for_at_once(tmp_path: Path) -> None:
    path = save(tmp_path / "f.nir", loop())
    with pytest.raises(NirError) as caught:
        nir.read(path)
    text = str(caught.value)
    assert text.startswith("[NIR]")
    assert "f.nir" in text
    for part in ("length of a step", "'lif'", "reset to v_reset or by subtracting", "lif -> rec -> lif"):
        assert part in caught.value.what
    for option in ("--dt", "--reset zero", "--loop-delay 1"):
        assert option in caught.value.fix
    with pytest.raises(NirError) as caught:
        nir.read(path, dt=DT, loop_delay=1)
    assert caught.value.fix == "--reset zero or --reset subtract"
    with pytest.raises(NirError) as caught:
        nir.read(path, dialect="norse", reset="zero")
    assert caught.value.fix == "--dt SECONDS"  # norse's executor takes one step round a loop


def test_nothing_is_asked_that_is_not_needed(tmp_path: Path) -> None:
    only = chain(("n", neuron("Threshold", 3)), ends=([3], [3]))
    made, _ = nir.read(save(tmp_path / "f.nir", only))
    assert made is not None
    assert made.dt_us is None
    silent = chain(("n", neuron("LI", 3)), ends=([3], [3]))
    assert nir.read(save(tmp_path / "f.nir", silent), dt=DT)[0] is not None
    integrate = chain(("n", neuron("IF", 3)), ends=([3], [3]))
    assert nir.read(save(tmp_path / "f.nir", integrate), dialect="norse", reset="zero")[0] is not None


@pytest.mark.parametrize(
    "facts", [{"dt": 0}, {"dt": -1e-3}, {"dt": float("nan")}, {"loop_delay": 0}, {"reset": "soft"}]
)
def test_facts_that_make_no_sense(facts: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(NirError, match=next(iter(facts))):
        nir.read(save(tmp_path / "f.nir", loop()), **({"dt": DT, "reset": "zero", "loop_delay": 1} | facts))
    with pytest.raises(UsageError, match="did you mean 'sinabs'"):
        nir.read(tmp_path / "f.nir", dialect="sinab")


def test_a_gain_of_dt_is_pointed_out(tmp_path: Path) -> None:
    _, found = read(tmp_path, chain(("n", neuron("IF", 3)), ends=([3], [3])))
    assert [(f.code, f.severity) for f in found] == [("NIR_GAIN", "warning")]
    assert "--dialect" in found[0].remedy


def test_how_the_equations_are_solved_is_said_where_it_matters(tmp_path: Path) -> None:
    """exp(-dt/tau) and 1 - dt/tau: NIR does not say which."""
    path = save(tmp_path / "f.nir", chain(("n", neuron("LIF", 3)), ends=([3], [3])))
    _, found = nir.read(path, dt=DT, reset="zero")
    assert [(f.code, f.severity) for f in found] == [("NIR_INTEGRATION", "note")]
    assert "up to 0.11 less" in found[0].what
    assert nir.read(path, dt=1e-5, reset="zero")[1] == []
    assert nir.read(path, dt=DT, reset="zero", dialect="norse")[1] == []


# ------------------------------------------------------------------------------------------------------------ refusals
def refused(path: Path, graph: Any, **options: Any) -> dict[str, str]:
    """Codes of the errors, each with its place."""
    options = {"dt": DT, "reset": "zero", "loop_delay": 1} | options
    file = save(path / "r.nir", graph)
    with pytest.raises(FindingsError, match="cannot be read"):
        nir.read(file, **options)
    made, findings = nir.read(file, strict=False, **options)
    assert made is None
    assert all(f.where and f.what for f in findings)
    return {f.code: f.where for f in findings if f.severity == "error"}


def layer(kind: str, **fields: Any) -> Any:
    return chain(("n", neuron(kind, 3, **fields)), ends=([3], [3]))


NEURONS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "negative tau": (layer("LIF", tau=[1e-3, -2e-3, 1e-3]), {}, "NIR_TAU"),
    "tau of 0": (layer("CubaLIF", tau_syn=0.0), {}, "NIR_TAU"),
    "tau below an Euler step": (layer("LIF", tau=5e-4), {"dialect": "norse"}, "NIR_TAU"),
    "infinite tau": (layer("LI", tau=np.inf), {}, "NIR_TAU"),
    "r of 0": (layer("LIF", r=0.0), {}, "NIR_GAIN"),
    "negative r": (layer("IF", r=-1.0), {}, "NIR_GAIN"),
    "threshold below rest": (layer("LIF", v_threshold=-0.1), {}, "NIR_THRESHOLD"),
    "threshold of 0": (layer("Threshold", threshold=0.0), {}, "NIR_THRESHOLD"),
    "reset elsewhere": (layer("LIF", v_reset=0.1, v_leak=0.2), {}, "NIR_RESET"),
    "reset to a value by subtraction": (layer("LIF", v_reset=0.1), {"reset": "subtract"}, "NIR_RESET"),
    "leak of a CubaLIF": (layer("CubaLIF", v_leak=0.1), {}, "NIR_LEAK"),
    "leak of a read-out": (layer("LI", v_leak=0.1), {}, "NIR_LEAK"),
    "NaN": (layer("LIF", v_threshold=np.nan), {}, "NOT_FINITE"),
}


@pytest.mark.parametrize("name", NEURONS)
def test_neurons_that_would_lose_their_meaning(name: str, tmp_path: Path) -> None:
    graph, options, code = NEURONS[name]
    assert refused(tmp_path, graph, **options) == {code: "n"}


def test_delays(tmp_path: Path) -> None:
    def late(delay: Any, *before: Any) -> Any:
        return chain(*before, ("d", node("Delay", delay=delay)), ("n", neuron("LIF", 3)), ends=([3], [3]))

    assert refused(tmp_path, late(np.full(3, 1.5e-3))) == {"NIR_DELAY": "d"}
    assert refused(tmp_path, late(np.full(3, -1e-3))) == {"NIR_DELAY": "d"}
    affine = ("w", node("Affine", weight=np.eye(3), bias=np.ones(3)))
    assert refused(tmp_path, late(np.full(3, 1e-3), affine)) == {"DELAYED_BIAS": "d"}
    assert read(tmp_path, late(np.zeros(3), affine))[0].connections[0].delay == 0


def test_loops(tmp_path: Path) -> None:
    nodes = {
        "input": node("Input", shape=[3]), "w": node("Linear", weight=np.eye(3)), "v": node("Scale", scale=np.ones(3)),
        "n": neuron("LIF", 3), "output": node("Output", shape=[3]),
    }  # fmt: skip
    edges = [("input", "w"), ("w", "v"), ("v", "w"), ("v", "n"), ("n", "output")]
    found = refused(tmp_path, net(nodes, edges))
    assert set(found) == {"NIR_LOOP"}
    assert set(found["NIR_LOOP"].split(" -> ")) == {"w", "v"}
    zero = net({**nodes, "v": node("Delay", delay=np.zeros(3)), "w": neuron("LIF", 3)}, edges)
    path = save(tmp_path / "z.nir", zero)
    with pytest.raises(NirError, match="how many steps a spike takes round"):  # a delay of 0 delays nothing
        nir.read(path, dt=DT, reset="zero")


def test_shapes_that_do_not_chain(tmp_path: Path) -> None:
    lif, image = ("n", neuron("LIF", 5)), ("n", neuron("LIF", (5, 2, 2)))
    kernel = conv("Conv2d", (5, 2, 3, 3))
    declared = {**kernel, "input_shape": np.array([5, 5])}
    cases: dict[str, Any] = {
        "w": chain(("w", node("Linear", weight=weights(5, 4))), lif, ends=([3], [5])),
        "n": chain(("w", node("Linear", weight=weights(4, 3))), lif, ends=([3], [5])),
        "output": chain(("w", node("Linear", weight=weights(5, 3))), lif, ends=([3], [4])),
        "c": chain(("c", kernel), image, ends=([1, 2, 4, 4], [5, 2, 2])),
        "k": chain(("k", kernel), ("n", neuron("LIF", (5, 1, 1))), ends=([2, 2, 2], [5, 1, 1])),
        "d": chain(("d", declared), image, ends=([2, 4, 4], [5, 2, 2])),
        "p": chain(("p", node("SumPool2d", kernel_size=2, stride=2, padding=0)), lif, ends=([5], [5])),
        "f": chain(("f", node("Flatten", start_dim=1, end_dim=2)), lif, ends=([5], [5])),
        "s": chain(("s", node("Scale", scale=np.ones(4))), lif, ends=([5], [5])),
        "t": chain(("t", node("Delay", delay=np.ones(4) * DT)), lif, ends=([5], [5])),
    }  # fmt: skip
    for where, graph in cases.items():
        assert refused(tmp_path, graph) == {"SHAPE": where}


def test_wirings_that_have_no_meaning(tmp_path: Path) -> None:
    w, lif = node("Linear", weight=np.eye(3)), neuron("LIF", 3)
    ends = {"input": node("Input", shape=[3]), "output": node("Output", shape=[3])}
    last = chain(("n", lif), ("w", w), ends=([3], [3]))
    assert refused(tmp_path, last) == {"OUTPUT_NOT_A_NEURON": "output"}
    assert refused(tmp_path, chain(("w", w), ends=([3], [3]))) == {"OUTPUT_NOT_A_NEURON": "output"}
    analog = chain(("a", neuron("LI", 3)), ("w", w), ("n", lif), ends=([3], [3]))
    assert refused(tmp_path, analog) == {"ANALOG_SOURCE": "w"}
    analog = chain(("a", neuron("I", 3)), ("n", lif), ends=([3], [3]))
    assert refused(tmp_path, analog)["ANALOG_SOURCE"] == "n"
    alone = net({**ends, "n": lif, "m": lif}, [("input", "n"), ("n", "output")])
    assert refused(tmp_path, alone) == {"NO_INPUT": "m"}
    late = chain(("n", lif), ("d", node("Delay", delay=np.full(3, DT))), ends=([3], [3]))
    assert refused(tmp_path, late) == {"OUTPUT_NOT_A_NEURON": "output"}
    strided = chain(
        ("c", conv("Conv1d", (2, 2, 3), stride=2, padding="same")), ("n", neuron("LIF", (2, 4))), ends=([2, 8], [2, 4])
    )
    assert refused(tmp_path, strided) == {"NIR_FIELD": "c"}


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    graph = chain(
        ("a", neuron("LIF", 3, tau=-1.0)), ("w", node("Linear", weight=weights(4, 2))), ("b", neuron("IF", 5, r=-1.0)),
        ends=([3], [5]),
    )  # fmt: skip
    made, findings = nir.read(save(tmp_path / "f.nir", graph), dt=DT, reset="zero", strict=False)
    assert made is None
    assert {(f.code, f.where) for f in findings} == {("NIR_TAU", "a"), ("SHAPE", "w"), ("NIR_GAIN", "b")}
