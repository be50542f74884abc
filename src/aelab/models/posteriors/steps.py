"""The posterior of codes that are sequences of steps."""

import math
from collections.abc import Callable

from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import Steps
from aelab.models.networks.causal import Causal
from aelab.models.networks.steps import StepMoments
from aelab.models.posteriors.base import Features, Posterior, layout_of


class GaussianSteps(Posterior):
    """Each step of a code given those before it and the features at its place (Chung et al. 2015,
    https://arxiv.org/abs/1506.02216). Begins as `DiagonalGaussian`, of the features alone.

    network: (width,) -> what reads the steps before, beside the features.
    """

    def __init__(
        self, features: Features, sizes: Sizes, network: Callable[..., Causal], width: int = 64
    ) -> None:
        if isinstance(features, int):
            raise ConfigurationError(
                "posterior=steps reads features of each step and the encoder gives a vector: choose "
                "network=gru_frames, or posterior=diagonal_gaussian"
            )
        super().__init__(layout_of(features, sizes.latent))
        self.size, self.steps = sizes.latent, math.prod(features[1:])
        self.moments = StepMoments(sizes.latent, features[0], network, width, direct=True)

    def forward(self, h: Tensor, step: int = 0) -> Steps:
        moments = self.moments.now(h.device.type)
        return Steps(moments, self.steps, self.size, h, h.flatten(2).transpose(1, 2))
