"""The network that reads the Gaussians of steps from those before them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from aelab.models.distributions import Gaussian, bounded
from aelab.models.distributions.later import as_now
from aelab.models.networks.causal import Causal


class StepMoments(nn.Module):
    """`Moments` of steps of `size` numbers, as of `distributions.Steps`, by a causal network.

        the step before, and what is told ──▶ network ──▶ output, 0 at first ─┬─▶ moments
        what is told ──▶ direct ──────────────────────────────────────────────┘

    told: numbers that each step is told. direct: whether these reach the moments past the network too.
    """

    def __init__(
        self, size: int, told: int, network: Callable[..., Causal], width: int, direct: bool = False
    ) -> None:
        super().__init__()
        self.read = nn.Linear(size, width)
        self.tell = nn.Linear(told, width) if told else None
        self.direct = nn.Linear(told, 2 * size) if direct else None
        self.network = network(width=width)
        self.output = nn.Linear(width, 2 * size)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, before: Tensor, told: Tensor | None) -> Gaussian:
        return self._moments(self.network(self._inputs(before, told)), told)

    def step(self, before: Tensor, told: Tensor | None, state: Any) -> tuple[Gaussian, Any]:
        features, state = self.network.step(self._inputs(before, told), state)
        return self._moments(features, told), state

    def now(self, device: str) -> "StepMomentsNow":
        """The same, to be asked later in the precision of now."""
        return StepMomentsNow(as_now(self, device, graph=False), as_now(self.step, device, graph=False))

    def _inputs(self, before: Tensor, told: Tensor | None) -> Tensor:
        read = self.read(before)
        return read if self.tell is None or told is None else read + self.tell(told)

    def _moments(self, features: Tensor, told: Tensor | None) -> Gaussian:
        found = self.output(features)
        if self.direct is not None and told is not None:
            found = found + self.direct(told)
        loc, log_variance = found.float().chunk(2, -1)
        return Gaussian(loc, bounded(log_variance), 2)


@dataclass(frozen=True)
class StepMomentsNow:
    """`Moments` in the precision of a pass. all: of all steps. step: of one more."""

    all: Callable[[Tensor, Tensor | None], Gaussian]
    step: Callable[[Tensor, Tensor | None, Any], tuple[Gaussian, Any]]

    def __call__(self, before: Tensor, told: Tensor | None) -> Gaussian:
        return self.all(before, told)
