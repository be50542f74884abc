"""What a source hands over: images as whole uint8 tensors, with the checksums of what was read."""

import hashlib
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Images:
    """Images and, where they are known, their labels.

    x: (N, C, H, W), uint8.
    y: (N,), int64, or None.
    """

    x: Tensor
    y: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device) -> "Images":
        """The same images on `device`; nothing is copied where they are there already."""
        return Images(self.x.to(device), None if self.y is None else self.y.to(device))

    def take(self, index: Tensor) -> "Images":
        """The images at `index` (K,), in that order."""
        return Images(self.x[index], None if self.y is None else self.y[index])


@dataclass(frozen=True)
class Splits:
    """The two published halves of a data set.

    checksums: name of a file, or of a part of one, -> "md5:..." of its unpacked bytes.
    """

    train: Images
    test: Images
    checksums: dict[str, str]


class Source(Protocol):
    """Where images come from."""

    def prepare(self) -> None:
        """Make the files present, on one process only; DataError where that is impossible."""

    def load(self) -> Splits:
        """Read everything; DataError where files are missing, damaged or not what they should be."""


def checksum(content: bytes | memoryview) -> str:
    """The form in which contents are recorded and compared: "md5:" and 32 hexadecimal digits."""
    return "md5:" + hashlib.md5(content, usedforsecurity=False).hexdigest()
