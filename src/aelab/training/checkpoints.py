"""Checkpoints on disk, checked before they are trusted; read with torch alone."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from aelab.core.errors import RunError
from aelab.core.memory import memory
from aelab.core.untrusted import read_bytes

DIGEST_SIZE = hashlib.sha256().digest_size


def load(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """The checkpoint at a local path; RunError if it is damaged or holds anything but data."""
    if not is_whole(path):
        raise RunError(f"{path} is damaged or is no checkpoint")
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:
        raise RunError(f"{path} holds more than tensors and plain containers, and is not loaded") from error


def sealed(archive: bytes) -> bytes:
    """A zip archive with a digest of all its bytes as its comment; zip's own checksums leave some out."""
    opened = archive[:-2] + DIGEST_SIZE.to_bytes(2, "little")
    return opened + hashlib.sha256(opened).digest()


def is_whole(path: Path) -> bool:
    """Whether this is a file in which every byte agrees with the digest that was written with it."""
    try:
        content = memoryview(read_bytes(path, memory()))
    except (OSError, RunError):
        return False
    return hashlib.sha256(content[:-DIGEST_SIZE]).digest() == content[-DIGEST_SIZE:]


def resume_points(folder: Path) -> list[Path]:
    """The checkpoints a training can continue from, newest first, damaged ones included."""
    return sorted(folder.glob("resume-*.ckpt"), reverse=True)


def usable(paths: list[Path]) -> Iterator[Path]:
    """The undamaged ones."""
    return (path for path in paths if is_whole(path))
