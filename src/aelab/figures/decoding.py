"""From encoded pictures of any size to pixels of one shape."""

from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.text import sentence

VERSION = 1  # of what `decode` makes of a picture: to be raised with every change, for caches hold it
MODES = {1: "L", 3: "RGB"}


def check_shape(shape: Sequence[int]) -> None:
    """ConfigurationError unless pictures can be decoded to `shape`."""
    if len(shape) != 3 or shape[0] not in MODES or min(shape) < 1:
        raise ConfigurationError(
            f"data.shape={list(shape)}: pictures are read as [1, H, W], grey, or as [3, H, W], in colour"
        )


def decode(picture: Path | bytes, shape: Sequence[int], where: str) -> np.ndarray:
    """One encoded picture as pixels of `shape` (C, H, W), uint8: grey for C = 1, else colour.

    One of another size is scaled until it covers H x W, and cut to its centre. DataError naming `where` for
    what is no picture, damaged, not of 8 bits, or above Pillow's limit of pixels.
    """
    channels, height, width = shape
    try:
        with Image.open(BytesIO(picture) if isinstance(picture, bytes) else picture) as file:
            image = upright(file, channels)
            if image.size != (width, height):
                image = ImageOps.fit(image, (width, height))
            return np.asarray(image).reshape(height, width, channels).transpose(2, 0, 1)
    except Exception as error:  # Pillow raises a dozen kinds for damaged bytes
        reason = "no known format" if "cannot identify" in str(error) else sentence(error)
        raise DataError(
            f"{where}: cannot be decoded ({reason}); put an intact 8-bit picture there"
        ) from error


def upright(picture: Image.Image, channels: int) -> Image.Image:
    """The picture in grey or colour, turned as its camera noted; ValueError for pixels not of 8 bits."""
    if picture.mode[0] in "IF":  # Pillow would cut these values off at 255
        raise ValueError(f"it has pixels of mode {picture.mode}")
    return ImageOps.exif_transpose(picture).convert(MODES[channels])


def decoded(
    pictures: Iterable[tuple[Path | bytes, str]], count: int, shape: Sequence[int], name: str
) -> Iterator[np.ndarray]:
    """Each of `count` pictures, given with its place for messages, decoded; with a bar on a terminal."""
    from tqdm import tqdm

    for picture, where in tqdm(pictures, f"decoding {name}", count, unit=" images", disable=None):
        yield decode(picture, shape, where)
