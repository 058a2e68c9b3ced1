"""What a network is made of: whose class a module has, and whether it takes steps or sequences."""

from __future__ import annotations

from torch import nn

from snnkit.nn.convert import snntorch, spikingjelly
from snnkit.nn.sequential import Sequential

PEERS = (spikingjelly.PACKAGE, snntorch.PACKAGE)
KNOWN = "spikingjelly 2.0 and snntorch 1.0"


def package(module: nn.Module) -> str:
    """Top-level package of a module's class."""
    return type(module).__module__.split(".")[0]


def peer_base(module: nn.Module) -> type | None:
    """The peer's class that a class of somebody else derives from."""
    return next((c for c in type(module).__mro__ if c.__module__.split(".")[0] in PEERS), None)


def is_sequential(module: nn.Module) -> bool:
    """Whether it runs its children one after another and does nothing else."""
    return isinstance(module, nn.Sequential) and type(module).forward in (nn.Sequential.forward, Sequential.forward)


def is_multi_step(module: nn.Module) -> bool:
    """Whether the network takes whole sequences [T, B, …]: something of spikingjelly in it does.

    What stands inside a container that goes through the steps is of step mode "s" and does not count.
    """
    if package(module) in PEERS and spikingjelly.step_mode(module) == "m":
        return True
    return not spikingjelly.is_container(module) and any(is_multi_step(child) for child in module.children())


def of_a_peer(module: nn.Module) -> bool:
    """Whether anything in it is a peer's."""
    return any(peer_base(part) is not None for part in module.modules())


def everything(module: nn.Module) -> list[nn.Module]:
    """Every module, as often as it stands in the network."""
    inside = (everything(child) for child in module._modules.values() if child is not None)
    return [module, *(part for parts in inside for part in parts)]


def join(path: str, name: str) -> str:
    """The path of a child."""
    return f"{path}.{name}" if path else name
