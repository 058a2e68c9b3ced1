"""What a network takes from the weights it starts from: tensor by tensor, with the reason where one is not kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from snnkit import nn as snn
from snnkit.data.frame_settings import FrameSettings
from snnkit.data.module import FrameDataModule
from snnkit.errors import CheckpointError, UsageError
from snnkit.training.pixels import changed_pixels, resampled
from snnkit.training.settings import Reader, build
from snnkit.training.start import Start
from snnkit.training.weights import pair

NEW_HEAD = "the head is new"
State = Literal["kept", "resampled", "remade", "missing", "unexpected", "setting"]


@dataclass(frozen=True)
class Row:
    """One tensor. state: kept, resampled, remade (another shape), missing (the start has none), unexpected (the network
    has none) or setting (changed by the user). shape: the network's. start: the start's. why: in words."""

    name: str
    state: State
    shape: tuple[int, ...] | None
    start: tuple[int, ...] | None
    why: str = ""


@dataclass
class Transfer:
    """What was taken over. head: "kept" or "new". ratio: by which power decays were changed, if they were.
    said: what the user should know, in sentences."""

    rows: list[Row]
    head: Literal["kept", "new"] = "kept"
    ratio: float | None = None
    said: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many tensors are in each state."""
        states = [row.state for row in self.rows]
        return {state: states.count(state) for state in dict.fromkeys(states)}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "head": self.head,
            "decay_power": self.ratio,
            "said": list(self.said),
            "tensors": [asdict(row) for row in self.rows],
        }


def transfer(
    net: torch.nn.Module, start: Start, settings: Mapping[str, Any], data: FrameDataModule, reader: Reader
) -> Transfer:
    """Put a start's weights into a network, in place.

    Args:
        net: as built from `settings`. start: where the weights are from, and how they are taken.
        settings: the resolved settings. data: the new data.
        reader: with the modules whose code is allowed.

    Raises:
        CheckpointError: too little of a file fits. UsageError: nothing of a run fits, or decays cannot be rescaled.
    """
    own, theirs = net.state_dict(), start.state
    pairs = pair(own, theirs, start.rename, start.match)
    done = Transfer([])
    heads = head_tensors(settings["model"]["net"], net, reader)
    new_head = _new_head(start, data, heads, own, pairs, done)
    pixels = changed_pixels(net, start, data) if start.sensor == "resample" else {}
    changed = _changed_settings(net, start, reader)
    taken: dict[str, Tensor] = {}
    for name, now in own.items():
        shape = tuple(now.shape)
        if name not in pairs:
            why = NEW_HEAD if name in heads and new_head else "the start has no such tensor"
            done.rows.append(Row(name, "missing", shape, None, why))
            continue
        given = theirs[pairs[name]]
        was = tuple(given.shape)
        if name in heads and new_head:
            done.rows.append(Row(name, "remade", shape, was, NEW_HEAD))
        elif name in changed:
            done.rows.append(Row(name, "setting", shape, was, "another value is set for this network"))
        elif was == shape:
            taken[name] = given
            done.rows.append(Row(name, "kept", shape, was))
        elif name in pixels:
            taken[name] = resampled(given, *pixels[name])
            done.rows.append(Row(name, "resampled", shape, was, "weights scaled as the picture scales"))
        else:
            done.rows.append(Row(name, "remade", shape, was, "another shape"))
    used = set(pairs.values())
    done.rows += [
        Row(n, "unexpected", None, tuple(t.shape), "the network has none") for n, t in theirs.items() if n not in used
    ]
    _enough(start, done, net, taken)
    net.load_state_dict(taken, strict=False)
    _say_sizes(start, data, done)
    if start.rescale_decays:
        done.ratio = start.step_ratio or step_ratio(start, data)
        scale_decays(net, done.ratio)
        done.said.append(f"decays are taken to the power {done.ratio:.4g}, the new length of a step over the old one")
    return done


def head_tensors(spec: Mapping[str, Any], net: torch.nn.Module, reader: Reader) -> set[str]:
    """Names of the tensors whose shape depends on the number of classes; where the network's class has no such
    setting, those of its last layer with weights."""
    arguments = dict(spec.get("init_args", {}))
    classes = arguments.get("num_classes")
    if isinstance(classes, int):
        larger = {**spec, "init_args": {**arguments, "num_classes": classes + 1}}
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            other = build(larger, None, reader).state_dict()
        return {n for n, t in net.state_dict().items() if n not in other or other[n].shape != t.shape}
    layers = [n for n, m in net.named_modules() if any(p.dim() > 1 for p in m.parameters(recurse=False))]
    return {f"{layers[-1]}.{n}" for n in net.get_submodule(layers[-1]).state_dict()} if layers else set()


def _new_head(
    start: Start,
    data: FrameDataModule,
    heads: set[str],
    own: Mapping[str, Tensor],
    pairs: Mapping[str, str],
    done: Transfer,
) -> bool:
    """Whether the head starts anew, and the sentence about it."""
    fits = all(n in pairs and start.state[pairs[n]].shape == own[n].shape for n in heads)
    before = None if start.run is None else tuple(start.run.data.get("classes", ()))
    differ = before is not None and before != data.classes
    new = start.head == "new" or not fits or (start.head == "auto" and differ)
    if start.head == "keep" and not fits:
        raise UsageError(
            f"the head cannot be kept: {', '.join(sorted(heads))} do not fit {data.num_classes} classes",
            fix='leave head="keep" out',
        )
    done.head = "new" if new else "kept"
    if new:
        layers = ", ".join(sorted({n.rsplit(".", 1)[0] for n in heads}))
        why = "as asked" if start.head == "new" else "its shape is another"
        if differ and start.head == "auto" and before is not None:
            count = (
                f"{len(before)} → {len(data.classes)} classes" if len(before) != len(data.classes) else "other classes"
            )
            why = f"{count} ({_names(before)} → {_names(data.classes)})"
        done.said.append(f"the head ({layers}) is made anew: {why}")
    elif differ:
        done.said.append("the head is kept, although the classes have other names")
    return new


def _names(classes: Sequence[str]) -> str:
    return ", ".join(classes[:4]) + (", …" if len(classes) > 4 else "")


def _enough(start: Start, done: Transfer, net: torch.nn.Module, taken: Mapping[str, Tensor]) -> None:
    learned = {n for n, _ in net.named_parameters()}
    got = len(learned & set(taken))
    if start.weights is None:
        if not got:
            raise UsageError(
                f"{start.name} has no weights in common with this network", fix="fine-tune with the run's own net"
            )
        return
    wanted = sum(row.name in learned and row.why != NEW_HEAD for row in done.rows)
    if not got or got < start.least * wanted:
        lost = [
            f"{r.name}: {r.state}" + (f" ({_shape(r.start)} → {_shape(r.shape)})" if r.state == "remade" else "")
            for r in done.rows
            if r.state == "unexpected" or (r.name in learned and r.name not in taken and r.why != NEW_HEAD)
        ]
        raise CheckpointError(
            f"{start.name} fits {got} of the network's {wanted} learned tensors",
            why="; ".join(lost[:12]) + ("; …" if len(lost) > 12 else ""),
            fix="rename its layers (--rename OLD=NEW), pair them by order (--match order), or accept it with --least 0",
        )


def _say_sizes(start: Start, data: FrameDataModule, done: Transfer) -> None:
    remade = sorted({r.name.rsplit(".", 1)[0] for r in done.rows if r.state == "remade" and r.why == "another shape"})
    scaled = [r.name for r in done.rows if r.state == "resampled"]
    if start.run is None:
        if remade:
            done.said.append(f"made anew, for another shape: {', '.join(remade)}")
        return
    was = start.run.data.get("sensor_size", [])
    old = FrameSettings.from_description(start.run.data["frames"])
    shape = start.run.config["model"]["net"].get("init_args", {}).get("input_shape")
    size = f"sensor {'×'.join(map(str, was))} → {'×'.join(map(str, data.sensor_size))}"
    if shape is not None:
        size += f" (a step {_shape(shape)} → {_shape(data.input_shape)})"
    if remade:
        done.said.append(f"{size}: made anew, because the shape is another: {', '.join(remade)}; the rest is kept")
    elif scaled:
        done.said.append(f"{size}: the weights of {', '.join(scaled)} are scaled as the picture scales")
    elif list(was) != list(data.sensor_size):
        all_but = "all weights but the head's" if done.head == "new" else "all weights"
        done.said.append(f"{size}: {all_but} are kept")
    if old.steps != data.T:
        done.said.append(f"{old.steps} → {data.T} steps: weights do not depend on it"
                         + ("" if start.rescale_decays else "; decays are those of a step and are kept"))  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------- time
def step_ratio(start: Start, data: FrameDataModule) -> float:
    """New length of a step over the old one.

    Raises:
        UsageError: one of them is not known.
    """
    old = None if start.run is None else FrameSettings.from_description(start.run.data["frames"]).dt_us
    new = data.frames.dt_us
    if not old or not new:
        unknown = "the start's" if not old else "the new data's"
        raise UsageError(
            f"{unknown} length of a step is not known",
            why="it takes a fixed window (window_us) and bins of equal time",
            fix="give the ratio new/old with --step-ratio",
        )
    return new / old


def scale_decays(net: torch.nn.Module, power: float) -> None:
    """Every decay of a neuron layer becomes decay^power, fixed and learned ones; 0 and 1 stay."""
    with torch.no_grad():
        for module in net.modules():
            if not isinstance(module, snn.Neuron):
                continue
            for name, buffer in module.named_buffers(recurse=False):
                if name.startswith("decay") and name.endswith("_fixed"):
                    buffer.copy_(buffer.double().pow(power))
            for name, parameter in module.named_parameters(recurse=False):
                if name.startswith("decay") and name.endswith("_logit"):
                    decay = torch.sigmoid(parameter.double()).pow(power)
                    parameter.copy_(torch.logit(decay, eps=1e-6))


def _changed_settings(net: torch.nn.Module, start: Start, reader: Reader) -> set[str]:
    """Decays and thresholds that are settings and were set to another value than the start's network was built with."""
    if start.run is None:
        return set()
    with torch.random.fork_rng(devices=[]):
        before = dict(build(start.run.config["model"]["net"], None, reader).named_buffers())
    settings = {
        f"{path}.{name}": buffer
        for path, module in net.named_modules()
        if isinstance(module, snn.Neuron)
        for name, buffer in module.named_buffers(recurse=False)
    }
    return {
        n for n, b in settings.items() if n in before and (b.shape != before[n].shape or not torch.equal(b, before[n]))
    }


def _shape(shape: Sequence[int] | None) -> str:
    return "" if shape is None else "×".join(map(str, shape)) or "1"


def describe_rows(rows: Iterable[Row]) -> list[list[str]]:
    """Rows for a table: tensor, what became of it, shape at the start, shape now, why."""
    return [[r.name, r.state, _shape(r.start), _shape(r.shape), r.why] for r in rows]
