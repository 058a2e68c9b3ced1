"""The validation report: report.json for programs, report.md for terminals, report.html for people.

Equal results give equal bytes: no dates, no random ids. The page needs no network and runs no script.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnkit._io import canonical_json, write_text
from snnkit.errors import ParameterError, UsageError
from snnkit.validation import report_html, report_markdown
from snnkit.validation.report_content import build, judge

JSON, MARKDOWN, HTML = "report.json", "report.md", "report.html"

__all__ = ["build", "judge", "load_report", "write_reports"]


def write_reports(folder: str | os.PathLike[str], result: Mapping[str, Any]) -> dict[str, Path]:
    """Write report.json, report.md and report.html, each atomically.

    Args:
        folder: of the descriptor; made if it is not there.
        result: what `validate` returns; every key but `name` and `target` may be missing. Numpy values are
            taken as plain ones, numbers that are not finite as missing.

    Returns:
        File name → path.

    Raises:
        ParameterError: `name` or `target` is missing, or a value is of no JSON type.
    """
    plain = _plain(result, "result")
    assert isinstance(plain, dict)
    for key in ("name", "target"):
        if not isinstance(plain.get(key), str):
            raise ParameterError(f"the validation result has no {key!r}", fix="give what validate() returned")
    from snnkit.validation.report_pictures import draw

    plain = json.loads(canonical_json(plain))  # the order of keys that a report built again from report.json sees
    drawn = draw(plain)
    made = build(plain, {key: caption for key, (caption, _) in drawn.items()})
    contents = {
        JSON: canonical_json(plain),
        MARKDOWN: report_markdown.render(made),
        HTML: report_html.render(made, {key: svg for key, (_, svg) in drawn.items()}),
    }
    paths = {name: Path(folder) / name for name in contents}
    for name, path in paths.items():
        write_text(path, contents[name])
    return paths


def load_report(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What report.json of a descriptor holds.

    Raises:
        UsageError: there is no report, or it is damaged; says how to get one.
    """
    path = Path(folder)
    how = f"snnkit validate RUN {path}  (RUN is the folder of the trained run)"
    if not path.is_dir():
        raise UsageError(f"{path} is not a descriptor folder", fix="name a folder NAME.snnx written by `snnkit export`")
    try:
        content = json.loads((path / JSON).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} has no report yet", why="no validation was run on it", fix=how) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path / JSON} is damaged ({error})", fix=how) from None
    if not isinstance(content, dict):
        raise UsageError(f"{path / JSON} is no report", fix=how)
    return content


def _plain(value: Any, where: str) -> Any:
    """Plain JSON values of numpy scalars, arrays, tuples and mappings."""
    if hasattr(value, "tolist") and not isinstance(value, (str, bytes)):
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _plain(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
    raise ParameterError(f"{where} is a {type(value).__name__}", fix="give numbers, texts, lists and mappings only")
