"""How readers of NIR differ: the step they assume, how they integrate, when they fire, how they reset, what they know.

NIR is continuous in time. Each reader turns tau, r and w_in into a decay and a gain in its own way; a dialect is that
way, so that a file says to one reader what our network does. All of it was read in the readers' sources:

- `nir`: the equations of NIR 1.0.8 with each stage solved exactly for an input held over the step, decay =
  exp(-dt/tau), gain (1 - decay)*r; loops need Delay nodes.
- `snntorch` 1.0.0 `import_nir.py` with nirtorch 2.6 `nir_interpreter.py`: forward Euler with dt = 1e-4 whatever the
  file says, decay = 1 - dt/tau, reset to zero, one threshold per layer; a loop must be a nested graph (a flat one is
  rewired so that the input passes through the recurrent weights).
- `norse` 1.1.0 `utils/import_nir.py` with nirtorch `from_nir.py`: forward Euler with the dt given to `from_nir`; r of
  LIF and IF is ignored; LIF resets to zero, CubaLIF as given to `from_nir`; unknown nodes vanish without an error.
- `sinabs` 3.1.3 `nir.py`: tau in steps, decay = exp(-1/tau), gain 1, fires floor(v/threshold) times in a step and
  subtracts as many thresholds; all steps pass a layer at once, so no loops; no CubaLIF, no weights without a
  bias, parameters with one axis only.
- `rockpool` 3.1.0 `nn/modules/torch/nir.py`: dt = tau_mem/(1 + r), decay = exp(-dt/tau), the current decays before it
  reaches the membrane, fires floor(v/threshold) times and subtracts; only CubaLIF, alone or in a nested graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnkit.errors import UsageError, did_you_mean
from snnkit.export.nir.model import TYPES, Array

SLOWEST = 2.0**40
"""tau of a decay of 1, in steps: 1 - 2**-40 is 1 in float32, and r stays finite."""
FASTEST = 2.0**-7
"""tau of a decay of 0, in steps, where decay = exp(-1/tau): exp(-128) is 0 in float32."""
_PLAIN = frozenset({"Input", "Output", "NIRGraph", "Affine", "Conv2d", "Flatten", "LIF"})


@dataclass(frozen=True)
class Dialect:
    """One way to read NIR.

    Attributes:
        step: the reader's own step in the units of tau; None: the caller's, in seconds.
        seconds: those units are seconds.
        euler: decay = 1 - dt/tau; otherwise exp(-dt/tau).
        strict: fires at v > threshold; otherwise at v >= threshold.
        multiple: fires several times in a step where v is several thresholds.
        resets: what the reader does by node type, where it does not ask.
        loops: "delay": loops have Delay nodes; "flat" or "nested": a spike goes round in one step; "none".
        types: node types that the reader understands.
        one_threshold: it needs one threshold per layer.
        biased: it knows no weights without bias.
        one_axis: it reads parameters with one axis only, one number for a layer with several.
    """

    name: str
    step: float | None = None
    seconds: bool = True
    euler: bool = False
    strict: bool = True
    multiple: bool = False
    resets: tuple[tuple[str, str], ...] = ()
    loops: str = "delay"
    types: frozenset[str] = frozenset({*TYPES, "NIRGraph"})
    one_threshold: bool = False
    biased: bool = False
    one_axis: bool = False

    def reset(self, type: str) -> str | None:
        """What the reader does with this type after a spike; None: NIR does not say, or the caller does."""
        return dict(self.resets).get(type)

    def decay(self, tau: Array, dt: float) -> Array:
        """What remains of a state after a step, float64."""
        ratio = dt / np.asarray(tau, np.float64)
        return 1 - ratio if self.euler else np.exp(-ratio)

    def lost(self, tau: Array, dt: float) -> Array:
        """1 - decay, without cancellation."""
        ratio = dt / np.asarray(tau, np.float64)
        return ratio if self.euler else -np.expm1(-ratio)

    def tau(self, decay: Array, dt: float) -> Array:
        """The time constant of a decay from 0 to 1, float64, finite and positive."""
        d = np.asarray(decay, np.float64)
        inside = np.clip(d, 1e-30, 1 - 1e-12)
        steps = 1 / (1 - inside) if self.euler else -1 / np.log(inside)
        fastest = 1.0 if self.euler else FASTEST
        return dt * np.where(d <= 0, fastest, np.where(d >= 1, SLOWEST, steps))

    def gains(self, type: str, lost: tuple[Array, ...], r: Array, w_in: Array | None, dt: float) -> Array:
        """What multiplies a neuron's input on its way to v. `lost`: 1 - decay of membrane (and current)."""
        if type in ("I", "IF"):
            return r * dt if self.name == "nir" else r
        membrane = np.ones_like(r) if self.name in ("sinabs", "rockpool") else lost[0] * r
        if w_in is None:
            return membrane
        current = 1 - lost[1] if self.name == "rockpool" else lost[1] * w_in
        return membrane * current


DIALECTS: dict[str, Dialect] = {
    d.name: d
    for d in (
        Dialect("nir"),
        Dialect(
            "snntorch",
            step=1e-4,
            euler=True,
            resets=(("LIF", "zero"), ("CubaLIF", "zero")),
            loops="nested",
            types=_PLAIN | {"Linear", "Conv1d", "AvgPool2d", "SumPool2d", "CubaLIF"},
            one_threshold=True,
        ),
        Dialect(
            "norse",
            euler=True,
            resets=(("LIF", "zero"), ("IF", "zero")),
            loops="flat",
            types=_PLAIN | {"Linear", "SumPool2d", "IF", "CubaLIF"},
        ),
        Dialect(
            "sinabs",
            step=1.0,
            seconds=False,
            strict=False,
            multiple=True,
            resets=(("LIF", "subtract"), ("IF", "subtract")),
            loops="none",
            types=(_PLAIN | {"SumPool2d", "LI", "IF"}) - {"NIRGraph"},
            biased=True,
            one_axis=True,
        ),
        Dialect(
            "rockpool",
            strict=False,
            multiple=True,
            resets=(("CubaLIF", "subtract"),),
            loops="nested",
            types=frozenset({"Input", "Output", "NIRGraph", "Affine", "Linear", "CubaLIF"}),
        ),
    )
}


def dialect(name: str) -> Dialect:
    """The dialect of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in DIALECTS:
        raise UsageError(
            f"there is no NIR dialect {name!r}{did_you_mean(name, DIALECTS)}", fix=f"dialects: {', '.join(DIALECTS)}"
        )
    return DIALECTS[name]
