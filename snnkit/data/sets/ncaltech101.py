"""N-Caltech101: images of Caltech101 before an ATIS sensor that makes three saccades.

Layout: Caltech101/CLASS/image_NNNN.bin (ATIS). Recordings have the sizes of their images, at most 240×180; events keep
their coordinates. There is no official division: a fifth of each class is the test part and a tenth validation, drawn
once by `snnkit.data.splits.seeded_parts` with seed 0.
"""

from __future__ import annotations

from collections.abc import Iterable

from snnkit.data.archives import Member
from snnkit.data.sets.facts import Facts
from snnkit.data.sets.reading import class_folders
from snnkit.data.sets.source import Item, SetSource

OBJECTS = (
    "BACKGROUND_Google Faces_easy Leopards Motorbikes accordion airplanes anchor ant barrel bass beaver "
    "binocular bonsai brain brontosaurus buddha butterfly camera cannon car_side ceiling_fan cellphone chair "
    "chandelier cougar_body cougar_face crab crayfish crocodile crocodile_head cup dalmatian dollar_bill "
    "dolphin dragonfly electric_guitar elephant emu euphonium ewer ferry flamingo flamingo_head garfield "
    "gerenuk gramophone grand_piano hawksbill headphone hedgehog helicopter ibis inline_skate joshua_tree "
    "kangaroo ketch lamp laptop llama lobster lotus mandolin mayfly menorah metronome minaret nautilus octopus "
    "okapi pagoda panda pigeon pizza platypus pyramid revolver rhino rooster saxophone schooner scissors "
    "scorpion sea_horse snoopy soccer_ball stapler starfish stegosaurus stop_sign strawberry sunflower tick "
    "trilobite umbrella watch water_lilly wheelchair wild_cat windsor_chair wrench yin_yang"
)


class NCaltech101Source(SetSource):
    """N-Caltech101 from its archive or folder; see `SetSource` for the arguments."""

    name = "n-caltech101"
    sensor_size = (240, 180)
    window_us = 300_000
    classes = tuple(OBJECTS.split())
    facts = Facts(
        title="N-Caltech101",
        source="Orchard et al. 2015, doi:10.3389/fnins.2015.00437",
        home="https://www.garrickorchard.com/datasets/n-caltech101 (Mendeley Data, doi:10.17632/cy6cvx3ryv)",
        licence="CC BY 4.0",
        layout="Caltech101.zip or its folder Caltech101/CLASS/image_NNNN.bin",
        endings=(".bin",),
        md5={
            "Caltech101.zip": "66201824eabb0239c7ab992480b50ba3",
            "N-Caltech101-archive.zip": "66201824eabb0239c7ab992480b50ba3",
        },
        tonic="NCALTECH101",
        tonic_parts=({},),
    )

    def find(self, files: list[Member]) -> Iterable[Item]:
        return class_folders(files, self.classes, self.sensor_size)
