"""Which chips take which architecture, and why not: the table of `snnkit models`."""

from __future__ import annotations

import json

import pytest

from snnkit.cli.main import main
from snnkit.models import find
from snnkit.targets import registry
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


def test_large_ones_are_refused_for_their_kinds_of_layers_or_not_mapped() -> None:
    assert table("plif-nmnist", "loihi", "truenorth") == {"loihi": (None, "NOT_MAPPED"), "truenorth": (False, "DECAY")}
    assert table("vgg16", "truenorth") == {"truenorth": (False, "LI_READOUT")}


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
    assert main(["models", "vgg16", "--fits", "--target", "truenorth,spinnaker", "--json"]) == 0
    chips = json.loads(capsys.readouterr().out)[0]["chips"]
    assert chips["truenorth"]["stand_in"] is True
    assert (chips["spinnaker"]["fits"], chips["spinnaker"]["stand_in"]) == (None, True)
    assert rows["dense"]["chips"]["loihi"]["stand_in"] is False
    assert main(["models", "vgg16", "--fits", "--target", "truenorth"]) == 0
    text = capsys.readouterr().out
    assert "its size would need was not counted" in " ".join(text.split())
    assert "stand-in" in text
    assert main(["models", "densee"]) == 2
    assert "did you mean 'dense'" in capsys.readouterr().err
    assert main(["models", "--limit", "0"]) == 2
