"""From torch to a descriptor: exact networks stay exact, equal exports are equal bytes, what does not fit is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from snnkit import emulator
from snnkit import nn as snn
from snnkit.errors import FindingsError, UsageError
from snnkit.validation import check_model, to_chip, write_descriptor
from snnkit.validation.pipeline import rasters
from snnkit.validation.threeway import validate

STEPS = 8
Case = tuple[nn.Module, Sequence[Any], Any]


def test_torch_graph_and_emulator_agree_on_every_spike(network: Case, tmp_path: Path) -> None:
    model, shape, samples = network
    chip = to_chip(model, shape, "loihi", samples, steps=STEPS)
    assert all(layer["exact_weights"] for layer in chip.report)
    path = tmp_path / "net.snnx"
    write_descriptor(path, chip, "loihi", samples)
    assert emulator.verify(path).ok
    labels = np.zeros(5, np.int64)
    result = validate(model, chip, path, [(samples, labels)])
    for pair, counts in result["differing_spikes"].items():
        assert counts["total"] == 0, (pair, result["first_divergence"][pair])
        assert counts["of"] > 0
        assert result["changed"][pair]["changed"] == 0
    assert len(set(result["accuracy"].values())) == 1
    assert any(layer["torch"] for layer in result["raster"]["layers"].values())  # something did fire


def folder_bytes(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file()}


def test_two_exports_are_byte_identical(network: Case, tmp_path: Path) -> None:
    model, shape, samples = network
    written = []
    for name in ("a", "b"):
        chip = to_chip(model, shape, "loihi", samples, steps=STEPS)
        write_descriptor(tmp_path / f"{name}.snnx", chip, "loihi", samples)
        written.append(folder_bytes(tmp_path / f"{name}.snnx"))
    assert set(written[0]) >= {"manifest.json", "arrays.safetensors", "vectors.safetensors"}
    assert written[0] == written[1]


def test_leaky_networks_stay_close_and_the_emulator_stays_equal(tmp_path: Path) -> None:
    """Real weights and leaks: rounding changes some spikes, but the integer graph and the emulator never differ."""
    import torch

    torch.manual_seed(0)
    model = nn.Sequential(snn.Linear(12, 30), snn.LIF(tau=3.0), snn.Linear(30, 5), snn.LI(tau=4.0)).eval()
    samples = (np.random.default_rng(0).random((STEPS, 40, 12)) < 0.5).astype(np.uint8)
    chip = to_chip(model, (12,), "loihi", samples, steps=STEPS, readout="mean")
    write_descriptor(tmp_path / "net.snnx", chip, "loihi", samples)
    result = validate(model, chip, tmp_path / "net.snnx", [(samples, np.zeros(40, np.int64))])
    counts = result["differing_spikes"]
    assert counts["graph-emulator"]["total"] == 0
    assert counts["torch-graph"]["total"] < 0.01 * counts["torch-graph"]["of"]


def test_a_bias_register_acts_from_the_first_tick(dense_network: Case, tmp_path: Path) -> None:
    """A register drives layer k for k ticks before frame 0 arrives; the integer graph shows what the chip does."""
    model, shape, samples = dense_network
    chip = to_chip(model, shape, "loihi", samples, steps=STEPS, bias="register")
    assert [i.name for i in chip.graph.inputs] == [i.name for i in chip.float_graph.inputs]
    write_descriptor(tmp_path / "net.snnx", chip, "loihi", samples)
    result = validate(model, chip, tmp_path / "net.snnx", [(samples, np.zeros(5, np.int64))])
    assert result["differing_spikes"]["graph-emulator"]["total"] == 0
    assert result["differing_spikes"]["torch-graph"]["total"] > 0


def test_everything_is_found_at_once() -> None:
    model = nn.Sequential(
        snn.Linear(12, 10), snn.LIF(reset="subtract"), snn.Linear(10, 4), snn.LIF(refractory=70), snn.Linear(4, 2),
        snn.LIF(),
    )  # fmt: skip
    graph, findings = check_model(model, (12,), "loihi", max_count=9)
    assert graph is not None
    assert {(f.code, f.where) for f in findings} == {
        ("SUBTRACT_RESET", "1"),
        ("REFRACTORY_RANGE", "3"),
        ("INPUT_NOT_BINARY", graph.inputs[0].name),
    }
    assert all(f.remedy for f in findings)
    with pytest.raises(FindingsError) as caught:
        to_chip(model, (12,), "loihi", np.zeros((2, 1, 12)), max_count=9, name="net")
    assert str(caught.value).count("error ") == 3
    assert "net does not fit loihi" in str(caught.value)


def test_one_neuron_with_more_sources_than_a_core_has_axons() -> None:
    model = nn.Sequential(snn.Linear(4097, 2, bias=False), snn.LIF())
    _, findings = check_model(model, (4097,), "loihi")
    (finding,) = findings
    assert (finding.code, finding.needed, finding.available) == ("AXONS", 4097, 4096)
    assert "0" in finding.where
    assert finding.remedy
    assert not check_model(nn.Sequential(snn.Linear(4096, 2, bias=False), snn.LIF()), (4096,), "loihi")[1]
    # The line that brings the bias is an axon too.
    assert check_model(nn.Sequential(snn.Linear(4096, 2), snn.LIF()), (4096,), "loihi")[1][0].code == "AXONS"


def test_weights_far_above_the_threshold_are_a_finding() -> None:
    model = nn.Sequential(snn.Linear(12, 3), snn.LIF())
    nn.init.constant_(model[0].weight, 1e6)  # type: ignore[arg-type]
    with pytest.raises(FindingsError, match=r"SCALE at 1\[0\].*threshold of 1"):
        to_chip(model, (12,), "loihi", np.ones((4, 1, 12)), steps=4)


def test_a_path_too_long_for_the_delays(tmp_path: Path) -> None:
    """A skip over 70 layers needs a delay that no register holds; `check` sees the delays that the chip would need."""

    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Sequential(snn.Linear(2, 2, bias=False), snn.LIF()) for _ in range(70)])
            self.out = snn.LIF()

        def forward(self, x: Any) -> Any:
            h = x
            for layer in self.layers:
                h = layer(h)
            return self.out(h + x)

    _, findings = check_model(Deep(), (2,), "loihi")
    assert [f.code for f in findings] == ["DELAY_RANGE"]


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.full((2, 1, 12), 3, np.uint8), "up to 3"),
        (np.full((2, 1, 12), 0.5), "no whole numbers"),
        (np.full((2, 1, 12), -1), "no whole numbers"),
        (np.full((2, 1, 12), 257), "no whole numbers"),
        (np.full((2, 1, 12), np.nan), "no whole numbers"),
        ({}, "no samples"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_samples_that_no_host_could_send(dense_network: Case, samples: Any, words: str) -> None:
    graph, _ = check_model(dense_network[0], (12,), "loihi")
    assert graph is not None
    with pytest.raises(UsageError, match=words):
        rasters(graph, samples)


def test_one_array_for_two_inputs(dense_network: Case) -> None:
    chip = to_chip(dense_network[0], (12,), "loihi", np.ones((4, 1, 12), bool), steps=4)
    assert chip.graph.timeline == "chip"
    from dataclasses import replace

    first = chip.float_graph.inputs[0]
    two = chip.float_graph.with_(inputs=(first, replace(first, name="other")))
    with pytest.raises(UsageError, match="other"):
        rasters(two, np.ones((4, 1, 12)))


def test_a_descriptor_needs_its_suffix(dense_network: Case, tmp_path: Path) -> None:
    model, shape, samples = dense_network
    chip = to_chip(model, shape, "loihi", samples, steps=STEPS)
    with pytest.raises(UsageError, match=r"\.snnx"):
        write_descriptor(tmp_path / "net.bin", chip, "loihi", samples)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine.snnx").mkdir()
    (tmp_path / "mine.snnx" / "notes.txt").write_text("keep")
    with pytest.raises(UsageError, match="no descriptor"):
        write_descriptor(tmp_path / "mine.snnx", chip, "loihi", samples)
    assert [p.name for p in tmp_path.rglob("*")] == ["mine.snnx", "notes.txt"]


def test_the_bias_of_a_cuba_lif_is_always_gated(tmp_path: Path) -> None:
    """Its input passes through the current; a register would drive the membrane at once."""
    model = nn.Sequential(snn.Linear(12, 20), snn.CubaLIF(decay_syn=0.5, decay_mem=0.75), snn.Linear(20, 4), snn.LIF())
    for p in model.parameters():
        nn.init.normal_(p, 0.1, 0.4)
    samples = (np.random.default_rng(0).random((STEPS, 20, 12)) < 0.3).astype(np.uint8)
    chip = to_chip(model, (12,), "loihi", samples, steps=STEPS, bias="register")
    assert [i.name for i in chip.graph.inputs if i.gate_from is not None] == ["bias.1"]
    write_descriptor(tmp_path / "net.snnx", chip, "loihi", samples)
    result = validate(model, chip, tmp_path / "net.snnx", [(samples, np.zeros(20, np.int64))])
    assert result["differing_spikes"]["torch-graph"]["layers"]["1"] < 0.01 * STEPS * 20 * 20
    assert result["differing_spikes"]["graph-emulator"]["total"] == 0
