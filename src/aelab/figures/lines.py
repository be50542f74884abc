"""Vectors as small pictures."""

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from aelab.figures.grids import CELL

WIDEST = 2 * CELL
STEP = 6  # pixels between two numbers, where there are few


def lines(rows: Tensor, reach: float) -> Tensor:
    """Vectors (N, D) as pictures (N, 1, 56, W) in [0, 1]: a curve through each, from -reach to reach.

    >>> lines(torch.tensor([[-1.0, 0.0, 1.0]]), reach=1.0).shape
    torch.Size([1, 1, 56, 56])
    """
    size = rows.shape[1]
    width = min(WIDEST, max(CELL, STEP * size))
    across = np.linspace(1, width - 2, size) if size > 1 else np.array([1.0, width - 2])
    heights = (CELL - 1) / 2 * (1 - 0.94 * rows.detach().float().cpu().numpy() / max(reach, 1e-12))
    return torch.stack([_curve(across, np.resize(row, len(across)), width) for row in heights])


def _curve(across: np.ndarray, heights: np.ndarray, width: int) -> Tensor:
    canvas = Image.new("L", (width, CELL), 245)
    pen = ImageDraw.Draw(canvas)
    pen.line([(0, CELL // 2), (width, CELL // 2)], fill=205)
    pen.line(list(zip(across.tolist(), heights.tolist(), strict=True)), fill=40, width=2)
    return torch.from_numpy(np.asarray(canvas).copy())[None] / 255
