"""Images: grey levels on a grid."""

import sys
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
from aelab.data.kinds.base import BLOCK, MSE, SQUARED_ERROR, Bounds, Kind, array_of
from aelab.data.listing import SUFFIXES, Aside, pictures_below
from aelab.figures.decoding import Decoder, check_shape
from aelab.figures.grids import grid
from aelab.figures.images import Pictures, as_images, as_tensor
from aelab.models.distributions import values_described

ARRAYS = "images.npz"  # what images that are no pictures are written to


class Pixels(Kind):
    """Images (C, H, W), stored as grey levels 0..255, with values in [0, 1].

    range: the values of black and white in a user's arrays, and in pictures deeper than 8 bits; None: 0 and
        255 in arrays, and deeper pictures are refused. background: the colour beneath transparent pixels.
    shown: which channels, from 0, pictures show: one, or three as red, green and blue; None: all of one or
        three, the first of two, and the first three of more.
    """

    noun, nouns = "image", "images"
    stored = torch.uint8
    suited = "values=grey or dynamic"
    quantities = (MSE, SQUARED_ERROR, Quantity("psnr", "dB", True))
    learns_features = True
    suffixes = frozenset({*SUFFIXES, ".npz"})

    def __init__(
        self,
        range: Sequence[float] | None = None,
        background: str = "white",
        shown: Sequence[int] | None = None,
    ) -> None:
        self.decoder = Decoder(None if range is None else tuple(range), background)  # type: ignore[arg-type]
        self.shown = shown if shown is None else tuple(shown)

    def check(self, shape: tuple[int, ...], bounds: Bounds) -> None:
        if len(shape) != 3 or min(shape) < 1:
            raise ConfigurationError(
                f"data.shape={list(shape)}: images are of [channels, height, width]; data=vectors has vectors"
            )
        if bounds is None or tuple(bounds) != (0, 1):
            raise ConfigurationError(f"data.bounds={bounds}: images have values in [0, 1]")
        if self.shown is not None and not (
            len(self.shown) in (1, 3) and all(0 <= channel < shape[0] for channel in self.shown)
        ):
            raise ConfigurationError(
                f"data.kind.shown={list(self.shown)} are not one or three of the channels 0 to "
                f"{shape[0] - 1}; data.kind.shown=null would work"
            )

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
        return grid([self.visible(row) for row in rows], captions)

    def visible(self, images: Tensor) -> Tensor:
        """The channels (N, 1 or 3, H, W) that pictures show."""
        channels = images.shape[1]
        if self.shown is None and channels in (1, 3):
            return images
        return images[:, list(self.shown or ((0,) if channels == 2 else (0, 1, 2)))]

    def parse(self, given: Pictures, shape: tuple[int, ...], resize: bool = False) -> Tensor:
        """Floats in [0, 1], which are values already, or uint8 pixels, which all else becomes."""
        return as_tensor(given, shape, resize, self.decoder).cpu()

    def example(self, count: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        return torch.rand(count, *shape, generator=generator)

    def read(
        self, place: str, shape: tuple[int, ...], resize: bool = False
    ) -> tuple[list[str], Iterator[Tensor]]:
        """All pictures in and below a folder, in natural order, one picture, or the array x of an .npz file.

        Of a folder what training leaves aside is left aside, with a warning that names it.
        """
        root = from_user(place)
        if root.suffix.lower() == ".npz" and root.is_file():
            found = self.parse(array_of(root, "x", "images (N, C, H, W)"), shape)
            return [str(row) for row in range(len(found))], iter(found.split(BLOCK))
        check_shape(shape)
        files, names = _pictures(root)
        blocks = (slice(start, start + BLOCK) for start in range(0, len(files), BLOCK))
        return names, (self._decoded(files[block], names[block], shape, resize) for block in blocks)

    def _decoded(
        self, files: Sequence[Path], names: Sequence[str], shape: tuple[int, ...], resize: bool
    ) -> Tensor:
        each = zip(files, names, strict=True)
        return torch.from_numpy(np.stack([self.decoder(file, shape, name, resize) for file, name in each]))

    def write(
        self, folder: Path, blocks: Iterable[Tensor], names: Iterable[str], reserved: Iterable[str] = ()
    ) -> None:
        """A PNG for each; of other channels than one or three one file, images.npz, of x (N, C, H, W)."""
        stems = (str(Path(name).with_suffix("")) for name in names)
        files = iter(safe_names(stems, ".png", reserved))
        kept = []
        for block in blocks:
            if block.shape[1] not in (1, 3):
                kept.append(block)
                continue
            for image in as_images(block):
                image.save(folder / next(files))
        if kept:
            np.savez(folder / ARRAYS, **self.arrays(kept))  # type: ignore[arg-type]

    def arrays(self, blocks: Iterable[Tensor]) -> dict[str, np.ndarray]:
        """Images x (N, C, H, W), from 0 to 1."""
        return {"x": torch.cat(list(blocks)).clamp(0, 1).numpy()}


def _pictures(root: Path) -> tuple[list[Path], list[str]]:
    """The pictures in and below a folder, or one, and their names; a warning names what is left aside."""
    if root.is_file() and root.suffix.lower() in SUFFIXES:
        return [root], [printable(root.name)]
    aside = Aside(root)
    files = list(pictures_below(root, aside)) if root.is_dir() else []
    if not files:
        raise DataError(f"{printable(root)} is no folder that holds pictures: give one")
    if aside.found:
        print(f"warning: {printable(root)}: {'; '.join(aside.notes())}", file=sys.stderr)
    return files, [printable(file.relative_to(root)) for file in files]
