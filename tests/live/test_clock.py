"""Steps by the wall clock: lateness, silence, clocks that differ, jump or stand still; skipping. No time passes."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnkit.data.events import EVENT_DTYPE
from snnkit.errors import ParameterError, UsageError
from snnkit.live import Chunk, LiveSettings, Stepper, open_network, run
from snnkit.live.clock import PATIENCE_NS, SPAN_NS, Delays, SensorClock
from snnkit.live.loop import Loop
from snnkit.live.sources import ArraySource, Malformed

sys.path.insert(0, str(Path(__file__).parent))
from networks import SIDE, write

Array = np.ndarray[Any, Any]
MS = 1_000_000
START = 7_000_000_000
"""Our clock when the sensor's shows 0."""


def at(times: list[int]) -> Array:
    made = np.zeros(len(times), EVENT_DTYPE)
    made["t"] = times
    made["x"] = np.arange(len(times)) % SIDE
    return made


def sent(times: list[int], ms: float) -> Chunk:
    """Events that are here `ms` after the sensor's clock showed 0."""
    return Chunk(at(times), START + round(ms * MS))


def tick(ms: float) -> Chunk:
    return Chunk(at([]), START + round(ms * MS), silent=True)


def live(**options: Any) -> Stepper:
    return Stepper((SIDE, SIDE), Fraction(1000), **{"lateness": 2000, "speed": 1.0, **options})


def taken(stepper: Stepper) -> list[tuple[Any, int]]:
    """(step, events) of all steps that are closed; ("anew", 0) where the network begins anew."""
    found: list[tuple[Any, int]] = []
    while (closed := stepper.take(7)) is not None:
        found += [("anew", 0)] if closed.restart else enumerate(closed.events.tolist(), closed.first)
    return found


def test_a_step_closes_when_its_time_is_over_and_steps_go_on_in_silence() -> None:
    stepper = live()
    stepper.push(tick(0))  # nothing is known yet
    stepper.push(sent([100, 900], 1.0))  # the sensor shows 0.9 ms, or more, at 1.0
    stepper.push(tick(3.09))
    assert taken(stepper) == []
    stepper.push(tick(3.1))
    assert taken(stepper) == [(0, 2)]
    stepper.push(tick(4.09))
    assert taken(stepper) == []
    stepper.push(tick(8.1))
    assert taken(stepper) == [(k, 0) for k in range(1, 6)]
    stepper.push(sent([5999, 6000, 8050], 8.15))  # one of a closed step, one in time, and one that closes steps
    assert (stepper.late, taken(stepper)) == (1, [(6, 1), (7, 0)])


def test_an_arrival_is_as_good_as_a_tick() -> None:
    stepper = live()
    stepper.push(sent([999], 1.0))
    stepper.push(sent([500], 3.0))
    assert (stepper.late, stepper.placed) == (0, 2)
    stepper.push(sent([998], 4.999))  # step 0 was over 2 ms ago, but there was no silence of 2 ms
    assert (stepper.late, stepper.placed) == (0, 3)
    stepper.push(sent([998], 7.0))  # now there was, whether or not somebody looked
    assert (stepper.late, stepper.placed) == (1, 3)


def test_a_slow_sender_is_not_late_while_its_events_come() -> None:
    """30 ms behind its own clock, in order and without a pause: events close the steps, and nothing is late."""
    stepper = live()
    play(stepper, range(100), 0)
    for k in range(100, 200):
        stepper.push(sent([k * 1000, k * 1000 + 900], k + min((k - 100) / 2, 30)))
        taken(stepper)
    assert (stepper.late, stepper.placed) == (0, 300)


def test_off_waits_for_events() -> None:
    stepper = live(lateness=None)
    stepper.push(sent([500], 1.0))
    stepper.push(tick(10_000))
    stepper.push(sent([600], 10_001))
    assert taken(stepper) == []
    assert stepper.late == 0


@given(
    delays=st.lists(st.integers(0, 6000), min_size=1, max_size=40),
    ticks=st.lists(st.integers(0, 50_000), max_size=40),
    lateness=st.integers(0, 5000),
    grows=st.booleans(),
)
def test_late_depends_on_arrivals_only(delays: list[int], ticks: list[int], lateness: int, grows: bool) -> None:
    """An event a ms from sensor to here. The same steps however often silence is told; late is who came too late."""
    times = [700 * k for k in range(len(delays))]
    came = sorted((t + d, t) for t, d in zip(times, delays))
    found = []
    for silences in ([], ticks):
        stepper, steps = live(lateness=lateness, most_lateness=9000 if grows else None, hold=10_000), []
        todo = [(a, 1, t) for a, t in came] + [(a, 0, 0) for a in silences]
        for arrival, kind, t in sorted(todo):
            stepper.push(sent([t], arrival / 1000) if kind else tick(arrival / 1000))
            steps += taken(stepper)
        stepper.finish()
        found.append(([s for s in steps + taken(stepper) if s[1]], stepper.late, stepper.placed))
    assert found[0] == found[1]
    if grows:
        return
    best, first, late = None, None, 0
    newest, last = -1, 0
    for arrival, t in came:
        first = (t - 10_000) // 1000 if first is None else first
        edge = first
        if best is not None and arrival - last >= lateness:  # silence
            edge = max(first, (arrival + best - lateness) // 1000)
        first = max(edge, first)
        late += t // 1000 < first
        if t // 1000 >= first and t > newest:
            newest, first = t, max(first, (t - 10_000) // 1000)
        best = t - arrival if best is None else max(best, t - arrival)
        last = arrival
    assert found[0][1:] == (late, len(came) - late)


@pytest.mark.parametrize("drift", [-2e-4, 0.0, 2e-4])
def test_clocks_that_run_at_different_speeds(drift: float) -> None:
    """Two minutes: nothing is late, and no step closes much later than its time and the lateness."""
    stepper, worst = live(), 0.0
    for k in range(1, 1200):
        ms = 100.0 * k
        showed = ms * (1 + drift)
        stepper.push(tick(ms - 1e-3))
        for step, _ in taken(stepper):
            worst = max(worst, (ms - 1e-3) * (1 + drift) - step - 1)
        stepper.push(sent([int(showed * 1000)], ms + 0.3 * (k % 3)))
        taken(stepper)
    assert (stepper.late, stepper.jumps) == (0, 0)
    assert worst < 100 + 2 + 0.3 + 0.3  # ticks come every 100 ms; the fastest packet in a second; drift in that time


def test_a_clock() -> None:
    clock = SensorClock()
    assert clock.time(5) is None
    clock.heard(1000, START)
    assert clock.time(START + 5 * MS) == 6000
    clock.heard(3000, START + MS)  # a faster packet corrects at once
    assert clock.time(START + MS) == 3000
    clock.heard(3000, START + SPAN_NS + 2 * MS)  # a slow one is believed when no faster one came for long
    assert clock.time(START + SPAN_NS + 2 * MS) == 4000 + SPAN_NS // 1000
    clock.heard(4000, START + 2 * SPAN_NS + 2 * MS)
    assert clock.time(START + 2 * SPAN_NS + 2 * MS) == 3000 + SPAN_NS // 1000
    clock.heard(7, START + 9 * SPAN_NS)
    assert clock.time(START + 9 * SPAN_NS) == 7
    fast = SensorClock(4.0)
    fast.heard(1000, START)
    assert fast.time(START + MS) == 5000


def play(stepper: Stepper, ms: range, showed: int) -> list[tuple[Any, int]]:
    """An event every ms, of a sensor whose clock shows `showed` ms at the first."""
    steps: list[tuple[Any, int]] = []
    for k, m in enumerate(ms):
        stepper.push(tick(m))
        stepper.push(sent([(showed + k) * 1000], m))
        steps += taken(stepper)
    return steps


def test_a_sender_that_pauses_and_goes_on_in_time() -> None:
    """Its clock went on (a camera whose cable was out): silent steps, and nothing is late."""
    stepper = live()
    play(stepper, range(100), 0)
    stepper.push(tick(5000))
    assert [e for _, e in taken(stepper)] == [1] + 4898 * [0]
    play(stepper, range(5000, 5100), 5000)
    assert (stepper.late, stepper.jumps, stepper.placed) == (0, 0, 200)


@pytest.mark.parametrize("pause", [50, 200])
def test_a_sensor_that_stood_still_shortly(pause: int) -> None:
    """Late until the map of the clocks follows, then in time; the network does not begin anew."""
    stepper = live()
    play(stepper, range(2000), 0)
    play(stepper, range(2000 + pause, 5000), 2000)
    assert stepper.jumps == 0
    assert 0 < stepper.late <= 2 * SPAN_NS // MS + 1
    late = stepper.late
    play(stepper, range(5000, 6000), 5000 - pause)
    assert stepper.late == late


@pytest.mark.parametrize("back", [1000, 9000])
def test_a_sender_that_begins_again(back: int) -> None:
    """Or stood still for long: after a quarter of a second the network begins anew with the new clock."""
    stepper = live()
    steps = play(stepper, range(9500), 1000)
    steps += play(stepper, range(9500, 11_000), 10_500 - back)
    assert (stepper.jumps, steps.count(("anew", 0))) == (1, 1)
    patience = PATIENCE_NS // MS
    assert patience <= stepper.late <= patience + 2
    after = steps[steps.index(("anew", 0)) + 1 :]
    assert after[0] == (10_500 - back + stepper.late, 1)
    assert {e for _, e in after} == {1}


def test_a_far_jump_needs_no_patience() -> None:
    stepper = live()
    play(stepper, range(100), 20_000)
    steps = play(stepper, range(100, 200), 0)
    assert (stepper.jumps, stepper.late) == (1, 0)
    assert steps[steps.index(("anew", 0)) + 1] == (0, 1)


def test_one_wrong_time_heals() -> None:
    """An event of 5 s ahead runs the steps there; then the network begins anew at the right time."""
    stepper = live()
    play(stepper, range(100), 0)
    stepper.push(sent([5_000_000], 100))
    steps = play(stepper, range(100, 1000), 100)
    assert stepper.jumps == 1
    assert stepper.late <= PATIENCE_NS // MS + 2
    assert steps[-1][0] == 998


def test_a_late_burst_is_late_and_no_more() -> None:
    """A sender that was held up for half a second and sends it all: those are late, what follows is in time."""
    stepper = live()
    play(stepper, range(1000), 0)
    stepper.push(tick(1500))
    taken(stepper)
    stepper.push(sent([1000 * k for k in range(1000, 1500)], 1500))
    play(stepper, range(1501, 1600), 1501)
    assert stepper.jumps == 0
    assert (stepper.late, stepper.placed) == (498, 1000 + 2 + 99)


def test_the_last_packet_of_a_chunk_tells_the_time() -> None:
    """Read late, packets of 30 ms come as one chunk: the clock is not 30 ms ahead then."""
    stepper = live()
    stepper.push(Chunk(at([0, 10_000, 30_000]), START, latest=START + 30 * MS))
    assert stepper.due(START + 33 * MS) == 31
    assert stepper.behind(START + 33 * MS) == 31
    taken(stepper)
    assert stepper.behind(START + 33 * MS) == 1


def test_skipping() -> None:
    stepper = live(depth=4, lateness=None)
    stepper.push(sent([500, 600, 1500], 1.5))
    stepper.push(sent([2500, 4000, 9000, 11_000, 12_500], 12.5))
    stepper.skip(11)
    assert taken(stepper) == [(11, 1)]
    assert (stepper.skipped_steps, stepper.skipped, stepper.placed, stepper.late) == (11, 6, 8, 0)
    stepper.skip(20)  # steps that are still to come
    stepper.push(sent([15_000, 25_500], 25.5))
    assert taken(stepper) == [(k, 0) for k in range(20, 25)]
    assert (stepper.skipped_steps, stepper.skipped) == (11 + 8, 8)


@given(st.lists(st.tuples(st.integers(-500, 9000), st.integers(0, 9000)), min_size=1, max_size=60))
def test_lateness_that_grows_lets_nearly_all_in(came: list[tuple[int, int]]) -> None:
    delays = Delays(2000, 5000)
    for us, silence in came:
        delays.heard(us, silence, START)
    needed = np.array([min(pair) for pair in came if pair[1] >= 2000] or [0])
    share = [(needed >= lateness).mean() for lateness in (delays.us, delays.us - Delays.UNIT_US)]
    assert 2000 <= delays.us <= 5000
    assert share[0] <= Delays.SHARE or delays.us == 5000
    assert share[1] > Delays.SHARE or delays.us == 2000


def test_lateness_falls_again() -> None:
    """A sender that gathers 8 ms of events, then 1 ms."""
    stepper = live(most_lateness=20_000)
    for ms in range(8, 1600, 8):
        stepper.push(sent([1000 * k for k in range(ms - 8, ms)], ms))
        taken(stepper)
    assert stepper.lateness == 6250  # the end of the first's step was 6 ms ago, by a clock that shows the last's time
    assert stepper.late == 5  # of the second packet, before it was known
    for ms in range(1600, 2700, 3):  # silences that close nothing too soon
        stepper.push(sent([1000 * ms], ms))
        taken(stepper)
    assert (stepper.lateness, stepper.late) == (2000, 5)


class Now:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.ns = START

    def __call__(self) -> int:
        return self.ns


class Input:
    """Stands for a source; the test puts its chunks."""

    name, sensor_size, live, speed = "packets", None, True, 1.0
    malformed = Malformed()


class Heard(list[Any]):
    def frames(self, frames: Array) -> None:
        pass

    def answer(self, answer: Any) -> None:
        self.append(answer)


@pytest.fixture(scope="module")
def chip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("chip") / "net.snnx")


def turns(loop: Loop) -> None:
    while len(loop.queue) or loop.stepper.ready or loop.stepper.waiting:
        loop.turn(0)
    loop.turn(0)


def test_latency_of_bursts(chip: Path) -> None:
    """5 ms of every 20: the last step of a burst does not wait for the next one. By the injected clock, exactly."""
    now, network = Now(), open_network(chip)
    loop = Loop(network, Input(), LiveSettings(reset="none", window=6), Fraction(1000), None, now)  # type: ignore
    lag = network._skip  # type: ignore[attr-defined]
    for half in range(2, 400):  # a source that ticks every half ms, and sends what happened in the ms before
        now.ns = START + half * MS // 2
        if half % 2 == 0 and (half // 2 - 1) % 20 < 5:
            loop.queue.put(sent([(half // 2 - 1) * 1000 + u for u in (10, 990)], half / 2))
        else:
            loop.queue.put(tick(half / 2))
        turns(loop)
    worst = loop.reader.latency.max_ns / MS
    assert loop.stepper.late == 0
    # the packet comes at the end of its step; then the lateness, the chip's lag in steps, and a tick
    assert 4 + lag <= worst <= 4 + lag + 0.5 + 0.1


def test_answers_flow_in_silence(chip: Path) -> None:
    now, seen = Now(), Heard()
    loop = Loop(open_network(chip), Input(), LiveSettings(every=1), Fraction(1000), seen, now)  # type: ignore
    loop.queue.put(sent([500], 0.5))
    for ms in range(1, 100):
        now.ns = START + ms * MS
        loop.queue.put(tick(ms))
        turns(loop)
    assert [a.step for a in seen][:90] == list(range(90))
    assert sum(a.events for a in seen) == 1


def test_overload_skips_to_the_present(chip: Path) -> None:
    """After a skip the answers are those of a network that begins there, at rest; every event is in the sum."""
    settings = LiveSettings(reset="none", window=6, every=1, behind=10, chunk=4)
    now, seen = Now(), Heard()
    loop = Loop(open_network(chip), Input(), settings, Fraction(1000), seen, now)  # type: ignore
    rng = np.random.default_rng(0)
    whole = at(np.sort(rng.integers(0, 60_000, 4000)).tolist())
    whole["x"], whole["y"] = rng.integers(0, SIDE, (2, 4000))
    for ms in range(1, 61):
        part = whole[(whole["t"] >= 1000 * (ms - 1)) & (whole["t"] < 1000 * ms)]
        loop.queue.put(Chunk(part, START + ms * MS))
        if ms < 20 or ms > 40:  # in between nobody computes
            now.ns = START + ms * MS
            turns(loop)
    loop.finish()
    stepper = loop.stepper
    assert loop.skips == 1
    assert loop.behind > 10
    first = min(a.step for a in seen if a.step > 25)
    assert stepper.skipped_steps == first - (max(a.step for a in seen if a.step < 25) + 1) > 10
    assert (
        stepper.skipped == ((whole["t"] >= 1000 * (first - stepper.skipped_steps)) & (whole["t"] < 1000 * first)).sum()
    )
    assert sum(a.events for a in seen) + stepper.skipped == 4000 == stepper.placed
    alone = Heard()
    run(open_network(chip), ArraySource([whole[whole["t"] >= 1000 * first]]), LiveSettings(
        reset="none", window=6, every=1, start=1000 * first), alone)  # fmt: skip
    assert [(a.step, a.scores) for a in seen if a.step >= first] == [(a.step, a.scores) for a in alone]


def test_without_a_limit_every_step_is_computed(chip: Path) -> None:
    now = Now()
    loop = Loop(open_network(chip), Input(), LiveSettings(), Fraction(1000), None, now)  # type: ignore
    loop.queue.put(sent([500], 0.5))
    now.ns = START + 3000 * MS
    loop.queue.put(tick(3000))
    turns(loop)
    loop.finish()
    assert (loop.skips, loop.stepper.skipped_steps) == (0, 0)
    assert loop.behind > 2900
    assert loop.reader.steps > 2990


def test_a_recording_at_a_speed_is_never_late_and_knows_when_it_is_behind(chip: Path) -> None:
    now = Now()
    source = ArraySource([], speed=2.0)
    loop = Loop(open_network(chip), source, LiveSettings(behind=5), Fraction(1000), None, now)
    for ms in range(1, 11):
        loop.queue.put(Chunk(at([1000 * ms - 500]), START + ms * MS // 2, mark=1000 * ms))
    now.ns = START + 5 * MS
    assert loop.stepper.behind(now.ns) == 0
    turns(loop)
    assert (loop.behind, loop.skips, loop.stepper.skipped_steps) == (10, 1, 10)
    assert (loop.stepper.late, loop.stepper.skipped) == (0, 10)


def test_wrong_use(chip: Path) -> None:
    with pytest.raises(UsageError, match="nothing can be behind"):
        run(open_network(chip), ArraySource([]), LiveSettings(behind=3))
    for bad in ({"lateness": -1}, {"lateness": "soon"}, {"behind": 0}):
        with pytest.raises(ParameterError):
            LiveSettings(**bad)  # type: ignore[arg-type]
    assert LiveSettings().lateness_us() == (4000, 20_000)
    assert LiveSettings(hold=70).lateness_us() == (4070, 20_070)
    assert LiveSettings(lateness=0).lateness_us() == (0, None)
    assert LiveSettings(lateness="off").lateness_us() == (None, None)
