"""Images: grey levels on a grid."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.files import safe_names
from aelab.core.paths import from_user
from aelab.core.quantity import Quantity
from aelab.core.records import Trace
from aelab.core.text import printable
from aelab.data.kinds.base import BLOCK, MSE, SQUARED_ERROR, Bounds, Kind
from aelab.figures.decoding import check_shape, decode
from aelab.figures.grids import grid
from aelab.figures.images import Pictures, as_images, as_tensor
from aelab.models.distributions import values_described

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})


class Pixels(Kind):
    """Images (C, H, W), stored as grey levels 0..255, with values in [0, 1]."""

    noun, nouns = "image", "images"
    stored = torch.uint8
    suited = "values=grey or dynamic"
    quantities = (MSE, SQUARED_ERROR, Quantity("psnr", "dB", True))
    learns_features = True
    suffixes = SUFFIXES

    def check(self, shape: tuple[int, ...], bounds: Bounds) -> None:
        if len(shape) != 3 or min(shape) < 1:
            raise ConfigurationError(
                f"data.shape={list(shape)}: images are of [channels, height, width]; data=vectors has vectors"
            )
        if bounds is None or tuple(bounds) != (0, 1):
            raise ConfigurationError(f"data.bounds={bounds}: images have values in [0, 1]")

    def measure(self, trace: Trace) -> dict[str, Tensor]:
        """The errors of images (C, H, W) in [0, 1].

        mse: for each value (a colour pixel has three) that has a likelihood. squared_error: summed over the
        image. psnr: in dB for a peak of 1, at most 100.

        >>> from aelab.core.records import Batch
        >>> from aelab.models.distributions import Bernoulli, PointMass
        >>> x, z = torch.ones(2, 1, 2, 2), torch.zeros(2, 3)
        >>> coins = Bernoulli(torch.zeros(1, 2, 1, 2, 2), 3)
        >>> trace = Trace(Batch(x), x, None, PointMass(z), None, z[None], lambda: coins)
        >>> {name: error[0].item() for name, error in Pixels().errors(trace).items()}
        {'mse': 0.25, 'squared_error': 1.0, 'psnr': 6.020599913279624}
        """
        squared = (self.back(trace.likelihood).mean(0) - trace.x).double().square().flatten(1).sum(1)
        mse = squared / values_described(trace.likelihood)  # the others are told, and their error is 0
        return {"mse": mse, "squared_error": squared, "psnr": -10 * mse.clamp_min(1e-10).log10()}

    def drawn(self, rows: Sequence[Tensor], captions: Sequence[str]) -> Image.Image:
        return grid(rows, captions)

    def parse(self, given: Pictures, shape: tuple[int, ...], resize: bool = False) -> Tensor:
        """Floats in [0, 1], which are values already, or uint8 pixels, which PIL images become too."""
        return as_tensor(given, shape, resize).cpu()

    def example(self, count: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        return torch.rand(count, *shape, generator=generator)

    def read(
        self, place: str, shape: tuple[int, ...], resize: bool = False
    ) -> tuple[list[str], Iterator[Tensor]]:
        """All pictures in and below a folder, in the order of their names, or one picture; uint8."""
        root = from_user(place)
        every = [root] if root.is_file() else sorted(root.rglob("*"))
        files = [path for path in every if path.suffix.lower() in SUFFIXES and path.is_file()]
        if not files:
            raise DataError(f"{printable(root)} is no folder that holds pictures: give one")
        check_shape(shape)
        names = [printable(file.relative_to(root.parent if root.is_file() else root)) for file in files]
        blocks = (files[start : start + BLOCK] for start in range(0, len(files), BLOCK))
        return names, (torch.from_numpy(np.stack([_pixels(f, shape, resize) for f in b])) for b in blocks)

    def write(
        self, folder: Path, blocks: Iterable[Tensor], names: Iterable[str], reserved: Iterable[str] = ()
    ) -> None:
        """A PNG for each."""
        stems = (str(Path(name).with_suffix("")) for name in names)
        files = iter(safe_names(stems, ".png", reserved))
        for block in blocks:
            for image in as_images(block):
                image.save(folder / next(files))


def _pixels(file: Path, shape: tuple[int, ...], resize: bool) -> np.ndarray:
    height, width = shape[1:]
    pixels = decode(file, shape, printable(file))
    with Image.open(file) as picture:
        size = picture.size
    if not resize and sorted(size) != sorted((width, height)):  # a camera may have noted a turn
        raise DataError(
            f"{printable(file)} is {size[1]}x{size[0]}, and the model takes {height}x{width}: give "
            "pictures of that size, or resize=true"
        )
    return pixels
