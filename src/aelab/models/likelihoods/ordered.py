"""The likelihood of images, waves and spectra whose places follow one another."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from aelab.core.errors import ConfigurationError
from aelab.models import distributions
from aelab.models.distributions.later import as_now
from aelab.models.distributions.levels import LevelsBetween
from aelab.models.distributions.ordered import Choose, Keep
from aelab.models.likelihoods.base import Likelihood, Shape
from aelab.models.likelihoods.location_scale import UNIT, Bounds
from aelab.models.networks.causal import Causal


class Ordered(Likelihood):
    """The values of each place given those of the places before it, by a causal network that is also told
    something at each place (images: Gulrajani et al. 2017, https://arxiv.org/abs/1611.05013; waves: Chorowski
    et al. 2019, https://arxiv.org/abs/1901.08810).

        decoder ──▶ what a place is told ─────┐
        values of the places before it ───────┴─▶ network ──▶ of: p(values of the place)

    shape: of an observation. places: how many of its last sides are of places; None: all but the first.
    of: the likelihood of the values of a place: real numbers are told it as they are, others in [0, 1].
    network: (width, grid) -> what reads the places. told: how many numbers a place is told. bounds: of the
    values. levels: as many as values are rounded to where they are scored, from end to end; None: they are
    scored as they are.
    """

    drawn = True

    def __init__(
        self,
        shape: Sequence[int],
        of: Likelihood,
        network: Callable[..., Causal],
        width: int = 64,
        told: int = 8,
        places: int | None = None,
        bounds: Bounds = UNIT,
        levels: int | None = None,
    ) -> None:
        super().__init__()
        if len(shape) < 2:
            raise ConfigurationError(
                f"the likelihood is of places in order, as of images and waves, and data.shape is "
                f"{list(shape)}: choose likelihood=gaussian"
            )
        if min(width, told) < 1 or (levels is not None and levels < 2):
            raise ConfigurationError(
                f"model.likelihood.width={width}, told={told}, levels={levels}: 1, 1 and 2 at least"
            )
        self.shape, self.places, self.told, self.levels = tuple(shape), places or len(shape) - 1, told, levels
        self.low, high = map(float, bounds or UNIT)
        self.span = high - self.low
        self.of, self.binary, self.pooled = of, of.binary, of.pooled
        size = math.prod(self.shape[: -self.places])
        parameters = of.parameters_of((size, 1, 1))[0]
        self.value, self.tell = nn.Linear(size, width), nn.Linear(told, width)
        self.network = network(width=width, grid=self.shape[-self.places :])
        self.output = nn.Linear(width, parameters)
        found: Any = of(torch.zeros(1, 1, parameters, 1, 1)).support
        self.real, self.discrete = found is constraints.real, found.is_discrete
        moved = self.discrete and (self.low, self.span) != (0, 1)
        self.support = LevelsBetween(self.low, self.low + self.span) if moved else found

    def parameters_of(self, shape: Shape) -> Shape:
        return (self.told, *shape[-self.places :])

    def forward(self, params: Tensor) -> distributions.Ordered:
        kind = params.device.type
        nats, walk = as_now(self.nats, kind), as_now(self.walk, kind, graph=False)
        return distributions.Ordered(params.flatten(3), self.shape, self.places, nats, walk, self.support)

    def nats(self, x: Tensor, told: Tensor, hidden: Tensor | None = None) -> Tensor:
        """As of `distributions.Ordered`."""
        seen = self._rounded((x - self.low) / self.span)
        before = F.pad(self._read(seen[..., :-1]), (0, 0, 1, 0))
        p: Any = self._at(self.network(before + self.tell(told.transpose(1, 2))))
        if hidden is not None:
            p = distributions.Masked(p, hidden[:, :, None], x[:, :, None]).base
        value = self.low + self.span * seen if self.real else seen
        nats: Tensor = p.each(value[:, :, None])[0, :, :, 0]
        return nats if self.real or self.discrete else nats - math.log(self.span)

    def walk(self, told: Tensor, choose: Choose, keep: Keep) -> Tensor:
        """As of `distributions.Ordered`."""
        state, found = None, list[Tensor]()
        for place in range(told.shape[-1]):
            before = found[-1] if found else None
            values, state = self.step(told[..., place : place + 1], before, choose, state)
            found.append(keep(values, place))
        return torch.stack(found, -1)

    def step(self, told: Tensor, before: Tensor | None, choose: Choose, state: Any) -> tuple[Tensor, Any]:
        """One more place: what it is told (N, told, 1), the values (N, C) before it, None at first, and what
        is kept of all before -> the values (N, C) that are chosen, and what is kept now."""
        inputs = self.tell(told.transpose(1, 2))
        if before is not None:
            inputs = inputs + self._read((before[..., None] - self.low) / self.span)
        features, state = self.network.step(inputs, state)
        values = choose(self._at(features))[0, ..., 0, 0]
        return values if self.real else self.low + self.span * values, state

    def _read(self, x: Tensor) -> Tensor:
        """Values in [0, 1], (N, C, T) -> inputs (N, T, width)."""
        return self.value(2 * x.transpose(1, 2) - 1)

    def _at(self, features: Tensor) -> Distribution:
        """Features (N, T, width) -> p(values of each place), batch shape (1, N) and event (C, 1, T)."""
        return self.of(self.output(features).transpose(1, 2)[None, :, :, None])

    def _rounded(self, x: Tensor) -> Tensor:
        return x if self.levels is None else (x * (self.levels - 1)).round() / (self.levels - 1)
