"""A prior that carries noise to codes along a field that was matched to straight paths."""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution
from torch.func import jvp, vmap

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions.base import ONE, Shape
from aelab.models.distributions.gaussian import StandardGaussian
from aelab.models.networks.mlp import hidden_layers
from aelab.models.priors.standardised import Standardised

BLOCK = 500  # codes whose Jacobians are in memory at once
Field = Callable[[Tensor, Tensor], Tensor]


class FlowMatching(Standardised):
    """dz/dt = v(z, t) from noise at 0 to codes at 1, v fitted to the paths t z + (1 - t) e by
    |v - (z - e)|^2 / 2 (Lipman et al. 2023, https://arxiv.org/abs/2210.02747).

    Its cost is no density, so that codes have to be a trained model's. steps: of the integration from 0 to 1.
    """

    of_held_codes = True
    zeros: Tensor

    def __init__(
        self,
        sizes: Sizes,
        widths: Sequence[int] = (128, 128),
        steps: int = 6,
        activation: Callable[[], nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__(sizes)
        if steps < 1 or not widths:
            raise ConfigurationError(
                f"model.prior.steps={steps} and widths={list(widths)}: at least one of each is needed"
            )
        self.steps = steps
        self.layers = hidden_layers(sizes.latent + 3 + sizes.context, widths, activation)
        self.output = nn.Linear(widths[-1], sizes.latent)
        self.register_buffer("zeros", torch.zeros(sizes.latent), persistent=False)

    def field(self, z: Tensor, t: Tensor, context: Tensor | None) -> Tensor:
        """v(z, t) of z (*, latent) at times t (*, 1), with the context (*, C)."""
        time = torch.cat([t, (math.pi * t).cos(), (math.pi * t).sin()], -1)
        known = [z, time] if context is None else [z, time, context]
        return self.output(self.layers(torch.cat(known, -1)))

    def standard(self, context: Tensor | None) -> "Carried":
        return Carried(StandardGaussian(self.zeros), self.field, self.steps, context)

    def cost(self, prior: Distribution, z: Tensor, context: Tensor | None) -> Tensor:
        codes = (z - self.shift) / self.scale
        noise, t = torch.randn_like(codes), torch.rand_like(codes[..., :1])
        known = None if context is None else context.float().expand(*codes.shape[:-1], -1)
        missed = self.field(torch.lerp(noise, codes, t), t, known) - (codes - noise)
        return 0.5 * missed.square().sum(-1).mean()


class Carried(Distribution):
    """Where `first` at time 0 is at time 1, along a field (z, t, context) -> dz/dt, by `steps` of Runge and
    Kutta's fourth order: of fixed length, so that a code does not depend on those beside it.

    log_prob: log p(z(1)) = log p(z(0)) - int div v dt, the divergence exact, with `latent` products of the
        Jacobian (Chen et al. 2018, https://arxiv.org/abs/1806.07366). No gradient passes.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        first: StandardGaussian,
        field: Callable[[Tensor, Tensor, Tensor | None], Tensor],
        steps: int,
        context: Tensor | None = None,
    ) -> None:
        self.first, self.field, self.steps, self.context = first, field, steps, context
        batch = Size() if context is None else context.shape[:1]
        super().__init__(batch, first.event_shape, validate_args=False)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        z = self.first.rsample(Size([*sample_shape, *self.batch_shape]))
        known = self._known(z)
        return self._integrate(lambda z, t: self.field(z, t.expand_as(z[..., :1]), known), z, 0.0, 1.0)

    rsample = sample

    @torch.no_grad()
    def log_prob(self, value: Tensor) -> Tensor:
        known, flat = self._known(value), value.reshape(-1, value.shape[-1])
        told = None if known is None else known.reshape(len(flat), -1)
        found = [
            self._log_prob(flat[at : at + BLOCK], None if told is None else told[at : at + BLOCK])
            for at in range(0, len(flat), BLOCK)
        ]
        return torch.cat(found).view(value.shape[:-1])

    def _log_prob(self, z: Tensor, known: Tensor | None) -> Tensor:
        basis = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)

        def moves(state: Tensor, t: Tensor) -> Tensor:
            """The field beside its divergence, in the last dimension."""

            def along(direction: Tensor) -> tuple[Tensor, Tensor]:
                found: Any = jvp(here, (state[:, :-1],), (direction.expand(len(state), -1),))
                return found[0], (found[1] * direction).sum(-1)

            def here(z: Tensor) -> Tensor:
                return self.field(z, t.expand(len(z), 1), known)

            values, slopes = vmap(along)(basis)
            return torch.cat([values[0], slopes.sum(0)[:, None]], -1)

        end = self._integrate(moves, torch.cat([z, torch.zeros_like(z[:, :1])], -1), 1.0, 0.0)
        return self.first.log_prob(end[:, :-1]) + end[:, -1]

    def _known(self, z: Tensor) -> Tensor | None:
        return None if self.context is None else self.context.expand(*z.shape[:-1], -1)

    def _integrate(self, field: Field, z: Tensor, begin: float, end: float) -> Tensor:
        step = (end - begin) / self.steps
        for index in range(self.steps):
            t = z.new_tensor(begin + index * step)
            k1 = field(z, t)
            k2 = field(z + step / 2 * k1, t + step / 2)
            k3 = field(z + step / 2 * k2, t + step / 2)
            k4 = field(z + step * k3, t + step)
            z = z + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return z
