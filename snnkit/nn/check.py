"""A tiny forward pass that finds shape mistakes and names the layer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from snnkit.errors import ShapeError, SnnkitError
from snnkit.nn.context import Pass, enter_learner, enter_pass, module_paths
from snnkit.nn.shapes import layer_name

STEPS, BATCH = 3, 5  # unlike each other and unlike STEPS * BATCH, so that a folded input is told from a time-first one

OURS = {
    torch.nn.Conv1d: "snn.Conv1d",
    torch.nn.Conv2d: "snn.Conv2d",
    torch.nn.Conv3d: "snn.Conv3d",
    torch.nn.ConvTranspose2d: "snn.ConvTranspose2d",
    torch.nn.AvgPool2d: "snn.AvgPool2d",
    torch.nn.AdaptiveAvgPool2d: "snn.AdaptiveAvgPool2d",
    torch.nn.MaxPool2d: "snn.MaxPool2d",
    torch.nn.Upsample: "snn.Upsample",
    torch.nn.BatchNorm1d: "snn.BatchNorm",
    torch.nn.BatchNorm2d: "snn.BatchNorm",
    torch.nn.BatchNorm3d: "snn.BatchNorm",
    torch.nn.Flatten: "snn.Flatten",
}
"""Layers of torch that do not know time, and their counterparts."""


class _Trail:
    """Follows a forward pass module by module."""

    def __init__(self) -> None:
        self.stack: list[tuple[torch.nn.Module, tuple[Any, ...]]] = []

    @contextlib.contextmanager
    def follow(self, model: torch.nn.Module) -> Iterator[None]:
        def enter(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
            self.stack.append((module, inputs))
            bare = OURS.get(type(module))
            x = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
            if bare is not None and x is not None and x.dim() >= 3 and x.shape[:2] == (STEPS, BATCH):
                raise ShapeError(
                    f"layer {layer_name(module)} is torch.nn.{type(module).__name__}, which does not know time, and "
                    f"gets an input [T, B, …] of {x.dim()} dimensions",
                    why="it would take the steps for samples and the samples for channels, or fail",
                    fix=f"use {bare}, which folds time and batch (from snnkit import nn as snn)",
                )

        def leave(module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            self.stack.pop()

        handles = []
        for module in model.modules():
            handles.append(module.register_forward_pre_hook(enter))
            handles.append(module.register_forward_hook(leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _tiny(x: Any) -> Any:
    if isinstance(x, Tensor) and x.dim() >= 2 and x.shape[0] and x.shape[1]:
        return x.detach()[:1, :1].expand(STEPS, BATCH, *x.shape[2:])
    return x


def explain_failure(model: torch.nn.Module, inputs: tuple[Any, ...]) -> ShapeError | None:
    """Why a forward pass fails, found by a tiny one: a ShapeError naming the layer, or None where that one is fine.

    The model's mode, statistics and gradients are left as they were.
    """
    trail = _Trail()
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad(), enter_pass(Pass(module_paths(model))), enter_learner(None), trail.follow(model):
            try:
                model(*(_tiny(x) for x in inputs))
            except ShapeError as error:
                return error
            except SnnkitError:
                raise
            except Exception as error:
                if not trail.stack:
                    return ShapeError(f"the model {type(model).__name__} fails: {error}")
                module, given = trail.stack[-1]
                shapes = ", ".join(str(tuple(_real(a, inputs))) for a in given if isinstance(a, Tensor))
                return ShapeError(
                    f"layer {layer_name(module)} fails on an input of shape {shapes}",
                    why=str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
                    fix="shapes are [T, B, features…]; compare this layer's sizes with what the layer before it gives",
                )
    finally:
        for module, mode in training.items():
            module.training = mode
    return None


def _real(a: Tensor, inputs: tuple[Any, ...]) -> list[int]:
    """The shape that a tensor of the tiny pass would have in the real one."""
    shape = list(a.shape)
    first = next((x for x in inputs if isinstance(x, Tensor) and x.dim() >= 2), None)
    if first is not None and shape[:2] == [STEPS, BATCH]:
        shape[:2] = list(first.shape[:2])
    return shape


def check_model(model: torch.nn.Module, *inputs: Any) -> None:
    """Check that an input fits a model, by a forward pass over 3 steps and 5 copies of the first sample.

    Also finds torch.nn layers that would run but mix up time, batch and channels.

    Args:
        model: any module.
        inputs: the model's positional arguments as in `model(x)`; tensors [T, B, …].

    Raises:
        ShapeError: naming the layer, its path, the shapes, and what to use instead.
    """
    error = explain_failure(model, inputs)
    if error is not None:
        raise error
