"""Sounds as WAV files of one channel of 16 bits, and those that belong to pictures."""

import io
import wave
from collections.abc import Callable
from functools import cache
from pathlib import Path

from PIL import Image

SOUND = "sound"  # the name in what a picture says of itself


def wav(frames: bytes, rate: int) -> bytes:
    """The file of samples of 16 bits, the lower byte first."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(frames)
    return file.getvalue()


def frames_of(content: bytes) -> tuple[bytes, int]:
    """The samples of such a file, and their rate; ValueError for what is none.

    >>> frames_of(wav(b"abcd", 8000))
    (b'abcd', 8000)
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            if (file.getnchannels(), file.getsampwidth()) != (1, 2) or file.getframerate() < 1:
                raise ValueError("it is not of one channel of 16 bits")
            return file.readframes(file.getnframes()), file.getframerate()
    except (wave.Error, EOFError, RuntimeError) as error:
        raise ValueError("it is no whole WAV file") from error


def with_sound(picture: Image.Image, make: Callable[[], bytes | None]) -> Image.Image:
    """A picture to which a WAV file belongs, or None; it is made where it is asked for, and once."""
    picture.info[SOUND] = cache(make)
    return picture


def sound_of(picture: Image.Image) -> bytes | None:
    """The WAV file that belongs to a picture, where one does."""
    make: Callable[[], bytes | None] | None = picture.info.get(SOUND)
    return None if make is None else make()


def save(picture: Image.Image, path: Path) -> list[Path]:
    """Write a picture as `path`, a PNG file, and beside it the sound that belongs to it: the list of that
    file, without a sound an empty one."""
    picture.save(path)
    if (content := sound_of(picture)) is None:
        return []
    sound = path.with_suffix(".wav")
    sound.unlink(missing_ok=True)  # a link would lead what is written elsewhere
    sound.write_bytes(content)
    return [sound]
