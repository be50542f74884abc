"""Tensors to pictures. Pure: nothing here knows a model, a run or a tracker."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from aelab.core.errors import ConfigurationError

CELL = 56  # at least so many pixels is the longer side of a shown image
GAP = 4
INK, PAPER = "#333333", "#ffffff"


def grid(rows: Sequence[Tensor], captions: Sequence[str]) -> Image.Image:
    """Rows of images, each with its caption on the left.

    rows: tensors (N, C, H, W) with values in [0, 1], C of 1 or 3; values outside are clipped.
    Raises ConfigurationError for other numbers of channels.
    """
    channels = rows[0].shape[1]
    if channels not in (1, 3):
        raise ConfigurationError(f"images of {channels} channels cannot be shown: give 1, or 3 for colour")
    cells = [[_cell(image) for image in row] for row in rows]
    height, width = cells[0][0].shape[:2]
    font = ImageFont.load_default(14)
    margin = round(max(font.getlength(caption) for caption in captions)) + 3 * GAP
    columns = max(map(len, cells))
    canvas = Image.new("RGB", (margin + columns * (width + GAP), GAP + len(cells) * (height + GAP)), PAPER)
    pen = ImageDraw.Draw(canvas)
    for i, (row, caption) in enumerate(zip(cells, captions, strict=True)):
        top = GAP + i * (height + GAP)
        pen.text((margin - GAP, top + height / 2), caption, INK, font, anchor="rm")
        for j, cell in enumerate(row):
            canvas.paste(Image.fromarray(cell), (margin + j * (width + GAP), top))
    return canvas


def folded(rows: Sequence[Tensor], captions: Sequence[str], columns: int) -> tuple[list[Tensor], list[str]]:
    """Long rows cut into bands of `columns` observations: the captions repeat in each band."""
    cut = [part for parts in zip(*(row.split(columns) for row in rows), strict=True) for part in parts]
    return cut, list(captions) * (len(cut) // len(captions))


def _cell(image: Tensor) -> np.ndarray:
    """(C, H, W) -> (h, w, 3) uint8, enlarged by a whole factor so that every pixel stays a square."""
    factor = max(1, -(-CELL // max(image.shape[-2:])))
    large = F.interpolate(image[None].float(), scale_factor=factor, mode="nearest")[0]
    rgb = large.expand(3, -1, -1) if large.shape[0] == 1 else large
    return (rgb.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
