"""Observations whose places are drawn one after the other."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from aelab.models.distributions.base import ONE, Shape

Choose = Callable[[Distribution], Tensor]
"""From a distribution over the values of a place to such values."""
Keep = Callable[[Tensor, int], Tensor]
"""From values (N, C) of a place, and its number, to those that stand there."""


class Ordered(Distribution):
    """Values (*values, *places), those of a place given those of the places before it and what it is told.

    told: (*batch, width, T), T the number of places. event: of which the last `places` sides are of places.
    nats: C = the product of the other sides: values (N, C, T), told (N, width, T) -> the log-density of each
    given the true ones before it, (N, C, T), or of a place with all its values, (N, 1, T); where some are
    known, its third argument is 1 where one is hidden, (N, C, T). walk: told (N, width, T), a choice and what
    is kept -> values (N, C, T), those of each place chosen given those before.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        told: Tensor,
        event: Sequence[int],
        places: int,
        nats: Callable[..., Tensor],
        walk: Callable[[Tensor, Choose, Keep], Tensor],
        support: constraints.Constraint,
    ) -> None:
        self.told, self.places, self.nats, self.walk, self.of = told, places, nats, walk, support
        self.known: tuple[Tensor, Tensor] | None = None
        self.means: dict[bool, Tensor] = {}  # with a graph, and without
        super().__init__(told.shape[:-2], Size(event), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return self.of

    def among(self, hidden: Tensor, known: Tensor) -> "Ordered":
        """The same, of which a walk draws the values where `hidden` is 1, broadcastable to observations, and
        finds those of `known` (B, *event) elsewhere."""
        found = copy.copy(self)
        found.known, found.means = (hidden, known), {}
        return found

    def each(self, value: Tensor) -> Tensor:
        """As `nats`, of values (*batch, *event): the same, with sides of 1 where values are joined."""
        batch = torch.broadcast_shapes(value.shape[: -len(self.event_shape)], self.batch_shape)
        flat = self._flat(value, batch)
        told = self.told.expand(*batch, *self.told.shape[-2:]).reshape(len(flat), *self.told.shape[-2:])
        hidden = () if self.known is None else (self._flat(self.known[0], batch),)
        nats, sides = self.nats(flat, told, *hidden), list(self.event_shape)
        if nats.shape[1] != flat.shape[1]:
            sides[: -self.places] = [1] * (len(sides) - self.places)
        return nats.reshape(*batch, *sides)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.each(value).flatten(-len(self.event_shape)).sum(-1)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        return self._walked(self.told.expand(*sample_shape, *self.told.shape), lambda p: p.sample())

    @property
    def mean(self) -> Tensor:
        """Of a walk: at each place the mean given the means before it, which is exact for the first. Several
        readers share one walk."""
        graph = torch.is_grad_enabled()
        if graph not in self.means:
            self.means[graph] = self._walked(self.told, lambda p: p.mean)
        return self.means[graph]

    def _walked(self, told: Tensor, choose: Choose) -> Tensor:
        batch = told.shape[:-2]
        found = self.walk(told.reshape(-1, *told.shape[-2:]), choose, self._kept(batch))
        return found.reshape(*batch, *self.event_shape)

    def _kept(self, batch: Size) -> Keep:
        if self.known is None:
            return lambda values, _: values
        hidden, known = (self._flat(each, batch) for each in self.known)
        return lambda values, place: torch.where(hidden[..., place] > 0, values, known[..., place])

    def _flat(self, value: Tensor, batch: Size) -> Tensor:
        """Values broadcastable to (*batch, *event) -> (N, C, T)."""
        places = self.event_shape[-self.places :].numel()
        return value.expand(*batch, *self.event_shape).reshape(batch.numel(), -1, places)
