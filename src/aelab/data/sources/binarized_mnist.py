"""The fixed binarisation of MNIST that density models are compared on (Larochelle and Murray 2011)."""

from pathlib import Path

import numpy as np
import torch

from aelab.core.errors import DataError
from aelab.core.files import why_unread
from aelab.data.sources.published import PublishedFile, PublishedSource
from aelab.data.splits import Observations, Splits, checksum

NPZ = "binarized_mnist.npz"
PIXELS = 28 * 28


class BinarizedMnist(PublishedSource):
    """Three text files, `train`, `valid` and `test`, with 784 digits 0 or 1 in a line; without labels.

    Or one binarized_mnist.npz with arrays (N, 784) of these names: it is checked in the published form, so
    that the same checksums hold for both.
    """

    instead = f", or {NPZ}"

    def prepare(self) -> None:
        """Download what is missing; DataError naming the files and the folder where that fails."""
        if not self._npz.is_file():
            super().prepare()

    def load(self) -> Splits:
        """Read and verify all three splits (70,000 images, about a second); 0 and 1 become 0 and 255."""
        images, checksums = {}, {}
        for role, file in self.files.items():
            content, where = self._split(role, file)
            images[role], checksums[file.name] = Observations(_parse(content, where)), checksum(content)
        return Splits(images["train"], images["test"], checksums, images["valid"])

    @property
    def _npz(self) -> Path:
        return self.folder / NPZ

    def _split(self, role: str, file: PublishedFile) -> tuple[bytes, str]:
        """The verified text of a split and where it was read."""
        if not self._npz.is_file():
            return self._content(file), str(self._find(file))
        where = f"{self._npz}: {role}"
        return file.verify(_text(_array(self._npz, role)), where), where


def _array(path: Path, key: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as archive:
            array = archive[key]
    except Exception as error:  # zipfile and numpy raise a dozen kinds for damaged bytes
        raise DataError(
            f"{path}: {key} cannot be read ({why_unread(path, error)}); the published arrays are needed"
        ) from error
    if array.ndim != 2 or array.shape[1] != PIXELS or not ((array == 0) | (array == 1)).all():
        raise DataError(
            f"{path}: {key} holds {array.dtype} {array.shape}; zeros and ones (N, 784) are needed"
        )
    return array.astype(np.uint8)


def _text(array: np.ndarray) -> bytes:
    """Zeros and ones (N, 784) in the published form: a space between digits, a line for each image."""
    text = np.full((*array.shape, 2), ord(" "), np.uint8)
    text[..., 0] = array + ord("0")
    text[:, -1, 1] = ord("\n")
    return text.tobytes()


def _parse(content: bytes, where: str) -> torch.Tensor:
    """The images (N, 1, 28, 28), uint8, in `content`; DataError unless every byte is as published."""
    text = np.frombuffer(content, np.uint8)
    ones = text[: len(text) // (2 * PIXELS) * 2 * PIXELS : 2].reshape(-1, PIXELS) == ord("1")
    if not content or _text(ones.astype(np.uint8)) != content:
        raise DataError(
            f"{where}: lines of 784 digits 0 or 1, a space between two, are needed and nothing else"
        )
    return torch.from_numpy(ones.astype(np.uint8) * 255).reshape(-1, 1, 28, 28)
