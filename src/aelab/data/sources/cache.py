"""Images on disk in the form in which they are used: one memory map for each set of files and shape.

A map is written once, whole; any of them may be deleted at any time.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.files import atomic

DIGEST = 32  # hexadecimal digits of an md5, which stand behind the pixels, and behind them what was noted


def cache_folder() -> Path:
    """Where downloads and memory maps lie: environment variable AELAB_DATA, or the user's cache."""
    import pooch

    return Path(os.environ.get("AELAB_DATA") or pooch.os_cache("aelab"))


def folder_of(name: str) -> Path:
    """The cache's folder of a data set; ConfigurationError for a name that leads elsewhere."""
    return cache_folder() / plain(name)


def below(root: Path, name: str) -> Path:
    """Where the files of a data set are that a user has under `root`: there, or in a folder `name` of it."""
    return root / name if (root / name).is_dir() else root


def plain(name: str) -> str:
    """A file's or folder's name as it is; ConfigurationError where it is a path, as in a forged run."""
    if not name or name.startswith(".") or set(name) & set("/\\\0"):
        raise ConfigurationError(
            f"{name!r} is no plain name of a file or folder: leave out what leads elsewhere"
        )
    return name


def memory_map(
    name: str,
    key: str,
    shape: Sequence[int],
    blocks: Callable[[], Iterable[np.ndarray]],
    notes: Callable[[], Mapping[str, Any]] = dict,
) -> tuple[Tensor, str]:
    """The pixels of `shape`, uint8, that `blocks` makes one after the other, and their checksum.

    notes: what is to be known of them once they are made, as JSON, which `noted` gives again.

    They are made only where the cache does not hold them under `name` and `key`. The map is private to the
    process: what is written to the tensor never reaches the file. DataError where it cannot be written.
    """
    path = folder_of(name) / f"{key}.npy"
    found = _open(path, tuple(shape))
    if found is None:
        _write(path, tuple(shape), blocks(), notes)
        found = _open(path, tuple(shape))
    assert found is not None, f"{path} does not hold {tuple(shape)}"
    return found


def noted(name: str, key: str) -> dict[str, Any]:
    """What was noted of a memory map that is there, when it was made."""
    path = folder_of(name) / f"{key}.npy"
    pixels = np.lib.format.open_memmap(path, mode="r")
    with path.open("rb") as file:
        file.seek(pixels.offset + pixels.size + DIGEST)
        return json.loads(file.read() or b"{}")


def fingerprint(files: Iterable[Path], root: Path, *rest: object) -> str:
    """A key that changes with the name, size or time of any file below `root`, and with `rest`."""
    known = [(str(f.relative_to(root)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hashlib.sha256(repr((known, rest)).encode()).hexdigest()[:32]


def _open(path: Path, shape: tuple[int, ...]) -> tuple[Tensor, str] | None:
    """The map of a whole file; None where there is none of this shape."""
    try:
        pixels = np.lib.format.open_memmap(path, mode="c")
        if pixels.shape != shape or pixels.dtype != np.uint8:
            return None
        with path.open("rb") as file:
            file.seek(pixels.offset + math.prod(shape))
            digest, notes = file.read(DIGEST), file.read()
        json.loads(notes or b"{}")  # which an interrupted copy of the cache has not whole
        return (torch.from_numpy(pixels), f"md5:{digest.decode('ascii')}") if len(digest) == DIGEST else None
    except (OSError, ValueError):
        return None


def _write(
    path: Path,
    shape: tuple[int, ...],
    blocks: Iterable[np.ndarray],
    notes: Callable[[], Mapping[str, Any]],
) -> None:
    try:
        with atomic(path) as new, new.open("xb") as file:
            _fill(file, shape, blocks)
            if found := notes():
                file.write(json.dumps(found).encode())
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}); {math.prod(shape) / 1e6:,.0f} MB are needed "
            "there, or in another folder with the environment variable AELAB_DATA"
        ) from error


def _fill(file: BinaryIO, shape: tuple[int, ...], blocks: Iterable[np.ndarray]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    digest = hashlib.md5(usedforsecurity=False)
    for block in blocks:
        content = np.ascontiguousarray(block).data
        file.write(content)
        digest.update(content)
    file.write(digest.hexdigest().encode("ascii"))
