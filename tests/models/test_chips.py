"""Which chips take which architecture, and why not: the table of `snnkit models`."""

from __future__ import annotations

import json

import pytest

from snnkit.cli.main import main
from snnkit.graph.findings import Finding
from snnkit.graph.model import Graph
from snnkit.models import find
from snnkit.targets import registry
from snnkit.targets.capabilities import Capabilities
from snnkit.validation.architectures import survey, verdicts


def table(name: str, *chips: str, limit: int = 10_000_000) -> dict[str, tuple[bool | None, str]]:
    found = verdicts(find(name), [registry.get(c) for c in chips], limit)
    return {v.target: (v.fits, v.code) for v in found}


def test_small_ones_are_mapped() -> None:
    assert table("recurrent-shd", "loihi", "spinnaker", "truenorth", "brainscales2") == {
        "loihi": (True, ""),
        "spinnaker": (True, ""),
        "truenorth": (False, "LI_READOUT"),
        "brainscales2": (False, "LOOP_TOO_LARGE"),
    }
    assert table("delays-shd", "loihi", "brainscales2")["brainscales2"] == (False, "DELAY_RANGE")
    assert table("plif-gesture-lean", "truenorth") == {"truenorth": (False, "DECAY")}


def test_what_no_chip_takes_is_said_of_all() -> None:
    rows = list(survey([find("spikformer-4-384")], registry.resolve("all")))
    assert {v.code for v in rows[0].verdicts} == {"ATTENTION"}
    assert all(v.fits is False and "block1" in v.reason for v in rows[0].verdicts)


def test_large_ones_are_counted_in_full() -> None:
    """62 and 76 million synapses: what refuses them is their own layers', with its number, not a small network's."""
    assert table("plif-nmnist", "loihi", "spinnaker", "truenorth", "brainscales2") == {
        "loihi": (False, "AXONS"),
        "spinnaker": (True, ""),
        "truenorth": (False, "DECAY"),
        "brainscales2": (False, "FAN_IN"),
    }
    found = verdicts(find("plif-nmnist"), [registry.get("loihi"), registry.get("brainscales2")])
    assert "linear_lif[0]" in found[0].reason
    assert "8193 input axons" in found[0].reason
    assert "8192 sources" in found[1].reason


class Unlimited:
    """A chip that refuses nothing, but maps a network to say so."""

    def __init__(self, counted: bool) -> None:
        self.name, self.capabilities = "unlimited", Capabilities(neurons=("LIF",), counted=counted)
        self.asked: list[bool] = []

    def check(self, graph: Graph, *, resources: bool = True) -> list[Finding]:
        self.asked.append(resources)
        return []


def test_a_chip_that_does_not_count_is_not_asked_to_map_large_ones() -> None:
    for counted, fits in ((False, None), (True, True)):
        chip = Unlimited(counted)
        (found,) = verdicts(find("dense"), [chip], limit=1000)  # type: ignore[list-item]
        assert (found.fits, found.code) == (fits, "" if fits else "NOT_MAPPED")
        assert chip.asked == [counted]
    assert "594,432 synapses, mapped up to 1,000" in verdicts(find("dense"), [Unlimited(False)], 1000)[0].reason  # type: ignore[list-item]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_those_of_their_papers_sizes() -> None:
    """Up to 15 billion synapses, in the memory that their weights take."""
    found = {
        name: table(name, "loihi", "spinnaker", "brainscales2") for name in ("plif-gesture", "sew-resnet34", "vgg16")
    }
    assert found["plif-gesture"] == {"loihi": (True, ""), "spinnaker": (False, "CORES"), "brainscales2": (True, "")}
    for name in ("sew-resnet34", "vgg16"):
        assert found[name] == {k: (False, v) for k, v in
                               (("loihi", "AXONS"), ("spinnaker", "CORES"), ("brainscales2", "FAN_IN"))}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plif-gesture-lean", "sew-resnet18-small", "vgg-small", "ms-resnet18-small"])
def test_networks_of_many_layers_are_mapped(name: str) -> None:
    found = table(name, "loihi", "spinnaker", "truenorth", limit=50_000_000)
    code = "DECAY" if name.startswith("plif") else "LI_READOUT"
    assert found == {"loihi": (True, ""), "spinnaker": (True, ""), "truenorth": (False, code)}


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "dense", "recurrent-shd", "--fits", "--target", "loihi,truenorth", "--json"]) == 0
    rows = {r["name"]: r for r in json.loads(capsys.readouterr().out)}
    assert rows["dense"]["parameters"] == 2312 * 256 + 256 * 10 + 2 * 256
    assert rows["dense"]["chips"]["loihi"]["fits"] is True
    assert rows["recurrent-shd"]["chips"]["truenorth"]["code"] == "LI_READOUT"
    assert rows["recurrent-shd"]["input_shape"] == [700]
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert "sew-resnet34" in text
    assert "21,797,672" in text
    assert main(["models", "dense", "--fits", "--target", "truenorth"]) == 0
    assert "dense on truenorth: no, readout" in capsys.readouterr().out
    assert main(["models", "plif-nmnist", "--fits", "--target", "spinnaker"]) == 0
    assert "62,260,224" in capsys.readouterr().out
    assert main(["models", "densee"]) == 2
    assert "did you mean 'dense'" in capsys.readouterr().err
    assert main(["models", "--limit", "0"]) == 2
