"""A user's own arrays, in one .npz file: images, or vectors."""

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aelab.core.errors import DataError
from aelab.core.files import why_unread
from aelab.core.paths import from_user
from aelab.core.text import listed, sizes
from aelab.data.kinds.pixels import Pixels
from aelab.data.splits import Observations, Splits, checksum
from aelab.figures.decoding import OutOfRangeError, extent
from aelab.figures.depth import channels_first, likely_shape

VALIDATION = ("val", "valid", "validation")  # how the arrays of a validation split may end
SPLITS = ("train", *VALIDATION, "test")
BLOCK = 1000  # images that are scaled at once


class Npz(ABC):
    """The arrays `x_train`, `x_test` and, where it is there, `x_val` of one .npz file, and `y_...` of all.

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
        arrays, others = self._arrays()
        checksums = {f"{self.path.name}/{key}": digest(array) for key, array in arrays.items()}
        splits = [split for split in SPLITS if f"x_{split}" in arrays]
        notes = [f"left aside: arrays of other names {len(others):,} ({listed(others)})"] if others else []
        stored = self.stored(
            [arrays[f"x_{split}"] for split in splits], [self._where(s) for s in splits], notes
        )
        found = {
            split: Observations(x, self._labels(arrays.get(f"y_{split}"), len(x), split))
            for split, x in zip(splits, stored, strict=True)
        }
        val = next((found[split] for split in VALIDATION if split in found), None)
        return Splits(found["train"], found["test"], checksums, val, notes)

    @abstractmethod
    def stored(self, arrays: Sequence[np.ndarray], where: Sequence[str], notes: list[str]) -> list[Tensor]:
        """The observations in the arrays of all splits, as their kind is stored; DataError for others.

        where: their names, for errors. notes: to which is added what was done to them.
        """

    def _where(self, split: str) -> str:
        return f"{self.path}: x_{split}"

    def _arrays(self) -> tuple[dict[str, np.ndarray], list[str]]:
        """The arrays of all splits, and the names of all others."""
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                keys = [f"{letter}_{split}" for letter in "xy" for split in SPLITS]
                arrays = {key: archive[key] for key in keys if key in archive}
                found = sorted(archive)
        except Exception as error:  # zipfile and numpy raise a dozen kinds for damaged bytes
            raise DataError(
                f"{self.path}: cannot be read ({why_unread(from_user(self.path), error)}); an .npz of plain "
                "numeric arrays is needed"
            ) from error
        names = {letter: [key[2:] for key in arrays if key[0] == letter] for letter in "xy"}
        if not {"train", "test"} <= set(names["x"]) or names["y"] not in ([], names["x"]):
            raise DataError(
                f"{self.path}: holds {found}, but x_train and x_test are needed, x_val may be there, and "
                "y_train, y_test and so on for all of them or for none"
            )
        if len(names["x"]) > 3:
            raise DataError(
                f"{self.path}: holds {found}: one validation split, x_val, is all that there can be"
            )
        return arrays, [key for key in found if key not in arrays]

    def _labels(self, y: np.ndarray | None, count: int, split: str) -> Tensor | None:
        if y is None:
            return None
        if y.dtype.kind not in "iu" or y.shape != (count,):
            raise DataError(
                f"{self.path}: y_{split} holds {y.dtype} of shape {y.shape} for {count} rows of x_{split}; "
                f"integers of shape ({count},) are needed"
            )
        return torch.from_numpy(y.astype(np.int64))


class Arrays(Npz):
    """Images: x (N, H, W), (N, C, H, W) or (N, H, W, C), integers or floats, rescaled to 0..255 and rounded.

    shape: (C, H, W) of the images, which says where the channels stand.
    kind: in whose range the values lie; where it declares none, they are 0..255.
    """

    def __init__(self, root: str | Path, shape: Sequence[int], kind: Pixels | None = None) -> None:
        super().__init__(root)
        self.shape = tuple(shape)
        self.kind = kind or Pixels()

    def stored(self, arrays: Sequence[np.ndarray], where: Sequence[str], notes: list[str]) -> list[Tensor]:
        for x, place in zip(arrays, where, strict=True):
            if x.dtype.kind not in "buif" or x.ndim not in (3, 4) or x.size == 0:
                raise DataError(
                    f"{place} holds {x.dtype} of shape {x.shape}; numbers of shape (N, H, W) or "
                    "(N, C, H, W), none of them 0, are needed"
                )
        self._check_range(arrays, where)
        return [self._images(x, place, notes) for x, place in zip(arrays, where, strict=True)]

    def _images(self, x: np.ndarray, where: str, notes: list[str]) -> Tensor:
        order = channels_first(x.shape[1:], self.shape)
        if order is None:
            fit = likely_shape(x.shape[1:])
            advice = f"data.shape={list(fit)} would work" if fit else "so many channels have no images"
            raise DataError(
                f"{where}: images are {sizes(x.shape[1:])}, data.shape says {sizes(self.shape)}; {advice}"
            )
        if order == (2, 0, 1):
            notes.append(f"{where.rpartition(' ')[2]} has its channels last, moved to the front")
            x = np.moveaxis(x, -1, 1)
        pixels = np.empty(x.shape, np.uint8) if x.dtype != np.uint8 or self.kind.decoder.range else x
        if pixels is not x:
            for start in range(0, len(x), BLOCK):
                part = slice(start, start + BLOCK)
                pixels[part] = self.kind.decoder.levels(x[part], where)
        if x.dtype.kind != "b" and x.dtype != np.uint8:
            notes.append(f"{where.rpartition(' ')[2]}: {x.dtype} in 256 levels")
        return torch.from_numpy(np.ascontiguousarray(pixels[:, None] if x.ndim == 3 else pixels))

    def _check_range(self, arrays: Sequence[np.ndarray], where: Sequence[str]) -> None:
        """OutOfRangeError where values lie outside the range, or nothing says that they are 0..255."""
        declared = self.kind.decoder.range
        if declared is None and all(x.dtype in (np.uint8, bool) for x in arrays):
            return
        ends = [extent(x, place) for x, place in zip(arrays, where, strict=True)]
        every = min(low for low, _ in ends), max(high for _, high in ends)
        black, white = declared or (0, 255)
        for (low, high), place in zip(ends, where, strict=True):
            if not (black <= low and high <= white) or (declared is None and every[1] <= 1):
                raise OutOfRangeError(place, low, high, declared, every)


class Vectors(Npz):
    """Vectors: x (N, D), integers or floats, in units of their own."""

    def stored(self, arrays: Sequence[np.ndarray], where: Sequence[str], notes: list[str]) -> list[Tensor]:
        return [rows(x, place) for x, place in zip(arrays, where, strict=True)]


def digest(array: np.ndarray) -> str:
    """The checksum of an array's contents."""
    return checksum(np.ascontiguousarray(array).data)


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
