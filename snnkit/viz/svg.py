"""Figures as SVG text that follows a page's light or dark scheme, equal bytes for equal figures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from snnkit.viz.style import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NUMBER = re.compile(r"-?\d+\.\d+")
_HEAD = re.compile(r"^.*?(?=<svg)", re.S)
_SIZE = re.compile(r' (width|height)="([\d.]+)pt"')
_METADATA = re.compile(r"<metadata>.*?</metadata>\s*", re.S)
_PLAIN_ID = re.compile(r'(<g) id="[\w.]+_\d+"')
_STYLE = re.compile(r"<defs>\s*<style.*?</style>\s*</defs>\s*", re.S)
_ROUND = "stroke-linejoin: round; stroke-linecap: butt"
_ID = re.compile(r'(\bid="|\bhref="#|url\(#)')
_FAMILY = re.compile(r"font-family: [^;\"]+; ")


def to_svg(picture: Figure | Axes, key: str = "figure", label: str = "") -> str:
    """The picture as one `<svg>` element for an HTML page.

    Colours become `var(--viz-NAME, #colour)`, text stays text, coordinates are rounded to 0.01 pt.

    Args:
        picture: a figure, or axes in one.
        key: prefix of all ids; different for each picture of a page.
        label: what the picture shows, for screen readers.
    """
    import io
    import warnings
    from html import escape

    import matplotlib
    from matplotlib.figure import Figure as FigureClass

    figure = picture if isinstance(picture, FigureClass) else picture.get_figure(root=True)
    assert figure is not None
    out = io.StringIO()
    with (
        matplotlib.rc_context({"svg.hashsalt": "snnkit", "svg.fonttype": "none", "path.simplify": False}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the page's own fonts show them
        figure.savefig(
            out,
            format="svg",
            transparent=True,
            bbox_inches="tight",
            pad_inches=0.04,
            metadata={"Date": None, "Creator": None},
        )
    text = _STYLE.sub("", _METADATA.sub("", _HEAD.sub("", out.getvalue(), count=1)))
    text = re.sub(r' d="([^"]+)"', lambda m: f' d="{_short(m[1])}"', text)
    text = _PLAIN_ID.sub(r"\1", text)
    text = _ID.sub(rf"\g<1>{key}-", text)
    text = _FAMILY.sub("", text)
    for name, value in LIGHT.items():
        text = text.replace(value, f"var(--viz-{name}, {value})")
    start = f'<svg role="img" aria-label="{escape(label or key, quote=True)}" style="{_ROUND}"'
    text = _SIZE.sub(lambda m: f' {m[1]}="{float(m[2]) * 4 / 3:.0f}"', text, count=2)
    return text.replace("<svg", start, 1).rstrip() + "\n"


def _short(path: str) -> str:
    """Path data with two decimals and single spaces."""
    return " ".join(_NUMBER.sub(lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), path).split())
