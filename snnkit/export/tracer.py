"""torch.fx tracing with snnkit's layers as leaves; a data-dependent branch becomes a finding, not the end."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import fx

from snnkit import nn as snn
from snnkit.encoding import Delta, Encoder
from snnkit.graph.findings import Finding

_INTERNAL = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]), "<eval_with_key>", "<frozen")
_LINE = "user_line"

JOINS = (snn.Add, snn.Concat, snn.Residual)
"""Layers of snnkit that only join others, so tracing goes through them."""


def user_line() -> str:
    """File and line of the innermost stack frame that belongs neither to torch nor to snnkit."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_INTERNAL):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return "unknown line"


def node_line(node: fx.Node) -> str:
    """File and line of the user's code that made an fx node, or the path of the layer of snnkit that did."""
    return str(node.meta.get(_LINE, node.name))


def known_base(cls: type) -> type | None:
    """The layer of snnkit that a class is or derives from; a Sequential is none, tracing goes through it."""
    bases = (c for c in cls.__mro__ if c is not snn.Sequential)
    return next((c for c in bases if c.__module__.split(".")[:2] == ["snnkit", "nn"]), None)


class TraceStopError(Exception):
    """Tracing cannot go on; the findings so far say why."""


class ExportTracer(fx.Tracer):
    """Records what cannot be traced as findings and goes on wherever that is possible."""

    def __init__(self) -> None:
        super().__init__()
        self.findings: list[Finding] = []

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        # torch's own record_stack_traces would import its compiler, which takes seconds.
        node = super().create_node(*args, **kwargs)
        inside = self.scope.module_type
        node.meta[_LINE] = self.scope.module_path if inside in JOINS else user_line()
        return node

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, JOINS):
            return False
        if isinstance(m, Encoder | Delta):
            return True  # told as a whole that it belongs to the host
        return known_base(type(m)) is not None or super().is_leaf_module(m, module_qualified_name)

    def _find(self, code: str, what: str, remedy: str) -> None:
        finding = Finding(code, user_line(), what, remedy=remedy)
        if finding not in self.findings:
            self.findings.append(finding)

    def to_bool(self, obj: fx.Proxy) -> bool:
        self._find(
            "DATA_DEPENDENT_BRANCH",
            "the model takes a branch that depends on a tensor's values; a chip's network is fixed",
            "decide in __init__, or from plain Python values",
        )
        return True

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        self._find(
            "LOOP_OVER_TENSOR",
            "the model iterates over a tensor, so its loop cannot be seen by the exporter",
            "give the whole [T, B, ...] sequence to snnkit's layers; they understand time",
        )
        raise TraceStopError

    def keys(self, obj: fx.Proxy) -> Any:
        self._find("UNSUPPORTED_CALL", "the model unpacks a mapping made from tensors", "pass tensors one by one")
        raise TraceStopError


def trace(model: torch.nn.Module) -> tuple[fx.Graph | None, list[Finding]]:
    """The fx graph of a model (None if tracing had to stop) and the findings on the way."""
    tracer = ExportTracer()
    try:
        return tracer.trace(model), tracer.findings
    except TraceStopError:
        return None, tracer.findings
    except Exception as error:
        where = "the model"
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if not frame.filename.startswith(_INTERNAL):
                where = f"{frame.filename}:{frame.lineno}"
                break
        tracer.findings.append(
            Finding(
                "CANNOT_TRACE",
                where,
                f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
                remedy="write the forward pass with snnkit's layers, +, torch.cat and flatten",
            )
        )
        return None, tracer.findings
