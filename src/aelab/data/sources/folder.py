"""Pictures of one's own, in folders."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.paths import from_user
from aelab.core.text import printable
from aelab.data.kinds.pixels import Pixels
from aelab.data.listing import LAYOUTS, Listing, listing
from aelab.data.sources.cache import fingerprint
from aelab.data.sources.pictures import Pictures
from aelab.data.splits import Splits, cut


class Folder:
    """The pictures in `root`/train, `root`/val and `root`/test, or in `root` itself, in a memory map.

    In each of these places the pictures lie side by side, or in a folder for each class: labels are the
    places of the classes' names in natural order. `aelab.data.listing` says what is left aside.

    name: the folder of the memory map in the cache.
    shape: (C, H, W) of the images; kind: how pictures become these.
    test: how many, or which share in (0., 1.), of the pictures of training are the test split, the same in
        all runs; None where there is `root`/test.
    skip_damaged: leave aside, and name, what cannot be decoded, in the place of an error.
    """

    def __init__(
        self,
        root: str | Path | None,
        name: str,
        shape: Sequence[int],
        test: int | float | None = None,
        kind: Pixels | None = None,
        skip_damaged: bool = False,
    ) -> None:
        self.root = None if root is None else from_user(root)
        self.name = name
        self.test = test
        self.pictures = Pictures(name, tuple(shape), kind or Pixels(), skip_damaged)

    def prepare(self) -> None:
        """Decode what is not in the cache; DataError naming a picture that cannot be."""
        self._decoded()

    def load(self) -> Splits:
        """The splits, as views of one memory map."""
        found = self.pictures.splits(self._decoded(), self._places, self._labels())
        found.notes[:0] = self._listing.aside.notes()
        return found

    def _decoded(self) -> tuple[Tensor, str, dict[str, Any]]:
        assert self._places  # what cannot be cut is refused before hours of decoding
        files = self._listing.files
        named = [(file, printable(file)) for file in files]
        return self.pictures.decoded(self._fingerprint, len(files), lambda: named)

    @cached_property
    def _fingerprint(self) -> str:
        assert self.root is not None
        return fingerprint(self._listing.files, self.root)

    @cached_property
    def _listing(self) -> Listing:
        if self.root is None or not self.root.is_dir():
            raise DataError(f"data.root={self.root} of {self.name} must name a folder of pictures; {LAYOUTS}")
        return listing(self.root)

    @cached_property
    def _places(self) -> dict[str, Tensor]:
        """Which of all pictures are those of each split."""
        splits, start, places = self._listing.splits, 0, {}
        for split, pictures in splits.items():
            places[split] = torch.arange(start, start + len(pictures))
            start += len(pictures)
        if "test" in splits and self.test is not None:
            raise ConfigurationError(
                f"data.source.test={self.test}, but {self.root} holds a test split; data.source.test=null "
                "would work"
            )
        return places if "test" in splits else {**places, **self._cut(places["train"])}

    def _cut(self, train: Tensor) -> dict[str, Tensor]:
        if self.test is None:
            raise ConfigurationError(
                f"{self.root} holds no test/: data.source.test=0.1 would cut a test split from its pictures"
            )
        size = cut(self.test, len(train), "data.source.test", f"{len(train):,} pictures of {self.name}")
        order = torch.from_numpy(np.random.RandomState(0).permutation(len(train)))
        return {"train": order[size:], "test": order[:size]}

    def _labels(self) -> Tensor | None:
        """Of all pictures (N,), int64; None where there are no classes."""
        number = {name: place for place, name in enumerate(self._listing.classes)}
        of = [name for pictures in self._listing.splits.values() for _, name in pictures]
        return torch.tensor([number[str(name)] for name in of]) if number else None
