"""A user's own arrays, in one .npz file: images, or vectors."""

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.paths import from_user
from aelab.data.splits import Observations, Splits, checksum

OBSERVATIONS = ("x_train", "x_test")
LABELS = ("y_train", "y_test")


class Npz(ABC):
    """The arrays `x_train`, `x_test` and, both or neither, `y_train`, `y_test` of one .npz file.

    y: (N,), integers.
    root: the file's path.
    """

    def __init__(self, root: str | Path) -> None:
        self.path = from_user(root)

    def prepare(self) -> None:
        """DataError where the file is missing."""
        if not zipfile.is_zipfile(self.path):
            raise DataError(f"{self.path}: there is no .npz file; data.root must name one")

    def load(self) -> Splits:
        """Read the arrays, as what is stored of observations."""
        self.prepare()
        arrays = self._arrays()
        checksums = {f"{self.path.name}/{key}": checksum(array.tobytes()) for key, array in arrays.items()}
        train, test = (
            self._observations(arrays[f"x_{split}"], arrays.get(f"y_{split}"), split)
            for split in ("train", "test")
        )
        return Splits(train, test, checksums)

    @abstractmethod
    def stored(self, x: np.ndarray, where: str) -> Tensor:
        """The observations in an array, as their kind is stored; DataError for what holds none."""

    def _arrays(self) -> dict[str, np.ndarray]:
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                found = sorted(archive)
                arrays = {key: archive[key] for key in OBSERVATIONS + LABELS if key in archive}
        except Exception as error:  # zipfile and numpy raise a dozen kinds for damaged bytes
            raise DataError(
                f"{self.path}: cannot be read ({error}); an .npz of plain numeric arrays is needed"
            ) from error
        if tuple(arrays) not in (OBSERVATIONS, OBSERVATIONS + LABELS):
            raise DataError(
                f"{self.path}: holds {found}, but x_train and x_test are needed, "
                "with both of y_train and y_test or neither"
            )
        return arrays

    def _observations(self, x: np.ndarray, y: np.ndarray | None, split: str) -> Observations:
        stored = self.stored(x, f"{self.path}: x_{split}")
        if y is None:
            return Observations(stored)
        if y.dtype.kind not in "iu" or y.shape != x.shape[:1]:
            raise DataError(
                f"{self.path}: y_{split} holds {y.dtype} of shape {y.shape} for {len(x)} rows of x_{split}; "
                f"integers of shape ({len(x)},) are needed"
            )
        return Observations(stored, torch.from_numpy(y.astype(np.int64)))


class Arrays(Npz):
    """Images: x (N, H, W) or (N, C, H, W), integers or floats, rescaled to 0..255 and rounded.

    range: the values that stand for black and white; all others must lie between them.
    """

    def __init__(self, root: str | Path, range: Sequence[float] = (0, 255)) -> None:
        super().__init__(root)
        self.range = tuple(range)

    def prepare(self) -> None:
        """DataError where the file is missing, ConfigurationError where the range is none."""
        super().prepare()
        if len(self.range) != 2 or not self.range[0] < self.range[1]:
            raise ConfigurationError(
                f"data.source.range={list(self.range)} is no range; two rising bounds such as [0, 1] are"
            )

    def stored(self, x: np.ndarray, where: str) -> Tensor:
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
        return torch.from_numpy(pixels[:, None] if x.ndim == 3 else pixels)


class Vectors(Npz):
    """Vectors: x (N, D), integers or floats, in units of their own."""

    def stored(self, x: np.ndarray, where: str) -> Tensor:
        return rows(x, where)


def rows(x: np.ndarray, where: str) -> Tensor:
    """Numbers (N, D) as float32; DataError for other arrays, and for NaN and infinities."""
    if x.dtype.kind not in "buif" or x.ndim != 2 or x.size == 0:
        raise DataError(
            f"{where} holds {x.dtype} of shape {x.shape}; numbers of shape (N, D), none of them 0, are needed"
        )
    found = x.astype(np.float32)
    finite = np.isfinite(found)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise DataError(
            f"{where} holds {x[row, column]} in row {row}, column {column}: leave out, or fill in, "
            "what is not finite"
        )
    return torch.from_numpy(found)
