"""Every target, unmodified: random networks inside what it declares, and damaged descriptors.

A new chip needs no line here: it is found by the registry. The functions are in `snnkit.validation.conformance`.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.targets import _template, register, registry, unregister
from snnkit.targets.base import Target
from snnkit.validation.bad_files import damaged_files, hostile_images
from snnkit.validation.conformance import SHARE, Outcome, try_random
from snnkit.validation.random_graphs import EVERYTHING


@pytest.fixture(params=[*registry.names(), "_template"])
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    if request.param != "_template":
        yield registry.get(request.param)
        return
    register(_template.TARGET)
    yield _template.TARGET
    unregister(_template.TARGET.name)


def judge(target: Target, outcomes: list[Outcome]) -> None:
    """At least 95 % map; the rest say why; rounding leaves the networks what they are."""
    assert [o.problems for o in outcomes if o.problems] == []
    assert all(f.code and f.where and f.what for o in outcomes for f in o.findings)
    assert all(o.mapped or any(f.severity == "error" for f in o.findings) for o in outcomes)
    mapped = sum(o.mapped for o in outcomes)
    assert mapped >= SHARE * len(outcomes), [str(f) for o in outcomes for f in o.findings]
    changed, spikes = sum(o.changed for o in outcomes), sum(o.spikes for o in outcomes)
    assert changed <= target.capabilities.rounding * spikes
    print(f"{target.name}: {mapped} of {len(outcomes)} mapped, {changed / spikes:.2%} of {spikes} spikes rounded away")


@pytest.mark.timeout(120)  # compiles kernels where they are not cached yet
def test_random_networks(target: Target, tmp_path: Path) -> None:
    outcomes = [try_random(target, random.Random(seed), tmp_path / str(seed)) for seed in range(20)]

    @settings(max_examples=20)
    @given(st.randoms(use_true_random=False))
    def drawn(rng: random.Random) -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            outcomes.append(try_random(target, rng, Path(folder), wide=40))
        assert outcomes[-1].problems == ()

    drawn()
    judge(target, outcomes)
    largest = max((o for o in outcomes[:20] if o.path is not None), key=lambda o: o.cores)
    assert largest.path is not None
    assert damaged_files(largest.path) == []
    assert hostile_images(largest.path) == []


@pytest.mark.timeout(120)
def test_beyond_what_it_declares_are_findings(target: Target, tmp_path: Path) -> None:
    """Networks of every kind: on the chip or refused with findings, never an exception."""
    outcomes = [
        try_random(target, random.Random(seed), tmp_path / str(seed), wide=40, frame=EVERYTHING)
        for seed in range(1000, 1020)
    ]
    assert [o.problems for o in outcomes if o.problems] == []
    refused = [o for o in outcomes if not o.mapped]
    assert refused
    assert all(f.remedy for o in refused for f in o.findings if f.severity == "error")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("wide", [160, 1200])
def test_many_random_networks(target: Target, tmp_path: Path, wide: int) -> None:
    count = 600 if wide == 160 else 60
    outcomes = []
    for seed in range(count):
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            outcomes.append(try_random(target, random.Random(100 + seed), Path(folder), wide=wide))
        assert outcomes[-1].problems == (), seed
    judge(target, outcomes)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_hostile_images(target: Target, tmp_path: Path) -> None:
    for seed in range(40):
        outcome = try_random(target, random.Random(seed), tmp_path / str(seed))
        if outcome.path is not None:
            assert hostile_images(outcome.path) == [], seed
