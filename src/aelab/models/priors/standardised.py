"""Priors whose networks see codes of mean 0 and deviation 1, where a second stage knows them."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from aelab.core.precision import in_float32
from aelab.core.records import Sizes
from aelab.models.distributions.base import ONE, Shape
from aelab.models.priors.base import Encodes, Prior


class Standardised(Prior, ABC):
    """A prior of (z - shift) / scale: of codes at the start of a second stage, 0 and 1 in other trainings."""

    codes_at_start = 10_000
    shift: Tensor
    scale: Tensor

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(sizes.latent))
        self.register_buffer("scale", torch.ones(sizes.latent))

    def begin(self, z: Tensor) -> None:
        deviation = z.std(0, correction=0)
        self.shift.copy_(z.mean(0))
        self.scale.copy_(deviation.clamp_min(1e-4 * deviation.max()).clamp_min(1e-12))

    def forward(self, context: Tensor | None, model: Encodes) -> Distribution:
        return Scaled(self.standard(None if context is None else context.float()), self.shift, self.scale)

    @abstractmethod
    def standard(self, context: Tensor | None) -> Distribution:
        """The distribution of standardised codes, batch shape () or (B,)."""


class Scaled(Distribution):
    """s e + m of e that is distributed as `standard`, whose networks run in single precision under autocast
    too: they give its log-density."""

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, standard: Distribution, shift: Tensor, scale: Tensor) -> None:
        self.standard, self.shift, self.scale = standard, shift, scale
        super().__init__(standard.batch_shape, standard.event_shape, validate_args=False)

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        with in_float32(self.shift.device):
            return self.standard.rsample(torch.Size(sample_shape)) * self.scale + self.shift

    def log_prob(self, value: Tensor) -> Tensor:
        with in_float32(value.device):
            found = self.standard.log_prob((value - self.shift) / self.scale)
            return found - self.scale.log().sum()
