"""What an epoch adds up: loss, right answers, penalty; over all processes that train together."""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.nn.processes import gathered
from snnkit.training.metrics import predict


class Sums:
    """Loss, right answers and penalty added up on the model's device: nothing waits for it before the epoch ends.

    With `each`, the losses of batches are kept by number, so that `add_up` adds those of all processes in the order in
    which one process would.
    """

    def __init__(self, device: torch.device, each: bool = False) -> None:
        # float64 where the device has it, so that an epoch's mean does not depend on its length
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self._loss, self._penalty = torch.zeros(2, dtype=dtype, device=device).unbind()
        self._correct = torch.zeros((), dtype=torch.int64, device=device)
        self._each: dict[int, Tensor] | None = {} if each else None
        self.samples = 0

    def add(self, loss: Tensor, z: Tensor, y: Tensor, penalty: Tensor | None = None, number: int = 0) -> None:
        """A batch's mean loss and penalty, its scores [B, C] and classes [B], and its number."""
        n = len(y)
        loss = loss.detach().to(self._loss.dtype) * n
        if self._each is not None:
            self._each[number] = loss
        self._loss = self._loss + loss
        self._correct = self._correct + (predict(z.detach()) == y).sum()
        if penalty is not None:
            self._penalty = self._penalty + penalty.detach().to(self._penalty.dtype) * n
        self.samples += n

    def add_up(self) -> None:
        """Make these the sums of all processes that train together."""
        losses = {number: float(loss) for number, loss in (self._each or {}).items()}
        parts = gathered((losses, self._correct.cpu(), self._penalty.cpu(), self.samples))
        pairs = sorted((number, rank, loss) for rank, part in enumerate(parts) for number, loss in part[0].items())
        total = 0.0
        for _, _, loss in pairs:
            total += loss
        self._loss = torch.tensor(total, dtype=self._loss.dtype)
        self._correct = torch.stack([part[1] for part in parts]).sum()
        self._penalty = torch.stack([part[2] for part in parts]).sum()
        self.samples = sum(part[3] for part in parts)

    def means(self) -> tuple[float, float, float]:
        """(loss, accuracy, penalty) per sample."""
        n = max(self.samples, 1)
        return float(self._loss) / n, int(self._correct) / n, float(self._penalty) / n
