"""State dictionaries from files, and their pairing with a network's tensors."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snnkit.errors import CheckpointError, ParameterError, did_you_mean
from snnkit.training import checkpoint
from snnkit.training.start import Match, Weights

INSIDE = ("state_dict", "model_state_dict", "model", "net", "weights")
"""Keys under which files keep their state dictionary."""

DEPTH = 3
"""So many leading parts of a name may be somebody's wrapper: `module.`, `model.net.` …"""


def read_weights(path: str | Path) -> Weights:
    """A state dictionary from a `.safetensors` file, or from one of torch's, of which only plain tensors are read.

    A dictionary inside a checkpoint (`state_dict`, `model`, …) is found. Of a checkpoint of our own training, the
    network's tensors are taken, the averaged ones where there are any.

    Raises:
        CheckpointError: no such file, a damaged one, one whose loading would run code, one without tensors, or NaN.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        state: Any = _safetensors(path)
    else:
        state = checkpoint.load_tensors(path)
        for key in INSIDE:
            if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
                state = state[key]
                break
    fix = "give a file with a state dictionary: torch.save(model.state_dict(), FILE), or .safetensors"
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"{path} holds no state dictionary", fix=fix)
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: {name!r} is a {type(value).__name__}, no tensor", fix=fix)
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(
                f"{path}: {name} holds NaN or infinity", fix="give weights of a training that went well"
            )
    for prefix in ("average.", "net."):  # of our own last.ckpt
        own = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
        if own:
            state = own
            break
    return Weights(path.name, dict(state))


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist", fix="check the path") from error
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is damaged", why=str(error), fix="restore the file") from error


def pair(
    own: Mapping[str, Tensor], theirs: Mapping[str, Tensor], rename: Mapping[str, str], match: Match
) -> dict[str, str]:
    """For each of the network's names, the name of the tensor that it gets.

    Args:
        own: the network's tensors. theirs: the start's.
        rename: prefix of their names → prefix of ours; the longest that fits is used.
        match: "name" (leading parts that are left over, such as `module.`, may be dropped), or "order".

    Raises:
        ParameterError: a prefix to rename that no name has.
    """
    for prefix in rename:
        if not any(_begins(name, prefix) for name in theirs):
            heads = sorted({name.rsplit(".", 1)[0] for name in theirs})
            raise ParameterError(
                f"no tensor of the start is called {prefix}.…{did_you_mean(prefix, heads)}",
                fix="its tensors are " + ", ".join(list(theirs)[:12]),
            )
    named = {_renamed(name, rename): name for name in theirs}
    if match == "order":
        return _by_order(own, theirs, {ours: name for ours, name in named.items() if ours in own and rename})
    best: dict[str, str] = {}
    for drop in range(DEPTH + 1):
        shorter = {_drop(n, drop): name for n, name in named.items()}
        found = {n: shorter[n] for n in own if n in shorter}
        if len(found) > len(best):
            best = found
    return best


def _begins(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def _renamed(name: str, rename: Mapping[str, str]) -> str:
    prefix = max((p for p in rename if _begins(name, p)), key=len, default=None)
    return name if prefix is None else rename[prefix] + name[len(prefix) :]


def _drop(name: str, parts: int) -> str:
    return ".".join(name.split(".")[parts:])


def _by_order(own: Mapping[str, Tensor], theirs: Mapping[str, Tensor], fixed: Mapping[str, str]) -> dict[str, str]:
    """The longest runs of equal (last part of the name, shape), in order; `fixed` pairs come first."""
    mine = [n for n in own if n not in fixed]
    other = [n for n in theirs if n not in fixed.values()]
    keys = [[(n.rsplit(".", 1)[-1], tuple(s[n].shape)) for n in names] for s, names in ((own, mine), (theirs, other))]
    pairs = dict(fixed)
    for block in SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_matching_blocks():
        pairs |= {mine[block.a + k]: other[block.b + k] for k in range(block.size)}
    return pairs
