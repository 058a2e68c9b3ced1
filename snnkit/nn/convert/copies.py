"""Copies of a network's parts, in which what was shared is shared again."""

from __future__ import annotations

from torch import Tensor, nn


class Copies:
    """The copies made in one conversion."""

    def __init__(self) -> None:
        self._known: dict[int, Tensor] = {}

    def tensor(self, tensor: Tensor) -> Tensor:
        """A copy of a parameter or buffer, the same one however many layers share it."""
        known = self._known.get(id(tensor))
        if known is None:
            value = tensor.detach().clone()
            known = nn.Parameter(value, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else value
            self._known[id(tensor)] = known
        return known

    def whole(self, m: nn.Module) -> nn.Module:
        """A copy of a module with everything in it, with shared tensors shared."""
        new = self.shell(m)
        new._modules = {n: None if c is None else self.whole(c) for n, c in m._modules.items()}
        return new

    def shell(self, m: nn.Module) -> nn.Module:
        """A copy of a module with its own tensors copied, and no children yet."""
        new = type(m).__new__(type(m))
        for name, value in vars(m).items():
            new.__dict__[name] = value.copy() if name.startswith("_") and isinstance(value, dict) else value
        for kind in ("_parameters", "_buffers"):
            new.__dict__[kind] = {n: None if t is None else self.tensor(t) for n, t in getattr(m, kind).items()}
        new._modules = {}
        return new
