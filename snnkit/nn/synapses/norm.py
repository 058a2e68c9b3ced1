"""Batch normalisation over time and batch."""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.nn.context import valid_steps
from snnkit.nn.shapes import shape_error
from snnkit.nn.synapses.fold import folded


class BatchNorm(torch.nn.modules.batchnorm._BatchNorm):
    """y = (x − mean)/√(var + eps)·weight + bias per channel, statistics over T, B and space. x: [T, B, C, …].

    In training the statistics leave out steps at and beyond the sample's length where `snn.run(lengths=…)` or
    `snn.valid_lengths` gives lengths; those steps are normalised with the same statistics. In evaluation the running
    statistics are used, so the layer folds into the synapse before it.

    Args as torch.nn.BatchNorm2d: num_features, eps, momentum, affine, track_running_stats.

    Raises:
        ShapeError: fewer than 3 dimensions, another number of channels, or fewer than two values per channel to
            take statistics of.

    Source: Ioffe & Szegedy 2015 (arXiv:1502.03167); over time and batch as in Zheng et al. 2021,
    doi:10.1609/aaai.v35i12.17320, without their threshold-dependent scale.
    """

    def forward(self, input: Tensor) -> Tensor:
        x = input
        if x.dim() < 3:
            raise shape_error(self, x, "at least 3 dimensions [T, B, C, …]", "time comes first, then the batch")
        if x.shape[2] != self.num_features:
            raise shape_error(self, x, f"{self.num_features} channels in dimension 2 of [T, B, C, …]")
        from_batch = self.training or self.running_mean is None
        mask = valid_steps(x) if from_batch else None
        if from_batch and x.numel() // max(self.num_features, 1) < 2:
            raise shape_error(
                self, x, "more than one value per channel in training", "use a larger batch, or model.eval()"
            )
        if mask is None or bool(mask.all()):
            return folded(super().forward, x)
        return self._masked(x, mask)

    def _check_input_dim(self, input: Tensor) -> None:
        """Checked in `forward`, before time and batch are folded."""

    def _masked(self, x: Tensor, mask: Tensor) -> Tensor:
        valid = x[mask].float()  # [number of valid steps, C, …]
        dims = [d for d in range(valid.dim()) if d != 1]
        count = valid.numel() // self.num_features
        if count < 2:
            raise shape_error(self, x, "more than one valid value per channel in training", "check the lengths")
        var, mean = torch.var_mean(valid, dim=dims, correction=0)
        if self.training and self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                if self.num_batches_tracked is not None:
                    self.num_batches_tracked.add_(1)
                rate = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum  # type: ignore[arg-type]
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
                self.running_var.lerp_((var * (count / (count - 1))).to(self.running_var.dtype), rate)
        shape = [1, 1, -1] + [1] * (x.dim() - 3)
        scale = torch.rsqrt(var + self.eps)
        shift = -mean * scale
        if self.affine:
            scale, shift = scale * self.weight, shift * self.weight + self.bias
        return (x * scale.view(shape) + shift.view(shape)).to(x.dtype)
