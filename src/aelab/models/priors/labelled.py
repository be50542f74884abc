"""The prior of codes of which a label is a part."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import Chain, OneHot, StandardGaussian
from aelab.models.priors.base import Encodes, Prior


class Labelled(Prior):
    """p(y) p(z|y), every label alike, over codes [z, one-hot y] (M2, Kingma et al. 2014).

    given: any prior of z that reads a context, which is the label; None: N(0, I) whatever the label.
    """

    zeros: Tensor

    def __init__(self, sizes: Sizes, given: Callable[..., Prior] | None = None) -> None:
        super().__init__()
        classes = sizes.classes or 0
        if not 0 < classes < sizes.latent:
            raise ConfigurationError(
                "prior=labelled is of codes with a label, and these have none: choose posterior=labelled "
                "with data that have labels, or prior=standard_normal"
            )
        self.sizes = [sizes.latent - classes, classes]
        inner = replace(sizes, latent=self.sizes[0], layout=(self.sizes[0],), context=classes)
        self.given = given and given(inner)
        self.register_buffer("zeros", torch.zeros(sizes.latent), persistent=False)

    def forward(self, context: Tensor | None, model: Encodes) -> Chain:
        z, y = self.zeros.split(self.sizes)
        return Chain(OneHot(y[None]), [partial(self._of_label, z, model)], self.sizes, upwards=False)

    def _of_label(self, zeros: Tensor, model: Encodes, y: Tensor) -> Distribution:
        if self.given is None:
            return StandardGaussian(zeros.expand(*y.shape[:-1], -1))
        inner = self.given(y, model)
        if inner.batch_shape != y.shape[:-1]:
            raise ConfigurationError(
                "model.prior.given is the same for every label: choose a prior that reads its context, as "
                "aelab.models.priors.Conditional, or null for N(0, I)"
            )
        return inner
