"""A user's own images, in one .npz file."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.paths import from_user
from aelab.data.splits import Images, Splits, checksum

IMAGES = ("x_train", "x_test")
LABELS = ("y_train", "y_test")


class Arrays:
    """The arrays `x_train`, `x_test` and, both or neither, `y_train`, `y_test` of one .npz file.

    x: (N, H, W) or (N, C, H, W), integers or floats. y: (N,), integers.
    root: the file's path.
    range: the values that stand for black and white; all others must lie between them.
    """

    def __init__(self, root: str | Path, range: Sequence[float] = (0, 255)) -> None:
        self.path = from_user(root)
        self.range = tuple(range)

    def prepare(self) -> None:
        """DataError where the file is missing, ConfigurationError where the range is none."""
        if not zipfile.is_zipfile(self.path):
            raise DataError(f"{self.path}: there is no .npz file; data.root must name one")
        if len(self.range) != 2 or not self.range[0] < self.range[1]:
            raise ConfigurationError(
                f"data.source.range={list(self.range)} is no range; two rising bounds such as [0, 1] are"
            )

    def load(self) -> Splits:
        """Read the arrays; pixels are rescaled from `range` to 0..255 and rounded."""
        self.prepare()
        arrays = self._arrays()
        checksums = {f"{self.path.name}/{key}": checksum(array.tobytes()) for key, array in arrays.items()}
        return Splits(self._images(arrays, "train"), self._images(arrays, "test"), checksums)

    def _arrays(self) -> dict[str, np.ndarray]:
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                found = sorted(archive)
                arrays = {key: archive[key] for key in IMAGES + LABELS if key in archive}
        except Exception as error:  # zipfile and numpy raise a dozen kinds for damaged bytes
            raise DataError(
                f"{self.path}: cannot be read ({error}); an .npz of plain numeric arrays is needed"
            ) from error
        if tuple(arrays) not in (IMAGES, IMAGES + LABELS):
            raise DataError(
                f"{self.path}: holds {found}, but x_train and x_test are needed, "
                "with both of y_train and y_test or neither"
            )
        return arrays

    def _images(self, arrays: Mapping[str, np.ndarray], split: str) -> Images:
        x, y = arrays[f"x_{split}"], arrays.get(f"y_{split}")
        pixels = torch.from_numpy(self._pixels(x, f"{self.path}: x_{split}"))
        if y is None:
            return Images(pixels)
        if y.dtype.kind not in "iu" or y.shape != x.shape[:1]:
            raise DataError(
                f"{self.path}: y_{split} holds {y.dtype} of shape {y.shape} for {len(x)} images; "
                f"integers of shape ({len(x)},) are needed"
            )
        return Images(pixels, torch.from_numpy(y.astype(np.int64)))

    def _pixels(self, x: np.ndarray, where: str) -> np.ndarray:
        if x.dtype.kind not in "buif" or x.ndim not in (3, 4) or x.size == 0:
            raise DataError(
                f"{where} holds {x.dtype} of shape {x.shape}; numbers of shape (N, H, W) or (N, C, H, W), "
                "none of them 0, are needed"
            )
        (black, white), low, high = self.range, x.min(), x.max()
        if not (black <= low and high <= white):  # false for NaN as well
            raise DataError(
                f"{where} holds values from {low} to {high}, but data.source.range says {black} to {white}; "
                "state the range that the values have"
            )
        pixels = np.rint((x.astype(np.float32) - black) * (255 / (white - black))).astype(np.uint8)
        return pixels[:, None] if x.ndim == 3 else pixels
