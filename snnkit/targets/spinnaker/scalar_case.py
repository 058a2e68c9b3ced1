"""Reference tables of scalar operations: product, exponentials, quotient, product with a fraction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from snnkit.targets.comparison import ArrayVerdict, judge
from snnkit.targets.spinnaker import arithmetic, setup
from snnkit.targets.spinnaker.cases import Case

OPERATIONS: dict[int, tuple[str, Callable[[int, int], int]]] = {
    0: ("product of s16.15", arithmetic.mul),
    1: ("exponential to s16.15", lambda a, b: setup.expk(a)),
    2: ("exponential to u0.32", lambda a, b: setup.expulr(a)),
    3: ("quotient of s16.15", setup.divide),
    4: ("s16.15 times u0.32", arithmetic.dec),
}
SIGNED_B = (0, 3)


def compare(case: Case) -> list[ArrayVerdict]:
    """One verdict per operation of the table.

    Raises:
        ReplayFormatError: an operation that is not known.
    """
    op, a, b = (case.take(k).reshape(-1).astype(np.int64) for k in ("op", "a", "b"))
    result = case.take("result").reshape(-1)
    unknown = set(op.tolist()) - set(OPERATIONS)
    if unknown:
        raise case.fail(f"operation {min(unknown)} is not known", fix=f"known: {sorted(OPERATIONS)}")
    a = a.astype(np.uint32).view(np.int32).astype(np.int64)
    verdicts = []
    for number, (title, function) in OPERATIONS.items():
        mine = op == number
        if not mine.any():
            continue
        second = b[mine].astype(np.uint32)
        right = (second.view(np.int32) if number in SIGNED_B else second).astype(np.int64)
        got = [function(x, y) & 0xFFFFFFFF for x, y in zip(a[mine].tolist(), right.tolist())]
        verdicts.append(judge(f"result, {title}", "emulator", result[mine].astype(np.uint32), np.array(got, np.uint32)))
    return verdicts
