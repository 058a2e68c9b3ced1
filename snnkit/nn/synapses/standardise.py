"""Weight standardisation of convolutions."""

from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-5


def standardised(weight: Tensor) -> Tensor:
    """Ŵ[c] = (W[c] − mean)/√(var + 1e-5) per output channel c, over its inputs and kernel. W, Ŵ: [C', C/groups, …].

    Standardised weights sum to zero, and have the variance 1 whatever the number of inputs: put a norm behind the
    layer, as the paper does.

    Source: Qiao, Wang, Liu, Shen & Yuille 2019, arXiv:1903.10520, with ε inside the root.
    """
    var, mean = torch.var_mean(weight, dim=list(range(1, weight.dim())), correction=0, keepdim=True)
    return (weight - mean) * torch.rsqrt(var + EPS)
