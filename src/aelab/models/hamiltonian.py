"""A Hamiltonian autoencoder: inference carried on by the dynamics of its own density."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError
from aelab.models import Autoencoder
from aelab.models.distributions import Gaussian, Transported
from aelab.models.geometry import Energy, Euclidean, Flat, Geometry, Metric, gradient


class Hamiltonian(Autoencoder):
    """The model whose codes are those of the encoder's Gaussian, carried on by tempered Hamiltonian dynamics
    towards p(z|x) (Caterini, Doucet and Sejdinovic 2018, https://arxiv.org/abs/1805.11328).

        x ──▶ encoder ──▶ N(m, s^2) ──▶ z_0 ─┐
                        N(0, G/T) ──▶ rho_0 ─┴▶ leapfrog on -log p(x, z) ▶ cool rho ▶ ... ▶ z_K, rho_K
                                               └────── `steps` times ──────┘
        log q(z_K) = log q(z_0) + log q(rho_0|z_0) - log|det| - log N(rho_K; 0, G(z_K))

    Not with optimal_gaussian, be it of places alone, whose density of one image depends on the others.

    steps: of leapfrog. size: of each at the start, trained for each latent dimension, below 0.5.
    temperature: the inverse temperature of the momenta at the start, trained, in (0, 1).
    metric: makes the metric G that codes move in, of what the encoder gives and the size of a code; None: I.
    """

    follows_gradient = True
    separable = False

    def __init__(
        self,
        steps: int = 3,
        size: float = 0.05,
        temperature: float = 0.3,
        metric: Callable[..., Metric] | None = None,
        **parts: Any,
    ) -> None:
        super().__init__(**parts)
        if self.likelihood.pooled:
            raise ConfigurationError(
                "structure=hamiltonian follows the density of each observation alone, and that of "
                "optimal_gaussian has one scale for a batch: choose likelihood=gaussian with "
                "model.likelihood.learned=true"
            )
        if steps < 1 or not 0 < size < 0.5 or not 0 < temperature < 1:
            raise ConfigurationError(
                f"model.structure.steps={steps}, size={size}, temperature={temperature}: choose at least 1 "
                "step, of a size in (0, 0.5), at a temperature in (0, 1)"
            )
        self.steps = steps
        self.metric = metric(parts["encoder"].features, self.latent) if metric else Euclidean()
        self.size_logit = nn.Parameter(torch.full((self.latent,), math.log(2 * size / (1 - 2 * size))))
        self.temperature_logit = nn.Parameter(torch.tensor(math.log(temperature / (1 - temperature))))

    def infer(
        self, x: Tensor, context: Tensor | None, step: int = 0, prior: Distribution | None = None
    ) -> Transported:
        features = self.encoder(x, context)  # type: ignore[misc]  # there is one where there is a posterior
        base = self.posterior(features, step)  # type: ignore[misc]
        if not isinstance(base, Gaussian) or prior is None:
            raise ConfigurationError(
                "structure=hamiltonian needs posterior=diagonal_gaussian and a prior with a density"
            )

        def energy(z: Tensor) -> Tensor:
            return -(self.likelihood_of(x, z, context).log_prob(x) + prior.log_prob(z))

        # The momenta are drawn with the code: N(0, 1 / temperature) at the start.
        momenta = -nn.functional.logsigmoid(self.temperature_logit).expand_as(base.loc)
        extended = Gaussian(
            torch.cat([base.loc, torch.zeros_like(base.loc)], -1),
            torch.cat([base.log_variance, momenta], -1),
        )
        geometry = self.metric(features, base.mean)
        return Transported(extended, partial(self.transport, energy=energy, geometry=geometry), self.latent)

    def transport(
        self, extended: Tensor, energy: Energy, geometry: Geometry | None = None
    ) -> tuple[Tensor, Tensor]:
        """Position and momentum (S, B, 2 latent), drawn as if G were I, -> position (S, B, latent), and what
        is taken off its log-density: the log-determinants of the map that makes the momentum one of G and of
        the cooling, and the final momentum's own density, N(0, G)."""
        geometry = Flat() if geometry is None else geometry
        z, noise = extended.chunk(2, -1)
        momentum, coloured = geometry.coloured(z, noise)
        size = 0.5 * self.size_logit.sigmoid()
        root = self.temperature_logit.sigmoid().sqrt()
        cooled, slope = root, gradient(energy, z)
        for k in range(1, self.steps + 1):
            z, momentum, slope = geometry.leapfrog(z, momentum, slope, size, energy)
            # The quadratic scheme: from the temperature at the start to 1.
            warmer, cooled = cooled, 1 / ((1 - 1 / root) * (k / self.steps) ** 2 + 1 / root)
            momentum = momentum * (warmer / cooled)
        return z, coloured + self.latent * root.log() + geometry.log_prob(z, momentum)
