"""Differentiable augmentation of what a critic sees, true and made alike, so that few images last longer."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.schedules import Scheduled, scheduled

Change = Callable[[Tensor], Tensor]


class Augmentation:
    """Each change falls on each image with a probability, a number or a schedule (Zhao et al. 2020,
    https://arxiv.org/abs/2006.10738; below 1 it does not leak into samples, Karras et al. 2020,
    https://arxiv.org/abs/2006.06676).

    __call__: x (N, C, H, W), step -> (N, C, H, W).
    """

    def __init__(self, probability: Scheduled = 0.5, changes: Sequence[Change] | None = None) -> None:
        self.probability = scheduled(probability)
        self.changes = [brighten, shift, cut_out] if changes is None else list(changes)

    def __call__(self, x: Tensor, step: int) -> Tensor:
        if x.dim() != 4:
            raise ConfigurationError(
                "critic/augmentation changes images, and this critic compares others: choose "
                "critic/augmentation=none"
            )
        p = self.probability(step)
        if not 0 <= p <= 1:
            raise ConfigurationError(f"critic.augmentation.probability={p}: a probability is between 0 and 1")
        for change in self.changes:
            chosen = torch.rand(len(x), 1, 1, 1, device=x.device) < p
            x = torch.where(chosen, change(x), x)
        return x


def brighten(x: Tensor, most: float = 0.5) -> Tensor:
    """x with a uniform number from -most to most added to each image."""
    return x + most * (2 * _uniform(x) - 1)


def shift(x: Tensor, share: float = 0.125) -> Tensor:
    """x with each image moved by up to a share of its sides, and 0 moving in."""
    height, width = x.shape[2:]
    down, right = (_whole(x, max(1, round(share * size))) for size in (height, width))
    rows = (torch.arange(height, device=x.device) - down)[:, 0, :, None]
    columns = (torch.arange(width, device=x.device) - right)[:, 0, None, :]
    return _at(x, rows, columns)


def _whole(x: Tensor, most: int) -> Tensor:
    """A whole number from -most to most for each image, (N, 1, 1)."""
    return torch.randint(-most, most + 1, (len(x), 1, 1), device=x.device)


def _at(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels of each image at rows (N, H, 1) and columns (N, 1, W), 0 outside."""
    height, width = x.shape[2:]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    index = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    found = x.flatten(2).gather(2, index.flatten(1)[:, None].expand(-1, x.shape[1], -1))
    return found.unflatten(2, (height, width)) * inside[:, None]


def cut_out(x: Tensor, share: float = 0.5) -> Tensor:
    """x with a rectangle of a share of the sides at 0, anywhere in each image."""
    masks = [
        ((torch.arange(size, device=x.device) + 0.5) / size - _uniform(x)[:, 0, 0]).abs() > share / 2
        for size in x.shape[2:]
    ]
    return x * (masks[0][:, :, None] | masks[1][:, None, :])[:, None]


def _uniform(x: Tensor) -> Tensor:
    return torch.rand(len(x), 1, 1, 1, device=x.device)
