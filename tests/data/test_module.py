from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from snnkit.data import NMNIST, Augment, EpochSampler, EventDataModule, FrameSettings, SaccadeDigits
from snnkit.errors import ParameterError


@pytest.fixture(scope="module")
def small() -> SaccadeDigits:
    return SaccadeDigits(batch_size=8, T=5, subset=40, augment=Augment.nmnist())


def make(**changes) -> SaccadeDigits:
    return SaccadeDigits(**{"batch_size": 8, "T": 5, "subset": 40, "augment": Augment.nmnist(), **changes})


def epoch(dm, e):
    dm.set_epoch(e)
    return list(dm.train_dataloader())


def same(a, b) -> bool:
    return len(a) == len(b) and all(torch.equal(u.x, v.x) and torch.equal(u.y, v.y) for u, v in zip(a, b))


def test_shapes_and_facts(small):
    small.prepare_data()
    small.setup("fit")
    assert (small.sensor_size, small.num_classes, small.input_shape, small.T) == ((34, 34), 10, (2, 34, 34), 5)
    batch = next(iter(small.train_dataloader()))
    assert batch.x.shape == (5, 8, 2, 34, 34)
    assert batch.x.is_contiguous()
    assert set(batch.x.unique().tolist()) == {0.0, 1.0}
    assert batch.lengths is None
    facts = small.describe()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["samples"] == {"train": 40, "validation": 20, "test": 20}
    assert facts["frames"] == {"T": 5, "by": "time", "binary": True, "window_us": 315_000}
    assert facts["digest"] == small.digest
    assert len(small.stream("test", 0)) > 1000
    assert small.labels("test").shape == (20,)


def test_order_and_augmentation_follow_from_seed_and_epoch(small):
    first = epoch(make(), 3)
    assert same(first, epoch(make(), 3))
    again = make()
    for e in range(4):  # an unbroken run reaches epoch 3 by way of the others
        reached = epoch(again, e)
    assert same(first, reached)
    assert not same(first, epoch(make(), 4))
    assert not same(first, epoch(make(seed=1), 3))
    assert sorted(torch.cat([b.y for b in first]).tolist()) == sorted(small.labels("train").tolist())


def test_one_loader_changes_with_the_epoch():
    dm = make()
    loader = dm.train_dataloader()
    passes = []
    for e in (0, 1, 0):
        dm.set_epoch(e)
        passes.append(list(loader))
    assert same(passes[0], passes[2])
    assert not same(passes[0], passes[1])


def test_workers_change_nothing():
    alone, helped = make(), make(num_workers=2)
    loaders = alone.train_dataloader(), helped.train_dataloader()
    for e in (0, 1):  # the second pass reuses the worker processes
        for dm in (alone, helped):
            dm.set_epoch(e)
        assert same(*(list(loader) for loader in loaders))
    assert same(list(alone.test_dataloader()), list(helped.test_dataloader()))


@pytest.mark.parametrize("workers", [0, 2])
def test_loading_leaves_torchs_random_state_alone(workers):
    dm = make(num_workers=workers)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    epoch(dm, 0)
    list(dm.val_dataloader())
    assert torch.equal(torch.get_rng_state(), before)


def test_recipes_can_state_every_setting():
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(EventDataModule, "data")
    recipe = {
        "class_path": "snnkit.data.SaccadeDigits",
        "init_args": {"T": 4, "by": "count", "subset": 40, "augment": {"shift_px": 1.5, "drop": 0.2}},
    }
    instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes  # renamed in jsonargparse 4.49
    dm = instantiate(parser.parse_object({"data": recipe})).data
    assert isinstance(dm, SaccadeDigits)
    assert dm.augment == Augment(shift_px=1.5, drop=0.2)
    assert dm.frames == FrameSettings(T=4, by="count", window_us=315_000)


def test_lightning_sets_the_epoch_by_itself():
    import lightning as L

    seen = []

    class Watch(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch, _):
            seen.append((self.current_epoch, batch))
            return self.layer(batch.x.mean().reshape(1, 1)).sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    trainer = L.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Watch(), train_dataloaders=make().train_dataloader())
    for e in range(3):
        assert same([b for k, b in seen if k == e], epoch(make(), e))


def test_evaluation_is_in_order_and_not_augmented(small):
    frames, labels = small.dataset("validation").stack()
    batches = list(small.val_dataloader())
    assert torch.equal(torch.cat([b.x for b in batches], 1), torch.from_numpy(frames))
    assert torch.cat([b.y for b in batches]).tolist() == labels.tolist()
    plain = make(augment=None)
    x, y = plain.dataset("train")[0]
    assert np.array_equal(x, small.dataset("train")[0][0])
    assert not np.array_equal(x, small.dataset("train", augment=True)[0][0])
    assert y == small.labels("train")[0]
    assert same(list(small.test_dataloader()), list(small.predict_dataloader()))


def test_the_sampler_yields_epoch_and_index():
    sampler = EpochSampler(6, seed=0)
    sampler.set_epoch(2)
    pairs = list(sampler)
    assert {e for e, _ in pairs} == {2}
    assert sorted(i for _, i in pairs) == list(range(6))
    assert list(EpochSampler(3, 0, shuffle=False)) == [(0, 0), (0, 1), (0, 2)]


@pytest.mark.parametrize("bad", [{"batch_size": 0}, {"num_workers": -1}, {"T": 0}, {"by": "space"}, {"window_us": -5}])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ParameterError):
        make(**bad)


def test_nmnist_is_the_same_kind_of_module(shared_dir):
    dm = NMNIST(str(shared_dir / "data" / "nmnist_subset"), T=3, batch_size=50)
    assert isinstance(dm, EventDataModule)
    dm.setup()
    batches = list(dm.test_dataloader())
    assert [b.x.shape for b in batches] == [(3, 50, 2, 34, 34)] * 4
    assert dm.frames == FrameSettings(T=3, window_us=315_000)


def test_reading_and_binning_load_no_torch(tmp_path):
    code = """
import sys
import snnkit.data as d
d.EventStream, d.to_frames, d.read_atis, d.describe_recording, d.open_source, d.EventDataset, d.Augment
heavy = {"torch", "lightning", "tonic", "numba", "sklearn", "scipy", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
assert set(dir(d)) >= {"NMNIST", "SaccadeDigits", "Batch"}
try:
    d.Nonsense
except AttributeError:
    pass
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=55)
