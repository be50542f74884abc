"""Checkpoints on disk: written whole or not at all, checked before they are trusted."""

import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import CheckpointIO

from aelab.errors import ResumeError


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside the final name, flushes to the disk, then renames: a kill leaves the old file or the new.

    Loads tensors and plain containers only, from local paths only: a checkpoint is data, not code.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        return load(Path(path), map_location)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def load(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """The checkpoint at a local path; ResumeError if it is damaged or holds anything but data."""
    if not is_whole(path):
        raise ResumeError(f"{path} is damaged or is no checkpoint")
    return torch.load(path, map_location=map_location, weights_only=True)


def is_whole(path: Path) -> bool:
    """Whether every byte of the archive agrees with its checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError):
        return False


def resume_points(folder: Path) -> list[Path]:
    """The checkpoints a training can continue from, newest first, damaged ones included."""
    return sorted(folder.glob("resume-*.ckpt"), reverse=True)


def usable(paths: list[Path]) -> Iterator[Path]:
    """The undamaged ones."""
    return (path for path in paths if is_whole(path))
