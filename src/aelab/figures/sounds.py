"""Sounds as small pictures."""

import torch
import torch.nn.functional as F
from torch import Tensor

from aelab.figures.grids import CELL
from aelab.figures.lines import lines

WIDTH = 2 * CELL


def pictures_of_sounds(levels: Tensor, waves: Tensor | None = None) -> Tensor:
    """Spectra (N, bands, frames) of levels in [0, 1] as pictures (N, 1, H, 112), the louder the darker, time
    to the right and pitch upwards; below the waves (N, T) where they are given.

    >>> pictures_of_sounds(torch.rand(3, 20, 30), torch.rand(3, 500)).shape
    torch.Size([3, 1, 112, 112])
    """
    size = (CELL if waves is not None else WIDTH * 3 // 4, WIDTH)
    spectra = 1 - F.interpolate(levels[:, None].flip(2).float(), size, mode="bilinear").clamp(0, 1).cpu()
    if waves is None:
        return spectra
    curves = lines(waves, float(waves.abs().max()))
    return torch.cat([F.interpolate(curves, (CELL, WIDTH)), spectra], 2)
