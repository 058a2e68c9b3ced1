"""Chips for these tests: every registered one, and copies of the template as packages of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from snnkit.targets import _template

TEMPLATE = Path(_template.__file__).parent


def copy_template(folder: Path, package: str, changes: Mapping[tuple[str, str], str] | None = None) -> Path:
    """The toy chip as a package of another name in `folder`, as whoever adds a chip makes it.

    Args:
        package: its name, also of the target.
        changes: new text by (file without .py, old text).
    """
    made = folder / package
    made.mkdir(parents=True)
    for source in sorted(TEMPLATE.glob("*.py")):
        text = source.read_text(encoding="utf-8").replace("snnkit.targets._template", package)
        text = text.replace('name="toy"', f'name="{package}"').replace('NAME = "toy"', f'NAME = "{package}"')
        for (file, old), new in (changes or {}).items():
            if file == source.stem:
                assert text.count(old) == 1, (file, old)
                text = text.replace(old, new)
        (made / source.name).write_text(text, encoding="utf-8")
    return made


def distribution(folder: Path, package: str) -> None:
    """What an installer writes beside a package that offers a target."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[snnkit.targets]\n{package} = {package}:TARGET\n", encoding="utf-8")
