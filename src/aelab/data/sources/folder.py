"""Pictures of one's own, in folders."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.paths import from_user
from aelab.core.text import printable
from aelab.data.kinds.pixels import SUFFIXES
from aelab.data.sources.cache import fingerprint, memory_map
from aelab.data.splits import Observations, Splits, checksum, checksums_of_rows, cut
from aelab.figures.decoding import VERSION, check_shape, decoded

LAYOUTS = (
    "train/ and test/ with pictures or with a folder for each class, or pictures without them, are needed"
)


class Folder:
    """The pictures in `root`/train and `root`/test, or in `root` itself; decoded once into a memory map.

    In each of these places the pictures lie side by side, or in a folder for each class: labels are the
    places of the sorted names of the classes.

    name: the folder of the memory map in the cache.
    shape: (C, H, W) of the images; pictures are made grey or coloured, scaled and cut to their centre.
    test: how many, or which share in (0., 1.), of the pictures in `root` itself are the test split, the
        same in all runs; None where there is `root`/test.
    """

    def __init__(
        self,
        root: str | Path | None,
        name: str,
        shape: Sequence[int],
        test: int | float | None = None,
    ) -> None:
        self.root = None if root is None else from_user(root)
        self.name = name
        self.shape = tuple(shape)
        self.test = test

    def prepare(self) -> None:
        """Decode what is not in the cache; DataError naming a picture that cannot be."""
        self._pixels(self._listing()[0])

    def load(self) -> Splits:
        """Both splits, as views of one memory map."""
        files, labels, train, test = self._listing()
        pixels, digest = self._pixels(files)
        every = Observations(pixels, labels, rows=torch.arange(len(files)))
        checksums = {"x": digest, **checksums_of_rows(train, test)}
        if labels is not None:
            checksums["y"] = checksum(labels.numpy().tobytes())
        return Splits(every.take(train), every.take(test), checksums)

    def _pixels(self, files: Sequence[Path]) -> tuple[Tensor, str]:
        check_shape(self.shape)
        assert self.root is not None
        key = fingerprint(files, self.root, self.shape, VERSION)
        pictures = ((file, printable(file)) for file in files)
        return memory_map(
            self.name,
            key,
            (len(files), *self.shape),
            lambda: decoded(pictures, len(files), self.shape, self.name),
        )

    def _listing(self) -> tuple[list[Path], Tensor | None, Tensor, Tensor]:
        """All pictures, their labels, and which of them are for training and for the test."""
        if self.root is None or not self.root.is_dir():
            raise DataError(f"data.root={self.root} of {self.name} must name a folder of pictures; {LAYOUTS}")
        train, test = self.root / "train", self.root / "test"
        if not train.is_dir() and not test.is_dir():
            files, labels = _labelled(_listed(self.root), [])
            return files, labels, *self._cut(len(files))
        if not (train.is_dir() and test.is_dir()):
            raise DataError(f"{self.root}: holds one of train/ and test/ alone; {LAYOUTS}")
        if self.test is not None:
            raise ConfigurationError(
                f"data.source.test={self.test}, but {test} holds the test split; data.source.test=null "
                "would work"
            )
        held_out = _listed(test)
        files, labels = _labelled(_listed(train), held_out)
        place = torch.arange(len(files))
        return files, labels, place[: -len(held_out)], place[-len(held_out) :]

    def _cut(self, count: int) -> tuple[Tensor, Tensor]:
        if self.test is None:
            raise ConfigurationError(
                f"{self.root} holds no test/: data.source.test=0.1 would cut a test split from its pictures"
            )
        size = cut(self.test, count, "data.source.test", f"{count:,} pictures of {self.name}")
        order = torch.from_numpy(np.random.RandomState(0).permutation(count))
        return order[size:], order[:size]


def _listed(folder: Path) -> list[tuple[Path, str | None]]:
    """The pictures of a folder in the order of their names, each with its class, if there are classes."""
    seen = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    bare: list[tuple[Path, str | None]] = [(path, None) for path in seen if _is_picture(path)]
    sorted_in: list[tuple[Path, str | None]] = [
        (path, below.name)
        for below in seen
        if below.is_dir()
        for path in sorted(below.rglob("*"))
        if _is_picture(path)
    ]
    if bool(bare) == bool(sorted_in):
        found = "pictures both beside and in folders" if bare else "no pictures"
        raise DataError(f"{printable(folder)}: holds {found}; {LAYOUTS}")
    return bare or sorted_in


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _labelled(
    train: list[tuple[Path, str | None]], test: list[tuple[Path, str | None]]
) -> tuple[list[Path], Tensor | None]:
    """The pictures of both splits and their labels (N,), int64; None where there are no classes."""
    every = train + test
    classes = sorted({name for _, name in train if name is not None})
    unknown = next((path for path, name in test if (name not in classes if classes else name)), None)
    if unknown is not None:
        raise DataError(
            f"{printable(unknown)}: its class is not one of train/ ({', '.join(classes) or 'none'}); "
            "the same classes are needed in train/ and test/"
        )
    files = [path for path, _ in every]
    if not classes:
        return files, None
    number = {name: place for place, name in enumerate(classes)}
    return files, torch.tensor([number[str(name)] for _, name in every])
