"""Structural similarity as a reconstruction term: a loss, and no likelihood."""

from collections.abc import Sequence

from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Trace
from aelab.core.schedules import Scheduled
from aelab.core.structure import POWERS, WINDOW, structure
from aelab.models import Autoencoder
from aelab.models.evidence import required_posterior
from aelab.objectives.base import Term


class MSSSIM(Term):
    """1 - the multi-scale structural similarity of the image and the mean of p(x|z,c) (Snell et al. 2017).

    It is between 0 and about 1, so its weight is an image's distortion in nats where nothing is alike.

    scales: each but the first halves the image, whose sides keep 3 pixels or more at the coarsest.
    """

    def __init__(self, weight: Scheduled = 1.0, scales: int = 2) -> None:
        super().__init__(weight)
        if not 1 <= scales <= len(POWERS):
            raise ConfigurationError(f"scales={scales}: choose from 1 to {len(POWERS)}")
        self.scales = scales

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        required_posterior(trace, "a reconstruction")
        mean = trace.likelihood.mean
        return (
            1
            - ms_ssim(
                mean.flatten(0, 1), trace.x.repeat(len(mean), *[1] * (trace.x.dim() - 1)), self.scales
            ).mean()
        )


def ms_ssim(x: Tensor, y: Tensor, scales: int) -> Tensor:
    """The multi-scale structural similarity of images (B, C, H, W) in [0, 1]: (B,).

    The window is Gaussian, of 11 pixels or what the coarsest scale holds, with a deviation of 1.5 in 11.
    Raises ConfigurationError for images too small for the scales.
    """
    if x.dim() != 4:
        raise ConfigurationError(
            f"structural similarity is of images, and observations are {list(x.shape[1:])}: choose another "
            "objective"
        )
    side = min(x.shape[-2:]) // 2 ** (scales - 1)
    if side < 3:  # a window of one pixel sees no structure, only brightness
        raise ConfigurationError(f"images of {tuple(x.shape[-2:])} are too small for scales={scales}")
    size = min(WINDOW, side - (side + 1) % 2)
    return structure(x, y, _normalised(POWERS[:scales]), size, floor=1e-6)


def _normalised(powers: Sequence[float]) -> list[float]:
    return [power / sum(powers) for power in powers]
