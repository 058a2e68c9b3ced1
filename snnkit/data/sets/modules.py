"""Published sets as LightningDataModules, each over the source in the file of its name."""

from __future__ import annotations

from snnkit.data.sets.asl_dvs import ASLDVSSource
from snnkit.data.sets.cifar10_dvs import CIFAR10DVSSource
from snnkit.data.sets.dvs_gesture import DVSGestureSource
from snnkit.data.sets.dvs_lip import DVSLipSource
from snnkit.data.sets.heidelberg import SHDSource, SSCSource
from snnkit.data.sets.module import CameraSet, SeriesSet
from snnkit.data.sets.ncaltech101 import NCaltech101Source
from snnkit.data.sets.ntidigits import NTIDIGITSSource
from snnkit.data.sets.st_mnist import STMNISTSource


class ASLDVS(CameraSet):
    """ASL-DVS, 240×180 pixels, 24 letters, 4200 of each (Bi et al. 2019, doi:10.1109/ICCV.2019.00058); drawn parts.

    `root` is the archive, its folder, or the folder given to tonic. The arguments are those of `CameraSet`.
    """

    make = ASLDVSSource


class CIFAR10DVS(CameraSet):
    """CIFAR10-DVS, 128×128 pixels, ten classes of 1000 (Li et al. 2017, doi:10.3389/fnins.2017.00309); drawn parts.

    `root` is the folder of airplane.zip to truck.zip or what they unpack to, or tonic's. The arguments are those of
    `CameraSet`.
    """

    make = CIFAR10DVSSource


class DVSGesture(CameraSet):
    """DVS128 Gesture, 128×128 pixels, 11 gestures (Amir et al. 2017, doi:10.1109/CVPR.2017.781); official parts.

    `root` is DvsGesture.tar.gz, its folder, or the folder given to tonic. The arguments are those of `CameraSet`.
    """

    make = DVSGestureSource


class DVSLip(CameraSet):
    """DVS-Lip, 128×128 pixels, 100 words (Tan et al. 2022, doi:10.1109/CVPR52688.2022.01946); official parts.

    `root` is DVS-Lip.zip, its folder, or the folder given to tonic. The arguments are those of `CameraSet`.
    """

    make = DVSLipSource


class NCaltech101(CameraSet):
    """N-Caltech101, 240×180 pixels, 101 classes (Orchard et al. 2015, doi:10.3389/fnins.2015.00437); drawn parts.

    `root` is Caltech101.zip, its folder, or the folder given to tonic. The arguments are those of `CameraSet`.
    """

    make = NCaltech101Source


class NTIDIGITS(SeriesSet):
    """N-TIDIGITS18, single digits: 64 channels, 11 classes (Anumula et al. 2018, doi:10.3389/fnins.2018.00023).

    `root` is n-tidigits.hdf5 or its folder, or the folder given to tonic; official test part. The arguments are those
    of `SeriesSet`.
    """

    make = NTIDIGITSSource


class SHD(SeriesSet):
    """Spiking Heidelberg Digits: 700 channels, 20 classes (Cramer et al. 2020, doi:10.1109/TNNLS.2020.3044364).

    `root` is the folder of shd_train.h5 and shd_test.h5 (or their archives), or the folder given to tonic; official
    test part. The arguments are those of `SeriesSet`.
    """

    make = SHDSource


class SSC(SeriesSet):
    """Spiking Speech Commands: 700 channels, 35 classes (Cramer et al. 2020, doi:10.1109/TNNLS.2020.3044364).

    `root` is the folder of ssc_train.h5, ssc_valid.h5 and ssc_test.h5 (or their archives), or the folder given to
    tonic; official parts. The arguments are those of `SeriesSet`.
    """

    make = SSCSource


class STMNIST(CameraSet):
    """ST-MNIST touch recordings, 10×10 taxels, ten digits (See et al. 2020, arXiv:2005.04319); drawn parts.

    `root` is the authors' zip or its folder; tonic does not download it. The arguments are those of `CameraSet`.
    """

    make = STMNISTSource
