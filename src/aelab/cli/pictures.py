"""The pictures of a folder, read one block after the other."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aelab.core.errors import DataError
from aelab.core.paths import from_user
from aelab.core.text import printable
from aelab.data.sources.folder import SUFFIXES
from aelab.figures.decoding import check_shape, decode
from aelab.runs.trained import BLOCK, Trained


def pictures_in(folder: str) -> list[Path]:
    """All pictures in and below a folder, in the order of their names; DataError where there are none."""
    root = from_user(folder)
    found = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise DataError(f"{printable(root)} is no folder that holds pictures: give one")
    return found


def read(files: list[Path], model: Trained, resize: bool) -> Iterator[Tensor]:
    """Their pixels in blocks (B, C, H, W), uint8; DataError naming a file that the model cannot take."""
    check_shape(model.shape)
    for start in range(0, len(files), BLOCK):
        yield torch.from_numpy(np.stack([_pixels(f, model, resize) for f in files[start : start + BLOCK]]))


def _pixels(file: Path, model: Trained, resize: bool) -> np.ndarray:
    height, width = model.shape[1:]
    pixels = decode(file, model.shape, printable(file))
    with Image.open(file) as picture:
        size = picture.size
    if not resize and sorted(size) != sorted((width, height)):  # a camera may have noted a turn
        raise DataError(
            f"{printable(file)} is {size[1]}x{size[0]}, and the model takes {height}x{width}: give "
            "pictures of that size, or resize=true"
        )
    return pixels
