"""Which synapses are there where a neuron has fewer inputs than its layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def drawn_mask(n_in: int, n_out: int, groups: int, fan_in: int, seed: int) -> Tensor:
    """[n_out, n_in] uint8: `fan_in` ones per row inside its group; the inputs are dealt out like shuffled cards."""
    draw = torch.Generator().manual_seed(seed)
    part, rows = n_in // groups, n_out // groups
    mask = torch.zeros(n_out, n_in, dtype=torch.uint8, device="cpu")
    for g in range(groups):
        cards: list[int] = []
        for row in range(g * rows, (g + 1) * rows):
            hand: set[int] = set()
            while len(hand) < fan_in:
                if not cards:
                    cards = torch.randperm(part, generator=draw, device="cpu").tolist()
                    cards = [c for c in cards if c not in hand] + [c for c in cards if c in hand]
                hand.add(cards.pop(0))
            mask[row, g * part + torch.tensor(sorted(hand), device="cpu")] = 1
    return mask


def start(weight: Tensor, bias: Tensor | None, mask: Tensor, fan_in: int) -> None:
    """Initial values by torch's own rule, for the inputs that are there: uniform within 1/sqrt(fan_in)."""
    bound = 1 / math.sqrt(fan_in)
    with torch.no_grad():
        weight.uniform_(-bound, bound).mul_(mask.to(weight.device))
        if bias is not None:
            bias.uniform_(-bound, bound)


__all__ = ["drawn_mask", "start"]
