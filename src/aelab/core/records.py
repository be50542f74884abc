"""The records that travel through the house: a batch, the trace of one pass, the sizes of a model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from torch import Tensor
from torch.distributions import Distribution

from aelab.core.errors import InapplicableError

NO_ENCODER = (
    "the model has no encoder (posterior=none), and so no codes of observations: choose one with a posterior"
)


class Batch(NamedTuple):
    """A batch of observations.

    x: (B, *event), values in [0, 1] for images.
    y: (B,) integer labels, -1 where a label is unknown; or None.
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


@dataclass(frozen=True)
class Sizes:
    """The sizes that the parts of a model are built with, each from one source.

    shape: of an observation, as (C, H, W); of its parameters, for a decoder.
    latent: numbers in a code, which is flat wherever it travels. layout: of what the decoder reads of it, as
        (C, H, W) or (T, D); (latent,) for a vector. codes: entries of a codebook, None without one.
    symbols: the grid of entries that a code is made of, as (H, W) or (T,), in the order of its flattening.
    context: of the condition c, 0 without one.
    classes, attributes, vocabulary: labels, attributes and tokens that the data have, None without them.
    """

    shape: tuple[int, ...] = ()
    latent: int = 0
    layout: tuple[int, ...] = ()
    codes: int | None = None
    symbols: tuple[int, ...] = ()
    context: int = 0
    classes: int | None = None
    attributes: int | None = None
    vocabulary: int | None = None


@dataclass(frozen=True)
class Trace:
    """All that one pass through a model leaves behind for objectives, metrics and pictures.

    batch: the observations, always clean.
    corrupted: (B, *event), what the encoder saw; the same tensor as `x` without a corruption.
    context: (B, C), the condition c, or None.
    posterior: q(z|x,c), batch shape (B,); None for a model without an encoder, whose codes are the prior's.
    prior: p(z|c), batch shape (B,) or (); None where the model has none.
    z: (S, B, latent), samples of the posterior, or else of the prior.
    decode: gives the likelihood, which is computed when it is first read.
    log_q: log-density of the codes under what they were drawn from, (S, B), where only the draw knows it.
    step: the optimisation step, for what follows a schedule.
    """

    batch: Batch
    corrupted: Tensor
    context: Tensor | None
    posterior: Distribution | None
    prior: Distribution | None
    z: Tensor
    decode: Callable[[], Distribution]
    log_q: Tensor | None = None
    step: int = 0
    made: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, made for the first of several readers alone, who know it by its name."""
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]

    @property
    def x(self) -> Tensor:
        """The observations, (B, *event)."""
        return self.batch.x

    @property
    def q(self) -> Distribution:
        """The posterior; InapplicableError for a model that has none."""
        if self.posterior is None:
            raise InapplicableError(NO_ENCODER)
        return self.posterior

    @cached_property
    def likelihood(self) -> Distribution:
        """p(x|z,c), batch shape (S, B)."""
        return self.decode()
