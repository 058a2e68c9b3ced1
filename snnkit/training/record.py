"""What a run remembers of its making, and the comparison that a resume needs."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnkit import __version__
from snnkit.errors import ResumeError
from snnkit.training import recipes
from snnkit.training.run import FORMAT
from snnkit.training.start import Start

if TYPE_CHECKING:
    from snnkit.data.module import FrameDataModule
    from snnkit.training.settings import Reader

FREE_KEYS = ("num_workers", "progress", "root", "cache_dir")
"""Settings of data that may change on a resume: where and how they are read (the digest tells whether they are the
same)."""

FREE_TRAINER_KEYS = ("trainer.devices", "trainer.num_nodes", "trainer.cuda_graphs")
"""Settings of the trainer that may change on a resume, as the number of threads: they change roundings only."""


def versions() -> dict[str, str]:
    """Versions of what takes part in training."""
    out = {"snnkit": __version__, "python": platform.python_version()}
    for name in ("torch", "lightning", "numpy", "numba"):
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return out


def make_record(
    recipe: str | Path | Mapping[str, Any],
    settings: dict[str, Any],
    data: FrameDataModule,
    reader: Reader,
    start: Start | None,
) -> dict[str, Any]:
    """What `run.json` holds; see `snnkit.training.run`."""
    import torch

    name = "custom"
    if start is not None:
        name = f"{start.name} (fine-tuned)"
    elif not isinstance(recipe, Mapping):
        plain = str(recipe).removesuffix(".yaml").removeprefix("recipes/")
        name = plain if plain in recipes.names() else Path(recipe).stem
    record: dict[str, Any] = {
        "format": FORMAT,
        "recipe": name,
        "settings": settings,
        "data": data.describe(),
        "seed": settings["seed_everything"],
        "precision": settings["trainer"]["precision"],
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "machine": {"processor": platform.machine(), "system": platform.system()},
        "allow_code": list(reader.allow),
    }
    if start is not None:
        record["start"] = start.describe()
    return record


def flatten(value: Any, key: str = "") -> dict[str, Any]:
    """Nested mappings and lists as dotted keys."""
    if isinstance(value, Mapping):
        pairs: Iterable[tuple[str, Any]] = ((f"{key}.{k}" if key else str(k), v) for k, v in value.items())
    elif isinstance(value, list) and any(isinstance(v, (Mapping, list)) for v in value):
        pairs = ((f"{key}[{i}]", v) for i, v in enumerate(value))
    else:
        return {key: value}
    return {k: v for name, inner in pairs for k, v in flatten(inner, name).items()}


def _free(part: str, key: str) -> bool:
    if part == "settings" and key in FREE_TRAINER_KEYS:
        return True
    return part == "settings" and key.startswith("data.") and key.rsplit(".", 1)[-1] in FREE_KEYS


def check_same(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise `ResumeError` with every difference between the interrupted run and this one."""
    differences = []
    for part in ("settings", "data", "start"):
        old, new = flatten(before.get(part, {})), flatten(now.get(part, {}))
        for key in dict.fromkeys([*old, *new]):
            if _free(part, key) or old.get(key) == new.get(key):
                continue
            label = key if part == "settings" else f"{part} {key}"
            differences.append(f"{label}: {_text(old, key)} → {_text(new, key)}")
    if differences:
        raise ResumeError(
            "the run cannot go on with other settings or data:\n    " + "\n    ".join(differences),
            why="its result would be neither this recipe's nor the other's",
            fix="resume with the old settings, or start a new run with another --out",
        )
    was, is_now = _processes(before), _processes(now)
    if was != is_now:
        print(
            f"note: the run had {was} processes, now {is_now}; its result will not be bit-equal to an unbroken run's",
            file=sys.stderr,
        )
    if before.get("threads") != now["threads"]:
        print(
            f"note: the run had {before.get('threads')} threads, now {now['threads']}; its result will not be "
            "bit-equal to an unbroken run's",
            file=sys.stderr,
        )


def _processes(record: Mapping[str, Any]) -> int:
    """How many trained; runs of earlier versions do not say, and had one."""
    trainer = record["settings"].get("trainer", {})
    return int(trainer.get("devices", 1) * trainer.get("num_nodes", 1))


def _text(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "(absent)"
