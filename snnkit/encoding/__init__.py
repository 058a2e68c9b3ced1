"""Values → spikes and spikes → values: one file per code, each with its definition and its source.

>>> from snnkit import encoding
>>> spikes = encoding.encode_latency(images, T=8)  # [B, 1, 28, 28] in 0 … 1 → [8, B, 1, 28, 28]
>>> model = torch.nn.Sequential(encoding.Latency(T=8), snn.Flatten(), snn.Linear(784, 10), snn.LIF())

| code | function | module | decoder |
| --- | --- | --- | --- |
| Bernoulli rate | `encode_bernoulli` | `Bernoulli` | `decode_rate` |
| Poisson rate | `encode_poisson` | `Poisson` | `decode_rate` |
| latency | `encode_latency` | `Latency` | `decode_first_spike` |
| rank order | `encode_rank_order` | `RankOrder` | `first_spike_step`, `decode_first_spike` |
| phase | `encode_phase` | `Phase` | `decode_weighted` with `phase_weights` |
| burst | `encode_burst` | `Burst` | `decode_weighted` with `burst_weights` |
| population | `encode_population` | `Population` | `decode_first_spike`, then `decode_population` |
| delta | `encode_delta` | `Delta` | `decode_delta` |
| direct current | `encode_direct` | `Direct` | (none needed) |

Codes of values also serve a recipe: `encoding: {class_path: snnkit.encoding.Latency, init_args: {T: 8}}` under `data`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snnkit.encoding.base import Encoder
from snnkit.encoding.bernoulli import Bernoulli, encode_bernoulli
from snnkit.encoding.burst import Burst, burst_weights, encode_burst
from snnkit.encoding.decode import decode_first_spike, decode_rate, decode_weighted, first_spike_step
from snnkit.encoding.delta import Delta, decode_delta, encode_delta
from snnkit.encoding.direct import Direct, encode_direct
from snnkit.encoding.latency import Latency, encode_latency
from snnkit.encoding.phase import Phase, encode_phase, phase_weights
from snnkit.encoding.poisson import Poisson, encode_poisson
from snnkit.encoding.population import (
    Population,
    decode_population,
    encode_population,
    field_centres,
    receptive_fields,
)
from snnkit.encoding.rank_order import RankOrder, encode_rank_order
from snnkit.errors import ParameterError, did_you_mean

ENCODERS: dict[str, type[Encoder]] = {
    f"snnkit.encoding.{cls.__name__}": cls
    for cls in (Bernoulli, Burst, Direct, Latency, Phase, Poisson, Population, RankOrder)
}
"""Every code of values by the class path that a recipe gives."""


def describe(encoder: Encoder) -> dict[str, Any]:
    """What makes the same code again, as JSON values: {class_path, init_args}."""
    cls = type(encoder)
    paths = [path for path, known in ENCODERS.items() if known is cls]
    return {"class_path": paths[0] if paths else f"{cls.__module__}.{cls.__name__}", "init_args": encoder.settings()}


def from_description(description: Mapping[str, Any]) -> Encoder:
    """The code that `describe` described; of snnkit's own codes only, so a descriptor cannot name other classes.

    Raises:
        ParameterError: no code of that name, or settings that it does not have.
    """
    path, args = description.get("class_path"), description.get("init_args")
    if not isinstance(path, str) or path not in ENCODERS:
        raise ParameterError(
            f"no code {path!r}{did_you_mean(str(path), ENCODERS)}", fix="one of " + ", ".join(ENCODERS)
        )
    try:
        return ENCODERS[path](**dict(args or {}))
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{path} cannot be made of {args!r}: {error}") from error


__all__ = [
    "ENCODERS",
    "Bernoulli",
    "Burst",
    "Delta",
    "Direct",
    "Encoder",
    "Latency",
    "Phase",
    "Poisson",
    "Population",
    "RankOrder",
    "burst_weights",
    "decode_delta",
    "decode_first_spike",
    "decode_population",
    "decode_rate",
    "decode_weighted",
    "describe",
    "encode_bernoulli",
    "encode_burst",
    "encode_delta",
    "encode_direct",
    "encode_latency",
    "encode_phase",
    "encode_poisson",
    "encode_population",
    "encode_rank_order",
    "field_centres",
    "first_spike_step",
    "from_description",
    "phase_weights",
    "receptive_fields",
]
