"""A report as Markdown, for terminals and for reading as plain text."""

from __future__ import annotations

import re

from snnkit.validation.report_parts import Block, Bullets, Cell, Code, Picture, Report, Strong, Table, Text

_SPECIAL = re.compile(r"([\\`*\[\]<|])")
_MARKS = {"good": "✓ ", "bad": "✗ ", "warn": "! ", "": ""}


def render(report: Report) -> str:
    """The whole report; pictures are named, report.html shows them."""
    lines = [f"# {escape(report.title)}", "", escape(report.subtitle), ""]
    lines += [f"**{_MARKS[report.tone]}{escape(report.verdict)}**", ""]
    lines += [
        f"- {escape(t.label)}: **{escape(t.value)}**" + (f" ({escape(t.note)})" if t.note else "") for t in report.tiles
    ]
    lines += ["", "## What this does not say", ""]
    lines += [f"- {_text(t)}" for t in report.limits]
    for section in report.sections:
        lines += ["", f"## {escape(section.title)}", ""]
        for block in section.blocks:
            lines += [*_block(block), ""]
    return "\n".join(lines).rstrip() + "\n"


def escape(text: str) -> str:
    """Words that Markdown shows as they are, on one line."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return _SPECIAL.sub(r"\\\1", flat)


def _block(block: Block) -> list[str]:
    if isinstance(block, Text):
        return [_text(block)]
    if isinstance(block, Bullets):
        return [f"- {_text(item)}" for item in block.items]
    if isinstance(block, Picture):
        return [f"(picture in report.html: {escape(block.caption)})"]
    return _table(block)


def _text(text: Text) -> str:
    out = []
    for span in text.spans:
        if isinstance(span, Code):
            out.append("`" + span.text.replace("`", "'").replace("\n", " ") + "`")
        elif isinstance(span, Strong):
            stripped = span.text.strip()
            out.append(f"**{escape(stripped)}**" + (" " if span.text.endswith(" ") else ""))
        else:
            lead, tail = span[:1].isspace(), span[-1:].isspace()
            out.append((" " if lead else "") + escape(span) + (" " if tail and span.strip() else ""))
    return "".join(out)


def _table(table: Table) -> list[str]:
    head = [escape(c) for c in table.columns]
    body = [[_cell(c) for c in row] for row in table.rows]
    first_number = len(head) - table.numbers
    widths = [max([3, *(len(row[k]) for row in (head, *body))]) for k in range(len(head))]

    def line(cells: list[str]) -> str:
        set_cells = (c.rjust(w) if k >= first_number else c.ljust(w) for k, (c, w) in enumerate(zip(cells, widths)))
        return "| " + " | ".join(set_cells) + " |"

    rule = "|".join(("-" * (w + 1) + ":") if k >= first_number else "-" * (w + 2) for k, w in enumerate(widths))
    note = ["", escape(table.note)] if table.note else []
    return [line(head), f"|{rule}|", *(line(row) for row in body), *note]


def _cell(cell: Cell) -> str:
    return (_MARKS[cell.tone] if cell.tone in ("good", "bad") else "") + escape(cell.text)
