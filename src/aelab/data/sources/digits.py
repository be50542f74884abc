"""The digits inside scikit-learn: real images that need no network."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from aelab.data.splits import Observations, Splits, checksum

TEST_IMAGES = 297


class Digits:
    """1,797 handwritten digits of 1x8x8, 1,500 to train on and 297 to test (Alpaydin and Kaynak 1998).

    They were published without a split here, so one is fixed for good: it depends on no seed of a run.
    """

    def prepare(self) -> None:
        """Nothing to do: the images are a part of scikit-learn."""

    def load(self) -> Splits:
        """Read both splits; the seventeen grey levels 0..16 become 0..255."""
        table = np.loadtxt(_file(), delimiter=",", dtype=np.int64)
        values, labels = table[:, :-1], table[:, -1]
        pixels = np.rint(values * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
        every = Observations(torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64)))
        # numpy freezes RandomState's stream for all versions, which neither torch nor default_rng promises.
        order = torch.from_numpy(np.random.RandomState(0).permutation(len(every)))
        checksums = {
            "x": checksum(pixels.tobytes()),
            "y": checksum(labels.astype("<i8").tobytes()),
        }
        return Splits(every.take(order[TEST_IMAGES:]), every.take(order[:TEST_IMAGES]), checksums)


def _file() -> Path:
    """Rows of 64 grey levels and a label, without importing scikit-learn, which takes a second."""
    package = find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
