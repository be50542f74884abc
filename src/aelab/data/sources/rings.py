"""Points around places on a circle: a mixture whose modes can be counted."""

import numpy as np


def rings(
    return_X_y: bool = True,  # noqa: N803  # as scikit-learn's tables are asked
    count: int = 20_000,
    modes: int = 8,
    radius: float = 2.0,
    scale: float = 0.1,
) -> tuple[np.ndarray, np.ndarray]:
    """Points (count, 2) of equal Gaussians around a circle, the same in all runs, and their modes (count,)
    (Metz et al. 2017, https://arxiv.org/abs/1611.02163).

    >>> x, y = rings(count=16)
    >>> x.shape, np.bincount(y).tolist()
    ((16, 2), [2, 2, 2, 2, 2, 2, 2, 2])
    """
    y = np.arange(count) % modes
    return centres(modes, radius)[y] + scale * np.random.RandomState(0).standard_normal((count, 2)), y


def centres(modes: int = 8, radius: float = 2.0) -> np.ndarray:
    """The means of the Gaussians, (modes, 2)."""
    angles = 2 * np.pi * np.arange(modes) / modes
    return radius * np.stack([np.cos(angles), np.sin(angles)], 1)
