"""Restorations of images that read no model: what a sceptic compares with, from scikit-image."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aelab.core.errors import InapplicableError
from aelab.jobs.degradation import Degraded


class Baseline(ABC):
    """What is left of images (B, C, H, W) -> what was there. InapplicableError for damage of another sort.

    strengths: of which the best on other images is taken.
    """

    strengths: Sequence[float] = (1.0,)

    def fit(self, left: Degraded, truth: Tensor) -> None:
        """Choose the strength by the squared error on images that are known."""
        errors = [float((self.restore(left, s) - truth).square().mean()) for s in self.strengths]
        self.strength = self.strengths[int(np.argmin(errors))]

    def __call__(self, left: Degraded) -> Tensor:
        return self.restore(left, self.strength)

    @abstractmethod
    def restore(self, left: Degraded, strength: float) -> Tensor:
        """With a strength."""


class Nothing(Baseline):
    """What is left, as it is; fewer pixels in the old size by bicubic curves."""

    def restore(self, left: Degraded, strength: float) -> Tensor:
        return left.shown


class NonLocalMeans(Baseline):
    """Means over similar patches (Buades, Coll and Morel 2005, https://doi.org/10.1109/CVPR.2005.38)."""

    strengths = (0.05, 0.1, 0.2, 0.4)

    def restore(self, left: Degraded, strength: float) -> Tensor:
        from skimage.restoration import denoise_nl_means as denoised

        _whole(left)
        return _each(left.shown, lambda image: denoised(image, 5, 6, strength, channel_axis=-1))


class TotalVariation(Baseline):
    """The image of least total variation near what is left (Rudin, Osher and Fatemi 1992,
    https://doi.org/10.1016/0167-2789(92)90242-F; Chambolle 2004)."""

    strengths = (0.02, 0.05, 0.1, 0.2, 0.4)

    def restore(self, left: Degraded, strength: float) -> Tensor:
        from skimage.restoration import denoise_tv_chambolle as denoised

        _whole(left)
        return _each(left.shown, lambda image: denoised(image, strength, channel_axis=-1))


class Biharmonic(Baseline):
    """Hidden pixels by the biharmonic equation (Damelin and Hoang 2018,
    https://doi.org/10.1155/2018/3950312)."""

    def restore(self, left: Degraded, strength: float) -> Tensor:
        from skimage.restoration import inpaint_biharmonic as inpainted

        if left.hidden is None:
            raise InapplicableError("nothing is hidden")
        masks = iter(left.hidden[:, 0].cpu().numpy() > 0)
        return _each(left.y, lambda image: inpainted(image, next(masks), channel_axis=-1)).clamp(0, 1)


def _whole(left: Degraded) -> None:
    if left.hidden is not None:
        raise InapplicableError("a part is hidden")


def _each(images: Tensor, change: Any) -> Tensor:
    """Images (B, C, H, W) changed one by one as arrays (H, W, C)."""
    arrays = images.permute(0, 2, 3, 1).double().cpu().numpy()
    changed = np.stack([change(array) for array in arrays])
    return torch.from_numpy(changed.reshape(arrays.shape)).permute(0, 3, 1, 2).to(images)
