"""What every prior is."""

from abc import ABC, abstractmethod
from typing import Any, Protocol

from torch import Tensor, nn
from torch.distributions import Distribution


class Encodes(Protocol):
    """The model as its own prior sees it."""

    posterior: Any

    def encode(self, x: Tensor, context: Tensor | None = None, step: int = 0) -> Distribution:
        """x (B, *event), context (B, C) or None -> q(z|x,c)."""
        ...


class Prior(nn.Module, ABC):
    """forward: context (B, C) or None, and the model -> p(z|c), batch shape () or (B,).

    Built with the sizes of the model, of which `latent` is that of a whole code.

    examples: how many training images `initialise` asks for.
    codes_at_start: how many codes of training observations `begin` asks for, in a second stage.
    of_held_codes: whether it is of the codes of a trained model alone, and of no second use.
    clusters: whether it is a mixture whose components are clusters of observations.
    observed: whether it is given a part of the observations too, which not every structure tells it.
    """

    examples: int = 0
    codes_at_start: int = 0
    of_held_codes: bool = False
    clusters: bool = False
    observed: bool = False

    @abstractmethod
    def forward(self, context: Tensor | None, model: Encodes) -> Distribution: ...

    def initialise(self, x: Tensor) -> None:
        """Begin from training images (examples, *shape), where a prior is made of such."""

    def begin(self, z: Tensor) -> None:
        """Begin from codes of a trained model, (N, latent), N up to `codes_at_start`: by default nothing."""

    def cost(self, prior: Distribution, z: Tensor, context: Tensor | None) -> Tensor:
        """What a second stage lowers, a scalar in nats: -log p(z|c) of codes (S, B, latent), averaged.

        prior: what `forward` gave. A prior without a density that trains well has another cost.
        """
        return -prior.log_prob(z).mean()


class Fitted(Prior, ABC):
    """A prior that a second stage fits by steps of its own, each after a pass through all codes.

    begin(codes at the start) ──▶ gather(codes of a batch), for each batch ──▶ refit() ──▶ gather ...
    """

    @abstractmethod
    def gather(self, z: Tensor) -> None:
        """Take codes (N, latent) into what the next step is made of."""

    @abstractmethod
    def refit(self) -> None:
        """Take the step, and forget what was gathered for it."""
