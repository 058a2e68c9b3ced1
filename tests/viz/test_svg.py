"""SVG for pages: equal bytes, colours that follow the page, unique ids."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np

from snnkit import viz
from snnkit.viz.style import DARK, LIGHT

SPIKES = np.random.default_rng(1).random((20, 40)) < 0.1


def test_equal_figures_give_equal_bytes() -> None:
    first, second = (viz.to_svg(viz.raster(SPIKES, ~SPIKES), "a") for _ in range(2))
    assert first == second


def test_it_is_xml_without_dates_and_outside_references() -> None:
    svg = viz.to_svg(viz.confusion(np.eye(3) * 4), "m", 'a "label" & <more>')
    ElementTree.fromstring(svg)
    assert "date" not in svg.lower()
    assert not re.search(r'(?:href|src)="(?!#)', svg)


def test_ids_are_those_of_the_picture() -> None:
    svg = viz.to_svg(viz.raster(SPIKES), "mine")
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert all(i.startswith("mine-") for i in ids)
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', svg)) <= set(ids)


def test_colours_are_variables() -> None:
    svg = viz.to_svg(viz.accuracy_bars({"torch": 0.5}), "a")
    assert f"var(--viz-torch, {LIGHT['torch']})" in svg
    assert "fill: #0072b2" not in svg


def test_every_colour_has_one_meaning() -> None:
    assert LIGHT.keys() == DARK.keys()
    assert len(set(LIGHT.values())) == len(LIGHT)


def _luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_can_be_read_on_light_and_dark() -> None:
    """WCAG 2.1: text 4.5 to 1, graphics 2.3 to 1 and more (3 to 1 for all but the yellow of input axons)."""
    for scheme in (LIGHT, DARK):
        for name, colour in scheme.items():
            if name in ("surface", "tile", "grid"):
                continue
            a, b = sorted((_luminance(colour), _luminance(scheme["surface"])))
            least = 4.5 if name in ("ink", "muted") else 2.3 if name == "input_axons" else 3.0
            assert (b + 0.05) / (a + 0.05) >= least, name
