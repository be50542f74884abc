"""How many modes of a known mixture samples fall on."""

from typing import NamedTuple

import torch
from torch import Tensor

from aelab.core.quantity import Quantity

MODES = Quantity("modes", "modes", True)
ON_MODES = Quantity("on_modes", "fraction", True)
NEAR = 3  # deviations from a mode within which a sample is of it
SHARE = 0.2  # of its even share of the samples, from which a mode is covered


class Coverage(NamedTuple):
    """modes: how many are covered, each by a fifth of its even share of samples or more. on_modes: the share
    of samples that lie within three deviations of a mode."""

    modes: int
    on_modes: float


def coverage(samples: Tensor, centres: Tensor, scale: float) -> Coverage:
    """Of samples (N, D) and equal round Gaussians around centres (K, D) with a standard deviation.

    After Metz et al. 2017 (https://arxiv.org/abs/1611.02163).

    >>> coverage(torch.tensor([[0.0], [0.1], [5.0], [9.0]]), torch.tensor([[0.0], [5.0], [8.0]]), 0.1)
    Coverage(modes=2, on_modes=0.75)
    """
    distance, nearest = torch.cdist(samples, centres).min(1)
    near = distance <= NEAR * scale
    counts = torch.bincount(nearest[near], minlength=len(centres))
    least = SHARE * len(samples) / len(centres)
    return Coverage(int((counts >= least).sum()), near.double().mean().item())
