"""How many bytes others need for the same images, all in one picture or one run of bytes, without loss."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from aelab.core.errors import InapplicableError

PICTURES = {"PNG": "PNG", "WebP": "WebP", "JPEG-XL": "JXL"}
BYTES: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "lzma": lzma.compress,
}


def sizes(levels: np.ndarray, count: int) -> Iterator[tuple[str, int]]:
    """The bytes of each way for images (N, C, H, W) of `count` levels, uint8; of two, one bit a pixel.

    Pictures are left out of other channels than one or three, and JPEG-XL where its plugin is not installed.

    >>> print(*(name for name, _ in sizes(np.zeros((3, 2, 4, 4), np.uint8), 2)))
    gzip bz2 lzma
    """
    if levels.shape[1] in (1, 3):
        picture = mosaic(levels * (255 // (count - 1)))
        for name, form in PICTURES.items():
            try:
                whole = picture.convert("1") if count == 2 and name == "PNG" else picture
                yield name, len(encoded(whole, form, lossless=True))
            except InapplicableError:
                continue
    plain = (np.packbits(levels) if count == 2 else levels).tobytes()
    for name, way in BYTES.items():
        yield name, len(way(plain))


def mosaic(pixels: np.ndarray) -> Image.Image:
    """Images (N, C, H, W), C of one or three, row by row in one picture that is about square; black where it
    is not filled."""
    count, channels, height, width = pixels.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    whole = np.zeros((rows * columns, *pixels.shape[1:]), np.uint8)
    whole[:count] = pixels
    tiled = whole.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    found = tiled.reshape(rows * height, columns * width, channels)
    return Image.fromarray(found[..., 0] if channels == 1 else found)


def unfolded(picture: Image.Image, shape: tuple[int, ...]) -> np.ndarray:
    """The images (N, C, H, W) of a mosaic again. shape: theirs."""
    count, channels, height, width = shape
    pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    rows, columns = pixels.shape[0] // height, pixels.shape[1] // width
    tiled = pixels.reshape(rows, height, columns, width, channels).transpose(0, 2, 4, 1, 3)
    return tiled.reshape(-1, channels, height, width)[:count]


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    """A picture as a file of Pillow's `form`; InapplicableError where it is not at hand."""
    if form == "JXL":
        try:
            import pillow_jxl  # noqa: F401  # registers itself
        except ImportError as error:
            raise InapplicableError("JPEG-XL needs its plugin: pip install 'aelab[baselines]'") from error
    content = io.BytesIO()
    if form == "PNG":
        picture.save(content, form, optimize=True)
    else:
        picture.save(content, form, **options)
    return content.getvalue()
