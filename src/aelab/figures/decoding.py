"""From pictures of any size, depth and channels to pixels of one shape: the one way for all who read some."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageOps

from aelab.core.errors import AelabError, ConfigurationError, DataError
from aelab.core.text import sentence
from aelab.figures.depth import GREYS, ORIENTATION, Samples, samples

VERSION = 2  # of what a `Decoder` makes of a picture: to be raised with every change, for caches hold it
MODES = {1: "L", 3: "RGB"}
MOST = 255  # the white of a pixel
DEEP = ("PNG", "TIFF", "PPM")  # the formats that may hold more than Pillow loads
Encoded = Path | bytes


class OutOfRangeError(DataError):
    """Values from `low` to `high` that the declared range does not hold.

    every: the least and the greatest of all that are to be held, where these are known.
    """

    def __init__(
        self,
        where: str,
        low: float,
        high: float,
        declared: Sequence[float] | None,
        every: tuple[float, float] | None = None,
    ) -> None:
        said = "is not declared" if declared is None else f"says {declared[0]:g} to {declared[1]:g}"
        least, most = every or (low, high)
        fit = f"data.kind.range=[{least},{most if most > least else least + 1}]"
        super().__init__(
            f"{where} holds values from {low} to {high}, and data.kind.range {said}; {fit} would work"
        )
        self.found = where, low, high, declared


@dataclass
class Notes:
    """What was done to pictures that were not as a model takes them.

    changes: what it was, and of how many. damaged: the places of those that could not be decoded, and why.
    """

    changes: Counter[str] = field(default_factory=Counter)
    damaged: dict[int, str] = field(default_factory=dict)

    def facts(self) -> dict[str, dict]:
        """The notes as plain containers; those that hold something."""
        both: dict[str, dict] = {"changes": dict(self.changes), "damaged": self.damaged}
        return {name: found for name, found in both.items() if found}


@dataclass(frozen=True)
class Decoder:
    """The rule by which pictures and arrays become pixels, uint8 (C, H, W).

    range: the values that stand for black and white in all that is deeper than 8 bits; None: not declared.
    background: the colour on which transparent pixels are shown.

    Pictures become grey for C = 1 and coloured for C = 3, as Pillow converts them, and are turned as their
    camera noted; of another C they must have as many channels, which stay as they are.
    """

    range: tuple[float, float] | None = None
    background: str = "white"

    def __post_init__(self) -> None:
        if self.range is not None and (len(self.range) != 2 or not self.range[0] < self.range[1]):
            raise ConfigurationError(
                f"data.kind.range={list(self.range)} is no range; two rising bounds such as [0, 1] are"
            )
        try:
            ImageColor.getrgb(str(self.background))
        except ValueError as error:
            raise ConfigurationError(
                f"data.kind.background={self.background} is no colour; data.kind.background=white would work"
            ) from error

    def __call__(
        self,
        picture: Encoded | Image.Image,
        shape: Sequence[int],
        where: str,
        resize: bool = True,
        changes: Counter[str] | None = None,
    ) -> np.ndarray:
        """A picture as pixels of `shape`; changes: counts what was done to it.

        resize: one of another size is scaled until it covers H x W, and cut to its centre.
        Raises DataError naming `where` for what is no picture, damaged, of other channels or another size,
        or above Pillow's limit of pixels, and OutOfRangeError for values that the range does not hold.
        """
        channels, height, width = shape
        changes = Counter() if changes is None else changes
        try:
            bands = self._bands(picture, channels, where, changes)
            if bands[0].size != (width, height):
                if not resize:
                    found = f"{bands[0].height}x{bands[0].width}"
                    raise DataError(
                        f"{where} is {found}, and the model takes {height}x{width}: give pictures of that "
                        "size, or resize=True"
                    )
                bands = [ImageOps.fit(band, (width, height)) for band in bands]
                changes["scaled and cut"] += 1
            pixels = [np.asarray(band).reshape(height, width, -1) for band in bands]
            return np.concatenate(pixels, 2).transpose(2, 0, 1)
        except AelabError:
            raise
        except Exception as error:  # Pillow raises a dozen kinds for damaged bytes
            reason = "no known format" if "cannot identify" in str(error) else sentence(error)
            raise DataError(f"{where}: cannot be decoded ({reason}); put an intact picture there") from error

    def levels(self, values: np.ndarray, where: str) -> np.ndarray:
        """Numbers in the declared range as 0..255, uint8, rounded; truth values as black and white.

        OutOfRangeError where the range does not hold them.
        """
        if values.dtype == np.uint8 and self.range in (None, (0, MOST)):
            return values
        if values.dtype == bool:
            return values.astype(np.uint8) * np.uint8(MOST)
        black, white = self.range or (0, MOST)
        low, high = extent(values, where)
        if not (black <= low and high <= white):
            raise OutOfRangeError(where, low, high, self.range)
        return np.rint((values.astype(np.float32) - black) * (MOST / (white - black))).astype(np.uint8)

    def _bands(
        self, picture: Encoded | Image.Image, channels: int, where: str, changes: Counter[str]
    ) -> list[Image.Image]:
        """The picture as one image, grey or in colour, or as one for each channel."""
        content = _content(picture)
        found = None if content is None else samples(content)
        if found is not None:
            return self._of_samples(found, channels, where, changes)
        image = picture if isinstance(picture, Image.Image) else Image.open(BytesIO(content or b""))
        if image.mode[0] in "IF":
            return self._of_samples(Samples(np.asarray(image)[:, :, None]), channels, where, changes)
        if not isinstance(picture, Image.Image) and getattr(image, "n_frames", 1) > 1:
            changes["the first of several frames"] += 1
        if image.getexif().get(ORIENTATION, 1) != 1:
            changes["turned as the camera noted"] += 1
        image = ImageOps.exif_transpose(image)
        if channels in MODES:
            return [self._photograph(image, channels, changes)]
        if image.mode in ("1", "P") or len(image.getbands()) != channels:
            raise _other_channels(where, len(image.getbands()), channels, image.size)
        return list(image.split())

    def _of_samples(
        self, found: Samples, channels: int, where: str, changes: Counter[str]
    ) -> list[Image.Image]:
        values = found.values
        if values.ndim != 3 or values.dtype.kind not in "buif" or not values.size:
            raise DataError(
                f"{where} holds {values.dtype} of shape {values.shape}; numbers of shape (H, W) or "
                "(H, W, C), none of them 0, are needed"
            )
        levels = values
        if values.dtype != np.uint8:
            if self.range is None:
                raise OutOfRangeError(where, *extent(values, where), None)
            levels = self.levels(values, where)
            changes[f"{values.dtype} in 256 levels"] += 1
        levels = np.ascontiguousarray(levels)
        count = levels.shape[2]
        if channels not in MODES or count not in MODES:
            if found.alpha is not None:
                alpha = np.rint(found.alpha * MOST).astype(np.uint8)
                levels, count = np.concatenate([levels, alpha[:, :, None]], 2), count + 1
            if count != channels:
                raise _other_channels(where, count, channels, levels.shape[1::-1])
            return [Image.fromarray(band) for band in levels.transpose(2, 0, 1)]
        image = Image.fromarray(levels[:, :, 0] if count == 1 else levels)
        if found.alpha is not None:
            image.putalpha(Image.fromarray(np.rint(found.alpha * MOST).astype(np.uint8)))
        return [self._photograph(image, channels, changes)]

    def _photograph(self, image: Image.Image, channels: int, changes: Counter[str]) -> Image.Image:
        """The image in grey or in colour, its transparent pixels on the background."""
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            if layer.getchannel("A").getextrema()[0] != MOST:
                image = Image.alpha_composite(Image.new("RGBA", layer.size, self.background), layer)
                changes[f"transparent pixels on {self.background}"] += 1
            elif image.mode == "P":
                image = layer.convert("RGB")
        if channels == 1 and image.mode not in (*GREYS, "P", "PA"):
            changes["in colour, made grey"] += 1
        return image.convert(MODES[channels])


def decoded(
    pictures: Callable[[], Iterable[tuple[Encoded, str]]],
    count: int,
    shape: Sequence[int],
    name: str,
    decoder: Decoder,
    notes: Notes,
    skips: bool = False,
) -> Iterator[np.ndarray]:
    """Each of `count` pictures, given with its place for messages, decoded; with a bar on a terminal.

    skips: whether one that cannot be decoded is noted, and black, instead of an error.
    """
    from tqdm import tqdm

    bar = tqdm(pictures(), f"decoding {name}", count, unit=" images", disable=None)
    for place, (picture, where) in enumerate(bar):
        try:
            yield decoder(picture, shape, where, changes=notes.changes)
        except OutOfRangeError as error:
            raise OutOfRangeError(*error.found, _extent_of_all(pictures())) from error
        except DataError as error:
            if not skips:
                raise
            notes.damaged[place] = str(error)
            yield np.zeros(shape, np.uint8)


def extent(values: np.ndarray, where: str) -> tuple[float, float]:
    """The least and the greatest of some numbers; DataError where one is not finite."""
    low, high = values.min().item(), values.max().item()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(f"{where} holds {low} to {high}: leave out, or fill in, what is not finite")
    return low, high


def check_shape(shape: Sequence[int]) -> None:
    """ConfigurationError unless pictures can be decoded to `shape`."""
    if len(shape) != 3 or min(shape) < 1:
        raise ConfigurationError(
            f"data.shape={list(shape)}: pictures are read as [channels, height, width], 1 for "
            "grey and 3 for colour"
        )


def _extent_of_all(pictures: Iterable[tuple[Encoded, str]]) -> tuple[float, float]:
    """The least and the greatest value of all pictures deeper than 8 bits; what is damaged is left out."""
    ends: list[float] = []
    for picture, where in pictures:
        with suppress(Exception):
            content = picture.read_bytes() if isinstance(picture, Path) else picture
            found = samples(content)
            if found is not None and found.values.dtype != np.uint8:
                ends.extend(extent(found.values, where))
    return min(ends), max(ends)


def _content(picture: Encoded | Image.Image) -> bytes | None:
    """The encoded picture; of one that Pillow has opened, where there may be more than Pillow will load."""
    if not isinstance(picture, Image.Image):
        return picture.read_bytes() if isinstance(picture, Path) else picture
    stream = getattr(picture, "fp", None)
    if not getattr(picture, "tile", None) or stream is None or picture.format not in DEEP or picture.tell():
        return None
    place = stream.tell()
    stream.seek(0)
    content: bytes = stream.read()
    stream.seek(place)
    return content


def _other_channels(where: str, found: int, asked: int, size: Sequence[int]) -> DataError:
    fit = f"data.shape=[{found},{size[1]},{size[0]}]"
    return DataError(f"{where} has {found} channels, and data.shape says {asked}; {fit} would work")
