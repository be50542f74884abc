"""Sounds as small pictures, and as what is heard of them."""

from collections.abc import Sequence
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor

from aelab.figures.grids import CELL
from aelab.figures.lines import lines
from aelab.figures.wav import wav

WIDTH = 2 * CELL
LONGEST, PAUSE = 8.0, 0.15  # seconds that a picture is heard, and between two of its sounds


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


def first_sounds(rows: Sequence[Tensor], seconds: float) -> Tensor:
    """The first of rows of observations (N, *shape) of so many seconds each, column by column, as many as are
    heard: (K, *shape).

    >>> first_sounds([torch.zeros(9, 1), torch.ones(9, 1)], seconds=1.85).flatten()
    tensor([0., 1., 0., 1.])
    """
    columns = zip(*(row.unbind() for row in rows), strict=False)
    return torch.stack(list(chain(*columns))[: max(1, int(LONGEST / (seconds + PAUSE)))])


def track(sounds: Tensor, rate: int) -> bytes:
    """Sounds (K, T) in [-1, 1] one after the other, as a WAV file of 16 bits."""
    gapped = F.pad(sounds.float().clamp(-1, 1), (0, round(PAUSE * rate))).flatten()
    return wav((gapped * 32767).round().numpy().astype("<i2").tobytes(), rate)
