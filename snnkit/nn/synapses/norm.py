"""Batch normalisation over time and batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from snnkit.errors import ParameterError, StateError
from snnkit.kernels.norm_lif.counted import Counted, from_counted
from snnkit.kernels.norm_lif.layers import batch_norm, can_normalise
from snnkit.kernels.norm_lif.statistics import Norm, from_batch, from_running
from snnkit.nn.context import is_again, is_streaming, valid_steps
from snnkit.nn.processes import add_up, world_size
from snnkit.nn.shapes import layer_name, refuse_list, shape_error
from snnkit.nn.synapses.fold import folded
from snnkit.nn.synapses.norm_counted import dense, masked, normalise, uncompiled
from snnkit.surrogate.heaviside import transformed


class BatchNorm(torch.nn.modules.batchnorm._BatchNorm):
    """y = (x − mean)/√(var + eps)·weight + bias per channel, statistics over T, B and space. x: [T, B, C, …].

    In training the statistics leave out steps at and beyond the sample's length where `snn.run(lengths=…)` or
    `snn.valid_lengths` gives lengths; those steps are normalised with the same statistics, and whatever stands in them
    (NaN too) reaches neither statistics nor gradients of the valid ones. Where no more than one valid value per channel
    is left, the variance is taken as 0. In evaluation the running statistics are used, so the layer folds into the
    synapse before it, and a stream gives what the whole sequence gives.

    Where torch.distributed has started several processes, the statistics in training are those of all their batches
    together, on any device (`synchronise = False` on a layer: of its own process alone). Each training pass of the
    layer is then one all-reduce, and its backward pass another, so that all processes have to make both. Values equal
    those of one process with the whole batch up to rounding; running statistics have the same bits everywhere.

    Args as torch.nn.BatchNorm2d: num_features, eps, momentum, affine, track_running_stats.

    Raises:
        ShapeError: fewer than 3 dimensions, another number of channels, or fewer than two values per channel to
            take statistics of.
        StateError: statistics would be taken of a part of a sequence: in training mode inside `snn.stream`, or in an
            `snn.run` with states. Freeze them with `norm.eval()`; the rest of the model may go on training.

    Source: Ioffe & Szegedy 2015 (arXiv:1502.03167); over time and batch as in Zheng et al. 2021,
    doi:10.1609/aaai.v35i12.17320. Their threshold-dependent scale is in `ThresholdBatchNorm`.
    """

    synchronise = True
    """Whether the statistics in training are those of all processes."""

    @property
    def together(self) -> bool:
        """Whether the next pass takes its statistics with other processes."""
        return self.training and self.synchronise and world_size() > 1

    @property
    def gain(self) -> Tensor | None:
        """What the normalised values are multiplied by, [C]; None for 1."""
        return self.weight

    def forward(self, input: Tensor) -> Tensor:
        x = input
        refuse_list(x, self)
        if x.dim() < 3:
            raise shape_error(self, x, "at least 3 dimensions [T, B, C, …]", "time comes first, then the batch")
        if x.shape[2] != self.num_features:
            raise shape_error(self, x, f"{self.num_features} channels in dimension 2 of [T, B, C, …]")
        if not self.training and self.running_mean is not None:
            return folded(lambda x: self._whole(x, False), x)
        if x.numel() // max(self.num_features, 1) < 2 and not self.together:
            raise shape_error(
                self, x, "more than one value per channel in training", "use a larger batch, or model.eval()"
            )
        if is_streaming():
            raise StateError(
                f"layer {layer_name(self)} takes statistics of its input, and is given a part of a sequence",
                why="the statistics of a chunk are not those of the sequence, so the chunks' outputs would not be its",
                fix="use the running statistics: model.eval(), or norm.eval() for this layer alone while the others "
                "train" + (" (it needs track_running_stats=True for that)" if self.running_mean is None else ""),
            )
        mask = valid_steps(x)
        if mask is None and self._is_whole:
            if can_normalise(x, self.gain, self.bias, self.running_mean, self.running_var):
                norm = self.values(x.detach().flatten(0, 1))
                assert isinstance(norm, Norm)
                return batch_norm(x, norm, self.gain, self.bias)
            return folded(lambda x: self._whole(x, True), x)
        if self.together:
            return uncompiled(_by_values)(x, self, mask)  # type: ignore[no-any-return]
        if torch.compiler.is_compiling() or transformed():
            return self._plainly(x, mask)
        return _by_values(x, self, mask)

    @property
    def _is_whole(self) -> bool:
        """Whether torch's operator has the statistics, where all values of this process count."""
        return not self.together and (self.momentum is not None or self.running_mean is None)

    def has_values(self, x: Tensor) -> bool:
        """Whether `values` may stand for `forward` of x [T, B, C, …]."""
        if x.dim() < 3 or x.shape[2] != self.num_features or not x.numel():
            return False
        if not self.training and self.running_mean is not None:
            return True
        return not is_streaming() and (self.together or x.numel() // self.num_features > 1)

    def steps(self, x: Tensor) -> Tensor | None:
        """Mask [T, B] of the steps of x [T, B, C, …] that count in the statistics; None where all do, or none."""
        return valid_steps(x) if self.training or self.running_mean is None else None

    def values(self, x: Tensor, mask: Tensor | None = None) -> Norm | Counted:
        """What `forward` would normalise x [T·B, C, …] by, mask [T, B] of it counting; running statistics move too."""
        mean, var = self.running_mean, self.running_var
        if not self.training and mean is not None and var is not None:
            return from_running(mean, var, self.eps)
        if mask is not None or not self._is_whole:
            norm, *found = from_counted(
                x, None if mask is None else mask.flatten(), self.eps, add_up if self.together else None
            )
            self._track(*found)
            return norm
        if self.track_running_stats and self.num_batches_tracked is not None and not is_again():
            self.num_batches_tracked.add_(1)
        tracked = self.track_running_stats and mean is not None and var is not None and not is_again()
        running: tuple[Tensor, Tensor] | None = (mean, var) if tracked else None  # type: ignore[assignment]
        return from_batch(x, running, self.momentum or 0.0, self.eps, self.weight, self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        """Checked in `forward`, before time and batch are folded."""

    def _whole(self, x: Tensor, from_batch: bool) -> Tensor:
        """All values of x [T·B, C, …] count; torch's own operator."""
        again = from_batch and is_again()
        if from_batch and self.track_running_stats and self.num_batches_tracked is not None and not again:
            self.num_batches_tracked.add_(1)
        tracked = self.track_running_stats or not from_batch
        mean, var = (self.running_mean, self.running_var) if tracked else (None, None)
        if again and mean is not None and var is not None:
            mean, var = mean.clone(), var.clone()  # these move
        if 1 in x.shape and (from_batch or torch.is_grad_enabled()) and not torch.compiler.is_compiling():
            x = x.contiguous()  # torch's backward pass misreads strides of dimensions of size 1
        y = F.batch_norm(x, mean, var, self.gain, self.bias, from_batch, self.momentum or 0.0, self.eps)
        if 1 in x.shape and y.requires_grad and not torch.compiler.is_compiling():
            # Of a single image, torch's backward pass on a CPU misreads a gradient in channels last whose first
            # stride, which means nothing there, is not the image's size.
            y.register_hook(Tensor.contiguous)
        return y

    def _plainly(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Only the steps of mask [T, B] count (None: all)."""
        flat, mask = x.flatten(0, 1), None if mask is None else mask.flatten()
        y, mean, var = masked(flat, self.gain, self.bias, mask, self.eps)
        self._track(mean, var)
        return y.unflatten(0, x.shape[:2])

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or not self.track_running_stats or is_again():
            return
        rate: float | Tensor = 0.0 if self.momentum is None else self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                rate = 1 / self.num_batches_tracked.to(self.running_mean.dtype)
        # By `.data`, as torch's own operator does: an earlier pass may still have to go backward.
        self.running_mean.data.lerp_(mean.to(self.running_mean.dtype), rate)
        self.running_var.data.lerp_(var.to(self.running_var.dtype), rate)


def _by_values(x: Tensor, layer: BatchNorm, mask: Tensor | None) -> Tensor:
    """x [T, B, C, …] normalised by the layer's `values`, which a kernel with a neuron takes too."""
    norm = layer.values(dense(x.detach()), mask)
    assert isinstance(norm, Counted)
    return normalise(x, layer.gain, layer.bias, norm, layer.eps)


class ThresholdBatchNorm(BatchNorm):
    """Threshold-dependent batch norm (tdBN): what reaches the neurons has the scale of their threshold.

    y = alpha·threshold·(x − mean)/√(var + eps)·weight + bias per channel, statistics over T, B and space; in all else
    as `BatchNorm`. x: [T, B, C, …]. weight and bias start at 1 and 0 and are learned.

    Args:
        num_features: channels C.
        threshold: that of the neuron layer behind it.
        alpha: 1 in a chain of layers; 1/√n where the outputs of n such branches are added, as in a `Residual`.
        eps, momentum, affine, track_running_stats, device, dtype: as torch.nn.BatchNorm2d.

    Raises:
        ParameterError: threshold or alpha is not positive.
        ShapeError, StateError: as `BatchNorm`.

    spikingjelly 2.0 `ThresholdDependentBatchNorm2d(alpha, v_th, C)` starts with the weight alpha·v_th and has no
    factor, so its values are equal and its weight is learned on another scale.

    Source: Zheng, Wu, Deng, Hu & Li 2021, doi:10.1609/aaai.v35i12.17320.
    """

    factor: Tensor

    def __init__(
        self,
        num_features: int,
        threshold: float = 1.0,
        alpha: float = 1.0,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)
        for name, value in (("threshold", threshold), ("alpha", alpha)):
            if not 0 < value < math.inf:
                raise ParameterError(f"ThresholdBatchNorm({name}={value!r})", fix=f"{name} is a positive number")
        self.threshold, self.alpha = float(threshold), float(alpha)
        factor = torch.full((num_features,), self.alpha * self.threshold, device=device, dtype=dtype)
        self.register_buffer("factor", factor, persistent=False)  # a setting, not learned

    @property
    def gain(self) -> Tensor | None:
        """alpha·threshold·weight, [C]."""
        return self.factor if self.weight is None else self.factor * self.weight

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, threshold={self.threshold:g}, alpha={self.alpha:g}"
