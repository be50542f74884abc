"""White shapes on black with five known factors, after dSprites (Matthey et al. 2017), drawn by ourselves.

The factors, their values and their order are the published ones; the pixels are not, for the size and the
form of each shape are ours. Numbers on these images compare only with numbers on these images.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from aelab.data.sources.drawn import Drawn, Ingredients

SIZES = (3, 6, 40, 32, 32)  # shape (square, ellipse, heart), scale, orientation, x, y: the last runs fastest
COUNT = 737_280
SIDE, STEPS = 64, 32
PATCH = SIDE - STEPS + 1  # a shape in all its scales and turns fits into so many pixels


class DSprites(Drawn):
    """All combinations of the five factors, or some of them: 737,280 images, as a memory map of 3 GB.

    A pixel is white where its centre lies inside the shape, and a step of x or y is one pixel, so that the
    images are exact. Orientations run from 0 to 2 pi with both ends, as published: the first and the last
    look alike, and so do quarter turns of a square and half turns of an ellipse. `notes` count such twins
    across splits.

    y: the shape. attributes: shape, scale, orientation, x and y.
    """

    label = 0

    def __init__(self, name: str = "dsprites", count: int | None = 60_000, test: int | float = 0.1) -> None:
        super().__init__(name, count, test)

    @property
    def sizes(self) -> Sequence[int]:
        return SIZES

    @property
    def shape(self) -> Sequence[int]:
        return (1, SIDE, SIDE)

    def ingredients(self) -> Ingredients:
        return {"forms": forms()}

    def draw(self, ingredients: Ingredients, index: Tensor) -> Tensor:
        return draw(ingredients["forms"], index)

    def pixels_of(self, ingredients: Ingredients, index: Tensor) -> Tensor:
        alike = np.unique(ingredients["forms"].reshape(-1, PATCH**2), axis=0, return_inverse=True)[1]
        form, place = torch.div(index, STEPS**2, rounding_mode="floor"), index % STEPS**2
        return torch.from_numpy(alike.reshape(-1))[form] * STEPS**2 + place

    def blocks(self, ingredients: Ingredients) -> Iterable[np.ndarray]:
        from tqdm import tqdm

        return tqdm(_placed(ingredients["forms"]), f"drawing {self.name}", unit=" forms", disable=None)


def forms() -> np.ndarray:
    """Every shape in every scale and orientation, centred: (3, 6, 40, 33, 33), uint8, 0 or 255."""
    place = np.arange(PATCH) - PATCH // 2
    down, right = np.meshgrid(place, place, indexing="ij")
    angle = np.linspace(0, 2 * np.pi, SIZES[2])[:, None, None]
    scale = np.linspace(0.5, 1, SIZES[1])[:, None, None, None]
    a = (np.cos(angle) * right + np.sin(angle) * down) / scale
    b = (np.cos(angle) * down - np.sin(angle) * right) / scale
    inside = np.stack([_square(a, b), _ellipse(a, b), _heart(a, b)])
    return inside.astype(np.uint8) * 255


def draw(drawn: np.ndarray, index: Tensor) -> Tensor:
    """The images at `index` (N,), of 737,280 in the published order: (N, 1, 64, 64), uint8."""
    form, x, y = np.unravel_index(index.numpy(), (COUNT // STEPS**2, STEPS, STEPS))
    return torch.from_numpy(_placed(drawn)[form, x, y]).unsqueeze(1)


def _placed(drawn: np.ndarray) -> np.ndarray:
    """Each of 720 forms at each x and y, (720, 32, 32, 64, 64): windows onto 720 padded forms, not a copy."""
    margin = STEPS - 1
    padded = np.pad(drawn.reshape(-1, PATCH, PATCH), ((0, 0), (margin, margin), (margin, margin)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (SIDE, SIDE), (1, 2))
    return windows[:, ::-1, ::-1].swapaxes(1, 2)  # a window further up shows the form further down


# In pixels, at scale 1, around the centre; `b` points down. No outline passes through a pixel's centre.


def _square(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(a), np.abs(b)) <= 10.75


def _ellipse(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a / 15.7) ** 2 + (b / 8.3) ** 2 <= 1


def _heart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Taubin's curve (p^2 + q^2 - 1)^3 = p^2 q^3."""
    p, q = a / 12.3, 0.25 - b / 12.3
    return (p**2 + q**2 - 1) ** 3 <= p**2 * q**3
