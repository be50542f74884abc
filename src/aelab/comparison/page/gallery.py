"""The gallery of a page: pictures of runs, made small enough to be embedded.

A run's folder may come from anywhere, so a file is checked before it is shown: it must lie in its run's
folder and be a PNG of limited size, and it is encoded anew; and so is the sound beside it.
"""

import base64
import io
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from aelab.comparison.base import Group, RunSummary
from aelab.figures.wav import frames_of, wav

WIDEST = 1200  # pixels
LARGEST_FILE = 32 * 2**20
LARGEST_SOUND = 2 * 2**20
MOST_PIXELS = 25_000_000
BUDGET = 12_000_000  # characters of all pictures of a page
FIRST = ("reconstructions", "samples", "traversals")  # the kinds that stand first


@dataclass(frozen=True)
class Picture:
    """A picture of a group's run.

    uri: "data:image/png;base64,...". width, height: pixels. sound: "data:audio/wav;base64,..."; none is "".
    """

    group: str
    uri: str
    width: int
    height: int
    sound: str = ""


@dataclass(frozen=True)
class Gallery:
    """The pictures of one seed by kind, and sentences on those that are left out."""

    seed: int | None
    kinds: dict[str, list[Picture]]
    left_out: list[str]


def gallery(groups: Sequence[Group], budget: int = BUDGET) -> Gallery:
    """The gallery of the seed that most groups share, of the same images and the same noise."""
    seed = common_seed(groups)
    runs = {group.name: run for group in groups for run in group.runs if run.seed == seed}
    kinds: dict[str, list[Picture]] = {}
    left_out = [f"{group.name}: no finished run of seed {seed}" for group in groups if group.name not in runs]
    wanted = [(kind, name) for kind in _kinds(list(runs.values())) for name in runs]
    wanted = [(kind, name) for kind, name in wanted if kind in runs[name].pictures]
    with ThreadPoolExecutor() as threads:  # Pillow and zlib leave the interpreter to others meanwhile
        found = threads.map(lambda each: _picture(each[1], runs[each[1]], each[0]), wanted)
        for (kind, name), picture in zip(wanted, found, strict=True):
            if isinstance(picture, str) or len(picture.uri + picture.sound) > budget:
                why = picture if isinstance(picture, str) else "the page would grow too large"
                left_out.append(f"{name}, {kind}: {why}")
                continue
            budget -= len(picture.uri + picture.sound)
            kinds.setdefault(kind, []).append(picture)
    return Gallery(seed, kinds, left_out if kinds else [])


def common_seed(groups: Sequence[Group]) -> int | None:
    """The seed that most groups have a finished run with pictures of; the smallest of several."""
    counts = Counter(seed for group in groups for seed in {run.seed for run in group.runs if run.pictures})
    return min(counts, key=lambda seed: (-counts[seed], seed), default=None)


def embedded(file: Path, folder: Path) -> tuple[bytes, int, int] | str:
    """A PNG file of a run's folder, encoded anew, with its width and height; or why it is not shown."""
    if not file.resolve().is_relative_to(folder.resolve()):
        return "lies outside its run's folder"
    if not file.is_file():
        return "is not there"
    if file.stat().st_size > LARGEST_FILE:
        return f"is larger than {LARGEST_FILE // 2**20} MiB"
    try:
        with Image.open(file, formats=("PNG",)) as image:
            if image.width * image.height > MOST_PIXELS:
                return f"has more than {MOST_PIXELS // 10**6} million pixels"
            return _encoded(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"is not a PNG that can be read ({type(error).__name__})"


def embedded_sound(file: Path, folder: Path) -> bytes | None:
    """A WAV file of a run's folder, encoded anew, None where there is none; ValueError with why it is not
    played."""
    if not os.path.lexists(file):
        return None
    if file.is_symlink() or not file.is_file() or not file.resolve().is_relative_to(folder.resolve()):
        raise ValueError("it is no file of its run's folder")
    if file.stat().st_size > LARGEST_SOUND:
        raise ValueError(f"it is larger than {LARGEST_SOUND // 2**20} MiB")
    return wav(*frames_of(file.read_bytes()))


def _kinds(runs: Sequence[RunSummary]) -> list[str]:
    kinds = {kind for run in runs for kind in run.pictures}
    return [kind for kind in FIRST if kind in kinds] + sorted(kinds - set(FIRST))


def _picture(name: str, run: RunSummary, kind: str) -> Picture | str:
    found = embedded(run.pictures[kind], run.path)
    if isinstance(found, str):
        return found
    content, width, height = found
    try:
        sound = embedded_sound(run.pictures[kind].with_suffix(".wav"), run.path)
    except (OSError, ValueError) as error:
        return f"its sound cannot be played: {error}"
    uri = "" if sound is None else _uri("audio/wav", sound)
    return Picture(name, _uri("image/png", content), width, height, uri)


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _encoded(image: Image.Image) -> tuple[bytes, int, int]:
    """The PNG of an image, grey where it is grey, else in 256 colours, with its width and height."""
    if image.width > WIDEST:
        height = max(1, round(image.height * WIDEST / image.width))
        image = image.resize((WIDEST, height), Image.Resampling.LANCZOS)
    red, green, blue = image.split()
    grey = red.tobytes() == green.tobytes() == blue.tobytes()
    small = red if grey else image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue(), image.width, image.height
