"""Every picture: axes in and out, what is drawn is what was given, no pyplot, typed errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from PIL import Image

from snnkit import viz
from snnkit.data import EventStream
from snnkit.errors import ParameterError, ShapeError, SnnkitError

RNG = np.random.default_rng(0)
SPIKES = RNG.random((12, 30)) < 0.2
RESOURCES = {
    "cores": [{"core": 0, "layer": "conv", "compartments": 512}, {"core": 5, "layer": "out", "compartments": 10}],
    "limits": {"compartments": 1024},
}
PICTURES: dict[str, Callable[[Any], Axes]] = {
    "raster": lambda ax: viz.raster(SPIKES, title="a", ax=ax),
    "compared": lambda ax: viz.raster(SPIKES, ~SPIKES, dt_us=1000, ax=ax),
    "membrane": lambda ax: viz.membrane(RNG.normal(size=(20, 3)), 1.0, RNG.random((20, 3)) < 0.1, unit="mV", ax=ax),
    "events": lambda ax: viz.events(RNG.poisson(0.2, (6, 2, 8, 10)), panels=3, title="t", ax=ax),
    "accuracy_bars": lambda ax: viz.accuracy_bars({"torch": 0.9, "other": 0.0}, samples=50, ax=ax),
    "firing_rates": lambda ax: viz.firing_rates({"a": [0.0, 0.2], "b": 0.1}, ax=ax),
    "rate_histograms": lambda ax: viz.rate_histograms({"a": RNG.random(50), "b": np.zeros((2, 3))}, ax=ax),
    "weights": lambda ax: viz.weights(RNG.normal(size=(5, 9)), title="w", ax=ax),
    "filters": lambda ax: viz.filters(RNG.normal(size=(7, 2, 3, 3)), limit=2.0, ax=ax),
    "dense filters": lambda ax: viz.filters(RNG.normal(size=(4, 12)), (3, 4), columns=2, ax=ax),
    "confusion": lambda ax: viz.confusion([[5, 1], [0, 4]], ["cat", "a dog"], ax=ax),
    "histories": lambda ax: viz.histories({"start": [0.3, 0.8], "tuned": [float("nan"), 0.5, 0.9]}, title="h", ax=ax),
    "core_usage": lambda ax: viz.core_usage(RESOURCES, cores_per_chip=8, title="c", ax=ax),
}


@pytest.mark.parametrize("name", PICTURES)
def test_axes_in_and_out(name: str) -> None:
    ax = Figure().add_subplot()
    assert PICTURES[name](ax) is ax
    made = PICTURES[name](None)
    assert isinstance(made, Axes)
    assert viz.to_svg(made, name).startswith("<svg ")


def test_neither_torch_nor_pyplot_is_loaded() -> None:
    code = (
        "import sys, snnkit.viz as viz\n"
        "assert 'matplotlib' not in sys.modules\n"
        "viz.to_svg(viz.raster([[0, 1], [1, 0]]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _dashes(ax: Axes) -> list[int]:
    return [len(patch.get_path().vertices) // 2 for patch in ax.patches]


def test_raster_draws_every_spike_once() -> None:
    ax = viz.raster(SPIKES)
    assert _dashes(ax) == [int(SPIKES.sum())]
    (patch,) = ax.patches
    middle = patch.get_path().vertices.reshape(-1, 2, 2).mean(1)
    assert {tuple(p) for p in middle.round().astype(int).tolist()} == set(
        zip(*map(np.ndarray.tolist, SPIKES.nonzero()))
    )


def test_compared_rasters_mark_what_differs() -> None:
    other = SPIKES.copy()
    other[3, 4] = ~other[3, 4]
    other[7, 8] = ~other[7, 8]
    ax = viz.raster(SPIKES, other)
    both = int((SPIKES & other).sum())
    assert sum(_dashes(ax)) == both + 2
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts[0] == "both"
    assert sum(int(t.split("(")[1].rstrip(")")) for t in texts[1:]) == 2
    assert viz.raster(SPIKES, SPIKES).get_legend() is None


def test_raster_time_axis() -> None:
    assert viz.raster(SPIKES).get_xlabel() == "step"
    ax = viz.raster(SPIKES, dt_us=500)
    assert ax.get_xlabel() == "time (ms)"
    assert ax.get_xlim() == (-0.25, 5.75)


def test_raster_takes_tensors_with_gradients_and_more_dimensions() -> None:
    torch = pytest.importorskip("torch")
    x = torch.zeros(4, 2, 3, requires_grad=True)
    assert viz.raster(x).get_ylim() == (-0.5, 5.5)


def test_rasters_share_time() -> None:
    figure = viz.rasters({"in": SPIKES, "hidden $x$": SPIKES}, {"hidden $x$": SPIKES}, title="all")
    assert len(figure.axes) == 2
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()


def test_events_lose_nothing_and_know_on_from_off() -> None:
    stream = EventStream.from_columns([0, 10, 20], [1, 1, 2], [0, 0, 3], [1, 1, 0], (5, 4))
    ax = viz.events(stream)
    shown = np.asarray(ax.images[0].get_array())
    assert shown.shape == (4, 5, 4)
    assert set(zip(*map(np.ndarray.tolist, shown[..., 3].nonzero()))) == {(0, 1), (3, 2)}
    assert shown[0, 1, 0] > shown[0, 1, 2]  # ON: more red than blue
    assert shown[3, 2, 0] < shown[3, 2, 2]
    assert "time (ms)" in viz.events(stream, panels=2).get_xlabel()


def test_more_panels_than_steps() -> None:
    assert len(viz.events(np.ones((2, 2, 3, 3)), panels=9).get_xticks()) == 2


def test_membrane_highlights() -> None:
    v = RNG.normal(size=(10, 12))
    assert viz.membrane(v).get_legend().get_texts()[0].get_text() == "mean"
    texts = viz.membrane(v, highlight=[7]).get_legend().get_texts()
    assert [t.get_text() for t in texts] == ["neuron 7"]


def test_core_usage_heights_are_shares() -> None:
    ax = viz.core_usage(RESOURCES, cores_per_chip=8)
    boxes = [p.get_path().vertices.reshape(-1, 5, 2) for p in ax.get_children() if isinstance(p, PathPatch)]
    empty, tiles, tracks, bars = (np.ptp(box[..., 1], axis=1) for box in boxes)
    assert (len(empty), len(tiles)) == (6, 2)
    np.testing.assert_allclose(bars / tracks, [512 / 1024, 0.012 / 0.48])  # a used resource is never invisible
    rows = [{"core": 0, "usage": {"compartments": 512}}]
    own = viz.core_usage({"per_core": [{"core": 0, "neurons": 3}], "budget": {"neurons": 4, "axons": 8}})
    assert own.get_legend() is not None
    assert [t.get_text() for t in own.get_legend().get_texts()] == ["neurons", "axons"]
    same = viz.core_usage({"per_core": rows, "budget": RESOURCES["limits"]})
    assert any(t.get_text() == "0" for t in same.texts)


def test_core_usage_of_many_cores_is_strips() -> None:
    many = {
        "cores": [{"core": k, "layer": "abc"[k // 150], "axons": k % 257, "neurons": 256} for k in range(400)],
        "limits": {"axons": 256, "neurons": 256, "synapses": 65536},
    }
    ax = viz.core_usage(many, cores_per_chip=4096, title="t")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["axons", "neurons", "crossbar fill"]
    assert {"a", "b", "c", "mean 100%", "mean 0%"} <= {t.get_text() for t in ax.texts}
    assert viz.to_svg(ax, "strips").startswith("<svg ")


def test_core_usage_of_a_descriptor_names_the_layers_of_its_cores(tmp_path: Path) -> None:
    import torch

    from snnkit import nn as snn
    from snnkit.validation.pipeline import to_chip, write_descriptor

    model = torch.nn.Sequential(snn.Linear(20, 12), snn.LIF(decay=1.0), snn.Linear(12, 4), snn.LIF(decay=1.0))
    x = np.zeros((4, 2, 20), np.uint8)
    for target, labels in (("truenorth", ["axons", "neurons", "crossbar fill"]), ("loihi", ["compartments"])):
        chip = to_chip(model, (20,), target, x, steps=4)
        made = write_descriptor(tmp_path / f"{target}.snnx", chip, target, x)
        ax = viz.core_usage(made)
        assert [t.get_text() for t in ax.get_legend().get_texts()][: len(labels)] == labels
        assert {"1", "3"} <= {t.get_text() for t in ax.texts}


def test_no_mathematics_in_names() -> None:
    svg = viz.to_svg(viz.accuracy_bars({r"$\frac{broken$ <b>": 0.5}))
    assert r"$\frac{broken$ &lt;b&gt;" in svg


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: viz.raster([1, 0]), ShapeError),
        (lambda: viz.raster([[1, 0]], [[1]]), ShapeError),
        (lambda: viz.membrane(np.zeros((2, 2, 2))), ShapeError),
        (lambda: viz.membrane([0.0, 1.0], spikes=[1, 0, 1, 0]), ShapeError),
        (lambda: viz.membrane([0.0, 1.0], highlight=[3]), ShapeError),
        (lambda: viz.events(np.zeros((3, 3, 8, 8))), ShapeError),
        (lambda: viz.events(np.zeros((3, 2, 8, 8)), panels=0), ParameterError),
        (lambda: viz.accuracy_bars({}), ParameterError),
        (lambda: viz.accuracy_bars({"a": 97.0}), ParameterError),
        (lambda: viz.firing_rates({}), ParameterError),
        (lambda: viz.confusion([[1, 2]]), ShapeError),
        (lambda: viz.confusion([[1]], ["a", "b"]), ShapeError),
        (lambda: viz.core_usage({}), ParameterError),
        (lambda: viz.histories({}), ParameterError),
        (lambda: viz.histories({"a": [0.5, 1.5]}), ParameterError),
    ],
)
def test_errors_are_typed(call: Callable[[], Any], error: type[SnnkitError]) -> None:
    with pytest.raises(error):
        call()


# ----------------------------------------------------------------------------------------------- weights and histograms
def test_weights_are_drawn_as_they_are_with_equal_ends() -> None:
    w = np.array([[1.0, -2.0], [0.5, 0.0], [3.0, 1.0]])
    image = viz.weights(w).images[0]
    assert np.array_equal(np.asarray(image.get_array()), w)
    assert image.get_clim() == (-3.0, 3.0)
    conv = viz.weights(np.arange(24.0).reshape(2, 3, 2, 2)).images[0]
    assert np.asarray(conv.get_array()).shape == (2, 12)
    assert viz.weights(np.zeros((2, 2))).images[0].get_clim() == (-1.0, 1.0)


def test_filters_lay_each_neuron_s_channels_below_each_other() -> None:
    w = RNG.normal(size=(3, 2, 2, 3))
    canvas = np.asarray(viz.filters(w, columns=2, limit=1.0).images[0].get_array().filled(np.nan))  # type: ignore[union-attr]
    assert canvas.shape == (2 * 5 - 1, 2 * 4 - 1)
    assert np.array_equal(canvas[0:2, 0:3], w[0, 0])
    assert np.array_equal(canvas[2:4, 4:7], w[1, 1])
    assert np.array_equal(canvas[5:7, 0:3], w[2, 0])
    assert np.isnan(canvas[:, 3]).all()
    own = np.asarray(viz.filters(w, columns=3).images[0].get_array().filled(np.nan))  # type: ignore[union-attr]
    assert np.nanmax(np.abs(own[:, 0:3])) == np.nanmax(np.abs(own[:, 8:11])) == 1.0
    assert len(viz.filters(np.ones((100, 1, 2, 2)), most=9, columns=3).images) == 1


def test_rate_histograms_count_active_neurons_and_say_the_silent() -> None:
    ax = viz.rate_histograms({"a": [0.0, 0.0, 0.1, 0.9, 0.95, 1.0]}, bins=2)
    heights = [-patch.get_height() for patch in ax.patches]
    assert heights == pytest.approx([0.8 / 3, 0.8])
    assert any("33% silent" in t.get_text() for t in ax.texts)


def test_an_animation_shows_every_step(tmp_path: Path) -> None:
    frames = RNG.poisson(0.3, (5, 2, 6, 7))
    moving = viz.animate(frames, interval_ms=50, title="t")
    path = viz.save_animation(moving, tmp_path / "a.gif", dpi=40)
    with Image.open(path) as gif:
        assert gif.n_frames == 5  # type: ignore[attr-defined]
    assert [p.name for p in tmp_path.iterdir()] == ["a.gif"]
    with pytest.raises(ParameterError, match="GIF"):
        viz.save_animation(moving, tmp_path / "a.mp4")
    with pytest.raises(ParameterError):
        viz.animate(frames, steps=0)
    with pytest.raises(ShapeError):
        viz.animate(np.zeros((3, 4)))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: viz.weights(np.zeros(3)),
        lambda: viz.filters(np.zeros((3, 4))),
        lambda: viz.filters(np.zeros((3, 4)), (3, 3)),
        lambda: viz.filters(np.zeros((3, 1, 2, 2)), most=0),
        lambda: viz.rate_histograms({}),
        lambda: viz.rate_histograms({"a": [-0.1]}),
    ],
)
def test_wrong_weights_and_rates_are_refused(draw: Callable[[], Any]) -> None:
    with pytest.raises(SnnkitError):
        draw()
