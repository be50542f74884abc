"""Recordings in files: what lies in a folder or an archive, and the sound in it at one rate."""

import re
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from io import BytesIO
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.paths import from_user
from aelab.core.text import listed, printable, sentence
from aelab.data.listing import SPELLINGS, natural

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = frozenset({".wav", ".flac"})
Contents = Iterator[tuple[str, bytes]]
Noted = defaultdict[str, list[str]]
"""The names of recordings by what was done to them."""


def recordings(root: str | Path) -> Contents:
    """The names and bytes of all recordings in and below a folder, in a .zip or .tar archive, or of one.

    They are in natural order, but for those of a .tar archive. Raises DataError where there are none.
    """
    place, empty = from_user(root), True
    for name, content in _contents(place):
        if Path(name).suffix.lower() in SUFFIXES and not Path(name).name.startswith("."):
            empty = False
            yield name, content
    if empty:
        raise DataError(
            f"{printable(root)}: no recordings are there; data.root must name a .wav or .flac file, a folder "
            "of them, or a .zip or .tar archive"
        )


def _contents(place: Path) -> Contents:
    try:
        if place.is_dir():
            paths = sorted((p for p in place.rglob("*") if p.is_file()), key=lambda p: natural(str(p)))
            yield from (
                (str(p.relative_to(place)), p.read_bytes()) for p in paths if p.suffix.lower() in SUFFIXES
            )
        elif place.is_file() and place.suffix.lower() in SUFFIXES:
            yield place.name, place.read_bytes()
        elif zipfile.is_zipfile(place):
            with zipfile.ZipFile(place) as archive:
                yield from ((one, archive.read(one)) for one in sorted(archive.namelist(), key=natural))
        elif place.is_file():
            with tarfile.open(place) as archive:
                files = (member for member in archive if member.isfile())
                yield from ((member.name, archive.extractfile(member).read()) for member in files)  # type: ignore[union-attr]
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise DataError(
            f"{printable(place)} cannot be read ({sentence(error)}): a folder of .wav files, or a whole .zip "
            "or .tar archive, would work"
        ) from error


def split_of(name: str) -> tuple[str | None, tuple[str, ...]]:
    """The split that a recording's first folder is called by, and its folders without that one."""
    *folders, _ = Path(name).parts
    for split, spelled in SPELLINGS.items():
        if folders and folders[0].casefold() in spelled:
            return split, tuple(folders[1:])
    return None, tuple(folders)


def label_of(name: str, pattern: str | None) -> str | None:
    """The label of a recording: what the group of a regular expression finds in its file's name, or its
    folder; None where it lies in none.

    Raises DataError for a name in which nothing is found, and ConfigurationError for no such expression.
    """
    if pattern is None:
        folders = split_of(name)[1]
        return folders[0] if folders else None
    try:
        found = re.search(pattern, Path(name).name)
        label = None if found is None else found[1]
    except (re.error, IndexError) as error:
        raise ConfigurationError(
            f"data.source.label={pattern} is no regular expression with a group ({sentence(error)}): "
            r"^(\d)_ would find a digit"
        ) from error
    if label is None:
        raise DataError(
            f"{printable(name)} has no label, which data.source.label={pattern} finds in no part of it"
        )
    return label


def decoded(name: str, content: bytes, rate: int, notes: Noted) -> "np.ndarray":
    """The sound (T,) of a recording, float32, its channels averaged, at `rate` samples in a second.

    notes: to which is added what was done to it. Raises DataError naming a recording that is none.
    """
    import numpy as np

    soundfile = _soundfile()
    try:
        found, own = soundfile.read(BytesIO(content), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise DataError(
            f"{printable(name)} cannot be read as sound ({sentence(error)}): give a whole .wav or .flac file"
        ) from error
    if not len(found) or not np.isfinite(found).all():
        what = "no samples" if not len(found) else "NaN or infinite samples"
        raise DataError(f"{printable(name)} holds {what}: leave it out, or record it again")
    if found.shape[1] > 1:
        notes[f"averaged over {found.shape[1]} channels"].append(name)
    one = found.mean(1)
    if own != rate:
        from scipy.signal import resample_poly

        notes[f"resampled from {own:,} to {rate:,} Hz"].append(name)
        one = resample_poly(one, rate // gcd(rate, own), own // gcd(rate, own)).astype(np.float32)
    return np.clip(one, -1, 1)


def written(path: Path, sound: "np.ndarray", rate: int) -> None:
    """Write a sound (T,) in [-1, 1] as a file of 16 bits."""
    _soundfile().write(path, sound.clip(-1, 1), rate, subtype="PCM_16")


def said(notes: Noted) -> list[str]:
    """What is told of recordings that are not as they were."""
    return [f"{what}: {len(names):,} recordings ({listed(names)})" for what, names in notes.items()]


def filled(sound: "np.ndarray", length: int) -> "np.ndarray":
    """A sound cut, or filled with silence at its end, to `length` samples."""
    import numpy as np

    return np.pad(sound[:length], (0, max(0, length - len(sound))))


def classes_of(labels: Iterable[str]) -> list[str]:
    """The names of the classes of recordings, in natural order."""
    return sorted(set(labels), key=natural)


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise ConfigurationError(
            f"recordings need the package soundfile ({sentence(error)}): pip install 'aelab[audio]'"
        ) from error
    return soundfile
