"""A ladder of stochastic layers: inference from the top down."""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError
from aelab.models import Autoencoder
from aelab.models.distributions import Chain, Gaussian, Joint


class Ladder(Autoencoder):
    """The model whose inference goes from the top down: what the observation says of a layer is merged by
    precision with what the prior says of it given the layer above (Sonderby et al. 2016,
    https://arxiv.org/abs/1602.02282).

        x ──▶ encoder ──▶ h ──▶ posterior=ladder: N_1, N_2, ..., N_L        what x says of each layer
                                                   │    │         │
        p(z_1|z_2) ◀── z_2 ◀── p(z_2|z_3) ◀── ... ─┼────┼─ z_L ◀──⊗ p(z_L)  ⊗: product of the two Gaussians
            ⊗ N_1      ⊗ N_2                       ▼    ▼
            └──▶ z_1 ──▶ decoder
    """

    separable = False

    def infer(
        self, x: Tensor, context: Tensor | None, step: int = 0, prior: Distribution | None = None
    ) -> Chain:
        evidence = self.encode(x, context, step)
        if not isinstance(evidence, Joint) or not isinstance(prior, Chain):
            raise ConfigurationError(
                "structure=ladder merges the evidence of posterior=ladder with prior=top_down: choose both"
            )
        bottom_up: list[Any] = list(evidence.parts.values())[::-1]
        downwards = [
            partial(_merged, given, follow)
            for given, follow in zip(bottom_up[1:], prior.following, strict=True)
        ]
        return Chain(bottom_up[0], downwards, prior.sizes, upwards=False)


def _merged(given: Gaussian, follow: Any, above: Tensor) -> Gaussian:
    """The normalised product of two Gaussians of one layer: of the image, and of the layer above."""
    prior = follow(above)
    precisions = torch.stack([(-given.log_variance).exp().expand_as(prior.loc), (-prior.log_variance).exp()])
    log_variance = -precisions.sum(0).log()
    loc = (precisions * torch.stack([given.loc.expand_as(prior.loc), prior.loc])).sum(0)
    return Gaussian(loc * log_variance.exp(), log_variance)
