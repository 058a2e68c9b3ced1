"""Makes files of reference cores for tests, from a simulation in plain Python integers that shares no code with snnkit.

Pair STDP included. Formats: tests/golden/spinnaker/README.md and the fields in `cases.py`.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

ONE = 1 << 15
PARAMETERS = ("v_init", "v_rest", "v_reset", "v_thresh", "c_m", "tau_m", "i_offset", "tau_refrac", "tau_syn_e",
              "tau_syn_i", "ts", "refrac_init")  # fmt: skip


def w32(x: int) -> int:
    return (x + 2**31) % 2**32 - 2**31


def w16(x: int) -> int:
    return (x + 2**15) % 2**16 - 2**15


def mul(a: int, b: int) -> int:
    return w32(math.floor(Fraction(a * b, ONE)))


def dec(x: int, u: int) -> int:
    return w32(math.floor(Fraction(x * u, 2**32)))


def div(a: int, b: int) -> int:
    return w32(a * ONE // b)


def _scaled(x: int, y: int) -> int:
    low = (x % 2**32) * y
    return (x // 2**32) * y + low // 2**32 + (1 if low % 2**32 >= 2**31 - 1 else 0)


def exponential(n: int) -> int:
    """exp(n / 2**15) in 32.32; the tables from float exponentials of enough precision for these entries."""
    from decimal import Decimal, localcontext

    with localcontext() as context:
        context.prec = 50
        up = -(-n // ONE)
        value = int((Decimal(up).exp() * 2**32).to_integral_value())
        down = up * ONE - n
        if down:
            k, rest = divmod(down, 2048)
            value -= _scaled(value, int(((1 - (-Decimal(k) / 16).exp()) * 2**32).to_integral_value()))
            x = rest * 2**17
            value -= _scaled(value, 5294 + (4293434720 - 2081624032 * x // 2**32) * x // 2**32)
    return value


def expk(n: int) -> int:
    return 0 if n < -340695 else exponential(n) // 2**17


def expulr(n: int) -> int:
    return 0 if n < -340695 else exponential(n) % 2**32


def table(tau: float) -> list[int]:
    values = []
    while True:
        value = math.floor(2048 * math.exp(-len(values) / tau))
        if value == 0:
            return values + [0] * (len(values) % 2)
        values.append(value)


def stdp_words(plus: list[int], minus: list[int], limits: list[list[int]], back: int) -> np.ndarray:
    words = [back]
    for lut in (plus, minus):
        words.append(len(lut))
        words += [lut[k] | lut[k + 1] << 16 for k in range(0, len(lut), 2)]
    return np.array([w % 2**32 for w in words + [x for row in limits for x in row]], np.uint32)


def row_words(rows: int, syn: list[tuple[int, ...]], plastic: set[int], bits: int, delay_bits: int) -> list[list[int]]:
    out = []
    for r in range(rows):
        mine = [s for s in syn if s[0] == r]
        low = [(s[3] % 2**delay_bits) << (bits + 1) | s[4] << bits | s[1] for s in mine]
        if r in plastic:
            weights = [s[2] for s in mine]
            halves = [(x + [0] if len(x) % 2 else x) for x in (weights, low)]
            packed = [[x[k] | x[k + 1] << 16 for k in range(0, len(x), 2)] for x in halves]
            out.append([2 + len(packed[0]), 0, 0, *packed[0], 0, len(mine), *packed[1]])
        else:
            out.append([0, len(mine), 0, *(s[2] << 16 | x for s, x in zip(mine, low))])
    return out


def random_core(rng: np.random.Generator, *, learning: str = "static", steps: int = 60) -> dict[str, Any]:
    """A random case: sizes, parameters, synapses and packets."""
    n, rows = int(rng.integers(1, 12)), int(rng.integers(1, 8))
    model = "IF_curr_exp" if learning != "static" or rng.random() < 0.6 else "IF_curr_delta"
    own = rows if rng.random() < 0.4 else -1
    total = rows + (n if own >= 0 else 0)
    delay_bits = int(rng.integers(1, 5))
    p = {
        "v_init": rng.integers(-70, -60, n) * ONE, "v_rest": np.full(n, -65 * ONE), "v_thresh": np.full(n, -55 * ONE),
        "v_reset": rng.integers(-80, -60, n) * ONE, "c_m": rng.integers(ONE // 4, 2 * ONE, n),
        "tau_m": rng.integers(2 * ONE, 40 * ONE, n), "i_offset": rng.integers(-ONE, 2 * ONE, n),
        "tau_refrac": rng.integers(0, 4 * ONE, n), "tau_syn_e": rng.integers(ONE // 3, 12 * ONE, n),
        "tau_syn_i": rng.integers(ONE // 3, 12 * ONE, n), "ts": np.full(n, rng.choice([ONE, 3277])),
        "refrac_init": rng.integers(0, 3, n),
    }  # fmt: skip
    syn = [
        (r, int(rng.integers(n)), int(rng.integers(0, 30000)), int(rng.integers(1, 2**delay_bits + 1)),
         int(rng.integers(2)))
        for r in range(total) for _ in range(int(rng.integers(0, 6)))
    ]  # fmt: skip
    plastic = {r for r in range(total) if any(s[0] == r for s in syn) and rng.random() < 0.6}
    plastic = plastic if learning != "static" else set()
    events = rng.integers(0, (steps, total), (int(rng.integers(0, 6 * steps)), 2))
    events = events[np.argsort(events[:, 0], kind="stable")]
    limits = [[0, int(rng.integers(1, 30)) * ONE, int(rng.integers(0, ONE)), int(rng.integers(0, ONE))] for _ in "ei"]
    return {
        "n": n, "steps": steps, "model": model, "learning": learning, "own": own, "rows": total, "p": p, "syn": syn,
        "delay_bits": delay_bits, "shift": [int(x) for x in rng.integers(0, 8, 2)], "plastic": plastic,
        "events": events,
        "luts": [table(float(rng.uniform(3, 25))) for _ in "+-"], "limits": limits, "back": int(rng.integers(2)),
    }  # fmt: skip


def simulate(c: dict[str, Any]) -> dict[str, np.ndarray]:
    """The fields of a file."""
    n, steps, bits = c["n"], c["steps"], max(c["n"] - 1, 1).bit_length()
    p = {k: [int(x) for x in v] for k, v in c["p"].items()}
    depth, exp = 2 ** c["delay_bits"], c["model"] == "IF_curr_exp"
    resistance = [div(p["tau_m"][i], p["c_m"][i]) for i in range(n)]
    decay = [expk(-div(p["ts"][i], p["tau_m"][i])) for i in range(n)]
    hold = [-(-div(p["tau_refrac"][i], p["ts"][i]) // ONE) for i in range(n)]
    fade, scale = [[0] * n, [0] * n], [[0] * n, [0] * n]
    for k, name in enumerate(("tau_syn_e", "tau_syn_i")):
        for i in range(n) if exp else ():
            fade[k][i] = expulr(-div(p["ts"][i], p[name][i]))
            scale[k][i] = (div(p[name][i], p["ts"][i]) * (2**32 - 1 - fade[k][i]) >> 15) % 2**32
    v, wait = list(p["v_init"]), list(p["refrac_init"])
    state = [[0] * n, [0] * n]
    ring = [[[0] * n, [0] * n] for _ in range(depth)]
    weights = [s[2] for s in c["syn"]]
    last, trace = [0] * c["rows"], [0] * c["rows"]
    posts: list[list[tuple[int, int]]] = [[] for _ in range(n)]
    saturated = [0, 0]
    names = ("ring", "v_start", "gsyn_exc", "gsyn_inh", "v_end", "syn_exc_end", "syn_inh_end", "refrac_end", "spikes",
             "row_words_t")  # fmt: skip
    out: dict[str, list[Any]] = {k: [] for k in names}
    plus, minus = c["luts"]

    def faded(x: int, time: int, lut: list[int]) -> int:
        return w16(x) * (w16(lut[time]) if time < len(lut) else 0) // 2048

    def add(t: int, delay: int, receptor: int, target: int, weight: int, kind: int) -> None:
        slot = ring[(t + delay) % depth][receptor]
        slot[target] += weight
        if slot[target] > 65535:
            slot[target] = 65535
            saturated[kind] += 1

    def learn(t: int, r: int, k: int, before: int, old: int) -> None:
        _, target, _, delay, receptor = c["syn"][k]
        delay %= depth
        late = delay if c["back"] else 0
        low, high, up, down = c["limits"][receptor]
        w = w32(weights[k] << c["shift"][receptor])
        past = None
        for time, size in posts[target]:
            if time > max(t - late, 0):
                break
            if time > max(before - late, 0) and time + late - before > 0:
                x = faded(old, time + late - before, plus) << 4
                if c["learning"] == "additive":
                    w = min(w32(w + mul(up, x)), high)
                else:
                    w = w32(w + mul(mul(w32(high - w), up), x))
            past = time, size
        if past is not None:
            x = faded(past[1], t - past[0] - late, minus) << 4
            if c["learning"] == "additive":
                w = max(w32(w - mul(down, x)), low)
            else:
                w = w32(w - mul(mul(w32(w - low), down), x))
        weights[k] = (w >> c["shift"][receptor]) % 65536
        if delay:
            add(t, delay, receptor, target, weights[k], 1)

    def process(t: int, r: int) -> None:
        mine = [k for k, s in enumerate(c["syn"]) if s[0] == r]
        if r in c["plastic"]:
            before, old = last[r], trace[r]
            last[r], trace[r] = t, w16(faded(old, t - before, plus) + 2048)
            for k in mine:
                learn(t, r, k, before, old)
        else:
            for k in mine:
                _, target, weight, delay, receptor = c["syn"][k]
                add(t, delay, receptor, target, weight, 0)

    first = row_words(c["rows"], c["syn"], c["plastic"], bits, c["delay_bits"])
    for t in range(steps):
        slot = ring[t % depth]
        out["ring"].append([list(slot[0]), list(slot[1])])
        out["v_start"].append(list(v))
        for k in (0, 1):
            for i in range(n):
                x = w32(slot[k][i] << c["shift"][k])
                state[k][i] = w32(state[k][i] + (dec(x, scale[k][i]) if exp else x))
            slot[k] = [0] * n
        out["gsyn_exc"].append(list(state[0]))
        out["gsyn_inh"].append(list(state[1]))
        fired = [0] * n
        for i in range(n):
            gain = div(ONE, p["ts"][i])
            parts = [state[k][i] if exp else mul(state[k][i], gain) for k in (0, 1)]
            if wait[i] <= 0:
                alpha = w32(mul(w32(parts[0] - parts[1] + p["i_offset"][i]), resistance[i]) + p["v_rest"][i])
                v[i] = w32(alpha - mul(decay[i], w32(alpha - v[i])))
            else:
                wait[i] -= 1
            if v[i] >= p["v_thresh"][i]:
                v[i], wait[i], fired[i] = p["v_reset"][i], hold[i], 1
            for k in (0, 1):
                state[k][i] = dec(state[k][i], fade[k][i]) if exp else 0
        for i in range(n) if c["learning"] != "static" else ():
            if fired[i]:
                time, size = posts[i][-1] if posts[i] else (0, 0)
                posts[i] = [*posts[i], (t, w16(faded(size, t - time, minus) + 2048))][-15:]
        for name, values in (("v_end", v), ("syn_exc_end", state[0]), ("syn_inh_end", state[1]), ("refrac_end", wait),
                             ("spikes", fired)):  # fmt: skip
            out[name].append(list(values))
        for _, r in c["events"][c["events"][:, 0] == t]:
            process(t, int(r))
        for i in range(n) if c["own"] >= 0 else ():
            if fired[i]:
                process(t, c["own"] + i)
        if c["learning"] != "static":
            syn = [(*s[:2], weights[k], *s[3:]) for k, s in enumerate(c["syn"])]
            rows = row_words(c["rows"], syn, c["plastic"], bits, c["delay_bits"])
            for r in c["plastic"]:
                rows[r][1], rows[r][2] = last[r], trace[r] % 65536
            out["row_words_t"].append([x for row in rows for x in row])
    types = {"ring": np.uint16, "spikes": np.uint8, "row_words_t": np.uint32}
    fields = {f"o_{k}": np.array(x, types.get(k, np.int32)) for k, x in out.items() if x}
    fields["o_ring"] = fields["o_ring"].reshape(steps, 2, n)
    fields |= {f"p_{k}": np.array(p[k], np.int32) for k in PARAMETERS}
    if c["learning"] != "static":
        fields["stdp_words"] = stdp_words(plus, minus, c["limits"], c["back"])
        fields["plastic_rows"] = np.array(sorted(c["plastic"]), np.int32)
    u32 = np.uint32
    return fields | {
        "model": np.array(c["model"]), "learning": np.array(c["learning"]), "n_neurons": np.array(n),
        "n_steps": np.array(steps), "log_n_neurons": np.array(bits), "log_max_delay": np.array(c["delay_bits"]),
        "shift": np.array(c["shift"], np.int32), "own_row_base": np.array(c["own"]), "n_rows": np.array(c["rows"]),
        "syn": np.array(c["syn"], np.int64).reshape(-1, 5), "events": c["events"].astype(np.int32),
        "row_len": np.array([len(r) for r in first], np.int32),
        "row_words": np.array([x for row in first for x in row], u32),
        "d_R": np.array(resistance, np.int32), "d_exp_tc": np.array(decay, np.int32),
        "d_t_refract": np.array(hold, np.int32), "d_decay_exc": np.array(fade[0], u32),
        "d_decay_inh": np.array(fade[1], u32), "d_init_exc": np.array(scale[0], u32),
        "d_init_inh": np.array(scale[1], u32), "o_sat_fixed": np.array(saturated[0]),
        "o_sat_plastic": np.array(saturated[1]),
    }  # fmt: skip


def write(path: Path, case: dict[str, Any], **changes: Any) -> Path:
    """Simulate and write a file."""
    np.savez(path, **(simulate(case) | changes))
    return path
