"""Through a network: what each part becomes, and the report of it."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, replace

from torch import nn

from snnkit.errors import ConversionError, ParameterError
from snnkit.nn.convert import snntorch, spikingjelly, torch_layers
from snnkit.nn.convert.block import (
    Block,
    Options,
    RefusedError,
    class_name,
    describe,
    frozen_scale,
    is_power_of_two,
)
from snnkit.nn.convert.copies import Copies
from snnkit.nn.convert.report import ConvertedLayer
from snnkit.nn.convert.structure import (
    KNOWN,
    PEERS,
    everything,
    is_multi_step,
    is_sequential,
    join,
    of_a_peer,
    package,
    peer_base,
)

STEPWISE = (
    "a module of one's own is kept with its forward, which must then work on whole sequences [T, B, …]; of code for "
    "one step, or with a loop over time, that cannot be told"
)
FIX_SPIKINGJELLY = (
    'functional.set_step_mode(net, "m") where its forward does not loop over time, or '
    "snn.convert_from(torch.nn.Sequential(net.fc1, net.lif1, …), x) with the layers in their order"
)
FIX_SNNTORCH = (
    "give the layers in their order, whatever init_hidden says: "
    "snn.convert_from(torch.nn.Sequential(net.fc1, net.lif1, net.fc2, net.lif2), x)"
)
FIX_UNKNOWN = (
    "where it has no memory, convert_from(…, rules={TheClass: snn.over_time}) runs it at each step; rules may hold any "
    "function from the old module to the new"
)


@dataclass
class Chain:
    """What stands before the next layer of a chain: the affine layer that can carry its gain, and its feature axes."""

    target: nn.Module | None = None
    row: int = -1
    axes: int | None = None


class Walk:
    """One conversion: call `convert` once.

    Args:
        module: the network.
        options: the settings of the conversion.
        axes: feature axes of its input, None where not known.
    """

    def __init__(self, module: nn.Module, options: Options, axes: int | None) -> None:
        self.root, self.options, self.axes = module, options, axes
        self.rows: list[ConvertedLayer] = []
        self.neurons: dict[str, tuple[nn.Module, nn.Module, float]] = {}
        """Path → the peer's neuron, ours, and what the peer's input is multiplied by before it reaches ours."""
        self.problems: list[tuple[str, RefusedError]] = []
        self.notes: list[str] = []
        self.multi_step = is_multi_step(module)
        self.copies = Copies()
        self.blocks: dict[int, Block] = {}
        parts = everything(module)
        self.times = Counter(id(m) for m in parts)
        distinct = {id(m): m for m in parts}.values()
        self.uses = Counter(id(p) for m in distinct for p in m._parameters.values() if p is not None)

    def convert(self) -> nn.Module:
        """The new network.

        Raises:
            ConversionError: it holds what cannot be converted; the message lists everything.
        """
        new = self.part("", self.root, self.multi_step, Chain(axes=self.axes))
        if self.problems:
            self._raise()
        return new

    def _raise(self) -> None:
        lines = []
        for path, problem in self.problems:
            module = self.root.get_submodule(path)
            lines.append(f"{path or '(model)'} {class_name(module)}: {problem.what}")
        fixes = list(dict.fromkeys(p.fix for _, p in self.problems if p.fix))
        what = lines[0] if len(lines) == 1 else f"{len(lines)} layers:\n  - " + "\n  - ".join(lines)
        raise ConversionError(f"cannot convert {what}", fix="\n       ".join(fixes))

    # ------------------------------------------------------------------------------------------------------------ parts
    def part(self, path: str, m: nn.Module, multi: bool, chain: Chain | None) -> nn.Module:
        """One module and what is in it. `multi`: it is given [T, B, …]; `chain`: where it stands in a Sequential."""
        rule = self.options.rules.get(type(m))
        if rule is None and (is_sequential(m) or spikingjelly.is_container(m)):
            inside = self._inside(path, m, multi)
            new = nn.Sequential().train(m.training) if package(m) in PEERS else self.copies.shell(m)
            for name, child in m._modules.items():
                if child is not None:
                    new._modules[name] = self.part(join(path, name), child, inside, chain)
            return new
        if rule is None and self._is_own(m):
            return self._own(path, m, multi, chain)
        try:
            block = self._leaf(m, multi, chain)
        except RefusedError as problem:
            self.problems.append((path, problem))
            return nn.Identity()
        except ParameterError as error:
            self.problems.append((path, RefusedError(error.what, error.fix)))
            return nn.Identity()
        except AttributeError as error:
            if package(m) not in PEERS:
                raise
            what = f"it is not what its releases known here have under that name ({error})"
            self.problems.append((path, RefusedError(what, f"known are {KNOWN}")))
            return nn.Identity()
        return self._place(path, m, block, chain)

    def _inside(self, path: str, m: nn.Module, multi: bool) -> bool:
        """Whether the children of a Sequential or container are given whole sequences."""
        if not spikingjelly.is_container(m):
            return multi
        if type(m).__name__ == "StepModeContainer" and spikingjelly.step_mode(m) == "s":
            return multi
        if not multi:
            self.problems.append((path, RefusedError("it expects [T, B, …] inside something that runs step by step")))
        stateless = type(m).__name__ == "SeqToANNContainer" or not getattr(m, "stateful", True)
        for child in m.modules() if stateless else ():
            if spikingjelly.is_neuron(child):
                self.problems.append(
                    (path, RefusedError(
                        f"its {type(child).__name__} would see each step as a sample of its own",
                        "put neurons into layer.MultiStepContainer, or outside with step_mode='m'",
                    ))
                )  # fmt: skip
                break
        return False

    def _is_own(self, m: nn.Module) -> bool:
        if type(m).__module__.startswith(spikingjelly.MODELS):
            return True
        if type(m) in (nn.ModuleList, nn.ModuleDict):
            return True
        return not (torch_layers.is_torch(m) or package(m) == "snnkit" or peer_base(m) is not None)

    def _leaf(self, m: nn.Module, multi: bool, chain: Chain | None) -> Block:
        rule = self.options.rules.get(type(m))
        if rule is not None:
            new = rule(m)
            if not isinstance(new, nn.Module):
                raise RefusedError(f"the rule for {type(m).__name__} gives a {type(new).__name__}, not a module")
            return Block(new, exact=False, why="by your rule", neuron=bool(getattr(new, "spiking", False)))
        base = peer_base(m)
        if base is not None and package(m) not in PEERS:
            raise RefusedError(f"it derives from {base.__module__}.{base.__name__} and may do more", FIX_UNKNOWN)
        if self.times[id(m)] > 1 and (spikingjelly.is_neuron(m) or snntorch.is_neuron(m)):
            raise RefusedError("it stands twice in the network, and keeps its state from one place to the other",
                               "give each place a neuron of its own")  # fmt: skip
        if id(m) in self.blocks:
            return replace(self.blocks[id(m)], affine=False)
        block = self._new(m, multi, chain)
        self.blocks[id(m)] = block
        return block

    def _new(self, m: nn.Module, multi: bool, chain: Chain | None) -> Block:
        kind = package(m)
        if kind == spikingjelly.PACKAGE:
            if type(m).__module__.startswith("spikingjelly.activation_based.layer"):
                self._mode(m, multi)
                return spikingjelly.layer(m, self.copies.tensor)
            if spikingjelly.is_neuron(m):
                self._mode(m, multi)
                return spikingjelly.neuron(m, self.options)
        elif kind == snntorch.PACKAGE:
            if snntorch.is_neuron(m):
                if multi:
                    raise RefusedError("it runs step by step in a network of step mode 'm'", "do not mix the two")
                return snntorch.neuron(m, chain.axes if chain is not None else None, self.options, self.copies.tensor)
        elif kind == "snnkit":
            return Block(copy.deepcopy(m), why="a layer of snnkit, as it is")
        elif torch_layers.is_torch(m):
            if multi and chain is None:
                return Block(self.copies.whole(m), why="called by your own forward: as it is")
            if multi:
                return torch_layers.convert_over_sequence(m, self.copies.tensor)
            return torch_layers.convert(m, type(m), self.copies.tensor)
        raise RefusedError("it has no counterpart here", FIX_UNKNOWN)

    @staticmethod
    def _mode(m: nn.Module, multi: bool) -> None:
        mode = spikingjelly.step_mode(m)
        if mode == "s" and multi and type(m).__name__ != "Linear":
            raise RefusedError(
                'it has step_mode "s" in a network of step mode "m", so it would take [T, B, …] for one step',
                'functional.set_step_mode(net, "m"), or put it into layer.MultiStepContainer',
            )
        if mode == "m" and not multi:
            raise RefusedError(
                'it has step_mode "m" inside something that runs step by step', 'set its step_mode to "s"'
            )

    def _place(self, path: str, m: nn.Module, block: Block, chain: Chain | None) -> nn.Module:
        """A block in its place: its gain in the layer before it or in one of its own, its row in the report."""
        new, scale, why = block.module, 1.0, block.why
        if block.gain is not None:
            if chain is not None and chain.target is not None and is_power_of_two(block.gain):
                torch_layers.scale_affine(chain.target, block.gain)
                scale = block.gain
                before = self.rows[chain.row]
                add = f"weights and bias times {block.gain:g}, the input gain of {path!r}: exact"
                self.rows[chain.row] = replace(before, why="; ".join(filter(None, (before.why, add))))
            else:
                new = nn.Sequential(frozen_scale(block.gain), new).train(m.training)
                why = "; ".join(filter(None, (why, f"the input's gain {block.gain:.6g} is a layer of its own")))
        if block.neuron:
            self.neurons[path] = (m, new, scale)
        was = block.was or describe(m)
        self.rows.append(ConvertedLayer(path, f"{package(m)} {was}", describe(new), block.exact, why))
        if m._forward_hooks or m._forward_pre_hooks:
            self.notes.append(f"{path!r} has forward hooks, which are not taken along")
        if chain is not None:
            if (
                block.affine
                and self.times[id(m)] == 1
                and all(self.uses[id(p)] == 1 for p in m._parameters.values() if p is not None)
            ):
                chain.target, chain.row = block.module, len(self.rows) - 1
            elif not block.homogeneous:
                chain.target = None
            chain.axes = block.axes or chain.axes
        return new

    # --------------------------------------------------------------------------------------------------------- own code
    def _own(self, path: str, m: nn.Module, multi: bool, chain: Chain | None) -> nn.Module:
        """A module of somebody's own: its forward stays, the peers' layers in it become ours."""
        if chain is not None:
            chain.target, chain.axes = None, None
        if not multi:
            of_snntorch = any(package(part) == snntorch.PACKAGE for part in m.modules())
            knows = of_a_peer(m)
            what = (
                "it is a module of one's own in a network that runs step by step"
                if knows
                else "it is a module of one's own, without a layer that is known here"
            )
            fix = FIX_SNNTORCH if of_snntorch else FIX_SPIKINGJELLY if knows else FIX_UNKNOWN
            self.problems.append((path, RefusedError(f"{what} ({STEPWISE})" if knows else what, fix)))
            return nn.Identity()
        if not of_a_peer(m):
            self.rows.append(ConvertedLayer(path, describe(m), describe(m), True, "your own code, as it is"))
            return self.copies.whole(m)
        self._refuse_hidden_layers(path, m)
        new = self.copies.shell(m)
        for name, child in m._modules.items():
            if child is None:
                new._modules[name] = None
                continue
            converted = self.part(join(path, name), child, True, None)
            if spikingjelly.step_mode(child) is not None and not hasattr(converted, "step_mode"):
                converted.step_mode = "m"  # type: ignore[assignment]  # a forward may ask for it
            new._modules[name] = converted
        return new

    def _refuse_hidden_layers(self, path: str, m: nn.Module) -> None:
        """A layer in a plain list is no child, and would stay the peer's."""
        for name, value in vars(m).items():
            if name.startswith("_"):
                continue
            held = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
            if any(isinstance(item, nn.Module) for item in held):
                self.problems.append(
                    (path, RefusedError(f"its {name!r} holds layers in a plain {type(value).__name__}",
                                        "use torch.nn.ModuleList or torch.nn.ModuleDict"))
                )  # fmt: skip
