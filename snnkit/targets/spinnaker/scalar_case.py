"""Reference tables of scalar operations: product, exponentials, quotient, product with a fraction.

A core has no place for their arguments, so there is no descriptor: the emulator's functions run in the fresh process.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnkit.targets.comparison import ArrayVerdict, judge
from snnkit.targets.fresh import Job
from snnkit.targets.spinnaker.cases import Case
from snnkit.targets.spinnaker.probes import OPERATIONS

Array = np.ndarray[Any, Any]

SIGNED_B = (0, 3)


@dataclass(eq=False)
class ScalarCase:
    """One table on its way."""

    case: Case
    op: Array
    a: Array
    b: Array
    job: Job | None = None


def read(case: Case) -> ScalarCase:
    """Read a table.

    Raises:
        ReplayFormatError: an operation that is not known, or columns of different lengths.
    """
    op, a, b = (case.take(k).reshape(-1).astype(np.int64) for k in ("op", "a", "b"))
    unknown = set(op.tolist()) - set(OPERATIONS)
    if unknown:
        raise case.fail(f"operation {min(unknown)} is not known", fix=f"known: {sorted(OPERATIONS)}")
    if not len(op) == len(a) == len(b) == case.take("result").size:
        raise case.fail("the columns op, a, b and result have different lengths")
    a = a.astype(np.uint32).view(np.int32).astype(np.int64)
    second = b.astype(np.uint32)
    signed = second.view(np.int32).astype(np.int64)
    return ScalarCase(case, op, a, np.where(np.isin(op, SIGNED_B), signed, second.astype(np.int64)))


def write(work: ScalarCase, folder: Path, result: Path) -> None:
    """Make the job."""
    arguments = {"op": work.op, "a": work.a, "b": work.b}
    work.job = Job(None, result, {}, 0, (), call="snnkit.targets.spinnaker.probes:scalars", arguments=arguments)


def compare(work: ScalarCase) -> tuple[list[ArrayVerdict], list[str], str]:
    """(one verdict per operation of the table, remarks, error)."""
    assert work.job is not None
    got, error = work.job.probes()
    if error:
        return [], [], error
    wanted = work.case.take("result").reshape(-1).astype(np.uint32)
    verdicts = []
    for number, (title, _) in OPERATIONS.items():
        mine = work.op == number
        if mine.any():
            verdicts.append(judge(f"result, {title}", "emulator", wanted[mine], got["result"][mine]))
    return verdicts, ["scalar functions: the emulator's own in the fresh process; no descriptor holds them"], ""
