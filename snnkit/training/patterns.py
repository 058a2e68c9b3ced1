"""Layers named by a path or a pattern."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import torch

from snnkit.errors import ParameterError, did_you_mean


def matching(net: torch.nn.Module, pattern: str, purpose: str) -> list[str]:
    """The paths in a network that match `pattern` (with `*` and `?`); each stands for all below it.

    Raises:
        ParameterError: none does; `purpose` says what for.
    """
    paths = [name for name, _ in net.named_modules() if name]
    hits = [name for name in paths if fnmatchcase(name, pattern)]
    if not hits:
        raise ParameterError(
            f"no layer matches {pattern!r} to {purpose}{did_you_mean(pattern, paths)}",
            fix="the layers are " + ", ".join(paths),
        )
    return hits


def factors(net: torch.nn.Module, slow: Mapping[str, float]) -> dict[str, float]:
    """Learned tensor → factor on its learning rate, for those that a pattern names; the last pattern that fits counts.

    Raises:
        ParameterError: a pattern that no layer matches, or layers without anything to learn.
    """
    found: dict[str, float] = {}
    for pattern, factor in slow.items():
        layers = matching(net, pattern, "slow down")
        names = [n for n, _ in net.named_parameters() if any(n.startswith(path + ".") for path in layers)]
        if not names:
            raise ParameterError(f"the layers {pattern!r} have nothing to learn", fix="name layers with weights")
        found |= dict.fromkeys(names, float(factor))
    return found
