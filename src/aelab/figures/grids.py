"""Tensors to pictures. Pure: nothing here knows a model, a run or a tracker."""

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from aelab.core.errors import ConfigurationError

CELL = 56  # at least so many pixels is the longer side of a shown image
GAP, LINE = 4, 16
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
    margin = _margin(captions)
    columns = max(map(len, cells))
    canvas = Image.new("RGB", (margin + columns * (width + GAP), GAP + len(cells) * (height + GAP)), PAPER)
    pen = ImageDraw.Draw(canvas)
    for i, (row, caption) in enumerate(zip(cells, captions, strict=True)):
        top = GAP + i * (height + GAP)
        pen.text((margin - GAP, top + height / 2), caption, INK, font, anchor="rm")
        for j, cell in enumerate(row):
            canvas.paste(Image.fromarray(cell), (margin + j * (width + GAP), top))
    return canvas


def headed(picture: Image.Image, captions: Sequence[str], heads: Sequence[str]) -> Image.Image:
    """A grid's picture with a heading of at most two lines above each of its columns.

    captions: those of its rows. heads: one for each column.
    """
    font = _font("".join(heads))
    margin = _margin(captions)
    step = (picture.width - margin) / len(heads)
    letters = max(8, int(step / 7))
    lines = [wrap(head, letters, max_lines=2, placeholder="…") for head in heads]
    height = GAP + LINE * max(map(len, lines), default=0)
    canvas = Image.new("RGB", (picture.width, picture.height + height), PAPER)
    canvas.paste(picture, (0, height))
    pen = ImageDraw.Draw(canvas)
    for place, head in enumerate(lines):
        middle = margin + place * step + (step - GAP) / 2
        pen.text((middle, height), "\n".join(head), INK, font, anchor="md", align="center")
    return canvas


def _margin(captions: Sequence[str]) -> int:
    """The width of what stands on the left of a grid."""
    font = ImageFont.load_default(14)
    return round(max(font.getlength(caption) for caption in captions)) + 3 * GAP


def _font(text: str) -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    """Pillow's own font, or one that has more letters than it, which comes with matplotlib."""
    if text.isascii():
        return ImageFont.load_default(12)
    from matplotlib import get_data_path

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", 12)


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
