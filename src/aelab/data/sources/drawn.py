"""Images that a program draws from known factors: all their combinations, or some."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.data.sources.cache import memory_map
from aelab.data.splits import Observations, Splits, checksum, checksums_of_rows, cut

Ingredients = Mapping[str, np.ndarray]


class Drawn(ABC):
    """A source whose images are numbered in the order of their factors, of which the last runs fastest.

    y: the factor `label`. attributes: all factors, each from 0 to 1.

    name: the folder of the memory map in the cache.
    count: how many images are chosen at random, the same in all runs; None: all, as a memory map.
    test: how many of them, or which share in (0., 1.), are the test split, the same in all runs.
    """

    label: ClassVar[int]

    def __init__(self, name: str, count: int | None, test: int | float) -> None:
        self.name = name
        self.count = count
        self.test = test

    @property
    @abstractmethod
    def sizes(self) -> Sequence[int]:
        """How many values each factor has."""

    @property
    @abstractmethod
    def shape(self) -> Sequence[int]:
        """(C, H, W)."""

    @abstractmethod
    def ingredients(self) -> Ingredients:
        """What images are put together from, by name; their checksums stand for those of all images."""

    @abstractmethod
    def draw(self, ingredients: Ingredients, index: Tensor) -> Tensor:
        """The images at `index` (N,): (N, C, H, W), uint8."""

    @abstractmethod
    def blocks(self, ingredients: Ingredients) -> Iterable[np.ndarray]:
        """All images in order, in blocks, shown by a progress bar."""

    def pixels_of(self, ingredients: Ingredients, index: Tensor) -> Tensor:
        """A number for each image at `index` (N,), the same for equal pixels: by default its own."""
        return index

    def prepare(self) -> None:
        """Draw all images into the cache, where all are wanted."""
        if self.count is None:
            self._whole(self.ingredients())

    def load(self) -> Splits:
        """Draw the images, or open their memory map."""
        every = math.prod(self.sizes)
        if self.count is not None and not 1 < self.count <= every:
            raise ConfigurationError(f"data.source.count={self.count}: 2 to {every:,} images can be drawn")
        found = self.ingredients()
        # numpy freezes RandomState's stream for all versions, which neither torch nor default_rng promises.
        chosen = torch.from_numpy(np.random.RandomState(0).permutation(every)[: self.count])
        size = cut(self.test, len(chosen), "data.source.test", f"{len(chosen):,} images of {self.name}")
        test, train = chosen.tensor_split([size])
        checksums = {name: checksum(part.tobytes()) for name, part in found.items()}
        checksums |= checksums_of_rows(train=train, test=test)
        notes = self._twins(found, train, test)
        if self.count is None:
            whole = self._whole(found)
            return Splits(whole.take(train), whole.take(test), checksums, notes=notes)
        parts = [self._images(self.draw(found, part), part) for part in (train, test)]
        return Splits(parts[0], parts[1], checksums, notes=notes)

    def _twins(self, ingredients: Ingredients, train: Tensor, test: Tensor) -> list[str]:
        """How many test images are no new ones, though their factors are."""
        seen, asked = (self.pixels_of(ingredients, part) for part in (train, test))
        twins = int(torch.isin(asked, seen).sum())
        if not twins:
            return []
        return [
            f"{twins:,} of {len(test):,} test images have the very pixels of a training image of other "
            "factors, and so about as large a share of validation"
        ]

    def _whole(self, ingredients: Ingredients) -> Observations:
        rows = torch.arange(math.prod(self.sizes))
        key = checksum(b"".join(part.tobytes() for part in ingredients.values())).removeprefix("md5:")
        shape = (len(rows), *self.shape)
        pixels, _ = memory_map(self.name, key, shape, lambda: self.blocks(ingredients))
        return self._images(pixels, rows, rows)

    def _images(self, pixels: Tensor, index: Tensor, rows: Tensor | None = None) -> Observations:
        found = factors(index, self.sizes)
        attributes = found / torch.tensor([size - 1.0 for size in self.sizes])
        return Observations(
            pixels, found[:, self.label].contiguous(), attributes, rows, mapped=rows is not None
        )


def factors(index: Tensor, sizes: Sequence[int]) -> Tensor:
    """The factors of the images at `index` (N,), as numbers from 0: (N, K), int64."""
    return torch.stack(torch.unravel_index(index, tuple(sizes)), 1)
