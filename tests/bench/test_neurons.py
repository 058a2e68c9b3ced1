"""The neuron benchmark: its rows, and that the contenders here compute the same."""

from __future__ import annotations

import pytest
import torch

from snnkit.bench import first_call, gpu, neurons, recurrent, rounds
from snnkit.bench.defaults import DEFAULTS
from snnkit.errors import UsageError

KEYS = {"work", "impl", "settings", "ms_min", "ms_median", "floor_ratio", "peak_ratio", "differing_spikes"}


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_rows(reset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_call, "measure", lambda repeats: [])
    monkeypatch.setattr(recurrent, "run", lambda quick: [])
    rows = neurons.run(shape=(8, 4, 500), reset=reset, rounds=2)
    assert [row["impl"] for row in rows][:3] == ["memory floor", "snnkit fused", "snnkit eager loop"]
    for row in rows:
        assert set(row) == KEYS
        assert 0 < row["ms_min"] <= row["ms_median"] or row["impl"] == "memory floor"
    assert rows[1]["differing_spikes"] == rows[2]["differing_spikes"] == 0


def test_rows_of_a_recurrent_layer() -> None:
    rows = recurrent.run(rounds=1, steps=6, batch=3)
    named = {row["impl"]: row for row in rows}
    assert list(named)[:3] == ["matrix products alone", "snnkit fused", "plain PyTorch loop"]
    for row in rows:
        assert set(row) == KEYS
        assert row["work"] == "recurrent CubaLIF 256->512 T6 B3"
        assert 0 < row["ms_min"] <= row["ms_median"]
    assert named["plain PyTorch loop, input's product first"]["differing_spikes"] == 0


def test_the_plain_loop_is_the_layer() -> None:
    """The same spikes and gradients as ours, so the same work."""
    torch.manual_seed(0)
    weights = recurrent.Weights(torch.randn(7, 5) * 0.5, torch.randn(7, 7) * 0.3)
    x, gradient = (torch.rand(9, 4, 5) < 0.5).float(), torch.randn(9, 4, 7)
    results = []
    for make in (recurrent.Ours, recurrent.InputFirst, recurrent.PlainLoop):
        layer = make(weights)
        out = layer(x)
        out.backward(gradient)
        results.append((out, *(p.grad for p in layer.parameters())))
    assert 0.05 < results[0][0].mean() < 0.9
    for other in results[1:]:
        assert torch.equal(other[0], results[0][0])
        for a, b in zip(other[1:], results[0][1:]):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("peer", list(recurrent.PEERS))
def test_peers_of_the_recurrent_layer_spike_and_have_gradients(peer: str) -> None:
    pytest.importorskip(peer, reason=f"needs {peer}")
    weights = recurrent.Weights(torch.randn(7, 5) * 0.5, torch.randn(7, 7) * 0.3)
    layer = recurrent.PEERS[peer][0](weights)
    out = layer((torch.rand(9, 4, 5) < 0.5).float())
    assert out.shape == (9, 4, 7)
    assert 0 < out.mean() < 0.9
    out.sum().backward()
    assert sum(p.grad is not None and bool(p.grad.any()) for p in layer.parameters()) == 2


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_first_call_rows() -> None:
    rows = first_call.measure(1)
    assert len({row["settings"] for row in rows}) == 3
    for row in rows:
        assert set(row) == KEYS
        assert 0 < row["ms_min"] <= row["ms_median"]


@pytest.mark.parametrize("contender", DEFAULTS, ids=lambda c: c.name)
def test_peers_under_their_defaults_spike_and_have_gradients(contender: rounds.Contender) -> None:
    pytest.importorskip(contender.package, reason=f"needs {contender.package}")
    x = torch.randn(20, 4, 50, requires_grad=True)
    scaled = x * 3
    out = contender.make("zero")(scaled)
    assert out.shape == x.shape
    assert 0 < out.mean() < 0.9
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_little_memory_shrinks_the_hungry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_call, "measure", lambda repeats: [])
    monkeypatch.setattr(recurrent, "run", lambda quick: [])
    monkeypatch.setattr(rounds, "available_memory", lambda device: 8 * 4.0 * 8 * 20 * 500)
    rows = neurons.run(shape=(8, 20, 500), rounds=1)
    shapes = {row["impl"]: row["settings"].split("]")[0] for row in rows if row["impl"] == "snnkit eager loop"}
    assert shapes == {"snnkit eager loop": "[8, 2, 500"}
    assert sum(row["impl"] == "snnkit fused" for row in rows) == 2


def test_the_table_of_a_gpu_has_every_neuron(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows, on this machine's processor: what a GPU runs is the same but for the device."""
    monkeypatch.setattr(gpu, "CONTENDERS", [c for c in neurons.CONTENDERS if c.package is None])
    monkeypatch.setattr(gpu, "DEFAULTS", ())
    monkeypatch.setattr(recurrent, "run", lambda quick, rounds, device: [])
    rows = gpu.table(torch.device("cpu"), rounds=1, shapes=[(5, 2, 300), (3, 2, 200)])
    assert all(set(row) == KEYS for row in rows)
    ours = [row for row in rows if row["impl"] == "snnkit fused"]
    assert [row["work"].split()[0] for row in ours] == ["LIF"] * 4 + ["CubaLIF", "ALIF", "LinearLeakIF", "LI"]
    assert sum("subtract" in row["settings"] for row in ours) == 2
    assert len(rows) == 3 * len(ours)  # each beside the floor and the loop
    assert {row["differing_spikes"] for row in rows} == {0, None}


@pytest.mark.gpu
@pytest.mark.timeout(300)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_table_on_a_gpu() -> None:
    rows = neurons.run(quick=True, device="cuda")
    looped = [row for row in rows if "recurrent" in row["work"]]
    rows = [row for row in rows if row not in looped]
    assert {row["differing_spikes"] for row in rows if row["impl"].startswith("snnkit")} == {0, None}
    timed = [row["settings"] for row in rows if row["impl"] != "memory floor"]
    assert all("first call" in settings and settings.endswith("ms on the device") for settings in timed)
    assert {row["impl"] for row in looped} >= {"snnkit fused", "snnkit fused, CUDA graph", "plain PyTorch loop"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so() -> None:
    with pytest.raises(UsageError, match="no CUDA device"):
        neurons.run(device="cuda")
