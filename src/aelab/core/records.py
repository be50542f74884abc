"""The two records that travel through the house: what enters a model, and what one pass leaves behind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor
from torch.distributions import Distribution


class Batch(NamedTuple):
    """A batch of observations.

    x: (B, *event), values in [0, 1] for images.
    y: (B,) integer labels, -1 where one is unknown; or None.
    attributes: (B, A) float32, continuous attributes or generative factors scaled to [0, 1], or None.
    mask: (B, T), True where a sequence holds data, or None where every event is whole.
    """

    x: Tensor
    y: Tensor | None = None
    attributes: Tensor | None = None
    mask: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch with every tensor that it has changed, as by a move or by an index."""
        return Batch(*(None if value is None else change(value) for value in self))  # type: ignore[arg-type]


@dataclass(slots=True, frozen=True)
class Trace:
    """All that one pass through an autoencoder leaves behind for objectives, metrics and pictures.

    x: (B, *event), the target, always clean.
    corrupted: (B, *event), what the encoder saw; the same tensor as `x` without a corruption.
    context: (B, C), the condition c, or None.
    posterior: q(z|x,c), batch shape (B,).
    prior: p(z|c), batch shape (B,) or (); None where the model has none.
    z: (S, B, *latent), samples of the posterior.
    likelihood: p(x|z,c), batch shape (S, B).
    step: the optimisation step, for what follows a schedule.
    batch: what entered, with what is known of the observations; None in a trace that no model made.
    """

    x: Tensor
    corrupted: Tensor
    context: Tensor | None
    posterior: Distribution
    prior: Distribution | None
    z: Tensor
    likelihood: Distribution
    step: int = 0
    batch: Batch | None = None
