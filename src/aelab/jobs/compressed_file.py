"""A file of compressed observations.

    magic 6, version 2 | digest of the coder 16, of the content 16 | images 4, codes 2 (0 of a lossy file),
    levels 2, first words 4, bytes of notes 4 | notes: JSON, deflated | words, 4 each | checksum of all
    before it 16

Numbers are little-endian; digests are the first 16 bytes of SHA-256. What a decoder would make other tables
of, as another model or another arithmetic, is told by the digest before anything is decoded, and content that
is not what was compressed is never given back.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from aelab.core.errors import DataError
from aelab.jobs.bits_back import BitsBack, Told
from aelab.jobs.lossy import Lossy

MAGIC, VERSION = b"AELAB\0", 2
HEAD = struct.Struct("<6sH16s16sIHHII")
Track = Callable[..., Iterator[slice]]
Coder = BitsBack | Lossy


@dataclass(frozen=True)
class Compressed:
    """What a file says before it is decoded. notes: names and conditions, as JSON has them."""

    coder: bytes
    content: bytes
    count: int
    codes: int
    levels: int
    seed: int
    notes: Mapping[str, Any]
    words: np.ndarray


def packed(coder: Coder, x: np.ndarray, told: Told, notes: Mapping[str, Any], track: Track = iter) -> bytes:
    """Observations (N, *shape) of levels, uint8, as the content of a file."""
    words, seed = coder.compress(x, told, track)
    said = zlib.compress(json.dumps(notes).encode(), 9) if notes else b""
    head = HEAD.pack(
        MAGIC,
        VERSION,
        coder.digest(),
        _digest(x.tobytes()),
        len(x),
        coder.codes,
        coder.levels,
        seed,
        len(said),
    )
    body = head + said + words.astype("<u4").tobytes()
    return body + _digest(body)


def opened(content: bytes, name: str) -> Compressed:
    """What a file holds; DataError for one that is none, is of another version, cut off or altered."""
    if not content.startswith(MAGIC):
        raise DataError(f"{name} is no compressed file of aelab: give one that `aelab compress` wrote")
    body, checksum = content[:-16], content[-16:]
    if len(content) < HEAD.size + 16 or _digest(body) != checksum:
        raise DataError(f"{name} was cut off or altered: restore it")
    _, version, coder, found, count, codes, levels, seed, size = HEAD.unpack_from(body)
    if version != VERSION:
        raise DataError(
            f"{name} is of version {version}, and this aelab reads {VERSION}: use the one that wrote it"
        )
    said, words = body[HEAD.size : HEAD.size + size], body[HEAD.size + size :]
    notes = json.loads(zlib.decompress(said)) if said else {}
    return Compressed(
        coder, found, count, codes, levels, seed, notes, np.frombuffer(words, "<u4").astype(np.uint32)
    )


def unpacked(coder: Coder, file: Compressed, told: Told, name: str, track: Track = iter) -> np.ndarray:
    """The observations (N, *shape) of levels, uint8; DataError where they are others than were compressed."""
    if coder.digest() != file.coder:
        raise DataError(
            f"{name} was compressed by other weights, or on a machine that computes other tables: give its "
            "run, and the versions of its record"
        )
    try:
        x = coder.decompress(file.words, file.seed, file.count, told, track)
    except ValueError as error:
        raise DataError(
            f"{name} does not decode here ({error}): decompress it where it was compressed"
        ) from error
    if _digest(x.tobytes()) != file.content:
        raise DataError(f"{name} decodes to other observations here: decompress it where it was compressed")
    return x


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()[:16]
