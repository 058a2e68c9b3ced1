"""A report as one HTML page: no script, nothing from outside, light and dark, every word escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from snnkit.validation.report_parts import Block, Bullets, Cell, Code, Picture, Report, Strong, Table, Text, Tile
from snnkit.viz.style import DARK, LIGHT

_MARKS = {"good": "✓", "bad": "✗", "warn": "!", "": "i"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --good: #0b7a4b; --good-soft: #e3f4ec; --bad: #b3261e;
  --bad-soft: #fbe9e7; --warn: #8a5a00; --warn-soft: #fdf1d8; --bar: #0072b21f; LIGHT }
@media (prefers-color-scheme: dark) { :root { --page: #0f1217; --good: #55d39b; --good-soft: #12291f; --bad: #ff8a80;
  --bad-soft: #331715; --warn: #f2c05c; --warn-soft: #2e2410; --bar: #5db3ea2b; DARK } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--viz-ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif }
main { max-width: 1000px; margin: 0 auto; padding: 40px 20px 64px }
header p { margin: 4px 0 0; color: var(--viz-muted) }
h1 { font-size: 26px; line-height: 1.2; margin: 0; letter-spacing: -0.01em; overflow-wrap: anywhere }
h2 { font-size: 17px; margin: 0 0 14px }
.verdict { display: flex; gap: 16px; align-items: center; margin: 24px 0 0; padding: 20px 22px; border-radius: 12px;
  font-size: 18px; line-height: 1.4; font-weight: 600; background: var(--viz-tile); color: var(--viz-ink) }
.verdict b { flex: none; width: 38px; height: 38px; border-radius: 50%; display: grid; place-items: center;
  font-size: 20px; background: var(--viz-muted); color: var(--viz-surface) }
.verdict.good { background: var(--good-soft) } .verdict.good b { background: var(--good) }
.verdict.bad { background: var(--bad-soft) } .verdict.bad b { background: var(--bad) }
.verdict.warn { background: var(--warn-soft) } .verdict.warn b { background: var(--warn) }
.tiles { display: grid; grid-template-columns: repeat(3, 1fr); gap: 12px; margin: 14px 0 0 }
.tile, section { background: var(--viz-surface); border: 1px solid var(--viz-grid); border-radius: 12px }
.tile { padding: 14px 16px }
.tile span { display: block; font-size: 13px; color: var(--viz-muted); line-height: 1.35 }
.tile strong { display: block; font-size: 24px; font-weight: 650; margin: 2px 0; font-variant-numeric: tabular-nums }
section { margin: 14px 0 0; padding: 20px 22px }
section > :last-child { margin-bottom: 0 }
p { margin: 0 0 12px } ul { margin: 0 0 12px; padding-left: 20px } li { margin: 0 0 6px }
code { font: 0.9em ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  background: var(--viz-tile); border-radius: 4px; padding: 1px 4px; overflow-wrap: anywhere }
figure { margin: 0 0 16px } figcaption { font-size: 13px; color: var(--viz-muted); margin-top: 6px }
figure svg { display: block; max-width: 100%; height: auto }
.wide { overflow-x: auto; margin: 0 0 16px }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 500; color: var(--viz-muted); border-bottom: 1px solid var(--viz-muted);
  vertical-align: bottom }
th, td { padding: 6px 14px 6px 0 } td { border-bottom: 1px solid var(--viz-grid); vertical-align: top }
tr:last-child td { border-bottom: 0 } th:last-child, td:last-child { padding-right: 4px }
.n { text-align: right; white-space: nowrap } td:not(.n) { overflow-wrap: break-word; min-width: 4em }
td.share { background: linear-gradient(var(--bar), var(--bar)) no-repeat right / var(--share) calc(100% - 6px) }
td.good, td.bad, td.warn { white-space: nowrap }
td.good { color: var(--good); font-weight: 600 } td.bad { color: var(--bad); font-weight: 600 }
td.warn { color: var(--warn); font-weight: 600 }
summary { cursor: pointer; color: var(--viz-muted); margin: 0 0 10px; font-size: 14px }
footer { color: var(--viz-muted); font-size: 13px; margin: 18px 4px 0 }
@media (max-width: 640px) { .tiles { grid-template-columns: repeat(2, 1fr) } .tile strong { font-size: 20px } }
@media print { body { background: none } section, .tile { break-inside: avoid } main { padding: 0 } }
"""


def render(report: Report, pictures: Mapping[str, str]) -> str:
    """The page; `pictures` holds an `<svg>` element for each key that the report shows."""
    title = escape(report.title)
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}: validation report</title>",
        f"<style>{_style()}</style>",
        "</head>",
        "<body>",
        "<main>",
        f"<header><h1>{title}</h1><p>{escape(report.subtitle)}</p></header>",
        f'<div class="verdict {report.tone}"><b aria-hidden="true">{_MARKS[report.tone]}</b>'
        f"<span>{escape(report.verdict)}</span></div>",
        '<div class="tiles">',
        *(_tile(t) for t in report.tiles),
        "</div>",
        "<section><h2>What this does not say</h2>",
        _bullets(report.limits),
        "</section>",
    ]
    for section in report.sections:
        parts += [
            f"<section><h2>{escape(section.title)}</h2>",
            *(_block(b, pictures) for b in section.blocks),
            "</section>",
        ]
    parts += [
        "<footer>Written by snnkit. All figures of this page are in report.json.</footer>",
        "</main>",
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _style() -> str:
    def variables(colours: Mapping[str, str]) -> str:
        return " ".join(f"--viz-{name}: {value};" for name, value in colours.items())

    return _STYLE.replace("LIGHT", variables(LIGHT)).replace("DARK", variables(DARK))


def _tile(tile: Tile) -> str:
    colour = f' style="color: var(--{tile.tone})"' if tile.tone else ""
    note = f"<span>{escape(tile.note)}</span>" if tile.note else ""
    return (
        f'<div class="tile"><span>{escape(tile.label)}</span><strong{colour}>{escape(tile.value)}</strong>{note}</div>'
    )


def _block(block: Block, pictures: Mapping[str, str]) -> str:
    if isinstance(block, Text):
        return f"<p>{_text(block)}</p>"
    if isinstance(block, Bullets):
        return _bullets(block.items)
    if isinstance(block, Picture):
        return f"<figure>\n{pictures[block.key]}<figcaption>{escape(block.caption)}</figcaption></figure>"
    return _table(block)


def _bullets(items: tuple[Text, ...]) -> str:
    return "<ul>" + "".join(f"<li>{_text(item)}</li>" for item in items) + "</ul>"


def _text(text: Text) -> str:
    out = []
    for span in text.spans:
        if isinstance(span, Code):
            out.append(f"<code>{escape(span.text)}</code>")
        elif isinstance(span, Strong):
            out.append(f"<strong>{escape(span.text)}</strong>")
        else:
            out.append(escape(span))
    return "".join(out)


def _table(table: Table) -> str:
    first_number = len(table.columns) - table.numbers
    rows = ["".join(_cell(c, k >= first_number) for k, c in enumerate(row)) for row in table.rows]
    head = "".join(
        f"<th{' class=n' if k >= first_number else ''}>{escape(name)}</th>" for k, name in enumerate(table.columns)
    )
    lines = ["<table>"]
    if any(table.columns):
        lines.append(f"<thead><tr>{head}</tr></thead>")
    lines += ["<tbody>", *(f"<tr>{row}</tr>" for row in rows), "</tbody></table>"]
    made = '<div class="wide">' + "\n".join(lines) + "</div>"
    if table.note:
        made += f"<p>{escape(table.note)}</p>"
    return f"<details><summary>{escape(table.folded)}</summary>{made}</details>" if table.folded else made


def _cell(cell: Cell, is_number: bool) -> str:
    kinds = [k for k in ("n" if is_number else "", cell.tone, "share" if cell.share is not None else "") if k]
    kind = f' class="{" ".join(kinds)}"' if kinds else ""
    share = f' style="--share: {100 * cell.share:.1f}%"' if cell.share is not None else ""
    return f"<td{kind}{share}>{escape(cell.text)}</td>"
