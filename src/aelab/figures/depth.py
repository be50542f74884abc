"""Samples of pictures that Pillow would cut: to 8 bits, to the channels of a photograph, or to a palette."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from aelab.core.errors import ConfigurationError

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
SAMPLES, BITS, ORIENTATION, EXTRA = 277, 258, 274, 338  # tags of TIFF
MOST_CHANNELS = 16  # so many may an array have that says nothing of where they stand
GREYS = ("1", "L", "LA", "La")  # Pillow's modes of 8 bits without colour
GREY = ("I", "F")  # the first letters of Pillow's modes of one deep channel

# By EXIF's number, how the camera was held: from (h, w, c) to upright.
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}


@dataclass(frozen=True)
class Samples:
    """What a picture holds: values (h, w, c) of any type, upright, and alpha (h, w) in [0, 1] or None."""

    values: np.ndarray
    alpha: np.ndarray | None = None


def samples(content: bytes) -> Samples | None:
    """The samples of an encoded picture, or of an array of .npy; None where Pillow reads it whole.

    Raises ConfigurationError where a library is missing, and what numpy, Pillow or tifffile raise.
    """
    if content.startswith(b"\x93NUMPY"):
        array = np.load(BytesIO(content), allow_pickle=False)
        return Samples(array[:, :, None] if array.ndim == 2 else array)
    tags = _tags(content) if content.startswith(TIFF) else {}
    if tags.get(SAMPLES, 1) > 1 and (tags[SAMPLES] > 4 or max(tags.get(BITS, (1,))) > 8):
        return _tiff(content)
    try:
        with Image.open(BytesIO(content)) as picture:
            assert isinstance(picture, ImageFile)
            hidden = tags.get(SAMPLES, 1) > len(picture.getbands())
            return _tiff(content) if hidden else _of(picture, content)
    except UnidentifiedImageError:
        if tags:
            return _tiff(content)
        raise


def channels_first(found: Sequence[int], shape: Sequence[int]) -> tuple[int, ...] | None:
    """The order of the axes of images of sizes `found`, without N, that makes them (C, H, W) of `shape`.

    Of grey ones the channel may be missing, which the order leaves out. None where there is none.

    >>> channels_first((32, 32, 3), (3, 32, 32)), channels_first((3, 32, 32), (3, 32, 32))
    ((2, 0, 1), (0, 1, 2))
    """
    if tuple(found) in (tuple(shape), tuple(shape[1:]) if shape[0] == 1 else None):
        return tuple(range(len(found)))
    return (2, 0, 1) if tuple(found) == (*shape[1:], shape[0]) else None


def likely_shape(found: Sequence[int]) -> tuple[int, ...] | None:
    """The shape (C, H, W) that images of sizes `found`, without N, most likely have; None: they are none."""
    if len(found) == 2:
        return (1, *found)
    first, last = found[0], found[-1]
    if last in (1, 3) and first not in (1, 3):
        return (last, *found[:2])
    if first <= MOST_CHANNELS:
        return tuple(found)
    return (last, *found[:2]) if last <= MOST_CHANNELS else None


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height as the camera was held."""
    width, height = picture.size
    return (height, width) if picture.getexif().get(ORIENTATION, 1) >= 5 else (width, height)


def _tags(content: bytes) -> Any:
    tags = ImageFileDirectory_v2(content[: 16 if 43 in content[2:4] else 8])
    stream = BytesIO(content)
    stream.seek(tags.next)
    tags.load(stream)
    return tags


def _of(picture: ImageFile, content: bytes) -> Samples | None:
    codec, offset, arguments = _encoding(picture)
    raw = arguments if isinstance(arguments, str) else (arguments or [None])[0]
    if picture.mode[0] in GREY:
        return Samples(_turned(np.asarray(picture)[:, :, None], picture))
    if codec == "ppm" and picture.mode == "RGB" and arguments[1] > 255:
        found = np.frombuffer(content, ">u2", 3 * picture.width * picture.height, offset)
        found = np.rint(found.reshape(*picture.size[::-1], 3) * (65535 / arguments[1]))
        return Samples(found.astype(np.uint16))  # as Pillow scales grey ones
    if not (isinstance(raw, str) and raw.endswith(";16B")):
        return None
    values = _turned(_sixteen(content, picture.mode, raw), picture)
    if "A" in raw:
        return Samples(values[:, :, :-1], values[:, :, -1] / 65535)
    return Samples(values)


def _encoding(picture: ImageFile) -> tuple[str | None, int, Any]:
    """The codec of a picture that is not loaded, its first byte and its arguments."""
    return (picture.tile[0][0], picture.tile[0][2], picture.tile[0][3]) if picture.tile else (None, 0, None)


def _sixteen(content: bytes, mode: str, raw: str) -> np.ndarray:
    """(h, w, c) uint16 of a PNG with 16 bits in several channels, which Pillow decodes to their upper 8.

    It does so by a raw mode of upper bytes; that of the other byte order gives the lower ones.
    """
    if raw == "LA;16B":  # as four bytes of one pixel
        four = _bytes(content, "RGBA", "RGBA").astype(np.uint16)
        return four[:, :, 0::2] << 8 | four[:, :, 1::2]
    upper, lower = _bytes(content, mode, raw), _bytes(content, mode, raw.replace("16B", "16L"))
    return upper.astype(np.uint16) << 8 | lower


def _bytes(content: bytes, mode: str, raw: str) -> np.ndarray:
    with Image.open(BytesIO(content)) as picture:
        picture._mode = mode
        picture.tile = [tile._replace(args=raw) for tile in picture.tile]
        return np.asarray(picture)


def _tiff(content: bytes) -> Samples:
    """Of a TIFF of any channels and depth; the first page, channels last."""
    try:
        import tifffile
    except ImportError as error:
        raise ConfigurationError(
            "a TIFF of several deep channels needs tifffile: pip install 'aelab[bands]'"
        ) from error
    with tifffile.TiffFile(BytesIO(content)) as file:
        page: Any = file.pages[0]
        if page.imagewidth * page.imagelength > 2 * (Image.MAX_IMAGE_PIXELS or float("inf")):
            raise ValueError(f"{page.imagewidth}x{page.imagelength} pixels exceeds limit")
        array = page.asarray()
        planar = page.samplesperpixel > 1 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
        if array.ndim == 2:
            array = array[:, :, None]
        elif planar:
            array = array.transpose(1, 2, 0)
        turn = UPRIGHT.get(page.tags[ORIENTATION].value if ORIENTATION in page.tags else 1)
        array = array if turn is None else turn(array)
        if page.extrasamples and page.samplesperpixel in (2, 4) and page.extrasamples[-1] in (1, 2):
            most = np.iinfo(array.dtype).max if array.dtype.kind in "iu" else 1.0
            return Samples(array[:, :, :-1], array[:, :, -1] / most)
        return Samples(array)


def _turned(values: np.ndarray, picture: Image.Image) -> np.ndarray:
    turn = UPRIGHT.get(picture.getexif().get(ORIENTATION, 1))
    return values if turn is None else turn(values)
