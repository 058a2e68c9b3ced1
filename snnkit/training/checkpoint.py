"""Tensors on disk: written atomically, read as plain tensors and numbers only."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from snnkit._io import write_bytes
from snnkit.errors import CheckpointError


def save_tensors(path: Path, value: Any) -> None:
    """Write tensors, numbers, texts, lists and dictionaries; the same value gives the same bytes. Atomic."""
    buffer = io.BytesIO()  # torch.save puts a file's name into the file, and a temporary file's name is random
    torch.save(value, buffer)
    write_bytes(path, buffer.getvalue())


def load_tensors(path: Path, device: str = "cpu") -> Any:
    """Read a checkpoint with `weights_only=True` and no added safe globals: nothing in it can run code.

    Raises:
        CheckpointError: the file is missing, damaged, or holds anything but plain values and tensors.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} does not exist", fix="give the folder of a finished or interrupted run"
        ) from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} cannot be read as plain tensors",
            why="it is damaged, or holds objects whose loading would run code; neither is loaded",
            fix="use a checkpoint written by snnkit",
        ) from error
    except (RuntimeError, EOFError, zipfile.BadZipFile, ValueError, KeyError, UnicodeDecodeError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is damaged", why=text, fix="restore the file, or train again") from error


def weights_digest(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors, in the order of names."""
    h = hashlib.sha256()
    for name in sorted(state):
        t = state[name].detach().cpu().contiguous()
        h.update(f"{name}\0{t.dtype}\0{tuple(t.shape)}\0".encode())
        h.update(t.view(-1).view(torch.uint8).numpy().tobytes() if t.numel() else b"")
    return h.hexdigest()


def load_into(module: torch.nn.Module, state: Any, source: os.PathLike[str] | str) -> None:
    """Load a state dictionary, all of it.

    Raises:
        CheckpointError: names or shapes differ from the module's; lists them.
    """
    if not isinstance(state, Mapping) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise CheckpointError(f"{source} holds no weights", fix="use a checkpoint written by snnkit")
    own = module.state_dict()
    missing = [n for n in own if n not in state]
    extra = [n for n in state if n not in own]
    shapes = [
        f"{n} is {list(state[n].shape)}, the network has {list(own[n].shape)}"
        for n in own
        if n in state and state[n].shape != own[n].shape
    ]
    if missing or extra or shapes:
        parts = [f"missing: {', '.join(missing)}"] * bool(missing) + [f"unknown: {', '.join(extra)}"] * bool(extra)
        raise CheckpointError(
            f"{source} does not fit the network ({'; '.join(parts + shapes)})",
            fix="the checkpoint and the run's settings belong together; restore both from the same run",
        )
    module.load_state_dict(dict(state))
